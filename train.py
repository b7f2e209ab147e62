"""Trains a GAN: python train.py --model=dcgan

    python train.py --list
    python train.py --model=dcgan --dataset=folder:photos --image_size=64
    python train.py --model=mlp --set preset=deep --steps=50000 --dry_run

The same command again goes on where the last one stopped. kgan/run.py says what a run leaves in its directory.
"""
import functools
import math
import os
import sys

from absl import flags

import kgan.flags
from kgan import command, devices
from kgan.quiet import import_tensorflow
from kgan.run import Run

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(kgan.flags)


def main(arguments):
    if len(arguments) > 1:
        raise kgan.flags.FlagError(f"{arguments[1]!r} is no flag: write --model=NAME")
    if FLAGS.list:
        print(kgan.flags.listing())
        return 0
    settings, directory = kgan.flags.resolve()
    workers = devices.workers(FLAGS.strategy)
    with devices.together(workers):
        try:
            return train(settings, directory, workers)
        except OSError as error:  # a full disk, say
            raise OSError(f"{error}; the checkpoints written before are whole") from error


def train(settings, directory, workers):
    """From settings to an exported generator. Returns the exit status."""
    import_tensorflow()  # not before: help and mistakes in flags are answered without it, it takes seconds
    import keras
    import tensorflow as tf

    from export import artefacts
    from kgan import callbacks, report

    run = Run(directory, workers.chief)
    source = kgan.data.source(settings["dataset"], **{name: settings[name] for name in (
        "image_size", "channels", "crop", "data_dir", "manual_dir")}, attributes=bool(settings["config"]["condition"]))
    source = source.by(settings["config"]["condition"], settings["config"]["bins"])
    kgan.flags.complete(settings, source)
    if workers.chief and not FLAGS.dry_run:
        run.check(settings, FLAGS.overwrite)

    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings["seed"])
    strategy = devices.strategy(FLAGS.strategy, workers)
    with devices.precision(settings["precision"]), strategy.scope():
        gan = kgan.models.build(settings["model"], source.shape, settings["config"], settings["seed"],
                                settings.get("classes", ()))
        config = gan.config
        devices.check(strategy, config)
        # a call of several steps must not run past a log row, a picture or a checkpoint
        together = math.gcd(devices.steps_per_execution(config), config.steps, config.log_every, config.sample_every,
                            config.checkpoint_every, config.evaluate_every)
        gan.compile(steps_per_execution=together)
    print(report.plan(settings, gan, source, directory))
    group = config.batch_size * config.discriminator_steps
    batches = functools.partial(kgan.data.batches, source, group, seed=settings["seed"], repeat=True,
                                flip=settings["flip"])
    if FLAGS.dry_run:
        print(report.summary(gan), report.cost(gan, devices.distribute(strategy, batches)), sep="\n")
        return 0
    # a data set too small for one batch, or one that cannot be measured so, shows here, before anything is written
    batches()
    evaluate = None
    if config.evaluate_every and workers.chief:
        evaluator = kgan.metrics.Evaluator(settings, config.features, config.evaluate_count)
        evaluate = callbacks.Evaluate(evaluator, config.evaluate_every, config.steps, config.evaluate_by, run)
    start = 0
    if workers.chief:
        run.begin(settings, FLAGS.overwrite)
        start, arrays = run.newest()
        run.truncate_log(start)
    if workers.tasks:
        start = devices.largest(strategy, start)  # the chief's, when it has got so far
        arrays = arrays if workers.chief else run.follow(settings, start)
    if start:
        print(f"resumed    at step {start:,}" if start < config.steps else
              f"complete   {start:,} steps; a larger --steps makes the run longer, --overwrite starts it anew")

    checkpoints = callbacks.Checkpoints(run, config.checkpoint_every, config.steps, arrays)
    watch = callbacks.Watch(source.some(64), config.log_every, config.steps, settings["seed"], run.log)
    log = callbacks.Log(run.log if workers.chief else None, config.log_every, config.steps,
                        directory / "tensorboard" if workers.chief else None, evaluate.columns if evaluate else ())
    interrupt = callbacks.Interrupt(checkpoints)
    if workers.tasks:  # they agree on it, not at each step
        interrupt = callbacks.Interrupt(checkpoints, config.log_every, functools.partial(devices.largest, strategy))
    shown = 2_000 if source.shape == (2,) else 64  # points in the plane need many to show a density
    real = source.some_of_each(config.condition, 8) if config.condition else source.some(shown)
    samples = callbacks.Samples(run.samples, config.sample_every, config.steps, real, shown, settings["seed"])
    progress = callbacks.Progress(config.steps, group, "img" if gan.key == "image" else "samples")
    profile = callbacks.Profile(directory / "tensorboard", *kgan.flags.steps_of(FLAGS.profile)) if FLAGS.profile else None
    clock = callbacks.Clock()
    used = [clock.end, checkpoints, watch, evaluate, log, samples, interrupt, progress, profile, clock.begin] \
        if workers.chief else [checkpoints, watch, log, interrupt]
    if start < config.steps:
        gan.fit(
            devices.distribute(strategy, functools.partial(batches, start=start)),
            steps_per_epoch=config.steps - start,
            verbose=0,
            shuffle=False,
            callbacks=[callback for callback in used if callback])
    else:
        checkpoints.restore(gan)
        watch.recall(gan)
        if evaluate:
            evaluate.recall()

    if log.not_finite:  # which has said why, and what to try
        if FLAGS.on_nan == "rollback" and (step := run.roll_back(*log.not_finite)):
            print(f"train.py: back to step {step:,}, with half the learning rates", file=sys.stderr, flush=True)
            sys.stdout.flush()
            # anew, since what a resumed run does is right to the bit
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "--nooverwrite"])
        print("train.py: stopped; the checkpoints are from before", file=sys.stderr)
        return 1
    if workers.chief:
        report.finish(run, settings, gan, source, gan.step, checkpoints.elapsed, watch.warnings, evaluate,
                      clock.describe())
    if interrupt.signal:
        print(f"stopped at step {gan.step:,} of {config.steps:,}; the same command goes on from there")
        return 128 + interrupt.signal
    if not workers.chief:
        return 0
    artefacts.write(directory, FLAGS.export)
    print(f"samples    {run.newest_sample()}\nreport     {run.report}\n"
          f"generator  {', '.join(str(directory / 'export' / name) for name in FLAGS.export)}")
    return 0


if __name__ == "__main__":
    command.run(main, "train.py")
