"""Run by test_flags.py: what `python FILE FLAG…` says, each in a process forked off this one, which has imported what FILE imports.

    python lines.py FILE MODULE…       reads a JSON list [folder, flag, …] a line; answers with [exit status, output, errors]
"""
import importlib
import json
import os
import runpy
import sys
import tempfile

from forks import whole

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
file, *modules = sys.argv[1:]
for name in modules:
    importlib.import_module(name)
for line in sys.stdin:
    folder, *arguments = json.loads(line)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        if not (program := os.fork()):
            os.chdir(folder)
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv = [file, *arguments]
            whole(lambda: runpy.run_path(file, run_name="__main__"))
        status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        output.seek(0)
        errors.seek(0)
        print(json.dumps([status, output.read(), errors.read()]), flush=True)
