"""Distributions over one event, their divergences, and heads that turn network outputs into them.

A distribution is a pytree of parameters in the shape of the event, one per element. There is no
batch shape: `log_prob(x)` sums over all of x, `sample(key)` samples one x, and `jax.vmap` makes
batches.

    q = Normal(loc, scale)                                  # loc, scale, x: [D]
    q.log_prob(x), q.sample(key), kl_divergence(q, p)
    jax.vmap(lambda q, x: q.log_prob(x))(batch_of_q, batch_of_x)
    Mixture(logits, Normal(loc, scale))                     # logits, loc, scale: [D, M]; x: [D]

`element` extracts the distribution of one element, `tabulate` lists the K probabilities of each
element, and a head (`BernoulliHead()`, ...) turns raw network outputs into a distribution.
"""

from gm.distributions.chains import MarkovChain
from gm.distributions.continuous import Laplace, Logistic, Normal, Uniform
from gm.distributions.counts import NegativeBinomial, Poisson
from gm.distributions.coupled import CoupledLogisticMixtureHead, coupled_mixture
from gm.distributions.discrete import Bernoulli, Categorical
from gm.distributions.discretized import DiscretizedLogistic
from gm.distributions.divergences import element_kl, has_kl, kl_divergence, sampled_kl
from gm.distributions.element_randomness import randomness, randomness_of_event, sample_with
from gm.distributions.elements import element, element_log_probs, tabulate
from gm.distributions.heads import (
    BernoulliHead,
    CategoricalHead,
    DiscretizedLogisticMixtureHead,
    LaplaceHead,
    LogisticHead,
    MixtureOfLaplacesHead,
    MixtureOfLogisticsHead,
    MixtureOfNormalsHead,
    NegativeBinomialHead,
    NormalHead,
    PoissonHead,
    head_for,
)
from gm.distributions.joint import Joint, Reversed, sample_and_kl
from gm.distributions.mixtures import Mixture
from gm.distributions.of_models import OfModel
from gm.distributions.pathwise import is_reparameterized, sample_and_log_prob
from gm.distributions.proportions import proportions_posterior
from gm.distributions.relaxed import (
    RelaxedBernoulli,
    RelaxedCategorical,
    one_hot,
    relax,
    straight_through,
)
from gm.distributions.simplex import Dirichlet
from gm.distributions.support import enumerate_support
from gm.distributions.transformed import Transformed
from gm.distributions.whole_mixtures import MixtureOfEvents

__all__ = [
    "Bernoulli",
    "BernoulliHead",
    "Categorical",
    "CategoricalHead",
    "CoupledLogisticMixtureHead",
    "Dirichlet",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixtureHead",
    "Joint",
    "Laplace",
    "LaplaceHead",
    "Logistic",
    "LogisticHead",
    "MarkovChain",
    "Mixture",
    "MixtureOfEvents",
    "MixtureOfLaplacesHead",
    "MixtureOfLogisticsHead",
    "MixtureOfNormalsHead",
    "NegativeBinomial",
    "NegativeBinomialHead",
    "Normal",
    "NormalHead",
    "OfModel",
    "Poisson",
    "PoissonHead",
    "RelaxedBernoulli",
    "RelaxedCategorical",
    "Reversed",
    "Transformed",
    "Uniform",
    "coupled_mixture",
    "element",
    "element_kl",
    "element_log_probs",
    "enumerate_support",
    "has_kl",
    "head_for",
    "is_reparameterized",
    "kl_divergence",
    "one_hot",
    "proportions_posterior",
    "randomness",
    "randomness_of_event",
    "relax",
    "sample_and_kl",
    "sample_and_log_prob",
    "sample_with",
    "sampled_kl",
    "straight_through",
    "tabulate",
]
