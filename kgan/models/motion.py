"""motion: video frames from poses: one person dances as another did (Chan et al. 2019).

Chan, Ginosar, Zhou, Efros 2019, "Everybody Dance Now", arXiv:1808.07371, upon pix2pixHD.

    python train.py --model=motion                                         a stick figure learns its frames from its poses
    python train.py --model=motion --dataset=folder:CLIP --image_size=64   your own: CLIP/A pose pictures, CLIP/B frames, in order
    python benchmarks/dances.py runs/motion-dances                         dances never seen, and another figure's, measured; a GIF
    python -m kgan.translate runs/NAME POSES --out=FRAMES                  frames and a GIF of pose pictures, in order of their names

G makes a frame of its pose picture and the frame before. It learns on two frames at once: the first follows nothing, black,
and the second follows the first that it has made; D sees both beside both poses, so that they must fit together.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.advice import Alarm
from kgan.anysize import Cut, Reflect, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Loss, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.models._residual import block, convolved, weights
from kgan.models.pix2pixhd import coarse, judged, matched


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """Networks for a laptop; the paper's are pix2pixHD's, of 512×256 pixels."""

    preset: Literal["laptop"] = "laptop"
    dataset: str = "dances"
    evaluate_by: EvaluateBy = "l1"
    batch_size: int = 4
    steps: int = 2_000
    loss: Loss = "least_squares"
    generator_learning_rate: Scheduled = "linear:5e-4:0:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:2e-4:0:0.5:1"
    ema_decay: Scheduled = 0.99
    content_weight: float = 10.0  # of the differences in D's features (the paper's λ of feature matching)
    pixel_weight: float = 10.0  # of the mean absolute difference, in the place of the paper's loss in VGG's features

    filters: int = 16
    halvings: int = 2
    blocks: int = 3
    upsampling: Literal["transpose", "resize"] = "resize"
    # residual blocks of a network at full size that adds details to the image before its tanh; 0: there is none. The paper has
    # such a residual for a cut around the face, with a discriminator of its own; here it is of the whole frame
    detail_blocks: int = 0
    discriminators: int = 2
    discriminator_filters: int = 16
    discriminator_layers: int = 3
    noise_dim: int = 0

    # the pose and the one before; the frame before
    needs: ClassVar[dict] = {"input": "image", "input_before": "image", "before": "image", "image": "image"}
    presets: ClassVar[dict] = {"laptop": {}}

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "halvings", "blocks", "discriminators", "discriminator_filters", "discriminator_layers"):
            self._check(name, 1)
        if self.noise_dim:
            raise ConfigError(f"noise_dim={self.noise_dim}: motion takes no noise, leave it out")
        if self.augment:
            raise ConfigError(f"augment={self.augment}: would change a frame and not its pose; leave it out")


@keras.saving.register_keras_serializable("kgan")
class Motion(GAN):
    """In training an example is two frames, joined along the channels: `before`, and `image` that follows it."""

    Config = Config

    told = ("content",)

    def real(self, batch):
        return tf.concat([self._field(batch, "before"), super().real(batch)], -1)

    def make(self, noise, given=None, network=None, training=False):
        """A frame of each pose and of the frame before; in training both frames, the second made upon the first."""
        if not training:
            return super().make(noise, given, network)
        nothing = -tf.ones_like(given["before"])
        first = super().make(noise, {**given, "input": given["input_before"], "before": nothing}, network, True)
        return tf.concat([first, super().make(noise, {**given, "before": first}, network, True)], -1)

    def judge(self, examples, given=None, training=True):
        """As GAN's; of two frames the first is judged in the place of `before`."""
        depth = self.fields[self.key].shape[-1]
        if examples.shape[-1] == 2 * depth:
            given, examples = {**given, "before": examples[..., :depth]}, examples[..., depth:]
        return super().judge(examples, given, training)

    def content(self, real, fake, given, judged):
        real = real[..., -fake.shape[-1]:]
        wanted = self.judge(real, given)
        loss = self.config.content_weight * matched(wanted, judged) / self.config.discriminators
        loss += self.config.pixel_weight * tf.reduce_mean(tf.abs(real - fake))
        self._means["content"].update_state(loss)
        return loss

    def directions(self, given, real, made):
        """What is made beside the pose, and beside the frame before, which it must not be."""
        return {**super().directions(given, real, made), "_frame": (given["before"], made, real)}

    def alarms(self):
        return [Alarm("G gives back the frame before (change_frame below 0.05 in 3 rows of the log; what it should make has 1): it no "
                      f"longer looks at the pose. Try --set content_weight above {self.config.content_weight}, or a "
                      f"generator_learning_rate below {self.config.generator_learning_rate}",
                      3, lambda row: row.get("change_frame", 1) < 0.05)]

    def roll(self, poses, first=None, network=None):
        """A clip: each frame is made upon the one before, that was made.

        Args:
            poses: float [T, H, W, C] in [-1, 1].
            first: float [H, W, C], the frame before the first; None: nothing, black, as in training.
            network: the generator; None: the averaged one.

        Returns:
            float32 numpy array [T, H, W, C'] in [-1, 1].
        """
        network = network or self.ema_generator
        size = (1, *poses.shape[1:3], self.fields[self.key].shape[-1])
        before = -tf.ones(size) if first is None else tf.convert_to_tensor(first)[None]
        frames = []
        for pose in tf.convert_to_tensor(poses):
            before = network({"input": pose[None], "before": before})
            frames.append(before[0])
        return keras.ops.convert_to_numpy(tf.stack(frames))


def build(shape=(64, 64, 3), config=None, seed=0, fields=None, **settings):
    """A motion for images.

    Args:
        shape: (H, W, C) of the frames, and H, W of the pose pictures.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: int (there is no noise; the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input`, `input_before`, `before` and `image`; None: all have this shape.

    Returns:
        Motion, not compiled. Its generator takes images of any height and width, and gives them back as large.

    Raises:
        ConfigError: the images are too small, or are no images.
    """
    config = Config.given(config, settings)
    least = 2 ** (config.halvings + 1)
    if len(shape) != 3 or min(shape[:2]) < least:
        raise ConfigError(f"motion is for images of at least {least} pixels with halvings={config.halvings}, not "
                          f"{'×'.join(map(str, shape))}")
    fields = fields or {name: Field(kind, shape) for name, kind in config.needs.items()}
    poses = fields["input"].shape[-1]
    return Motion(generator(poses, shape[-1], config), discriminator(poses, shape[-1], config), config, seed, fields=fields)


def generator(poses, made, config):
    """input [n, any H, any W, poses] and before [n, H, W, made] in [-1, 1] -> images [n, H, W, made] in [-1, 1]."""
    given, before = keras.Input((None, None, poses), name="input"), keras.Input((None, None, made), name="before")
    both = RoundUp(2 ** (config.halvings + 1))(layers.Concatenate()([given, before]))
    x = _levels(coarse(both.shape[-1], 0, config)(both)["maps"], made)
    if config.detail_blocks:
        detail = convolved(layers.Concatenate()([both, layers.Activation("tanh")(x)]), config.filters)
        for _ in range(config.detail_blocks):
            detail = block(detail)
        x = layers.Add()([x, _levels(detail, made)])
    x = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model({"input": given, "before": before}, Cut(dtype="float32", name="images")([x, given]), name="generator")


def _levels(x, made):
    """What a tanh makes images of."""
    return layers.Conv2D(made, 7, kernel_initializer=weights())(Reflect(3)(x))


def discriminator(poses, made, config):
    """Two frames and their poses, [n, H, W, C] in [-1, 1] each, by the names of the fields -> dict, as pix2pixHD's."""
    depths = {"input_before": poses, "input": poses, "before": made, "image": made}
    inputs = {name: keras.Input((None, None, depth), name=name) for name, depth in depths.items()}
    return keras.Model(inputs, judged(layers.Concatenate()([*inputs.values()]), config), name="discriminator")
