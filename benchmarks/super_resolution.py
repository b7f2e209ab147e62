"""Super-resolution on pictures: bicubic interpolation, and a run of srgan beside it. One JSON line last.

    python benchmarks/super_resolution.py FOLDER… [--run=RUN] [--scale=4] [--out=PICTURES]
    python benchmarks/super_resolution.py BSD200 --tiles=160 --out=TILES      pictures to train on, in squares without resampling

Each FOLDER (Set5, Set14, BSD100) holds pictures. Their sides are cut to multiples of 4 (of the scale where that is more), made
smaller by MATLAB's bicubic interpolation, rounded to 8 bits and made as large as they were. Then `scale` pixels are cut off on
each side and Y of BT.601's limited range is compared (grey pictures as they are): PSNR with a peak of 255, SSIM of Wang et al.
with 11 x 11 Gaussian windows. Means over the pictures. `consistency` is the PSNR, of RGB and without a cut, of the result made
smaller again against what it was made of.

Published for x4: bicubic 28.43 / 25.99 / 25.94 dB, SRResNet 32.05 / 28.49 / 27.58, SRGAN (VGG54) 29.40 / 26.02 / 25.16 on Set5,
Set14, BSD100 (Ledig et al. 2017, table 2; their SSIM is daala's, which reads higher). Bicubic in later papers: 28.42 / 26.00 /
25.96, SSIM .8104 / .7027 / .6675 (Lai et al. 2017).
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.data import files
from kgan.data.bicubic import resize
from kgan.data.folder import opened
from kgan.kinds import _compare


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--run")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiles", type=int)
    arguments = parser.parse_args()
    if arguments.tiles:
        print(json.dumps({"benchmark": "super_resolution", "tiles": sum(cut(folder, arguments.tiles, arguments.out)
                                                                        for folder in arguments.folders)}))
        return
    methods = {"bicubic": lambda small: resize(small, *(side * arguments.scale for side in small.shape[:2]))}
    found = {"benchmark": "super_resolution", "scale": arguments.scale}
    if arguments.run:
        network, found["step"] = network_of(arguments.run)
        methods["run"] = network
    for folder in arguments.folders:
        found[folder.name] = measured(folder, methods, arguments.scale, arguments.out)
        print(f"{folder.name}: {json.dumps(found[folder.name])}")
    print(json.dumps(found))


def measured(folder, methods, scale, out=None):
    """Means over the pictures of a folder: method -> psnr, ssim, consistency, seconds."""
    figures = {name: [] for name in methods}
    for name, *_ in files.find(folder):
        true = picture(folder / name, max(scale, 4))
        small = resize(true, true.shape[0] // scale, true.shape[1] // scale)
        for method, function in methods.items():
            start = time.perf_counter()
            made = function(small)
            seconds = time.perf_counter() - start
            inside = slice(scale, -scale)
            pair = [_compare.luma(each[None])[:, inside, inside] for each in (made, true)]
            again = resize(made, *small.shape[:2])
            consistency = _compare.psnr(again[None], small[None])[0]
            figures[method].append([_compare.psnr(*pair)[0], _compare.ssim(*pair)[0], consistency, seconds])
            if out:
                (out / folder.name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(made.squeeze()).save(out / folder.name / f"{Path(name).stem}-{method}.png")
    names = "psnr", "ssim", "consistency", "seconds"
    means = {method: dict(zip(names, np.round(np.mean(rows, 0), 4).tolist())) for method, rows in figures.items()}
    return means | {"pictures": len(figures["bicubic"])}


def cut(folder, side, out):
    """Cuts all pictures of a folder into squares, files in `out`; what is left over at the edges is left out. How many."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, *_ in files.find(folder):
        pixels = picture(folder / name, side)
        for top in range(0, pixels.shape[0], side):
            for left in range(0, pixels.shape[1], side):
                square = pixels[top:top + side, left:left + side].squeeze()
                Image.fromarray(square).save(out / f"{Path(name).stem}-{top}-{left}.png", compress_level=1)
                count += 1
    return count


def picture(path, multiple):
    """uint8 [H, W, 1 or 3], sides cut to multiples."""
    pixels = np.asarray(opened(path))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels[:pixels.shape[0] // multiple * multiple, :pixels.shape[1] // multiple * multiple]


def network_of(directory):
    """(function of uint8 [h, w, 1 or 3] that gives it larger, the step of the checkpoint)."""
    from kgan import translate
    from kgan.run import load

    gan, step = load(directory)
    network, channels, multiple = translate.function_of(gan)

    def enlarge(small):
        given = np.repeat(small, channels, -1) if small.shape[-1] == 1 else small
        made = translate.translate(network, given, multiple=multiple)
        return made if made.shape[-1] == small.shape[-1] else made.mean(-1, keepdims=True).round().astype(np.uint8)
    return enlarge, step


if __name__ == "__main__":
    main()
