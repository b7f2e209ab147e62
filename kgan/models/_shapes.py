"""The sizes of pictures that networks of halvings and doublings can be built for."""
from kgan.config import ConfigError


def doublings(size, starts=((4,), (7,))):
    """The sides of the maps up to `size`: the first of `starts` that, its last side doubled, gets there; [] if none does."""
    for start in starts:
        sizes = [*start]
        while sizes[-1] < size:
            sizes.append(2 * sizes[-1])
        if sizes[-1] == size:
            return sizes
    return []


def check_shape(shape, model):
    """Raises ConfigError unless `shape` is (H, W, C), H = W = 7·2^k or 4·2^k with k ≥ 1. `model`: its name, to be told."""
    height, width, _ = shape if len(shape) == 3 else (0, 0, 0)
    if not height:
        raise ConfigError(f"{model} makes images; for points and signals use --model=mlp or --model=sine")
    if height != width or len(doublings(height)) < 2:
        raise ConfigError(f"image_size={height}: {model} needs 7·2^k or 4·2^k: 8, 14, 16, 28, 32, 56, 64, 112, 128, 224, "
                          "256…")
