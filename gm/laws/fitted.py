"""What holds for a model that takes its parameters from data: the data choose them."""

from __future__ import annotations

import jax
import numpy as np

from gm.core import Params
from gm.laws.law import demand
from gm.laws.trial import Trial

NUM_EXAMPLES = 512


def a_fit_follows_its_data(trial: Trial, samples: np.ndarray) -> None:
    """A function of data, weights and key, that scores the data no worse than `init` does.

    Weights of one are none, and uneven ones lead elsewhere. No more is asked of it: that a fit is
    a maximum of the likelihood is true of few.
    """
    model, x = trial.model, samples[:NUM_EXAMPLES]
    begun = trial.run("init", trial.original.init, trial.key)

    def fit(weights: np.ndarray | None) -> Params:
        return jax.tree.map(np.asarray, model.fit(x, trial.key, weights=weights))

    def scores(params: Params) -> np.ndarray:
        return trial.score("log_prob", model.log_prob, params, x)

    params = fit(None)
    same = jax.tree.structure(params) == jax.tree.structure(begun)
    demand(same, "fit gives parameters of another structure than init")
    found, start = scores(params), scores(begun)
    demand(not np.any(np.isnan(found)), "log p(x) of data that it was fitted to is not a number")
    loss = np.mean(start) - np.mean(found)
    demand(not loss > 1e-4 * abs(np.mean(start)), f"init scores the data {loss:.4f} nats better")
    demand(np.array_equal(scores(fit(None)), found), "a second fit gives other parameters")
    ones = scores(fit(np.ones(len(x))))
    demand(np.allclose(ones, found, rtol=1e-4, atol=1e-4), "weights of one are not none")
    rank = np.argsort(np.argsort(x.reshape(len(x), -1).sum(axis=1), kind="stable"))
    demand(
        not np.allclose(scores(fit(rank / len(x))), found, rtol=1e-4, atol=1e-4),
        "weights do not matter to it",
    )
