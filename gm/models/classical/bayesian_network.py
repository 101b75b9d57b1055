r"""Bayesian networks with tables: every element given its parents, one row per state of them.

Pearl (1988), "Probabilistic reasoning in intelligent systems", chapter 3.

    p(x) = \prod_i p(x_i | x_pa(i)),    p(x_i = k | x_pa(i) = s) = softmax(logits[i, s])_k

over a given directed acyclic graph (`gm.models.classical.graphs`). The simplest models
are special graphs:

    coin()                          one element of two values; a biased die has more
    product_of_marginals(event)     no edges: every element a coin or die of its own
    BayesianNetwork(event, graphs.chain(D))
    BayesianNetwork(event, graphs.chow_liu(x, K))
    full_table(event)               all edges: any distribution over K^D states

Maximum likelihood has a closed form (`fit`); parameters are logits, so gradients reach
the same optimum. Cost: `log_prob` and `sample` each read D rows.
"""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from gm import core
from gm import distributions as dist
from gm.core import Array, Distribution, Event, Key, Params, pytree
from gm.models.classical import graphs
from gm.sampling import ancestral

MAX_ENTRIES = 2**26  # of all tables together
CHUNK = 1024  # examples that are counted at once


@pytree
class Carry:
    """State of incremental sampling: the number of known elements, and x [D] in raster order."""

    num_known: Array
    x: Array


@dataclasses.dataclass(frozen=True)
class BayesianNetwork:
    """p(x) = Π p(x_i | x_pa(i)), each factor a table.

    Parameters are {"logits"}, with R = Σ_i K^|pa(i)| rows: log odds [R] for two values, else
    [R, K]. Rows go by elements in raster order; inside an element by the state of its parents, the
    first parent changing fastest.

    Attributes:
      event: the space of x, discrete; D elements of K values.
      parents: for every element, in raster order, the raster indices of those it depends on.
    """

    event: Event
    parents: graphs.Parents

    def __post_init__(self) -> None:
        parents = tuple(tuple(map(int, of_i)) for of_i in self.parents)
        object.__setattr__(self, "parents", parents)  # so that lists hash
        if not self.event.discrete or len(self.parents) != self.event.size:
            raise ValueError(
                "BayesianNetwork needs a discrete event and one tuple of parents for each of its "
                f"{self.event.size} elements; got {self.event} and {len(self.parents)}."
            )
        graphs.topological_order(self.parents)
        num_values = self.event.num_values
        num_entries = sum(num_values ** (len(of_i) + 1) for of_i in self.parents)
        if num_entries > MAX_ENTRIES:
            most = max(map(len, self.parents))
            raise ValueError(
                f"BayesianNetwork needs tables of at most {MAX_ENTRIES:,} entries in all; got "
                f"{num_entries:.3g}. An element has {most} parents, and its table "
                f"{num_values}^{most + 1} entries: take fewer parents, or a network for the "
                "conditionals (gm.models.autoregressive)."
            )

    @functools.cached_property
    def order(self) -> tuple[int, ...]:
        """Parents before children; raster order where that is one."""
        return graphs.topological_order(self.parents)

    @property
    def num_rows(self) -> int:
        """R, the number of rows of all tables."""
        return sum(self.event.num_values ** len(of_i) for of_i in self.parents)

    @property
    def num_params(self) -> int:
        """R (K - 1), the number of free parameters: a row of K probabilities has K - 1."""
        return self.num_rows * (self.event.num_values - 1)

    @functools.cached_property
    def _addresses(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every element its first row [D], its parents [D, P] and their strides [D, P].

        The row of x_pa(i) is first + Σ x_parent stride; missing parents have stride 0.
        """
        sizes = [self.event.num_values ** len(of_i) for of_i in self.parents]
        first = np.cumsum([0, *sizes[:-1]], dtype=np.int32)
        width = max(map(len, self.parents))
        parents, strides = np.zeros((2, self.event.size, width), np.int32)
        for i, of_i in enumerate(self.parents):
            parents[i, : len(of_i)] = of_i
            strides[i, : len(of_i)] = self.event.num_values ** np.arange(len(of_i))
        return first, parents, strides

    def init(self, key: Key) -> Params:
        """Logits of zero, uniform distributions; the loss is convex, so no start is better."""
        del key
        values = () if self.event.num_values == 2 else (self.event.num_values,)
        return {"logits": jnp.zeros((self.num_rows, *values), jnp.float32)}

    def fit(
        self,
        x: np.ndarray,
        key: Key | None = None,
        *,
        weights: np.ndarray | None = None,
        smoothing: float = 1.0,
    ) -> Params:
        r"""Maximum likelihood in closed form: conditional frequencies, smoothed.

            p(x_i = k | x_pa(i) = s) = (N_isk + a) / (N_is + a K)

        N counts examples, each as often as its weight says. It is the posterior mean under a
        symmetric Dirichlet(a) prior on every row. a = 0 is maximum likelihood: what was never seen
        has probability zero, and a row whose state was never seen, for which any distribution is a
        maximum, is uniform. Use a > 0 to score other examples.

        Args:
          x: [N, *event], integers in [0, K).
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1.
          smoothing: a, not negative; 1 is Laplace's rule.

        Returns:
          Parameters, as those of `init`.

        Raises:
          ValueError: x is not a batch of the event, the weights are not its own, or a is negative.
        """
        del key
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1:
            raise ValueError(f"fit needs a batch of examples; got one of shape {x.shape}.")
        if not smoothing >= 0.0:
            raise ValueError(f"fit needs smoothing of at least 0; got {smoothing}.")
        weights = core.example_weights(weights, len(x), "BayesianNetwork.fit")
        num_values = self.event.num_values
        counts = np.zeros(self.num_rows * num_values)
        for begin in range(0, len(x), CHUNK):
            flat = x[begin : begin + CHUNK].reshape(-1, self.event.size).astype(np.int64)
            cells = self._rows(flat) * num_values + flat
            each = np.repeat(weights[begin : begin + CHUNK], self.event.size)
            counts += np.bincount(cells.reshape(-1), each, minlength=len(counts))
        counts = counts.reshape(-1, num_values) + smoothing
        counts += np.sum(counts, axis=1, keepdims=True) == 0.0  # nothing seen: uniform
        with np.errstate(divide="ignore"):  # log 0 = -inf is meant
            log_p = np.log(counts) - np.log(np.sum(counts, axis=1, keepdims=True))
        logits = log_p[:, 1] - log_p[:, 0] if num_values == 2 else log_p
        return {"logits": jnp.asarray(logits, jnp.float32)}

    def conditionals(self, params: Params, x: Array) -> Distribution:
        """p(x_i | x_pa(i)) for every i, in the shape of x."""
        self.event.check(x)
        rows = self._rows(jnp.asarray(x, jnp.int32).reshape(-1))
        logits = jnp.asarray(params["logits"])[rows]
        return self._distribution(logits.reshape(*self.event.shape, *logits.shape[1:]))

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact."""
        return self.conditionals(params, x).log_prob(x)

    def start(self, params: Params) -> Carry:
        """The carry before any element is known."""
        del params
        return Carry(jnp.zeros((), jnp.int32), jnp.zeros(self.event.size, jnp.int32))

    def predict(self, params: Params, carry: Carry) -> Distribution:
        """p(x_o(i) | x_pa(o(i))) of the next element, a scalar event."""
        i = jnp.array(self.order)[carry.num_known]
        first, parents, strides = (jnp.array(a)[i] for a in self._addresses)
        row = first + jnp.sum(carry.x[parents] * strides, dtype=jnp.int32)
        return self._distribution(jnp.asarray(params["logits"])[row])

    def observe(self, params: Params, carry: Carry, x_i: Array) -> Carry:
        """The carry once the next element is x_i."""
        del params
        i = jnp.array(self.order)[carry.num_known]
        return Carry(carry.num_known + 1, carry.x.at[i].set(jnp.asarray(x_i, jnp.int32)))

    def sample(self, params: Params, key: Key) -> Array:
        """x ~ p(x), parents before children."""
        return ancestral.sample(self, params, key)

    def _rows(self, x: Array | np.ndarray) -> Array | np.ndarray:
        """The row of every element: [..., D] for x: [..., D] in raster order."""
        first, parents, strides = self._addresses
        return first + (x[..., parents] * strides).sum(-1, dtype=x.dtype)

    def _distribution(self, logits: Array) -> Distribution:
        """Rows of the tables as a distribution."""
        return dist.Bernoulli(logits) if self.event.num_values == 2 else dist.Categorical(logits)


def coin() -> BayesianNetwork:
    """The biased coin, p(x = 1) = sigmoid(logit): one element, one parameter.

    `fit(x, smoothing=0)` is the maximum-likelihood estimate p(x = 1) = mean(x); smoothing=1 is
    Laplace's rule of succession, (heads + 1) / (N + 2).
    """
    return product_of_marginals(Event((), 2))


def product_of_marginals(event: Event) -> BayesianNetwork:
    """p(x) = Π p(x_i): every element a coin, or a die of K sides, of its own; D (K - 1) parameters.

    What every other model must beat.
    """
    return BayesianNetwork(event, graphs.empty(event.size))


def full_table(event: Event) -> BayesianNetwork:
    """p(x) = Π p(x_i | x_<i), nothing left out: any distribution over K^D states.

    It has K^D - 1 parameters. Fitted without smoothing it is the empirical distribution, which
    remembers and does not generalise.

    Raises:
      ValueError: the table is too large; 20 elements of two values are fine, 30 are not.
    """
    return BayesianNetwork(event, graphs.complete(event.size))
