"""How well an advgan fools its classifier, and others that it never saw, beside attacks that follow the gradient.

    python -m kgan.metrics.attack runs/NAME                      its own classifier
    python -m kgan.metrics.attack runs/NAME --against=A,B        transfer: others, trained apart on the same data
    python -m kgan.metrics.attack runs/NAME --test=folder:DEST/test

All attacks have the run's ε and target. FGSM and PGD follow the gradient of the classifier, of a black box that of the
student that has learned its answers. A row is an attack, on as many test examples as --count says: success, the share
of those classified right before that are wrong now (of a target: taken for it); the accuracy before and after; the mean
norms of the change, of images in [0, 1]; milliseconds an image; and the success against each of the others. `noise`
costs nothing: each pixel ± ε at random.

Goes to attack.json in the run's directory.
"""
import json
import time

from absl import flags

from kgan import command
from kgan.command import UserError
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write


def main(arguments):
    FLAGS = flags.FLAGS
    if len(arguments) != 2:
        raise UserError("which run? python -m kgan.metrics.attack RUN")
    run = Run(run_at(arguments[1]))
    from kgan.metrics.labelled import attacking, labelled
    settings = attacking(run)
    import_tensorflow()
    import numpy as np

    from kgan import classifiers

    train, test, remark = labelled(settings, FLAGS.test)
    gan, step = load(arguments[1])
    names, others = train.classes["label"], {}
    for name in FLAGS.against:
        others[name] = classifiers.get(name, train.shape, len(names))
        _, said, warning = classifiers.prepare(others[name], name, train, test, seed=FLAGS.seed)
        print(f"against    {said}{warning and '. ' + warning}")
    rows = np.sort(test.choose(FLAGS.count))
    images, labels = test.examples(rows), np.asarray(test.arrays["label"])[rows]
    found = compare(gan, images, labels, others, FLAGS.steps)
    print(f"{settings['dataset']}, step {step:,}: {len(rows):,} examples{remark and ', ' + remark}; "
          f"ε = {255 * gan.config.bound:.0f}/255{gan.config.target and ', target ' + gan.config.target}\n{table(found)}")
    write(run.directory / "attack.json", json.dumps(
        {"step": step, "dataset": settings["dataset"], "count": len(rows), "epsilon": gan.config.bound, "note": remark,
         "classifier": gan.config.classifier, "attacks": found}, indent=1).encode() + b"\n")
    print(run.directory / "attack.json")
    return 0


def compare(gan, images, labels, others=None, steps=40):
    """Each attack's figures: dict of name to a dict of what `kgan.metrics.attacks.measure` gives, `milliseconds`, and
    `transfer`, a dict of the success against each of `others`.

    Args:
        gan: kgan.models.advgan.AdvGAN.
        images, labels: float32 [n, H, W, C] in [-1, 1], int [n].
        others: dict of name to function of images to logits.
    """
    from kgan.metrics import attacks
    epsilon = gan.config.bound
    target = gan.told.index(gan.config.target) if gan.config.target else None
    step = max(1 / 255, epsilon / 10)
    made = {"nothing": lambda: images, "noise": lambda: attacks.noise(images, epsilon),
            "FGSM": lambda: attacks.fgsm(gan.attacked, images, labels, epsilon, target),
            f"PGD, {steps} steps": lambda: attacks.pgd(gan.attacked, images, labels, epsilon, steps, step, target=target),
            "advgan": lambda: gan.generate(len(images), given={"input": images})}
    found = {}
    for name, attack in made.items():
        start = time.perf_counter()
        changed = attack()
        spent = 1e3 * (time.perf_counter() - start) / len(images)
        transfer = {other: attacks.measure(classifier, images, changed, labels, target)["success"]
                    for other, classifier in (others or {}).items()}
        found[name] = {**attacks.measure(gan.classifier, images, changed, labels, target), "milliseconds": spent,
                       "transfer": transfer}
    return found


def table(found):
    """What `compare` gives, as text."""
    others = list(next(iter(found.values()))["transfer"])
    lines = [f"{'':<16}{'success':>9}{'accuracy':>10}{'after':>8}{'L2':>8}{'L∞':>7}{'ms':>8}"
             + "".join(f"{'against ' + name[-12:]:>14}" for name in others)]
    for name, each in found.items():
        shares = 100 * each["success"], 100 * each["accuracy_before"], 100 * each["accuracy_after"]
        lines.append(f"{name:<16}{shares[0]:>8.1f}%{shares[1]:>9.1f}%{shares[2]:>7.1f}%{each['change_l2']:>8.2f}{each['change_linf']:>7.3f}{each['milliseconds']:>8.2f}"
                     + "".join(f"{100 * each['transfer'][other]:>13.1f}%" for other in others))
    return "\n".join(lines)


def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_list("against", [], "other classifiers, with commas between: own, A, B, C (trained apart, with another seed), or files")
    flags.DEFINE_string("test", None, "data set to attack, as train.py's --dataset; default: the run's test split, or a fifth")
    flags.DEFINE_integer("count", 1_000, "examples that are attacked", lower_bound=2)
    flags.DEFINE_integer("steps", 40, "of PGD", lower_bound=1)
    flags.DEFINE_integer("seed", 1, "of the classifiers trained apart", lower_bound=0)


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.metrics.attack", doing="attacking")
