"""Folders of images with captions: `--model=gancls --dataset=folder:PATH`. Two layouts, at any depth:

    PATH/labels.csv        a column with the paths of images, and a column `caption`
    PATH/a.png a.txt …     beside each image a text of the same name, whose first line is its caption

Images without a caption are left out and counted. What lies in a folder whose name begins with `test` is the test split.
The captions are cut into tokens as kgan.data.texts does; the vocabulary is that of the training split.
"""
import hashlib
import json
import os

import numpy as np

from kgan import sizes
from kgan.data import attributes, files, folder, texts
from kgan.data.cache import cached, expanded
from kgan.data.onthefly import Mismatched
from kgan.data.source import DataError, Source
from kgan.kinds.tokens import split as cut

SPLITS = "train", "test"


def source(path, image_size=None, channels=None, crop=True, tokens="words", vocabulary=2_000, split="train"):
    """The images below a folder that have captions, in the order of their relative paths.

    Args:
        path, image_size, channels, crop: as for `kgan.data.folder.source`; `channels` None: 3.
        tokens, vocabulary: as for `kgan.data.texts.source`.
        split: "train" or "test".

    Returns:
        Source of `image` uint8 [N, height, width, channels], `caption` int32 [N, T], T as long as 99 % of the training
        captions (longer ones lose their end), and `mismatch`, the captions of others.

    Raises:
        DataError: no such folder or split, no captions, more than a tenth of the images undecodable.
    """
    if split not in SPLITS:
        raise DataError(f"folder:{path}: captioned images have the splits {' and '.join(SPLITS)}, not {split!r}")
    if channels not in (None, 1, 3):
        raise DataError(f"Images have 1 channel (grey) or 3 (colour), not {channels}.")
    image_size, root = sizes.setting(image_size or 64), os.path.realpath(expanded(str(path), "folder:"))
    found, left_out = files.survey(root)
    captions, note = captions_of(root, [name for name, *_ in found], left_out)
    train, own = ({name: text for name, text in captions.items() if _is_test(name) == test} for test in (False, split == "test"))
    if not train or not own:
        raise DataError(f"folder:{path}: no image of the split {'train' if not train else split} has a caption: it stands in the column "
                        "`caption` of labels.csv, or in NAME.txt beside NAME.png. " + note)
    cuts = {name: cut(text, tokens) for name, text in train.items()}
    if len({*map(tuple, cuts.values())}) < 2:
        raise DataError(f"folder:{path}: all {len(cuts)} captions are the same, {next(iter(train.values()))!r}: there is nothing to learn "
                        "from them; a model without captions learns the images")
    words = texts.vocabulary_of(cuts.values(), vocabulary, (cut(text, tokens) for name, text in captions.items() if _is_test(name)))
    length = max(1, int(np.ceil(np.quantile([len(parts) for parts in cuts.values()], texts.COVERED))))
    note = " ".join(filter(None, (note, files.note(left_out))))
    key = dict(kind="captioned", version=3, root=root, split=split, image_size=image_size, channels=channels, crop=bool(crop),
               tokens=tokens, vocabulary=vocabulary, files=hashlib.sha256(json.dumps([found, captions]).encode()).hexdigest())
    arrays, notes = cached(f"captioned-{os.path.basename(root)}", key, lambda directory: _write(
        directory, root, own, words, length, tokens, image_size, channels or 3, crop))
    told = {"words": words, "tokens": tokens}
    return Source(f"folder:{path}", {**arrays, "mismatch": Mismatched(arrays["caption"])}, note=" ".join(filter(None, (note, notes["note"]))),
                  kinds={"caption": "tokens", "mismatch": "tokens"}, more={"caption": told, "mismatch": told})


def captions_of(root, names, left_out):
    """The captions of images: (dict of relative path to text, a note about images and texts that have none).

    `left_out`, of `kgan.data.files.survey`, loses the files that hold captions.
    """
    if said := attributes.read(root):
        table = attributes.Table(root, names, *said)
        if "caption" in table.columns:
            _without(left_out, {said[0]})
            rows, note = table.described(["caption"])
            return {name: cells[0] for name, cells in rows.items()}, note.strip()
    found, more = {}, 0
    beside = {name: os.path.splitext(name)[0] + ".txt" for name in names}
    for name, text in beside.items():
        if os.path.isfile(os.path.join(root, text)) and (lines := texts.lines_of(root, [text])):
            found[name] = lines[0]
            more += len(lines) > 1
    _without(left_out, {*beside.values()})
    silent = len(names) - len(found)
    note = f"{silent} of {len(names)} images have no caption and are left out. " if silent and found else ""
    note += f"{more} texts have more than one line, of which the first is the caption. " if more else ""
    return found, note.strip()


def _without(left_out, names):
    for reason in [*left_out]:
        left_out[reason] = [name for name in left_out[reason] if name not in names]
        if not left_out[reason]:
            del left_out[reason]


def _is_test(name):
    return any(part.lower().startswith("test") for part in name.split("/")[:-1])


def _write(directory, root, captions, words, length, tokens, image_size, channels, crop):
    images = folder.allocate(directory / "image.npy", (len(captions), *sizes.pair(image_size), channels))
    kept, broken = [], {}
    for name in captions:
        try:
            images[len(kept)], _ = folder.decode(os.path.join(root, name), image_size, channels, crop)
            kept.append(name)
        except Exception as error:  # Pillow raises nearly anything on broken files
            broken[name] = folder.reason(error)
    listing = files.tolerate(broken, len(captions), root, "images", "cannot be decoded")
    if broken:
        images.flush()
        np.save(directory / "image.npy", np.array(images[:len(kept)]))
    cuts = [cut(captions[name], tokens) for name in kept]
    np.save(directory / "caption.npy", texts.encoded([parts[:length] for parts in cuts], words, tokens, length))
    note = f"{len(broken)} images cannot be decoded and are left out ({listing}). " if broken else ""
    long = sum(len(parts) > length for parts in cuts)
    note += f"{long} of {len(cuts)} captions have more than {length} {tokens} and lose their end. " if long else ""
    return {"note": (note + texts.remarks(cuts, words, tokens)).strip()}
