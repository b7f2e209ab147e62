"""What trains: precision, devices, hosts."""
import contextlib

import keras


@contextlib.contextmanager
def precision(name):
    """What is built and compiled in here computes in the policy of that name: float32, mixed_bfloat16, mixed_float16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
