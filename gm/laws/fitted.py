"""The law of models that are fitted to data: the parameters follow the data."""

from __future__ import annotations

import jax
import numpy as np

from gm.core import Params
from gm.laws.law import demand
from gm.laws.trial import Trial

NUM_EXAMPLES = 512


def a_fit_follows_its_data(trial: Trial, samples: np.ndarray) -> None:
    """fit is a function of data, weights and key, and scores the data no worse than `init`.

    Weights of one have no effect, and unequal ones have. A maximum of the likelihood is not
    required, because few fits find one.
    """
    model, x = trial.model, samples[:NUM_EXAMPLES]
    begun = trial.run("init", trial.original.init, trial.key)

    def fit(weights: np.ndarray | None) -> Params:
        return jax.tree.map(np.asarray, model.fit(x, trial.key, weights=weights))

    def scores(params: Params) -> np.ndarray:
        return trial.score("log_prob", model.log_prob, params, x)

    params = fit(None)
    same = jax.tree.structure(params) == jax.tree.structure(begun)
    demand(same, "the parameters of fit do not have the structure of those of init")
    found, start = scores(params), scores(begun)
    demand(not np.any(np.isnan(found)), "log p(x) of data that it was fitted to is not a number")
    loss = np.mean(start) - np.mean(found)
    demand(not loss > 1e-4 * abs(np.mean(start)), f"init scores the data {loss:.4f} nats better")
    demand(np.array_equal(scores(fit(None)), found), "a second fit gives different parameters")
    ones = scores(fit(np.ones(len(x))))
    demand(np.allclose(ones, found, rtol=1e-4, atol=1e-4), "weights of one change the fit")
    rank = np.argsort(np.argsort(x.reshape(len(x), -1).sum(axis=1), kind="stable"))
    demand(
        not np.allclose(scores(fit(rank / len(x))), found, rtol=1e-4, atol=1e-4),
        "weights have no effect on the fit",
    )
