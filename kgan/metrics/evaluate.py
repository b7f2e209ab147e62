"""Measures samples against the real examples of a data set, and says by which protocol.

    reference   `count` examples of the test split, or of the training split where the data have no other
    samples     as many of them, from the averaged generator unless said otherwise
    features    of both, by one network (`kgan.metrics.features`)

Of models that make something of a given example each sample has a real one to be compared with, and is: PSNR, SSIM and what
else its kind compares. `untouched` is then what the given example itself scores as the answer: who does nothing.

The classifier among the feature networks has seen the training split, not the test split: figures against the latter treat
all samples alike. `real` is what as many training examples score against the same reference: no generator can be expected to
do better.
"""
import functools

import numpy as np

import kgan
from kgan import kinds, models, pictures
from kgan.data import modes
from kgan.data.bicubic import resize
from kgan.data.source import DataError, Source, seen
from kgan.metrics import classes, features, frechet, kernel, neighbors, sliced

# figure -> whether a larger value is better; those that choose the best checkpoint
BETTER = {"frechet_distance": False, "kernel_distance": False, "sliced_wasserstein": False, "precision": True,
          "recall": True, "density": True, "coverage": True, "psnr": True, "ssim": True, "l1": False, "iou": True,
          "si_sdr": True, "segmental_snr": True, "stoi": True, "pesq": True, "music_distance": False, "hole_l1": False,
          "hole_psnr": True}
SURE = 0.9
EQUAL = 100.0  # dB that the PSNR of two equal images counts as: a mean of infinities says nothing


def sources(settings):
    """(train, test) of a run's settings, as its model sees them; test is None where the data have no such split."""
    needs, paired = Evaluator.needs(settings), Evaluator.paired(settings)
    train = kgan.data.of(settings, needs, paired=paired)
    try:
        return train, kgan.data.of(settings, needs, "test", like=train, paired=paired)
    except DataError:
        return train, None


class Evaluator:
    """Real examples to measure samples against; their features are computed once.

        evaluator = kgan.metrics.Evaluator({"dataset": "glyphs"})
        evaluator = kgan.metrics.Evaluator((images, labels))        # arrays; or the images alone
        evaluator.figures(gan.generate(10_000))

    Args:
        settings: dict with `dataset` and, as in a run's config.json, image_size, channels, crop, data_dir, manual_dir, and
            of its `config` the condition. Or real examples themselves, as for `kgan.data.load`: images uint8 [N, H, W, C], images
            and labels, or two pairs of these, of which the second is the test split.
        network: name of the feature network, see `kgan.metrics.features.get`.
        count: real examples at most; compare with as many samples.
        seed: which of them.

    Raises:
        DataError: the data or the network cannot be had.
    """

    def __init__(self, settings, network="auto", count=10_000, seed=0):
        if not (isinstance(settings, dict) and "dataset" in settings):
            settings = {"dataset": settings}
        self.train, test = sources(settings)
        condition = settings.get("config", {}).get("condition", "")
        if condition not in ("", "label") and condition not in self.train.cuts:
            # a class other than the label: that is what the classifier is to learn. Not of a number's parts: few images
            # show to which of two neighbours they belong
            self.train, test = (source and source.named(condition, "label") for source in (self.train, test))
            condition = "label"
        self.network = features.get(network, self.train, test if test and "label" in test.classes else None)
        split, held = ("test", test) if test else ("train", self.train)
        order = np.random.default_rng(seed).permutation(len(held))
        rows = np.sort(order[:count])
        self.count, self.held_back, self._rows = len(rows), bool(test), rows
        self.examples = np.asarray(held.arrays[held.key][rows])
        self.labels = np.asarray(held.arrays["label"][rows]) if "label" in held.classes else None
        # what samples are asked to be: the classes of the examples, one by one; and what these are called
        self.asked = np.asarray(held.arrays[condition][rows]) if condition else None
        # what samples are made of beside noise and label: that of the examples, one by one
        self.given = held.given(rows, [name for name in self.needs(settings) if name not in (held.key, "label")])
        # the classes of the examples of `input`, where they have some of their own
        self.given_labels = held.examples(rows, "input_label") if "input_label" in held.classes else None
        self.held, self._aligned = held, self.paired(settings)
        self._named = condition == "label"
        self.asked_names = tuple(held.classes[condition]) if condition else ()
        self.features, _ = self._features(self.examples)
        self._moments = None if self.features is None else frechet.Moments.of(self.features)
        self.protocol = {"dataset": settings["dataset"] if isinstance(settings["dataset"], str) else self.train.name,
                         "size": "×".join(map(str, held.shape)), "reference": f"{split} split",
                         "reference_count": self.count,
                         **({"images": "resized to size by Lanczos where they had another"} if held.kind == "image" else {}),
                         **(self.network.protocol if self.network else {"features": "none"}), "kgan": kgan.__version__}
        if asked := settings.get("config", {}).get("condition"):
            self.protocol["condition"] = asked

    @staticmethod
    def needs(settings):
        return models.outline(settings["model"]).Config.needs if "model" in settings else {}

    @staticmethod
    def paired(settings):
        return models.outline(settings["model"]).Config.paired if "model" in settings else True

    def _features(self, examples):
        return self.network(examples) if self.network else (None, None)

    def figures(self, samples, asked=None, every=True, aligned=True):
        """What samples measure.

        Args:
            samples: float [n, ...] in [-1, 1], or uint8.
            asked: of a conditional GAN: the labels that they were asked to be of, int [n]; best those of the attribute
                `asked`, so that classes are as frequent as in the reference. None: it is not conditional.
            every: False leaves out what takes long, sliced Wasserstein distance, where there is a network.
            aligned: whether the samples were made of what is `given`, one by one, so that each has its example.

        Returns:
            dict of name to float: frechet_distance, kernel_distance, kernel_distance_error, precision, recall, density,
            coverage by the features' network; score, score_error, confident, modes, mode_kl by its probabilities where it
            has some of the data's own classes; label_accuracy where samples were asked to be of these: the share that it
            takes for what it should be; sliced_wasserstein of images; of aligned ones the means of what the kind compares: psnr,
            ssim, l1 of images, and label_kept, the share that the network takes for what their examples are.

        Raises:
            DataError: too few samples; the message has the number needed.
        """
        return self._figures(samples, *self._features(samples), asked, every, aligned)

    def _figures(self, samples, found, probabilities, asked, every=True, aligned=True):
        figures, kind = {}, self.train.kind
        if "input" in self.given and aligned and self._aligned:
            compare = kinds.get(kind).compare
            compared = compare(seen(kind, np.asarray(samples)), seen(kind, self.examples),
                               **kinds.known(self.train.fields[self.train.key], compare))
            # of examples that are too short for a measure there is none
            figures.update((name, np.mean(np.minimum(values[~np.isnan(values)], EQUAL)) if not np.isnan(values).all() else np.nan)
                           for name, values in compared.items())
        try:
            # of pairs there are often few, and other figures to go by
            enough = found is None or not (self.given and self._aligned) or min(len(found), self.count) > found.shape[1]
            if found is not None and enough:
                figures["frechet_distance"] = frechet.frechet_distance(self._moments, frechet.Moments.of(found))
            if found is not None:
                figures["kernel_distance"], figures["kernel_distance_error"] = kernel.kernel_distance(self.features, found)
                figures.update(neighbors.manifold(self.features, found))
            if probabilities is not None:
                figures["score"], figures["score_error"] = classes.score(probabilities)
        except ValueError as error:
            raise DataError(f"{len(found)} samples against {self.count} examples: {error}; take more, or features=none, which leaves sliced "
                            "Wasserstein distance alone") from None
        if probabilities is not None and self.network.classes:
            figures["confident"] = float((probabilities.max(1) >= SURE).mean())
            counted = modes.coverage(probabilities.argmax(1), len(self.network.classes))
            figures["modes"], figures["mode_kl"] = float(counted["modes"]), counted["kl"]
            if "input" in self.given and aligned and self._aligned and self.labels is not None:
                figures["label_kept"] = float((probabilities.argmax(1) == self.labels[:len(samples)]).mean())
            if self._named and asked is not None:
                figures["label_accuracy"] = float((probabilities.argmax(1) == asked).mean())
        if kind == "image":  # of another kind that has no network either, a family's own figures are all
            small = min(self.train.shape[:2]) < sliced.SMALLEST
            if not self.network and small and not figures:
                raise DataError(f"{self.train.name}: without a feature network images are compared by sliced Wasserstein "
                                f"distance, which needs {sliced.SMALLEST} pixels or more; features=PATH names a network")
            if not small and (every or not self.network):
                figures["sliced_wasserstein"] = sliced.sliced_wasserstein(self.examples, samples)["mean"]
        return {name: float(value) for name, value in figures.items()}

    @functools.cached_property
    def _trained(self):
        """Features of the whole training split."""
        return self._features(self.train.arrays[self.train.key])[0]

    @functools.cached_property
    def _usual(self):
        """Median distance of examples that are not trained on to the nearest training example; of these to each other."""
        if self.held_back:
            return np.median(neighbors.nearest(self.features, self._trained)[0])
        return np.median(neighbors.nearest(self._trained, self._trained, exclude_self=True)[0])

    @functools.cached_property
    def _others(self):
        """Rows of `count` training examples, or None where they are the reference and there are no others."""
        order = np.random.default_rng(1).permutation(len(self.train))
        if not self.held_back:
            order = order[~np.isin(order, self._rows)]
        return None if len(order) < self.count else np.sort(order[:self.count])

    @functools.cached_property
    def real(self):
        """The figures of `count` training examples, or None where there are no others than the reference."""
        if self._others is None:
            return None
        asked = np.asarray(self.train.arrays["label"][self._others]) if self._named else None
        return self.figures(np.asarray(self.train.arrays[self.train.key][self._others]), asked, aligned=False)

    def real_of(self, gan):
        """What `gan.real_figures` gives of these training examples; {} of a GAN that is given something."""
        if self._others is None or self.given:
            return {}
        asked = None if self.asked is None or not self._named else np.asarray(self.train.arrays["label"][self._others])
        return gan.real_figures(self, self.train.examples(self._others), asked)

    @functools.cached_property
    def untouched(self):
        """The figures of what the samples are made of, taken for the answer as it is; None where it is of another kind."""
        given, (*size, channels) = self.given.get("input"), self.train.shape
        if given is None or self.train.fields["input"].kind != self.train.kind:
            return None
        if self.train.kind == "image":  # smaller ones are interpolated
            given = np.clip(resize(given, *size), -1, 1)
        elif list(given.shape[1:-1]) != size:
            return None
        if given.shape[-1] != channels:  # grey as colour, or the other way
            given = np.repeat(given.mean(-1, keepdims=True), channels, axis=-1)
        return self.figures(given)

    @functools.cached_property
    def way_back(self):
        """(network, features) of what the samples are made of, `input`, by a network of the same name for it.

        For models that go back: what they make of the examples is of that sort, and its features are measured against these.
        None where there is no network.
        """
        if not self.network:
            return None
        named = {"input": "image", "input_label": "label"}
        train = Source(f"{self.train.name}, input", {new: self.train.arrays[old] for old, new in named.items() if old in self.train.arrays},
                       {new: self.train.classes[old] for old, new in named.items() if old in self.train.classes})
        network = features.get(self.network.name, train)
        return network, network(self.given["input"])[0]

    # === What takes longer ===

    def details(self, samples, asked=None):
        """All figures, those of each class, how near the training examples are, and pictures.

        Returns:
            (figures, per_class, pictures): per_class is a dict of class to `share`, `real_share`, `fidelity`, `diversity`,
            `frechet_distance` and, of a conditional GAN, `accuracy`; empty where there are no classes. Samples are counted
            to the class that they were asked to be, without labels to that which the network takes them for. pictures is a
            dict of name to PIL.Image, empty without a network.
        """
        found, probabilities = self._features(samples)
        figures, per_class, drawn = self._figures(samples, found, probabilities, asked), {}, {}
        if found is None:
            return figures, per_class, drawn
        if probabilities is not None and self.network.classes and self.labels is not None:
            per_class = self._per_class(found, probabilities.argmax(1), asked if self._named else None)
            figures.update(self._means(per_class))
            drawn["classes"] = pictures.bars(per_class, {"samples": "share", "real": "real_share"}, "share of the class")
            drawn["fidelity"] = pictures.places(per_class, "diversity", "fidelity")
        distance, index = neighbors.nearest(found, self._trained, k=5)
        if self._usual > 1e-6:  # else most examples are the same as some that were trained on, and nothing can be told by it
            figures["nearest_train"] = float(np.median(distance[:, 0]) / self._usual)
        kind = self.train.kind
        if kinds.get(kind).images(self.train.examples([0])) is not None:
            samples = seen(kind, np.asarray(samples))
            away = neighbors.nearest(found, self.features)[0][:, 0]
            order = np.argsort(away, kind="stable")
            drawn["best"], drawn["worst"] = (pictures.sheet(kind, samples[rows]) for rows in (order[:64], order[::-1][:64]))
            rows = [np.concatenate([samples[i:i + 1], self.train.examples(index[i])]) for i in range(min(8, len(samples)))]
            drawn["neighbors"] = pictures.sheet(kind, np.concatenate(rows), columns=6)
        return figures, per_class, drawn

    def _per_class(self, found, judged, asked):
        names = self.network.classes
        shares, real = classes.shares(judged, len(names)), classes.shares(self.labels, len(names))
        labels = judged if asked is None else asked
        figures = classes.per_class(self.features, self.labels, found, labels)
        rows = {}
        for i, name in enumerate(names):
            rows[name] = {"share": float(shares[i]), "real_share": float(real[i]),
                          **{figure: _known(figures.get(i, {}).get(figure)) for figure in ("fidelity", "diversity")},
                          "frechet_distance": _distance(self.features[self.labels == i], found[labels == i])}
            if asked is not None:
                rows[name]["accuracy"] = _known(np.mean(judged[labels == i] == i) if (labels == i).any() else np.nan)
        return rows

    @staticmethod
    def _means(per_class):
        """Over the classes: the mean of their Fréchet distances, and the least of their diversities."""
        distances, diversities = ([row[name] for row in per_class.values()] for name in ("frechet_distance", "diversity"))
        if None in distances + diversities:
            return {}
        return {"frechet_distance_within": float(np.mean(distances)), "diversity_within": min(diversities)}


def _distance(real, fake):
    """The Fréchet distance, or None where there are too few: a covariance of fewer samples than features tells little."""
    if min(len(real), len(fake)) <= real.shape[1]:
        return None
    return float(frechet.frechet_distance(frechet.Moments.of(real), frechet.Moments.of(fake)))


def _known(value):
    """A float, or None for one that could not be measured."""
    return None if value is None or np.isnan(value) else float(value)
