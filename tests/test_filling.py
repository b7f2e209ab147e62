"""Semantic inpainting: a search in the noise of a trained generator."""
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kgan import GAN, Config, filling, latent, models
from kgan.config import ConfigError
from kgan.data.degrade import degrade
from kgan.data.source import DataError
from kgan.kinds import image as image_kind

SHAPE, ROOT = (8, 8, 1), latent.Path(latent.__file__).parents[1]


def linear_gan(loss="non_saturating", seed=0, noise_dim=3):
    """A generator of one layer, whose samples near 0 are linear in noise: of each there is one noise alone."""
    keras.utils.set_random_seed(seed)
    start = keras.initializers.RandomNormal(0, 0.3)
    noise = keras.Input((noise_dim,), name="noise")
    made = keras.layers.Reshape(SHAPE)(keras.layers.Dense(64, activation="tanh", kernel_initializer=start)(noise))
    image = keras.Input(SHAPE, name="image")
    logits = keras.layers.Dense(1, kernel_initializer=start)(keras.layers.Flatten()(image))
    return GAN(keras.Model(noise, made), keras.Model(image, logits), Config(noise_dim=noise_dim, loss=loss))


@pytest.fixture(scope="module")
def gan():
    return linear_gan()


def masks(count=2):
    found = np.zeros((count, 8, 8, 1), np.float32)
    found[:, 2:6, 3:7] = 1
    found[1:, 0, :2] = 1
    return found


# === Weights: equation 4 ===

def test_weights_by_hand():
    missing = np.zeros((1, 4, 5, 1), np.float32)
    missing[0, 1, 1] = missing[0, 1, 2] = 1
    weights = np.asarray(filling.weights_of(tf.constant(missing), 3))[0, ..., 0]
    # windows of 3×3: 4 pixels in a corner, 6 at an edge, 9 within; how many of these are missing
    wanted = [[1 / 4, 2 / 6, 2 / 6, 1 / 6, 0],
              [1 / 6, 0, 0, 1 / 9, 0],
              [1 / 6, 2 / 9, 2 / 9, 1 / 9, 0],
              [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(weights, wanted, atol=1e-6)


def test_weights_grow_towards_the_hole():
    # the authors' code counts the known neighbours: it would be the other way round
    missing = np.zeros((1, 16, 16, 1), np.float32)
    missing[0, :, :5] = 1
    row = np.asarray(filling.weights_of(tf.constant(missing), 7))[0, 8, :, 0]
    np.testing.assert_allclose(row, [0] * 5 + [3 / 7, 2 / 7, 1 / 7] + [0] * 8, atol=1e-6)


# === Blending: equation 9 ===

def test_poisson_against_a_sparse_solution():
    sparse, solver = pytest.importorskip("scipy.sparse"), pytest.importorskip("scipy.sparse.linalg")
    rng = np.random.default_rng(0)
    made, image = rng.uniform(-0.2, 0.2, (2, 2, 9, 11, 2)).astype(np.float32)
    missing = np.zeros((2, 9, 11, 1), np.float32)
    missing[0, 2:7, 3:9], missing[0, 0, 0], missing[1, :5, :4] = 1, 1, 1  # one hole touches the border
    found = np.asarray(filling.poisson(tf.constant(made), tf.constant(image), tf.constant(missing)))
    for n in range(2):
        hole = missing[n, ..., 0] == 1
        numbers, places = np.cumsum(hole).reshape(hole.shape) - 1, np.argwhere(hole)
        matrix, right = sparse.lil_matrix((len(places), len(places))), np.zeros((len(places), 2))
        for row, (i, j) in enumerate(places):
            for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if not (0 <= y < 9 and 0 <= x < 11):
                    continue
                matrix[row, row] += 1
                right[row] += made[n, i, j].astype(float) - made[n, y, x]  # the gradient that is to be kept
                if hole[y, x]:
                    matrix[row, numbers[y, x]] -= 1
                else:
                    right[row] += image[n, y, x]
        np.testing.assert_allclose(found[n][hole], solver.spsolve(matrix.tocsr(), right), atol=1e-4)


def test_poisson_takes_a_shift_away_and_leaves_what_has_no_border():
    image = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8, 8, 1)).astype(np.float32)
    missing = np.stack([masks(1)[0], np.ones((8, 8, 1), np.float32)])
    found = np.asarray(filling.poisson(tf.constant(image + 0.3), tf.constant(image), tf.constant(missing)))
    np.testing.assert_allclose(found[0][missing[0] == 1], image[0][missing[0] == 1], atol=1e-4)
    np.testing.assert_allclose(found[1], image[1] + np.float32(0.3), atol=1e-6)


# === The search ===

def test_what_the_generator_made_is_found_again(gan):
    true = gan.generate(3, seed=5)
    missing = np.concatenate([masks(), masks(1)[:, ::-1]])
    broken = np.where(missing == 1, np.float32(np.nan), true)  # what lies in the hole is not looked at
    filled, samples, noise = latent.fill(gan, broken, missing, steps=300, restarts=2, prior=0.0)
    known = np.broadcast_to(missing == 0, true.shape)
    assert filled[known].tobytes() == true[known].tobytes()
    before = np.abs(true[~known]).mean()
    assert np.abs(filled - true)[~known].mean() < 0.05 * before and np.abs(samples - true).mean() < 0.05
    assert noise.shape == (3, 3) and np.linalg.norm(noise, axis=1).max() <= np.sqrt(3) + 2 + 1e-5
    np.testing.assert_allclose(gan.make(noise), samples, atol=1e-5)


def test_no_image_counts_in_another_and_the_best_start_counts(gan):
    true, missing = gan.generate(2, seed=5), masks()
    both = filling.fill(gan, true, missing, steps=3)
    np.testing.assert_allclose(filling.fill(gan, true[1:], missing[1:], steps=3)[1], both[1][1:], atol=1e-5)
    np.testing.assert_array_equal(filling.fill(gan, true, missing, steps=3, batch_size=1)[1], both[1])

    def apart(samples):
        return (filling.weights_of(tf.constant(missing)) * np.abs(samples - true)).numpy().sum((1, 2, 3))
    single = [apart(filling.fill(gan, true, missing, steps=1, restarts=count, prior=0.0)[1]) for count in (1, 8)]
    assert (single[1] <= single[0] + 1e-6).all() and single[1].sum() < single[0].sum()


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein"])
def test_the_prior_is_what_d_says(loss):
    gan = linear_gan(loss)
    samples = gan.generate(4)
    logits = np.asarray(gan.logits(samples, training=False))[:, 0].astype(np.float64)
    wanted = np.log(1 - 1 / (1 + np.exp(-logits))) if loss == "non_saturating" else -logits
    np.testing.assert_allclose(filling._judge(gan)(samples, None), wanted, rtol=1e-4)
    # with nothing to go by, D alone decides
    found = [filling.fill(gan, samples[:1], np.ones((1, 8, 8, 1)), steps=80, prior=prior)[1] for prior in (0.0, 1.0)]
    assert np.diff([float(gan.logits(one, training=False)[0, 0]) for one in found])[0] > 0.1


def test_adam_is_keras_adam(gan):
    # of a smooth loss: rows of which each has its own
    start, target = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    found = filling._adam(lambda noise: tf.reduce_sum((noise - target) ** 2, 1), tf.constant(start), 40, 0.05, lambda noise: noise)
    noise = keras.Variable(start)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 40), epsilon=1e-8)
    for _ in range(40):
        optimizer.apply([2 * (noise.value - target)], [noise])
    np.testing.assert_allclose(found, noise, atol=1e-4)


def test_a_class_is_searched():
    keras.utils.set_random_seed(0)
    gan = models.build("cgan", (8, 8, 1), dict(noise_dim=4, jit_compile=False), classes=["a", "b"])
    true = gan.generate(2, label=[1, 0])
    asked = [filling.fill(gan, true, masks(), label=label, steps=2)[1] for label in ("a", [1, 0])]
    assert np.abs(asked[0][0] - asked[1][0]).max() > 1e-6 and np.allclose(asked[0][1], asked[1][1], atol=1e-6)


# === Other degradations ===

@pytest.mark.parametrize("text", ["grey", "blur:1.5", "downscale:2", "blur:1+grey", "jpeg:95+noise:0"])
def test_operators_are_the_degradations(text):
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 20, 3), np.uint8)
    wanted = degrade(text, images, 0, range(3)).astype(float)
    found = (np.asarray(filling.operator_of(text)(tf.constant(image_kind.scale(images.astype(np.float32))))) + 1) * 127.5
    if "jpeg" in text:  # what these add cannot be known
        np.testing.assert_allclose(found, images, atol=1e-3)
    else:  # but for rounding, and Pillow's blur, which is made of boxes
        assert np.abs(found - wanted).mean() < (3 if "blur" in text else 0.8) < 0.1 * np.abs(images - wanted).mean()


def test_a_blurred_sample_is_found_again(gan):
    true = gan.generate(2, seed=5)
    blurred = np.asarray(filling.operator_of("blur:1")(tf.constant(true)))
    restored = filling.fill(gan, blurred, degrade="blur:1", steps=300, prior=0.0)[0]
    assert np.abs(restored - true).mean() < 0.1 * np.abs(blurred - true).mean()


# === Exported ===

def test_a_signature_of_the_saved_model(tmp_path):
    from export import contract, saved_model
    gan = linear_gan()
    filling.export(gan, steps=20, restarts=2)
    told = contract.interface(gan)
    names = [[each["name"] for each in told["functions"]["fill"][way]] for way in ("inputs", "outputs")]
    assert names == [["input", "mask"], ["images"]]
    saved_model.write({name: gan.exported(name) for name in gan.exports()}, told, tmp_path / "out", gan.latents)
    serve = tf.saved_model.load(str(tmp_path / "out")).signatures["fill"]
    true, missing = gan.generate(3, seed=5), np.concatenate([masks(), masks(1)])
    found = serve(input=tf.constant(true), mask=tf.constant(missing))
    assert list(found) == ["images"]
    filled = filling.fill(gan, true, missing, steps=20, restarts=2)[0]
    np.testing.assert_allclose(found["images"], filled, atol=1e-5)
    known = np.broadcast_to(missing == 0, true.shape)
    assert np.asarray(found["images"])[known].tobytes() == true[known].tobytes() and np.abs(filled - true)[~known].max() > 1e-3


@pytest.mark.slow
def test_exported_by_the_command(finished, command, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    done = command("-m", "export", run, "--fill", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    done = command("-m", "export.check", run, cwd=ROOT)
    assert done.returncode == 0 and "sound" in done.stdout, done.stdout + done.stderr


# === What cannot be ===

def test_mistakes(gan):
    true = gan.generate(2)
    with pytest.raises(ValueError, match=r"images \[2, 8, 8, 1\] and masks \[1, 8, 8, 1\]: the generator makes \[8, 8, 1\]"):
        filling.fill(gan, true, masks(1))
    with pytest.raises(ConfigError, match="degrade=mask:0.3: mask cannot be undone"):
        filling.fill(gan, true, degrade="mask:0.3")
    with pytest.raises(ConfigError, match="window=4"):
        filling.fill(gan, true, masks(), window=4)
    of_images = models.build("inpaint", (8, 8, 1), dict(filters=2, discriminator_filters=2))
    with pytest.raises(ConfigError, match="searches the noise of a GAN that makes images of noise"):
        filling.fill(of_images, true, masks())


# === Files and the command ===

def test_a_mask_is_cut_as_its_image_is(tmp_path):
    Image.new("RGB", (40, 20)).save(tmp_path / "image.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[:10, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    settings = {"shape": [8, 8, 1], "crop": True}
    found = filling.read_mask(tmp_path / "mask.png", tmp_path / "image.png", settings)
    wanted = np.zeros((8, 8))
    wanted[:4, :4] = 1  # of the middle 20 columns the first ten
    np.testing.assert_array_equal(found[0, ..., 0], wanted)
    Image.fromarray(mask[:8, :8]).save(tmp_path / "small.png")  # as the run has it
    assert filling.read_mask(tmp_path / "small.png", tmp_path / "image.png", settings).mean() == 1
    Image.fromarray(mask[:9, :8]).save(tmp_path / "other.png")
    with pytest.raises(DataError, match="other.png: the mask is 8×9 pixels; 40×20 are needed"):
        filling.read_mask(tmp_path / "other.png", tmp_path / "image.png", settings)


def test_command(finished, command, images, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    file = sorted(images.rglob("*.png"))[0]
    with Image.open(file) as opened:
        mask = np.zeros((opened.height, opened.width), np.uint8)
    mask[: len(mask) // 2] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "out" / "filled.png"
    done = command("-m", "kgan.latent", run, "fill", file, tmp_path / "mask.png", "--steps=3", f"--out={out}", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    path, second = done.stdout.splitlines()
    assert second == str(out) and "fill-steps-3-" in path
    filled = np.asarray(Image.open(out))
    true = latent.read_images([file], latent.Run(run).settings())[0]
    half = len(filled) // 2
    np.testing.assert_array_equal(filled[half:], image_kind.store(true).squeeze()[half:])
    for words, message in ((["fill", file], "name an image and its mask"), (["fill", file, "x.png", "--count=3"], "does not read it"),
                           (["fill", file, "--degrade=blurr:2"], "did you mean 'blur'"), (["fill", file, "none.png"], "none.png")):
        wrong = command("-m", "kgan.latent", run, *words, cwd=ROOT)
        assert wrong.returncode == 2 and message in wrong.stderr, wrong.stderr

