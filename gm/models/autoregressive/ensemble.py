r"""Ensembles over orders and masks: EoNADE, and MADE with several masks.

Uria, Murray & Larochelle (2014), "A deep and tractable density estimator", arXiv:1310.1757, section
4; Germain, Gregor, Murray & Larochelle (2015), "MADE", arXiv:1502.03509, section 4.3.

    p(x) = (1/M) \sum_m p_m(x),    p_m(x) = \prod_i p(x_o_m(i) | x_o_m(<i))

One set of parameters with M orders (and, in MADE, M sets of masks). The average is over
probabilities of whole examples. An average of conditionals, or of their logits, element by element
would not be a density: an element would depend, through the other orders, on later ones.

Cost: `log_prob` is M forward passes, one after the other; `sample` costs one sample of a random
member (under `vmap`, where each example has its own member, M samples).
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Event, Key, Params, PyTree
from gm.models.autoregressive.causal import CausalMethods


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The equally weighted mixture of one model's members, which differ in order and masks.

    Attributes:
      model: a causal model whose network has a `mask_seed`: MADE, NADE, DeepNADE. Member m has the
        seed `mask_seed + m`.
      num_members: M.
    """

    model: CausalMethods
    num_members: int

    def __post_init__(self) -> None:
        if self.num_members < 1:
            raise ValueError(f"Ensemble needs at least 1 member; got {self.num_members}.")
        if getattr(self.model.network, "mask_seed", None) is None:
            raise ValueError(
                "Ensemble needs a model with a mask_seed, the seed of member 0: "
                "MADE(..., mask_seed=0), NADE(..., mask_seed=0), DeepNADE(..., mask_seed=0)."
            )

    @property
    def event(self) -> Event:
        """The space of x."""
        return self.model.event

    @property
    def context(self) -> Event | None:
        """The space of y."""
        return self.model.context

    def init(self, key: Key) -> Params:
        """Parameters that all members share."""
        return self.model.init(key)

    def member(self, m: int) -> CausalMethods:
        """Member m, a model by itself."""
        return self.model.with_mask_seed(self.model.network.mask_seed + m)

    def orderings(self) -> PyTree:
        """The orderings of all members, arrays with a leading axis [M]."""
        members = [self.member(m).sized_network.ordering() for m in range(self.num_members)]
        return jax.tree.map(lambda *rows: jnp.asarray(np.stack(rows), jnp.int32), *members)

    def member_log_prob(
        self, params: Params, x: Array, m: Array, context: Array | None = None
    ) -> Array:
        """log p_m(x | y) in nats; m may be traced."""
        ordering = jax.tree.map(lambda rows: rows[m], self.orderings())
        return self.model.conditionals(params, x, context, ordering).log_prob(x)

    def log_prob(self, params: Params, x: Array, context: Array | None = None) -> Array:
        """log p(x | y) in nats, exact."""

        def of_member(ordering: PyTree) -> Array:
            return self.model.conditionals(params, x, context, ordering).log_prob(x)

        log_probs = jax.lax.map(of_member, self.orderings())
        return jax.nn.logsumexp(log_probs) - jnp.log(self.num_members)

    def sample(self, params: Params, key: Key, context: Array | None = None) -> Array:
        """x ~ p(x | y): a sample of a random member."""
        key_member, key_sample = jax.random.split(key)
        m = jax.random.randint(key_member, (), 0, self.num_members)
        members = [self.member(i) for i in range(self.num_members)]
        samples = [functools.partial(member.sample, params) for member in members]
        return jax.lax.switch(m, samples, key_sample, context)
