"""Built-in clips: two stick figures, of other bodies and clothes, that dance; a pose picture beside each frame.

So a model that makes frames of poses can be measured: gloves, shoes and hat have colours of their own, by which it is seen
where hands, feet and head have come to (`measure`). A dance is angles that swing; what is drawn depends on the seed alone.
"""
import dataclasses
import functools
import re

import numpy as np
from PIL import Image, ImageDraw

from kgan.data import files, pairs
from kgan.data.cache import cached, expanded
from kgan.data.source import DataError, Source

SPLITS = {"train": (0, 60), "test": (1, 8)}  # name: (stream of the seed, clips)
FRAMES = 32  # of a clip
SIZES = 32, 128
JOINTS = ("head", "neck", "hip", "left elbow", "left hand", "right elbow", "right hand", "left knee", "left foot", "right knee",
          "right foot")
LIMBS = [(0, 1), (1, 2), (1, 3), (3, 4), (1, 5), (5, 6), (2, 7), (7, 8), (2, 9), (9, 10)]
POSE_COLORS = [(255, 255, 255), (255, 255, 0), (255, 80, 80), (255, 0, 0), (80, 255, 80), (0, 255, 0), (255, 160, 255), (255, 0, 255),
               (120, 160, 255), (0, 60, 255)]  # of the limbs
MARKERS = {0: (120, 20, 160), 4: (255, 20, 170), 6: (20, 200, 70), 8: (255, 150, 0), 10: (20, 120, 255)}  # joint: its colour in frames
# lengths in sides of a frame: torso, upper and lower arm, thigh and shin, head; width of the limbs; colours
ACTORS = {
    "slim": dict(torso=0.24, arm=0.13, leg=0.17, head=0.055, width=0.035, shirt=(70, 90, 120), skin=(206, 168, 140), legs=(40, 44, 52),
                 wall=(214, 222, 230), floor=(150, 160, 172)),
    "stout": dict(torso=0.20, arm=0.15, leg=0.14, head=0.075, width=0.06, shirt=(170, 60, 50), skin=(150, 104, 76), legs=(96, 84, 70),
                  wall=(236, 224, 196), floor=(158, 122, 88)),
}


def source(image_size=64, channels=3, split="train", count=None, seed=0):
    """The clips of the stout figure, frame by frame, or what was drawn of them before.

    Args:
        image_size: int, 32 to 128.
        channels: 3.
        split: "train" or "test": other dances.
        count: clips of 32 frames; None: 60 ("train") or 8 ("test").
        seed: int, not negative.

    Returns:
        Source of uint8 [31 count, S, S, 3]: `image`, a frame from the second of its clip on, and `before`, the one before it; `input`
        and `input_before`, the pictures of their poses. Clips follow one another.

    Raises:
        DataError: an argument out of range.
    """
    if split not in SPLITS or channels != 3 or not SIZES[0] <= image_size <= SIZES[1] or (count is not None and count < 1):
        raise DataError(f"dances: are in colour, of {SIZES[0]} to {SIZES[1]} pixels, split train or test; not image_size={image_size}, "
                        f"channels={channels}, split={split}, count={count}")
    stream, default = SPLITS[split]
    key = {"version": 1, "image_size": int(image_size), "stream": stream, "count": int(count or default), "seed": int(seed)}
    arrays, _ = cached("dances", key, lambda directory: _write(directory, **key))
    return Source("dances", arrays, kinds={"input": "image", "input_before": "image", "before": "image"})


def _write(directory, version, image_size, stream, count, seed):
    clips = [clip("stout", image_size, [seed, stream, i])[:2] for i in range(count)]
    poses, frames = (np.stack(some) for some in zip(*clips))
    for name, some in {"input": poses[:, 1:], "input_before": poses[:, :-1], "image": frames[:, 1:],
                       "before": frames[:, :-1]}.items():
        np.save(directory / f"{name}.npy", some.reshape(-1, *some.shape[2:]))
    return {}


def clip(actor, size, seed, frames=FRAMES, body=None):
    """A dance of one of ACTORS.

    Args:
        actor: whose frames.
        size: pixels a side.
        seed: of the dance: the same for every actor.
        frames: how many.
        body: whose lengths the pose pictures and joints have; None: the actor's own. (Of another's, they are those that the
            actor's dance has in the other's body: Everybody Dance Now's normalised poses.)

    Returns:
        (pose pictures uint8 [T, size, size, 3], frames uint8 [T, size, size, 3], joints float64 [T, 11, 2], x and y in pixels).
    """
    angles = dance(seed, frames)
    own, asked = (joints(ACTORS[name], angles) for name in (actor, body or actor))
    poses, frames = [_pose(each, size) for each in asked], [_frame(each, size, ACTORS[actor]) for each in own]
    return np.stack(poses), np.stack(frames), asked * size


def dance(seed, frames):
    """Angles of a dance, dict of name to float64 [T]: two swings each, that come round after a whole number of frames."""
    rng, time = np.random.default_rng(seed), np.arange(frames) / 16

    def swing(middle, width):
        found = np.full(frames, middle, float)
        for beat in (1, 2):
            found += width / beat * rng.uniform(0.4, 1) * np.sin(2 * np.pi * (beat * time * rng.choice([0.5, 1]) + rng.uniform()))
        return found

    return {"sway": swing(0, 0.05), "bounce": np.abs(swing(0, 0.03)), "lean": swing(0, 0.18), "nod": swing(0, 0.3),
            **{f"{side} arm": swing(0.9, 0.9) for side in ("left", "right")},
            **{f"{side} elbow": swing(0.7, 0.8) for side in ("left", "right")},
            **{f"{side} leg": swing(0.28, 0.25) for side in ("left", "right")},
            **{f"{side} knee": swing(-0.2, 0.25) for side in ("left", "right")}}


def joints(actor, angles):
    """Where the joints of a body are: float64 [T, 11, 2], x and y in sides of a frame."""
    def towards(start, length, angle):  # 0 is down, positive to the right
        return start + length * np.stack([np.sin(angle), np.cos(angle)], -1)

    sway, up = angles["sway"], 0.90 - 2 * actor["leg"] * 0.97
    hip = np.stack([0.5 + sway, up + angles["bounce"]], -1)
    neck = towards(hip, actor["torso"], np.pi - angles["lean"])
    found = [towards(neck, actor["head"] * 1.35, np.pi - angles["lean"] - angles["nod"]), neck, hip]
    for side, sign in (("left", -1), ("right", 1)):
        elbow = towards(neck, actor["arm"], sign * angles[f"{side} arm"])
        found += [elbow, towards(elbow, actor["arm"], sign * (angles[f"{side} arm"] + angles[f"{side} elbow"]))]
    for side, sign in (("left", -1), ("right", 1)):
        knee = towards(hip, actor["leg"], sign * angles[f"{side} leg"])
        found += [knee, towards(knee, actor["leg"], sign * (angles[f"{side} leg"] + angles[f"{side} knee"]))]
    return np.stack(found, 1)


def _drawn(draw_on, size, ground, large=4):
    """A picture that is drawn several times as large, on a plain ground."""
    image = Image.new("RGB", (large * size, large * size), ground)
    draw_on(ImageDraw.Draw(image), large * size)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def _pose(joints, size):
    def draw_on(draw, side):
        for (one, other), color in zip(LIMBS, POSE_COLORS):
            draw.line([tuple(side * joints[one]), tuple(side * joints[other])], color, max(1, round(side / 32)))
        _disc(draw, side * joints[0], side / 32, (255, 255, 255))
    return _drawn(draw_on, size, (0, 0, 0))


def _frame(joints, size, actor):
    def draw_on(draw, side):
        draw.rectangle([0, 0.8 * side, side, side], actor["floor"])
        width = round(actor["width"] * side)
        for one, other in LIMBS[6:]:
            _limb(draw, side * joints[one], side * joints[other], width, actor["legs"])
        _limb(draw, side * joints[1], side * joints[2], 2 * width, actor["shirt"])
        for one, other in LIMBS[2:6]:
            _limb(draw, side * joints[one], side * joints[other], width, actor["skin"])
        _disc(draw, side * joints[0], side * actor["head"], actor["skin"])
        for joint, color in MARKERS.items():
            place, radius = joints[joint], 0.042
            if joint == 0:  # the hat lies on the head
                place, radius = place - [0, 0.7 * actor["head"]], 0.05
            _disc(draw, side * place, side * radius, color)
    return _drawn(draw_on, size, actor["wall"])


def _disc(draw, place, radius, color):
    draw.ellipse([*(place - radius), *(place + radius)], color)


def _limb(draw, one, other, width, color):
    draw.line([tuple(one), tuple(other)], color, width)
    for end in one, other:
        _disc(draw, end, width / 2, color)


# === What clips measure ===

@functools.cache
def _shades():
    colors = [*MARKERS.values(), *{actor[part] for actor in ACTORS.values() for part in ("shirt", "skin", "legs", "wall", "floor")}]
    return np.array(colors, np.float32)


def measure(frames, joints, before=None):
    """Whether a clip's figure is where the poses asked it to be, and whether it flickers.

    Args:
        frames: uint8 [T, S, S, 3].
        joints: [T, 11, 2], as of `clip`, in pixels, of the body of the figure in the frames.
        before: uint8 [T, S, S, 3], real frames of the same poses; None: there are none.

    Returns:
        dict of floats: `found`, the share of hands and feet that are seen: at least four pixels of their colour; `pose_error`, the
        mean distance of these from where they should be, in pixels; and beside real frames `flicker`: the mean absolute difference of
        pixels from the frame before, where the real ones do not change at all, of 255.
    """
    shades, errors, seen = _shades(), [], []
    for frame, places in zip(frames, joints):
        near = ((frame[..., None, :].astype(np.float32) - shades) ** 2).sum(-1)
        nearest, close = near.argmin(-1), near.min(-1) < 60 ** 2
        for i, joint in enumerate(MARKERS):
            if joint == 0:
                continue
            y, x = np.nonzero((nearest == i) & close)
            seen.append(len(y) >= 4)
            if seen[-1]:
                errors.append(np.hypot(x.mean() + 0.5 - places[joint, 0], y.mean() + 0.5 - places[joint, 1]))
    figures = {"found": float(np.mean(seen)), "pose_error": float(np.mean(errors)) if errors else float("nan")}
    if before is not None:
        still = (before[1:] == before[:-1]).all(-1)
        change = np.abs(frames[1:].astype(np.float64) - frames[:-1]).mean(-1)
        figures["flicker"] = float(change[still].mean())
    return figures


def _by_number(name):
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def in_order(source, split="train"):
    """A Source of pairs, frames in the order of their names and their poses, as the four fields of `source`.

    Raises:
        DataError: there is but one frame; or names are in another order than their numbers.
    """
    if source.name.startswith("folder:"):
        for side in pairs.find(expanded(source.name.removeprefix("folder:"), "folder:"), split).values():
            names = [name for name, *_ in files.survey(side)[0]]
            for one, other in zip(sorted(names), sorted(names, key=_by_number)):
                if one != other:
                    raise DataError(f"{side}: frames are taken in the order of their names, in which {one!r} comes before "
                                    f"{other!r}: write numbers with as many digits each, as in 0001.png")
    arrays = {name: source.arrays[name] for name in ("input", "image")}
    if len(arrays["image"]) < 2:
        raise DataError(f"{source.name}: holds no two frames, one after the other")
    return dataclasses.replace(source, arrays={
        "input": arrays["input"][1:], "input_before": arrays["input"][:-1],
        "image": arrays["image"][1:], "before": arrays["image"][:-1],
    }, kinds=dict.fromkeys(("input", "input_before", "image", "before"), "image"), classes={}, groups={})
