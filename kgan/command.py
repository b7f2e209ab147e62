"""What the commands share: flags by absl, mistakes as one line on standard error and exit status 2."""
import contextlib
import math
import os
import re
import sys
import threading
import time
import warnings

from absl import app, flags


class UserError(Exception):
    """A mistake that the user can mend: the message says what is wrong and what to do, and is shown as it is."""


@contextlib.contextmanager
def here():
    """Modules are found in the working directory, too, as `python script.py` finds those beside it."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())


def check_finite():
    """Raises flags.Error where a flag is NaN, which no bound keeps out, or infinite."""
    for name in flags.FLAGS:
        if isinstance(value := flags.FLAGS[name].value, float) and not math.isfinite(value):
            raise flags.IllegalFlagValueError(f"flag --{name}={value}: must be a finite number")


def plainly(error):
    """What a flag's error says, without Python's words for what is no number."""
    said = re.sub(r"invalid literal for int\(\) with base 10: .*", "must be a whole number", str(error))
    return re.sub(r"could not convert string to float: .*", "must be a number", said)


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


@contextlib.contextmanager
def busy(what, first=5, every=10):
    """Says what takes so long, where a person watches: after `first` seconds, and then how long it has been every so many."""
    if not sys.stderr.isatty():
        yield
        return
    done, begun = threading.Event(), time.monotonic()
    stream = os.dup(2)  # whatever is silenced meanwhile

    def tell():
        wait = first
        while not done.wait(wait):
            os.write(stream, f"{what} … {time.monotonic() - begun:.0f} s\n".encode("utf-8", "replace"))
            wait = every

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
        os.close(stream)


def start(name):
    """Names the program before its module does: `kgan train` starts what `python train.py` is."""
    _programs.insert(0, name)


def run(main, name, help=None, doing=""):
    """Runs `main` as a program, and ends the process.

    Args:
        doing: what a program is doing that prints nothing before it is done; see `busy`.
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
            sys.stderr.write(f"{program()}: {plainly(error)}\n")
            sys.exit(2)
        except SystemExit:  # --help: absl would have it 1
            sys.exit(0)

    def guarded(arguments):
        try:
            with busy(doing, 10) if doing else contextlib.nullcontext():
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
