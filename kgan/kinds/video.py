"""Video: short clips, stored as uint8 [T, H, W, C], seen by networks as float32 in [-1, 1]; C is 1 (grey) or 3 (RGB).

T frames are shown RATE a second. A clip has no shape that tells it from voxels: data and models name the kind.
"""
import contextlib
import importlib.util
import io
import tempfile

import numpy as np
from PIL import Image, ImageSequence

from kgan.kinds import _compare, image
from kgan.kinds.image import flatten, scale, store  # noqa: F401, pixels are pixels

FIELD, OUTPUT, UNIT = "video", "videos", "clips"
RANGE = (-1.0, 1.0)
PLOT = False
SHOWN = 16
RATE = 10  # frames a second of the files that are written
FFMPEG = importlib.util.find_spec("imageio_ffmpeg") is not None  # encodes and decodes MP4
MEDIA = {"image/gif": ".gif", **({"video/mp4": ".mp4"} if FFMPEG else {}), "image/png": ".png", "application/x-npy": ".npy"}
FORMATS = ("GIF", "WEBP", "PNG")  # what Pillow may find in a file; PNG: animated ones are
MOVIES = (".mp4", ".m4v", ".mov") if FFMPEG else ()
SUFFIXES = (".gif", ".webp", ".png", ".apng", *MOVIES)
MAX_PIXELS = 1 << 26  # of all frames of a file that `read` decodes


# === Files ===

def read(data, field, max_pixels=MAX_PIXELS):
    """The bytes of an animated GIF, WebP or PNG file, or of an MP4 where imageio-ffmpeg is installed, as uint8 [T, H, W, C].

    A frame that is shown longer than others comes as often as that is longer. A still picture is a clip in which nothing
    moves. Transparent pixels become white.

    Raises:
        ValueError: it is no clip, has more than `max_pixels` in all, or another size or length than `field` wants.
    """
    length, height, width, channels = field.shape
    clip = decode(data, channels, max_pixels, length)
    if length and len(clip) == 1:
        clip = np.repeat(clip, length, 0)
    found, wanted = clip.shape[:3], tuple(size or own for size, own in zip((length, height, width), clip.shape))
    if found != wanted:
        raise ValueError("the clip has {} frames of {}×{} pixels; {} of {}×{} are needed".format(
            found[0], found[2], found[1], wanted[0], wanted[2], wanted[1]))
    return clip


def decode(data, channels=3, max_pixels=MAX_PIXELS, length=None):
    """All frames of a file's bytes at an even pace: uint8 [T, H, W, channels].

    The pace is that of `length` frames in all where that fits how long each is shown, else that of the shortest.

    Raises:
        ValueError: as `read`, of what is no clip or too large.
    """
    try:
        if data[4:8] == b"ftyp":
            return _movie(data, channels, max_pixels)
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            count = getattr(file, "n_frames", 1)
            _bounded(count, file.height, file.width, max_pixels)  # before they are decoded
            frames, durations = [], []
            for frame in ImageSequence.Iterator(file):
                frames.append(np.asarray(flatten(frame.copy()).convert("L" if channels == 1 else "RGB")))
                durations.append(frame.info.get("duration") or 1000 / RATE)  # in ms; 0: viewers take about this
        times = _times(np.array(durations), length)
        _bounded(times.sum(), *frames[0].shape[:2], max_pixels)
        return np.repeat(np.stack(frames), times, 0).reshape(-1, *frames[0].shape[:2], channels)
    except ValueError:
        raise
    except Exception:  # Pillow raises nearly anything on broken files
        raise ValueError(f"this is no clip that can be read; {', '.join(SUFFIXES)} are") from None


def _times(durations, length):
    """How often each frame comes at an even pace."""
    paces = [durations.sum() / length] if length else []
    for pace in (*paces, durations.min()):
        times = durations / pace
        if np.abs(times - np.rint(times)).max() < 0.01 and times.min() > 0.5:
            break
    return np.maximum(np.rint(times), 1).astype(int)


def _bounded(count, height, width, max_pixels):
    if int(count) * height * width > max_pixels:
        raise ValueError(f"{count} frames of {width}×{height} pixels, more than {max_pixels} pixels")


def _movie(data, channels, max_pixels):
    """An MP4's frames, uint8 [T, H, W, channels]. FFmpeg is told the container: it would open lists of other files too."""
    if not FFMPEG:
        raise ValueError("MP4 files are read where imageio-ffmpeg is installed (pip install imageio-ffmpeg)")
    import imageio_ffmpeg

    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        options = dict(input_params=["-f", "mp4", "-protocol_whitelist", "file"])
        with contextlib.closing(imageio_ffmpeg.read_frames(file.name, **options)) as reader:
            (width, height), frames = next(reader)["size"], []
            _bounded(1, height, width, max_pixels)
            for frame in reader:
                _bounded(len(frames) + 1, height, width, max_pixels)
                frames.append(np.frombuffer(frame, np.uint8).reshape(height, width, 3))
    if channels == 1:
        frames = [np.asarray(Image.fromarray(frame).convert("L"))[..., None] for frame in frames]
    return np.stack(frames)


def write(sample, media="image/gif", rate=RATE):
    """A clip float [T, H, W, C] as a GIF that runs for ever (of colours the 256 that suit each frame best), an MP4 (an odd
    side repeats its last pixels), a film strip (.png) or all its numbers, float32 (.npy)."""
    sample = np.asarray(sample, np.float32)
    if media == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, sample)
        return buffer.getvalue()
    if media == "image/png":
        buffer = io.BytesIO()
        sheet(sample[None], smallest=0).save(buffer, "PNG")
        return buffer.getvalue()
    pixels = store(sample)
    return {"image/gif": _gif, "video/mp4": _mp4}[media](pixels, rate)


def _gif(pixels, rate):
    frames = [Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in pixels]
    if frames[0].mode == "RGB":  # more than these a GIF's frame has not
        frames = [frame.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], loop=0, duration=round(1000 / rate), optimize=False)
    return buffer.getvalue()


def _mp4(pixels, rate):
    import imageio_ffmpeg

    height, width = pixels.shape[1:3]
    pixels = np.pad(pixels, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")  # the codec wants even sides
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/clip.mp4"
        writer = imageio_ffmpeg.write_frames(path, pixels.shape[2:0:-1], fps=rate, macro_block_size=2, codec="libx264",
                                             quality=None, output_params=["-crf", "16", "-movflags", "+faststart"])
        writer.send(None)
        for frame in pixels:
            writer.send(frame.tobytes())
        writer.close()
        with open(path, "rb") as file:
            return file.read()


# === Pictures ===

def sheet(samples, behind=None, columns=8, smallest=512, gap=1):
    """Film strips, one picture: each clip's frames from left to right, `columns` frames a row and no clip across rows.

    Args:
        samples: float [n, T, H, W, C] in [-1, 1].
        behind: not used.
        columns: frames a row, as far as a clip is not longer: clips longer than half of it have a row each.
        smallest, gap: as for images.

    Returns:
        PIL.Image of mode L or RGB.
    """
    samples = np.asarray(samples)
    count, length = samples.shape[:2]
    return image.sheet(samples.reshape(count * length, *samples.shape[2:]), columns=_row(length, count, columns),
                       smallest=smallest, gap=gap)


def sheet_size(shape, count=1, columns=1, gap=1):
    """(height, width) of a `sheet` without border of `count` clips [T, H, W, …]."""
    return image.sheet_size(shape[1:], count * shape[0], _row(shape[0], count, columns), gap)


def _row(length, count, columns):
    return length * min(max(columns // length, 1), count)


def animated(samples, columns=8, smallest=256, rate=RATE):
    """The bytes of a GIF in which clips [n, T, H, W, C] run beside each other, for ever."""
    frames = [image.sheet(frame, columns=columns, smallest=smallest) for frame in np.asarray(samples).swapaxes(0, 1)]
    return _gif(np.stack([np.asarray(frame).reshape(frame.height, frame.width, -1) for frame in frames]), rate)


def beside(samples, rate=RATE):
    """{".gif": the clips in motion}."""
    return {".gif": animated(samples, rate=rate)}


def images(samples):
    """What a clip shows and how it moves, float32 [n, H, W, 3C]: its first frame, its last, and half of what the one after
    its middle differs from the one before."""
    samples = np.asarray(samples, np.float32)
    middle = samples.shape[1] // 2
    moves = (samples[:, middle] - samples[:, max(middle - 1, 0)]) / 2
    return np.concatenate([samples[:, 0], samples[:, -1], moves], -1)


# === Measures ===

def differences(samples):
    """Half of how each frame differs from the one before, [n, T - 1, H, W, C] in [-1, 1]: where something moves, and flicker."""
    samples = np.asarray(samples, np.float32)
    return (samples[:, 1:] - samples[:, :-1]) / 2


def compare(made, true):
    """Two aligned batches of clips as the files that they would be: dict of float64 [n].

    `psnr` in dB and `l1` over all of a clip, `ssim` the mean of its frames', `motion_l1` that of what changes from frame to
    frame, 0 to 1; 0 too of a single frame.
    """
    made, true = store(made), store(true)
    count, length, height = made.shape[:3]
    tall = [clips.reshape(count, length * height, *clips.shape[3:]) for clips in (made, true)]
    frames = [clips.reshape(count * length, *clips.shape[2:]) for clips in (made, true)]
    moves = [np.diff(clips.astype(np.float64), axis=1) for clips in (made, true)]
    motion = np.abs(moves[0] - moves[1]).reshape(count, -1)
    return {"psnr": _compare.psnr(*tall), "ssim": _compare.ssim(*frames).reshape(count, length).mean(1),
            "l1": _compare.l1(*tall), "motion_l1": motion.sum(1) / max(motion.shape[1], 1) / 510}


def examples(field, count, seed=0):
    """Smooth random images that drift, float32 [count, *field.shape]; free sizes are 8 frames of 32 pixels."""
    length, height, width, channels = (size or free for size, free in zip(field.shape, (8, 32, 32, 1)))
    rng = np.random.default_rng(seed)
    t, y, x = (np.linspace(0, 1, size)[shape] for size, shape in
               ((length, np.s_[:, None, None, None]), (height, np.s_[:, None, None]), (width, np.s_[:, None])))
    turns = rng.uniform(-3, 3, (count, 4, 1, 1, 1, channels))
    return np.sin(turns[:, 0] * y + turns[:, 1] * x + turns[:, 2] * t + np.pi * turns[:, 3]).astype(np.float32)
