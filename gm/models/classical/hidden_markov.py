r"""Hidden Markov models, fitted by Baum-Welch.

    p(x, z) = p(z_1) \prod_t p(z_t+1 | z_t) \prod_t p(x_t | z_t),    p(x) = \sum_z p(x, z)

Baum, Petrie, Soules & Weiss (1970); Rabiner (1989), "A tutorial on hidden Markov models". States
are K, and x_t of any kind in `gm.models.classical.components`: categorical, bits, Gaussians. All is
exact: the likelihood and its conditionals by forward messages, the posterior of the path
(`encode`, a Markov chain again) by backward ones, its likeliest path by Viterbi's algorithm. Since
p(x_t | x_<t) is a mixture of the K emissions, an HMM is an autoregressive model too. Cost:
`log_prob` and each step of a fit O(T K²) for each example, `sample` O(T).

    model = HiddenMarkovModel(Event((100,), 27), 8, components.Categoricals(27))
    params = model.fit(x, key)
    path = model.encode(params, x_0).mode()               # Viterbi: [T]
    p = model.encode(params, x_0).marginals()             # p(z_t | x): [T, K]
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm import distributions as dist
from gm.core import Array, Event, Key, Metrics, Params, pytree, static
from gm.distributions.pathwise import Scored
from gm.models.classical import baum_welch, forward_backward
from gm.numerics import log_softmax, log_sum_exp


@pytree
class Emitted(Scored):
    """p(x | z) = Π_t p(x_t | z_t).

    Attributes:
      kind: of `gm.models.classical.components`.
      params: of the emissions of all states.
      z: [T], the path.
      event: the space of x.
    """

    kind: Any = static()
    params: Params
    z: Array
    event: Event = static()

    def log_prob(self, x: Array) -> Array:
        """log p(x | z), nats: [*event]."""
        rows = jnp.asarray(x, jnp.float32).reshape(len(self.z), -1)
        log_probs = jax.vmap(self.kind.log_probs, (None, 0))(self.params, rows)
        return jnp.sum(jnp.take_along_axis(log_probs, self.z[:, None], axis=1))

    def sample(self, key: Key) -> Array:
        """One x: [*event]."""
        keys = jax.random.split(key, len(self.z))
        x = jax.vmap(self.kind.sample, (None, 0, 0))(self.params, self.z, keys)
        return x.reshape(self.event.shape).astype(self.event.dtype)


@pytree
class Carry:
    """State of incremental sampling.

    Attributes:
      num_known: how many elements are known.
      log_weight: [K], log p(z_t | all known elements) of the time t that comes next.
      x: [D], the elements of that time, zero where they are not known.
    """

    num_known: Array
    log_weight: Array
    x: Array


@dataclasses.dataclass(frozen=True)
class HiddenMarkovModel:
    """p(x) = Σ_z p(z) Π_t p(x_t | z_t): {"log_start": [K], "log_transition": [K, K], "emissions"}.

    Logarithms need not be normalised; -inf forbids a state or a transition. Rows of the transitions
    are of the state before.

    Attributes:
      event: the space of x, of T times D elements; the first axis is time.
      num_states: K.
      emissions: of `gm.models.classical.components`, of size D.
      parallel: messages by an associative scan, for accelerators.
      smoothing: pseudo-examples of each start and transition in `fit`.

    Raises:
      ValueError: sizes or kinds that differ.
    """

    event: Event
    num_states: int
    emissions: Any
    parallel: bool = False
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        shape, of = self.event.shape, self.emissions
        if not shape or shape[0] < 1 or math.prod(shape[1:]) != of.size or self.num_states < 1:
            raise ValueError(
                "HiddenMarkovModel needs an event whose first axis is time and the others have as "
                f"many elements as the emissions, and at least one state; got {self.event}, {of} "
                f"and {self.num_states}."
            )
        if of.num_values != self.event.num_values:
            raise ValueError(
                "HiddenMarkovModel needs Bernoullis or Categoricals for integers and Gaussians for "
                f"real values; got {of} for {self.event}."
            )

    @property
    def order(self) -> tuple[int, ...]:
        """Raster order."""
        return tuple(range(self.event.size))

    @property
    def num_params(self) -> int:
        """K - 1 + K (K - 1) and those of the emissions."""
        num = self.num_states
        return num - 1 + num * (num - 1) + self.emissions.num_params(num)

    def init(self, key: Key) -> Params:
        """Starts and transitions almost uniform, emissions near the origin."""
        key_transition, key_emissions = jax.random.split(key)
        shape = (self.num_states, self.num_states)
        return {
            "log_start": jnp.zeros(self.num_states, jnp.float32),
            "log_transition": 0.1 * jax.random.normal(key_transition, shape, jnp.float32),
            "emissions": self.emissions.init(key_emissions, self.num_states),
        }

    def log_prob(self, params: Params, x: Array, *, length: Array | None = None) -> Array:
        """log p(x) in nats, exact; of the first `length` times alone where that is given."""
        self.event.check(x)
        log_likelihood = self._log_likelihood(params, x, length)
        return jnp.sum(log_sum_exp(self._predicted(params, log_likelihood) + log_likelihood))

    def prior(self, params: Params) -> dist.MarkovChain:
        """p(z), of paths [T]."""
        rows = log_softmax(params["log_transition"])
        rows = jnp.broadcast_to(rows, (self.event.shape[0] - 1, *rows.shape))
        return dist.MarkovChain(log_softmax(params["log_start"]), rows)

    def encode(self, params: Params, x: Array, *, length: Array | None = None) -> dist.MarkovChain:
        """p(z | x), exact: its `mode` is Viterbi's path, its `marginals` are p(z_t | x).

        Args:
          params: of the model.
          x: [*event].
          length: how many times are observed; all by default.
        """
        self.event.check(x)
        log_likelihood = self._log_likelihood(params, x, length)
        log_transition = log_softmax(params["log_transition"])
        after = forward_backward.backward(log_transition, log_likelihood, self.parallel)
        first = log_softmax(params["log_start"]) + log_likelihood[0] + after[0]
        rows = forward_backward.posterior_transitions(log_transition, log_likelihood, after)
        return dist.MarkovChain(forward_backward.normalized(first), rows)

    def decode(self, params: Params, z: Array) -> Emitted:
        """p(x | z)"""
        return Emitted(self.emissions, params["emissions"], z, self.event)

    def sample(self, params: Params, key: Key) -> Array:
        """One x, along a path of its own: [*event]."""
        key_z, key_x = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_z)).sample(key_x)

    def conditionals(self, params: Params, x: Array, context: None = None) -> dist.Mixture:
        """p(x_i | x_<i) of every element in raster order: mixtures of the K emissions."""
        del context
        self.event.check(x)
        rows = self._rows(x)
        log_p = self._predicted(params, self._log_likelihood(params, x, None))
        of = jax.vmap(self.emissions.elements, (None, 0))(params["emissions"], rows)
        values = jnp.broadcast_to(rows[:, :, None], (*rows.shape, self.num_states))
        values = values.astype(self.event.dtype)
        # Elements of a time before this one move the weights of its states.
        before = jnp.cumsum(dist.element_log_probs(of, values)[:, :-1], axis=1)
        weights = jnp.concatenate([log_p[:, None], log_p[:, None] + before], axis=1)

        def shaped(leaf: Array) -> Array:
            return leaf.reshape(*self.event.shape, *leaf.shape[2:])

        return dist.Mixture(shaped(forward_backward.normalized(weights)), jax.tree.map(shaped, of))

    def start(self, params: Params, context: None = None) -> Carry:
        """The carry before any element is known."""
        del context
        empty = jnp.zeros(self.emissions.size, jnp.float32)
        return Carry(jnp.zeros((), jnp.int32), log_softmax(params["log_start"]), empty)

    def predict(self, params: Params, carry: Carry) -> dist.Mixture:
        """p(x_i | x_<i) of the next element, a scalar event."""
        return dist.Mixture(carry.log_weight, self._element(params, carry))

    def observe(self, params: Params, carry: Carry, x_i: Array) -> Carry:
        """The carry once the next element is x_i."""
        size = self.emissions.size
        values = jnp.broadcast_to(jnp.asarray(x_i), (self.num_states,))
        of = self._element(params, carry)
        log_weight = carry.log_weight + dist.element_log_probs(of, values)
        log_weight = forward_backward.normalized(log_weight)
        d, log_transition = carry.num_known % size, log_softmax(params["log_transition"])
        later = log_sum_exp(log_weight[:, None] + log_transition, axis=0)
        last, x = d == size - 1, carry.x.at[d].set(jnp.asarray(x_i, jnp.float32))
        log_weight, x = jnp.where(last, later, log_weight), jnp.where(last, 0.0, x)
        return Carry(carry.num_known + 1, log_weight, x)

    def fit_step(
        self,
        params: Params,
        key: Key,
        x: Array,
        *,
        weights: Array | None = None,
        lengths: Array | None = None,
    ) -> tuple[Params, Metrics]:
        """One step of Baum-Welch, which is expectation maximization, on all of x: [N, *event].

        Args:
          params, key, x, weights: as in `core.IterativelyFittable`.
          lengths: [N], how many times of each example are observed; all by default.

        Returns:
          The next parameters, and {"log_prob": of these ones, the mean over x}.
        """
        del key
        w = jnp.ones(len(x), jnp.float32) if weights is None else jnp.asarray(weights, jnp.float32)
        lengths = jnp.full(len(x), self.event.shape[0], jnp.int32) if lengths is None else lengths
        return baum_welch.step(self, params, x, w, jnp.asarray(lengths, jnp.int32))

    def fit(
        self,
        x: np.ndarray,
        key: Key | None = None,
        *,
        weights: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
        num_steps: int = 100,
        tolerance: float = 1e-5,
        restarts: int = 1,
    ) -> Params:
        """Baum-Welch from k-means++ starts of the emissions, until the likelihood hardly rises.

        Args:
          x: [N, *event]; what comes after the length of a sequence may be any value of the event.
          key: of the starts; a fixed one by default.
          weights: [N], how often each example counts; once by default.
          lengths: [N], how many times of each example are observed; all by default.
          num_steps: at most.
          tolerance: nats per example by which a step raises the log-likelihood at least; else it
            ends.
          restarts: starts, of which the likeliest end is kept.

        Raises:
          ValueError: x is not a batch of the event, lengths are not in [1, T] or not N, there are
            fewer observed times than states, or no restart.
        """
        x, num_times = np.asarray(x), self.event.shape[0]
        self.event.check(x)
        lengths = np.full(len(x), num_times) if lengths is None else np.asarray(lengths)
        if x.ndim != len(self.event.shape) + 1 or lengths.shape != (len(x),):
            raise ValueError(
                f"fit needs a batch of examples and one length for each; got shapes {x.shape} and "
                f"{lengths.shape}."
            )
        if lengths.dtype.kind not in "iu" or np.any((lengths < 1) | (lengths > num_times)):
            raise ValueError(
                f"fit needs lengths that are integers in [1, {num_times}]; got {lengths.dtype} "
                f"from {lengths.min()} to {lengths.max()}."
            )
        w = core.example_weights(weights, len(x), "HiddenMarkovModel.fit").astype(np.float32)
        observed = int(np.sum(lengths[w > 0.0]))
        if observed < self.num_states or restarts < 1:
            raise ValueError(
                f"fit needs at least {self.num_states} observed times, one for each state, and one "
                f"restart; got {observed} and {restarts}."
            )
        key = jax.random.key(0) if key is None else key
        seen = (np.arange(num_times) < lengths[:, None]) & (w[:, None] > 0.0)
        rows = np.asarray(x, np.float32).reshape(*seen.shape, -1)[seen]
        starts = jnp.asarray(rows), jnp.asarray(np.repeat(w, np.sum(seen, axis=1)))
        given = starts, jnp.asarray(x), jnp.asarray(w), jnp.asarray(lengths, jnp.int32)
        ends = [
            baum_welch.maximize(self, one, *given, num_steps, tolerance)
            for one in jax.random.split(key, restarts)
        ]
        return max(ends, key=lambda end: float(end[1]))[0]

    def _element(self, params: Params, carry: Carry) -> Any:
        """The next element of each emission, over [K]."""
        of = self.emissions.elements(params["emissions"], carry.x)
        return jax.tree.map(lambda leaf: leaf[carry.num_known % self.emissions.size], of)

    def _rows(self, x: Array) -> Array:
        """[T, D]"""
        return jnp.asarray(x, jnp.float32).reshape(self.event.shape[0], self.emissions.size)

    def _log_likelihood(self, params: Params, x: Array, length: Array | None) -> Array:
        """log p(x_t | z_t) of every state: [T, K]; zero from `length` on."""
        rows = self._rows(x)
        found = jax.vmap(self.emissions.log_probs, (None, 0))(params["emissions"], rows)
        if length is None:
            return found
        return jnp.where((jnp.arange(len(rows), dtype=jnp.int32) < length)[:, None], found, 0.0)

    def _predicted(self, params: Params, log_likelihood: Array) -> Array:
        """log p(z_t | x_<t): [T, K]"""
        log_start, log_transition = (
            log_softmax(params[name]) for name in ("log_start", "log_transition")
        )
        return forward_backward.predicted(log_start, log_transition, log_likelihood, self.parallel)
