"""Translates files with a model that makes images from images, or sounds from sounds; each keeps its name and its size.

    kgan translate runs/NAME FOLDER --out=TRANSLATED          all images below it, in the same sub-folders
    kgan translate runs/NAME a.jpg b.png --out=TRANSLATED
    kgan translate runs/NAME FOLDER --out=TRANSLATED --tile=512 --overlap=96
    kgan translate runs/NAME PHOTO.jpg --mask=MASK.png --out=MENDED     white means missing; a mask for each image: --mask=FOLDER
    kgan translate runs/NAME a.wav b.flac --out=CLEAN         models of sounds: see kgan.soundfiles
    kgan translate runs/NAME FOLDER --out=TRANSLATED --direction=BtoA      the second direction of models that learn both

photo.jpg becomes photo.png, without loss, or photo.jpg.png if two files would have the same name. EXIF rotation is applied once.
Transparency is kept; the model sees transparent pixels in their own colours. If a model restores or enlarges, grey files stay grey,
unless it has learned to colour. With --depth=16 files have 16 bits per channel; grey files of 16 bits are read in full, all others
with 8. Files that are already there are kept, so an interrupted command can be repeated. They are made again if their source is newer,
and refused if another run or other flags made them (translated.json knows). Files that cannot be read are listed at the end. No
targets are needed. With a model that makes frames from poses (motion) each frame follows the one before, in the order of the names,
and clip.gif has them all.

An image with a side beyond --tile is made in overlapping tiles, which are blended linearly, so that memory depends on the tile and
not on the image. If the network sees no farther than a quarter of the overlap, the result is the same. Instance normalisation sees
the whole tile, so tiles differ slightly in colour, which the blending spreads over the overlap: the larger the tile, the less. (The
preset `restore` of pix2pix, and srgan, have no such layers.)
"""
import functools
import warnings
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kgan import command, imagefiles
from kgan.command import UserError
from kgan.data import folder
from kgan.data.bicubic import resize
from kgan.data.degrade import parse
from kgan.data.source import DARK, SCALED
from kgan.kinds import Field
from kgan.kinds import image as kind
from kgan.kinds import mask as mask_kind
from kgan.outputs import agree, by, masks_of, outputs
from kgan.quiet import import_tensorflow
from kgan.run import Run, aside, load, run_at

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
    kept = functools.partial(imagefiles.store, depth=depth)
    return blended(network, image, tile, overlap, multiple, _seen, kept, np.uint16 if depth == 16 else np.uint8)


def blended(network, values, tile, overlap, multiple=1, seen=lambda part: part[None], store=lambda made: made, dtype=np.float32):
    """What `translate` makes, [s·H, s·W, C'], of values [H, W, C]; `seen` of a part is what the network gets, `store` what is kept."""
    rows, columns = (tiles(side, tile, overlap, multiple) for side in values.shape[:2])
    if len(rows) == len(columns) == 1:
        return store(np.asarray(network(seen(values)))[0])
    made = begun = None  # the result; sums and weights of its rows that are not finished: of one row of tiles
    for (top, bottom), after in zip(rows, [*(start for start, _ in rows[1:]), values.shape[0]]):
        for left, right in columns:
            one = np.asarray(network(seen(values[top:bottom, left:right])))[0]
            scale = one.shape[0] // (bottom - top)
            if made is None:
                made = np.empty((scale * values.shape[0], scale * values.shape[1], one.shape[-1]), dtype)
                begun = np.zeros((scale * min(tile, len(values)), made.shape[1], one.shape[-1] + 1), np.float32)
            weight = np.outer(*(np.repeat(_ramp(*part, side, overlap), scale) for part, side in (
                ((top, bottom), values.shape[0]), ((left, right), values.shape[1]))))[..., None]
            place = begun[:len(one), scale * left:scale * right]
            place[..., :-1] += weight * one
            place[..., -1:] += weight
        done = scale * (after - top)
        for start in range(0, done, 256):  # a few rows at a time: the quotient of all would be as large as the sums
            part = begun[start:min(start + 256, done)]
            made[scale * top + start:scale * top + start + len(part)] = store(part[..., :-1] / part[..., -1:])
        begun[:len(begun) - done] = begun[done:].copy()
        begun[len(begun) - done:] = 0
    return made


def _seen(image):
    """Stored pixels [h, w, C] as networks see them, float32 [1, h, w, C]."""
    return kind.scale(image[None].astype(np.float32) / (257 if image.dtype == np.uint16 else 1))


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


def _read_mask(path, pixels):
    """The mask of pixels [H, W, …]: [H, W, 1] of their type, its greatest number where something is missing. Raises ValueError."""
    height, width = pixels.shape[:2]
    try:
        mask = mask_kind.read(path.read_bytes(), Field("mask", (height, width, 1)), max_pixels=height * width)
        return mask.astype(pixels.dtype) * np.iinfo(pixels.dtype).max
    except (ValueError, OSError) as error:
        raise ValueError(f"its mask {path}: {error}") from None


def translate_files(network, channels, placed, tile=TILE, overlap=OVERLAP, multiple=1, overwrite=False, progress=False, masks=None,
                    depth=8, grey=False, labels=False):
    """Translates files.

    Args:
        network, tile, overlap, multiple, depth: as for `translate`.
        channels: that the network takes, 1 or 3.
        placed: dict of files to where their translations go, as `outputs` gives it.
        overwrite: whether those that are there are made anew.
        progress: whether a bar is shown.
        masks: of a model that takes masks, dict of the files to theirs: the last channel that the network gets, -1 or 1.
        grey: whether what is made of grey files is grey, whatever the network makes.
        labels: whether they are label maps, whose levels are low numbers; else files that are near black are warned of.

    Returns:
        (made, kept, broken): how many were made, how many were there already, dict of files that cannot be read to why.
    """
    made, kept, broken, dark = 0, 0, {}, []
    for path, target in tqdm(placed.items(), unit="img", disable=not progress):
        if target.exists() and not overwrite:
            kept += 1
            continue
        try:
            pixels, alpha = imagefiles.read(path, depth)
            mask = _read_mask(masks[path], pixels) if masks else None
        except Exception as error:  # Pillow raises nearly anything on broken files
            broken[path] = folder.reason(error)
            continue
        if pixels.max(initial=0) < DARK * (257 if depth == 16 else 1):
            dark.append(str(path))
        was_grey = pixels.shape[-1] == 1
        pixels = imagefiles.of_channels(pixels, channels)
        pixels = pixels if mask is None else np.concatenate([pixels, mask], -1)
        result = translate(network, pixels, tile, overlap, multiple, depth)
        if grey and was_grey:
            result = imagefiles.of_channels(result, 1)
        if alpha is not None:
            result = np.concatenate([result, resize(alpha, *result.shape[:2])], -1)
        target.parent.mkdir(parents=True, exist_ok=True)
        with aside(target) as file:
            imagefiles.write(file, result)
        made += 1
    if dark and not labels:
        warnings.warn(f"{len(dark)} files are near black ({', '.join(dark[:5])}{' …' * (len(dark) > 5)}): {SCALED}", stacklevel=2)
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
    flags.DEFINE_enum("depth", "8", ["8", "16"], "bits a channel of the files that are written")
    flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "newest, or best: the one that measured best in training")
    flags.DEFINE_enum("direction", "AtoB", ["AtoB", "BtoA"], "BtoA: the way back, of models that learn both directions; of others "
                      "AtoB is the way that they were trained")
    flags.DEFINE_integer("seed", 0, "of the noise, where the model takes any: the same for all images", 0, 2**31 - 1)


def main(arguments):
    directory, *sources = arguments[1:] or [None]
    values = flags.FLAGS
    if directory is None or not sources or not values.out:
        raise UserError("write kgan translate RUN FOLDER --out=TRANSLATED, or files in place of the folder")
    directory = run_at(directory)
    settings = Run(directory).settings(required=True)
    from kgan import models, soundfiles
    needs = models.outline(settings["model"]).Config.needs
    if needs.get("input") == "audio":
        return soundfiles.main(directory, sources, values)
    if needs.get("input") != "image":
        raise UserError(f"{directory} holds {settings['model']}, which makes no images or sounds from others; pix2pix, pix2pixhd, cyclegan, "
                        "discogan, styletransfer, srgan, inpaint, segan and motion do")
    if ("mask" in needs) != bool(values.mask):
        raise UserError(f"{directory} holds {settings['model']}, which fills holes: say where they are, --mask=MASK.png or a folder"
                        if "mask" in needs else f"--mask={values.mask}: {settings['model']} takes none, leave it out")
    placed = outputs(sources, values.out)
    masks = masks_of(values.mask, sources, placed) if values.mask else None

    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    gan, step = load(directory, values.checkpoint)
    if values.direction == "BtoA" and "inverse" not in gan.exports():
        raise UserError(f"--direction=BtoA: {directory} holds {settings['model']}, which has learned one direction alone; train it "
                        "with --set direction=BtoA, or take a model of both, such as cyclegan")
    network, channels, multiple = function_of(gan, values.seed, "inverse" if values.direction == "BtoA" else "generator")
    if values.tile < 2 * multiple or values.overlap > values.tile // 2:
        raise UserError(f"--tile={values.tile} --overlap={values.overlap}: tiles must be at least {2 * multiple} pixels for this "
                        "model, and overlap by at most half of one")
    clip = hasattr(network, "before")  # each image follows the one before: all are made anew, in order
    agree(values.out, placed, by(directory, step, gan, values), masks, values.overwrite or clip)
    made, kept, broken = translate_files(network, channels, placed, values.tile, values.overlap, multiple, values.overwrite or clip,
                                         progress=True, masks=masks, depth=int(values.depth), grey=keeps_grey(gan.config),
                                         labels=bool(getattr(gan.config, "labels", "")))
    if clip and made:
        imagefiles.write_clip([path for path in placed.values() if path.exists()], Path(values.out) / "clip.gif")
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


def keeps_grey(config):
    """Whether a model's results have the colours of what it is given: it undoes degradations, and `grey` is none of them."""
    steps = parse(getattr(config, "degrade", ""))
    return bool(steps) and all(step.name != "grey" for step in steps)


def function_of(gan, seed=0, function="generator"):
    """What `translate` needs of a trained GAN: (network, channels of its images, its total stride).

    Of one that takes masks the network gets the mask as the last channel, above 0 where something is missing.
    `function`: of GAN.exports, a network of one image and perhaps noise and a mask.
    """
    import tensorflow as tf

    from kgan.anysize import RoundUp
    from kgan.sampling import feed

    generator, (inputs, _) = gan.exported(function), gan.described(function)
    name = next(name for name, field in inputs.items() if field.kind == "image" and name != "before")
    channels, masked = inputs[name].shape[-1], "mask" in inputs
    multiple = max((layer.multiple for layer in generator._flatten_layers() if isinstance(layer, RoundUp)), default=1)
    noise = gan.latents(1, seed)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, channels + masked])])
    def network(images):
        given = {"mask": tf.cast(images[..., -1:] > 0, tf.float32)} if masked else {}
        return generator(feed(generator, name, {"noise": noise, name: images[..., :channels], **given}), training=False)
    return Rolled(generator) if "before" in inputs else network, channels, multiple


class Rolled:
    """A generator of frames of `input` and `before`: each call's `before` is what the last call made, at first black.

    Where the size changes, as it does at another clip's first frame, it begins anew. Not for tiles.
    """

    def __init__(self, generator):
        self.generator, self.before = generator, None

    def __call__(self, images):
        size = (*images.shape[:3], self.generator.output_shape[-1])
        if self.before is None or self.before.shape != size:
            self.before = np.full(size, -1, np.float32)
        self.before = self.generator({"input": images, "before": self.before}, training=False).numpy()
        return self.before


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.translate")
