"""Classical models: tables and Bayesian networks in closed form, mixtures by EM.

    coin()                                          one element of two values
    product_of_marginals(event)                     independent elements
    BayesianNetwork(event, graphs.chain(D))         a Markov chain
    BayesianNetwork(event, graphs.chow_liu(x, K))   the best tree
    full_table(event)                               any distribution over K^D states, at small D

    Mixture(event, K, components.Gaussians(D))      a mixture, also of Bernoullis

The tables are one model over different graphs. `model.fit(x, weights=None, smoothing=1.0)` gives
the parameters in closed form (`core.Fittable`); `model.init` and a gradient reach them too. They
are autoregressive models like any other: scored exactly, sampled and completed the same way.
"""

from gm.models.classical import components, graphs
from gm.models.classical.bayesian_network import (
    BayesianNetwork,
    coin,
    full_table,
    product_of_marginals,
)
from gm.models.classical.mixture import Mixture

__all__ = [
    "BayesianNetwork",
    "Mixture",
    "coin",
    "components",
    "full_table",
    "graphs",
    "product_of_marginals",
]
