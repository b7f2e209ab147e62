"""One import of TensorFlow for all programs that tests start: a server that forks them off, and what asks it for one.

    python tests/forks.py serve FOLDER SOCKET    imports, then forks for who asks, until its standard input ends
    FOLDER/python ARG…                           is `python ARG…`: folder, environment, limits, three files, signals, exit status;
                                                 with flags of Python's own (-I, -X…) it is Python itself;
                                                 `-u -c …` is a worker of pytest

The server only imports. Nothing is computed before a fork, so what comes of it is a process like any other, four seconds
earlier. Yet the seed of hash() is the same in all of them, so proofs of sameness need one real process, too.
"""
import atexit
import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import types
import warnings

PYTHON = sys.executable
FORWARDED = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
# what many programs import. None defines flags or starts threads, as onnxruntime does
IMPORTED = ("matplotlib.pyplot", "tensorflow_datasets", "tqdm", "PIL.Image", "kgan.callbacks", "kgan.report", "kgan.loading", "kgan.data",
            "kgan.metrics.evaluate", "export.artefacts", "export.saved_model", "export.tflite", "export.onnx", "onnx",
            "tf2onnx", "ai_edge_litert.interpreter", "uvicorn", "export.serving.app")
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


class Server:
    """The server's process, of which everything stands in a folder of its own: `python` there is for sys.executable."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="kgan-")  # short, as the name of a socket must be
        self.python = os.path.join(self.folder, "python")
        with open(self.python, "w") as file:
            real, this, folder = map(shlex.quote, (sys.executable, __file__, self.folder))
            file.write(f"""#!/bin/sh
case "$1" in
  -m | -c | -u | [!-]*) exec {real} -IS {this} ask {folder} "$@" ;;
esac
exec {real} "$@"
""")
        os.chmod(self.python, 0o755)
        with socket.socket(socket.AF_UNIX) as listener:  # here, so that whoever asks soonest may wait
            listener.bind(os.path.join(self.folder, "socket"))
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, __file__, "serve", self.folder, str(listener.fileno())], stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()], start_new_session=True)  # Ctrl-C is for pytest alone

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# === Who asks ===

def ask(folder, arguments):
    """Has the server start a program, passes signals on to it, and ends as it does. If this is killed, so is the program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is someone to send them to
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.path.join(folder, "socket"))
    limits = [resource.getrlimit(each) for each in LIMITS]
    request = json.dumps([arguments, os.getcwd(), dict(os.environ), limits]).encode()
    socket.send_fds(connection, [struct.pack("q", len(request))], [0, 1, 2])
    connection.sendall(request)
    program = _number(connection)
    for number in FORWARDED:
        signal.signal(number, lambda number, _: os.kill(program, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    for file in 0, 1, 2:  # the program's, so that who reads from it sees their end, and who closes them is noticed
        os.close(file)
    status = _number(connection)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _receive(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("tests/forks.py: the server is gone")
        data += part
    return data


def _number(connection):
    return struct.unpack("q", _receive(connection, 8))[0]


# === The server ===

def serve(listener):
    """Answers until standard input ends. In a program that it forked off this returns, with what to run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    selector, programs = selectors.DefaultSelector(), {}
    selector.register(listener, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                for number in programs:
                    os.kill(number, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj is listener:
                _import()  # when there is something to do, and not before
                connection, _ = listener.accept()
                if found := _start(connection, selector, programs):
                    listener.close()
                    return found
            elif key.data in programs:
                _attend(key, selector, programs)


def _import():
    if "tensorflow" in sys.modules:
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # lines that no setting keeps back
    gc.disable()
    folders = sys.path[:]
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        import kgan  # first, as programs do: it chooses how TensorFlow convolves
        import tensorflow as tf
        import keras
        kgan.models  # and with it all that registers with Keras
        for name in IMPORTED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    finally:
        sys.path[:] = folders
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    tf.get_logger().setLevel("ERROR")  # as kgan.quiet does where it imports
    # TensorFlow makes a kernel for each name of a variable, in twice the time of all else about it: names for messages alone
    handles = importlib.import_module("tensorflow.python.ops.gen_resource_variable_ops")
    make = handles.var_handle_op
    handles.var_handle_op = lambda *arguments, debug_name="", **named: make(*arguments, **named)
    gc.freeze()  # else programs look through all of TensorFlow for garbage, again and again
    gc.enable()


def _start(connection, selector, programs):
    """Forks. Returns None in the server, in the program (arguments, sys.path)."""
    header, files, *_ = socket.recv_fds(connection, 8, 3)
    request = json.loads(_receive(connection, *struct.unpack("q", header)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of OpenBLAS's threads, which it looks after itself
        program = os.fork()
    if not program:
        for other, handle in programs.values():
            other.close()
            os.close(handle)
        selector.close()
        connection.close()
        return _become(files, *request)
    for file in files:
        os.close(file)
    connection.sendall(struct.pack("q", program))
    programs[program] = connection, os.pidfd_open(program)
    for each in programs[program]:
        selector.register(each, selectors.EVENT_READ, program)
    return None


def _attend(key, selector, programs):
    """One that ended, or whose asker did."""
    connection, handle = programs[key.data]
    if key.fileobj is connection:  # killed: nothing else ends it before the program
        selector.unregister(connection)
        os.kill(key.data, signal.SIGKILL)
        return
    del programs[key.data]
    _, status = os.waitpid(key.data, 0)
    selector.unregister(handle)
    os.close(handle)
    if connection in selector.get_map():
        selector.unregister(connection)
        try:
            connection.sendall(struct.pack("q", os.waitstatus_to_exitcode(status)))
        except OSError:  # killed just now
            pass
    connection.close()


# === A program ===

def _folders(environment):
    return [os.path.abspath(folder) for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]


def _become(files, arguments, folder, environment, limits):
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    installed = [folder for folder in sys.path[1:] if folder not in _folders(os.environ)]
    os.environ.clear()
    os.environ.update(environment)
    for each, (soft, hard) in zip(LIMITS, limits):
        if resource.getrlimit(each) != (soft, hard):
            resource.setrlimit(each, (soft, hard))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.modules["numpy"].random.seed()
    return arguments, _folders(environment) + installed


def run(arguments, folders):
    """What `python ARGUMENTS` does: a file, -m MODULE or -c TEXT."""
    if arguments[0] == "-u":  # a worker of pytest, to which sys.executable is what it is to pytest: see conftest
        sys.executable, arguments = PYTHON, arguments[1:]
    sys.orig_argv = [sys.executable, *arguments]
    flag = arguments[0] if arguments[0] in ("-m", "-c") else ""
    what, sys.argv = arguments[bool(flag)], arguments[flag == "-m":]
    sys.path[:] = [{"-m": os.getcwd(), "-c": ""}.get(flag, os.path.dirname(os.path.abspath(what))), *folders]
    if flag == "-m":
        sys.modules.pop(what, None)  # it may be among what others have imported, and runpy warns of that
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif flag:
        sys.argv = ["-c", *arguments[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)
    else:
        runpy.run_path(what, run_name="__main__")


def whole(program):
    """Calls what a process is there for, and ends as an interpreter does that has come to the end of its program."""
    try:
        program()
    except SystemExit as ended:
        end(ended.code)
    except Exception:
        sys.excepthook(*sys.exc_info())
        end(1)
    end(0)


def end(status):
    """Ends as an interpreter does, but takes nothing apart: all of TensorFlow, whose memory is shared until it is written to."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream and not stream.closed:
                stream.flush()
    except OSError:  # the interpreter has something to say of it
        sys.exit(status)
    if isinstance(status, str):
        print(status, file=sys.stderr, flush=True)
    os._exit(status & 0xff if isinstance(status, int) else 1 if status else 0)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(sys.argv[2], sys.argv[3:])
    sys.executable = os.path.join(sys.argv[2], "python")  # what programs start is forked off, too
    whole(lambda: run(*serve(socket.socket(fileno=int(sys.argv[3])))))
