"""Do samples make a classifier better? One that learns from real labels, from samples, and from both, on the real test split.

    python -m kgan.metrics.augment runs/NAME --labels=20,100,1000 --seeds=5
    python -m kgan.metrics.augment runs/NAME --test=folder:DEST/test              data without a test split
    python -m kgan.metrics.augment runs/NAME --rare=normal --keep=40              a rare class, filled up by samples

The run is of a conditional model. A small network learns, for a fixed number of steps, from

    real                  so many labelled examples, drawn in the proportions of the data
    real, augmented       the same, shifted, turned, enlarged at random (mirrored, where the run was trained so)
    real, oversampled     the classes come equally often
                          likewise augmented: what samples have to beat
    real, class weights   the loss weighs them equally
    samples               as many of each class as of any other: the classification accuracy score of Ravuri & Vinyals 2019
                          (arXiv:1905.10887)
    both                  half of each batch real, half samples; likewise augmented

and is tested on real examples: balanced accuracy, the mean of the classes' recalls, and the area under the curve where
there are two. A seed draws the labels, the first weights and the order; the table has mean ± standard deviation over
the seeds.

The last line says, for each number of labels, whether samples help. The rule: of the ways with samples and of those
without, the better on average is taken; where the 95 % interval (Student's t) of their difference, seed by seed, is
above 0, it helps; where it is below 0, or within a point of 0, it does not; else it cannot be told.

**The GAN has seen the labels of its whole training split.** So with 20 labels the samples carry more labels than the
20: they show what a generator that somebody hands you is worth. For what they are worth to who has 20 labels, train the
GAN on those 20.
"""
import json

import numpy as np
from absl import flags

from kgan import command
from kgan.command import UserError
from kgan.config import unknown
from kgan.kinds.label import called
from kgan.metrics.few import BATCH, Plan, draw, fitting, judged, line, numbers, small
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write

LABELS = "20", "100", "1000"
WITHOUT = "real", "real, augmented", "real, oversampled", "oversampled, augmented", "real, class weights"
WITH = "both", "both, augmented"


def main(arguments):
    if len(arguments) != 2:
        raise UserError("which run? python -m kgan.metrics.augment RUN")
    FLAGS = flags.FLAGS
    if FLAGS.rare and FLAGS.labels:
        raise UserError(f"--labels={','.join(FLAGS.labels)}: with --rare all labels are used, --keep says how many of the rare class; leave it "
                        "out")
    counts = numbers(FLAGS.labels or LABELS)
    if FLAGS.keep and not FLAGS.rare:
        raise UserError(f"--keep={FLAGS.keep}: of which class? --rare=CLASS")
    run = Run(run_at(arguments[1]))
    settings = run.settings(required=True)
    import_tensorflow()
    from kgan.metrics.labelled import labelled

    gan, step = load(arguments[1])
    train, test, remark = labelled(settings, FLAGS.test)
    names = list(train.classes["label"])
    if list(gan.classes) != names or train.kind != "image":
        raise UserError(f"{arguments[1]}: makes {gan.kind} of the classes {', '.join(gan.classes) or '(none)'}; images of the "
                        f"data's, {', '.join(names[:10])}, are wanted: cgan, acgan, biggan and projection learn these")
    rare = FLAGS.rare and called(FLAGS.rare, names)
    if rare and rare not in names:
        raise UserError(f"--rare={rare}: {unknown(rare, names)}")
    rows = np.sort(test.choose(5_000))
    held = np.asarray(test.arrays[test.key][rows]), np.asarray(test.arrays["label"])[rows]
    labels = np.asarray(train.arrays["label"])
    counts, fewer = fitting(counts, len(labels))
    if fewer and not rare:
        print(fewer)
    plan = Plan(small(train.shape, len(names)), len(names), FLAGS.steps, settings.get("flip", False))
    found = {}
    for seed in range(FLAGS.seeds):
        rng = np.random.default_rng([seed, 77])
        chosen = {count: draw(labels, count, rng) for count in counts}
        if FLAGS.rare:
            chosen = {"all": make_rare(labels, names.index(rare), FLAGS.keep, rng)}
        for name, scores in trial(plan, gan, train, labels, chosen, held, seed, FLAGS.samples, rare).items():
            found.setdefault(name, []).append(scores)
    said = [table(found, names), *verdicts(found)]
    print(f"{settings['dataset']}, {settings['model']}, step {step:,}: {FLAGS.seeds} seeds, {FLAGS.steps} steps of {BATCH}, "
          f"{FLAGS.samples:,} samples, tested on {len(rows):,} examples{remark and ', ' + remark}; the GAN has seen {len(labels):,} labels")
    if FLAGS.rare:
        of = {name: int((labels[chosen['all']] == i).sum()) for i, name in enumerate(names)}
        print("real examples: " + ", ".join(f"{count:,} {name}" for name, count in of.items()))
    print("\n".join(said))
    write(run.directory / (f"augment-rare-{FLAGS.keep or 'all'}.json" if FLAGS.rare else "augment.json"), json.dumps(
        {"step": step, "dataset": settings["dataset"], "test": len(rows), "seeds": FLAGS.seeds, "samples": FLAGS.samples,
         "note": remark, "rare": FLAGS.rare, "keep": FLAGS.keep, "verdict": said[1:],
         "scores": {f"{way} | {count}": values for (way, count), values in found.items()}}, indent=1).encode() + b"\n")
    return 0


# === Which examples ===

def make_rare(labels, which, keep, rng):
    """All rows, but of a class `keep` at most."""
    own = np.flatnonzero(labels == which)
    return np.sort(np.concatenate([np.flatnonzero(labels != which), rng.permutation(own)[:keep or len(own)]]))


def trial(plan, gan, train, labels, chosen, held, seed, samples, rare=None):
    """One seed: dict of (way, number of labels) to a dict of scores.

    `chosen`: number of labels -> rows. With a rare class the samples are of that, as many as it lacks of the largest;
    else they are as many of each class, and half of each batch.
    """
    classes, found = len(gan.classes), {}
    asked = np.arange(samples) % classes
    if rare:
        sizes = np.bincount(labels[chosen["all"]], minlength=classes)
        which = gan.classes.index(rare)
        lacking = np.full(max(0, sizes.max() - sizes[which]), which)
    made = stored(gan, asked, seed)
    found["samples", "-"] = plan.learn(made, asked, held, seed)
    for count, rows in chosen.items():
        real, of = np.asarray(train.arrays[train.key][rows]), labels[rows]
        frequent = 1 / np.maximum(1, np.bincount(of, minlength=classes))[of]
        if rare:
            both = np.concatenate([real, stored(gan, lacking, seed)]), np.concatenate([of, lacking])
            chance = None
        else:
            both = np.concatenate([real, made]), np.concatenate([of, asked])
            chance = np.concatenate([np.full(len(of), 0.5 / len(of)), np.full(len(asked), 0.5 / len(asked))])
        found["real", count] = plan.learn(real, of, held, seed)
        found["real, augmented", count] = plan.learn(real, of, held, seed, augmented=True)
        if frequent.max() > 1.5 * frequent.min():
            found["real, oversampled", count] = plan.learn(real, of, held, seed, chance=frequent)
            found["oversampled, augmented", count] = plan.learn(real, of, held, seed, chance=frequent, augmented=True)
            found["real, class weights", count] = plan.learn(real, of, held, seed, weights=frequent / frequent.mean())
        found["both", count] = plan.learn(*both, held, seed, chance=chance)
        found["both, augmented", count] = plan.learn(*both, held, seed, chance=chance, augmented=True)
    return found


def stored(gan, asked, seed):
    """Samples as uint8, as their files would be."""
    from kgan.kinds.image import store
    if not len(asked):
        return np.zeros((0, *gan.fields[gan.key].shape), np.uint8)
    return store(gan.generate(len(asked), seed=1_000 + seed, label=asked))


# === Scores, and what they say ===

def table(found, names):
    """dict of (way, number of labels) to a list of scores, a seed each, as text."""
    counts = list(dict.fromkeys(count for _, count in found if count != "-"))
    lines = []
    titles = {"balanced": "balanced accuracy, %", **({"auc": "area under the curve, %"} if len(names) == 2 else {})}
    for figure, title in titles.items():
        lines.append(f"{title:<26}" + "".join(f"{count if count == 'all' else format(count, ','):>15} labels" for count in counts))
        for way in dict.fromkeys(way for way, _ in found):
            cells = [line(found.get((way, count)) or found.get((way, "-")), figure) for count in counts]
            lines.append(f"{way:<26}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def verdicts(found, figure="balanced"):
    """What the rule says: a sentence for each number of labels, in one line."""
    parts = []
    for count in dict.fromkeys(count for _, count in found if count != "-"):
        values = {way: np.array([scores[figure] for scores in found[way, count]]) for way in (*WITHOUT, *WITH)
                  if (way, count) in found}
        without, with_ = (max(set(ways) & set(values), key=lambda way: values[way].mean()) for ways in (WITHOUT, WITH))
        parts.append((f"{count:,}" if count != "all" else "all") + " labels " + judged(values[with_] - values[without])
                     + f" ({with_} against {without})")
    return [f"Samples: with {'; with '.join(parts)}."]


def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_list("labels", None, f"numbers of real labels, with commas between; all: every one; default: {','.join(LABELS)}")
    flags.DEFINE_integer("seeds", 5, "how often all is repeated", 2, 30)
    flags.DEFINE_integer("samples", 2_000, "samples of the generator, over all classes", 2)
    flags.DEFINE_integer("steps", 300, "of each classifier, 64 examples each", 1)
    flags.DEFINE_string("test", None, "data set to test on, as train.py's --dataset; default: the run's test split, or a fifth")
    flags.DEFINE_string("rare", None, "name of a class that is made rare: all examples are used, and samples fill this class up")
    flags.DEFINE_integer("keep", None, "with --rare: so many of its real examples are kept; default: all", 1)


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.metrics.augment", doing="training classifiers")
