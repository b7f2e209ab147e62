"""Run by test_flags.py in a process of its own: a command with mistakes in each of its flags, one after the other.

    python fuzz.py MODULE JSON     JSON: a list of what stands on the command line beside the flag

Prints a JSON list of [arguments, exit status, standard output, standard error].
"""
import contextlib
import importlib
import io
import json
import sys

from absl import app, flags

from kgan import command

# values that no flag of a type takes, and none of a name
TYPES = {"int": ["", "x", "1.5", "nan", "1e99"], "float": ["", "x", "nan", "inf", "-inf", "1e999"], "bool": ["maybe", "2"],
         "string enum": ["", "nonsense"]}
NAMES = {"model": ["", "nonsense", "a\nb", "../dcgan"], "dataset": ["", "folder:", "folder:/no/such", "glpyhs"],
         "manual_dir": ["/no/such"], "config": ["/no/such", "/", "/dev/null"],
         "image_size": ["", "x", "3", "1025", "64x", "64x3", "8x8x8"],
         **dict.fromkeys(("export", "formats"), ["", "nonsense", "saved_model,x"]), "precisions": ["", "int4", "int8,x"],
         "set": ["", "x", "x=1", "=", "steps=", "steps=\n", "steps=1e20", "latent_noise=inf", "loss=hnige"],
         "between": ["1", "1,x", "-1,2", "1,2,3"], **dict.fromkeys(("add", "subtract"), ["", "x", "-1"]),
         "label": ["", "nonsense", "-1"], "attribute": ["nonsense", "nan"], "name": ["a/b", "ä"],
         "host": ["no.such.host.invalid"], "max_queue": ["1"]}


def mistakes(flag):
    """Wrong ones for a flag: values, and its name."""
    values = TYPES.get(flag.flag_type(), []) + NAMES.get(flag.name, [])
    bounds = (getattr(flag.parser, "lower_bound", None), -1), (getattr(flag.parser, "upper_bound", None), 1)
    values += [str(bound + beyond) for bound, beyond in bounds if bound is not None]
    return [f"--{flag.name}={value}" for value in values] + [f"--{flag.name}x=1"]


def run(module, arguments):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    sys.argv = [sys.argv[0], *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            if module.__name__ == "export.serve":
                app.run(module._guarded, flags_parser=module._parse)
            command.run(module.main, "fuzz")
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            status = repr(error)
    return [arguments, status, output.getvalue(), errors.getvalue()]


module, before = importlib.import_module(sys.argv[1]), json.loads(sys.argv[2])
getattr(module, "define_flags", lambda: None)()
own = {flag.name: flag for name, found in flags.FLAGS.flags_by_module_dict().items() for flag in found
       if not name.startswith("absl")}
print(json.dumps([run(module, [*before, mistake]) for flag in own.values() for mistake in mistakes(flag)]))
