r"""MADE: an autoencoder whose masks make it autoregressive.

Germain, Gregor, Murray & Larochelle (2015), "MADE: masked autoencoder for distribution
estimation", arXiv:1502.03509.

    p(x) = \prod_i p(x_o(i) | x_o(<i)),
    parameters of all conditionals = V ⊙ M^V h(... h(W ⊙ M^W x + b)) + A ⊙ M^A x + c

The masks let the parameters of element o(i) see the elements before it and no others. Departures
from the paper: hidden degrees are evenly spaced, or as `degrees` says, and `mask_seed`
permutes them, where the paper samples every degree; and weights start at the scale of each
unit's own fan-in.

Order-agnostic and connectivity-agnostic training, and ensembles over masks, are `Ensemble(MADE(...,
mask_seed=0), num_members=32)`.

Cost, for L hidden layers of H units: `log_prob` is one forward pass of D H + (L - 1) H^2 + H D
multiplications. `sample` computes each hidden unit once, when its last input arrives, and costs the
same (`gm.networks.MaskedMLP`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Event, Head
from gm.models.autoregressive.causal import CausalMethods, settle
from gm.networks import MaskedMLP, evenly_spaced_degrees


@dataclasses.dataclass(frozen=True)
class MADE(CausalMethods):
    """Masked autoencoder for distribution estimation.

    Attributes:
      event: the space of x; D elements.
      head: turns P raw outputs into the distribution of one element: Bernoulli, Categorical,
        a mixture of Normals, ...
      hidden: units in each hidden layer, any depth.
      order: a permutation of the D elements of x in raster order; o(0) comes first. Raster order by
        default.
      direct: masked connections straight from inputs to outputs.
      activation: of the hidden units.
      dtype: of the computation; parameters stay in float32.
      degrees: for each hidden layer, the degrees of its units: a unit of degree d sees the first
        d + 1 elements of the order. Evenly spaced by default; `degrees_by_entropy` puts more units
        where the data varies.
      mask_seed: seed that permutes the degrees and the order; None leaves both as they are.
      random_order: whether `mask_seed` replaces the given order by a random one (order-agnostic) or
        only the masks (connectivity-agnostic).
      context: the space of y for p(x | y), which every unit sees.

    Raises:
      ValueError: an order, degrees or a head that do not fit the event.
    """

    event: Event
    head: Head
    hidden: tuple[int, ...] = (500,)
    _: dataclasses.KW_ONLY
    order: tuple[int, ...] | None = None
    direct: bool = True
    activation: Callable[[Array], Array] = jax.nn.relu
    dtype: Any = jnp.float32
    degrees: tuple[tuple[int, ...], ...] | None = None
    mask_seed: int | None = None
    random_order: bool = True
    context: Event | None = None

    def __post_init__(self) -> None:
        degrees, last = self.degrees, max(self.event.size - 2, 0)
        if degrees is not None and (
            list(map(len, degrees)) != list(self.hidden)
            or any(min(d) < 0 or max(d) > last for d in degrees)
        ):
            raise ValueError(
                f"MADE needs, for hidden={self.hidden}, so many degrees in 0..{last} for each "
                f"layer; got {degrees}."
            )
        settle(self, random_order=self.mask_seed is not None and self.random_order)

    @functools.cached_property
    def network(self) -> MaskedMLP:
        """Dense layers under masks."""
        return MaskedMLP(
            hidden=self.hidden,
            direct=self.direct,
            activation=self.activation,
            dtype=self.dtype,
            order=self.order,
            degrees=self.degrees,
            mask_seed=self.mask_seed,
            random_order=self.random_order,
        )


def degrees_by_entropy(
    x: np.ndarray, num_values: int, hidden: tuple[int, ...], order: tuple[int, ...] | None = None
) -> tuple[tuple[int, ...], ...]:
    """Degrees that give each element hidden units in proportion to the entropy of its marginal.

    On binarized MNIST a quarter of evenly spaced units ends in the blank margin; by entropy
    500 units gain half a nat.

    Args:
      x: [N, *event], training examples, integers in [0, K).
      num_values: K.
      hidden: units in each hidden layer.
      order: as in `MADE`.
    """
    x = np.asarray(x).reshape(len(x), -1)
    x = x if order is None else x[:, np.array(order)]
    p = np.stack([np.mean(x == v, axis=0) for v in range(num_values)])
    entropy = -np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), axis=0)
    return tuple(
        tuple(map(int, evenly_spaced_degrees(x.shape[1], h, entropy + 1e-6))) for h in hidden
    )
