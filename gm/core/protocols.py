"""Protocols: the capabilities of a model, and the interfaces of its parts.

Fields are read-only properties, so that frozen dataclasses satisfy a type checker. Every method of
a conditional model takes `context=None` last: y of p(x | y), an array or a pytree; `given` makes a
model of x alone of it.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gm.core.events import Event
from gm.core.names import Array, Key, Metrics, Params, PyTree


class Network(Protocol):
    """Arrays to arrays: how a model sees a Linen module."""

    def init(self, key: Key, x: Array, /, *context: Array) -> Params:
        """Parameters for an input like x; that of a conditional model is given a vector [E] too."""

    def apply(self, params: Params, x: Array, /, *context: Array) -> Any:
        """The output at x, one array; leading axes are batch axes."""


class Distribution(Protocol):
    """A density over one event; a pytree, so `vmap` makes batches of them."""

    @property
    def reparameterized(self) -> bool:
        """Whether gradients flow from a sample to the parameters: false for discrete values."""

    def log_prob(self, x: Any, /) -> Array:
        """log p(x), a scalar in nats, summed over every dimension of x."""

    def sample(self, key: Key, /) -> Any:
        """One x ~ p, an array or, where it has several parts, a pytree."""

    def sample_and_log_prob(self, key: Key, /) -> tuple[Any, Array]:
        """One x ~ p and its log p(x), for the cost of both."""


class Head(Protocol):
    """Turns a network's raw outputs into the distribution of each element.

    Attributes:
      num_values: K for integers in {0, ..., K - 1}, None for real values.
      num_params: P, raw outputs per element.
      num_features: C, inputs per element when the element is fed back to a network.
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
        """x: [...] -> [..., C], how values enter a network."""


@runtime_checkable
class Bijection(Protocol):
    """An invertible map of one array, with its log-determinant; a value, as a model is."""

    def init(self, key: Key, /) -> Params:
        """Parameters."""

    def forward(self, params: Params, x: Array, context: PyTree = None, /) -> tuple[Array, Array]:
        """y = f(x) and log |det df/dx|."""

    def inverse(self, params: Params, y: Array, context: PyTree = None, /) -> tuple[Array, Array]:
        """x = f^{-1}(y) and log |det df^{-1}/dy|."""


@runtime_checkable
class DataInit(Protocol):
    """Parameters whose start depends on data: activation normalisation, weight normalisation.

    `init_from` takes it where there are examples; a `Fittable` fits them, all else starts at
    random.
    """

    def init_from(self, key: Key, x: np.ndarray, /) -> Params:
        """Parameters, of the structure that `init(key)` gives, to start from examples [N, *event].

        Those of a bijection are images of noise, as `fit` has them.
        """


class _Spaced(Protocol):
    """What every capability has."""

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
    """A model that scores exactly."""

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x), a scalar in nats."""


@runtime_checkable
class Bounded(_Spaced, Protocol):
    """A model that scores from below: one with neither an exact density nor a plain posterior."""

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
        """The distribution of every element given those before it, in the shape of x."""

    def start(self, params: Params, context: Array | None = None) -> PyTree:
        """The carry before any element is known; it keeps what it needs of the context."""

    def predict(self, params: Params, carry: PyTree) -> Distribution:
        """The distribution of the next element, a scalar event."""

    def observe(self, params: Params, carry: PyTree, x_i: Array) -> PyTree:
        """The carry after the next element turned out to be x_i."""


@runtime_checkable
class BlockAutoregressive(Autoregressive, Protocol):
    """An autoregressive model that may be taken by blocks of elements, next to each other."""

    @property
    def samples_blocks(self) -> bool:
        """Whether it can, and whether that pays."""

    def predict_block(self, params: Params, carry: PyTree, x: Array) -> Distribution:
        """The distributions of the next elements, were they to be x: [block]."""

    def observe_block(self, params: Params, carry: PyTree, x: Array) -> PyTree:
        """The carry after the next elements turned out to be x: [block]."""


@runtime_checkable
class OrderAgnostic(_Spaced, Protocol):
    """A model of every element given any set of the others."""

    def conditionals_given(
        self, params: Params, x: Array, observed: Array, context: Array | None = None
    ) -> Distribution:
        """The distribution of every element that is not observed, in the shape of x."""


@runtime_checkable
class MixtureOfMembers(_Spaced, Protocol):
    """p(x) = (1/M) Σ_m p_m(x), with members that can be scored one by one."""

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
    """Parameters from data without gradients: a closed form, EM, nearest neighbours.

    A bijection is fitted to the images of standard normal noise. Further options of a fit
    (smoothing, numbers of iterations) are keyword arguments with defaults.
    """

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Parameters, of the structure that `init` gives, for examples x: [N, *event].

        A key is for a fit that starts at random; weights [N], at least 0, say how often each
        example counts, once by default.
        """


@runtime_checkable
class IterativelyFittable(_Spaced, Protocol):
    """A fit in steps without gradients, each from parameters to the next: EM, Lloyd's k-means.

    `losses.fixed_points` makes a loss of it, so that `train.run` shows, saves and resumes the fit.
    """

    def fit_step(
        self, params: Params, key: Key, x: Array, *, weights: Array | None = None
    ) -> tuple[Params, Metrics]:
        """The next parameters for examples x: [N, *event], and scalars of these ones; under jit.

        The key is for steps at random; weights [N] are as in `Fittable`.
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


def members(protocol: type) -> list[str]:
    """The methods that a capability asks for, in the order of its definition."""
    return [name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"]


def require(model: Any, protocol: type, name: str) -> None:
    """Raises TypeError unless the model has the capability.

    Args:
      model: any model.
      protocol: one of `CAPABILITIES`, or `Bijection`.
      name: who asks, for the message.
    """
    if isinstance(model, type):  # a class has the methods too, but they lack their self
        raise TypeError(
            f"{name} needs a model; got the class {model.__name__}: give an instance of it, "
            f"{model.__name__}(...)."
        )
    if isinstance(model, protocol):
        return
    offers = [m for p in CAPABILITIES for m in members(p) if callable(getattr(model, m, None))]
    offers = ", ".join(dict.fromkeys(offers)) or "none of gm's capabilities"
    missing = [m for m in members(protocol) if not callable(getattr(model, m, None))]
    fields = [n for n in dir(protocol) if isinstance(getattr(protocol, n), property)]
    missing = missing or [field for field in fields if not hasattr(model, field)]
    lacks = f" (missing: {', '.join(missing)})"
    kind = "bijection" if protocol is Bijection else "model"
    raise TypeError(
        f"{name} needs a {kind} with {', '.join(members(protocol))}; "
        f"{type(model).__name__} offers {offers}{lacks}."
    )


def init_from(model: Any, key: Key, x: np.ndarray) -> Params:
    """Parameters to start from, of the structure that `model.init(key)` gives.

    Args:
      model: a model or a bijection. A `DataInit` looks at the examples, a `Fittable` fits them,
        anything else does without.
      key: one key.
      x: [N, *event], examples.
    """
    if isinstance(model, DataInit):
        return model.init_from(key, x)
    if isinstance(model, Fittable):
        return model.fit(x, key)
    return model.init(key)


def given(model: Any, context: PyTree) -> Any:
    """p(x | y) at one y, as a model of x alone: what a loss or a metric of one example asks.

    So that nothing that works with models need know whether one is conditional. The methods that
    take `context` have it; everything else is the model's own.

    Args:
      model: with methods that take `context`.
      context: y; None leaves the model as it is.

    Raises:
      TypeError: no method of the model takes a context.
    """
    if context is None:
        return model
    name = type(model).__name__
    view = type(name, (_Given,), {})(model, context)
    if not any(isinstance(value, functools.partial) for value in vars(view).values()):
        raise TypeError(
            f"{name} takes no context; none of its methods has the parameter `context`."
        )
    return view


def takes_context(model: Any) -> bool:
    """Whether a model is one of p(x | y): its field `context` says so.

    Where it has no such field, one of its methods that has the parameter `context` does.
    """
    if hasattr(model, "context"):
        return model.context is not None
    return any(
        name[0] != "_" and _takes(method)
        for name, method in inspect.getmembers(model, inspect.ismethod)
    )


def _takes(method: Any) -> bool:
    return "context" in inspect.signature(method).parameters


class _Given:
    """A model at one y."""

    def __init__(self, model: Any, context: PyTree) -> None:
        for name, value in inspect.getmembers(model):
            if inspect.ismethod(value) and _takes(value):
                value = functools.partial(value, context=context)
            if name[0] != "_":
                setattr(self, name, value)
