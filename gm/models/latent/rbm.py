r"""RBM: a restricted Boltzmann machine, bits x and hidden bits h with an energy between them.

Smolensky (1986), "Information processing in dynamical systems: foundations of harmony theory";
Hinton (2002), "Training products of experts by minimizing contrastive divergence".

    p(x, h) = exp(b x + c h + x W h) / Z
    p(h_j = 1 | x) = sigmoid(c_j + (x W)_j),    p(x_i = 1 | h) = sigmoid(b_i + (W h)_i)
    log p(x) = b x + \sum_j softplus(c_j + (x W)_j) - log Z

`log_score` is log p(x) + log Z, whose gradient is all that contrastive divergence
(`gm.losses.contrastive_divergence`) needs. log Z sums over the 2^min(D, H) states of the smaller
layer: `log_prob` is exact up to 2^MAX_BITS of them, and annealed importance sampling (Salakhutdinov
& Murray, 2008) is for larger machines. `sample` is exact up to 2^SAMPLED_BITS hidden states, and
the end of a Gibbs chain beyond.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Event, Key, Params
from gm.numerics import log_sum_exp

MAX_BITS = 22  # of the smaller layer, for the exact partition function
SAMPLED_BITS = 12  # of the hidden layer, for exact samples
CHUNK_BITS = 10  # states at once


@dataclasses.dataclass(frozen=True)
class RBM:
    """Visible bits and hidden bits: {"weights": [D, H], "visible": [D], "hidden": [H]}.

    Attributes:
      event: the space of x, of two values.
      num_hidden: H.
      chain_steps: Gibbs steps of `sample`, from fair bits, where it is not exact.

    Raises:
      ValueError: the event is not of bits, or a number is below 1.
    """

    event: Event
    num_hidden: int
    chain_steps: int = 1000

    def __post_init__(self) -> None:
        if self.event.num_values != 2:
            raise ValueError(
                f"RBM needs bits, an event of 2 values; got {self.event}. Binarize the data "
                "(gm.data.Threshold, gm.data.DynamicBinarization)."
            )
        if self.num_hidden < 1 or self.chain_steps < 1:
            raise ValueError(f"RBM needs a hidden unit and a step of its chain; got {self}.")

    def init(self, key: Key) -> Params:
        """Small weights and biases of 0: Hinton (2010), "A practical guide to training RBMs"."""
        shape = (self.event.size, self.num_hidden)
        return {
            "weights": 0.01 * jax.random.normal(key, shape, jnp.float32),
            "visible": jnp.zeros(shape[0], jnp.float32),
            "hidden": jnp.zeros(shape[1], jnp.float32),
        }

    def log_score(self, params: Params, x: Array) -> Array:
        """log p(x) + log Z, nats: minus the free energy."""
        self.event.check(x)
        flat = x.reshape(-1).astype(jnp.float32)
        on = jax.nn.softplus(params["hidden"] + flat @ params["weights"])
        return flat @ params["visible"] + jnp.sum(on)

    def hidden(self, params: Params, x: Array) -> dist.Bernoulli:
        """p(h | x) over [H]."""
        flat = x.reshape(-1).astype(jnp.float32)
        return dist.Bernoulli(params["hidden"] + flat @ params["weights"])

    def visible(self, params: Params, h: Array) -> dist.Bernoulli:
        """p(x | h) over the event."""
        logits = params["visible"] + params["weights"] @ h.astype(jnp.float32)
        return dist.Bernoulli(logits.reshape(self.event.shape))

    def gibbs(self, params: Params, key: Key, x: Array) -> Array:
        """One step of a chain that leaves p(x) as it is: h ~ p(h | x), then x ~ p(x | h)."""
        key_h, key_x = jax.random.split(key)
        h = self.hidden(params, x).sample(key_h)
        return self.visible(params, h).sample(key_x)

    def log_partition(self, params: Params) -> Array:
        """log Z, nats, exact: 2^min(D, H) terms, CHUNK_BITS bits of them at once.

        Raises:
          ValueError: the smaller layer has more than MAX_BITS units.
        """
        size = min(self.event.size, self.num_hidden)
        if size > MAX_BITS:
            raise ValueError(
                f"RBM's exact partition function needs at most {MAX_BITS} visible or hidden units, "
                f"whose states it sums over; got {self.event.size} and {self.num_hidden}. Annealed "
                "importance sampling estimates it for more; log_score is log p(x) without it."
            )
        low = min(size, CHUNK_BITS)
        inner = _bits(jnp.arange(2**low), low)  # [2^low, low]

        def of_chunk(outer: Array) -> Array:
            rest = jnp.broadcast_to(_bits(outer, size - low), (len(inner), size - low))
            states = jnp.concatenate([inner, rest], axis=1)
            return log_sum_exp(self._log_marginals(params, states))

        return log_sum_exp(jax.lax.map(of_chunk, jnp.arange(2 ** (size - low))))

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact; ValueError for large machines, as `log_partition`."""
        return self.log_score(params, x) - self.log_partition(params)

    def sample(self, params: Params, key: Key) -> Array:
        """One x: exact for small hidden layers, else the end of a Gibbs chain from fair bits."""
        key_start, key_chain = jax.random.split(key)
        if self.num_hidden <= SAMPLED_BITS:
            states = _bits(jnp.arange(2**self.num_hidden), self.num_hidden)
            log_p = self._log_marginals(params, states, of_hidden=True)
            h = states[jax.random.categorical(key_start, log_p)]
            return self.visible(params, h).sample(key_chain)

        def step(x: Array, key: Key) -> tuple[Array, None]:
            return self.gibbs(params, key, x), None

        fair = jax.random.bernoulli(key_start, 0.5, self.event.shape).astype(self.event.dtype)
        return jax.lax.scan(step, fair, jax.random.split(key_chain, self.chain_steps))[0]

    def _log_marginals(
        self, params: Params, states: Array, *, of_hidden: bool | None = None
    ) -> Array:
        """log p + log Z of states [N, ...] of the hidden layer, or of the smaller one: [N]."""
        of_hidden = self.num_hidden <= self.event.size if of_hidden is None else of_hidden
        own, other, weights = params["visible"], params["hidden"], params["weights"]
        if of_hidden:
            own, other, weights = other, own, weights.T
        return states @ own + jnp.sum(jax.nn.softplus(other[None] + states @ weights), axis=1)


def _bits(numbers: Array, size: int) -> Array:
    """The binary digits of numbers [...]: [..., size] floats."""
    shape = (*jnp.shape(numbers), size)
    shifts = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), shape)
    numbers = jnp.broadcast_to(jnp.asarray(numbers, jnp.int32)[..., None], shape)
    return ((numbers >> shifts) & 1).astype(jnp.float32)
