"""Trains a GAN. The same command again resumes the run where it stopped. `python train.py` is the same.

    kgan train --model=dcgan                                                   digits that it draws itself
    kgan train --model=dcgan --dataset=folder:PATH --image_size=64 --flip      your photos
    kgan train --model=dcgan --dry_run                                         what would be trained, how long it would take
    kgan train --model=dcgan --help                                            the settings of a model, as --set KEY=VALUE
    kgan train --list                                                          the models and data sets

The code: flags → data → build → fit → report → export.
"""
import functools
import math
import os
import re
import sys
import types
import warnings

from absl import flags

import kgan.flags
from kgan import command, devices
from kgan.data import balance
from kgan.data.source import DataError
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
        except Exception as error:  # TensorFlow's, of what reading a file has raised within the pipeline
            if found := re.search(r"DataError: ([^\n]*)", str(error)):
                raise DataError(found[1]) from error
            raise


def train(settings, directory, workers):
    """From settings to an exported generator. Returns the exit status."""
    import_tensorflow()  # not before: help and mistakes in flags are answered without it, it takes seconds
    from kgan import callbacks, contracts, report
    contracts.environment()

    run = Run(directory, workers.chief)
    Config = kgan.models.outline(settings["model"]).Config
    with command.busy(f"preparing the data {settings['dataset']}"):
        source = kgan.data.of(settings, Config.needs, paired=Config.paired)
    kgan.flags.complete(settings, source)
    if workers.chief and not FLAGS.dry_run:
        run.check(settings, FLAGS.overwrite)
    gan, strategy = build(settings, workers)
    config = gan.config
    print(report.plan(settings, gan, source, directory, FLAGS.dry_run), flush=True)
    batches = functools.partial(kgan.data.batches, source, config.batch_size * config.discriminator_steps,
                                seed=settings["seed"], repeat=True, flip=settings["flip"], balance=balance.field(settings))
    if FLAGS.dry_run:
        print(report.summary(gan), report.cost(gan, devices.distribute(strategy, batches)), sep="\n")
        return 0
    own = kgan.flags.callbacks_of(settings, run.directory) if workers.chief else []
    # a data set too small for one batch, or one that cannot be measured so, shows here, before anything is written
    batches()
    evaluate = None
    if config.evaluate_every and workers.chief:
        evaluator = kgan.metrics.Evaluator(settings, config.features, config.evaluate_count)
        evaluate = callbacks.Evaluate(evaluator, config.evaluate_every, config.steps, config.evaluate_by, run,
                                      measures=gan.measures, patience=FLAGS.stop_after)
    before = run.settings() if workers.chief else None
    start, arrays = begin(run, settings, strategy, workers)
    if before and start and before["config"].get("steps", config.steps) < config.steps:
        lengthen(run, config, start, before["config"]["steps"])
    if not start:
        prepare(gan, settings)
    if start:
        print(f"resumed    at step {start:,}" if start < config.steps else
              f"complete   {start:,} steps; a larger --steps makes the run longer, --overwrite starts it anew")
    if settings["init_from"] and arrays is None:
        from kgan.loading import start_from
        with strategy.scope():
            for line in start_from(gan, settings["init_from"]):
                print(f"init_from  {line}")
    used = employ(run, settings, gan, source, strategy, workers, arrays, evaluate)
    if evaluate:
        evaluate.recall()  # a run that had stopped because it got no better stays as it is
    if start < config.steps and not (evaluate and evaluate.stopped):
        gan.fit(devices.distribute(strategy, functools.partial(batches, start=start)), steps_per_epoch=config.steps - start,
                verbose=0, shuffle=False, callbacks=[callback for callback in [*used.all, *own] if callback])
        if evaluate and evaluate.stopped:
            used.checkpoints.save_now()  # there may be none yet
    else:
        used.checkpoints.recall(gan)
        used.watch.recall(gan)
    return end(run, settings, gan, source, workers, used, evaluate)


def build(settings, workers):
    """(the compiled GAN, the tf.distribute.Strategy that trains it)."""
    import keras
    import tensorflow as tf

    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings["seed"])
    strategy = devices.strategy(FLAGS.strategy, workers)
    with devices.precision(settings["precision"]), strategy.scope():
        gan = kgan.models.of(settings)
        config = gan.config
        devices.check(strategy, config)
        # a call of several steps must not run past a log row, a picture or a checkpoint
        gan.compile(steps_per_execution=math.gcd(
            devices.steps_per_execution(config), config.steps, config.log_every, config.sample_every,
            config.checkpoint_every, config.evaluate_every))
    return gan, strategy


def begin(run, settings, strategy, workers):
    """Takes the run's directory. Returns (the step to go on from, the arrays of its checkpoint or None)."""
    start = 0
    if workers.chief:
        run.begin(settings, FLAGS.overwrite)
        start, arrays = run.newest()
        run.truncate_log(start)
    if workers.tasks:
        start = devices.largest(strategy, start)  # the chief's, when it has got so far
        arrays = arrays if workers.chief else run.follow(settings, start)
    return start, arrays


def prepare(gan, settings):
    """What a model wants to be done once before it is trained."""
    said, warning = gan.prepare(settings)
    if said:
        print(f"prepared   {said}")
    if warning:
        warnings.warn(warning, stacklevel=2)


def lengthen(run, config, start, before):
    """Says what making a run longer does to values that follow a schedule: they are read over all the steps."""
    from kgan import schedules

    if changes := schedules.jumps(config, start, before):
        run.lengthen(start, before, config.steps, changes)
        print(f"longer     {config.steps:,} steps instead of {before:,}, so at step {start:,} its schedules change: "
              f"{'; '.join(changes)}; for other values start a new run")


def employ(run, settings, gan, source, strategy, workers, arrays, evaluate):
    """The callbacks by name, and as `all` those of this worker in the order in which they are called."""
    from kgan import callbacks, kinds

    config, given = gan.config, [name for name in gan.fields if name not in (gan.key, "label") and name in source.arrays]
    found = types.SimpleNamespace(checkpoints=callbacks.Checkpoints(run, config.checkpoint_every, config.steps, arrays))
    some = source.choose(64)
    found.watch = callbacks.Watch(source.examples(some), config.log_every, config.steps, settings["seed"], run.log,
                                  source.given(some, given))
    found.log = callbacks.Log(run.log if workers.chief else None, config.log_every, config.steps,
                              run.directory / "tensorboard" if workers.chief else None, evaluate.columns if evaluate else ())
    found.interrupt = callbacks.Interrupt(found.checkpoints)
    if workers.tasks:  # they agree on it, not at each step
        found.interrupt = callbacks.Interrupt(found.checkpoints, config.log_every, functools.partial(devices.largest, strategy))
    found.clock = callbacks.Clock()
    if not workers.chief:
        found.all = [found.checkpoints, found.watch, found.log, found.interrupt]
        return found
    shown = kinds.get(gan.kind).SHOWN
    drawn = source.choose_of_each(config.condition, 8) if config.condition else source.choose(shown)
    samples = callbacks.Samples(run.samples, config.sample_every, config.steps, source.examples(drawn), shown,
                                settings["seed"], source.given(drawn, given), run.directory / "tensorboard")
    progress = callbacks.Progress(config.steps, config.batch_size * config.discriminator_steps, kinds.get(gan.kind).UNIT)
    profile = FLAGS.profile and callbacks.Profile(run.directory / "tensorboard", *kgan.flags.steps_of(FLAGS.profile))
    found.all = [found.clock.end, found.checkpoints, evaluate, found.watch, found.log, samples, found.interrupt, progress,
                 profile, found.clock.begin]
    return found


def end(run, settings, gan, source, workers, used, evaluate):
    """The report and the export, or what is to be said of a run that stopped. Returns the exit status."""
    from export import artefacts
    from kgan import report

    if used.log.not_finite:  # which has said why, and what to try
        if FLAGS.on_nan == "rollback" and (step := run.roll_back(*used.log.not_finite)):
            print(f"{command.program()}: back to step {step:,}, with half the learning rates", file=sys.stderr, flush=True)
            sys.stdout.flush()
            # anew, since what a resumed run does is right to the bit
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "--nooverwrite"])
        print(f"{command.program()}: stopped; the checkpoints are from before", file=sys.stderr)
        return 1
    if evaluate and evaluate.stopped:
        print(f"stopped    at step {gan.step:,}: {evaluate.by} did not improve in {FLAGS.stop_after} measurements since step "
              f"{evaluate.best[0]:,}, whose checkpoint is kept as the best")
    if workers.chief:
        report.finish(run, settings, gan, source, gan.step, used.checkpoints.elapsed, used.watch.warnings, evaluate,
                      used.clock.describe())
    if used.interrupt.signal:
        print(f"stopped at step {gan.step:,} of {gan.config.steps:,}; the same command resumes it")
        return 128 + used.interrupt.signal
    if not workers.chief:
        return 0
    artefacts.write(run.directory, FLAGS.export)
    print(f"samples    {run.newest_sample()}\nreport     {run.report}\n"
          f"generator  {', '.join(str(run.directory / 'export' / name) for name in FLAGS.export)}")
    return 0


if __name__ == "__main__":
    from kgan.settings import asked
    command.run(main, "kgan.training", asked)
