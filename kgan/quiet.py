"""Imports TensorFlow for a command line without the lines that its libraries print before they can be told not to."""
import contextlib
import os
import sys

from absl import logging

from kgan.command import busy


def import_tensorflow():
    """Imports tensorflow and keras. Error messages of the import itself come as exceptions, and are not lost."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    if "tensorflow" in sys.modules:
        return
    with busy("loading TensorFlow; the first time takes longest"), silence():
        import keras  # noqa: F401
        import tensorflow as tf
        tf.config.list_physical_devices()  # looks for drivers, and says so
        tf.get_logger().setLevel("ERROR")  # deprecations inside Keras and TensorFlow are no matter of the user's


@contextlib.contextmanager
def silence():
    """Keeps from standard error what C++ writes there, straight to file descriptor 2. Exceptions pass."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
