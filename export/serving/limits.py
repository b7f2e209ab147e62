"""Bounds on what a client may ask for, and the answer to one who asks for more."""
import dataclasses

MAX_SEED = 2**31 - 1
MAX_SCALE = 16
MAX_SIDE = 16  # rows and columns of a grid
MAX_PIXELS = 1 << 26  # of a picture; of an animation: of all its frames
MAX_WAITING = 2 * MAX_PIXELS  # of the pictures that are being made or wait for it
TRUNCATION = 0.1, 2.0  # bounds of normal noise
MAX_TOGETHER = 1 << 20  # values that a call of several requests is made of, where they send files
DIRECTION = 10.0  # how far noise goes along a principal direction, in units of its spread


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the command's flags of the same names say."""
    max_batch: int
    max_queue: int
    max_body: int
    max_images: int
    client_timeout: float
    max_pixels: int


class Refusal(Exception):
    """A request that is answered {"error": message} with that status: an HTTP status from 400 to 503."""

    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def shown(value, most=60):
    """A value of a client's as text for a message: not too long."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"
