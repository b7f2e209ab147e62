"""What every model must do. A model's test file describes cases; this checks each of them.

    class TestBattery(Battery):
        model = "dcgan"
        cases = {"grey": dict(shape=(8, 8, 1), filters=4)}
"""
import contextlib
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

import export.contract
import export.saved_model
from kgan import kinds, models
from kgan.sampling import inputs_of


CLASSES = "ant", "bee", "cat"


@contextlib.contextmanager
def shapes_alone():
    """Networks that are built within have shapes and no numbers: for those too large to be drawn in a test."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    global_state.set_global_attribute("uninitialized_variables", [])  # else the next model that is built draws these numbers, too


class Battery:
    """Attributes:
        model: name of a model.
        cases: dict of a case's name to its `shape`, the settings in which it differs from the defaults and, of a model that is
            given more than noise and a label, `given`: dict of name -> kgan.kinds.Field. A conditional model is built for CLASSES.
        learned: whether what labels do has to be learned first, so that each case is trained among the fast tests, too.
        alone: whether the model is a Config alone: its state is another model's, and a slow test looks at it again.
        fixed: ends of the paths of weights that training leaves alone.
        loose: of those that it changes or not, as rounding will have it.
        made: kgan.kinds.Field of what is made, where its shape does not say of which kind that is.
    """

    model = None
    cases = {}
    learned = alone = False
    fixed, loose = (), ()
    made = None

    def pytest_generate_tests(self, metafunc):
        if "case" in metafunc.fixturenames:
            first, *others = self.cases
            name = metafunc.function.__name__
            if name == "test_the_state_is_everything":
                first, others = pytest.param(first, marks=[pytest.mark.slow] * self.alone), []
            elif name == "test_training_as_a_graph":
                others = [other for other in others if self.cases[other].get("jit_compile")]
            elif name == "test_saved_model_equals_keras" or name == "test_training_changes_both_networks" and not self.learned:
                others = [pytest.param(other, marks=pytest.mark.slow) for other in others]
            metafunc.parametrize("case", [first, *others], scope="class")

    @pytest.fixture(scope="class")
    @classmethod
    def shape(cls, case):
        return cls.cases[case]["shape"]

    @pytest.fixture(scope="class")
    @classmethod
    def gan(cls, case, shape):
        return cls.build(case)

    @classmethod
    def build(cls, case):
        """The model as built and compiled, untrained."""
        settings = {name: value for name, value in cls.cases[case].items() if name not in ("shape", "given")}
        shape, given = cls.cases[case]["shape"], cls.cases[case].get("given")
        made = cls.made or kinds.Field(kinds.guess(shape), shape)
        fields = {kinds.get(made.kind).FIELD: made, **(given or {})} if given or cls.made else None
        keras.utils.set_random_seed(1)
        gan = models.build(cls.model, shape, {"jit_compile": False, **settings}, seed=3, classes=CLASSES, fields=fields)
        gan.compile()
        return gan

    def batch(self, shape, count, gan=None):
        """Examples such as the model is trained with, labels, which some of them want, and what `gan` is given beside."""
        kind = self.kind(shape)
        examples = kind.examples(self.made, count) if self.made else \
            np.random.default_rng(0).uniform(*kind.RANGE or (-1, 1), (count, *shape)).astype(np.float32)
        return {kind.FIELD: examples,
                "label": np.arange(count) % len(CLASSES), **(self.given(gan, count) if gan else {})}

    @staticmethod
    def given(gan, count, seed=0):
        """What the generator is given beside noise and label."""
        return {name: kinds.get(field.kind).examples(field, count, seed) for name, field in gan.fields.items()
                if name not in (gan.key, "label")}

    @classmethod
    def kind(cls, shape):
        """The file of the kind that is made."""
        return kinds.get(cls.made.kind if cls.made else kinds.guess(shape))

    # === Networks ===

    def test_samples(self, gan, shape):
        samples = gan.generate(5, seed=1, batch_size=2, given=self.given(gan, 5))
        assert samples.shape == (5, *shape) and samples.dtype == getattr(self.kind(shape), "DTYPE", "float32")
        assert np.isfinite(samples).all() and samples.std(0).max() > 0

    def test_range(self, gan, shape):
        loud = 1e3 * np.ones((2, gan.config.noise_dim), np.float32)
        made = np.asarray(gan.make(loud, self.given(gan, 2)))
        assert np.isfinite(made).all()
        if self.kind(shape).RANGE:
            low, high = self.kind(shape).RANGE
            assert low <= made.min() and made.max() <= high

    def test_logits(self, gan, shape):
        batch = self.batch(shape, 3, gan)
        judged = gan.judge(gan.real(batch), gan.given(batch), training=False)
        assert all(values.dtype == tf.float32 for values in judged.values())
        assert tuple(judged["logits"].shape) == (3, gan.discriminator.layers[-1].output.shape[-1])
        # no sigmoid: the layer that gives them is linear
        last = gan.discriminator.get_layer("logits")
        assert getattr(last, "activation", keras.activations.linear) is keras.activations.linear

    def test_names(self, gan, shape):
        assert gan.key == self.kind(shape).FIELD
        shapes = {x.name: tuple(x.shape) for x in gan.generator.inputs}
        given = self.given(gan, 1)
        assert {name: size for name, size in shapes.items() if name not in given} == {
            **({"noise": (None, gan.config.noise_dim)} if gan.config.noise_dim else {}),
            **({"label": (None,)} if gan.classes else {})}
        assert set(given) <= set(shapes)
        assert gan.generator.layers[-1].name == self.kind(shape).OUTPUT
        judged = [x.name for x in gan.discriminator.inputs]
        assert gan.key in judged and set(judged) <= {gan.key, *gan.fields}

    def test_averages_start_at_their_networks(self, gan, case):
        gan = self.build(case) if gan.step else gan
        for name in gan.averaged:
            average = getattr(gan, f"ema_{name}")
            for one, other in zip(average.get_weights(), getattr(gan, name).get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)
            assert average.trainable_variables == []

    # === Settings ===

    def test_settings_survive_json(self, gan):
        values = json.loads(json.dumps(dataclasses.asdict(gan.config)))
        assert type(gan.config).of(**values) == gan.config

    # === Out of the house ===

    def test_saved_model_equals_keras(self, gan, shape, tmp_path):
        export.saved_model.write(gan.exported("generator"), export.contract.interface(gan), tmp_path / "out")
        serve = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
        for count in (1, 5):
            noise, given = gan.latents(count, seed=9), self.given(gan, count)
            inputs = {"noise": noise, "label": gan.labels(count), **given}
            output = serve(**{name: tf.constant(inputs[name]) for name in inputs_of(gan.ema_generator)})
            assert set(output) == set(gan.described("generator")[1])
            np.testing.assert_allclose(output[self.kind(shape).OUTPUT], gan.make(noise, given), atol=1e-5)

    # === Training: the model is then as it was, for others look at it; but where what labels do has to be learned it stays trained ===

    def test_training_changes_both_networks(self, gan, shape):
        gan.compile(run_eagerly=True)
        self.train(gan, shape)

    @pytest.mark.slow
    def test_training_as_a_graph(self, gan, shape):
        """Of the first case, and with XLA of those that have it."""
        gan.compile()
        self.train(gan, shape)

    def test_the_state_is_everything(self, gan, shape, case):
        """What is restored takes the next step as what has been trained and goes on, bit for bit: of the first case."""
        other = self.build(case)
        for each in (gan, other):
            each.compile(run_eagerly=True)
        data = self.batch(shape, 2 * gan.config.discriminator_steps * gan.config.accumulation * gan.config.packing, gan)
        start = [np.asarray(variable) for variable in gan.state()]
        gan.train_on_batch(data)
        for mine, its in zip(gan.state(), other.state(), strict=True):
            its.assign(mine)
        for each in (gan, other):
            each.train_on_batch(data)
        for mine, its in zip(gan.state(), other.state(), strict=True):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(its))
        self.restore(gan, start)

    def restore(self, gan, state):
        for variable, value in zip(gan.state(), state, strict=True):
            variable.assign(value)

    def train(self, gan, shape):
        state = [np.asarray(variable) for variable in gan.state()]
        networks = [getattr(gan, name) for name in gan.networks()]
        before = [[weight.copy() for weight in network.get_weights()] for network in networks]
        size, start = 4 * gan.config.discriminator_steps, gan.step
        data = tf.data.Dataset.from_tensor_slices(self.batch(shape, 2 * size, gan)).batch(size, drop_remainder=True)
        history = gan.fit(data, verbose=0).history
        assert gan.step - start == 2
        assert list(history) and all(np.isfinite(values).all() for values in history.values())
        # an objective without targets looks at differences of logits (hinge: while they are small): their bias has no
        # part in it
        fixed = (*self.fixed, *["logits/bias"] * (not gan.objective.smoothable))
        for network, weights in zip(networks, before):
            for variable, old in zip(network.weights, weights, strict=True):
                assert np.isfinite(variable).all(), variable.path
                # the singular vector of a layer with one output: 1, but for rounding
                if variable.path.endswith(("logits/u", *self.loose)):
                    continue
                assert np.array_equal(variable, old) == variable.path.endswith(fixed), variable.path
        if not self.learned:
            self.restore(gan, state)

    def test_what_is_given_changes_samples(self, gan):
        for name, values in self.given(gan, 2).items():
            noise, given = gan.latents(2), self.given(gan, 2)
            other = {**given, name: values[::-1]}
            assert np.abs(np.asarray(gan.make(noise, given)) - np.asarray(gan.make(noise, other))).max() > 1e-6, name

    def test_labels_change_samples(self, gan, shape):
        if not gan.classes:
            with pytest.raises(ValueError, match="label=0: this GAN is not conditional"):
                gan.generate(2, label=0, given=self.given(gan, 2))
            return
        if self.learned and not gan.step:
            gan.compile(run_eagerly=True)
            self.train(gan, shape)
        one, other, both = (gan.generate(2, seed=1, label=label) for label in (gan.classes[0], 1, [0, 1]))
        assert np.abs(one - other).max() > 1e-6
        np.testing.assert_allclose(both, [one[0], other[1]], atol=1e-6)
