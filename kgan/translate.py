"""Files through a model that makes images from images, each under its own name and in its own size.

    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED          all images below, in the same sub-folders
    python -m kgan.translate runs/NAME a.jpg b.png --out=TRANSLATED
    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED --tile=512 --overlap=96

photo.jpg becomes photo.png, without loss; where that would be two files' name, photo.jpg.png. EXIF rotation is applied, once;
transparency is kept, and what is transparent is given to the model in its own colours. What a model restores or enlarges is grey
where the file is, unless colourising is what it has learned. With --depth=16 files have 16 bits a channel, of which grey files that
have them are read with all; others, by Pillow, with 8. Files that are there already are left alone, so an interrupted command goes on;
those that cannot be read are named at the end. No targets are needed.

An image with a side beyond --tile is made in tiles that overlap, blended linearly: memory is bounded by the tile, beside the image
itself. Of a network that sees no farther than a quarter of the overlap this is the same image. Instance normalisation sees the whole
tile: there tiles differ slightly in colour, which the blending spreads over the overlap; the larger the tile, the less. (pix2pix's
preset `restore`, and srgan, have no such layers.)
"""
import struct
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from kgan import command
from kgan.command import UserError
from kgan.data import files, folder
from kgan.data.bicubic import resize
from kgan.data.degrade import parse
from kgan.kinds import image as kind
from kgan.quiet import import_tensorflow
from kgan.run import Run, aside, load

TILE, OVERLAP = 1024, 128


def translate(network, image, tile=TILE, overlap=OVERLAP, multiple=1, depth=8):
    """One image of any size.

    Args:
        network: function of float32 [1, h, w, C] in [-1, 1] that gives [1, s·h, s·w, C'] in [-1, 1], s a whole number.
        image: uint8 or uint16 [H, W, C].
        tile: sides beyond this many pixels are made in tiles of about that size.
        overlap: pixels that neighbouring tiles have in common at least, at most half a tile.
        multiple: tiles begin at multiples of this: the total stride of the network, so that it sees the same grid.
        depth: bits of a number of the result, 8 or 16.

    Returns:
        uint8 or uint16 [s·H, s·W, C'].

    Raises:
        ValueError: the overlap is more than half of a tile, or the tile is less than twice the multiple.
    """
    if not 0 <= overlap <= tile // 2 or tile < 2 * multiple:
        raise ValueError(f"tile={tile}, overlap={overlap}: tiles must be at least {2 * multiple} pixels here, and overlap by at "
                         "most half of one")
    rows, columns = (tiles(side, tile, overlap, multiple) for side in image.shape[:2])
    if len(rows) == len(columns) == 1:
        return stored(np.asarray(network(_seen(image)))[0], depth)
    made = begun = None  # the result; sums and weights of its rows that are not finished: those of two rows of tiles at most
    for (top, bottom), after in zip(rows, [*(start for start, _ in rows[1:]), image.shape[0]]):
        for left, right in columns:
            one = np.asarray(network(_seen(image[top:bottom, left:right])))[0]
            scale = one.shape[0] // (bottom - top)
            if made is None:
                made = np.empty((scale * image.shape[0], scale * image.shape[1], one.shape[-1]), np.uint16 if depth == 16 else np.uint8)
                begun = np.zeros((scale * tile, made.shape[1], one.shape[-1] + 1), np.float32)
            weight = np.outer(*(np.repeat(_ramp(*part, side, overlap), scale) for part, side in (
                ((top, bottom), image.shape[0]), ((left, right), image.shape[1]))))[..., None]
            place = begun[:len(one), scale * left:scale * right]
            place[..., :-1] += weight * one
            place[..., -1:] += weight
        done = scale * (after - top)
        for start in range(0, done, 256):  # a few rows at a time: the quotient of all would be as large as the sums
            part = begun[start:min(start + 256, done)]
            made[scale * top + start:scale * top + start + len(part)] = stored(part[..., :-1] / part[..., -1:], depth)
        begun[:len(begun) - done] = begun[done:].copy()
        begun[len(begun) - done:] = 0
    return made


def _seen(image):
    """Stored pixels [h, w, C] as networks see them, float32 [1, h, w, C]."""
    return kind.scale(image[None].astype(np.float32) / (257 if image.dtype == np.uint16 else 1))


def stored(values, depth=8):
    """float [-1, 1] as uint8, or with 16 bits as uint16, rounded."""
    if depth == 8:
        return kind.store(values)
    return np.clip(np.rint((np.asarray(values, np.float32) + 1) * 32767.5), 0, 65535).astype(np.uint16)


def tiles(side, tile, overlap, multiple=1):
    """The (start, end) of the tiles that cover `side` pixels, starts at multiples and as far apart as may be, all alike."""
    if side <= tile:
        return [(0, side)]
    last = -(-(side - tile) // multiple)  # all in multiples from here
    step = max(1, (tile - overlap) // multiple)
    count = -(-last // step)
    starts = [round(i * last / count) * multiple for i in range(count + 1)]
    return [(start, min(start + tile, side)) for start in starts]


def _ramp(start, end, side, overlap):
    """Weights float32 [end - start] of a tile's rows: 0 for the first and last quarter of the overlap, then rising to 1.

    Not at the image's own edges. What a network makes of a tile's edge is that of an edge, not of what lies beyond it.
    """
    inside = np.arange(end - start) + 0.5
    ramp = np.ones(end - start)
    for distance, at_edge in ((inside, start == 0), (inside[::-1], end == side)):
        if not at_edge and overlap:
            ramp = np.minimum(ramp, np.clip((distance - overlap / 4) / (overlap / 2), 0, 1))
    return ramp.astype(np.float32)


def outputs(sources, out):
    """Where the translations of files go: dict of path to path.

    Args:
        sources: folders, whose images are found at any depth, and files.
        out: folder.

    Raises:
        UserError: there is no such file, no image in a folder, two files would have the same name, or `out` is where
            the images lie.
    """
    out = Path(out)
    names = {}  # file -> its name below out, with its own suffix
    for path in map(Path, sources):
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder")
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise UserError(f"--out={out}: this is where the images lie; choose another folder")
            found, left_out = files.survey(path)
            found = [name for name, *_ in found if out.resolve() not in (path / name).resolve().parents]
            if not found:
                raise UserError(f"{path}: holds no images; kgan reads {', '.join(folder.SUFFIXES)}. {files.note(left_out)}".strip())
            if left_out:
                warnings.warn(f"{path}: {files.note(left_out)}", stacklevel=2)
            names.update({path / name: Path(name) for name in found})
        else:
            names[path] = Path(path.name)
    whole = Counter(name for name in names.values())
    stems = Counter(name.with_suffix("") for name in names.values())
    for path, name in names.items():
        if whole[name] > 1:
            others = [str(other) for other in names if names[other] == name]
            raise UserError(f"{' and '.join(others[:2])} have the same name: translate them into folders of their own")
    placed = {path: out / (name.with_suffix(".png") if stems[name.with_suffix("")] == 1 else f"{name}.png")
              for path, name in names.items()}
    for path in placed:
        if any(path.resolve() == other.resolve() for other in placed.values()):
            raise UserError(f"--out={out}: {path} would be overwritten by a translation; choose another folder")
    return placed


def translate_files(network, channels, placed, tile=TILE, overlap=OVERLAP, multiple=1, overwrite=False, progress=False, depth=8,
                    grey=False):
    """Translates files.

    Args:
        network, tile, overlap, multiple, depth: as for `translate`.
        channels: that the network takes, 1 or 3.
        placed: dict of files to where their translations go, as `outputs` gives it.
        overwrite: whether those that are there are made anew.
        progress: whether a bar is shown.
        grey: whether what is made of grey files is grey, whatever the network makes.

    Returns:
        (made, kept, broken): how many were made, how many were there already, dict of files that cannot be read to why.
    """
    made, kept, broken = 0, 0, {}
    for path, target in tqdm(placed.items(), unit="img", disable=not progress):
        if target.exists() and not overwrite:
            kept += 1
            continue
        try:
            pixels, alpha = pixels_of(path, depth)
        except Exception as error:  # Pillow raises nearly anything on broken files
            broken[path] = folder.reason(error)
            continue
        was_grey = pixels.shape[-1] == 1
        result = translate(network, _of_channels(pixels, channels), tile, overlap, multiple, depth)
        if grey and was_grey:
            result = _of_channels(result, 1)
        if alpha is not None:
            result = np.concatenate([result, resize(alpha, *result.shape[:2])], -1)
        target.parent.mkdir(parents=True, exist_ok=True)
        with aside(target) as file:
            if depth == 16:
                png16(file, result)
            else:
                Image.fromarray(result.squeeze(-1) if result.shape[-1] == 1 else result).save(file, "PNG")
        made += 1
    return made, kept, broken


def pixels_of(path, depth=8):
    """A file's pixels, upright: (uint8 [H, W, 1 or 3], alpha [H, W, 1] or None); with a depth of 16, uint16.

    Of grey files of 16 bits all are read then; Pillow reads others with 8. Raises what Pillow does.
    """
    image = folder.opened(path, flat=False)
    if depth == 16 and image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], None
    alpha = None
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("LA" if image.mode in ("LA", "La", "L", "1") else "RGBA"))
        pixels, alpha = pixels[..., :-1], pixels[..., -1:]
    else:
        pixels = np.asarray(folder.flatten(image))
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    widened = lambda values: values if depth == 8 or values is None else values.astype(np.uint16) * 257
    return widened(pixels), widened(alpha)


def _of_channels(pixels, channels):
    """Grey pixels as a colour of three equal parts, or colours as the luma that Pillow has."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, -1)
    made = np.empty((*pixels.shape[:2], 1), pixels.dtype)
    for row in range(0, len(pixels), 256):  # a few rows at a time: numbers of 64 bits are large
        made[row:row + 256, :, 0] = np.rint(pixels[row:row + 256] @ np.array([0.299, 0.587, 0.114]))
    return made


def png16(file, pixels):
    """Writes uint16 [H, W, 1 to 4] as a PNG with 16 bits a channel, which Pillow does of grey images alone.

    PNG (Third Edition), sections 9.2 and 10.1: each row is what it differs by from the row above, in bytes, compressed as a whole.
    """
    height, width, channels = pixels.shape
    packer, above, data = zlib.compressobj(6), np.zeros(2 * width * channels, np.uint8), []
    for row in pixels:
        row = row.astype(">u2").reshape(-1).view(np.uint8)
        data.append(packer.compress(b"\x02" + (row - above).tobytes()))
        above = row
    data = b"".join([*data, packer.flush()])
    file.write(b"\x89PNG\r\n\x1a\n")
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    for name, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        file.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


# === The command ===

def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_string("out", None, "folder for the translations; it is made if need be")
    flags.DEFINE_integer("tile", TILE, "images with a side beyond this many pixels are made in tiles", 16)
    flags.DEFINE_integer("overlap", OVERLAP, "pixels that neighbouring tiles have in common, at most half a tile", 0)
    flags.DEFINE_bool("overwrite", False, "make anew what is there already")
    flags.DEFINE_enum("depth", "8", ["8", "16"], "bits a channel of the files that are written")
    flags.DEFINE_string("checkpoint", "newest", "newest, or best: the one that measured best in training")
    flags.DEFINE_integer("seed", 0, "of the noise, where the model takes any: the same for all images", 0, 2**31 - 1)


def main(arguments):
    directory, *sources = arguments[1:] or [None]
    values = flags.FLAGS
    if directory is None or not sources or not values.out:
        raise UserError("write python -m kgan.translate RUN FOLDER --out=TRANSLATED, or files in place of the folder")
    settings = Run(directory).settings(required=True)
    from kgan import models
    if models.outline(settings["model"]).Config.needs.get("input") != "image":
        raise UserError(f"{directory} holds {settings['model']}, which makes no images from images; pix2pix does")
    placed = outputs(sources, values.out)

    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    gan, _ = load(directory, values.checkpoint)
    network, channels, multiple = function_of(gan, values.seed)
    if values.tile < 2 * multiple or values.overlap > values.tile // 2:
        raise UserError(f"--tile={values.tile} --overlap={values.overlap}: tiles must be at least {2 * multiple} pixels for this "
                        "model, and overlap by at most half of one")
    made, kept, broken = translate_files(network, channels, placed, values.tile, values.overlap, multiple, values.overwrite,
                                         progress=True, depth=int(values.depth), grey=keeps_grey(gan.config))
    print(f"{made} translated into {values.out}"
          + (f"; {kept} were there already (--overwrite makes them anew)" if kept else ""))
    if broken:
        named = "; ".join(f"{path}: {reason}" for path, reason in list(broken.items())[:10])
        raise UserError(f"{len(broken)} of {len(placed)} files cannot be read ({named}"
                        f"{f'; and {len(broken) - 10} more' if len(broken) > 10 else ''})")
    return 0


def keeps_grey(config):
    """Whether a model's results have the colours of what it is given: it undoes degradations, and `grey` is none of them."""
    steps = parse(getattr(config, "degrade", ""))
    return bool(steps) and all(step.name != "grey" for step in steps)


def function_of(gan, seed=0):
    """What `translate` needs of a trained GAN: (network, channels that it takes, its total stride)."""
    import tensorflow as tf

    from kgan.anysize import RoundUp

    generator = gan.ema_generator
    channels = {x.name: x.shape[-1] for x in generator.inputs}["input"]
    multiple = max((layer.multiple for layer in generator.layers if isinstance(layer, RoundUp)), default=1)
    noise = gan.latents(1, seed)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, channels])])
    def network(images):
        return gan.make(noise, {"input": images})
    return network, channels, multiple


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.translate")
