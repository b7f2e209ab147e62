"""The labelled examples of a run's data, to learn from and to test on: what the commands that teach classifiers share."""
import numpy as np

import kgan
from kgan import models
from kgan.command import UserError
from kgan.data.source import DataError, Source


def labelled(settings, test=None):
    """(train, test, remark): two kgan.data Sources with the same classes, and what is to be said of the second.

    Args:
        settings: as in a run's config.json.
        test: a data set to test on, as for `--dataset`; None: the test split, or where there is none a fifth of the
            examples, drawn at random, which the GAN has seen.

    Raises:
        DataError: there are no labels, or the classes of `test` are others.
    """
    from kgan.metrics.evaluate import Evaluator, sources
    train, held = sources(settings)
    if len(train.classes.get("label", ())) < 2:
        raise DataError(f"{settings['dataset']} has no labels to be learned; those of a folder are its sub-folders")
    if test:
        kgan.data.trust(test)
        other = {name: value for name, value in settings.items() if name not in ("data", "manual_dir", "data_dir")}
        held = kgan.data.of({**other, "dataset": test}, Evaluator.needs(settings), like=train)
    if held is not None and "label" in held.classes:
        held = held.ordered("label", train.classes["label"])
        if list(held.classes["label"]) != list(train.classes["label"]):
            raise DataError(f"{test or settings['dataset']}: has the classes {', '.join(held.classes['label'][:10])}, and what was "
                            f"trained on {', '.join(train.classes['label'][:10])}; they must be the same")
        return train, held, ""
    order = np.random.default_rng(0).permutation(len(train))
    fifth = len(train) // 5
    if not fifth:
        raise DataError(f"{settings['dataset']} has no test split and only {len(train)} examples: name one, --test=DATASET")
    return (subset(train, np.sort(order[fifth:])), subset(train, np.sort(order[:fifth])),
            "a fifth of the examples, held back here, but the GAN has seen them: --test=DATASET names others")


def attacking(run):
    """The settings of a kgan.run.Run whose model attacks a classifier. Raises UserError: it is of another. No TensorFlow."""
    settings = run.settings(required=True)
    if not hasattr(models.outline(settings["model"]).Config, "classifier"):
        raise UserError(f"{run.directory} is a run of {settings['model']}, which attacks no classifier; advgan does")
    return settings


def subset(source, rows):
    """Some examples of a Source: what is made, its input where there is one, and labels."""
    arrays = {field: array[rows] for field, array in source.arrays.items() if field in (source.key, "input", "label")}
    kept = {name: kind for name, kind in source.kinds.items() if name in arrays}
    return Source(source.name, arrays, source.classes, kinds=kept)
