"""Files through a model that makes images from images, each under its own name and in its own size.

    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED          all images below, in the same sub-folders
    python -m kgan.translate runs/NAME a.jpg b.png --out=TRANSLATED
    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED --tile=512 --overlap=96
    python -m kgan.translate runs/NAME PHOTO.jpg --mask=MASK.png --out=MENDED     white is missing; or a mask for each, --mask=FOLDER
    python -m kgan.translate runs/NAME a.wav b.flac --out=CLEAN         of a model that makes sounds from sounds: kgan.soundfiles

photo.jpg becomes photo.png, without loss; where that would be two files' name, photo.jpg.png. Grey images, transparency,
16 bits and EXIF rotation are dealt with as in training. Files that are there already are left alone, so an interrupted
command goes on; those that cannot be read are named at the end. No targets are needed.

An image with a side beyond --tile is made in tiles that overlap, blended linearly. Of a network that sees no farther than a
quarter of the overlap this is the same image. Instance normalisation sees the whole tile: there tiles differ slightly
in colour, which the blending spreads over the overlap; the larger the tile, the less.
"""
import io
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image
from tqdm import tqdm

from kgan import command
from kgan.command import UserError
from kgan.data import files, folder
from kgan.kinds import Field
from kgan.kinds import image as kind
from kgan.kinds import mask as mask_kind
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, write

TILE, OVERLAP = 1024, 128


def translate(network, image, tile=TILE, overlap=OVERLAP, multiple=1):
    """One image of any size.

    Args:
        network: function of float32 [1, h, w, C] in [-1, 1] that gives [1, h, w, C'] in [-1, 1].
        image: uint8 [H, W, C].
        tile: sides beyond this many pixels are made in tiles of about that size.
        overlap: pixels that neighbouring tiles have in common at least, at most half a tile.
        multiple: tiles begin at multiples of this: the total stride of the network, so that it sees the same grid.

    Returns:
        uint8 [H, W, C'].

    Raises:
        ValueError: the overlap is more than half of a tile, or the tile is less than twice the multiple.
    """
    if not 0 <= overlap <= tile // 2 or tile < 2 * multiple:
        raise ValueError(f"tile={tile}, overlap={overlap}: tiles must be at least {2 * multiple} pixels here, and overlap by at "
                         "most half of one")
    return kind.store(blended(network, kind.scale(image.astype(np.float32)), tile, overlap, multiple))


def blended(network, pixels, tile, overlap, multiple=1):
    """What `translate` makes, float32 [H, W, C'], of float32 pixels [H, W, C]."""
    rows, columns = (tiles(side, tile, overlap, multiple) for side in pixels.shape[:2])
    if len(rows) == len(columns) == 1:
        return np.asarray(network(pixels[None]))[0]
    made = None
    for top, bottom in rows:
        for left, right in columns:
            one = np.asarray(network(pixels[None, top:bottom, left:right]))[0]
            if made is None:
                made, weights = (np.zeros((*pixels.shape[:2], depth), np.float32) for depth in (one.shape[-1], 1))
            weight = np.outer(_ramp(top, bottom, pixels.shape[0], overlap), _ramp(left, right, pixels.shape[1], overlap))[..., None]
            made[top:bottom, left:right] += weight * one
            weights[top:bottom, left:right] += weight
    return made / weights


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


def outputs(sources, out, suffixes=None, suffix=".png"):
    """Where the translations of files go: dict of path to path.

    Args:
        sources: folders, whose images are found at any depth, and files.
        out: folder.
        suffixes, suffix: of the files that are read, and of those that are written; None: images.

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
            found, left_out = files.survey(path, suffixes)
            found = [name for name, *_ in found if out.resolve() not in (path / name).resolve().parents]
            if not found:
                raise UserError(f"{path}: holds no {'sounds' if suffixes else 'images'}; kgan reads "
                                f"{', '.join(suffixes or folder.SUFFIXES)}. {files.note(left_out)}".strip())
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
    placed = {path: out / (name.with_suffix(suffix) if stems[name.with_suffix("")] == 1 else f"{name}{suffix}")
              for path, name in names.items()}
    for path in placed:
        if any(path.resolve() == other.resolve() for other in placed.values()):
            raise UserError(f"--out={out}: {path} would be overwritten by a translation; choose another folder")
    return placed


def masks_of(mask, sources, paths):
    """The mask of each file: dict of path to path.

    Args:
        mask: a file, for all images, or a folder with one for each: of the same name, whatever the suffix, in the same sub-folder.
        sources, paths: folders and files as for `outputs`, and the files that it found in them.

    Raises:
        UserError: there is no such file, a file has no mask, or two masks could be meant.
    """
    mask = Path(mask)
    if not mask.exists():
        raise UserError(f"--mask={mask}: there is no such file or folder")
    if not mask.is_dir():
        return dict.fromkeys(paths, mask)
    folders = [Path(source) for source in sources if Path(source).is_dir()]
    found, there = {}, {}
    for name, *_ in files.survey(mask)[0]:
        there.setdefault(Path(name).with_suffix(""), []).append(name)
    for path in paths:
        below = next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), Path(path.name))
        names = there.get(below.with_suffix(""), [])
        if len(names) != 1:
            raise UserError(f"--mask={mask}: {' and '.join(names)} could both be the mask of {path}; take one away" if names else
                            f"--mask={mask}: holds no mask for {path}; it should be called {below.with_suffix('.png')}")
        found[path] = mask / names[0]
    return found


def _read_mask(path, shape):
    """uint8 [H, W, 1], 255 where something is missing. Raises ValueError."""
    try:
        return 255 * mask_kind.read(path.read_bytes(), Field("mask", (*shape[:2], 1)), max_pixels=shape[0] * shape[1])
    except (ValueError, OSError) as error:
        raise ValueError(f"its mask {path}: {error}") from None


def translate_files(network, channels, placed, tile=TILE, overlap=OVERLAP, multiple=1, overwrite=False, progress=False, masks=None):
    """Translates files.

    Args:
        network, tile, overlap, multiple: as for `translate`.
        channels: that the network takes, 1 or 3.
        placed: dict of files to where their translations go, as `outputs` gives it.
        overwrite: whether those that are there are made anew.
        progress: whether a bar is shown.
        masks: of a model that takes masks, dict of the files to theirs: the last channel that the network gets, -1 or 1.

    Returns:
        (made, kept, broken): how many were made, how many were there already, dict of files that cannot be read to why.
    """
    made, kept, broken = 0, 0, {}
    for path, target in tqdm(placed.items(), unit="img", disable=not progress):
        if target.exists() and not overwrite:
            kept += 1
            continue
        try:
            opened = folder.opened(path)
            mask = _read_mask(masks[path], (opened.height, opened.width)) if masks else None
        except Exception as error:  # Pillow raises nearly anything on broken files
            broken[path] = folder.reason(error)
            continue
        pixels = np.asarray(opened.convert("L" if channels == 1 else "RGB")).reshape(opened.height, opened.width, channels)
        pixels = pixels if mask is None else np.concatenate([pixels, mask], -1)
        result = translate(network, pixels, tile, overlap, multiple)
        buffer = io.BytesIO()
        Image.fromarray(result[..., 0] if result.shape[-1] == 1 else result).save(buffer, "PNG")
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, buffer.getvalue())
        made += 1
    return made, kept, broken


# === The command ===

def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_string("out", None, "folder for the translations; it is made if need be")
    flags.DEFINE_string("mask", None, "of a model that fills holes: a file, white where the image is missing, or a folder with one for "
                        "each image")
    flags.DEFINE_integer("tile", TILE, "images with a side beyond this many pixels are made in tiles", 16)
    flags.DEFINE_integer("overlap", OVERLAP, "pixels that neighbouring tiles have in common, at most half a tile", 0)
    flags.DEFINE_bool("overwrite", False, "make anew what is there already")
    flags.DEFINE_string("checkpoint", "newest", "newest, or best: the one that measured best in training")
    flags.DEFINE_integer("seed", 0, "of the noise, where the model takes any: the same for all images", 0, 2**31 - 1)


def main(arguments):
    directory, *sources = arguments[1:] or [None]
    values = flags.FLAGS
    if directory is None or not sources or not values.out:
        raise UserError("write python -m kgan.translate RUN FOLDER --out=TRANSLATED, or files in place of the folder")
    settings = Run(directory).settings(required=True)
    from kgan import models, soundfiles
    needs = models.outline(settings["model"]).Config.needs
    if needs.get("input") == "audio":
        return soundfiles.main(directory, sources, values)
    if needs.get("input") != "image":
        raise UserError(f"{directory} holds {settings['model']}, which makes no images from images; pix2pix does")
    if ("mask" in needs) != bool(values.mask):
        raise UserError(f"{directory} holds {settings['model']}, which fills holes: say where they are, --mask=MASK.png or a folder"
                        if "mask" in needs else f"--mask={values.mask}: {settings['model']} takes none, leave it out")
    placed = outputs(sources, values.out)
    masks = masks_of(values.mask, sources, placed) if values.mask else None

    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    gan, _ = load(directory, values.checkpoint)
    network, channels, multiple = function_of(gan, values.seed)
    if values.tile < 2 * multiple or values.overlap > values.tile // 2:
        raise UserError(f"--tile={values.tile} --overlap={values.overlap}: tiles must be at least {2 * multiple} pixels for this "
                        "model, and overlap by at most half of one")
    made, kept, broken = translate_files(network, channels, placed, values.tile, values.overlap, multiple, values.overwrite,
                                         progress=True, masks=masks)
    print(f"{made} translated into {values.out}"
          + (f"; {kept} were there already (--overwrite makes them anew)" if kept else ""))
    return told(broken, placed)


def told(broken, placed):
    """0, or raises UserError that names the files that cannot be read."""
    if broken:
        named = "; ".join(f"{path}: {reason}" for path, reason in list(broken.items())[:10])
        raise UserError(f"{len(broken)} of {len(placed)} files cannot be read ({named}"
                        f"{f'; and {len(broken) - 10} more' if len(broken) > 10 else ''})")
    return 0


def function_of(gan, seed=0):
    """What `translate` needs of a trained GAN: (network, channels of its images, its total stride).

    Of one that takes masks the network gets the mask as the last channel, above 0 where something is missing.
    """
    import tensorflow as tf

    from kgan.anysize import RoundUp

    generator = gan.ema_generator
    channels = {x.name: x.shape[-1] for x in generator.inputs}
    channels, masked = channels["input"], "mask" in channels
    multiple = max((layer.multiple for layer in generator._flatten_layers() if isinstance(layer, RoundUp)), default=1)
    noise = gan.latents(1, seed)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, channels + masked])])
    def network(images):
        given = {"mask": tf.cast(images[..., -1:] > 0, tf.float32)} if masked else {}
        return gan.make(noise, {"input": images[..., :channels], **given})
    return network, channels, multiple


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.translate")
