"""Whether pictures are what their captions asked for: gancls and stackgan on captioned glyphs. Prints one JSON line last.

    python benchmarks/captions.py runs/gancls-captions --out=PICTURE.png
    python benchmarks/captions.py runs/stackgan-captions                         the sketches enlarged beside the pictures

Of each caption of the test split one picture by the averaged generator, read by kgan.metrics.readers; `real`: the pictures
that belong to the captions. `seen` and `unseen`: pairs of digit and colour that training has, and that it never has.
`apart`: the standard deviation of a number of a picture among pictures of one caption, or among real ones of one meaning.
`gradient`: the mean size of differences between neighbouring pixels. `detail`: the root mean square of what is lost by halving
a picture and enlarging it again. `frechet`: of the reader's features, against as many other
real pictures. `r_precision`: kgan.metrics.matching. Sketches are enlarged before they are measured; all resizing is bicubic.
"""
import argparse
import json

import numpy as np

from kgan import pictures
from kgan.data import captions
from kgan.data.bicubic import resize
from kgan.metrics import frechet, matching, readers
from kgan.metrics.evaluate import sources
from kgan.run import Run, load

NAMES = *captions.ATTRIBUTES, "all"
EACH = 8  # pictures of a caption, where several are compared


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--out", help="where a picture of the last run's is written: 10 captions, 8 pictures of each")
    arguments = parser.parse_args()
    train, test = sources(Run(arguments.runs[0]).settings(required=True))
    rows = np.arange(min(arguments.count, len(test) // 2))
    caption, words = test.examples(rows, "caption"), train.more["caption"]["words"]
    asked, real = captions.attributes(caption, words), test.examples(rows)
    moments = frechet.Moments.of(readers.features_of(train, test.examples(rows + len(rows))))

    def measured(images, **more):
        figures = readers.shares(asked, readers.read(train, images)) | sharpness(images) | more
        figures["r_precision"] = matching.r_precision(*matching.codes(train, images, caption), caption)
        return figures | {"frechet": frechet.frechet_distance(moments, frechet.Moments.of(readers.features_of(train, images)))}

    results = {"real": measured(real, apart=spread(real, np.unique(asked, axis=0, return_inverse=True)[1].ravel()))}
    for run in arguments.runs:
        gan, step = load(run)
        several, group = np.repeat(caption[:100], EACH, 0), np.repeat(np.arange(100), EACH)
        ways = {"": lambda given: gan.generate(len(given), seed=1, given={"caption": given})}
        if hasattr(gan, "sketches"):
            ways[", sketches enlarged"] = lambda given: np.clip(
                resize(gan.sketches(len(given), given, seed=1), *real.shape[1:3]), -1, 1)
        for name, make in ways.items():
            results[f"{run.split('/')[-1]}, step {step:,}{name}"] = measured(make(caption), apart=spread(make(several), group))
        if arguments.out:
            draw(gan).save(arguments.out)
    results = {row: {name: float(value) for name, value in figures.items()} for row, figures in results.items()}
    show(results)
    print(json.dumps(results))


def sharpness(images):
    """`gradient` and `detail` of images float [n, H, W, C] in [-1, 1]."""
    down, right = np.diff(images, axis=1)[:, :, :-1], np.diff(images, axis=2)[:, :-1]
    height, width = images.shape[1:3]
    again = resize(resize(images, height // 2, width // 2), height, width)
    return {"gradient": np.sqrt(down**2 + right**2).mean(), "detail": np.sqrt(((images - again) ** 2).mean())}


def spread(images, group):
    """The root mean square distance of images from the mean of their group, of groups of two and more."""
    deviations = []
    for number in np.unique(group):
        members = images[group == number]
        if len(members) > 1:
            deviations.append(((members - members.mean(0)) ** 2).sum(0).mean() / (len(members) - 1))
    return float(np.sqrt(np.mean(deviations)))


def show(rows):
    columns = [f"{word}_{name}" for word in ("caption", "unseen") for name in NAMES]
    for row, figures in rows.items():
        print(row)
        for word, title in (("caption", "seen"), ("unseen", "unseen")):
            print(f"  {title:<8}" + "".join(f"{name:>7} {100 * figures[f'{word}_{name}']:5.1f} %" for name in NAMES))
        others = {name: value for name, value in figures.items() if name not in columns}
        print("  " + "  ".join(f"{name} {value:.4g}" for name, value in others.items()))


def draw(gan):
    """Ten digits, the first eight of them seen pairs, the last two unseen ones: a caption and EACH pictures of it in a row."""
    asked = np.array([[digit, color, digit // 2 % 2, digit % 2] for digit, color in zip(
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 6, 2, 7, 3, 0, 4, 2, 6, 3))])
    caption = captions.captions(asked, np.arange(10) % len(captions.WORDINGS))
    made = gan.generate(10 * EACH, seed=3, given={"caption": np.repeat(caption, EACH, 0)})
    made = made.reshape(10, EACH, *made.shape[1:])
    fields = [(gan.fields["caption"], caption), *((gan.fields[gan.key], made[:, i]) for i in range(EACH))]
    return pictures.side_by_side(fields, across=1)


if __name__ == "__main__":
    main()
