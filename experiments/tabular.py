r"""The first rungs of the ladder, fitted by counting: independent elements, a chain, the best tree.

python experiments/tabular.py
    8x8 digits in black and white: 24.57, 23.65 and 20.67 nats, 8 seconds on 2 CPU cores.
TFDS_DATA_DIR=... python experiments/tabular.py --dataset binarized_mnist
    Fixed binarized MNIST: 205.79, 145.35 and 134.99 nats, 35 seconds.
python experiments/tabular.py --dataset dna.npz
    The DNA set of Larochelle & Murray (2011): 100.39, 89.86 and 87.72 nats; their mushrooms: 34.24,
    28.28 and 20.96.
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.Data):
    """What to fit, and to what."""

    dataset: str = "digits_threshold"
    """Any discrete set that gm.data.load takes: digits, binarized_mnist, mine.npz, ..."""
    smoothings: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    """Pseudo-counts of every value in every row; validation chooses one for each model."""


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import functools
import time

import jax
import loading
import numpy as np

from gm import data, metrics, plot
from gm.core import Params
from gm.metrics import results
from gm.models.classical import BayesianNetwork, graphs
from gm.train import folders, identity

METRIC = "negative log-likelihood"


def fit(
    model: BayesianNetwork, dataset: data.Dataset, smoothings: tuple[float, ...]
) -> tuple[Params, float]:
    """The parameters that score validation best, and their smoothing."""

    def nats(smoothing: float) -> float:
        params = model.fit(dataset.train.x, smoothing=smoothing)
        return metrics.evaluate(model, params, dataset.validation).value

    best = min(smoothings, key=nats)
    return model.fit(dataset.train.x, smoothing=best), best


def main(c: Config) -> dict[str, float]:
    """Fits, scores the test set, draws; returns the nats of each model."""
    dataset = loading.load(c, "integers")
    event = dataset.event
    ladder = {
        "independent elements": functools.partial(graphs.empty, event.size),
        "Markov chain": functools.partial(graphs.chain, event.size),
        "Chow-Liu tree": functools.partial(graphs.chow_liu, dataset.train.x, event.num_values),
    }
    if c.folder is not None:
        folders.enter(c.folder, c, identity.Run({}), "auto")
    nats, rows, panels = {}, [], {"data": dataset.test.x[:64]}
    for name, graph in ladder.items():
        begin = time.perf_counter()
        model = BayesianNetwork(event, graph())
        params, smoothing = fit(model, dataset, c.smoothings)
        seconds = time.perf_counter() - begin
        score = metrics.evaluate(model, params, dataset.test)
        print(f"{name:20} {model.num_params:7,} parameters, smoothing {smoothing:g}: {score}")
        nats[name] = score.value
        keys = jax.random.split(jax.random.key(c.seed), 64)
        panels[name] = np.asarray(jax.jit(jax.vmap(model.sample, (None, 0)))(params, keys))
        rows += results.record_all(
            {METRIC: score},
            dataset,
            experiment="tabular",
            model=f"{name}, {model.num_params:,} parameters",
            principle="maximum likelihood (closed form)",
            steps=0,
            seconds=seconds,
        )
    if c.folder is not None:
        results.write(c.folder, rows)
        plot.save(plot.samples(panels, num_values=event.num_values), c.folder / "samples.png")
    return nats


if __name__ == "__main__":
    command.run(main, CONFIG)
