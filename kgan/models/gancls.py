"""GAN-CLS: images from captions; D also sees wrong captions, and so learns what words mean (Reed et al. 2016).

Reed, Akata, Yan, Logeswaran, Schiele, Lee 2016, "Generative Adversarial Text to Image Synthesis", arXiv:1605.05396.

    python train.py --model=gancls                        "a large red 7 in italic", 32 pixels, about 7 CPU minutes
    python train.py --model=gancls --dataset=folder:PATH --image_size=64          images with captions, see docs/data.md
    python train.py --model=gancls --set preset=published --image_size=64         the paper's algorithm and sizes

G makes a picture of noise and of a caption, read by a small convolutional network. D sees three kinds of pairs: a picture
with its caption is real; a made picture, and a real one with the caption of something else, are not. What the paper does not
have, and without which the digits of captioned glyphs came out as asked in 41 % alone, now in 94 % (docs/results.md):
D learns which caption of a batch is a real picture's, and G to make pictures that D finds the right caption for (Zhang, Koh,
Baldridge, Lee, Yang 2021, "Cross-Modal Contrastive Learning for Text-to-Image Generation", arXiv:2101.04702); noise and
caption reach G at each size; D compares by a product (Miyato & Koyama 2018, arXiv:1802.05637) and is spectrally normalised.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers, ops

from kgan.advice import Alarm
from kgan.config import ConfigError, Loss, Scheduled
from kgan.draws import GENERATOR
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import ConditionalBatchNormalization
from kgan.models import dcgan
from kgan.models._shapes import check_shape
from kgan.replicas import joined, len_of


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    """The default is a network for a laptop and 32 pixels; `published` has the paper's algorithm and sizes, for 64."""

    needs: ClassVar[dict] = {"caption": "tokens", "image": "image"}

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "captions"
    steps: int = 3_000
    loss: Loss = "hinge"
    discriminator_normalization: Literal["batch", "layer", "spectral", "none"] = "spectral"
    noise_dim: int = 32
    beta_1: float = 0.0
    beta_2: Scheduled = 0.9
    generator_learning_rate: Scheduled = "linear:5e-4:5e-5:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:1e-3:1e-4:0.5:1"  # published: 2e-4 both
    evaluate_count: int = 2_000
    tokens: Literal["words", "characters"] = "words"  # of captions in files: what a caption is cut into
    vocabulary: int = 2_000  # of these the most frequent so many, with the end and what stands for all others
    mismatched: bool = True  # whether D sees real pictures with wrong captions (CLS)
    interpolation: float = 0.0  # weight of what G makes of the mean of two captions (INT); published: 0.5; 0: none
    matching: Scheduled = 1.0  # weight of finding each picture's caption among those of the batch; 0: not asked for
    fusion: bool = True  # whether noise and caption steer G's normalisation at each size; else G only begins with them
    projection: bool = True  # whether D compares by a product; else by a convolution over picture and caption
    word_dim: int = 32  # numbers of a word
    text_dim: int = 64  # of a whole caption

    presets: ClassVar[dict] = {
        "laptop": {},
        # their encoder is a char-CNN-RNN of 1,024 numbers, trained before on its own; reduced to 128 (section 4.1)
        "published": dict(filters=64, noise_dim=100, text_dim=128, word_dim=128, generator_learning_rate=2e-4,
                          discriminator_learning_rate=2e-4, ema_decay=0.0, loss="non_saturating", discriminator_normalization="batch",
                          beta_1=0.5, beta_2=0.999, interpolation=0.5, matching=0.0, fusion=False, projection=False),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("vocabulary", 4)
        self._check("word_dim", 1)
        self._check("text_dim", 1)


@keras.saving.register_keras_serializable("kgan")
class GANCLS(GAN):
    """Algorithm 1 of the paper, and equation 5. Batches have `mismatch` beside `caption`: those of something else."""

    Config = Config
    measures = {"r_precision": True, **{f"{word}_{name}": True for word in ("caption", "unseen")
                                        for name in ("label", "color", "size", "slant", "all")}}

    # of how many pairs D finds the right caption likelier than a wrong one: of real pictures, of what G makes
    told = "d_caption", "g_caption"

    def given(self, batch):
        return super().given(batch) | {"mismatch": self._field(batch, "mismatch")}

    def others(self, judged, given, training):
        """Real pictures with wrong captions: s_w of algorithm 1."""
        wrong = self._join(judged["maps"], given["mismatch"], training)
        self._means["d_caption"].update_state(tf.sign(judged["logits"] - wrong) / 2 + 0.5)
        return [wrong] if self.config.mismatched else []

    def self_supervision(self, real, judged, given, draw):
        return self.matching(judged, given)

    def content(self, real, fake, given, judged):
        wrong = self._join(judged["maps"], given["mismatch"], training=False)
        self._means["g_caption"].update_state(tf.sign(self._join(judged["maps"], given["caption"], False) - wrong) / 2 + 0.5)
        return self.matching(judged, given)

    def matching(self, judged, given):
        """-log of the share of each picture's own caption among all of the batch, weighed: XMC-GAN's loss of images and sentences.

        D learns it of real pictures alone, so that what G learns of it is what the words mean. The same caption of another
        picture is no wrong answer, and is left out.
        """
        if not self.config.matching:
            return 0.0
        text = self.judging().get_layer("text")(given["caption"])
        (seen, text), (caption,) = joined([judged["direction"], tf.cast(text, tf.float32)]), joined([given["caption"]])
        scores = tf.matmul(seen, text, transpose_b=True) / self.config.text_dim**0.5
        same = tf.reduce_all(caption[:, None] == caption[None], -1) & ~tf.eye(len_of(scores), dtype=tf.bool)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(len_of(scores)), tf.where(same, -1e9, scores))
        return self.now(self.config.matching) * tf.reduce_mean(entropy)

    def _join(self, maps, caption, training):
        """D's logits of what it has seen of pictures, with these captions."""
        text = self.judging().get_layer("text")(caption, training=training)
        return tf.cast(self.judging().get_layer("logits")([maps, text], training=training), tf.float32)

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        loss = super().generator_loss(real, fake, given, noise, draw, training)
        if not (training and self.config.interpolation):
            return loss
        # equation 5 with β = .5, of half a batch: no picture has such a caption, so none can be real
        some = {name: values[::2] for name, values in given.items()}
        text, told = (self._between(network, some) for network in (self.generator, self.discriminator))
        made = self.generator.get_layer("images")([noise[::2], text], training=True)
        maps, _ = self.discriminator.get_layer("maps"), self.check("the generated examples", made)
        logits = self.discriminator.get_layer("logits")(
            [maps(self.view(made, GENERATOR, draw, "between"), training=True), told], training=True)
        logits = tf.cast(logits, tf.float32)
        real_logits = self.logits(real[::2], some) if self.objective.relativistic else None
        return loss + self.config.interpolation * self.objective.generator(*self._compared(real_logits, logits))

    def _between(self, network, given):
        encode = network.get_layer("text")
        return (encode(given["caption"], training=True) + encode(given["mismatch"], training=True)) / 2

    def alarms(self):
        return [Alarm("G ignores the captions: what it makes suits them no better than others (g_caption below 0.6 in 10 rows of the log). "
                      "Try more --steps, --set matching=1, --set mismatched=true; and see that captions say what can be seen",
                      10, lambda row: row.get("g_caption", 1) < 0.6, first=1_000)]

    def figures(self, evaluator, samples, asked=None):
        """`r_precision`, by kgan.metrics.matching; of captioned glyphs of each attribute in how many samples it is as asked.

        `caption_ATTRIBUTE` of pairs of digit and colour that training has, `unseen_ATTRIBUTE` of those that are held back;
        `caption_all` and `unseen_all`, that all four are right; as a classifier reads them.
        """
        from kgan.metrics import matching, readers
        return matching.figures(evaluator, samples) | readers.figures(evaluator, samples)


def build(shape=(32, 32, 3), config=None, seed=0, fields=None, **settings):
    """A GAN-CLS for images.

    Args:
        shape: (H, W, C) of images in [-1, 1], H and W from 8 on.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise.
        fields: dict of the kgan.kinds.Field of `caption` (kind tokens, `more["words"]` its vocabulary) and `image`; None: the
            captions of the built-in data set.

    Returns:
        GANCLS, not compiled.

    Raises:
        ConfigError: the shape is none of those, or there is no vocabulary.
    """
    config = Config.given(config, settings)
    check_shape(shape, "gancls", odd=True)
    fields = fields or {"caption": built_in(), "image": Field("image", shape)}
    caption = known(fields["caption"], "gancls")
    return GANCLS(generator(shape, caption, config), discriminator(shape, caption, config), config, seed, fields=fields)


def known(caption, model):
    """The kgan.kinds.Field of the captions. Raises ConfigError: it has no vocabulary."""
    if not caption.more.get("words"):
        raise ConfigError(f"{model}: the field `caption` has no vocabulary; give it as more={{\"words\": [\"\", …]}}")
    return caption


def built_in():
    """kgan.kinds.Field of the captions of the built-in data set."""
    from kgan.data.captions import LENGTH, WORDS
    return Field("tokens", (LENGTH,), more={"words": list(WORDS), "tokens": "words"})


def generator(shape, caption, config):
    """noise [n, noise_dim] and caption int32 [n, T] -> images [n, H, W, C] in [-1, 1]."""
    noise = keras.Input((config.noise_dim,), name="noise")
    tokens = keras.Input(caption.shape, dtype="int32", name="caption")
    text = keras.Input((config.text_dim,), name="text")
    drawn = keras.Model([noise, text], grow([noise, text], shape, config), name="images")
    return keras.Model({"noise": noise, "caption": tokens}, drawn([noise, encoder(caption, config)(tokens)]), name="generator")


def grow(vectors, shape, config):
    """Noise [n, d] and what is known of the caption [n, e] -> images [n, H, W, C] in [-1, 1]."""
    both = layers.Concatenate()(vectors)
    steered = lambda x: ConditionalBatchNormalization(kernel_initializer=keras.initializers.RandomNormal(0, 0.02))([x, both])
    return dcgan.grow(both, shape, config, steered if config.fusion else None)


def encoder(caption, config):
    """caption int32 [n, T] -> float32 [n, text_dim]: convolutions over words, the largest over all places."""
    tokens = keras.Input(caption.shape, dtype="int32", name="caption")
    # of the size of what it is joined to: with Keras's own, fifty times smaller, D took thousands of steps to notice the captions
    x = layers.Embedding(len(caption.more["words"]), config.word_dim, embeddings_initializer=keras.initializers.RandomNormal(0, 1))(tokens)
    for _ in range(2):
        x = layers.Conv1D(2 * config.text_dim, 3, padding="same", activation="relu")(x)
    x = layers.LayerNormalization(dtype="float32")(layers.Dense(config.text_dim)(layers.GlobalMaxPooling1D()(x)))
    return keras.Model(tokens, x, name="text")


def discriminator(shape, caption, config, name="discriminator"):
    """image [n, H, W, C] and caption int32 [n, T] -> a dict of `logits` [n, k], `maps`, what it has seen of the image, and
    `direction` [n, text_dim], what that would be as a caption."""
    image = keras.Input(shape, name="image")
    tokens = keras.Input(caption.shape, dtype="int32", name="caption")
    see = keras.Model(image, dcgan.shrink(image, config), name="maps")
    maps, text = keras.Input(see.output_shape[1:]), keras.Input((config.text_dim,))
    flat = layers.Flatten()(maps)
    direction = keras.Model(maps, dcgan.linear(flat, config.text_dim, config, "as_text"), name="direction")
    if config.projection:
        match = layers.Dot(axes=-1, dtype="float32")([direction(maps), text]) / config.text_dim**0.5
        logits = layers.Add(dtype="float32")([dcgan.linear(flat, config.discriminator_outputs, config, "linear"), match])
    else:  # the text at each place (section 4.1), then a convolution of single places that sees both
        spread = layers.Reshape((1, 1, config.text_dim))(text) * ops.ones_like(maps[..., :1])
        x = layers.Conv2D(maps.shape[-1], 1)(layers.Concatenate()([maps, spread]))
        x = layers.Flatten()(layers.LeakyReLU(negative_slope=0.2)(x))
        logits = dcgan.linear(x, config.discriminator_outputs, config, "linear")
    join = keras.Model([maps, text], logits, name="logits")
    shown = see(image)
    outputs = {"logits": join([shown, encoder(caption, config)(tokens)]), "maps": shown}
    if config.matching or config.projection:
        outputs["direction"] = direction(shown)
    return keras.Model({"image": image, "caption": tokens}, outputs, name=name)
