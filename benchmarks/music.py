"""What of the music that a musegan or crnngan makes is as in its data? Beside other real music and beside random notes.
One JSON line last.

    python benchmarks/music.py runs/NAME [--count=1000] [--checkpoint=newest|best] [--out=FOLDER]

The measures are those of kgan.metrics.music. Their rows:

    real        `count` examples of the test split, or of the training split where there is no other
    training    as many others, of the training split: how far real music is from real music
    samples     of the averaged generator
    random      of a roll each pitch of each track is there as often as in the real ones, independently; of a list of notes
                each of the four numbers of a note is that of any real note

`distance` is `music_distance`: the mean over the measures of |row - real| / (|real| + .1). `copies` is the share of samples that are
equal to a training example, `different` the share of them that are not equal to another one.

--out: the first ten samples one by one as .mid and .wav, all ten as samples.mid and samples.wav with a bar of silence
between, and samples.png and real.png, a sheet of sixteen each.
"""
import json
from pathlib import Path

import numpy as np
from of_run import opened

from kgan import kinds
from kgan.data.source import seen
from kgan.kinds import events, notes
from kgan.metrics import music

TEN = 10


def measured(kind, examples, field):
    """dict of the measures of stored examples."""
    rolls = notes.store(events.to_rolls(seen("events", examples))) if kind == "events" else examples
    return music.of(rolls, field.more.get("lowest", notes.MORE["lowest"]), field.more.get("tracks", ()))


def random(kind, real, seed=0):
    """As many random examples, stored: see above."""
    rng = np.random.default_rng(seed)
    if kind == "events":
        return np.stack([rng.choice(real[..., i].ravel(), real.shape[:2]) for i in range(4)], -1)
    return (rng.random(real.shape) < real.mean((0, 1, 2))).astype(np.uint8)


def main():
    options, gan, step, train, test = opened(__doc__)
    field, kind = train.fields[train.key], train.kind
    picked = lambda source, seed: np.asarray(source.arrays[source.key][np.sort(
        np.random.default_rng(seed).permutation(len(source))[:options.count])])
    real, other, made = picked(test or train, 0), picked(train, 1), kinds.get(kind).store(gan.generate(options.count, seed=0))
    rows = {"real": real, "training": other, "samples": made, "random": random(kind, real)}
    table = {name: measured(kind, examples, field) for name, examples in rows.items()}
    for name, row in table.items():
        row["distance"] = music.distance(row, table["real"])
        print(f"{name:9}" + "".join(f"  {measure} {value:.3f}" for measure, value in row.items()), flush=True)
    known = {one.tobytes() for one in np.asarray(train.arrays[train.key])}
    bytes_ = [one.tobytes() for one in made]
    copies, different = np.mean([one in known for one in bytes_]), np.mean([bytes_.count(one) == 1 for one in bytes_])
    if options.out:
        write(Path(options.out), kinds.get(kind), kind, field, made, real)
    print(json.dumps({"run": options.run, "step": step, "count": len(made), "copies": float(copies), "different": float(different), **table}))


def write(folder, module, kind, field, made, real):
    folder.mkdir(parents=True, exist_ok=True)
    more = kinds.known(field, module.write)
    made, real = seen(kind, made), seen(kind, real)
    for i, one in enumerate(made[:TEN]):
        for media, suffix in module.MEDIA.items():
            if suffix != ".npy":
                (folder / f"{i}{suffix}").write_bytes(module.write(one, media, **more))
    for suffix, data in module.beside(made[:TEN], **kinds.known(field, module.beside)).items():
        (folder / f"samples{suffix}").write_bytes(data)
    for name, some in ("samples", made), ("real", real):
        module.sheet(some[:16]).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
