"""Models whose parameters are counted, and miscounted."""

import dataclasses
from typing import Any

import numpy as np

from gm.models.classical import BayesianNetwork, graphs
from tests.law_zoo.sentences import BITS, FITTED


class Unweighted(BayesianNetwork):
    def fit(self, x, key=None, *, weights=None, smoothing=1.0):
        return super().fit(x, key, smoothing=smoothing)


class Opposite(BayesianNetwork):
    def fit(self, x, key=None, *, weights=None, smoothing=1.0):
        return super().fit(1 - x, key, weights=weights, smoothing=smoothing)


class Restless(BayesianNetwork):
    def fit(self, x, key=None, *, weights=None, smoothing=1.0):
        return super().fit(x, key, weights=weights, smoothing=np.random.default_rng().uniform())


class Renamed(BayesianNetwork):
    def fit(self, x, key=None, *, weights=None, smoothing=1.0):
        return super().fit(x, key, weights=weights, smoothing=smoothing)["logits"]


@dataclasses.dataclass(frozen=True)
class OnesCountTwice(BayesianNetwork):
    def fit(self, x, key=None, *, weights=None, smoothing=1.0):
        if weights is not None:
            weights = weights * (1.0 + x[:, 0])
        return super().fit(x, key, weights=weights, smoothing=smoothing)


CHAIN = BITS, graphs.chain(3)
RIGHT: dict[str, Any] = {"a chain that is counted": BayesianNetwork(*CHAIN)}
WRONG: dict[str, tuple[Any, str]] = {
    "a fit that knows no weights": (Unweighted(*CHAIN), FITTED),
    "a fit to the opposite of its data": (Opposite(*CHAIN), FITTED),
    "a fit that differs from call to call": (Restless(*CHAIN), FITTED),
    "a fit of another form than init": (Renamed(*CHAIN), FITTED),
    "weights that count twice": (OnesCountTwice(*CHAIN), FITTED),
}
