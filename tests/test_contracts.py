"""Own networks: one sentence for each mistake."""
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from kgan import contracts
from kgan.config import Config
from kgan.gan import GAN

SHAPE = 4, 4, 1
REAL = sys.executable  # a process of its own, not a fork: see conftest


def generator(end="tanh", noise=3, shape=SHAPE, name="noise"):
    inputs = keras.Input((noise,), name=name)
    return keras.Model(inputs, layers.Reshape(shape)(layers.Dense(int(np.prod(shape)), activation=end)(inputs)))


def discriminator(end=None, shape=SHAPE, middle=(), units=1):
    inputs = x = keras.Input(shape, name="image")
    for layer in (layers.Flatten(), *middle, layers.Dense(units, activation=end)):
        x = layer(x)
    return keras.Model(inputs, x)


def build(g=None, d=None, **settings):
    return GAN(g or generator(), d or discriminator(), Config(**{"noise_dim": 3, "jit_compile": False, **settings}))


def nested(network):
    inputs = keras.Input(network.input_shape[1:], name=network.inputs[0].name)
    return keras.Model(inputs, network(inputs))


def frozen(network):
    network.trainable = False
    return network


class Own(keras.Model):
    def call(self, inputs):
        return inputs


def shared():
    dense, noise, image = layers.Dense(16), keras.Input((16,), name="noise"), keras.Input((16,), name="sample")
    return GAN(keras.Model(noise, dense(noise)), keras.Model(image, dense(image)), Config(noise_dim=16))


def two_outputs():
    noise = keras.Input((3,), name="noise")
    return keras.Model(noise, [layers.Dense(2)(noise), layers.Dense(2)(noise)])


def strange_inputs():
    image, other = keras.Input(SHAPE, name="image"), keras.Input((2,), name="other")
    return keras.Model([image, other], layers.Dense(1)(layers.Concatenate()([layers.Flatten()(image), other])))


@pytest.mark.parametrize("make, words", [
    (lambda: build(d=discriminator("sigmoid")), "^discriminator: ends in a sigmoid; objectives take logits"),
    (lambda: build(d=nested(nested(discriminator("sigmoid")))), "^discriminator: ends in a sigmoid"),
    (lambda: build(d=keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(1), layers.Activation("sigmoid")])),
     "^discriminator: ends in a sigmoid"),
    (lambda: build(d=nested(discriminator("softmax", units=2))), "^discriminator: ends in a softmax"),
    (lambda: build(noise_dim=100), r"^noise_dim=100: the generator takes noise of shape \(None, 3\); say Config\(noise_dim=3\)"),
    (lambda: build(generator(name="z"), noise_dim=7), "^noise_dim=7: the generator takes noise"),
    (lambda: build(d=discriminator(shape=(8, 8, 1))), r"^discriminator: takes examples of shape \(8, 8, 1\), the generator makes \(4, 4"),
    (lambda: build(packing=2), r"takes examples of shape \(4, 4, 1\), the generator makes \(4, 4, 2\) \(packing=2"),
    (lambda: build(frozen(generator())), "^generator: is frozen"),
    (lambda: build(d=nested(frozen(discriminator()))), "^discriminator: is frozen"),
    (lambda: build(keras.Sequential([layers.Dense(16), layers.Reshape(SHAPE)])), "^generator: is not built"),
    (lambda: build(d=keras.Sequential([layers.Flatten(), layers.Dense(1)])), "^discriminator: is not built"),
    (lambda: build(Own()), "^generator=Own: is a subclass of keras.Model"),
    (lambda: build(two_outputs()), "^generator: has 2 outputs"),
    (lambda: build(d=strange_inputs()), "^discriminator: takes other; of several inputs each is named after a field"),
    (shared, "^generator and discriminator share dense"),
    (lambda: build(layers.Dense(2)), "^generator=Dense: must be a keras.Model"),
    (lambda: build(d="dcgan"), "^discriminator=str: must be a keras.Model"),
])
def test_mistakes(make, words):
    with pytest.raises((ValueError, TypeError), match=words) as error:
        make()
    assert "\n" not in str(error.value)


def frozen_layer():
    network = discriminator(middle=[layers.Dense(4, name="pretrained")])
    network.get_layer("pretrained").trainable = False
    return network


@pytest.mark.parametrize("make, words", [
    (lambda: build(generator("sigmoid")), "^generator: ends in sigmoid, from 0 to 1, and image is from -1 to 1; let it end in tanh"),
    (lambda: build(nested(generator("linear"))), "^generator: ends in linear, without bounds"),
    (lambda: build(generator("relu")), "^generator: ends in relu, without bounds"),
    (lambda: build(d=discriminator(middle=[layers.Lambda(lambda x: 2 * x, name="twice")])), "^discriminator: twice is a Lambda layer"),
    (lambda: build(d=frozen_layer()), "^discriminator: the layers pretrained are frozen"),
    (lambda: build(d=nested(discriminator(middle=[layers.BatchNormalization()])), penalty="r1").compile(), "batch normalisation in the"),
])
def test_what_may_be_meant_is_warned_of(make, words):
    with pytest.warns(UserWarning, match=words):
        make()


def test_what_is_right_says_nothing():
    noise = keras.Input((3,), name="noise")
    own = keras.Model(noise, layers.Activation("linear", dtype="float32")(keras.ops.tanh(layers.Reshape(SHAPE)(layers.Dense(16)(noise)))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for network in (generator(), nested(generator()), own, generator("softsign"), generator(shape=(2,), end="linear")):
            shape = network.output_shape[1:]
            build(network, discriminator(shape=shape)).compile()
        build(d=discriminator(middle=[layers.Dense(4, activation="sigmoid")]))


@pytest.mark.parametrize("name, set_to, back, words", [
    ("image_data_format", "channels_first", "channels_last", "^image_data_format=channels_first: "),
    ("floatx", "float64", "float32", "^floatx=float64: "), ("dtype_policy", "float64", "float32", "^dtype_policy=float64: ")])
def test_an_environment_that_kgan_cannot_train_in(name, set_to, back, words):
    change = getattr(keras.config, f"set_{name}")
    change(set_to)
    try:
        with pytest.raises(contracts.EnvironmentFault, match=words):
            contracts.environment()
    finally:
        change(back)
    contracts.environment()


def test_another_backend(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(contracts.EnvironmentFault, match="^KERAS_BACKEND=jax: kgan trains with TensorFlow"):
        contracts.environment()


# === The processor ===

@pytest.mark.parametrize("flags, variables, warns", [
    ("fpu avx avx2 fma", {}, True), ("fpu avx avx2 avx512_vnni", {}, False), ("fpu avx avx2 avx_vnni", {}, False), ("asimd", {}, False),
    ("fpu avx avx2 fma", {"TF_ENABLE_ONEDNN_OPTS": "0"}, False)])
def test_slow_convolutions_are_told_of(tmp_path, recwarn, flags, variables, warns):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    contracts.convolutions(variables, tmp_path / "cpuinfo")
    contracts.convolutions(variables, tmp_path / "none")
    assert [warning.category for warning in recwarn] == [UserWarning] * warns
    assert all("TF_ENABLE_ONEDNN_OPTS=1" in str(warning.message) for warning in recwarn)


@pytest.mark.parametrize("before, wanted", [(None, "1"), ("0", "0")])
def test_onednn_is_turned_on_unless_somebody_has_said(before, wanted):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if before is None else {"TF_ENABLE_ONEDNN_OPTS": before}
    code = "import os, kgan; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert subprocess.run([REAL, "-c", code], env=environment, capture_output=True, text=True).stdout == f"{wanted}\n"
