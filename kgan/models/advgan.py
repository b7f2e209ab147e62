"""AdvGAN: small changes to images that fool a classifier, made by a generator in one pass (Xiao et al. 2018).

Xiao, Li, Zhu, He, Liu, Song 2018, "Generating Adversarial Examples with Adversarial Networks", arXiv:1801.02610; networks by
github.com/mathcbc/advGAN_pytorch (not the authors').

    python train.py --model=advgan                                                  glyphs, against a classifier of kgan's own
    python train.py --model=advgan --dataset=mnist --set classifier=A               one of the paper's three
    python train.py --model=advgan --dataset=folder:PATH --image_size=64 --set classifier=MINE.keras --set epsilon=8/255
    python train.py --model=advgan --set target=7                                   everything is to be taken for a 7
    python train.py --model=advgan --set blackbox=true                              a classifier that can only be asked
    python -m kgan.metrics.attack runs/NAME --against=A,B                           beside FGSM and PGD; transfer

x + G(x) differs from x by at most ε in each pixel and stays an image. D tells x + G(x) from x; a hinge on the
classifier's logits (Carlini & Wagner 2017) is what fools it, another on the norm of G(x) keeps the change small. No
gradient is needed once G is trained. Of a black box a network of our own learns what it answers, to x and to what G
makes, at each step (dynamic distillation). What to do against it: `python -m kgan.metrics.harden runs/NAME`.

300 steps of the first command, two minutes and the classifier's two, fooled 98.2 % of 500 test glyphs that it had read right, by a
mean L2 of 5.0; FGSM 77.8 %, PGD 100 %. On MNIST, classifier B, 400 steps: 89.6 % (published, after 60 passes: 97.1 %).
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kgan import classifiers, pictures
from kgan.anysize import Cut, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, Loss, Scheduled, nearest
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import BatchNormalization, InstanceNormalization


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """`classifier` is what is attacked; of images in [0, 1], ε and the norms are of these."""

    dataset: str = "glyphs"
    classifier: str = "own"  # own, A, B, C, or the path of a .keras file or SavedModel: see kgan.classifiers
    classifier_range: Literal["auto", "-1:1", "0:1", "0:255"] = "auto"  # of a file: what images it takes; auto: found out
    classifier_seed: int = 0  # of the weights of own, A, B, C
    epsilon: str = "0.3"  # no pixel changes by more, as a number or a fraction (8/255); cut to whole levels of 255
    target: str = ""  # name of the class that everything is to be taken for; "": any other than the right one
    blackbox: bool = False  # whether the classifier can only be asked
    student: Literal["own", "A", "B", "C"] = "own"  # what learns to answer as a black box does
    degrade: str = "same"  # what is done to an image before G sees it: nothing

    batch_size: int = 128
    steps: int = 1_000
    evaluate_by: Literal["success", "accuracy_after", "change_l2"] = "success"  # the best checkpoint is kept by this
    evaluate_count: int = 2_000
    loss: Loss = "least_squares"  # as in the paper, section 3.2
    noise_dim: int = 0
    generator_learning_rate: Scheduled = "step:1e-3:1e-4:0.8"
    discriminator_learning_rate: Scheduled = "step:1e-3:1e-4:0.8"
    student_learning_rate: Scheduled = 1e-3
    ema_decay: Scheduled = 0.99
    adversarial_weight: float = 10.0  # of the hinge on the classifier's logits; that of the GAN loss is 1
    confidence: float = 1.0  # κ: by how much the wrong class is to lead. Above 0, since files round what G makes
    norm_weight: float = 1.0  # of the hinge on the L2 norm of the change; the larger, the smaller the change and the success
    norm_bound: float = 0.1  # c: the norm that costs nothing
    filters: int = 8  # of the widest maps; doubled with each of two halvings
    blocks: int = 4  # residual ones in G

    needs: ClassVar[dict] = {"input": "image", "image": "image", "label": "label"}

    def __post_init__(self):
        super().__post_init__()
        self._check("filters", 1)
        if self.degrade != "same":
            raise ConfigError(f"degrade={self.degrade}: advgan changes images as they are, `same`; leave it out")
        if self.bound < 1 / 255:
            raise ConfigError(f"epsilon={self.epsilon}: must be a number or a fraction from 1/255 to 1, of images in [0, 1]")

    @property
    def bound(self):
        """ε in whole levels of 255, so that a file of 8 bits keeps to it too; 0 where it is none."""
        try:
            above, _, below = str(self.epsilon).partition("/")
            value = float(above) / float(below or 1)
            return int(value * 255 + 1e-6) / 255 if 0 < value <= 1 else 0.0
        except (ValueError, ZeroDivisionError, OverflowError):
            return 0.0


@keras.saving.register_keras_serializable("kgan")
class AdvGAN(GAN):
    """The alternating update, with what fools the classifier and the norm of the change as `content`.

    Args: as for GAN, but
        classes: names of the classes that the classifier tells apart. No network takes labels; batches have them.
        classifier: kgan.classifiers.Classifier.
    """

    Config = Config
    led = True  # G follows the classifier, whether or not D can tell: kgan.advice does not warn of a D that always can
    # transfer and what it is beside: python -m kgan.metrics.attack
    measures = {"success": True, "accuracy_before": True, "accuracy_after": False, "change_l2": False, "change_linf": False}

    def __init__(self, generator, discriminator, config=None, seed=0, classes=(), fields=None, name="gan", classifier=None,
                 **networks):
        super().__init__(generator, discriminator, config, seed, (), fields, name)
        for each, network in networks.items():
            setattr(self, each, network)
        self.told, self.classifier = tuple(classes), classifier
        self._means.update({name: keras.metrics.Mean(name) for name in ("fooled", "change_l2")})

    def prepare(self, settings):
        from kgan.metrics.evaluate import sources
        config = self.config
        _, said, warning = classifiers.prepare(self.classifier, config.classifier, *sources(settings), config.classifier_range,
                                               config.classifier_seed)
        return said, warning

    def given(self, batch):
        return {**super().given(batch), "truth": tf.reshape(tf.cast(self._field(batch, "label"), tf.int32), [-1])}

    def fit(self, *args, **kwargs):
        self._ready()
        return super().fit(*args, **kwargs)

    def train_on_batch(self, *args, **kwargs):
        self._ready()
        return super().train_on_batch(*args, **kwargs)

    def _ready(self):
        if float(self.classifier.accuracy) == -1:
            raise ValueError("the classifier that is to be attacked has not learned anything yet: call gan.prepare({\"dataset\": "
                             "NAME, \"model\": \"advgan\"}), or give one of your own, build(…, classifier=…)")

    # === The update ===

    def content(self, real, fake, given, judged):
        logits, original = self.attacked(fake), given["input"]
        if self.config.target:
            wanted = tf.fill(tf.shape(given["truth"]), self.told.index(self.config.target))
            lead = _margin(logits, wanted)
        else:
            lead = -_margin(logits, given["truth"])
        size = norm(fake - original)
        self._means["fooled"].update_state(tf.cast(lead > 0, tf.float32))
        self._means["change_l2"].update_state(size)
        config = self.config
        return (config.adversarial_weight * tf.reduce_mean(tf.maximum(config.confidence - lead, 0)) +
                config.norm_weight * tf.reduce_mean(tf.maximum(size - config.norm_bound, 0)))

    def attacked(self, images):
        """The logits whose gradient G follows."""
        return self.classifier(images)

    # === What comes out ===

    def figures(self, evaluator, samples, asked=None):
        """`success`, of those classified right before; the accuracy before and after; the mean norms of the change, in [0, 1]."""
        from kgan.metrics.attacks import measure
        target = self.told.index(self.config.target) if self.config.target else None
        return measure(self.classifier, evaluator.given["input"], samples, evaluator.labels, target)

    def columns(self, given, made, real):
        """What is given, the change on the scale of ε, what comes of it, and what the classifier says before and after."""
        original = np.asarray(given["input"])
        change = (np.asarray(made) - original) / (2 * self.config.bound)
        said = [classifiers.verdicts(self.classifier, images) for images in (original, np.asarray(made))]
        words = [[self._words(logits[i]) for logits in said] for i in range(len(original))]
        return [("image", original), ("image", change), ("image", made), ("image", pictures.texts(words, original.shape[1]))]

    def _words(self, logits):
        shares = np.exp(logits - logits.max())
        return f"{self.told[logits.argmax()][:9]} {100 * shares.max() / shares.sum():.0f}%"

    # === What is exported: an image in; the image and what the classifier says before and after, out ===

    def exported(self, function):
        images = keras.Input(self.fields["input"].shape, name="input")
        made = self.ema_generator(images)
        said = {name: layers.Softmax(name=name)(self.classifier(shown)) for name, shown in (("before", images), ("after", made))}
        return keras.Model(images, {"images": made, **said}, name="attack")

    def described(self, function):
        verdict = Field("verdict", (len(self.told),), self.told)
        return {"input": self.fields["input"]}, {"images": self.fields[self.key], "before": verdict, "after": verdict}

    # === Saving ===

    def get_config(self):
        return {**super().get_config(), "classes": self.told,
                "classifier": keras.saving.serialize_keras_object(self.classifier)}

    @classmethod
    def from_config(cls, config):
        gan = super().from_config(config)
        gan.classifier = keras.saving.deserialize_keras_object(config["classifier"])
        return gan


@keras.saving.register_keras_serializable("kgan")
class BlackBoxAdvGAN(AdvGAN):
    """Section 3.3: the classifier is only asked; a student learns its answers to x and to x + G(x), and G fools that."""

    players = {**GAN.players, "student": ("student",)}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._means["student_loss"] = keras.metrics.Mean("student_loss")

    def train_step(self, batch):
        given = self.given(batch)
        shown = tf.concat([given["input"], self.make(self.noise(tf.shape(given["input"])[0]), given, self.generator)], 0)
        answers = tf.stop_gradient(tf.nn.softmax(self.classifier(shown)))

        def distillation():
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(answers, self.student(shown, training=True)))
            self._means["student_loss"].update_state(loss)
            return loss
        self.minimize(distillation, "student")
        return super().train_step(batch)

    def attacked(self, images):
        return self.student(images, training=False)


def _margin(logits, label):
    """By how much the logit of `label` [n] leads the others, float32 [n]."""
    chosen = tf.one_hot(label, logits.shape[-1], dtype=tf.bool, on_value=True, off_value=False)
    own = tf.reduce_sum(tf.where(chosen, logits, 0), -1)
    return own - tf.reduce_max(tf.where(chosen, logits.dtype.min, logits), -1)


def norm(change):
    """The L2 norm of each of a batch of changes, of images in [-1, 1], as of images in [0, 1]. Its gradient at 0 is 0."""
    return tf.sqrt(tf.reduce_sum((change / 2) ** 2, [1, 2, 3]) + 1e-12)


# === Networks ===

def build(shape=(28, 28, 1), config=None, seed=0, fields=None, classifier=None, **settings):
    """An AdvGAN for images.

    Args:
        shape: (H, W, C), H and W from 8 on.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the update's random numbers (the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of the data, `label` among them; None: ten classes, 0 to 9.
        classifier: keras.Model of images [n, H, W, C] in [-1, 1], or a kgan.classifiers.Classifier; None: the config's, which
            `prepare` teaches.

    Returns:
        AdvGAN, not compiled.

    Raises:
        ConfigError: the images are too small, there is no such class as `target`, the classifier cannot be had.
    """
    config = Config.given(config, settings)
    if len(shape) != 3 or min(shape[:2]) < 8:
        raise ConfigError(f"advgan is for images of 8 pixels or more, with labels; these examples have the shape {list(shape)}")
    shape = tuple(shape)
    fields = fields or {"input": Field("image", shape), "image": Field("image", shape),
                        "label": Field("label", (), tuple("0123456789"))}
    if fields["input"].shape != shape:
        raise ConfigError(f"advgan: `input` has the shape {fields['input'].shape}, and what is made {shape}: let them be the same")
    classes = fields["label"].classes
    if config.target and config.target not in classes:
        raise ConfigError(f"target={config.target}: no class has this name{nearest(config.target, classes)}; there are "
                          f"{', '.join(classes[:20])}")
    if classifier is None:
        classifier = classifiers.get(config.classifier, shape, len(classes))
    elif not isinstance(classifier, classifiers.Classifier):
        classifier = classifiers.Classifier(classifier)
        classifier.accuracy.assign(float("nan"))
    networks = {"student": classifiers.built_in(config.student, shape, len(classes))} if config.blackbox else {}
    kind = BlackBoxAdvGAN if config.blackbox else AdvGAN
    return kind(generator(shape, config), discriminator(shape, config), config, seed, classes, fields, classifier=classifier,
                **networks)


def generator(shape, config):
    """input [n, H, W, C] in [-1, 1] -> images of the same shape, none of whose numbers differs by more than 2 bound."""
    images = keras.Input(shape, name="input")
    x = RoundUp(4)(images)
    for i in range(3):
        x = _conv(config.filters * 2**i, strides=1 if i == 0 else 2)(x)
        x = layers.ReLU()(InstanceNormalization()(x))
    for _ in range(config.blocks):
        y = layers.ReLU()(InstanceNormalization()(_conv(x.shape[-1])(x)))
        x = layers.Add()([x, InstanceNormalization()(_conv(x.shape[-1])(y))])
    for i in (1, 0):
        x = layers.Conv2DTranspose(config.filters * 2**i, 4, 2, padding="same", use_bias=False, kernel_initializer=_weights())(x)
        x = layers.ReLU()(InstanceNormalization()(x))
    x = layers.Conv2D(shape[-1], 3, padding="same", kernel_initializer=_weights())(x)
    x = Cut()([x, images])
    return keras.Model(images, Perturbed(2 * config.bound, dtype="float32", name="images")([images, x]), name="generator")


@keras.saving.register_keras_serializable("kgan")
class Perturbed(layers.Layer):
    """layer([images, change]): images in [-1, 1], changed by at most `bound`: by bound · tanh(change), cut to [-1, 1].

    The paper's code cuts the change to ± ε, and what lies beyond has no gradient any more.
    """

    def __init__(self, bound, **kwargs):
        super().__init__(**kwargs)
        self.bound = bound

    def call(self, inputs):
        images, change = inputs
        return tf.clip_by_value(images + self.bound * tf.tanh(change), -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "bound": self.bound}


def discriminator(shape, config):
    """image [n, H, W, C] -> logits [n, k], one for each patch."""
    images = x = keras.Input(shape, name="image")
    for i in range(2 if min(shape[:2]) < 16 else 3):
        x = layers.Conv2D(config.filters * 2**i, 4, 2, padding="same", use_bias=i == 0, kernel_initializer=_weights())(x)
        x = layers.LeakyReLU(negative_slope=0.2)(BatchNormalization(momentum=0.9, epsilon=1e-5)(x) if i else x)
    x = layers.Conv2D(config.discriminator_outputs, 1, kernel_initializer=_weights(), dtype="float32", name="logits")(x)
    return keras.Model(images, layers.Reshape((-1,), dtype="float32", name="patches")(x), name="discriminator")


def _conv(width, strides=1):
    return layers.Conv2D(width, 3, strides, padding="same", use_bias=False, kernel_initializer=_weights())


def _weights():
    return keras.initializers.HeNormal()


