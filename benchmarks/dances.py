"""Does the figure stand where the poses ask it to, and does it flicker? Of a run of motion on `dances`. One JSON line last.

    python benchmarks/dances.py runs/motion-dances [--clips=8] [--out=FOLDER]

Dances of the test split, which training never saw; the averaged generator of the newest checkpoint, rolled out: each frame is made
upon the one before, that was made, the first upon black. `pose_error` is in pixels (`kgan.data.dances.measure`), PSNR against the
real frames in dB. Beside `made`: the real frames, and `before`, the real frame before taken for the answer. `another` is made of
the poses of the slim figure as they are, in proportions that the generator has never seen.

--out: a GIF of the first clip, poses | made | real frames, and a PNG of every fourth frame of it, of `another` in two more rows.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.data import dances
from kgan.kinds import image
from kgan.run import Run, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    size = Run(arguments.run).settings(required=True)["image_size"]
    gan, step = load(arguments.run)
    found = {name: [] for name in ("made", "real", "before", "another")}
    for i in range(arguments.clips):
        seed = [0, dances.SPLITS["test"][0], i]
        poses, frames, joints = dances.clip("stout", size, seed)
        others, _, asked = dances.clip("slim", size, seed)
        made, another = (image.store(gan.roll(image.scale(some.astype(np.float32)))) for some in (poses, others))
        for name, clip, places in (("made", made, joints), ("real", frames, joints), ("before", np.roll(frames, 1, 0), joints),
                                   ("another", another, asked)):
            told = dances.measure(clip[1:], places[1:], frames[1:] if name != "another" else None)
            if name in ("made", "before"):
                seen = [image.scale(some[1:].astype(np.float32)) for some in (clip, frames)]
                told["psnr"] = float(np.mean(image.compare(*seen)["psnr"]))
            found[name].append(told)
        if not i and arguments.out:
            draw(Path(arguments.out), poses, made, frames, others, another)
    means = {name: {key: round(float(np.nanmean([one[key] for one in some])), 3) for key in some[0]} for name, some in found.items()}
    print(json.dumps({"benchmark": "dances", "step": step, "clips": arguments.clips, **means}))


def draw(folder, *clips):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(clip[::4], 1) for clip in clips])).save(folder / "dances.png")
    frames = [Image.fromarray(np.concatenate(some, 1)) for some in zip(*clips[:3])]
    frames = [frame.resize((3 * frame.width, 3 * frame.height), Image.Resampling.NEAREST) for frame in frames]
    frames[0].save(folder / "dances.gif", save_all=True, append_images=frames[1:], duration=62, loop=0)


if __name__ == "__main__":
    main()
