"""Sheets of samples in the course of a run, and what lies beside them: the callback Samples."""
from pathlib import Path

import numpy as np
import tensorflow as tf

from kgan import kinds, pictures
from kgan.progress import StepCallback
from kgan.run import write


class Samples(StepCallback):
    """Draws the samples of the same noise every so often: DIRECTORY/step-000000250.png, and .gif of what moves.

    Args:
        directory: str or Path; made where there is none.
        every: steps between two pictures.
        last: a step that gets a picture in any case.
        real: float array [n, ...] of real examples; drawn once as real.png, and behind points and signals.
            Of a conditional GAN 8 of each class, one class after the other.
        count: samples a picture.
        seed: of the noise.
        given: dict of what the generator is given beside noise and label, of the same examples as `real`: the picture then
            has what is given, what is made of it and the real one side by side.
        tensorboard: directory for TensorBoard's event files, which get the pictures, too; None: none.
    """

    def __init__(self, directory, every=250, last=None, real=None, count=64, seed=0, given=None, tensorboard=None):
        super().__init__(every, last)
        self.tensorboard = tensorboard
        self.directory, self.real, self.count, self.seed, self.given = Path(directory), real, count, seed, given or {}

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.real is not None and not (self.directory / "real.png").exists():
            real = self.real if self.model.classes else self.real[:self.count]
            write(self.directory / "real.png", pictures.png(pictures.sheet(self.model.fields[self.model.key], real)))
            self._beside("real", real)
        if self._first == 0:
            self.on_step(0, logs)

    def on_step(self, step, logs):
        if self.given:
            picture, samples = beside(self.model, self.given, self.real, self.seed)
        else:
            samples = sheet(self.model, self.count, self.seed)
            picture = pictures.sheet(self.model.fields[self.model.key], samples, self.real)
        self._beside(f"step-{step:09d}", samples)
        sheets = {"step": picture, **self.model.drawn(self.count, self.seed)}
        for name, picture in sheets.items():
            write(self.directory / f"{name}-{step:09d}.png", pictures.png(picture))
        if self.tensorboard:
            with tf.summary.create_file_writer(str(self.tensorboard), filename_suffix=".samples").as_default(step):
                for name, picture in sheets.items():
                    tf.summary.image("samples" if name == "step" else name, np.asarray(picture.convert("RGB"))[None])

    def _beside(self, name, samples):
        """What lies beside a sheet of a kind that a picture does not show: sounds, clips."""
        kind = kinds.get(self.model.kind)
        if hasattr(kind, "beside"):
            for suffix, data in kind.beside(samples, **kinds.known(self.model.fields[self.model.key], kind.beside)).items():
                write(self.directory / f"{name}{suffix}", data)


def beside(gan, given, real, seed=0, count=16):
    """(a picture of the first examples: `gan.columns` of what is given, what is made of it, the real ones; what is made)"""
    given = {name: values[:count] for name, values in given.items()}
    made = gan.generate(len(next(iter(given.values()))), seed, given=given)
    return pictures.side_by_side(gan.columns(given, made, real[:count])), made


def sheet(gan, count, seed=0):
    """`count` samples, or of a conditional GAN 8 of each of the first 16 classes, all from the same 8 rows of noise."""
    if not gan.classes:
        return gan.generate(count, seed)
    rows = min(len(gan.classes), 16)
    return gan.make(np.tile(gan.latents(8, seed), [rows, 1]), np.repeat(np.arange(rows), 8)).numpy().astype(np.float32)
