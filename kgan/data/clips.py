"""Folders of clips: `--dataset=folder:PATH` for a model that makes video. kgan.kinds.video decodes; this file cuts and keeps count."""
import functools
import hashlib
import json
import os
import re
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from kgan import sizes
from kgan.data import files, folder
from kgan.data.cache import cached, expanded
from kgan.data.source import DataError, Source
from kgan.kinds import video

MOVING = (".gif", ".webp", ".apng", *video.MOVIES)  # files that are clips; other images are frames of the folder they lie in
MAX_PIXELS = 1 << 29  # of all frames of a file


def source(path, image_size=None, channels=None, crop=True, frames=16, split="train"):
    """The clips below a folder, at any depth, in the order of their paths.

    A clip is an animated file (GIF, WebP, APNG; MP4 where imageio-ffmpeg is installed), or a folder of images, its frames, in
    the order of the numbers in their names. What is longer than `frames` is cut into as many clips as it has, one after the other;
    what is shorter is left out. Labels are the first-level sub-folders, if each clip lies in one.

    Args:
        path: the folder.
        image_size: pixels of the frames, a number for squares or (height, width); None: 32.
        channels: 1 or 3; None: 3.
        crop: as for `kgan.data.folder.source`.
        frames: of a clip.
        split: "train"; there is no other.

    Returns:
        Source of `video` uint8 [N, frames, H, W, channels] and perhaps `label` int64 [N].

    Raises:
        DataError: no such folder, no clips of so many frames in it, more than a tenth undecodable, or no room on the disk.
    """
    if split != "train":
        raise DataError(f"folder:PATH has no split {split!r}: name the sub-folder instead")
    if channels not in (None, 1, 3):
        raise DataError(f"Clips have 1 channel (grey) or 3 (colour), not {channels}.")
    root = os.path.realpath(expanded(str(path), "folder:"))
    found, left_out = files.survey(root)
    movies = [[name, os.path.getsize(place) if os.path.isfile(place := os.path.join(root, name)) else 0, 0]
              for suffix in video.MOVIES for name in left_out.pop(suffix, [])]
    clips = _clips([name for name, *_ in sorted(found + movies)])
    if not clips:
        raise DataError(f"No clips in {root}: {files.counted(left_out) or 'it holds no files'}. kgan reads {', '.join(MOVING)}"
                        " and folders of images.")
    size = sizes.pair(sizes.setting(image_size or 32))
    key = dict(kind="clips", version=1, files=hashlib.sha256(json.dumps([root, sorted(found + movies)]).encode()).hexdigest(),
               size=size, channels=channels or 3, crop=bool(crop), frames=int(frames))
    write = functools.partial(_write, root, clips, size, channels or 3, crop, int(frames))
    arrays, notes = cached(f"clips-{os.path.basename(root)}", key, write)
    if not len(arrays["video"]):
        raise DataError(f"No clip in {root} has {frames} frames or more: --set frames= sets how many are needed")
    remark = files.layout(path, notes["classes"].get("label", []), what="clips")
    return Source(f"folder:{path}", arrays, notes["classes"], " ".join(filter(None, (notes["note"], files.note(left_out), remark))))


def _clips(names):
    """Dict of a clip's path to its files: itself, or the frames in a folder."""
    clips = {}
    for name in names:
        moves = os.path.splitext(name)[1].lower() in MOVING
        clips.setdefault(name if moves else str(PurePosixPath(name).parent), []).append(name)
    return {clip: sorted(some, key=_numbered) for clip, some in sorted(clips.items())}


def _numbered(name):
    """A name as texts and numbers in turn: 9 comes before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _write(root, clips, size, channels, crop, frames, directory):
    pieces, tops, short, skipped = [], [], 0, {}
    for name, parts in clips.items():
        try:
            clip = _decoded(root, name, parts, size, channels, crop)
        except Exception as error:  # Pillow raises nearly anything on broken files
            skipped[name] = folder.reason(error)
            continue
        count = len(clip) // frames
        short += not count
        pieces += [clip[i * frames:(i + 1) * frames] for i in range(count)]
        tops += [name.partition("/")[0] if "/" in name else None] * count
    listing = files.tolerate(skipped, len(clips), root, "clips", "cannot be decoded")
    array = folder.allocate(directory / "video.npy", (len(pieces), frames, *size, channels))
    for place, piece in zip(array, pieces):
        place[:] = piece
    array.flush()
    classes, remark = files.labels(directory, tops, "clips", least=2)
    note = f"{len(pieces)} clips of {frames} frames from {len(clips)} files and folders of frames. "
    note += f"{short} are shorter and left out. " if short else ""
    note += f"{len(skipped)} cannot be decoded and are left out ({listing}). " if skipped else ""
    return {"classes": classes, "note": (note + remark).strip()}


def _decoded(root, name, parts, size, channels, crop):
    """All frames of a clip, uint8 [T, *size, channels]."""
    if parts != [name]:
        return np.stack([folder.decode(os.path.join(root, part), size, channels, crop)[0] for part in parts])
    frames = video.decode(files.contents(os.path.join(root, name)), 3, MAX_PIXELS)
    return np.stack([folder.pixels(Image.fromarray(frame), size, channels, crop) for frame in frames])
