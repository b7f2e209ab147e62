import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.data import silhouettes, solids
from kgan.models import prgan

TINY = dict(filters=2, noise_dim=9, rest=1.0)


class TestBattery(Battery):
    model = "prgan"
    cases = {"8": dict(shape=(8, 8, 1), fullness=0.5, **TINY), "16, uniform noise": dict(shape=(16, 16, 1), noise="uniform", **TINY)}

    def test_saved_model_equals_keras(self, gan, shape, tmp_path):
        """What is exported are solids, and their masks."""
        import export.contract
        import export.saved_model

        contract = export.contract.interface(gan)
        assert {name: [(each["name"], each["kind"]) for each in function["outputs"]]
                for name, function in contract["functions"].items()} == {
                    "generator": [("voxels", "voxels")], "silhouette": [("images", "image")]}
        export.saved_model.write({name: gan.exported(name) for name in gan.exports()}, contract, tmp_path / "out")
        loaded, noise = tf.saved_model.load(str(tmp_path / "out")), gan.latents(3, seed=9)
        voxels = loaded.signatures["serving_default"](noise=noise)["voxels"]
        assert voxels.shape == (3, *shape[:2], shape[0], 1)
        np.testing.assert_allclose(voxels, gan.solids(3, seed=9), atol=1e-5)
        np.testing.assert_allclose(loaded.signatures["silhouette"](noise=noise)["images"], gan.make(noise), atol=1e-5)


@pytest.mark.parametrize("shape", [(30, 30, 1), (32, 32, 3), (32, 16, 1), (32, 32, 32, 1), (2,)])
def test_sizes_that_cannot_be(shape):
    with pytest.raises(ConfigError, match="prgan learns from square masks of one channel .*, not " + "×".join(map(str, shape))):
        prgan.build(shape)


@pytest.mark.parametrize("settings, message", [(dict(density=0), "density=0.*: must be above 0"),
                                               (dict(noise_dim=1), "noise_dim=1: must be at least 2"),
                                               (dict(fullness=-1), "fullness=-1.*: must be at least 0")])
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        prgan.Config.of(**settings)


# === The projection ===

def places(distribution):
    """A place in the middle of each of the eight parts of a distribution."""
    middles = (np.arange(8) + 0.5) / 8
    return (tf.math.ndtri(tf.constant(middles)).numpy() if distribution == "normal" else 2 * middles - 1)[:, None].astype(np.float32)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_projection_is_that_of_the_data(distribution):
    voxels = np.repeat(solids.source(image_size=16, count=1).arrays["voxels"][:1], 8, 0).astype(np.float32) * 0.7
    made = prgan.Silhouette(1.5, distribution)([voxels, places(distribution)])
    wanted = 2 * (1 - np.exp(-1.5 * silhouettes.sums(voxels, range(8)))) - 1
    np.testing.assert_allclose(made[..., 0], wanted, atol=1e-5)


def test_projection_by_hand():
    voxels = np.zeros((1, 2, 2, 2, 1), np.float32)
    voxels[0, :, 1, 1, 0] = 0.5, 0.25  # behind each other, seen from 0°, above at the right
    made = np.asarray(prgan.Silhouette(1.0)([voxels, np.float32([[-3]])]))[0, ..., 0]
    np.testing.assert_allclose(made, [[-1, 1 - 2 * np.exp(-0.75)], [-1, -1]], atol=1e-6)


def test_gradient_reaches_what_is_in_the_way_and_nothing_else():
    voxels = tf.Variable(np.full((1, 4, 4, 4, 1), 0.1, np.float32))
    with tf.GradientTape() as tape:
        pixel = prgan.Silhouette(1.0)([voxels, np.float32([[-3]])])[0, 0, 2, 0]  # from 0°: the top layer, y = 2
    slope = np.asarray(tape.gradient(pixel, voxels))[0, ..., 0]
    assert (np.argwhere(slope != 0) == [[x, 2, 3] for x in range(4)]).all()
    np.testing.assert_allclose(slope[:, 2, 3], 2 * np.exp(-0.4), rtol=1e-5)


def test_fullness_rewards_each_voxel_in_training_alone():
    values = np.random.default_rng(0).uniform(0, 0.2, (2, 4, 4, 4, 1)).astype(np.float32)

    def slope(fullness, training):
        voxels = tf.Variable(values)
        with tf.GradientTape() as tape:
            masks = prgan.Silhouette(1.0, fullness=fullness)([voxels, np.float32([[-3], [0.1]])], training=training)
            loss = tf.reduce_mean(masks)
        return np.asarray(masks), np.asarray(tape.gradient(loss, voxels))
    (plain, without), (same, rewarded) = slope(0, True), slope(3, True)
    np.testing.assert_array_equal(plain, same)
    np.testing.assert_allclose(rewarded, without - 3 / 128, atol=1e-7)  # of a loss that has 3 · mean(voxels) less
    np.testing.assert_array_equal(slope(3, False)[1], without)


def test_fullness_is_refused_where_it_would_do_next_to_nothing():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(ConfigError, match="fullness=0.5.*: has no part in the scaling of losses that mixed_float16 needs"):
            prgan.build((8, 8, 1), prgan.Config(fullness=0.5, **TINY))
    finally:
        keras.config.set_dtype_policy("float32")


def test_each_side_comes_as_often():
    gan = prgan.build((8, 8, 1), prgan.Config(**TINY))
    layer = gan.generator.get_layer("images")
    chosen = np.asarray(layer.view(gan.latents(4_000)[:, -1:]))
    assert (chosen.sum(1) == 1).all() and np.abs(chosen.mean(0) - 1 / 8).max() < 0.02


def test_the_last_number_says_only_from_where():
    keras.utils.set_random_seed(1)
    gan = models.build("prgan", (16, 16, 1), TINY)
    noise = np.repeat(gan.latents(1, seed=2), 8, 0)
    noise[:, -1:] = places("normal")
    voxels = np.asarray(gan.exported("generator")(noise))
    np.testing.assert_array_equal(voxels, np.repeat(voxels[:1], 8, 0))
    wanted = 1 - 2 * np.exp(-gan.config.density * silhouettes.sums(voxels, range(8)))
    np.testing.assert_allclose(gan.make(noise)[..., 0], wanted, atol=1e-5)
    np.testing.assert_allclose(gan.solids(3, seed=5), gan.exported("generator")(gan.latents(3, seed=5)), atol=1e-6)


def test_pictures_of_solids_lie_beside_those_of_masks():
    gan = models.build("prgan", (8, 8, 1), TINY)
    picture = gan.drawn(4, seed=1)["solids"]
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(kinds.get("voxels").sheet(gan.solids(4, seed=1))))


# === What it measures ===

def test_figures(monkeypatch):
    gan = models.build("prgan", (16, 16, 1), TINY)
    train = silhouettes.source(image_size=16, count=8)
    evaluator = type("Evaluator", (), {"train": train, "count": 30})()
    true = solids.source(16, "test", 30).arrays["voxels"]
    # the real ones, each turned another way: as good as real
    monkeypatch.setattr(gan, "solids", lambda count: np.rot90(true, 1, (1, 2)).astype(np.float32))
    figures = gan.figures(evaluator, None)
    assert set(figures) == set(gan.measures) and figures["iou_mmd"] == pytest.approx(0) and figures["iou_coverage"] > 0.9
    monkeypatch.setattr(gan, "solids", lambda count: np.ones((30, 16, 16, 16, 1), np.float32))
    worse = gan.figures(evaluator, None)
    assert worse["iou_mmd"] > 0.5 and worse["iou_coverage"] == pytest.approx(1 / 30) and worse["iou_1nna"] > 0.9
    real = gan.real_figures(evaluator, None)  # whatever G makes
    assert 0 < real["iou_mmd"] < worse["iou_mmd"] and real["iou_coverage"] > worse["iou_coverage"]
    evaluator.train = type("Source", (), {"name": "folder:masks"})()
    assert gan.figures(evaluator, None) == gan.real_figures(evaluator, None) == {}


def test_what_silhouettes_do_not_tell_apart():
    """Each of these has the same masks from the sides, in another order; turned by 45° a pole stands where it should."""
    solid = solids.source(16, "test", 1).arrays["voxels"]

    def seen(one):
        return {silhouettes.masks(np.asarray(one), [view]).tobytes() for view in range(0, 8, 2)}
    others = prgan.alike(solid)
    assert len(others) == 16 and all(seen(other) == seen(solid) for other in others[:8])
    pole = np.zeros((1, 16, 16, 16, 1), bool)
    pole[:, 10:12, 7:9] = True  # off the middle along x: turned by 45° it is off along both
    assert {tuple(np.argwhere(other[0, ..., 0, 0]).mean(0)) for other in prgan.alike(pole)[8:]} == {
        (7.5 + x, 7.5 + y) for x in (-2, 2) for y in (-2, 2)}


@pytest.mark.slow
def test_what_is_learned_is_a_solid_not_a_picture():
    """Of silhouettes of one pole in the middle, a pole in the middle: narrow from all sides."""
    keras.utils.set_random_seed(3)
    gan = models.build("prgan", (8, 8, 1), {**TINY, "filters": 8, "ema_decay": 0.9}, seed=1)
    gan.compile()
    pole = np.zeros((16, 8, 8, 8, 1), np.float32)
    pole[:, 3:5, 3:5, :6] = 1
    masks = silhouettes.masks(pole, np.arange(16) % 8).astype(np.float32) * 2 - 1
    gan.fit(tf.data.Dataset.from_tensors({"image": masks}).repeat(250), verbose=0)
    found = gan.solids(8)
    iou = kinds.get("voxels").compare(found, pole[:8])["iou"]
    assert iou.mean() > 0.6


def test_photographs_are_no_masks(recwarn):
    prgan.Config().fitted(np.where(np.random.default_rng(0).random((9, 8, 8, 1)) < 0.5, -1.0, 0.9))
    assert not recwarn
    with pytest.warns(UserWarning, match="prgan learns from masks.* and 7. % of these pixels are grey"):
        prgan.Config().fitted(np.random.default_rng(0).uniform(-1, 1, (9, 8, 8, 1)))
