"""Bounds on what a client may ask for, and the answer to one who asks for more."""
import dataclasses

MAX_SEED = 2**31 - 1
MAX_SCALE = 16
MAX_SIDE = 16  # rows and columns of a grid
MAX_PIXELS = 1 << 26  # of a picture; of an animation: of all its frames
DIRECTION = 10.0  # how far noise goes along a principal direction, in units of its spread


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the command's flags of the same names say."""
    max_batch: int = 64
    max_queue: int = 512
    max_body: int = 1 << 20
    max_images: int = 64
    body_seconds: float = 10.0


class Refusal(Exception):
    """A request that is answered {"error": message} with that status: an HTTP status from 400 to 503."""

    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def shown(value, most=60):
    """A value of a client's as text for a message: not too long."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"
