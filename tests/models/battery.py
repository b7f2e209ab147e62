"""What every model from noise to samples must do. A model's test file describes cases; this checks each of them.

    class TestBattery(Battery):
        model = "dcgan"
        cases = {"grey": dict(shape=(8, 8, 1), filters=4)}
"""
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import export.contract
import export.saved_model
from kgan import kinds, models


CLASSES = "ant", "bee", "cat"


class Battery:
    """Attributes:
        model: name of a model.
        cases: dict of a case's name to its `shape` and the settings in which it differs from the defaults. A conditional
            model is built for CLASSES.
        fixed: ends of the paths of weights that training leaves alone.
        loose: of those that it changes or not, as rounding will have it.
        alone: whether it is a Config alone: another model's networks and steps, which that one's tests trace.
    """

    model = None
    cases = {}
    fixed, loose = (), ()
    alone = False

    def pytest_generate_tests(self, metafunc):
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", list(self.cases), scope="class")

    @pytest.fixture(scope="class")
    @classmethod
    def shape(cls, case):
        return cls.cases[case]["shape"]

    @pytest.fixture(scope="class")
    @classmethod
    def gan(cls, case, shape):
        """The model as built and compiled, untrained."""
        settings = {name: value for name, value in cls.cases[case].items() if name != "shape"}
        keras.utils.set_random_seed(1)
        gan = models.build(cls.model, shape, {"jit_compile": False, **settings}, seed=3, classes=CLASSES)
        gan.compile()
        return gan

    def batch(self, shape, count):
        """Examples such as the model is trained with, and labels, which some of them want."""
        kind = self.kind(shape)
        return {kind.FIELD: np.random.default_rng(0).uniform(*kind.RANGE or (-1, 1), (count, *shape)).astype(np.float32),
                "label": np.arange(count) % len(CLASSES)}

    @staticmethod
    def kind(shape):
        """The file of the kind that is made."""
        return kinds.get(kinds.guess(shape))

    # === Networks ===

    def test_samples(self, gan, shape):
        samples = gan.generate(5, seed=1, batch_size=2)
        assert samples.shape == (5, *shape) and samples.dtype == np.float32
        assert np.isfinite(samples).all() and samples.std(0).max() > 0

    def test_range(self, gan, shape):
        loud = 1e3 * np.ones((2, gan.config.noise_dim), np.float32)
        made = np.asarray(gan.make(loud))
        assert np.isfinite(made).all()
        if self.kind(shape).RANGE:
            low, high = self.kind(shape).RANGE
            assert low <= made.min() and made.max() <= high

    def test_logits(self, gan, shape):
        batch = self.batch(shape, 3)
        judged = gan.judge(gan.real(batch), gan.label(batch), training=False)
        assert all(values.dtype == tf.float32 for values in judged.values())
        assert tuple(judged["logits"].shape) == (3, 1)
        # no sigmoid: the layer that gives them is linear
        last = gan.discriminator.get_layer("logits")
        assert getattr(last, "activation", keras.activations.linear) is keras.activations.linear

    def test_names(self, gan, shape):
        assert gan.key == self.kind(shape).FIELD
        shapes = {x.name: tuple(x.shape) for x in gan.generator.inputs}
        assert shapes == {"noise": (None, gan.config.noise_dim), **({"label": (None,)} if gan.classes else {})}
        assert gan.generator.layers[-1].name == self.kind(shape).OUTPUT
        assert [x.name for x in gan.discriminator.inputs] in ([gan.key], [gan.key, "label"] if gan.classes else [])

    def test_the_average_starts_at_the_generator(self, gan):
        for average, weight in zip(gan.ema_generator.get_weights(), gan.generator.get_weights(), strict=True):
            np.testing.assert_array_equal(average, weight)
        assert gan.ema_generator.trainable_variables == []

    # === Settings ===

    def test_settings_survive_json(self, gan):
        values = json.loads(json.dumps(dataclasses.asdict(gan.config)))
        assert type(gan.config).of(**values) == gan.config

    # === Out of the house ===

    def test_saved_model_equals_keras(self, gan, shape, tmp_path):
        export.saved_model.write(gan.ema_generator, export.contract.interface(gan), tmp_path / "out")
        serve = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
        for count in (1, 5):
            noise = gan.latents(count, seed=9)
            output = serve(noise=noise, **({"label": gan.labels(count)} if gan.classes else {}))
            assert list(output) == [self.kind(shape).OUTPUT]
            np.testing.assert_allclose(output[self.kind(shape).OUTPUT], gan.make(noise), atol=1e-5)

    # === Training: last, for it changes the model that the others look at; but what labels do may have to be learned ===

    def test_training_changes_both_networks(self, gan, shape, case):
        """As a graph the first case and those with XLA, eagerly the others."""
        first = case == next(iter(self.cases)) and not self.alone
        gan.compile(run_eagerly=not first and not self.cases[case].get("jit_compile"))
        self.train(gan, shape)

    @pytest.mark.slow
    def test_training_as_a_graph(self, gan, shape):
        gan.compile()
        self.train(gan, shape)

    def train(self, gan, shape):
        before = [[weight.copy() for weight in network.get_weights()] for network in (gan.generator, gan.discriminator)]
        size, start = 4 * gan.config.discriminator_steps, gan.step
        data = tf.data.Dataset.from_tensor_slices(self.batch(shape, 2 * size)).batch(size, drop_remainder=True)
        history = gan.fit(data, verbose=0).history
        assert gan.step - start == 2
        assert list(history) and all(np.isfinite(values).all() for values in history.values())
        # an objective without targets looks at differences of logits (hinge: while they are small): their bias has no
        # part in it
        fixed = (*self.fixed, *["logits/bias"] * (not gan.objective.smoothable))
        for network, weights in zip((gan.generator, gan.discriminator), before):
            for variable, old in zip(network.weights, weights, strict=True):
                assert np.isfinite(variable).all(), variable.path
                # the singular vector of a layer with one output: 1, but for rounding
                if variable.path.endswith(("logits/u", *self.loose)):
                    continue
                assert np.array_equal(variable, old) == variable.path.endswith(fixed), variable.path

    def test_labels_change_samples(self, gan):
        if not gan.classes:
            with pytest.raises(ValueError, match="label=0: this GAN is not conditional"):
                gan.generate(2, label=0)
            return
        one, other, both = (gan.generate(2, seed=1, label=label) for label in (gan.classes[0], 1, [0, 1]))
        assert np.abs(one - other).max() > 1e-6
        np.testing.assert_allclose(both, [one[0], other[1]], atol=1e-6)
