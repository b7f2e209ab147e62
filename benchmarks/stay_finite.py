"""Do numbers stay finite in long training, in float32 and in float16? Prints one JSON line last.

    python benchmarks/stay_finite.py                2,000 steps each: about four minutes on one core

WGAN-GP, R3GAN and the hinge (sngan) with their models' defaults, in tiny networks on noise that is clipped to [-1, 1], 8
examples an update. After them all that was logged, every variable of the state (networks, both optimizers, the averaged
generator) and 16 samples have to be finite.
"""
import argparse
import json

import keras
import numpy as np
import tensorflow as tf

from kgan import models

SETTINGS = {"wgan_gp": dict(filters=4), "r3gan": dict(widths="8", group_width=4), "sngan": dict(filters=4)}


def train(model, steps):
    """A dict: `step`, names of the `figures` that were logged, and what is `not finite`."""
    keras.utils.set_random_seed(1)
    gan = models.build(model, (8, 8, 1), dict(steps=steps, noise_dim=8, batch_size=8, jit_compile=False, **SETTINGS[model]))
    gan.compile(steps_per_execution=50)
    count = 8 * gan.config.discriminator_steps
    real = np.clip(np.random.default_rng(0).normal(0, 0.5, (20 * count, 8, 8, 1)), -1, 1).astype(np.float32)
    examples = tf.data.Dataset.from_tensor_slices(real).batch(count, drop_remainder=True).repeat()
    history = gan.fit(examples, steps_per_epoch=100, epochs=steps // 100, shuffle=False, verbose=0).history
    values = {**history, **{variable.path: variable for variable in gan.state()}, "samples": gan.generate(16)}
    return {"step": gan.step, "figures": sorted(history),
            "not finite": [name for name, value in values.items() if not np.isfinite(np.asarray(value)).all()]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000)
    steps = parser.parse_args().steps
    results = {}
    for precision in ("float32", "mixed_float16"):
        keras.mixed_precision.set_dtype_policy(precision)
        for model in SETTINGS:
            results[f"{model}, {precision}"] = train(model, steps)
            print(model, precision, json.dumps(results[f"{model}, {precision}"]), flush=True)
    print(json.dumps({"benchmark": "stay_finite", "results": {name: {"step": found["step"], "not finite": found["not finite"]}
                                                              for name, found in results.items()}}))


if __name__ == "__main__":
    main()
