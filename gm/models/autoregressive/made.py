r"""MADE: an autoencoder whose masks make it autoregressive.

Germain, Gregor, Murray & Larochelle (2015), "MADE: masked autoencoder for distribution
estimation", arXiv:1502.03509.

    p(x) = \prod_i p(x_o(i) | x_o(<i)),
    parameters of all conditionals = V ⊙ M^V h(... h(W ⊙ M^W x + b)) + A ⊙ M^A x + c

The masks let the parameters of element o(i) see the elements before it and no others. Departures
from the paper: hidden degrees are spread evenly, or as `degrees` says, where the paper draws them,
and weights start at the scale of each unit's own fan-in.

Cost, for L hidden layers of H units: `log_prob` is one pass of D H + (L - 1) H^2 + H D
multiplications. `sample` computes each hidden unit once, when its last input arrives, and costs the
same (`gm.networks.MaskedMLP`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Distribution, Event, Head, Key, Params
from gm.models.autoregressive import walk
from gm.networks import MaskedMLP, spread


@flax.struct.dataclass
class Carry:
    """Where a walk stands: the network's cache, and the raw parameters [P] of the next element."""

    cache: Any
    raw: Array


@dataclasses.dataclass(frozen=True)
class MADE:
    """Masked autoencoder for distribution estimation.

    Attributes:
      event: the space of x; D elements.
      conditional: turns P raw outputs into the distribution of one element: Bernoulli, Categorical,
        a mixture of Normals, ...
      hidden: units in each hidden layer, any depth.
      degrees: for each hidden layer, the sorted degrees of its units: a unit of degree d sees the
        first d + 1 elements of the order. Spread evenly by default; `degrees_by_entropy` puts more
        units where the data varies.
      order: a permutation of the D elements of x in raster order; o(0) comes first. Raster order by
        default.
      direct: masked connections straight from inputs to outputs.
      activation: of the hidden units.
      dtype: of the computation; parameters stay in float32.
    """

    event: Event
    conditional: Head
    hidden: tuple[int, ...] = (500,)
    order: tuple[int, ...] | None = None
    direct: bool = True
    activation: Callable[[Array], Array] = jax.nn.relu
    dtype: Any = jnp.float32
    degrees: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.order is None:
            object.__setattr__(self, "order", tuple(range(self.event.size)))
        if sorted(self.order) != list(range(self.event.size)):
            raise ValueError(f"MADE needs an order that permutes 0..{self.event.size - 1}.")
        if self.degrees is not None and (
            tuple(map(len, self.degrees)) != self.hidden
            or any(list(d) != sorted(d) for d in self.degrees)
            or any(d[0] < 0 or d[-1] > max(self.event.size - 2, 0) for d in self.degrees)
        ):
            raise ValueError(
                f"MADE needs, for hidden={self.hidden}, so many sorted degrees in "
                f"0..{max(self.event.size - 2, 0)} for each layer."
            )
        if self.conditional.num_values != self.event.num_values:
            raise ValueError(
                f"MADE needs a conditional over num_values={self.event.num_values}, as its event; "
                f"got {self.conditional}. gm.distributions.head_for(event) gives one that fits."
            )

    @property
    def network(self) -> MaskedMLP:
        """The masked network, over elements in the model's order."""
        return MaskedMLP(
            self.event.size,
            self.conditional.num_features,
            self.conditional.num_params,
            hidden=self.hidden,
            direct=self.direct,
            activation=self.activation,
            dtype=self.dtype,
            degrees=self.degrees,
        )

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        return self.network.init(key, jnp.zeros((self.event.size, self.conditional.num_features)))

    def conditionals(self, params: Params, x: Array) -> Distribution:
        """p(x_i | x_<i) for every i, in the shape of x."""
        self.event.check(x)
        raw = self.network.apply(params, self.conditional.features(walk.in_order(self, x)))
        return self.conditional(walk.from_order(self, raw))

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact."""
        return walk.log_prob(self, params, x)

    def start(self, params: Params) -> Carry:
        """The carry before any element is known."""
        return Carry(*self.network.apply(params, method="start"))

    def predict(self, params: Params, carry: Carry) -> Distribution:
        """p(x_o(i) | x_o(<i)) of the next element, a scalar event."""
        return self.conditional(carry.raw)

    def observe(self, params: Params, carry: Carry, x_i: Array) -> Carry:
        """The carry once the next element is x_i."""
        features = self.conditional.features(x_i)
        return Carry(*self.network.apply(params, carry.cache, features, method="step"))

    def sample(self, params: Params, key: Key) -> Array:
        """x ~ p(x), one element at a time."""
        return walk.sample(self, params, key)


def degrees_by_entropy(
    x: np.ndarray, num_values: int, hidden: tuple[int, ...], order: tuple[int, ...] | None = None
) -> tuple[tuple[int, ...], ...]:
    """Degrees that give each element hidden units in proportion to the entropy of its marginal.

    On binarized MNIST a quarter of evenly spread units ends in the blank margin; spread by entropy
    500 units are worth half a nat more.

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
    return tuple(tuple(map(int, spread(x.shape[1], h, entropy + 1e-6))) for h in hidden)
