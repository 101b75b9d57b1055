"""Classical models: tables and Bayesian networks, mixtures by EM, nonparametric densities.

    coin()                                          one element of two values
    product_of_marginals(event)                     independent elements
    BayesianNetwork(event, graphs.chain(D))         a Markov chain
    BayesianNetwork(event, graphs.chow_liu(x, K))   the best tree
    full_table(event)                               any distribution over K^D states, at small D

    Mixture(event, K, components.Gaussians(D))      a mixture, also of Bernoullis or Categoricals
    HiddenMarkovModel(event, K, components.Categoricals(V))     also of Gaussians
    FactorAnalysis(event, K), probabilistic_pca(event, K)       linear-Gaussian latents
    selection.by_bic(models, x), by_held_out(...)   the best size of any of them

    KernelDensity(event, bandwidths.silverman)      a kernel around every example
    Histogram(event, bins.freedman_diaconis)        constant on cells
    NearestNeighbors(event, k)                      a score; IntervalNearestNeighbors, a density
    Bernstein(event, degree, low, high)             a polynomial on an interval
    Empirical(event)                                the examples themselves, discrete
    Independent(event, model), GaussianCopula(event, model)   of densities on the line

The tables are one model over different graphs. `model.fit(x, weights=None, smoothing=1.0)` gives
the parameters in closed form (`core.Fittable`); `model.init` and a gradient reach them too. They
are autoregressive models like any other: scored exactly, sampled and completed the same way.
"""

from gm.models.classical import (
    bandwidth_search,
    bandwidths,
    bins,
    components,
    graphs,
    kernel_grid,
    kernels,
    selection,
)
from gm.models.classical.bayesian_network import (
    BayesianNetwork,
    coin,
    full_table,
    product_of_marginals,
)
from gm.models.classical.bernstein import Bernstein
from gm.models.classical.copula import GaussianCopula, Independent
from gm.models.classical.empirical import Empirical
from gm.models.classical.factor_analysis import FactorAnalysis, probabilistic_pca
from gm.models.classical.hidden_markov import HiddenMarkovModel
from gm.models.classical.histogram import Histogram
from gm.models.classical.kernel_density import KernelDensity
from gm.models.classical.mixture import Mixture
from gm.models.classical.nearest_neighbors import IntervalNearestNeighbors, NearestNeighbors

__all__ = [
    "BayesianNetwork",
    "Bernstein",
    "Empirical",
    "FactorAnalysis",
    "GaussianCopula",
    "HiddenMarkovModel",
    "Histogram",
    "Independent",
    "IntervalNearestNeighbors",
    "KernelDensity",
    "Mixture",
    "NearestNeighbors",
    "bandwidth_search",
    "bandwidths",
    "bins",
    "coin",
    "components",
    "full_table",
    "graphs",
    "kernel_grid",
    "kernels",
    "probabilistic_pca",
    "product_of_marginals",
    "selection",
]
