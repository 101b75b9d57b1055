r"""FVSBN, the fully visible sigmoid belief network: each element a logistic regression on the past.

Neal (1992), "Connectionist learning of belief networks"; Frey (1998), "Graphical models for machine
learning and digital communication"; Gan, Henao, Carlson & Carin (2015), "Learning deep sigmoid
belief networks with data augmentation", for the name.

    p(x_o(i) | x_o(<i)) = conditional(b_o(i) + sum_{j < i} W_o(i)o(j) x_o(j))

It is MADE without hidden units. `log_prob` is one product with a triangular matrix; `sample` keeps
the sums so far and takes as many multiplications.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gm.core import Event, Head
from gm.models.autoregressive.causal import CausalModel
from gm.models.autoregressive.made import MADE


def FVSBN(
    event: Event,
    conditional: Head,
    *,
    order: tuple[int, ...] | None = None,
    dtype: Any = jnp.float32,
    context: Event | None = None,
) -> CausalModel:
    """Fully visible sigmoid belief network; the arguments are those of `MADE`."""
    return MADE(event, conditional, (), order=order, dtype=dtype, context=context)
