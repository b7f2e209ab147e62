"""Trained GANs from files, and new ones that start from them."""
import re
from collections import Counter
from pathlib import Path

import numpy as np

from kgan.command import UserError
from kgan.run import RunError
from kgan.run import load as load_run


def load(path, checkpoint="newest"):
    """Loads a trained GAN from a run's directory, or from a file that `GAN.save` wrote.

        gan = kgan.load("runs/dcgan-glyphs")
        images = gan.generate(16, seed=0)
        gan.fit(kgan.data.load("folder:photos", image_size=28, channels=1))     # trains it further

    Args:
        path: a run's directory, or a .keras file.
        checkpoint: of a run: "newest", or "best", the one with the best measurement during training.

    Returns:
        kgan.GAN, or the subclass of its model; compiled, unless it comes from a file without optimizers.

    Raises:
        kgan.run.RunError: there is no such run, or nothing has been saved in it yet.
        ValueError: the file does not hold a GAN.
    """
    if Path(path).is_file():
        import keras

        from kgan.game import Game
        if str(path).endswith(".weights.h5"):
            raise ValueError(f"{path}: holds weights alone; build the GAN that they are of, and gan.load_weights({str(path)!r})")
        found = keras.saving.load_model(path)
        if not isinstance(found, Game):
            raise ValueError(f"{path}: holds {type(found).__name__}, a Keras model that is no GAN of kgan; keras.saving.load_model "
                             "reads it")
        return found
    if not Path(path).exists():
        raise RunError(f"{path}: there is no such run or file")
    return load_run(path, checkpoint)[0]


def start_from(gan, path, checkpoint="newest"):
    """Copies into `gan` those weights of a run that fit by name and shape, network by network; averages start from their networks.

    A weight is named after its layer's class and its place among the layers of that class, counted from the input. So in a network
    for larger images the first layers fit, and its additional layers start from scratch.

    Args:
        gan: GAN, built.
        path: a run's directory.

    Returns:
        list of sentences, one for each network: how many weights were taken, which were not, and why.

    Raises:
        RunError: as for `load`.
        UserError: next to nothing fits, so it is probably another model.
    """
    other, _ = load_run(path, checkpoint)
    if other.kind != gan.kind:
        raise UserError(f"--init_from={path}: makes {other.kind}, and this model {gan.kind}: what it has learned is of no use here")
    told, fitting, whole = [], 0, 0
    for name in gan.networks():
        averaged = name in gan.averaged and name in other.averaged
        source = getattr(other, f"ema_{name}" if averaged else name, None)
        if source is None:
            told.append(f"{name}: {path} has no such network")
            continue
        found, missing = _named(source), []
        network = getattr(gan, name)
        for key, weight in _named(network).items():
            if key not in found:
                missing.append(f"{key} (not there)")
            elif found[key].shape != weight.shape:
                missing.append(f"{key} ({_size(found[key])} there, {_size(weight)} here)")
            else:
                weight.assign(found[key])
                fitting += np.size(weight)
            whole += np.size(weight)
        count = len(network.weights)
        rest = f"; anew: {', '.join(missing[:6])}{f' and {len(missing) - 6} more' if len(missing) > 6 else ''}" if missing else ""
        told.append(f"{name}: {count - len(missing)} of {count} weights{rest}")
        if name in gan.averaged:
            getattr(gan, f"ema_{name}").set_weights(network.get_weights())
    if fitting < 0.01 * whole:
        raise UserError(f"--init_from={path}: {fitting:,} of this model's {whole:,} parameters are there; is it a run of the same "
                        "model?")
    return told


def _named(network):
    """Weights by names that do not depend on what was built before: conv2d_3/kernel of the second such layer is conv2d:1/kernel."""
    found, order, seen = {}, {}, Counter()
    for weight in network.weights:
        layer, _, rest = weight.path.partition("/")
        if layer not in order:
            base = re.sub(r"_\d+$", "", layer)
            order[layer] = f"{base}:{seen[base]}"
            seen[base] += 1
        found[f"{order[layer]}/{re.sub(r'_[0-9]+(?=/|$)', '', rest)}" if rest else order[layer]] = weight
    if len(found) < len(network.weights):  # two of a layer's inner weights differ by a number alone
        return {str(i): weight for i, weight in enumerate(network.weights)}
    return found


def _size(weight):
    return "×".join(map(str, np.shape(weight))) or "a number"
