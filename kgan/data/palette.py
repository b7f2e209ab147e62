"""The colours of label maps and drawings: which there are, found in the images; what the setting `labels` asks for.

A label map is an image each of whose pixels says what is there, by its colour or, where it is grey, by its level.
"""
import re

import numpy as np

from kgan.data.source import DataError
from kgan.kinds.image import strange

MOST = 64        # labels at most
PIXELS = 1 << 22  # looked at, about
NEAR = 12        # a colour is one peak of this radius in the space of colours ...
APART = 40       # ... that holds more than half of what is within this distance: what JPEG and scaling mix at borders is no peak
BESIDE = 52      # within this no other colour is looked for
LEAST = 5e-4     # share of all pixels that a colour has at least
EXACT = 0.98     # of all pixels, that the colours of images without any mixtures have
COVERED = 0.5    # of all pixels, that the colours of drawings and label maps have together; of photos it is far less
TEXT = re.compile(r"|auto|[1-9][0-9]{0,2}|[0-9a-fA-F]{6}(,[0-9a-fA-F]{6})+")


def colours(images):
    """The colours that images are drawn in, the most frequent first.

    Args:
        images: uint8 [N, H, W, C], C 1 or 3.

    Returns:
        list of lists of C ints from 0 to 255; [] where the images are no drawings or label maps: of two to 64 colours.
    """
    flat = np.asarray(images).reshape(-1, images.shape[-1])
    codes, counts = np.unique((flat.astype(np.int32) @ (1 << 8 * np.arange(flat.shape[1]))), return_counts=True)
    values = (codes[:, None] >> 8 * np.arange(flat.shape[1])) & 255
    values, shares = values.astype(np.float64), counts / counts.sum()
    often = np.flatnonzero(shares >= LEAST)
    if 2 <= len(often) <= MOST and shares[often].sum() >= EXACT:  # drawn, and kept without loss
        return [[int(value) for value in values[i]] for i in often[np.argsort(-shares[often], kind="stable")]]
    rough, places = np.unique(values // 4, axis=0, return_inverse=True)
    left, found, covered = shares.copy(), [], np.zeros(len(values), bool)

    def within(colour, radius):
        return ((values - colour) ** 2).sum(1) <= radius ** 2

    for _ in range(4 * MOST):
        peak = rough[np.bincount(places.ravel(), left).argmax()] * 4 + 1.5
        close = within(peak, NEAR)
        if left[close].sum() < LEAST:
            break
        peak = (values[close] * shares[close, None]).sum(0) / shares[close].sum()
        if left[within(peak, NEAR)].sum() > 0.5 * left[within(peak, APART)].sum():
            found.append([int(value) for value in np.rint(peak)])
            covered |= within(peak, 2 * NEAR)
        left[within(peak, BESIDE)] = 0
    return found if 2 <= len(found) <= MOST and shares[covered].sum() >= COVERED else []


def described(source, field, labels=""):
    """What is known of the colours of an image field of a Source: the `more` of its kgan.kinds.Field.

    Args:
        source: Source.
        field: name of one of its image fields.
        labels: the setting: "auto", the colours found; a number N, grey levels from 0 to N - 1; colours as in
            "000000,ff0000"; "": the images are no label maps.

    Returns:
        {"labels": colours} of label maps; {"colours": colours} of other drawings, to draw more of them in; {} of photos.

    Raises:
        DataError: the images are no such label maps; the message says which label or colour does not fit.
    """
    array = source.arrays[field]
    looked_at = min(200, max(4, PIXELS // (array.shape[1] * array.shape[2])))
    rows = np.unique(np.linspace(0, len(array) - 1, looked_at).astype(int))
    if not labels or labels == "auto":
        found = colours(np.asarray(array[rows]))
        if not labels:
            return {"colours": found} if found else {}
        if not found:
            raise DataError(f"labels=auto: {field} of {source.name} has no 2 to {MOST} colours that most of its pixels are of, so it "
                            "is no label map; leave labels out, or name the colours, as in labels=000000,ff0000")
        return {"labels": found}
    if labels.isdecimal():
        return {"labels": _levels(source, field, int(labels))}
    wanted = [[int(colour[i:i + 2], 16) for i in (0, 2, 4)] for colour in labels.split(",")]
    if array.shape[-1] == 1:
        raise DataError(f"labels={labels}: {field} of {source.name} is grey; give the number of its labels, as in labels=12")
    far = strange(np.asarray(array[rows]), wanted)
    if far > 0.2:
        raise DataError(f"labels={labels}: {100 * far:.0f} % of the pixels of {field} of {source.name} are of none of these colours; "
                        "labels=auto finds those that there are")
    return {"labels": wanted}


def _levels(source, field, count):
    array = source.arrays[field]
    if array.shape[-1] != 1:
        raise DataError(f"labels={count}: {field} of {source.name} is in colour, and numbers of labels are levels of grey; labels=auto "
                        "finds the colours")
    for start in range(0, len(array), 256):
        some = np.asarray(array[start:start + 256])
        if (most := int(some.max())) >= count:
            row = start + int(np.flatnonzero(some.max((1, 2, 3)) >= count)[0])
            raise DataError(f"labels={count}: {field} {row} of {source.name} has the label {most}, and there are only 0 to {count - 1}; "
                            f"repair it, or ask for labels={most + 1}")
    return [[level] for level in range(count)]
