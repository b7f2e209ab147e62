"""CycleGAN: turns images of one sort into another and back, learned without pairs: horses and zebras (Zhu et al. 2017).

Zhu, Park, Isola, Efros 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv:1703.10593;
networks and numbers as in their program, github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

    python train.py --model=cyclegan                                       upright digits are slanted, slanted ones righted
    python train.py --model=cyclegan --dataset=folder:horse2zebra --image_size=64 --flip       trainA and trainB, testA and testB
    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED             A to B, files of any size
    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED --direction=BtoA

`generator` takes A to B, `inverse` B to A; each has a discriminator of patches. What went there and back is to be what it was.
With --steps=3000 the first command takes five CPU minutes: 96 % of the slanted digits and 98 % of the righted ones are still read
as what they were, and there and back is 24 dB from where it began (`python benchmarks/unpaired.py RUN`; docs/results.md).
"""
import dataclasses
import warnings
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kgan import contracts, kinds
from kgan.anysize import Cut, Reflect, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Scheduled
from kgan.data.source import seen
from kgan.draws import DISCRIMINATOR, GENERATOR
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import InstanceNormalization
from kgan.metrics.kernel import kernel_distance
from kgan.models.pix2pix import patches
from kgan.pool import Pool
from kgan.replicas import len_of


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the preset `published` has the paper's values, for 256 pixels."""

    needs: ClassVar[dict] = {"input": "image", "image": "image"}  # A, B
    paired: ClassVar[bool] = False
    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "slants"
    jitter: float = 0.0  # images are enlarged by this share and cropped back at random
    evaluate_by: EvaluateBy = "kernel_distance"
    evaluate_count: int = 1_500
    batch_size: int = 4
    steps: int = 4_000
    loss: Literal["least_squares", "non_saturating", "hinge", "relativistic", "wasserstein"] = "least_squares"
    generator_learning_rate: Scheduled = "linear:1e-3:0:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:2e-4:0:0.5:1"
    ema_decay: Scheduled = 0.99  # not in the paper: results come from the average of the last generators
    adversarial_weight: float = 2.0  # the authors' program has no ½ before the squares that G minimises, kgan.losses has
    cycle_weight: float = 10.0  # λ of the mean absolute difference after going there and back (equation 2)
    # of a generator's own kind of image, which it is to leave as it is, times cycle_weight (section 5.2: keeps colours)
    identity_weight: float = 0.5
    pool: int = 50  # size of the pool of older results, of which D sees one in place of every other new one (section 4); 0: none

    filters: int = 16  # of the outermost maps; doubled with each of the two halvings
    blocks: int = 3  # residual ones at a quarter of the size; 0: 6, and 9 from 256 pixels on (section 7.2)
    # resize: nearest, then a convolution. transpose, as published: photos have checkerboards after 1,500 steps, digits have none
    upsampling: Literal["transpose", "resize"] = "transpose"
    patch: Literal["16", "34", "70", "142"] = "34"  # pixels a side that one of D's logits sees
    normalization: ClassVar[str] = "instance"
    noise_dim: int = 0

    presets: ClassVar[dict] = {
        "laptop": {},
        # section 7.1: 200 epochs of about 1,000 images, resized to 286 and cut to 256
        "published": dict(filters=64, blocks=0, patch="70", batch_size=1, steps=200_000, ema_decay=0.0, jitter=30 / 256,
                          generator_learning_rate="linear:2e-4:0:0.5:1", discriminator_learning_rate="linear:2e-4:0:0.5:1"),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("filters", 1)
        self._check("jitter", 0, below=1)
        for name in ("discriminator_steps", "penalty", "packing", "augment_target", "drift_weight", "consistency_weight",
                     "latent_consistency_weight", "latent_diversity_weight", "noise_dim"):
            if getattr(self, name) != getattr(type(self), name):
                raise ConfigError(f"{name}={getattr(self, name)}: a model of two generators has no such thing; leave it out")


@keras.saving.register_keras_serializable("kgan")
class CycleGAN(GAN):
    """Two generators and two discriminators, one step of both generators and one of both discriminators in turn.

    A is `input` in a batch, B is what is made, `image`; the i-th of one has nothing to do with the i-th of the other.

    Args:
        inverse: built keras.Model from B to A.
        inverse_discriminator: built keras.Model from A to logits. The others: see GAN; the generator's input is `input`.
    """

    Config = Config
    players = {"generator": ("generator", "inverse"), "discriminator": ("discriminator", "inverse_discriminator")}
    averaged = ("generator", "inverse")

    def __init__(self, generator, discriminator, inverse, inverse_discriminator, *args, **kwargs):
        super().__init__(generator, discriminator, *args, **kwargs)
        self.inverse, self.inverse_discriminator = inverse, inverse_discriminator
        self.average("inverse")
        self._means.update({name: keras.metrics.Mean(name) for name in ("cycle", "identity")[:1 + self.keeps]})
        if self.config.pool:
            self.pool, self.inverse_pool = (Pool(self.config.pool, self.fields[name].shape, name=f"pool_of_{name}")
                                            for name in ("image", "input"))

    @property
    def keeps(self):
        """Whether there is an identity loss."""
        return bool(self.config.identity_weight and self.fields["input"].shape == self.fields["image"].shape)

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        if self.penalty:
            raise ConfigError("penalty: a model of two generators has no such thing; leave it out")

    # === The update ===

    def train_step(self, batch):
        """G and F first, as in the authors' program; D sees what they made before that, or what lies in the pools."""
        parts, made = self._dealt(batch), []

        def moved(real, given, noise, draw):
            value, fakes = self.translation_loss(given["input"], real, draw)
            made.append(fakes)
            return value

        self.minimize(moved, "generator", parts)
        fakes = [tf.concat(some, 0) for some in zip(*made)]
        self.judge_step(parts, self._from_pools(fakes))
        self.update_averages()
        return self.results()

    def _dealt(self, batch):
        real = self.real(batch)
        return self._parts(real, self.given(batch), self.noise(len_of(real)), 0)

    def judge_step(self, parts, fakes):
        """One step of both discriminators, on `fakes`, (of B, of A), each as many as there are examples in all parts."""
        shares = zip(*(tf.split(some, len(parts)) for some in fakes))
        parts = [(given["input"], real, *share, draw) for (real, given, _, draw), share in zip(parts, shares)]
        self.minimize(self.judging_loss, "discriminator", parts)

    def translation_loss(self, a, b, draw=0, training=True):
        """(what G and F minimise, (G(a), F(b))): the objective of both, there and back again, own kind left alone."""
        config = self.config
        if training:
            for examples in (a, b):
                self.check("the real examples", examples)
        (fake_b, *own_b), (fake_a, *own_a) = (self._made(name, some if self.keeps else some[:1], training)
                                              for name, some in (("generator", (a, b)), ("inverse", (b, a))))
        for examples in (fake_a, fake_b):
            self.check("the generated examples", examples)
        objective = (self.fooling("discriminator", b, fake_b, draw, training)
                     + self.fooling("inverse_discriminator", a, fake_a, draw, training))
        self._note("g_loss", objective, a, training)
        cycle = self.distance(self.inverse(fake_b, training=training), a) + self.distance(self.generator(fake_a, training=training), b)
        self._note("cycle", cycle, a, training)
        adversarial, reconstruction = self.weighed()
        loss = adversarial * objective + reconstruction * cycle
        if self.keeps:
            identity = self.distance(*own_b, b) + self.distance(*own_a, a)
            self._note("identity", identity, a, training)
            loss += config.identity_weight * config.cycle_weight * identity
        return loss, (fake_b, fake_a)

    def judging_loss(self, a, b, fake_b, fake_a, draw=0, training=True):
        """What the two discriminators minimise, the sum of their objectives."""
        loss = 0.0
        for name, real, fake in (("discriminator", b, fake_b), ("inverse_discriminator", a, fake_a)):
            logits = [found["logits"] for found in self._looked(name, DISCRIMINATOR, draw, training, real=real, fake=fake)]
            loss += self.objective.discriminator(*self._compared(*logits))
            score = tf.sigmoid if self.objective.probability else tf.identity
            for metric, values in zip(("d_real", "d_fake"), logits):
                self._means[metric].update_state(score(values))
            self._means["d_accuracy"].update_state(0.5 + 0.5 * tf.sign(logits[0] - logits[1]))
        self._note("d_loss", loss, a, training)
        return loss

    def weighed(self):
        """How much the objective and the way there and back count."""
        return self.config.adversarial_weight, self.config.cycle_weight

    def distance(self, made, true):
        """How far what was made is from what it should be: the mean absolute difference."""
        return tf.reduce_mean(tf.abs(made - true))

    def fooling(self, name, real, fake, draw, training):
        """What a generator minimises by the discriminator of that name."""
        sets = {"real": real, "fake": fake} if self.objective.relativistic else {"fake": fake}
        *others, found = (found["logits"] for found in self._looked(name, GENERATOR, draw, training, **sets))
        return self.objective.generator(*self._compared(*others or [None], found))

    def _looked(self, name, stream, draw, training, **sets):
        """What a discriminator says of sets of examples as it sees them, for each a dict of float32."""
        if training:
            sets = {of: self.view(examples, stream, draw, f"{name}, {of}") for of, examples in sets.items()}
        for found in self._made(name, sets.values(), training):
            found = found if isinstance(found, dict) else {"logits": found}
            yield {key: tf.cast(values, tf.float32) for key, values in found.items()}

    def _made(self, name, sets, training):
        """What a network makes of each of several sets of examples: in one pass, a tenth faster, if it looks at each example alone."""
        network, sets = getattr(self, name), list(sets)
        if len(sets) == 1 or contracts.mixes(network, "BatchNormalization", "Minibatch"):
            return [network(examples, training=training) for examples in sets]
        made = network(tf.concat(sets, 0), training=training)
        parts = tf.nest.map_structure(lambda values: tf.split(values, len(sets)), made)
        return parts if isinstance(parts, list) else [{key: values[i] for key, values in parts.items()} for i in range(len(sets))]

    def _note(self, name, value, examples, training):
        # in evaluation a smaller last batch counts as many times less
        self._means[name].update_state(value, sample_weight=None if training else tf.cast(len_of(examples), tf.float32))

    def _from_pools(self, fakes):
        if not self.config.pool:
            return fakes
        return [pool.exchanged(some, self.random(len_of(some), DISCRIMINATOR, 0, pool.name))
                for pool, some in zip((self.pool, self.inverse_pool), fakes)]

    def test_step(self, batch):
        a, b = self.given(batch)["input"], self.real(batch)
        _, (fake_b, fake_a) = self.translation_loss(a, b, training=False)
        self.judging_loss(a, b, fake_b, fake_a, training=False)
        return self.results("d_loss", "g_loss", "d_real", "d_fake", "d_accuracy", "cycle")

    # === Both directions: exports, sheets ===

    def exports(self):
        return {"generator": "generator", "inverse": "inverse"}

    def described(self, function):
        if function == "inverse":
            return {"image": self.fields["image"]}, {"images": self.fields["input"]}
        return super().described(function)

    def directions(self, given, real, made):
        return {"": (given["input"], made, real), "_back": (real, self.applied(self.ema_inverse, real), given["input"])}

    def columns(self, given, made, real):
        """A, A to B, back; B, B to A, back."""
        back = self.applied(self.ema_inverse, real)
        return [("image", values) for values in (given["input"], made, self.applied(self.ema_inverse, made),
                                                 real, back, self.applied(self.ema_generator, back))]

    # === Measured ===

    measures = {"label_kept": True, "label_kept_back": True, "cycle_psnr": True, "cycle_psnr_back": True, "kernel_distance_back": False}

    def figures(self, evaluator, samples, asked=None):
        """Of both directions: the share of images that a classifier of the other sort still takes for what they were, and the PSNR
        in dB of what went there and back; of B to A also the kernel distance to real A. What needs labels or a network is left out
        where there are none.
        """
        a, b = evaluator.given["input"], seen("image", evaluator.examples)
        back = self.applied(self.ema_inverse, b)
        compare = kinds.get("image").compare
        found = {"cycle_psnr": compare(self.applied(self.ema_inverse, samples), a)["psnr"],
                 "cycle_psnr_back": compare(self.applied(self.ema_generator, back), b)["psnr"]}
        if evaluator.network:
            network, features = evaluator.way_back
            found["kernel_distance_back"] = kernel_distance(features, network(back)[0])[0]
            for name, judge, made, labels in (("label_kept", evaluator.network, samples, evaluator.given_labels),
                                              ("label_kept_back", network, back, evaluator.labels)):
                if judge.classes and labels is not None:
                    found[name] = judge(made)[1].argmax(1) == labels
        return {name: float(np.mean(values)) for name, values in found.items()}

    @staticmethod
    def applied(network, images, at_once=256):
        """What a network makes of images float32 [n, H, W, C], so many at once: a NumPy array."""
        return np.concatenate([np.asarray(network(images[i:i + at_once])) for i in range(0, len(images), at_once)])


def build(shape=(28, 28, 1), config=None, seed=0, fields=None, **settings):
    """A CycleGAN.

    Args:
        shape: (H, W, C) of B, and H, W of A.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the pools' choices (the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input`, A, and `image`, B; None: both have this shape.

    Returns:
        CycleGAN, not compiled. Its generators take images of any height and width, and give them back as large.

    Raises:
        ConfigError: the images are too small for `patch`, or are no images.
    """
    config = Config.given(config, settings)
    if len(shape) != 3:
        raise ConfigError(f"cyclegan makes images from images, and these examples have the shape {list(shape)}")
    fields = fields or {name: Field(kind, shape) for name, kind in config.needs.items()}
    a, b = fields["input"].shape, fields["image"].shape
    if a[-1] != b[-1] and config.identity_weight:
        warnings.warn(f"identity_weight={config.identity_weight}: is left out, for A has {a[-1]} channel{'s' * (a[-1] > 1)} and B "
                      f"{b[-1]}: no image of one could be left as it is by the generator of the other", stacklevel=2)
    return CycleGAN(generator(a, b, config, "input", "generator"), discriminator(b, config, "image", "discriminator"),
                    generator(b, a, config, "image", "inverse"), discriminator(a, config, "input", "inverse_discriminator"),
                    config, seed, fields=fields)


# === G ===

def generator(shape, made, config, given, name):
    """`given` [n, any H, any W, channels] -> images [n, H, W, C] in [-1, 1]: c7s1-k, d2k, d4k, R4k…, u2k, uk, c7s1-C (section 7.2).

    `shape` and `made`: of what it takes and makes in training. Images whose sides are no multiples of 4 are rounded up.
    """
    images = keras.Input((None, None, shape[-1]), name=given)
    width, blocks = config.filters, config.blocks or (9 if min(shape[:2]) >= 256 else 6)
    x = RoundUp(4, least=8)(images)
    x = _convolved(Reflect(3)(x), width, 7)
    for _ in range(2):
        width *= 2
        x = _convolved(x, width, 3, strides=2, padding="same")
    for _ in range(blocks):
        y = _convolved(Reflect(1)(x), width, 3)
        y = _convolved(Reflect(1)(y), width, 3, activation=False)
        x = layers.Add()([x, y])
    for _ in range(2):
        width //= 2
        if config.upsampling == "resize":
            x = _convolved(Reflect(1)(layers.UpSampling2D(2)(x)), width, 3)
            continue
        x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", use_bias=False, kernel_initializer=weights())(x)
        x = layers.ReLU()(InstanceNormalization(gamma_initializer=weights(1.0))(x))
    x = layers.Conv2D(made[-1], 7, kernel_initializer=weights())(Reflect(3)(x))
    x = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(images, Cut(dtype="float32", name="images")([x, images]), name=name)


def _convolved(x, width, kernel, activation=True, **options):
    """A convolution, normalised; biases would be taken off again."""
    x = layers.Conv2D(width, kernel, use_bias=False, kernel_initializer=weights(), **options)(x)
    x = InstanceNormalization(gamma_initializer=weights(1.0))(x)
    return layers.ReLU()(x) if activation else x


def weights(mean=0.0):
    """N(0, .02) for kernels, N(1, .02) for what normalised maps are multiplied by: with N(0, .02) they would be all but 0."""
    return keras.initializers.RandomNormal(mean, 0.02)


# === D ===

def discriminator(shape, config, judged, name):
    """`judged` [n, H, W, C] in [-1, 1] -> logits [n, k], one for each patch."""
    images = keras.Input(shape, name=judged)
    return keras.Model(images, patches(images, config), name=name)
