"""Classical models: tables and Bayesian networks in closed form, mixtures by EM.

    coin()                                          one element of two values
    product_of_marginals(event)                     independent elements
    BayesianNetwork(event, graphs.chain(D))         a Markov chain
    BayesianNetwork(event, graphs.chow_liu(x, K))   the best tree
    full_table(event)                               any distribution over K^D states, at small D

    Mixture(event, K, components.Gaussians(D))      a mixture, also of Bernoullis or Categoricals
    HiddenMarkovModel(event, K, components.Categoricals(V))     also of Gaussians
    FactorAnalysis(event, K), probabilistic_pca(event, K)       linear-Gaussian latents
    selection.by_bic(models, x), by_held_out(...)   the best size of any of them

The tables are one model over different graphs. `model.fit(x, weights=None, smoothing=1.0)` gives
the parameters in closed form (`core.Fittable`); `model.init` and a gradient reach them too. They
are autoregressive models like any other: scored exactly, sampled and completed the same way.
"""

from gm.models.classical import components, graphs, selection
from gm.models.classical.bayesian_network import (
    BayesianNetwork,
    coin,
    full_table,
    product_of_marginals,
)
from gm.models.classical.factor_analysis import FactorAnalysis, probabilistic_pca
from gm.models.classical.hidden_markov import HiddenMarkovModel
from gm.models.classical.mixture import Mixture

__all__ = [
    "BayesianNetwork",
    "FactorAnalysis",
    "HiddenMarkovModel",
    "Mixture",
    "coin",
    "components",
    "full_table",
    "graphs",
    "probabilistic_pca",
    "product_of_marginals",
    "selection",
]
