"""Sampler: what the networks make and what they are given, as named fields; and samples of a trained generator."""
import dataclasses
import functools
import numbers
import warnings

import keras
import numpy as np
import tensorflow as tf

from kgan import contracts, draws, kinds
from kgan.advice import not_finite
from kgan.config import nearest, unknown
from kgan.draws import GENERATE, TRAINING
from kgan.feeding import Feed, arguments
from kgan.game import Game
from kgan.kinds.label import called
from kgan.kinds.noise import truncate
from kgan.replicas import len_of


class Sampler(Game):
    """A game one of whose networks, `generator`, makes samples of noise and of what it is given.

    Attributes:
        fields: dict of name -> kgan.kinds.Field, of what is made and of what is given beside noise.
        key: the name of what is made, the field of a batch that the generator learns: "image", "sample" …
        classes: names of the classes that `label` stands for; () if no labels are given.
        extras: functions that an export was asked for beside its own, such as kgan.filling's: dict of name -> (tf.function,
            inputs, outputs), the last two as `described` gives them.

    Args: see GAN.
    """

    extras = {}

    def __init__(self, generator, config=None, seed=0, classes=(), fields=None, name="gan"):
        super().__init__(config, seed, name)
        contracts.network("generator", generator)
        self.classes = tuple(classes)
        self.fields = self._known(fields or {}, generator)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes={list(self.classes)[:20]}: each needs a name of its own")

    def _known(self, fields, generator):
        """The fields by name: what is made, what is given."""
        made = [name for name, field in fields.items() if name == kinds.get(field.kind).FIELD and name != "label"]
        if not made:
            shape = tuple(generator.outputs[0].shape[1:])
            kind = kinds.guess(shape)
            made, fields = [kinds.get(kind).FIELD], {kinds.get(kind).FIELD: kinds.Field(kind, shape), **fields}
        self.key = made[0]
        fields = {name: field for name, field in fields.items() if field.kind not in ("label", "noise", "number")
                  or field.kind == "number" and name in inputs_of(generator)}
        if self.classes:
            fields["label"] = kinds.Field("label", (), self.classes)
        elif len(generator.inputs) > 1 and "label" in inputs_of(generator):
            raise ValueError("the generator takes a label: name the classes, as in classes=[\"cat\", \"dog\"]")
        strange = set(inputs_of(generator)) - {"noise", *fields} if len(generator.inputs) > 1 else ()
        if strange:
            raise ValueError(f"the generator takes {', '.join(sorted(strange))}: say of which kind that is, as in "
                             "fields={\"input\": kgan.kinds.Field(\"image\", (64, 64, 3))}")
        return fields

    @property
    def kind(self):
        """The name of the kind of what the generator makes."""
        return self.fields[self.key].kind

    # === What is in a batch ===

    def real(self, batch):
        """The real examples in a batch: of a tuple (examples, labels…) the first, of a dict those under `key`."""
        return self._field(batch, self.key)

    def _field(self, batch, name):
        batch = batch[0] if isinstance(batch, (tuple, list)) else batch
        if isinstance(batch, dict):
            if name not in batch:
                does = "makes" if name == self.key else "is given"
                raise ValueError(f"this generator {does} {name!r}, but the batches have only {sorted(batch)}")
            batch = batch[name]
        batch = tf.convert_to_tensor(batch)  # run eagerly, train_on_batch hands on numpy arrays
        return tf.cast(batch, tf.float32) if batch.dtype in (tf.float64, tf.float16, tf.bfloat16) else batch

    def given(self, batch):
        """The given fields in a batch, a dict of tensors: `label`, and those of `fields` that are not made."""
        found = {"label": self.label(batch)} if self.classes else {}
        return found | {name: self._field(batch, name) for name, field in self.fields.items()
                        if name not in (self.key, "label") and "default" not in field.more}

    def label(self, batch):
        """The labels in a batch, int32 [n]; None if the GAN is not conditional."""
        if not self.classes:
            return None
        name = self.config.condition or "label"
        fields, *rest = batch if isinstance(batch, (tuple, list)) else (batch,)
        # train_on_batch fills up with None; [n, 1] is how keras.datasets has CIFAR-10's
        if isinstance(fields, dict) and name in fields:
            return tf.reshape(tf.cast(fields[name], tf.int32), [-1])
        if rest and rest[0] is not None:
            return tf.reshape(tf.cast(rest[0], tf.int32), [-1])
        found = f"have only {sorted(fields)}" if isinstance(fields, dict) else f"are of {self.key}s alone"
        raise ValueError(f"this GAN is conditional on {name!r}, but the batches {found}")

    # === Random numbers ===

    def noise(self, count, draw=0, stream=TRAINING):
        """This replica's noise, float32 [count, noise_dim]: a function of (seed, step, replica, draw) alone."""
        draw_rows = functools.partial(draws.draw_noise, self.config.noise)
        return draws.rows(draw_rows, count, (self.config.noise_dim,), draws.step_seed(self.seed, stream, self.iterations, draw))

    def random(self, count, stream, draw, purpose):
        """Random numbers for a loss, by the same rule: has uniform(*tail) in [0, 1) and normal(*tail), [count, *tail]."""
        return draws.Random(count, draws.step_seed(self.seed, stream, self.iterations, draw), purpose)

    # === Sampling ===

    def call(self, inputs, training=False):
        return self.ema_generator(inputs, training=training)

    def make(self, noise, given=None, network=None, training=False):
        """Samples from noise [n, noise_dim] and given fields, as for `asked`.

        `network`: one of its generators; None: the averaged one.
        """
        network = self.ema_generator if network is None else network
        noise = tf.convert_to_tensor(noise)
        return network(feed(network, "noise", {"noise": noise, **self.asked(len_of(noise), given)}), training=training)

    def asked(self, count, given=None):
        """The given fields for `count` samples, a dict of tensors.

        `given`: dict of name -> [count, …]; what is no dict counts as the label, as for `labels`, and of labels that are not
        given the classes come in turn.

        Raises:
            ValueError: a field that the generator takes is not there and has no `default`, or there is no such class.
        """
        given = given if isinstance(given, dict) else {"label": given}
        label = self.labels(count, given.get("label"))
        found = {} if label is None else {"label": label}
        for name in self.fields:
            if name in (self.key, "label"):
                continue
            if name not in given and "default" in self.fields[name].more:
                found[name] = tf.fill([count], self.fields[name].more["default"])
                continue
            if name not in given:
                raise ValueError(f"this generator makes {self.key!r} of {name!r}: give it, as in given={{{name!r}: …}}")
            found[name] = tf.convert_to_tensor(given[name])
        return found

    def latents(self, count, seed=0, truncation=None):
        """Noise for `count` samples, float32 [count, noise_dim]. A larger count begins with the same samples.

        Args:
            count: how many, from 0 on.
            seed: a whole number from 0 to 2^31 - 1.
            truncation: bound of normal noise, see `kgan.kinds.noise.truncate`; None: there is none.

        Raises:
            ValueError: there can be no such count, seed or truncation.
        """
        for name, value, top in (("count", count, None), ("seed", seed, 0x7FFFFFFF)):
            if not tf.is_tensor(value) and not (isinstance(value, numbers.Integral) and 0 <= value <= (top or value)):
                raise ValueError(f"{name}={value!r}: must be a whole number from 0 {f'to {top}' if top else 'on'}")
        noise = draws.draw_noise(self.config.noise, (count, self.config.noise_dim), [seed, GENERATE])
        if truncation is None:
            return noise
        if self.config.noise != "normal":
            raise ValueError(f"truncation={truncation}: is for normal noise, this GAN's is {self.config.noise}")
        return tf.constant(truncate(noise, truncation))

    def labels(self, count, label=None):
        """Labels for `count` samples, int32 [count]; None if the GAN is not conditional.

        Args:
            count: how many.
            label: a class's number or name, for all of them; or [count] numbers or names; None: the classes in turn.

        Raises:
            ValueError: there is no such class, or there are no classes.
        """
        if not self.classes:
            if label is not None:
                raise ValueError(f"label={label}: this GAN is not conditional")
            return None
        if label is None:
            return tf.range(count, dtype=tf.int32) % len(self.classes)
        if isinstance(label, str):
            label = self._number(label)
        elif isinstance(label, (list, tuple, np.ndarray)) and all(isinstance(one, str) for one in label):
            label = [self._number(one) for one in label]
        if not tf.is_tensor(label) or hasattr(label, "numpy"):  # tensors in graphs come from batches, which are looked at
            found = np.asarray(label)
            if found.dtype.kind not in "iu" or found.ndim > 1 or not (
                    0 <= found.min(initial=0) <= found.max(initial=0) < len(self.classes)):
                raise ValueError(f"label={label}: must be from 0 to {len(self.classes) - 1}, a number or one for each sample")
            if found.ndim and not tf.is_tensor(count) and len(found) != count:
                raise ValueError(f"label: there are {len(found)} labels, and {count} samples; give one for each, or one for all")
        return tf.broadcast_to(tf.cast(label, tf.int32), [count])

    def _number(self, name):
        """The number of the class of that name. Raises ValueError: there is none."""
        name = called(name, self.classes)
        if name not in self.classes:
            raise ValueError(f"label={name}: {unknown(name, self.classes)}")
        return self.classes.index(name)

    def generate(self, count, seed=0, batch_size=256, network=None, label=None, truncation=None, given=None):
        """Samples from the averaged generator. The same arguments give the same samples.

        Args:
            count, seed: as for `latents`.
            batch_size: how many to make at once.
            network: another generator for the same noise, such as `gan.generator`; None: the averaged one.
            label: of a conditional GAN, see `labels`.
            truncation: see `latents`.
            given: dict of the other fields that the generator takes, name -> [count, …].

        Returns:
            numpy array [count, …] of float32, for images [count, H, W, C] in [-1, 1]; for tokens int32 [count, T].

        Raises:
            ValueError: one of the arguments cannot be.
        """
        noise = self.latents(count, seed, truncation)
        if strange := sorted({**(given or {})}.keys() - self.fields.keys() - {"label"}):
            raise ValueError(f"given={{{strange[0]!r}: …}}: this generator is given no such field{nearest(strange[0], self.fields)}")
        given = self.asked(count, {"label": label, **(given or {})})
        parts = []
        for start in range(0, max(count, 1), batch_size):
            rows = slice(start, start + batch_size)
            parts.append(self.make(noise[rows], {name: values[rows] for name, values in given.items()}, network))
        found = np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
        return found if found.dtype.kind == "i" else found.astype(np.float32)

    def columns(self, given, made, real):
        """What a sheet shows side by side: what is given, what is made of it, the real ones. See also advgan.

        Args:
            given: dict of the given fields, name -> [n, …]; made, real: [n, …].

        Returns:
            list of (kgan.kinds.Field, [n, …] as networks see them), from left to right.
        """
        field = self.fields[self.key]
        return [*((self.fields[name], values) for name, values in given.items() if name != "label"), (field, made), (field, real)]

    def drawn(self, count, seed=0):
        """Pictures that lie beside each sheet of `count` samples: dict of name -> PIL.Image. Here none; see prgan."""
        return {}

    # === What is exported ===

    def exports(self):
        """Functions of an export: dict of name -> name of a network, of which the average is taken where there is one.

        The first is what `serving_default` gives. A network may give a dict of outputs. What is no network is a tf.function
        from a dict of inputs to a dict of outputs: SavedModels alone have it. `described` says what is what.
        """
        return {"generator": "generator", **{name: function for name, (function, *_) in self.extras.items()}}

    def exported(self, function):
        """What a function of `exports` is: a keras.Model or a Python function."""
        found = self.exports()[function]
        return getattr(self, f"ema_{found}", None) or getattr(self, found) if isinstance(found, str) else found

    def described(self, function):
        """(inputs, outputs) of a function of `exports`: dicts of name -> kgan.kinds.Field of one example, in order.

        Here inputs are the fields of their names, and a single output is what the generator makes, called as its kind's outputs are;
        of a dict of outputs those whose names are fields' are these. A model that has others overrides this. `more["size"]`: what
        sizes that are None are in training, of what is no network.

        Raises:
            ValueError: it is not known of which kind an output is.
        """
        if function in self.extras:
            return self.extras[function][1:]
        network, made = self.exported(function), self.fields[self.key]
        noise = kinds.Field("noise", (self.config.noise_dim,), more={"distribution": self.config.noise})
        names = list(inputs_of(network))
        names = ["noise"] if len(names) == 1 and names[0] not in ("noise", *self.fields) else names
        known = {**self.fields, kinds.get(made.kind).OUTPUT: made}
        outputs = list(network.output) if gives_dict(network) else [kinds.get(made.kind).OUTPUT]
        if strange := [name for name in outputs if name not in known]:
            raise ValueError(f"{function} gives {', '.join(strange)}: override `described` to say of which kind that is")
        return {name: {"noise": noise, **self.fields}[name] for name in names}, {name: known[name] for name in outputs}

    # === Keras's methods, on data that are looked at first: see kgan.feeding ===

    def fit(self, *args, **kwargs):
        """keras.Model.fit. Without batch_size, arrays are cut into batches of the config's size times discriminator_steps.

        Warns at its end if a value became NaN or infinite, where no `kgan.callbacks.Log` has said so.

        Raises:
            ValueError: the GAN is not compiled, there are no examples, labels are not classes, examples have another shape, dtype
                or range than the networks see, or there are weights.
        """
        given = self._arguments(keras.Model.fit, args, kwargs)
        contracts.makes(self)
        callbacks = given.get("callbacks") or ()
        with Feed(self, training=True) as feed:
            history = super().fit(**feed.fit(given))
        said = any(getattr(one, "not_finite", None) for one in (callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]))
        if (first := self.first_not_finite) and not said:
            warnings.warn(not_finite(self, self.step, first[1], first, ""), stacklevel=2)
        return history

    def evaluate(self, *args, **kwargs):
        """keras.Model.evaluate, with the same checks."""
        given = self._arguments(keras.Model.evaluate, args, kwargs)
        with Feed(self) as feed:  # within `fit` the data have been looked at
            return super().evaluate(**(given if given.get("_use_cached_eval_dataset") else feed.evaluate(given)))

    def predict(self, *args, **kwargs):
        """keras.Model.predict: samples from noise [n, noise_dim], or from a dict of what the generator takes."""
        given = arguments(keras.Model.predict, args, kwargs)
        with Feed(self, made=True) as feed:
            if isinstance(given["x"], dict) or hasattr(given["x"], "shape"):
                feed.look(given["x"])
            return super().predict(**{**given, "x": feed.watched(given["x"])})

    def _arguments(self, method, args, kwargs):
        """Those of a call that needs losses. Raises ValueError: there are none yet."""
        if not self.compiled:
            raise ValueError(f"{method.__name__}: the GAN is not compiled; call gan.compile() first")
        return arguments(method, args, kwargs)

    def train_on_batch(self, *args, **kwargs):
        return super().train_on_batch(**self._looked_at(keras.Model.train_on_batch, args, kwargs, training=True))

    def test_on_batch(self, *args, **kwargs):
        return super().test_on_batch(**self._looked_at(keras.Model.test_on_batch, args, kwargs))

    def predict_on_batch(self, *args, **kwargs):
        return super().predict_on_batch(**self._looked_at(keras.Model.predict_on_batch, args, kwargs, made=True))

    def _looked_at(self, method, args, kwargs, **options):
        given = self._arguments(method, args, kwargs) if not options.get("made") else arguments(method, args, kwargs)
        batch = given["x"] if given.get("y") is None else (given["x"], given["y"])
        Feed(self, **options).look(batch, first=True)
        return given

    # === Saving ===

    def get_config(self):
        fields = {name: dataclasses.asdict(field) for name, field in self.fields.items() if name != "label"}
        return {**super().get_config(), "classes": self.classes, "fields": fields}


def inputs_of(network):
    """A network's inputs: dict of name -> tensor."""
    if takes_dict(network):
        return dict(network.input)
    return {tensor.name: tensor for tensor in network.inputs}


def takes_dict(network):
    """Whether a network is called with a dict."""
    # a sequential one has no `input` before it has been called
    return not isinstance(network, keras.Sequential) and isinstance(network.input, dict)


def gives_dict(network):
    """Whether what a network gives is a dict of outputs."""
    return not isinstance(network, keras.Sequential) and isinstance(network.output, dict)


def feed(network, main, values):
    """What a network gets of the named `values`: those that it has inputs for. A single input of no known name is `main`."""
    names = list(inputs_of(network))
    if len(names) == 1 and names[0] not in values:
        names = [main]
    if takes_dict(network):
        return {name: values[name] for name in names}
    return values[names[0]] if len(names) == 1 else [values[name] for name in names]
