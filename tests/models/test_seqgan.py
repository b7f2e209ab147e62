import itertools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.advice import alarms
from kgan.config import ConfigError
from kgan.models import seqgan

WORDS = ["", "a", "b", "c"]
TEXTS = kinds.Field("tokens", (4,), more={"words": WORDS, "tokens": "words"})
TINY = dict(units=3, word_dim=2, filters=(2,), widths=(1, 2), rollouts=2, discriminator_steps=1)


def build(words=WORDS, length=4, seed=1, **settings):
    keras.utils.set_random_seed(seed)
    field = kinds.Field("tokens", (length,), more={"words": list(words), "tokens": "words"})
    return models.build("seqgan", (length,), {**TINY, **settings}, seed=3, fields={"tokens": field})


def every(count, length):
    return np.array(list(itertools.product(range(count), repeat=length)), np.int32)


class TestBattery(Battery):
    model, made = "seqgan", TEXTS
    cases = {"play": dict(shape=(4,), imitation=0, examiner=0, **TINY)}

    def test_what_is_given_changes_samples(self, gan):
        noise, given = gan.latents(100), {"temperature": np.full(100, 0.1, "f")}  # two texts are often the same
        assert (np.asarray(gan.make(noise, given)) != np.asarray(gan.make(noise))).any()


# === G ===

@pytest.mark.parametrize("words", [WORDS, WORDS[1:]], ids=["with an end", "without"])
def test_a_text_is_chosen_by_the_inverse_of_the_cumulated_probabilities(words):
    """In the logits of the text as it stands, computed without the loop, each number lies in the part of its word."""
    gan = build(words, length=5)
    gan.writer.head.bias.assign(np.linspace(-1, 0.5, len(words)))
    noise = gan.latents(200, seed=1)
    tokens = gan.make(noise, None, gan.generator)
    assert tokens.dtype == tf.int32 and len(np.unique(tokens)) == len(words)
    summed = np.cumsum(tf.nn.softmax(gan.writer.logits(tokens)), -1)
    summed = np.concatenate([np.zeros_like(summed[..., :1]), summed], -1)
    number, found = (np.asarray(noise) + 1) / 2, np.asarray(tokens)[..., None]
    low, high = (np.take_along_axis(summed, found + i, -1)[..., 0] for i in (0, 1))
    counts = np.asarray(gan.writer.open(tokens))
    assert ((low - 1e-5 <= number) & (number <= high + 1e-5))[counts].all()
    assert (found[..., 0][~counts] == 0).all() and counts.all() == (words != WORDS)


def test_probabilities_of_all_texts_sum_to_one():
    gan = build()
    texts = every(4, 4)
    texts = texts[[not any(text[i] == 0 and text[i + 1:].any() for i in range(4)) for text in texts]]
    total = np.exp(-np.asarray(gan.writer.each(texts)).sum(1))
    np.testing.assert_allclose(total.sum(), 1, atol=1e-5)


def test_what_is_read_at_once_is_what_keras_reads_in_turn():
    writer = build(length=6).writer
    tokens = np.random.default_rng(0).integers(0, 4, (5, 6)).astype(np.int32)
    before = np.concatenate([np.full((5, 1), 4), tokens[:, :-1]], 1)
    np.testing.assert_allclose(writer.logits(tokens), writer.head(writer.lstm(writer.embedding(before))), atol=1e-6)


def test_temperature():
    gan = build(length=6)
    gan.writer.head.bias.assign([-2.0, 2, 0, -1])
    cold, usual, hot = (gan.generate(300, seed=1, network=gan.generator, given={"temperature": np.full(300, value, "f")})
                        for value in (0.1, 1.0, 2.0))
    np.testing.assert_array_equal(usual, gan.generate(300, seed=1, network=gan.generator))
    shares = [(one == 1).mean() for one in (cold, usual, hot)]
    assert shares[0] > 0.95 > shares[1] > shares[2] + 0.05


# === Rewards ===

def test_texts_are_finished_as_g_would_have_gone_on():
    """With the numbers that a text was written by, each of its beginnings is finished to just this text."""
    gan = build(length=5)
    gan.compile()
    gan.writer.head.bias.assign([-1.0, 0, 0, 0])
    noise = gan.latents(50, seed=2)
    tokens = gan.make(noise, None, gan.generator)
    uniform = tf.tile(((noise + 1) / 2)[:, None, None], [1, 4, 3, 1])
    found = gan.writer.finish(tokens, uniform)
    assert found.shape == (50, 4, 3, 5)
    np.testing.assert_array_equal(found, np.broadcast_to(np.asarray(tokens)[:, None, None], found.shape))
    other = np.asarray(gan.writer.finish(tokens, gan.random(50, 4, 0, "x").uniform(4, 3, 5)))
    for k in range(1, 5):
        np.testing.assert_array_equal(other[:, k - 1, :, :k], np.broadcast_to(np.asarray(tokens)[:, None, :k], (50, 3, k)))
    assert (other != np.asarray(found)).any()


def exact(gan, reward, count, length):
    """(all texts, their probabilities, what each word is worth) by enumeration."""
    texts = every(count, length)
    probability = np.exp(-np.asarray(gan.writer.each(texts), np.float64).sum(1))
    worth = np.stack([[(probability * reward)[same].sum() / probability[same].sum() for k in range(1, length + 1)
                       for same in [(texts[:, :k] == text[:k]).all(1)]] for text in texts])
    return texts, probability, worth


def test_what_words_are_worth(monkeypatch):
    gan = build(WORDS[1:], length=3, rollouts=4_000)
    gan.compile()
    reward = np.random.default_rng(0).uniform(size=27).astype(np.float32)
    monkeypatch.setattr(gan, "reward", lambda tokens: tf.gather(reward, tf.linalg.matvec(tokens, [9, 3, 1])))
    texts, _, worth = exact(gan, reward, 3, 3)
    np.testing.assert_allclose(gan.values(tf.constant(texts)), worth, atol=0.03)  # 4,000 texts: standard error .0046


def test_the_policy_gradient_is_that_of_the_expected_reward():
    """Summed over all texts by their probabilities, against finite differences of the expected reward."""
    gan = build(WORDS[1:], length=3)
    reward = np.random.default_rng(0).uniform(size=27)
    texts, probability, worth = exact(gan, reward, 3, 3)

    def expected():
        return float((np.exp(-np.asarray(gan.writer.each(texts), np.float64).sum(1)) * reward).sum())

    variables = gan.generator.trainable_variables
    with tf.GradientTape() as tape:  # policy_loss is a mean: weighted, it is the expectation
        loss = gan.policy_loss(tf.constant(texts), tf.constant(27 * probability[:, None] * worth, tf.float32))
    checked = 0
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
        gradient = np.asarray(tf.convert_to_tensor(gradient))
        for place in [np.unravel_index(np.abs(gradient).argmax(), gradient.shape), (0,) * gradient.ndim]:
            value, ends = variable.numpy(), []
            for way in (1, -1):
                moved = value.copy()
                moved[place] += way * 1e-2
                variable.assign(moved)
                ends.append(expected())
            variable.assign(value)
            np.testing.assert_allclose(-gradient[place], (ends[0] - ends[1]) / 2e-2, atol=1e-4)
            checked += 1
    assert checked == 12


# === Phases ===

def weights(gan):
    return [np.concatenate([weight.ravel() for weight in network.get_weights()]) for network in (gan.generator, gan.discriminator)]


def test_who_moves_when_and_going_on_across_phases():
    data = {"tokens": kinds.get("tokens").examples(TEXTS, 3)}

    def made():
        gan = build(imitation=1, examiner=1, steps=4)
        gan.compile(run_eagerly=True)
        return gan

    one, moved = made(), []
    assert [one.phase_of(step) for step in range(3)] == ["imitation", "examiner", "adversarial"]
    states = []
    for step in range(3):
        states.append([np.asarray(variable).copy() for variable in one.state()])
        before = weights(one)
        one.train_on_batch(data)
        assert one.step == step + 1
        moved.append([bool((new != old).any()) for new, old in zip(weights(one), before)])
    assert moved == [[True, False], [False, True], [True, True]]
    for start in (1, 2):
        other = made()
        for variable, value in zip(other.state(), states[start], strict=True):
            variable.assign(value)
        for _ in range(3 - start):
            other.train_on_batch(data)
        for mine, its in zip(one.state(), other.state(), strict=True):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(its))


def test_imitation_learns():
    gan = build(imitation=100, steps=100, generator_learning_rate=0.05, units=8)
    gan.compile()
    data = tf.data.Dataset.from_tensors({"tokens": np.array([[1, 2, 3, 0], [2, 2, 0, 0]] * 4, np.int32)}).repeat()
    gan.fit(data, steps_per_epoch=100, verbose=0)
    made = {tuple(text) for text in gan.generate(100, seed=1).tolist()}
    # two texts, equally often: one bit in 4 and 3 words
    np.testing.assert_allclose(np.asarray(gan.writer.nll(np.array([[1, 2, 3, 0], [2, 2, 0, 0]]))), [np.log(2) / 4, np.log(2) / 3],
                               atol=0.05)
    assert {(1, 2, 3, 0), (2, 2, 0, 0)} <= made


def test_what_d_tells_of_unseen_texts(monkeypatch):
    gan = build()
    gan.compile()
    monkeypatch.setattr(gan, "reward", lambda tokens: tf.cast(tokens[:, 0], tf.float32))
    unseen, samples = np.array([[1, 0, 0, 0], [3, 0, 0, 0]], np.int32), np.array([[1, 0, 0, 0], [2, 0, 0, 0]], np.int32)
    data = types.SimpleNamespace(name="some", more={"tokens": {"words": WORDS}})
    found, none = (gan.figures(types.SimpleNamespace(train=data, examples=unseen, held_back=held), samples) for held in (True, False))
    assert found["d_auc"] == (0.5 + 0 + 1 + 1) / 4
    assert "d_auc" not in none and none["nll_test"] == found["nll_test"]  # of texts that D was trained on it would tell nothing


@pytest.mark.parametrize("figures, warned", [({}, False), ({"d_auc": 0.51}, True), ({"d_auc": 0.6}, False),
                                             ({"d_auc": 0.51, "d_accuracy": 0.6}, False)])
def test_a_d_that_knows_its_texts_by_heart_is_warned_of(figures, warned):
    gan = build()
    gan.compile()
    alarm = next(alarm for alarm in alarms(gan) if "by heart" in alarm.text)
    assert alarm.goes_off({"step": 500, "d_accuracy": 0.9, **figures}) == warned
    assert not alarm.goes_off({"step": 550, "d_accuracy": 0.9})


# === Settings ===

def test_the_published_networks():
    config = seqgan.Config.of(preset="published")
    words = [str(number) for number in range(5_000)]
    # embedding 32 and the beginning's; LSTM of 32 units; logits
    assert seqgan.generator(20, words, config).count_params() == 5_001 * 32 + 4 * 32 * 65 + 33 * 5_000
    maps = sum(config.filters)
    assert maps == 1_720
    convolutions = sum(width * 64 * filters + filters for width, filters in zip(config.widths, config.filters))
    assert seqgan.discriminator(20, words, config).count_params() == (
        5_000 * 64 + convolutions + 2 * (maps + 1) * maps + maps + 1)


@pytest.mark.parametrize("settings, message", [
    (dict(widths=(0, 2)), "widths"), (dict(filters=(1, 2, 3)), "filters=.*one number for all widths"),
    (dict(penalty="gp"), "words have none"), (dict(widths=(7,)), "texts have 4 words"), (dict(noise="normal"), "noise=normal")])
def test_what_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_numbers_that_are_no_words_are_refused():
    gan = build()
    gan.compile()
    with pytest.raises(ValueError, match="numbers from 0 to 9, and the vocabulary has 4 words"):
        gan.fit({"tokens": np.array([[9, 0, 0, 0]] * 2, np.int32)}, batch_size=2, verbose=0)
