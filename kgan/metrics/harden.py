"""What adversarial training with an advgan's generator buys: a classifier that is harder to fool, and what that costs.

    python -m kgan.metrics.harden runs/NAME                      an advgan run, whose classifier is hardened
    python -m kgan.metrics.harden runs/NAME --steps=600 --test=folder:DEST/test

A copy of the run's classifier goes on learning, half of each batch real examples as they are and half the same examples
attacked:

    fixed       by the run's generator
    follows     by a generator that begins as the run's, and makes a step against the classifier at each of its steps
    fgsm        by one step along the classifier's gradient, from a random point (Wong et al. 2020, arXiv:2001.03994)
    pgd         by five (Madry et al. 2018), the usual yardstick, at several times the cost

Beside the classifier as it was (`none`), and one that went on learning from clean examples as long (`clean`), each row
has the accuracy on clean test examples, on those with noise, under FGSM and PGD against the row's own classifier, and
on what the run's generator makes. Robust accuracy against PGD is the figure to believe: a classifier can learn one
attack, and fall to the next.

The classifier of the row --kept is written to hardened.keras in the run's directory, images [-1, 1] -> logits; the
table to harden.json.
"""
import json
import time

from absl import flags

from kgan import command
from kgan.command import UserError
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write

WAYS = "none", "clean", "fixed", "follows", "fgsm", "pgd"
BATCH, RATE, INNER = 64, 5e-4, 5


def main(arguments):
    FLAGS = flags.FLAGS
    if len(arguments) != 2:
        raise UserError("which run? python -m kgan.metrics.harden RUN")
    run = Run(run_at(arguments[1]))
    from kgan.metrics.labelled import attacking, labelled
    settings = attacking(run)
    if strange := set(FLAGS.ways) - set(WAYS):
        raise UserError(f"--ways={','.join(FLAGS.ways)}: no row is called {', '.join(sorted(strange))}; there are "
                        f"{', '.join(WAYS)}")
    if FLAGS.kept and FLAGS.kept not in FLAGS.ways:
        raise UserError(f"--kept={FLAGS.kept}: is none of --ways={','.join(FLAGS.ways)}")
    kept = FLAGS.kept or ("follows" if "follows" in FLAGS.ways else FLAGS.ways[-1])
    import_tensorflow()
    import numpy as np

    train, test, remark = labelled(settings, FLAGS.test)
    gan, step = load(arguments[1])
    if not gan.classifier.network.weights or not hasattr(gan.classifier.network, "inputs"):
        raise UserError(f"classifier={gan.config.classifier}: a SavedModel cannot be trained on here; save it as .keras")
    rows = np.sort(test.choose(FLAGS.count))
    held = test.examples(rows), np.asarray(test.arrays["label"])[rows]
    found = {}
    for way in FLAGS.ways:
        gan, _ = load(arguments[1])  # each begins as the run's
        start = time.perf_counter()
        if way != "none":
            learn(gan, train, way, FLAGS.steps)
        spent = time.perf_counter() - start
        if way == kept != "none":
            gan.classifier.network.trainable = True  # of who loads it
            gan.classifier.network.save(run.directory / "hardened.keras")
        found[way] = {**robust(gan, load(arguments[1])[0], *held), "seconds": spent}
    print(f"{settings['dataset']}, step {step:,}, classifier {gan.config.classifier}: {FLAGS.steps} steps of {BATCH}, "
          f"{len(rows):,} test examples{remark and ', ' + remark}; ε = {255 * gan.config.bound:.0f}/255\n{table(found)}")
    write(run.directory / "harden.json", json.dumps(
        {"step": step, "dataset": settings["dataset"], "steps": FLAGS.steps, "count": len(rows), "note": remark,
         "accuracy": found}, indent=1).encode() + b"\n")
    print(f"{run.directory / 'hardened.keras'}: {kept}" if kept != "none" else "no classifier is written: none was trained")
    return 0


def learn(gan, train, way, steps, seed=0):
    """Trains gan's classifier `way`'s way, in place, and of "advgan, follows" its generator and discriminator with it.

    Args:
        gan: kgan.models.advgan.AdvGAN, compiled.
        train: kgan.data Source with `label`.
        way: one of WAYS.
        steps, seed: how many, and of the order and of dropout.
    """
    import keras
    import tensorflow as tf

    import kgan
    keras.utils.set_random_seed(seed)
    network = gan.classifier.network
    # the Classifier layer stays frozen, so that G's steps leave it alone; its network is trained beside
    variables = [variable for layer in network._flatten_layers() for variable in layer._trainable_variables]
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(variables)
    epsilon = 2 * gan.config.bound

    def logits(images):
        return gan.classifier.logits_of(network(gan.classifier._seen(images), training=True))

    def attacked(images, labels):
        if way == "clean":
            return images
        if way in ("fixed", "follows"):
            return tf.stop_gradient(gan.generator(images, training=False))
        inner = 1 if way == "fgsm" else INNER
        low, high = tf.maximum(images - epsilon, -1.0), tf.minimum(images + epsilon, 1.0)
        # without the random point the one step is soon memorised
        now = tf.clip_by_value(images + tf.random.uniform(tf.shape(images), -epsilon, epsilon), low, high)
        for _ in range(inner):
            with tf.GradientTape() as tape:
                tape.watch(now)
                loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, gan.classifier(now)))
            far = 1.25 * epsilon if inner == 1 else 2 * epsilon / inner
            now = tf.clip_by_value(now + far * tf.sign(tape.gradient(loss, now)), low, high)
        return tf.stop_gradient(now)

    @tf.function
    def step(images, labels):
        shown = tf.concat([images, attacked(images, labels)], 0)
        with tf.GradientTape() as tape:
            tape.watch([variable.value for variable in variables])
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.tile(labels, [2]), logits(shown)))
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)

    data = kgan.data.batches(train, min(BATCH, len(train)), seed=seed, repeat=True)
    for batch in data.take(steps):
        images, labels = batch["image"], tf.cast(batch["label"], tf.int32)
        step(images, labels)
        if way == "follows":
            gan.train_on_batch({"input": images, "image": images, "label": labels})


def robust(gan, before, images, labels):
    """The accuracy of gan's classifier on examples as they are and under attacks; `before`: the GAN of the run as it is."""
    from kgan.classifiers import verdicts
    from kgan.kinds.image import scale, store
    from kgan.metrics import attacks
    epsilon = gan.config.bound
    shown = {"clean": images, "noise": attacks.noise(images, epsilon),
             "FGSM": attacks.fgsm(gan.classifier, images, labels, epsilon),
             "PGD": attacks.pgd(gan.classifier, images, labels, epsilon, 40, max(1 / 255, epsilon / 10)),
             "advgan": before.generate(len(images), given={"input": images})}
    return {name: float((verdicts(gan.classifier, scale(store(each).astype("f"))).argmax(1) == labels).mean())
            for name, each in shown.items()}


def table(found):
    """Accuracies as text: a row a way of training, a column an attack."""
    names = list(next(iter(found.values())))[:-1]
    lines = [f"{'accuracy, %':<18}" + "".join(f"{name:>9}" for name in names) + f"{'seconds':>10}"]
    lines += [f"{way:<18}" + "".join(f"{100 * each[name]:>9.1f}" for name in names) + f"{each['seconds']:>10.0f}"
              for way, each in found.items()]
    return "\n".join(lines)


def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_integer("steps", 400, "of training, 64 examples each", lower_bound=1)
    flags.DEFINE_integer("count", 500, "test examples", lower_bound=2)
    flags.DEFINE_string("test", None, "data set to test on, as train.py's --dataset; default: the run's test split, or a fifth")
    flags.DEFINE_list("ways", list(WAYS), f"rows of the table, with commas between: {', '.join(WAYS)}")
    flags.DEFINE_enum("kept", None, list(WAYS[1:]), "whose classifier is written to hardened.keras; default: follows, or the last of --ways")


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.metrics.harden", doing="training classifiers")
