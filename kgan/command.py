"""What the commands share: flags by absl, mistakes as one line on standard error and exit status 2."""
import contextlib
import math
import os
import sys
import warnings

from absl import app, flags


class UserError(Exception):
    """A mistake that the user can mend: the message says what is wrong and what to do, and is shown as it is."""


def check_finite():
    """Raises flags.Error where a flag is NaN, which no bound keeps out, or infinite."""
    for name in flags.FLAGS:
        if isinstance(value := flags.FLAGS[name].value, float) and not math.isfinite(value):
            raise flags.IllegalFlagValueError(f"flag --{name}={value}: must be a finite number")


_programs = []  # its name, which goes before messages; of `kgan VERB` that


def program():
    """The name that goes before a message."""
    return _programs[0] if _programs else "kgan"


_usual = warnings.formatwarning


def warned(message, category, *place):
    """A warning of ours as a line for people; of libraries, for developers, with the place in the code."""
    return f"{program()}: {message}\n" if issubclass(category, UserWarning) else _usual(message, category, *place)


def unread():
    """What is still to be printed goes nowhere: who read the output has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def start(name):
    """Names the program before its module does: `kgan train` starts what `python train.py` is."""
    _programs.insert(0, name)


def run(main, name, help=None):
    """Runs `main` as a program, and ends the process.

    Args:
        help: function of the command line to what --help shows in the flags' place; "": these.
        main: function of what stands on the command line beside flags, the program's name first; returns the exit status.
        name: that goes before a message, unless `kgan VERB` started it.
    """
    _programs.append(name)
    warnings.formatwarning = warned

    def parse(arguments):
        if help and {"--help", "-help", "-h"} & {*arguments} and (text := help(arguments)):
            try:
                print(text, flush=True)
            except BrokenPipeError:
                unread()
            sys.exit(0)
        try:
            words = flags.FLAGS(arguments)
            check_finite()
            return words
        except flags.Error as error:
            sys.stderr.write(f"{program()}: {error}\n")
            sys.exit(2)
        except SystemExit:  # --help: absl would have it 1
            sys.exit(0)

    def guarded(arguments):
        try:
            return main(arguments)
        except UserError as error:
            print(f"{program()}: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # who reads the output has seen enough, as `head` does
            unread()
            return 141  # 128 + SIGPIPE, as shells have it
        except OSError as error:  # a full disk, say
            print(f"{program()}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{program()}: interrupted", file=sys.stderr)
            return 130

    for stream in (sys.stdout, sys.stderr):  # names and signs that the locale lacks end no run: they come as \xd7
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream of another kind stays as it is
            stream.reconfigure(errors="backslashreplace")
    app.run(guarded, flags_parser=parse)
