"""What the experiments given a label share: a classifier that judges their samples.

This file is no script: the experiments beside it call it.
"""

from typing import Any

import fitting
import maximum_likelihood
import numpy as np
import options

from gm import data
from gm.metrics import classifier_accuracy, results


def recognise(
    c: options.Recognised,
    dataset: data.Dataset,
    model: Any,
    fitted: fitting.Fitted,
    label: str,
    *,
    experiment: str,
    features: classifier_accuracy.Features = classifier_accuracy.flat,
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """How many samples a classifier of real data takes for what they were asked to be.

    It joins result.json. Also returns the samples and what was asked for.
    """
    x = maximum_likelihood.draw(model, fitted.params, c.seed, c.eval_samples)
    y = np.arange(len(x)) % model.context.num_values
    classifier = classifier_accuracy.fit(dataset.train.x, dataset.train.y, features=features)
    scores = {
        "classifier accuracy of test examples": classifier.accuracy(dataset.test.x, dataset.test.y),
        "classifier accuracy of samples": classifier.accuracy(x, y),
    }
    print(*(f"{metric}: {score}" for metric, score in scores.items()), sep="\n")
    if c.folder is not None:
        own = {"experiment": experiment, "model": label, "principle": "maximum likelihood"}
        rows = results.read(c.folder / "result.json")
        results.write(c.folder, rows + fitted.record(scores, dataset, **own))
    return {metric: score.value for metric, score in scores.items()}, x, y
