"""SeqGAN: texts word by word; G learns by imitation, then with D's judgement of whole texts as a reward (Yu et al. 2016).

Yu, Zhang, Wang, Yu 2016, "SeqGAN: Sequence Generative Adversarial Nets with Policy Gradient", arXiv:1609.05473.

    python train.py --model=seqgan                                   sentences of a small grammar
    python train.py --model=seqgan --dataset=oracle                  sequences of a known LSTM, which judges what is made
    python train.py --model=seqgan --dataset=folder:PATH             the lines of your text files; --set tokens=characters
    python train.py --model=seqgan --set imitation=5000 --set examiner=0 --steps=5000     imitation alone, to compare with

Three phases: imitation (maximum likelihood), the examiner (D learns to tell what G writes), policy gradient: each word is
rewarded by what D says of texts that begin so, finished by G itself several times over. Temperature below 1 makes G keep to
what is likely. Imitation alone with a tuned temperature is hard to beat (Caccia et al. 2018): docs/results.md has both side
by side.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from kgan.advice import Alarm
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, Scheduled
from kgan.draws import GENERATOR, VALIDATION
from kgan.gan import GAN, deal
from kgan.kinds import Field
from kgan.replicas import joined, len_of


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; `published` has the numbers of the paper's code for the oracle."""

    needs: ClassVar[dict] = {"tokens": "tokens"}

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "grammar"
    tokens: Literal["words", "characters"] = "words"  # of files: what a text is cut into
    vocabulary: int = 5_000  # of these at most so many different ones, the end and what stands for all others among them
    length: int = 0  # tokens of a text at most; 0: as long as 99 % of the lines
    features: str = "none"
    evaluate_by: Literal["nll_test", "nll_oracle", "bleu_2", "bleu_3"] = "nll_test"
    evaluate_count: int = 1_000
    batch_size: int = 64
    steps: int = 3_200
    steps_per_execution: int = 10  # on a CPU, too: a step of imitation is many small operations, and a call of ten saves a tenth
    imitation: int = 2_000  # steps of maximum likelihood
    examiner: int = 200  # steps in which D alone learns; the rest is policy gradient
    rollouts: int = 4  # ways in which G finishes a text to see what a word is worth; published: 16
    baseline: Literal["mean", "none"] = "mean"  # what is taken off the reward: that of the batch's other texts at the same place
    discriminator_steps: int = 2  # published: about 2,300 batches of D to one step of G
    noise: Literal["uniform"] = "uniform"  # a number for each word: which one it is of those that may follow
    noise_dim: int = 20  # as many as a text has words: the data decide
    ema_decay: Scheduled = 0.0
    beta_1: float = 0.9
    global_clipnorm: float = 5.0
    # the second from the examiner on; published: 1e-2 all along. At 1e-3, NLL_oracle rose from 6.01 to 6.56 in 100 steps of policy gradient
    generator_learning_rate: Scheduled = "step:5e-3:2e-4:0.65"
    discriminator_learning_rate: Scheduled = 1e-3
    units: int = 64  # of G's LSTM
    word_dim: int = 32  # numbers of a word
    widths: tuple[int, ...] = (1, 2, 3, 4, 5)  # of D's convolutions, in words
    filters: tuple[int, ...] = (32,)  # of each of them, or one number for all
    weight_decay: float = 0.0  # of D's last layer: this times the sum of its squares

    presets: ClassVar[dict] = {
        "laptop": {},
        # 10,000 sequences: 120 epochs of imitation; D 50 times 3 epochs of 10,000 more; 200 steps of G. It makes 15 epochs of D
        # between two steps of G, here a batch's share
        "published": dict(units=32, rollouts=16, baseline="none", imitation=18_840, examiner=23_550, steps=42_590, weight_decay=0.2,
                          generator_learning_rate=1e-2, discriminator_learning_rate=1e-4, discriminator_steps=15,
                          widths=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20),
                          filters=(100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("rollouts", "units", "word_dim"):
            self._check(name, 1)
        self._check("vocabulary", 4)
        if not self.widths or min(self.widths) < 1:
            raise ConfigError(f"widths={self.widths}: D's convolutions are 1 word wide or more, as in 1,2,3")
        if len(self.filters) not in (1, len(self.widths)) or min(self.filters) < 1:
            raise ConfigError(f"filters={self.filters}: one number for all widths, or one for each of {self.widths}")
        refused = dict(packing=1, accumulation=1, penalty="none", augment="", instance_noise=0.0, consistency_weight=0.0,
                       latent_consistency_weight=0.0, latent_diversity_weight=0.0)
        for name, value in refused.items():
            if getattr(self, name) != value:
                raise ConfigError(f"{name}={getattr(self, name)}: is for what has a gradient, and words have none; leave it out")
        if self.loss.startswith("relativistic"):
            raise ConfigError(f"loss={self.loss}: compares logits of pairs, and the reward of a text is of it alone; non_saturating, hinge …")

    def fitted(self, examples):
        """What the data decide: the noise is as long as a text."""
        return {"noise_dim": int(examples.shape[1])}


@keras.saving.register_keras_serializable("kgan")
class SeqGAN(GAN):
    """Algorithm 1 of the paper. D's classes are the usual ones of GAN; `reward` is the probability that it takes a text for real."""

    Config = Config
    measures = {"nll_oracle": False, "nll_test": False, "d_auc": True, "valid": True, "distinct_2": True, "distinct_3": True,
                **{f"bleu_{n}": True for n in (2, 3, 4, 5)}, **{f"self_bleu_{n}": False for n in (2, 3, 4, 5)}}

    told = "nll", "reward"

    def alarms(self):
        return [Alarm("D has learned its texts by heart: of these it can tell which are real (d_accuracy above 0.75), of texts that it has "
                      "not seen it cannot (d_auc below 0.52). So what it rewards is chance. Try more texts; or imitation alone, with "
                      "--set imitation as large as --steps, and a temperature below 1",
                      1, lambda row: row.get("d_auc", 1) < 0.52 and row.get("d_accuracy", 0) > 0.75, times=1)]

    @property
    def writer(self):
        """G's layer, which has the words."""
        return self.generator.get_layer("tokens")

    def phases(self):
        config, begins = self.config, self.config.imitation
        found = [(0, self.imitation_step)] if begins else []
        found += [(begins, self.examiner_step)] if config.examiner else []
        return (*found, (begins + config.examiner, self.train_step))

    # === The three phases ===

    def imitation_step(self, batch):
        """One update of G by maximum likelihood: cross-entropy of each word after those before it."""
        real = self.real(batch)

        def loss(real):
            value = tf.reduce_mean(self.writer.nll(real))
            self._means["nll"].update_state(value)
            return value

        self.minimize(loss, "generator", [(real,)])
        self.update_averages()
        return self.results()

    def examiner_step(self, batch):
        """Updates of D alone, on fresh texts by G."""
        self._examine(batch)
        self.rest("generator")
        return self.results()

    def train_step(self, batch):
        """One update of G by policy gradient, then those of D."""
        noise = self.noise(len_of(self.real(batch)) // self.config.discriminator_steps)
        tokens = self.make(noise, None, self.generator)
        value = self.values(tokens)
        known = joined([value])[0]
        self._means["reward"].update_state(value[:, -1])
        if self.config.baseline == "mean":  # without the text itself, or the gradient were another
            count = tf.cast(tf.shape(known)[0], tf.float32)
            value -= (tf.reduce_sum(known, 0) - value) / tf.maximum(count - 1, 1)
        self.minimize(lambda tokens, value: self.policy_loss(tokens, value), "generator", [(tokens, value)])
        self.update_averages()
        self._examine(batch, first=1)
        return self.results()

    def policy_loss(self, tokens, value):
        """What G minimises: its gradient is minus equation 7's, the mean over texts of the sum over their words.

        Args:
            tokens: int32 [n, T], written by G.
            value: float32 [n, T], what each word is worth.
        """
        loss = tf.reduce_mean(tf.reduce_sum(self.writer.each(tokens) * tf.stop_gradient(value), 1))
        self._means["g_loss"].update_state(loss)
        return loss

    def values(self, tokens):
        """Equation 4: what each word is worth, float32 [n, T] of tokens int32 [n, T]: the mean reward of texts that begin so.

        The last word's, and those of all words from the end on, are the text's own.
        """
        count, length = len_of(tokens), tokens.shape[1]
        each = self.config.rollouts * (length - 1)
        uniform = self.random(count, GENERATOR, 0, "rollouts").uniform(each, length)
        own = self.reward(tokens)[:, None]
        if length == 1:
            return own
        finished = self.writer.finish(tokens, tf.reshape(uniform, [count, length - 1, self.config.rollouts, length]))
        reward = tf.reshape(self.reward(tf.reshape(finished, [-1, length])), [count, length - 1, self.config.rollouts])
        value = tf.concat([tf.reduce_mean(reward, 2), own], 1)
        return tf.where(self.writer.open(tokens), value, own)

    def reward(self, tokens):
        """The probability that D takes texts for real, float32 [n]."""
        return tf.reduce_mean(tf.sigmoid(self.logits(tokens, training=False)), 1)

    def _examine(self, batch, first=0):
        """k updates of D, each on fresh real texts and on fresh ones by G."""
        for draw, real in enumerate(deal(self.real(batch), self.config.discriminator_steps)):
            fake = self.make(self.noise(len_of(real), first + draw), None, self.generator)
            self.minimize(self.discriminator_loss, "discriminator", [(real, fake)])

    def discriminator_loss(self, real, fake, training=True):
        """The objective, and the decay of the last layer's weights."""
        real, fake = self.logits(real, training=training), self.logits(fake, training=training)
        loss = self.objective.discriminator(*self._compared(real, fake))
        self._means["d_loss"].update_state(loss)
        self._means["d_real"].update_state(tf.sigmoid(real))
        self._means["d_fake"].update_state(tf.sigmoid(fake))
        self._means["d_accuracy"].update_state(tf.concat([real > 0, fake < 0], 0))
        if self.config.weight_decay and training:
            loss += self.config.weight_decay * tf.reduce_sum(self.discriminator.get_layer("logits").kernel ** 2)
        return loss

    def test_step(self, batch):
        """The cross-entropy of G, and D's loss, on texts that are not trained on."""
        real = self.real(batch)
        self._means["nll"].update_state(tf.reduce_mean(self.writer.nll(real)))
        fake = self.make(self.noise(len_of(real), stream=VALIDATION), None, self.generator)
        self.discriminator_loss(real, fake, training=False)
        return self.results("nll", "d_loss", "d_real", "d_fake", "d_accuracy")

    def figures(self, evaluator, samples, asked=None):
        """See kgan.metrics.texts.figures; `nll_test`, -log p of a word of texts not trained on, by the averaged G; and `d_auc`, in how
        many pairs of such a text and a sample D takes the former rather for real. Where that is half, D has learned nothing, or its
        training texts by heart, and what it rewards is chance. Where there are no texts but those trained on it is left out.
        """
        from kgan.metrics import few, texts
        held = evaluator.examples[:self.config.evaluate_count]
        writer = self.ema_generator.get_layer("tokens")
        nll = [float(tf.reduce_sum(writer.each(part))) for part in _cut(held, 256)]
        words = [float(tf.reduce_sum(tf.cast(writer.open(part), tf.float32))) for part in _cut(held, 256)]
        found = {**texts.figures(evaluator, samples), "nll_test": sum(nll) / sum(words)}
        if evaluator.held_back:
            real, made = (np.concatenate([self.reward(part).numpy() for part in _cut(some, 256)]) for some in (held, samples[:len(held)]))
            found["d_auc"] = few.area(np.concatenate([real, made]), np.arange(len(real) + len(made)) < len(real))
        return found


def _cut(values, size):
    return [tf.constant(values[i:i + size], tf.int32) for i in range(0, len(values), size)]


def build(shape=(15,), config=None, seed=0, fields=None, **settings):
    """A SeqGAN for texts.

    Args:
        shape: (T,), tokens of a text.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default. Its noise_dim is T.
        seed: of the noise.
        fields: dict of the kgan.kinds.Field of `tokens`, `more["words"]` its vocabulary; None: that of the grammar.

    Returns:
        SeqGAN, not compiled. Its generator takes `noise`, float32 [n, T] in [-1, 1], and `temperature`, float32 [n].

    Raises:
        ConfigError: there is no vocabulary, or these are no texts.
    """
    config = dataclasses.replace(Config.given(config, settings), noise_dim=shape[0])
    if not fields:
        from kgan.data.grammar import WORDS
        fields = {"tokens": Field("tokens", shape, more={"words": list(WORDS), "tokens": "words"})}
    words = fields["tokens"].more.get("words", ()) if "tokens" in fields else ()
    if len(words) < 2:
        raise ConfigError("seqgan makes texts: the field `tokens` must have a vocabulary, more={\"words\": [\"\", …]}")
    fields = {**fields, "temperature": Field("number", (), more={"range": [0.1, 2.0], "default": 1.0})}
    return SeqGAN(generator(shape[0], words, config), discriminator(shape[0], words, config), config, seed, fields=fields)


# === G ===

def generator(length, words, config):
    """noise [n, T] in [-1, 1] and temperature [n] -> tokens int32 [n, T]."""
    noise, temperature = keras.Input((length,), name="noise"), keras.Input((), name="temperature")
    writer = Writer(len(words), config.units, config.word_dim, ends=not words[0], dtype="float32", name="tokens")
    return keras.Model({"noise": noise, "temperature": temperature}, writer([noise, temperature]), name="generator")


@keras.saving.register_keras_serializable("kgan")
class Writer(layers.Layer):
    """An LSTM that writes word after word: of those that may follow it takes the one in whose part of [0, 1] the noise lies.

    The inverse of the cumulated probabilities, so that the same noise gives the same text in every runtime.

    Args:
        words: how many there are in the vocabulary.
        units, word_dim: of the LSTM, of the embedding.
        ends: whether word 0 is the end: after it there is nothing else.
    """

    def __init__(self, words, units, word_dim, ends=True, **kwargs):
        super().__init__(**kwargs)
        self.words, self.units, self.word_dim, self.ends = words, units, word_dim, ends
        # one more than there are words: the beginning
        self.embedding = layers.Embedding(words + 1, word_dim, embeddings_initializer=keras.initializers.RandomNormal(0, 0.1))
        self.lstm = layers.RNN(layers.LSTMCell(units), return_sequences=True)
        self.head = layers.Dense(words)

    def build(self, input_shape):
        self.embedding.build()
        self.lstm.build((None, None, self.word_dim))
        self.head.build((None, self.units))
        self.built = True

    def get_config(self):
        return {**super().get_config(), "words": self.words, "units": self.units, "word_dim": self.word_dim, "ends": self.ends}

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, dtype="int32")

    def call(self, inputs):
        noise, temperature = inputs
        length = noise.shape[1]
        first = 0 * noise[:, :1]
        zero = ops.repeat(first, self.units, axis=1)
        start = ops.cast(first[:, 0], "int32") + self.words

        def step(t, token, h, c, tokens):
            here = ops.one_hot(t, length)  # no TensorArray: TFLite has none where the batch is free
            logits, h, c = self._step(token, h, c)
            uniform = (ops.sum(noise * here, axis=1) + 1) / 2
            token = self._ended(token, self.pick(logits / temperature[:, None], uniform), t)
            return t + 1, token, h, c, tokens + token[:, None] * ops.cast(here, "int32")

        found = ops.while_loop(lambda t, *_: t < length, step, (0, start, zero, zero, ops.cast(0 * noise, "int32")))
        return found[-1]

    def _step(self, token, h, c):
        """The logits of the next word after `token`, and the state."""
        _, (h, c) = self.lstm.cell(self.embedding(token), [h, c])
        return self.head(h), h, c

    def _ended(self, before, token, t):
        """`token`, but the end where the word before was the end."""
        return ops.where((before == 0) & (t > 0), 0, token) if self.ends else token

    def pick(self, logits, uniform):
        """Words int32 [n] of logits [n, words] and numbers [n] from 0 to 1."""
        summed = ops.cumsum(ops.softmax(logits), axis=1)
        return ops.minimum(ops.sum(ops.cast(summed < uniform[:, None], "int32"), axis=1), self.words - 1)

    # === Of texts that are there ===

    def logits(self, tokens):
        """Logits of each word after those before it, float32 [n, T, words] of tokens int32 [n, T]."""
        count, cell = tf.shape(tokens)[0], self.lstm.cell
        before = tf.concat([tf.fill([count, 1], self.words), tokens[:, :-1]], 1)
        # what the words bring, of all places at once; what is left to do in turn is one small product a place
        brought = tf.unstack(tf.tensordot(self.embedding(before), cell.kernel, 1) + cell.bias, axis=1)
        h, c, found = tf.zeros([count, self.units]), tf.zeros([count, self.units]), []
        for each in brought:
            take, keep, new, give = tf.split(each + h @ cell.recurrent_kernel, 4, axis=1)
            c = tf.sigmoid(keep) * c + tf.sigmoid(take) * tf.tanh(new)
            h = tf.sigmoid(give) * tf.tanh(c)
            found.append(h)
        return self.head(tf.stack(found, 1))

    def open(self, tokens):
        """Which words count, bool [n, T]: all up to the first end, and that itself."""
        if not self.ends:
            return tf.ones_like(tokens, bool)
        return tf.cumsum(tf.cast(tokens == 0, tf.int32), axis=1, exclusive=True) == 0

    def each(self, tokens):
        """-log p of each word after those before it, in nats, float32 [n, T]; 0 of those that do not count."""
        logits = self.logits(tokens)
        # what tf.nn.sparse_softmax_cross_entropy_with_logits computes, in less than two thirds of its time on a CPU
        entropy = tf.reduce_logsumexp(logits, 2) - tf.gather(logits, tokens, batch_dims=2)
        return tf.where(self.open(tokens), entropy, 0.0)

    def nll(self, tokens):
        """Of each text the mean over its words, float32 [n]."""
        return tf.reduce_sum(self.each(tokens), 1) / tf.reduce_sum(tf.cast(self.open(tokens), tf.float32), 1)

    def finish(self, tokens, uniform):
        """Texts that begin as `tokens` do, with the first 1, 2 … T - 1 words of each: int32 [n, T - 1, R, T].

        The state after each beginning is computed once, so that a text costs only the words that are new.

        Args:
            tokens: int32 [n, T].
            uniform: float32 [n, T - 1, R, T], from 0 to 1: what chooses word t of copy r of beginning k.
        """
        count, length, copies = tf.shape(tokens)[0], tokens.shape[1], uniform.shape[2]

        def copied(values):  # rows of copies, one example after the other
            return tf.repeat(values, copies, axis=0)

        h = c = tf.zeros([count, self.units])
        token = tf.fill([count], self.words)
        state, columns = None, []  # of all texts under way, the shortest beginning first; of each place the words chosen there
        for t in range(length):
            if state is not None:
                before, other, cells = state
                logits, other, cells = self._step(before, other, cells)
                numbers = tf.concat([tf.reshape(uniform[:, k, :, t], [-1]) for k in range(t)], 0)
                before = self._ended(before, self.pick(logits, numbers), t)
                columns.append(tf.split(before, t))
                state = before, other, cells
            if t < length - 1:
                _, h, c = self._step(token, h, c)
                token = tokens[:, t]
                begun = copied(token), copied(h), copied(c)
                state = begun if state is None else tuple(tf.concat(pair, 0) for pair in zip(state, begun))
        found = []
        for k in range(1, length):  # k words are given, the rest is in columns[k - 1:]
            own = [copied(tokens[:, :k]), *(column[k - 1][:, None] for column in columns[k - 1:])]
            found.append(tf.reshape(tf.concat(own, 1), [count, copies, length]))
        return tf.stack(found, 1)


# === D ===

def discriminator(length, words, config):
    """tokens int32 [n, T] -> logits [n, k]: convolutions of several widths, the largest over all places, a highway layer.

    Appendix of the paper, after Zhang & LeCun 2015 and Kim 2014; without its dropout.
    """
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    x = layers.Embedding(len(words), 2 * config.word_dim, embeddings_initializer=keras.initializers.RandomNormal(0, 0.5))(tokens)
    found = []
    for width, filters in zip(config.widths, config.filters * len(config.widths)):
        if width <= length:
            maps = layers.Conv1D(filters, width, activation="relu")(x)
            found.append(layers.GlobalMaxPooling1D()(maps))
    if not found:
        raise ConfigError(f"widths={config.widths}: texts have {length} words, and none of the convolutions is as short")
    x = layers.Concatenate()(found) if len(found) > 1 else found[0]
    through = layers.Dense(x.shape[-1], activation="sigmoid", bias_initializer=keras.initializers.Constant(-2.0))(x)
    x = through * layers.Dense(x.shape[-1], activation="relu")(x) + (1 - through) * x
    logits = layers.Dense(config.discriminator_outputs, dtype="float32", name="logits",
                          kernel_initializer=keras.initializers.RandomNormal(0, 1 / math.sqrt(x.shape[-1])))(x)
    return keras.Model(tokens, logits, name="discriminator")
