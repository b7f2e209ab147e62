"""What the query of a picture says, the noise that it means, and the file that is made of the samples.

A new condition is a field of `Query`, refused in `Query.check` where a model has no such thing, and made an input beside
noise in `Query.inputs`. Each query says of which `seeds` it needs latents, as pairs (count, seed), and makes its noise of
them: the model is called elsewhere.
"""
import difflib
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from export.serving import drawing
from export.serving.limits import DIRECTION, MAX_PIXELS, MAX_SCALE, MAX_SEED, MAX_SIDE, TRUNCATION, Refusal, shown
from kgan.kinds.label import called
from kgan.kinds.noise import along, truncate, way

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
_NAMED = 12  # classes of a model that a refusal names


class Query(BaseModel):
    """What all pictures can be asked for with. An unknown parameter is refused by its name."""
    model_config = ConfigDict(extra="forbid")

    scale: int = Field(1, ge=1, le=MAX_SCALE, description="each pixel becomes scale × scale of them")
    label: str = Field(None, description="name of a class, one of label.classes in /generator.json; without it a grid has the "
                       "classes in turn, and other pictures the first. Not for models without classes")
    truncation: float = Field(None, ge=TRUNCATION[0], le=TRUNCATION[1], description="bound of the noise: the smaller, the "
                              "more usual and the less varied samples are. Only where /generator.json has it true")
    directions: str = Field("", max_length=400, description="numbers with commas between: how far all samples are moved along "
                            f"the first principal directions, each from -{DIRECTION:g} to {DIRECTION:g}", examples=["1.5,-2"])

    @field_validator("directions")
    @classmethod
    def numbers(cls, text):
        for part in text.split(",") if text else []:
            try:
                inside = abs(float(part)) <= DIRECTION  # not NaN either
            except ValueError:
                inside = False
            if not inside:
                raise ValueError(f"{part!r} is no number from -{DIRECTION:g} to {DIRECTION:g}")
        return text

    def inputs(self, model, latents):
        """Arrays [n, …] for the signature serving_default: one row a sample.

        Args:
            model: Model.
            latents: float32 array [count, D] for each of `seeds`.
        """
        return model.inputs(self.cut(model, latents), self.of_class(model))

    def cut(self, model, latents):
        """Noise [n, D], moved along directions and truncated where that is asked for."""
        noise, steps = self.noise(model, latents), self.steps_along
        if steps:
            noise = along(noise, model.directions, steps, model.distribution)
        # last of all, so that nothing is beyond
        return noise if self.truncation is None else truncate(noise, self.truncation)

    @property
    def steps_along(self):
        """List of how far to go along each of the first directions."""
        return [float(part) for part in self.directions.split(",")] if self.directions else []

    def of_class(self, model):
        """Name of the class of all samples; None: the classes in turn, or there are none."""
        return self.label

    def pixels(self, model, count=1, columns=1):
        """How many the file has, in all its pictures."""
        height, width = drawing.size(model, count, columns)
        return height * width * self.scale ** 2

    def check(self, model, max_images):
        """Raises Refusal where the picture would be too large, or the model has not what is asked for."""
        count = self.count()
        if count > max_images:
            raise Refusal(400, f"{self.asked()}: {count} samples; at most {max_images} (--max_images)")
        if self.pixels(model) > MAX_PIXELS:
            raise Refusal(400, f"{self.asked()}, scale={self.scale}: more than {MAX_PIXELS} pixels; take a lower scale")
        if self.label is not None:
            self.label = called(self.label, model.classes)
        if self.label is not None and self.label not in model.classes:
            raise Refusal(400, f"label={shown(self.label)}: {_other_classes(self.label, model.classes)}")
        self.check_noise(model)

    def check_noise(self, model):
        """Raises Refusal where the model's noise cannot be what is asked for, or a value would have no meaning."""
        if self.truncation is not None and not model.truncation:
            raise Refusal(400, f"truncation={self.truncation:g}: only for models whose /generator.json says truncation: true, "
                          "those of normal noise; leave it out")
        if (steps := len(self.steps_along)) and steps > len(model.directions):
            raise Refusal(400, f"directions: {steps} numbers; this model has {len(model.directions)} directions")


def _other_classes(label, classes):
    if not classes:
        return "this model has no classes; leave it out"
    if len(classes) <= _NAMED:
        return f"no such class; there are {', '.join(map(shown, classes))}"
    folded = {name.casefold(): name for name in reversed(classes)}
    close = [shown(folded[name]) for name in difflib.get_close_matches(label[:200].casefold(), folded)]
    return (f"none of the {len(classes)} classes; " + (f"the nearest: {', '.join(close)}; " if close else "")
            + "/generator.json has all, at label.classes")


class ImageQuery(Query):
    """The sample of a seed, or one between two seeds, or either moved along the principal directions."""
    seed: Seed = 0
    to: Seed = Field(None, description="the seed that `at` goes towards")
    at: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="0: `seed`, 1: `to`")

    media_type: ClassVar = "image/png"

    def check_noise(self, model):
        super().check_noise(model)
        if self.to is None and "at" in self.model_fields_set:
            raise Refusal(400, f"at={self.at:g}: it is a place on the way to another seed; say which by `to`, or leave it out")

    def count(self):
        return 1

    def asked(self):
        return f"seed={self.seed}"

    def seeds(self):
        return [(1, seed) for seed in (self.seed, self.to) if seed is not None]

    def noise(self, model, latents):
        noise, *to = latents
        return way(model.distribution)(noise[0], to[0][0], [self.at]) if to else noise

    def file(self, samples, model):
        return drawing.png(drawing.enlarged(drawing.draw(samples, model), self.scale))


class GridQuery(Query):
    """The first rows × cols samples of a seed."""
    seed: Seed = 0
    rows: int = Field(4, ge=1, le=MAX_SIDE)
    cols: int = Field(4, ge=1, le=MAX_SIDE)

    media_type: ClassVar = "image/png"

    def count(self):
        return self.rows * self.cols

    def asked(self):
        return f"rows={self.rows}, cols={self.cols}"

    def pixels(self, model):
        return super().pixels(model, self.count(), self.cols)

    def seeds(self):
        return [(self.count(), self.seed)]

    def noise(self, model, latents):
        return latents[0]

    def file(self, samples, model):
        return drawing.png(drawing.enlarged(drawing.draw(samples, model, self.cols), self.scale))


class AnimationQuery(Query):
    """The way from one seed to another, both ends among its steps, and back."""
    start: Seed = Field(0, alias="from")
    to: Seed = 1
    steps: int = Field(16, ge=2, le=MAX_SIDE ** 2)

    media_type: ClassVar = "image/gif"

    def count(self):
        return self.steps

    def asked(self):
        return f"steps={self.steps}"

    def pixels(self, model):
        return (2 * self.steps - 2) * super().pixels(model)  # there and back

    def seeds(self):
        return [(1, self.start), (1, self.to)]

    def of_class(self, model):
        return next(iter(model.classes), None) if self.label is None else self.label  # a way does not change its class

    def noise(self, model, latents):
        (start,), (to,) = latents
        return way(model.distribution)(start, to, np.linspace(0, 1, self.steps))

    def file(self, samples, model):
        pictures = [drawing.draw(sample[None], model) for sample in samples]
        return drawing.gif([drawing.enlarged(picture, self.scale) for picture in pictures], seconds=0.1)
