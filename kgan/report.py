"""What a run is and what came of it, in words and pictures: the plan before, report.md after."""
import json
import math
import platform
import sys
import textwrap

import tensorflow as tf

import kgan
from kgan import callbacks, pictures
from kgan.progress import duration
from kgan.run import write

try:
    import resource
except ImportError:  # Windows
    resource = None


def flops(network):
    """Floating-point operations of one example's forward pass (a multiply-add is two), as TensorFlow counts them."""
    specs = tf.nest.map_structure(lambda x: tf.TensorSpec((1, *x.shape[1:]), x.dtype), network.input)
    graph = tf.function(lambda x: network(x, training=False)).get_concrete_function(specs).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
    return profiler.profile(graph, options=options).total_float_ops


def devices():
    """What TensorFlow computes on, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    return f"{len(gpus)} x {names[0]}"


FEW = 2_000  # images: of fewer D sees each so often that it may memorise them
FEWEST = 10  # passes over them, below which it hardly can


def few(config, source, epochs):
    """A line of the plan, where the images are few and nothing of the settings takes care of it; else none."""
    if source.kind != "image" or len(source) >= FEW or epochs < FEWEST or len(config.needs) > 1 or config.augment:
        return []
    advice = "preset=few" if "few" in config.presets else "augment=flip+color+translation+cutout --set augment_target=0.6"
    return [f"few        with {len(source):,} images the run is {epochs:,.0f} epochs, and D may memorise them: --set {advice} "
            "augments them"]


def plan(settings, gan, source, directory, every=False):
    """What is about to be trained, as a few lines of text: of the settings those that differ from the defaults, or `every` one."""
    config = gan.config
    shown = settings["config"] if every else chosen(settings)
    told = ", ".join(f"{name}={value}" for name, value in shown.items())
    seen = config.steps * config.batch_size * config.discriminator_steps
    shape = "×".join(map(str, source.shape))
    lines = [
        f"model      {settings['model']}: generator {gan.generator.count_params():,} parameters, "
        f"discriminator {gan.discriminator.count_params():,}",
        f"data       {settings['dataset']}: {len(source):,} of {shape}, fields {', '.join(sorted(source.arrays))}",
        f"training   {config.steps:,} steps of {config.batch_size} = {_epochs(seen / len(source))} epochs, on {devices()}, "
        f"{gan.distribute_strategy.num_replicas_in_sync} × {settings['precision']}",
        f"settings   {told or 'the defaults'}" + ("" if every else f"; kgan settings {settings['model']} explains all of them"),
        f"directory  {directory}",
    ]
    lines += [f"note       {source.note}"] if source.note else []
    lines += few(config, source, seen / len(source))
    return "\n".join(textwrap.fill(line, 118, subsequent_indent=" " * 11, break_long_words=False,
                                   break_on_hyphens=False) for line in lines)


def _epochs(count):
    """How many passes over the data, as one reads it: 0.03, 31.3, 4,400."""
    return f"{count:,.0f}" if count >= 100 else f"{count:.1f}" if count >= 0.1 else f"{count:.1g}"


def chosen(settings):
    """The settings that are not the model's defaults: a preset, and what differs from it."""
    Config = kgan.models.outline(settings["model"]).Config
    preset = {name: settings["config"][name] for name in ("preset",) if name in settings["config"]}
    usual, first = Config(**preset), Config()
    # as they stand in config.json, where there are no tuples
    return {name: value for name, value in settings["config"].items()
            if json.dumps(value) != json.dumps(getattr(usual if name != "preset" else first, name, None))
            and name not in ("steps", "batch_size")}


def summary(gan):
    """Both networks' layers, parameters and operations, as text."""
    lines = []
    for network in (gan.generator, gan.discriminator):
        network.summary(print_fn=lambda text, **_: lines.append(text))
        lines.append(f"{network.name}: {network.count_params():,} parameters, {flops(network) / 1e6:,.1f} MFLOP an example")
    return "\n".join(lines)


def cost(gan, batches):
    """What training will cost, from some steps of `batches` that are made and thrown away, as text. Changes `gan`."""
    steps, calls, found, minutes = gan.config.steps, 2 if gan.steps_per_execution > 1 else 10, [], 0.0
    starts = [first for first, _ in gan.phases() if first < steps]
    for start, end in zip(starts, [*starts[1:], steps]):
        if start == end:  # a phase without steps
            continue
        gan.optimizer_of(next(iter(gan.players))).iterations.assign(start)  # which says which phase it is
        clock, count = callbacks.Clock(), min(calls * gan.steps_per_execution, end - start)
        gan.fit(batches, steps_per_epoch=count, shuffle=False, verbose=0, callbacks=[clock.end, clock.begin])
        each = clock.updates / clock.steps if clock.steps else clock.first / count
        minutes += (clock.first + (end - start) * each) / 60
        phase = gan.phase_of(start) and f"{gan.phase_of(start)}: "
        found.append(f"{phase}{clock.first:.1f} s to the first step, then {duration(each)} a step")
    whole = f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
    lines = [f"time       {'; '.join(found)}: about {whole} for {steps:,} steps, without pictures and measures"]
    used = {"main memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)} \
        if resource else {}
    for gpu in tf.config.list_logical_devices("GPU"):
        used[gpu.name.removeprefix("/device:")] = tf.config.experimental.get_memory_info(gpu.name)["peak"]
    if used:
        lines.append("memory     " + ", ".join(f"{peak / 1e9:.1f} GB of {name}" for name, peak in used.items()))
    return "\n".join(lines)


def finish(run, settings, gan, source, step, elapsed, warnings=(), evaluate=None, times=""):
    """Writes the losses' plot, the animation of the samples and report.md into the run directory.

    `warnings`: (step, text) of what callbacks.Watch has noticed. `evaluate`: callbacks.Evaluate, if there was one.
    `times`: where the time went, a sentence.
    """
    rows = callbacks.rows(run.log)
    measured = set(evaluate.columns) if evaluate else set()
    names = dict.fromkeys(name for row in rows for name in row if name not in {"step", *measured})
    columns = {name: [row.get(name, math.nan) for row in rows] for name in names}  # nan where its phase is not
    if rows:
        write(run.directory / "losses.png", pictures.png(pictures.curves([int(row["step"]) for row in rows], columns)))
    grids = sorted(run.samples.glob("step-*.png"))
    write(run.samples / "progress.gif", pictures.animate(grids))
    settled = ", ".join(f"`{name}={value}`" for name, value in settings["config"].items())
    last = "\n".join(f"| {name} | {values[-1]:.4g} |" for name, values in columns.items() if not math.isnan(values[-1]))
    warned = "".join(f"\n- **Warnings** step {at:,}: {text}." for at, text in warnings)
    warned += "".join(f"\n- **Rolled back** from step {each['at']:,}, where {each['first']} was not finite, to step "
                      f"{each['to']:,}; from there on with half the learning rates." for each in run.rollbacks())
    warned += "".join(f"\n- **Made longer** at step {each['at']:,}, from {each['before']:,} to {each['steps']:,} steps: "
                      f"{'; '.join(each['changes'])}." for each in run.lengthened())
    spent = f"\n- **Time** {times}." if times else ""
    quality = _quality(run, evaluate) if evaluate and evaluate.latest else ""
    images_per_second = step * gan.config.batch_size * gan.config.discriminator_steps / max(elapsed, 1e-9)
    write(run.report, f"""# {settings['model']} on {settings['dataset']}, {step:,} steps

![samples of step {step:,}, from fixed noise](samples/{grids[-1].name})

- **Trained** {step:,} of {gan.config.steps:,} steps in {elapsed / 60:.1f} minutes ({images_per_second:,.0f} examples/s) on {devices()}
  ({platform.machine()}, TensorFlow {tf.__version__}, kgan {kgan.__version__}).{spent}
- **Data** {settings['dataset']}: {len(source):,} of {'×'.join(map(str, source.shape))}.{source.note and ' ' + source.note}
- **Networks** generator {gan.generator.count_params():,} parameters, discriminator {gan.discriminator.count_params():,}.
- **Settings** {settled}, `seed={settings['seed']}`{warned}
- **Again**: `python train.py --config={run.directory / 'config.json'} --run_dir=ANOTHER`

| mean of the last {gan.config.log_every} steps | |
|---|---|
{last}

![losses and scores](losses.png)
{quality}
Real examples: [samples/real.png](samples/real.png). From the first step to the last: [samples/progress.gif](samples/progress.gif).
The generator: `export/saved_model`.
""".encode())


def _quality(run, evaluate):
    """The section of report.md on what was measured in training."""
    (step, latest), (best_step, best) = evaluate.latest, evaluate.best
    rows = "\n".join(f"| {name} | {latest[name]:.4g} | {format(best[name], '.4g') if name in best else ''} |"
                     for name in evaluate.columns if name in latest)
    protocol = ", ".join(f"{name}: {value}" for name, value in evaluate.evaluator.protocol.items())
    kept = f"checkpoints/best-{best_step:09d}.npz"
    return f"""
| measure | step {step:,} | best by {evaluate.by}: step {best_step:,} |
|---|---|---|
{rows}

Protocol: {protocol}, samples: {evaluate.evaluator.count} of the averaged generator, seed {evaluate.seed}. The best is kept in
[{kept}]({kept}): `python -m export {run.directory} --checkpoint=best`.
"""
