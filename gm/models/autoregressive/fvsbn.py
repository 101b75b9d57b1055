r"""FVSBN, the fully visible sigmoid belief network: each element a logistic regression on the past.

Neal (1992), "Connectionist learning of belief networks"; Frey (1998), "Graphical models for machine
learning and digital communication"; Gan, Henao, Carlson & Carin (2015), "Learning deep sigmoid
belief networks with data augmentation", for the name.

    p(x_o(i) | x_o(<i)) = head(b_o(i) + sum_{j < i} W_o(i)o(j) x_o(j))

It is MADE without hidden units. `log_prob` is one product with a triangular matrix; `sample` keeps
the sums so far and takes as many multiplications.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp

from gm.core import Event, Head
from gm.models.autoregressive.causal import CausalMethods, settle
from gm.networks import MaskedMLP


@dataclasses.dataclass(frozen=True)
class FVSBN(CausalMethods):
    """Fully visible sigmoid belief network; the attributes are those of `MADE`."""

    event: Event
    head: Head
    _: dataclasses.KW_ONLY
    order: tuple[int, ...] | None = None
    dtype: Any = jnp.float32
    context: Event | None = None

    def __post_init__(self) -> None:
        settle(self)

    @functools.cached_property
    def network(self) -> MaskedMLP:
        """One masked layer."""
        return MaskedMLP(hidden=(), direct=True, dtype=self.dtype, order=self.order)
