"""What own networks must be so that a GAN can train them: looked at once, one sentence for each mistake.

What cannot be right is an error. What may be meant, such as a generator that leaves the range of images, is a warning.
"""
import os
import re
import warnings
from pathlib import Path

import keras
import numpy as np

from kgan import kinds
from kgan.command import UserError
from kgan.config import ConfigError

# what activations give: of these it is known where they end
RANGES = {"tanh": (-1.0, 1.0), "hard_tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0), "sigmoid": (0.0, 1.0),
          "hard_sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0)}
_BOUNDED = "relu", "relu6", "elu", "softplus"  # on one side
_SAME = ("Reshape", "Flatten", "Identity", "Dropout", "Permute", "Cropping2D", "Cast")  # layers that leave a range as it is


class EnvironmentFault(UserError, RuntimeError):
    """Keras is set up in a way that kgan cannot train in: the message names the setting."""


def convolutions(variables=os.environ, processor=Path("/proc/cpuinfo")):
    """Warns where TensorFlow was imported before kgan on a processor on which it leaves oneDNN off unless told otherwise.

    Args:
        variables: of the environment. kgan sets TF_ENABLE_ONEDNN_OPTS to 1 where it comes first and nobody else has set it.
        processor: the file in which Linux describes it; elsewhere nothing is said.
    """
    if "TF_ENABLE_ONEDNN_OPTS" in variables or not processor.exists():
        return
    found = set(re.findall(r"^flags\s*:(.*)$", processor.read_text(errors="replace"), re.M)[:1] or [""])
    flags = set(found.pop().split())
    if "avx" in flags and not flags & {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}:
        warnings.warn("TensorFlow was imported before kgan, and leaves oneDNN off on this processor: convolutions take two to three "
                      "times as long, and r3gan cannot train; import kgan first, or set TF_ENABLE_ONEDNN_OPTS=1", stacklevel=3)


def environment():
    """Raises EnvironmentFault unless Keras runs on TensorFlow, with channels last, in float32."""
    if keras.config.backend() != "tensorflow":
        raise EnvironmentFault(f"KERAS_BACKEND={keras.config.backend()}: kgan trains with TensorFlow; set "
                               "KERAS_BACKEND=tensorflow before keras is imported")
    if keras.config.image_data_format() != "channels_last":
        raise EnvironmentFault("image_data_format=channels_first: kgan's images are [n, height, width, channels]; set "
                               "channels_last in ~/.keras/keras.json or by keras.config.set_image_data_format")
    for name, value in {"floatx": keras.config.floatx(), "dtype_policy": keras.config.dtype_policy().name}.items():
        if value in ("float64", "float16", "bfloat16"):
            raise EnvironmentFault(f"{name}={value}: kgan's weights are float32; set float32 by keras.config.set_{name}, and "
                                   "half precision by the policy mixed_bfloat16 or mixed_float16")
    convolutions()


def network(name, model):
    """Raises TypeError or ValueError unless `model` is a built functional or sequential model with something to train."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"{name}={type(model).__name__}: must be a keras.Model, as keras.Model(inputs, outputs) makes it")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(f"{name}: is not built, so nobody knows what it takes; let its first layer be keras.Input(shape)")
    if not hasattr(model, "inputs") or not getattr(model, "outputs", None):
        raise ValueError(f"{name}={type(model).__name__}: is a subclass of keras.Model, of which Keras can make no copy for the "
                         "average; write it as a functional model, keras.Model(inputs, outputs)")
    if name == "generator" and len(model.outputs) != 1:
        raise ValueError(f"generator: has {len(model.outputs)} outputs; it must have one, what it makes")
    if model.weights and not model.trainable_variables:
        raise ValueError(f"{name}: is frozen, none of its weights would be trained; set {name}.trainable = True (GAN moves "
                         "each network in its own update)")
    frozen = [layer.name for layer in model._flatten_layers(include_self=False) if layer.weights and not layer.trainable]
    if frozen:
        warnings.warn(f"{name}: the layers {', '.join(frozen[:5])} are frozen and stay as they are", stacklevel=4)
    if strange := [layer.name for layer in model._flatten_layers() if isinstance(layer, keras.layers.Lambda)]:
        warnings.warn(f"{name}: {strange[0]} is a Lambda layer, whose code no file holds; write a layer of its own, or this GAN "
                      "is loaded only with safe_mode=False", stacklevel=4)


def together(gan):
    """Raises ValueError unless a GAN's two networks, its config and its kind of data fit together."""
    generator, discriminator, config = gan.generator, gan.discriminator, gan.config
    shared = {id(one) for one in generator.weights} & {id(one) for one in discriminator.weights}
    if shared:
        both = next(one.path for one in generator.weights if id(one) in shared)
        raise ValueError(f"generator and discriminator share {both}: each needs weights of its own")
    _noise(generator, config)
    _judged(gan)
    logits = discriminator.outputs[0] if isinstance(discriminator, keras.Sequential) else discriminator.output
    if isinstance(logits, dict) and "logits" not in logits:
        raise ValueError(f"discriminator: gives {', '.join(sorted(logits))}; the dict must have `logits`")
    logits = logits["logits"] if isinstance(logits, dict) else discriminator.outputs[0]
    if (end := _ending(logits)) in RANGES and end not in ("tanh", "softsign", "hard_tanh"):
        raise ValueError(f"discriminator: ends in a {end}; objectives take logits, so leave it out (its last layer is linear)")
    if end in (*RANGES, *_BOUNDED):
        warnings.warn(f"discriminator: ends in {end}, which bounds its logits; let its last layer be linear", stacklevel=3)
    if len(logits.shape) == 2 and logits.shape[1] == 2 != config.discriminator_outputs and type(gan).__module__ == "kgan.gan":
        warnings.warn("discriminator: gives 2 logits, as if real and fake were classes, and each is judged as a logit of its own; let its "
                      "last layer be Dense(1)", stacklevel=3)
    field = gan.fields[gan.key]
    bounds = kinds.get(field.kind).RANGE
    end = _ending(generator.outputs[0])
    if bounds and end is not None and RANGES.get(end) != tuple(bounds):
        makes = "from {:g} to {:g}".format(*RANGES[end]) if end in RANGES else "without bounds"
        fit = next((name for name, range_ in RANGES.items() if range_ == tuple(bounds)), "these bounds")
        warnings.warn(f"generator: ends in {end}, {makes}, and {field.kind} is from {bounds[0]:g} to {bounds[1]:g}; let it end in "
                      f"{fit}", stacklevel=3)


def makes(gan):
    """Warns where what an untrained generator makes is out of the range of its kind, and its layers do not tell: a Rescaling, say."""
    field = gan.fields[gan.key]
    bounds = kinds.get(field.kind).RANGE
    own = type(gan).__module__ == "kgan.gan" and set(gan.fields) == {gan.key}  # of noise alone
    if not own or gan.step or not bounds or _ending(gan.generator.outputs[0]) is not None:
        return
    found = np.asarray(gan.make(gan.latents(4)))
    span = bounds[1] - bounds[0]
    if found.min() < bounds[0] - 0.5 * span or found.max() > bounds[1] + 0.5 * span:
        warnings.warn(f"generator: makes {field.kind} from {found.min():.4g} to {found.max():.4g}, and {field.kind} is from {bounds[0]:g} to "
                      f"{bounds[1]:g}; let it end in tanh", stacklevel=4)


def _noise(generator, config):
    inputs = {tensor.name: tensor for tensor in generator.inputs}
    noise = inputs.get("noise", generator.inputs[0] if len(inputs) == 1 else None)
    known = noise is not None and (noise.name == "noise" or config.noise_dim and len(noise.shape) == 2)
    if known and tuple(noise.shape[1:]) != (config.noise_dim,):
        size = noise.shape[-1] if len(noise.shape) == 2 else None
        raise ConfigError(f"noise_dim={config.noise_dim}: the generator takes noise of shape {tuple(noise.shape)}; " + (
            f"say Config(noise_dim={size}), or give the generator keras.Input(({config.noise_dim},))" if size else
            f"let it be [n, noise_dim], keras.Input(({config.noise_dim},))"))


def _judged(gan):
    inputs = {tensor.name: tensor for tensor in gan.discriminator.inputs}
    known = {gan.key, *gan.fields}
    if len(inputs) > 1 and (strange := set(inputs) - known):
        raise ValueError(f"discriminator: takes {', '.join(sorted(strange))}; of several inputs each is named after a field, one "
                         f"of {', '.join(sorted(known))}, as in keras.Input(shape, name=\"{gan.key}\")")
    judged = inputs.get(gan.key, gan.discriminator.inputs[0] if len(inputs) == 1 else None)
    if judged is None:
        raise ValueError(f"discriminator: takes {', '.join(inputs)}, and not {gan.key!r}, which the generator makes")
    made, sees = gan.config.packed(tuple(gan.generator.outputs[0].shape[1:])), tuple(judged.shape[1:])
    if len(made) != len(sees) or any(one != other for one, other in zip(made, sees) if None not in (one, other)):
        packed = f" (packing={gan.config.packing} of them joined)" if gan.config.packing > 1 else ""
        raise ValueError(f"discriminator: takes examples of shape {sees}, the generator makes {made}{packed}; let them be the same")


def _ending(tensor):
    """The name of the activation in which a network's output ends; "linear", too; None: it cannot be told."""
    while hasattr(tensor, "_keras_history"):
        layer, node, index = tensor._keras_history
        if isinstance(layer, keras.Model):
            tensor = layer.outputs[index]
            continue
        name, activation = type(layer).__name__, getattr(layer, "activation", None)
        plain = name == "Activation" and activation is keras.activations.linear
        if (name in _SAME or plain) and layer._inbound_nodes[node].input_tensors:
            tensor = layer._inbound_nodes[node].input_tensors[0]
            continue
        layer = layer.layer if isinstance(layer, keras.layers.Wrapper) else layer
        activation = getattr(layer, "activation", None)
        if activation is not None:
            return getattr(activation, "__name__", None)
        name = type(layer).__name__.lower()
        return name if name in (*RANGES, "relu", "leakyrelu") else None
    return None


def mixes(network, *words):
    """Names of a network's layers, nested ones too, whose class has one of the `words` in its name: "BatchNormalization" …"""
    return [layer.name for layer in network._flatten_layers() if any(word in type(layer).__name__ for word in words)]


def freeze(network, count):
    """Leaves the first `count` layers of a network that have kernels as they are in training; returns their names.

    Mo et al. 2020, "Freeze the Discriminator", do so with D in fine-tuning on few images. Normalisation goes on.

    Raises:
        ConfigError: it has no more layers than that.
    """
    layers = [layer for layer in network._flatten_layers(include_self=False) if hasattr(layer, "kernel")]
    if count >= len(layers):
        raise ConfigError(f"freeze_discriminator={count}: this discriminator has {len(layers)} layers with kernels; leave at least "
                         "one to be trained")
    for layer in layers[:count]:
        layer.trainable = False
    return [layer.name for layer in layers[:count]]
