"""Protocols: the capabilities of a model, and the interfaces of its parts.

Fields are read-only properties, so that frozen dataclasses satisfy a type checker. Every method of
a conditional model has `context=None` as its last parameter: y of p(x | y), an array or a pytree;
`given` fixes y and returns a model of x.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from gm.core.events import Event
from gm.core.names import Array, Key, Metrics, Params, PyTree


class Network(Protocol):
    """A function from arrays to arrays with parameters: the interface of a Linen module."""

    def init(self, key: Key, x: Array, /, *context: Array) -> Params:
        """Parameters for an input like x; conditional models also pass a context vector [E]."""

    def apply(self, params: Params, x: Array, /, *context: Array) -> Any:
        """The output at x, one array; leading axes are batch axes."""


class Distribution(Protocol):
    """A distribution over one event; it is a pytree, so `vmap` makes batches of distributions."""

    @property
    def reparameterized(self) -> bool:
        """Whether gradients flow from a sample to the parameters; False for discrete values."""

    def log_prob(self, x: Any, /) -> Array:
        """log p(x), a scalar in nats, summed over every dimension of x."""

    def sample(self, key: Key, /) -> Any:
        """One x ~ p, an array, or a pytree if it has several parts."""

    def sample_and_log_prob(self, key: Key, /) -> tuple[Any, Array]:
        """One x ~ p and log p(x), nats, without computing shared parts twice."""


class Head(Protocol):
    """Turns a network's raw outputs into the distribution of each element.

    Attributes:
      num_values: K for integers in {0, ..., K - 1}, None for real values.
      num_params: P, raw outputs per element.
      num_features: C, inputs per element when values are the input of a network.
    """

    @property
    def num_values(self) -> int | None:
        """K, or None"""

    @property
    def num_params(self) -> int:
        """P"""

    @property
    def num_features(self) -> int:
        """C"""

    def __call__(self, raw: Array) -> Distribution:
        """raw: [..., P] -> a distribution over an event of shape [...]."""

    def features(self, x: Array) -> Array:
        """x: [...] -> [..., C], the input of a network for these values."""


@runtime_checkable
class Bijection(Protocol):
    """An invertible map of one array, with its log-determinant; hashable, like a model."""

    def init(self, key: Key, /) -> Params:
        """Parameters."""

    def forward(self, params: Params, x: Array, context: PyTree = None, /) -> tuple[Array, Array]:
        """y = f(x) and log |det df/dx|."""

    def inverse(self, params: Params, y: Array, context: PyTree = None, /) -> tuple[Array, Array]:
        """x = f^{-1}(y) and log |det df^{-1}/dy|."""


@runtime_checkable
class DataInit(Protocol):
    """Data-dependent initialisation, such as of activation or weight normalisation.

    The function `init_from` uses it if there are examples, fits a `Fittable` to them, and
    initialises other models at random.
    """

    def init_from(self, key: Key, x: np.ndarray, /) -> Params:
        """Initial parameters, with the structure of `init(key)`, for examples [N, *event].

        The examples for a bijection are images of noise, as for `fit`. A method with a parameter
        `context` is also given the contexts of the examples, vectors [N, E], if there are any.
        """


class _Spaced(Protocol):
    """The common part of the capabilities."""

    @property
    def event(self) -> Event:
        """The space of x."""


@runtime_checkable
class Samplable(_Spaced, Protocol):
    """A model that samples."""

    def sample(self, params: Params, key: Key) -> Array:
        """One x ~ p(x)."""


@runtime_checkable
class Density(_Spaced, Protocol):
    """A model with an exact log density."""

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x), a scalar in nats."""


@runtime_checkable
class Bounded(_Spaced, Protocol):
    """A model with a lower bound of log p(x), but no exact density and no simple posterior."""

    def lower_bound(self, params: Params, key: Key, x: Array) -> Array:
        """A scalar in nats whose expectation over keys is at most log p(x)."""


@runtime_checkable
class Autoregressive(_Spaced, Protocol):
    r"""p(x | y) = \prod_i p(x_{o(i)} | x_{o(<i)}, y), in one forward pass or one element at a time.

    Attributes:
      event: the space of x. An element is one of its D dimensions.
      order: o, a permutation of the elements in raster order; o(0) comes first.
    """

    @property
    def order(self) -> tuple[int, ...]:
        """o"""

    def conditionals(self, params: Params, x: Array, context: Array | None = None) -> Distribution:
        """The distribution of every element given the previous ones, in the shape of x."""

    def start(self, params: Params, context: Array | None = None) -> PyTree:
        """The carry before the first element, which includes what is needed of the context."""

    def predict(self, params: Params, carry: PyTree) -> Distribution:
        """The distribution of the next element, a scalar event."""

    def observe(self, params: Params, carry: PyTree, x_i: Array) -> PyTree:
        """The carry after the next element x_i."""


@runtime_checkable
class BlockAutoregressive(Autoregressive, Protocol):
    """An autoregressive model that can process blocks of consecutive elements at once."""

    @property
    def samples_blocks(self) -> bool:
        """Whether sampling by blocks is possible and faster."""

    def predict_block(self, params: Params, carry: PyTree, x: Array) -> Distribution:
        """The distributions of the next elements, given values x: [block] for them."""

    def observe_block(self, params: Params, carry: PyTree, x: Array) -> PyTree:
        """The carry after the next elements x: [block]."""


@runtime_checkable
class OrderAgnostic(_Spaced, Protocol):
    """A model of every element given any set of the others."""

    def conditionals_given(
        self, params: Params, x: Array, observed: Array, context: Array | None = None
    ) -> Distribution:
        """The distribution of every element that is not observed, in the shape of x."""


@runtime_checkable
class MixtureOfMembers(_Spaced, Protocol):
    """p(x) = (1/M) Σ_m p_m(x), with members that can be scored separately."""

    @property
    def num_members(self) -> int:
        """M"""

    def member_log_prob(
        self, params: Params, x: Array, m: Array, context: Array | None = None
    ) -> Array:
        """log p_m(x), a scalar in nats."""


@runtime_checkable
class Latent(_Spaced, Protocol):
    """p(x) = ∫ p(z) p(x | z) dz with an approximate posterior q(z | x)."""

    def prior(self, params: Params) -> Distribution:
        """p(z)"""

    def encode(self, params: Params, x: Array) -> Distribution:
        """q(z | x)"""

    def decode(self, params: Params, z: Array) -> Distribution:
        """p(x | z)"""


@runtime_checkable
class Flow(_Spaced, Protocol):
    """An invertible map between data and noise of the same size."""

    def to_noise(self, params: Params, x: Array) -> tuple[Array, Array]:
        """z = f(x) and log |det df/dx|."""

    def to_data(self, params: Params, z: Array) -> tuple[Array, Array]:
        """x = f^{-1}(z) and log |det df^{-1}/dz|."""


@runtime_checkable
class Implicit(_Spaced, Protocol):
    """x = g(z) with z ~ p(z): samples without a density."""

    def prior(self, params: Params) -> Distribution:
        """p(z)"""

    def generate(self, params: Params, z: Array) -> Array:
        """x = g(z)"""


@runtime_checkable
class Fittable(Protocol):
    """A model fitted to data without gradients: in closed form, by EM, from nearest neighbours.

    A bijection is fitted to the images of standard normal noise. Other options of a fit, such as
    smoothing or the number of iterations, are keyword arguments with defaults.
    """

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Parameters, with the structure of those of `init`, fitted to examples x: [N, *event].

        A key is for fits with a random start; weights [N], at least 0, are the multiplicities of
        the examples, 1 by default.
        """


@runtime_checkable
class IterativelyFittable(_Spaced, Protocol):
    """A fit by iterated updates of the parameters without gradients: EM, Lloyd's k-means.

    `losses.fixed_points` turns it into a loss, so that `train.run` logs, saves and resumes the fit.
    """

    def fit_step(
        self, params: Params, key: Key, x: Array, *, weights: Array | None = None
    ) -> tuple[Params, Metrics]:
        """The next parameters for examples x: [N, *event], and metrics of the old ones; under jit.

        The key is for random steps; weights [N] are as in `Fittable`.
        """


@runtime_checkable
class Critic(_Spaced, Protocol):
    """A real-valued function of one example."""

    def score(self, params: Params, x: Array) -> Array:
        """A scalar."""


CAPABILITIES = (
    Samplable,
    Density,
    Bounded,
    Autoregressive,
    OrderAgnostic,
    MixtureOfMembers,
    Latent,
    Flow,
    Implicit,
    Fittable,
    IterativelyFittable,
    Critic,
)
