import numpy as np
import pytest
import skimage.color
import skimage.metrics
import tensorflow as tf

from kgan.data.degrade import degrade
from kgan.kinds import _compare, image


def pairs(channels, size=40, cut=None):
    """Images and what degradations of different strength make of them.

    Textured all over: in plain bright places TensorFlow's float32 loses the variance, .0003 of SSIM with white grounds.
    """
    true = np.random.default_rng(0).integers(0, 256, (6, size, size, channels)).astype(np.uint8)
    true = degrade("blur:1.2", true, 0, range(6))[:, :cut]
    made = np.concatenate([degrade(text, true[i:i + 2], 0, range(2)) for i, text in
                           ((0, "noise:5"), (2, "blur:2+jpeg:20"), (4, "noise:120"))])
    return made, true


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("cut", [None, 11, 27])
def test_psnr_and_ssim_are_tensorflows(channels, cut):
    made, true = pairs(channels, cut=cut)
    np.testing.assert_allclose(_compare.psnr(made, true), tf.image.psnr(made, true, 255), rtol=1e-4)
    np.testing.assert_allclose(_compare.ssim(made, true), tf.image.ssim(made, true, 255), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_scikit_images(channels):
    made, true = pairs(channels)
    for i, (one, other) in enumerate(zip(made, true)):
        assert _compare.psnr(made, true)[i] == pytest.approx(
            skimage.metrics.peak_signal_noise_ratio(other, one, data_range=255), rel=1e-10)
        wanted = skimage.metrics.structural_similarity(other, one, gaussian_weights=True, sigma=1.5, data_range=255,
                                                       use_sample_covariance=False, channel_axis=-1)
        assert _compare.ssim(made, true)[i] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("channels, size, cut", [(3, 184, None), (1, 190, 177)])
def test_ms_ssim_is_tensorflows(channels, size, cut):
    made, true = pairs(channels, size, cut)
    np.testing.assert_allclose(_compare.ms_ssim(made, true), tf.image.ssim_multiscale(made, true, 255), rtol=1e-4)
    assert "ms_ssim" in image.compare(*(image.scale(each.astype(np.float32)) for each in (made, true)))
    assert np.isnan(_compare.ms_ssim(made[:, :, :175], true[:, :, :175])).all()


def test_luma_is_scikit_images():
    rgb = np.random.default_rng(3).integers(0, 256, (2, 9, 8, 3)).astype(np.uint8)
    np.testing.assert_allclose(_compare.luma(rgb)[..., 0], skimage.color.rgb2ycbcr(rgb)[..., 0], rtol=1e-6)
    black_and_white = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    np.testing.assert_allclose(_compare.luma(black_and_white).ravel(), [16, 235], atol=1e-9)
    grey = rgb[..., :1]
    np.testing.assert_array_equal(_compare.luma(grey), grey)
    assert np.isfinite(_compare.psnr(_compare.luma(rgb), _compare.luma(rgb[::-1]))).all()


def test_by_hand():
    true = np.full((3, 12, 12, 1), 100, np.uint8)
    made = true.copy()
    made[1] += 5
    made[2, :6] += 10  # half of it
    np.testing.assert_allclose(_compare.l1(made, true), [0, 5 / 255, 5 / 255])
    # RMSE 0, 5, √50
    np.testing.assert_allclose(_compare.psnr(made, true), [np.inf, 34.1514, 31.1411], atol=1e-4)
    # of constants a and b: (2ab + c1) / (a² + b² + c1), c1 = 2.55²
    np.testing.assert_allclose(_compare.ssim(made[:2], true[:2]), [1, (21_000 + 6.5025) / (21_025 + 6.5025)], rtol=1e-9)


def test_compare_rounds_first():
    true = np.zeros((1, 16, 16, 3), np.float32)  # 127.5: to even, 128
    found = image.compare(true + 0.9 / 255, true)
    assert found["l1"][0] == 0 and found["psnr"][0] == np.inf and found["ssim"][0] == 1
    assert image.compare(true + 2 / 127.5, true)["l1"][0] == pytest.approx(2 / 255)
    assert image.compare(true + 9, true)["l1"][0] == pytest.approx(127 / 255)  # what is beyond the range is cut
    assert [values.dtype for values in found.values()] == [np.float64] * 3


def test_grey_and_colour_can_be_compared():
    made, true = (image.scale(each.astype(np.float32)) for each in pairs(3))
    grey = made[..., :1]
    for one, other in ((grey, true), (true, grey)):
        wanted = image.compare(np.repeat(grey, 3, -1), true)
        for name, values in image.compare(one, other).items():
            np.testing.assert_allclose(values, wanted[name])


def test_too_small_for_ssim():
    made, true = (np.random.default_rng(i).integers(0, 256, (2, 10, 30, 3)).astype(np.uint8) for i in range(2))
    assert np.isnan(_compare.ssim(made, true)).all() and np.isfinite(_compare.psnr(made, true)).all()


def test_what_cannot_be_compared():
    one = np.zeros((2, 12, 12, 3), np.uint8)
    for other in (one[:1], one[..., :1], one.astype(np.float32)):
        with pytest.raises(ValueError, match=r"two uint8 \[n, H, W, C\] are compared"):
            _compare.psnr(one, other)
