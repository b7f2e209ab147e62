"""What fit, evaluate and predict are given: looked at on the host, before a step uses it. A mistake is one sentence.

Labels are looked at in each batch, examples in the first. In a tf.data pipeline it happens in the pipeline itself: what XLA
compiles has no assertions.
"""
import dataclasses
import inspect
import numbers
import warnings
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kgan import kinds
from kgan.config import nearest


def class_numbers(values, count, name="label"):
    """Labels as int32 [n].

    Args:
        values: whole numbers [n] or [n, 1] of any dtype, as arrays or tensors.
        count: how many classes there are.
        name: what the message calls them.

    Raises:
        ValueError: one of them is no class: out of range, NaN, a fraction, a text; or they are one-hot.
    """
    found, wanted = np.asarray(values), f"labels are whole numbers from 0 to {count - 1}"
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name}: holds {_short(found)}, and {wanted}; give each its place in `classes`")
    if found.ndim > 1 and found.shape[-1] == 1:
        found = found.reshape(-1)
    if found.ndim > 1:
        one_hot = found.ndim == 2 and found.shape[1] == count and (np.sort(found, axis=1) == np.eye(count)[-1]).all()
        raise ValueError(f"{name}: has the shape {found.shape}" + (
            f" and is one-hot, and {wanted}; give labels.argmax(-1)" if one_hot else f", and {wanted}, one for each example"))
    if found.dtype.kind == "f" and not (np.isfinite(found).all() and (found == np.floor(found)).all()):
        wrong = found[~np.isfinite(found) | (found != np.floor(found))]
        raise ValueError(f"{name}: holds {wrong[0]:g}, and {wanted}")
    low, high = (found.min(), found.max()) if found.size else (0, 0)
    if low < 0 or high >= count:
        hint = "; do they begin at 1? Subtract it" if low == 1 and high == count else ""
        raise ValueError(f"{name}: from {low:g} to {high:g} were found, and {wanted}{hint}")
    return found.astype(np.int32)


def _short(values):
    flat = values.reshape(-1)
    if not flat.size or not isinstance(flat[0], (str, bytes)):
        return f"{values.dtype}"
    return f"texts such as {flat[0].decode(errors='replace') if isinstance(flat[0], bytes) else str(flat[0])!r}"


def examples(values, field, name, made=True):
    """Looks at examples [n, …] for `field`, a kgan.kinds.Field: are they of its shape, dtype and range? `made`: of what is made.

    Raises:
        ValueError: they are not. Where only the range is another, but a plausible one, it is a warning.
    """
    found, kind, wanted = np.asarray(values), kinds.get(field.kind), kinds.dtype(field.kind)
    bounds = kind.RANGE
    if found.dtype.kind not in ("f" if wanted == "float32" else "iu"):
        scaled = f"; kgan.kinds.{field.kind}.scale(examples.astype('float32')) gives that" if bounds else ""
        raise ValueError(f"{name}: the examples are {found.dtype}, and networks see {wanted}" + (
            f" from {bounds[0]:g} to {bounds[1]:g}" if bounds else "") + scaled)
    shape = found.shape[1:]
    if len(shape) != len(field.shape) or any(one != other for one, other in zip(shape, field.shape) if other is not None):
        lacks = "; add the axis of the channel, x[..., None]" if (*shape, 1) == tuple(field.shape) else ""
        raise ValueError(f"{name}: the examples have the shape {shape}, and this GAN's {tuple(field.shape)}{lacks}")
    if hasattr(kind, "check"):
        kind.check(found, **kinds.known(field, kind.check))
    if not bounds or not found.size or not np.isfinite(found).all():  # training says where numbers are not finite
        return
    (low, high), least, most = bounds, float(found.min()), float(found.max())
    said = f"{name}: the first batch is from {least:.4g} to {most:.4g}, and networks see {field.kind} from {low:g} to {high:g}"
    span, to_bounds = high - low, "x / 127.5 - 1 gives that of 0 to 255" if low < 0 else "x / x.max() gives that of 0 to 255"
    if field.kind in ("audio", "events", "notes"):
        to_bounds = f"kgan.kinds.{field.kind}.scale(x) gives that of what is stored"
    if least < low - 4 * span or most > high + 4 * span:
        raise ValueError(f"{said}; {to_bounds}")
    if least < low - 0.05 * span or most > high + 0.05 * span:
        warnings.warn(f"{said}; what lies outside {'the generator cannot make' if made else 'it has never seen'}", stacklevel=2)
    elif low < 0 <= least < most:
        warnings.warn(f"{said}; if they are from 0 to 1, 2 * x - 1 gives that", stacklevel=2)


def parts(gan, batch):
    """(the real examples, the labels or None) in a batch of arrays or tensors."""
    fields, *rest = batch if isinstance(batch, (tuple, list)) else (batch,)
    name, labels = gan.config.condition or "label", None
    if gan.classes:
        labels = fields[name] if isinstance(fields, dict) and name in fields else rest[0] if rest else None
    if len(rest) > 1 and rest[1] is not None:
        raise ValueError("sample_weight: the batches are tuples of three, and a GAN weighs all examples alike; leave it out")
    if isinstance(fields, dict):
        return fields.get(gan.key), labels
    return fields, labels


def arguments(method, args, kwargs):
    """The arguments of a call of a Keras method, by name. Raises ValueError for those that a GAN does not know."""
    known = inspect.signature(method)
    for name in kwargs.keys() - known.parameters:
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.parameters.values()):
            raise ValueError(f"{method.__name__}({name}=…): there is no such argument{nearest(name, known.parameters)}")
    given = known.bind(None, *args, **kwargs).arguments
    given.update(given.pop("kwargs", {}))
    del given["self"]
    for name in ("sample_weight", "class_weight"):
        if given.pop(name, None) is not None:
            raise ValueError(f"{name}: a GAN weighs all examples alike; leave it out" + (
                ", and give rare classes more examples" if name == "class_weight" else ""))
    return given


class Feed:
    """Looks at what one call is given. As a context it raises what it found as it was said, without TensorFlow's trace.

    Args:
        gan: kgan.sampling.Sampler.
        training: whether it is what an update gets: then arrays must fit accumulation and the steps of D, too.
        made: whether it is what the generator takes: noise, labels. Else it is examples, and labels.
    """

    def __init__(self, gan, training=False, made=False):
        self.gan, self.training, self.made = gan, training, made
        self.error, self.largest, self.held = None, 0, None
        config = gan.config
        self.unit = config.packing * (config.accumulation * config.discriminator_steps if training else 1)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        said = self.error or (self.held and self.held.error)
        # an error in the pipeline of several devices may reach none of them: data just seem to end
        lost = error is None and self.gan.distribute_strategy.num_replicas_in_sync > 1
        if said and error is not said and (error or lost):
            raise said from None

    @property
    def name(self):
        """What labels are called in a batch."""
        return self.gan.config.condition or "label"

    @property
    def whole(self):
        """Whether what is computed is more than a mean over examples, so that a smaller last batch has other statistics."""
        return self.unit > 1 or self.gan.pools(self.training)

    # === Looking ===

    def look(self, batch, first=False):
        """Raises ValueError where something is wrong with a batch of arrays; of the `first` one examples are looked at, too."""
        try:
            if self.made:
                return self._asked(batch)
            real, labels = parts(self.gan, batch)
            if real is not None:
                self._rest(len(real), labels)
                if first:
                    examples(real, self.gan.fields[self.gan.key], self.gan.key)
                    self._given(batch[0] if isinstance(batch, (tuple, list)) else batch)
        except ValueError as error:
            self.error = self.error or error
            raise

    def _rest(self, size, labels):
        """Looks at the labels of a batch, and at how many examples there are."""
        if labels is not None and (count := len(class_numbers(labels, len(self.gan.classes), self.name))) != size:
            raise ValueError(f"{self.name}: there are {count} labels and {size} examples; there must be as many")
        if size % self.gan.config.packing:
            raise ValueError(f"a batch has {size} examples; it must be a multiple of packing={self.gan.config.packing} "
                             "(tf.data: batch(n, drop_remainder=True))")

    def _given(self, fields):
        """Looks at what the generator is given beside noise and labels, in a batch that is a dict; it makes things of any size."""
        for name, field in self.gan.fields.items() if isinstance(fields, dict) else ():
            if name in fields and name not in (self.gan.key, "label") and "default" not in field.more:
                examples(fields[name], dataclasses.replace(field, shape=[None] * len(field.shape)) if self.made else field, name, made=False)

    def _asked(self, batch):
        """Looks at what `predict` gets: noise, or a dict of it and of labels."""
        noise, dim = batch.get("noise") if isinstance(batch, dict) else batch, self.gan.config.noise_dim
        if noise is not None and hasattr(noise, "shape") and "input" not in self.gan.fields:
            if tuple(noise.shape[1:]) != (dim,):
                raise ValueError(f"noise: has the shape {tuple(noise.shape)}, and this generator takes [n, noise_dim={dim}]")
        if self.gan.classes and isinstance(batch, dict) and "label" in batch:
            class_numbers(batch["label"], len(self.gan.classes))
        self._given(batch)

    # === What Keras gets instead ===

    def fit(self, given):
        """The arguments of `fit`: arrays as a pipeline of the config's batches, all data looked at on their way."""
        _callbacks(given.get("callbacks"))
        x, y, size = (given.pop(name, None) for name in ("x", "y", "batch_size"))
        _usable("fit", x, size)
        split = given.pop("validation_split", 0)
        if _arrays(x):
            x, y = _as_arrays(x), _as_arrays(y)
            if split and given.get("validation_data") is None:
                at = int(len(tf.nest.flatten(x)[0]) * (1 - split))
                given["validation_data"] = _cut((x, y), slice(at, None))
                x, y = _cut((x, y), slice(at))
            steps = self.gan.config.discriminator_steps
            given["x"] = self.arrays(x, y, size or self.gan.config.batch_size * steps, given.get("shuffle", True))
            given["x"] = given["x"].repeat() if given.get("steps_per_epoch") else given["x"]
            given["shuffle"] = False
        else:  # a split is for Keras to refuse
            if isinstance(x, tf.data.Dataset):  # which Keras never shuffles, but where nothing is said it warns of that
                given.setdefault("shuffle", False)
            given.update(x=self.watched(x), y=y, batch_size=size, validation_split=split)
        if (held := given.get("validation_data")) is not None:
            self.held = Feed(self.gan)
            x, y, *weights = held if isinstance(held, (tuple, list)) else (held, None)
            if weights and weights[0] is not None:
                raise ValueError("sample_weight: a GAN weighs all examples alike; leave it out of validation_data")
            found = self.held.evaluate({"x": x, "y": y, "batch_size": given.pop("validation_batch_size", None) or size})
            given["validation_data"] = found["x"] if found["y"] is None else (found["x"], found["y"])
        return given

    def evaluate(self, given):
        """The arguments of `evaluate`, likewise."""
        x, y, size = given.get("x"), given.get("y"), given.get("batch_size")
        _usable("evaluate", x, size)
        if _arrays(x):
            found = self.arrays(_as_arrays(x), _as_arrays(y), size or self.gan.config.batch_size)
            return {**given, "x": found, "y": None, "batch_size": None}
        return {**given, "x": self.watched(x), "y": y}

    def arrays(self, x, y, batch_size, shuffle=False):
        """Arrays as a tf.data.Dataset of batches. What fills none is left out where the whole batch counts, see `whole`."""
        tensors = x if y is None else (x, y)
        if y is not None and not self.gan.classes:
            warnings.warn("y: this GAN takes no labels, so they are not looked at", stacklevel=4)
        counts = {len(leaf) for leaf in tf.nest.flatten(tensors)}
        if len(counts) > 1:
            raise ValueError(f"the arrays have {' and '.join(map(str, sorted(counts)))} examples; each must have as many")
        count, whole = counts.pop(), self.whole
        size = min(batch_size, count)
        size = size // self.unit * self.unit if whole else size
        if not size:
            raise ValueError(f"{count} examples: a batch needs {self.unit} or more, by packing, accumulation and "
                             "discriminator_steps")
        if (labels := parts(self.gan, tensors)[1]) is not None:
            class_numbers(labels, len(self.gan.classes), self.name)
        self.look(_cut(tensors, slice(size)), first=True)
        with tf.device("CPU"):
            tensors = tf.nest.map_structure(tf.convert_to_tensor, tensors)
            rows = tf.data.Dataset.range(count)
            if shuffle:  # in an order that is a function of (seed, step)
                rows = rows.shuffle(count, seed=zlib.crc32(f"{self.gan.seed} {self.gan.step}".encode()) & 0x7FFFFFFF)
            rows = rows.batch(size, drop_remainder=whole or not count % size)
            return rows.map(lambda index: tf.nest.map_structure(lambda one: tf.gather(one, index), tensors),
                            num_parallel_calls=2, deterministic=True).prefetch(2)

    def watched(self, data):
        """`data`, looked at on their way: a tf.data.Dataset, a generator, a PyDataset; anything else as it is."""
        if isinstance(data, tf.data.Dataset) and not isinstance(self.gan.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return self._dataset(data)
        if inspect.isgenerator(data):
            return (batch for batch in data if self.keeps(batch))
        if isinstance(data, keras.utils.PyDataset) and not data.use_multiprocessing:
            return _Watched(data, self)
        return data

    def keeps(self, batch):
        """Whether a batch of arrays is used; then it is looked at."""
        real = None if self.made else parts(self.gan, batch)[0]
        size, first = 0 if real is None else len(real), not self.largest
        if self.whole and size < self.largest:
            return False
        self.largest = max(self.largest, size)
        self.look(batch, first)
        return True

    def _dataset(self, data):
        spec = data.element_spec
        real, labels = (None, None) if self.made else parts(self.gan, spec)
        if not all(isinstance(leaf, tf.TensorSpec) for leaf in tf.nest.flatten(spec)) or (
                not self.made and (real is None or not real.shape.rank)):
            return data  # the step says what is missing
        cut = not self.made and self.whole and real.shape[0] is None

        def host(*leaves):  # stateful, as numpy_function has it: what has no effect is left out of a graph
            self.look(tf.nest.pack_sequence_as(spec, leaves), first=True)
            return np.True_

        def again(size, *labels):
            try:
                self._rest(int(size), labels[0] if labels else None)
            except ValueError as error:
                self.error = self.error or error
                raise
            return np.True_

        def step(largest, batch):
            def fully():
                return tf.numpy_function(host, tf.nest.flatten(batch), tf.bool)

            def briefly():
                return tf.numpy_function(again, [size, *([] if labels is None else [found])], tf.bool)

            if self.made:
                return largest, (_after(fully(), batch), True)
            examples, found = parts(self.gan, batch)
            size = tf.shape(examples, out_type=tf.int64)[0]
            keep = size >= largest if cut else tf.constant(True)
            brief = labels is not None or self.gan.config.packing > 1
            later = (lambda: tf.cond(keep, briefly, lambda: True)) if brief else lambda: tf.constant(True)
            right = tf.cond(largest == 0, fully, later)
            return tf.maximum(largest, size), (_after(right, batch), keep)

        found = data.scan(tf.constant(0, tf.int64), step)
        found = found.filter(lambda batch, keep: keep) if cut else found
        return found.map(lambda batch, keep: batch)


def _usable(method, x, batch_size):
    """Raises ValueError where Keras would say something else, or nothing at all: of no data, of a path, of batches of no example."""
    if x is None or isinstance(x, (str, Path)):
        hint = "" if x is None else f"; kgan.data.load(\"folder:{x}\", batch_size=64) reads a folder"
        raise ValueError(f"{method}(x={x!r}): give examples, as an array, a tf.data.Dataset or a generator of batches{hint}")
    if batch_size is not None and not (isinstance(batch_size, numbers.Integral) and batch_size > 0):
        raise ValueError(f"{method}(batch_size={batch_size!r}): must be a whole number above 0; None takes the Config's")


def _callbacks(callbacks):
    """Tells callbacks that monitor a figure of quality whether larger is better.

    Raises:
        ValueError: one changes the one optimizer that a model has, or monitors a figure that nothing measures.
    """
    from kgan.callbacks import Evaluate
    from kgan.metrics.evaluate import BETTER

    measured = False
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]:
        measured |= isinstance(callback, Evaluate)
        if (figure := getattr(callback, "monitor", None)) in BETTER:
            if not measured:
                raise ValueError(f"{type(callback).__name__}(monitor={figure!r}): nothing measures it before; put "
                                 "kgan.callbacks.Evaluate(kgan.metrics.Evaluator((images, labels))) before it in the list")
            if getattr(callback, "mode", None) == "auto":
                callback.mode = "max" if BETTER[figure] else "min"
        for name in ("LearningRateScheduler", "ReduceLROnPlateau", "SwapEMAWeights"):
            if isinstance(callback, getattr(keras.callbacks, name)):
                does = "ema_decay averages the generator" if name == "SwapEMAWeights" else (
                    "give the Config a schedule, generator_learning_rate=\"linear:2e-4:0\"")
                raise ValueError(f"{name}: is for models of one optimizer, and a GAN has several; {does}")


def _after(right, batch):
    """`batch`, but not before `right` is known."""
    with tf.control_dependencies([right]):
        return tf.nest.map_structure(tf.identity, batch)


def _arrays(x):
    """Whether x is an array, a tensor, or a dict of such."""
    return not isinstance(x, tf.data.Dataset) and all(
        hasattr(one, "__array__") and hasattr(one, "shape") for one in (x.values() if isinstance(x, dict) else (x,)))


def _as_arrays(x):
    """x as NumPy arrays, floats as float32."""
    def array(one):
        one = np.asarray(one)
        return one.astype(np.float32, copy=False) if one.dtype.kind == "f" else one
    x = x if x is None or hasattr(x, "shape") or isinstance(x, dict) else np.asarray(x)
    return None if x is None else tf.nest.map_structure(array, x)


def _cut(arrays, rows):
    return tf.nest.map_structure(lambda one: None if one is None else one[rows], arrays)


class _Watched(keras.utils.PyDataset):
    """A PyDataset, each of whose batches is looked at. It cannot leave one out: one that is too small is a mistake."""

    def __init__(self, data, feed):
        super().__init__(workers=data.workers, max_queue_size=data.max_queue_size)
        self.data, self.feed = data, feed

    @property
    def num_batches(self):
        return self.data.num_batches

    def __getitem__(self, index):
        batch = self.data[index]
        if not self.feed.keeps(batch):
            self.feed.error = ValueError(f"batch {index} is smaller than {self.feed.largest}, the others' size, and its "
                                         "statistics would be others; let the PyDataset leave it out")
            raise self.feed.error
        return batch

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()

