import keras
import numpy as np
import pytest
from battery import Battery

from kgan import sizes
from kgan.config import ConfigError
from kgan.models import dcgan

TINY = dict(filters=4, noise_dim=8)


class TestBattery(Battery):
    model = "dcgan"
    cases = {
        "8": dict(shape=(8, 8, 1), **TINY),
        "14 colour": dict(shape=(14, 14, 3), **TINY),
        "14 resize, XLA": dict(shape=(14, 14, 3), upsampling="resize", jit_compile=True, **TINY),
        "28 leaky": dict(shape=(28, 28, 1), generator_activation="leaky_relu", **TINY),
        "32 resize, three steps of D": dict(shape=(32, 32, 1), upsampling="resize", discriminator_steps=3, **TINY),
        "8 odd kernel, uniform noise": dict(shape=(8, 8, 3), kernel_size=5, noise="uniform", **TINY),
        "8 layer, minibatch deviation": dict(shape=(8, 8, 1), discriminator_normalization="layer", minibatch_std=True, **TINY),
        "14 spectral": dict(shape=(14, 14, 1), discriminator_normalization="spectral", **TINY),
        "modern": dict(shape=(8, 8, 3), preset="modern", **TINY),
        "8x12": dict(shape=(8, 12, 3), **TINY),
        "12": dict(shape=(12, 12, 1), **TINY),
        "13x10, odd maps, second derivatives, XLA": dict(shape=(13, 10, 1), preset="modern", jit_compile=True, **TINY),
        "10x9 resize": dict(shape=(10, 9, 1), upsampling="resize", **TINY),
    }


# === Sizes ===

@pytest.mark.parametrize("size, sides", [
    (8, [4, 8]), (14, [4, 7, 14]), (16, [4, 8, 16]), (28, [4, 7, 14, 28]), (32, [4, 8, 16, 32]),
    (56, [4, 7, 14, 28, 56]), (64, [4, 8, 16, 32, 64]), (112, [4, 7, 14, 28, 56, 112]), (128, [4, 8, 16, 32, 64, 128]),
    (12, [6, 12]), (10, [5, 10]), (9, [5, 9]), (48, [6, 12, 24, 48]), (96, [6, 12, 24, 48, 96]),
    (100, [4, 7, 13, 25, 50, 100])])
@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_sizes(size, sides, upsampling):
    assert maps((size, size, 1), upsampling) == [(side, side) for side in sides]


@pytest.mark.parametrize("size, sizes", [
    ((64, 96), [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]), ((24, 16), [(6, 4), (12, 8), (24, 16)]),
    ((28, 56), [(4, 7), (7, 14), (14, 28), (28, 56)]), ((9, 100), [(5, 50), (9, 100)])])
@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_sizes_of_rectangles(size, sizes, upsampling):
    assert maps((*size, 1), upsampling) == sizes


def maps(shape, upsampling):
    """The sizes of G's maps from the first to the picture, which are D's from the picture to the last."""
    gan = dcgan.build(shape, dcgan.Config(filters=1, noise_dim=2, upsampling=upsampling))
    assert gan.generator.output_shape == gan.discriminator.input_shape == (None, *shape)
    first, = [layer for layer in gan.generator.layers if isinstance(layer, keras.layers.Reshape)]
    # what the end of a step makes: the convolution, or what cuts its maps to size
    kind = keras.layers.Conv2DTranspose if upsampling == "transpose" else keras.layers.Conv2D
    made = []
    for layer in gan.generator.layers:
        if isinstance(layer, kind):
            made.append(layer.output.shape[1:3])
        elif upsampling == "transpose" and isinstance(layer, keras.layers.Cropping2D):
            made[-1] = layer.output.shape[1:3]
    strided = [layer for layer in gan.discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert all(layer.strides == (2, 2) for layer in strided)
    sizes = [first.output.shape[1:3], *made]
    assert [shape[:2], *(layer.output.shape[1:3] for layer in strided)] == sizes[::-1]
    return sizes


@pytest.mark.parametrize("size, wanted", [((1, 1), "8"), ((4, 4), "8"), ((6, 6), "8"), ((7, 7), "8"), ((7, 20), "8x20"),
                                          ((64, 3), "64x8")])
def test_sizes_that_cannot_be(size, wanted):
    with pytest.raises(ConfigError, match=f"image_size={sizes.text(size)}: dcgan needs 8 .* nearest size is {wanted}$"):
        dcgan.build((*size, 1), dcgan.Config(filters=1))


@pytest.mark.parametrize("shape", [(2,), (10,)])
def test_points_are_refused(shape):
    with pytest.raises(ConfigError, match="--model=mlp"):
        dcgan.build(shape)


# === The published networks ===

def test_parameters_at_28():
    # G: 100·4·4·256 dense, 4·256 BN, 4·4·256·128 conv, 4·128 BN, 4·4·128·64 conv, 4·64 BN, 4·4·64·1 + 1 conv
    # D: 4·4·1·64 + 64 conv, 4·4·64·128 conv, 4·128 BN, 4·4·128·256 conv, 4·256 BN, 4·4·256 + 1 dense
    gan = dcgan.build((28, 28, 1), dcgan.Config(preset="tutorial"))
    assert gan.generator.count_params() == 409_600 + 1_024 + 524_288 + 512 + 131_072 + 256 + 1_025
    assert gan.discriminator.count_params() == 1_088 + 131_072 + 512 + 524_288 + 1_024 + 4_097


def trainable(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_parameters_at_64_are_the_pytorch_tutorial_and_its_missing_biases():
    # 3,576,704 and 2,765,568 in PyTorch's example, which leaves out the biases of G's last layer (3), D's first (64)
    # and D's last (1)
    gan = dcgan.build((64, 64, 3), dcgan.Config(preset="tutorial"))
    assert trainable(gan.generator) == 3_576_704 + 3
    assert trainable(gan.discriminator) == 2_765_568 + 64 + 1
    # and the batch statistics, which PyTorch does not count
    assert gan.generator.count_params() - trainable(gan.generator) == 2 * (512 + 256 + 128 + 64)
    assert gan.discriminator.count_params() - trainable(gan.discriminator) == 2 * (128 + 256 + 512)


def test_resize_has_as_many_parameters():
    transpose, resize = (dcgan.build((28, 28, 1), dcgan.Config(upsampling=name)) for name in ("transpose", "resize"))
    assert transpose.generator.count_params() == resize.generator.count_params()


def test_widths_stop_at_eight_times():
    gan = dcgan.build((256, 256, 1), dcgan.Config(filters=1, noise_dim=2))
    assert [layer.filters for layer in gan.discriminator.layers if isinstance(layer, keras.layers.Conv2D)] == [
        1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_no_batch_normalisation_at_output_and_input(upsampling):
    gan = dcgan.build((16, 16, 1), dcgan.Config(filters=4, upsampling=upsampling))

    def kinds(network):
        return [type(layer).__name__ for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]

    convolution = ["Conv2DTranspose"] if upsampling == "transpose" else ["UpSampling2D", "Conv2D"]
    assert kinds(gan.generator) == ["Dense", "Reshape", "BatchNormalization", "ReLU", *convolution,
                                    "BatchNormalization", "ReLU", *convolution, "Activation"]
    assert kinds(gan.discriminator) == ["Conv2D", "LeakyReLU", "Conv2D", "BatchNormalization", "LeakyReLU", "MinibatchStdDev",
                                        "Flatten", "Dense"]
    slopes = [layer.negative_slope for layer in gan.discriminator.layers if isinstance(layer, keras.layers.LeakyReLU)]
    assert slopes == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_initial_weights(upsampling):
    keras.utils.set_random_seed(0)
    gan = dcgan.build((28, 28, 1), dcgan.Config(upsampling=upsampling))
    for variable in [*gan.generator.trainable_variables, *gan.discriminator.trainable_variables]:
        values, name = np.asarray(variable), variable.path.split("/")[-1]
        if name in ("kernel", "gamma"):
            # N(0, .02), N(1, .02): four standard errors
            assert values.mean() == pytest.approx(1.0 if name == "gamma" else 0.0, abs=4 * 0.02 / values.size**0.5)
            assert values.std() == pytest.approx(0.02, rel=4 / (2 * values.size)**0.5)
        else:
            assert name in ("bias", "beta") and (values == 0).all(), variable.path
    # no two layers alike
    kernels = [np.asarray(v).ravel()[:16] for v in gan.trainable_variables if v.path.endswith("kernel")]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


def test_generator_activation():
    relu, leaky = (dcgan.generator((8, 8, 1), dcgan.Config(filters=2, generator_activation=name))
                   for name in ("relu", "leaky_relu"))
    assert any(isinstance(layer, keras.layers.ReLU) for layer in relu.layers)
    assert [layer.negative_slope for layer in leaky.layers if isinstance(layer, keras.layers.LeakyReLU)] == [
        pytest.approx(0.2)]


@pytest.mark.parametrize("count, settings, said", [
    (300, {}, "with 300 images the run is 1,173 epochs, and D may memorise them: --set preset=few augments them"),
    (300, {"preset": "few"}, ""), (300, {"augment": "flip"}, ""), (2_000, {}, "")])
def test_the_plan_proposes_a_preset_for_few_images(count, settings, said):
    from kgan import report
    from kgan.data.source import Source
    source, config = Source("photos", {"image": np.zeros((count, 8, 8, 3), np.uint8)}), dcgan.Config(**settings)
    lines = report.few(config, source, config.steps * config.batch_size / count)
    assert [line.split(None, 1) for line in lines] == ([["few", said]] if said else [])


def test_the_preset_for_few_images_adapts_its_augmentation():
    config = dcgan.Config(preset="few")
    assert config.augmentations == ("color", "translation", "cutout") and config.augment_target == 0.6 and config.augment_images == 50_000
    assert config.filters < dcgan.Config().filters and config.steps < dcgan.Config().steps
