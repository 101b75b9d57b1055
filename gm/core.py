"""What the rooms of gm say to each other: type names, events, and the capabilities of a model.

A model offers the methods that make sense for it. Each group of methods is a capability, named
here as a `typing.Protocol`; a loss asks for the one it needs with `require`, which says plainly
what is missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Key = jax.Array
PyTree = Any
Params = PyTree
Batch = Mapping[str, Array]
Metrics = dict[str, Array]
Loss = Callable[[Params, Key, Batch], tuple[Array, Metrics]]


@dataclasses.dataclass(frozen=True)
class Event:
    """The space one example lives in.

    Attributes:
      shape: the shape of one example, without the batch axis.
      num_values: K when every element is an integer in {0, ..., K - 1}; None when it is real.
    """

    shape: tuple[int, ...]
    num_values: int | None = None

    def __post_init__(self) -> None:
        if self.num_values is not None and self.num_values < 2:
            raise ValueError(
                f"Event needs num_values of at least 2 or None; got {self.num_values}."
            )

    @property
    def size(self) -> int:
        """D, the number of elements of one example."""
        return math.prod(self.shape)

    @property
    def discrete(self) -> bool:
        """Whether values are integers in {0, ..., K - 1}."""
        return self.num_values is not None

    @property
    def dtype(self) -> jnp.dtype:
        """int32 for discrete values, float32 for real ones."""
        return jnp.dtype(jnp.int32) if self.discrete else jnp.dtype(jnp.float32)

    def check(self, x: Array | np.ndarray, name: str = "x") -> None:
        """Raises one clear ValueError unless x is one example, or a batch of them, of this event.

        Shape and dtype are checked always; values only where they are known, that is outside
        `jit`. Under `jit` a value outside the space has log probability -inf.
        """
        want = f"{self.shape} or [B, {', '.join(map(str, self.shape))}]"
        if x.shape != self.shape and x.shape[1:] != self.shape:
            raise ValueError(f"{name} needs shape {want}; got {x.shape}.")
        integral = jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == jnp.bool_
        if self.discrete and not integral:
            raise ValueError(
                f"{name} needs integers in [0, {self.num_values}); got {x.dtype}. Binarize or "
                "quantize the data (gm.data.Threshold, gm.data.DynamicBinarization), or use a "
                "continuous likelihood."
            )
        if not self.discrete and not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"{name} needs real values; got {x.dtype}. Dequantize the data "
                "(gm.data.UniformDequantization), or use a discrete likelihood."
            )
        if isinstance(x, jax.core.Tracer) or x.size == 0:
            return
        x = np.asarray(x)  # even inside a jit that closes over x, where jnp would trace
        low, high = np.min(x), np.max(x)
        if self.discrete and (low < 0 or high >= self.num_values):
            raise ValueError(
                f"{name} needs integers in [0, {self.num_values}); got values from {low} to {high}."
            )
        if not self.discrete and not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(f"{name} needs finite values; got values from {low} to {high}.")

    @property
    def vector_size(self) -> int:
        """E, the length of `vector(x)`."""
        return self.size * (self.num_values or 1)

    def vector(self, x: Array) -> Array:
        """One value as a vector [E] of floats: one-hot for integers, as it is for reals."""
        if self.num_values is None:
            return jnp.asarray(x, jnp.float32).reshape(self.size)
        return jax.nn.one_hot(jnp.asarray(x).reshape(self.size), self.num_values).reshape(-1)


class Network(Protocol):
    """Arrays to arrays: how a model sees a Linen module."""

    def init(self, key: Key, x: Array) -> Params:
        """Parameters for an input like x."""

    def apply(self, params: Params, x: Array) -> Array:
        """The output at x; leading axes are batch axes."""


class Distribution(Protocol):
    """A density over one event; a pytree, so `vmap` makes batches of them."""

    @property
    def reparameterized(self) -> bool:
        """Whether gradients flow from a sample to the parameters: false for discrete values."""
        ...

    def log_prob(self, x: Array) -> Array:
        """log p(x), a scalar in nats, summed over every dimension of x."""
        ...

    def sample(self, key: Key) -> Array:
        """One x ~ p."""
        ...

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """One x ~ p and its log p(x), for the cost of both."""
        ...


class Head(Protocol):
    """Turns a network's raw outputs into the distribution of each element.

    Attributes:
      num_values: K for integers in {0, ..., K - 1}, None for real values.
      num_params: P, raw outputs per element.
      num_features: C, inputs per element when the element is fed back to a network.
    """

    num_values: int | None
    num_params: int
    num_features: int

    def __call__(self, raw: Array) -> Distribution:
        """raw: [..., P] -> a distribution over an event of shape [...]."""

    def features(self, x: Array) -> Array:
        """x: [...] -> [..., C], how values enter a network."""


@runtime_checkable
class Samplable(Protocol):
    """A model that draws."""

    event: Event

    def sample(self, params: Params, key: Key) -> Array:
        """One x ~ p(x)."""


@runtime_checkable
class Density(Protocol):
    """A model that scores exactly."""

    event: Event

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x), a scalar in nats."""


@runtime_checkable
class Autoregressive(Protocol):
    r"""p(x | y) = \prod_i p(x_{o(i)} | x_{o(<i)}, y), whole in one pass or one element at a time.

    Attributes:
      event: the space of x.
      order: o, a permutation of the D elements of x in raster order; o(0) comes first.
    """

    event: Event
    order: tuple[int, ...]

    def conditionals(self, params: Params, x: Array, context: Array | None = None) -> Distribution:
        """The distribution of every element given those before it, in the shape of x."""

    def start(self, params: Params, context: Array | None = None) -> PyTree:
        """The carry before any element is known; it keeps what it needs of the context."""

    def predict(self, params: Params, carry: PyTree) -> Distribution:
        """The distribution of the next element, a scalar event."""

    def observe(self, params: Params, carry: PyTree, x_i: Array) -> PyTree:
        """The carry after the next element turned out to be x_i."""


@runtime_checkable
class OrderAgnostic(Protocol):
    """A model of every element given any set of the others."""

    event: Event

    def conditionals_given(
        self, params: Params, x: Array, observed: Array, context: Array | None = None
    ) -> Distribution:
        """The distribution of every element that is not observed, in the shape of x."""


@runtime_checkable
class Members(Protocol):
    """p(x) = (1/M) Σ_m p_m(x), with members that can be scored one by one."""

    event: Event
    num_members: int

    def member_log_prob(
        self, params: Params, x: Array, m: Array, context: Array | None = None
    ) -> Array:
        """log p_m(x), a scalar in nats."""


@runtime_checkable
class Latent(Protocol):
    """p(x) = ∫ p(z) p(x | z) dz with an approximate posterior q(z | x)."""

    event: Event

    def prior(self, params: Params) -> Distribution:
        """p(z)"""

    def encode(self, params: Params, x: Array) -> Distribution:
        """q(z | x)"""

    def decode(self, params: Params, z: Array) -> Distribution:
        """p(x | z)"""


@runtime_checkable
class Flow(Protocol):
    """An invertible map between data and noise of the same size."""

    event: Event

    def to_noise(self, params: Params, x: Array) -> tuple[Array, Array]:
        """z = f(x) and log |det df/dx|."""

    def to_data(self, params: Params, z: Array) -> tuple[Array, Array]:
        """x = f^{-1}(z) and log |det df^{-1}/dz|."""


@runtime_checkable
class Implicit(Protocol):
    """x = g(z) with z ~ p(z): draws, but has no density."""

    event: Event

    def prior(self, params: Params) -> Distribution:
        """p(z)"""

    def generate(self, params: Params, z: Array) -> Array:
        """x = g(z)"""


@runtime_checkable
class Critic(Protocol):
    """A real-valued function of one example."""

    event: Event

    def score(self, params: Params, x: Array) -> Array:
        """A scalar."""


CAPABILITIES = (
    Samplable,
    Density,
    Autoregressive,
    OrderAgnostic,
    Members,
    Latent,
    Flow,
    Implicit,
    Critic,
)


def members(protocol: type) -> list[str]:
    """The methods that a capability asks for, in the order of its definition."""
    return [name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"]


def require(model: Any, protocol: type, name: str) -> None:
    """Raises TypeError unless the model has the capability.

    Args:
      model: any model.
      protocol: one of `CAPABILITIES`.
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
    lacks = f" (missing: {', '.join(missing)})" if missing else " (missing: event)"
    raise TypeError(
        f"{name} needs a model with {', '.join(members(protocol))}; "
        f"{type(model).__name__} offers {offers}{lacks}."
    )


def context_vector(model: Any, context: Array | None) -> Array | None:
    """What a conditional model is given, as a vector [E]; None for a model that takes nothing.

    Args:
      model: has a field `context`, the event that y lives in, or None.
      context: one y.

    Raises:
      ValueError: there is no y where the model needs one, y where it takes none, or y is not in the
        event's space.
    """
    event, name = getattr(model, "context", None), type(model).__name__
    if event is None:
        if context is not None:
            raise ValueError(
                f"{name} takes no context; it got one of shape {jnp.shape(context)}. Build it with "
                "context=Event((), num_labels) for labels, or Event((E,)) for vectors."
            )
        return None
    if context is None:
        values = "real values" if event.num_values is None else f"integers < {event.num_values}"
        raise ValueError(f"{name} needs a context of shape {event.shape}, {values}; got none.")
    context = jnp.asarray(context)
    event.check(context, "context")
    if context.shape != event.shape:
        raise ValueError(
            f"{name} needs one context of shape {event.shape}; got {context.shape}. Use jax.vmap "
            "for a batch of them."
        )
    return event.vector(context)


def in_precision(model: Any, dtype: Any) -> Any:
    """The same model, its computation in another dtype: `in_precision(model, jnp.bfloat16)`.

    Sets every field named `dtype`, anywhere in the model's tree of dataclasses (Linen modules are
    dataclasses) and tuples. Parameters, sums and losses stay in float32, so one set of parameters
    serves every precision: train in bfloat16, score in float32.

    Args:
      model: a model, or a network.
      dtype: of the factors of every product.

    Raises:
      TypeError: the model has no field `dtype` in any part.
      ValueError: dtype is not a floating one.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"in_precision needs a floating dtype; got {jnp.dtype(dtype)}. jnp.bfloat16 or "
            "jnp.float32 would do."
        )
    other = _with_dtype(model, jnp.dtype(dtype).type)
    if other is model:
        raise TypeError(
            "in_precision needs a model with a field `dtype` in some part of it; "
            f"{type(model).__name__} has none. Networks of gm.networks have one."
        )
    return other


def _with_dtype(value: Any, dtype: Any) -> Any:
    """A copy of value with every field `dtype` set; value itself where there is no such field."""
    if isinstance(value, tuple):
        parts = [_with_dtype(part, dtype) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else getattr(type(value), "_make", tuple)(parts)
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return value
    parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    changed = {
        name: dtype if name == "dtype" else new
        for name, old in parts.items()
        if (new := _with_dtype(old, dtype)) is not old or name == "dtype"
    }
    return dataclasses.replace(value, **changed) if changed else value
