"""Functions that ask a model for its capabilities, and fix its context."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np

from gm.core.names import Array, Key, Params, PyTree
from gm.core.protocols import CAPABILITIES, Bijection, DataInit, Fittable


def members(protocol: type) -> list[str]:
    """The methods of a capability, in the order of its definition."""
    return [name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"]


def scalar(value: Array, model: Any, method: str = "log_prob") -> Array:
    """The value that a method gave for one example.

    Raises:
      ValueError: it is not a scalar; most often a log_prob lacks the sum over elements.
    """
    if jnp.shape(value) != ():
        raise ValueError(
            f"{type(model).__name__}.{method} gives shape {jnp.shape(value)} for one x; it must "
            "give a scalar: sum over the elements of x."
        )
    return value


def require(model: Any, protocol: type, name: str) -> None:
    """Raises TypeError unless the model has the capability.

    Args:
      model: any model.
      protocol: one of `CAPABILITIES`, or `Bijection`.
      name: the name of the caller, for the message.

    Raises:
      TypeError: model is a class, or lacks methods or fields; the message lists them.
    """
    if isinstance(model, type):  # a class has the methods too, but they are unbound
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


def init_from(model: Any, key: Key, x: np.ndarray, context: Array | None = None) -> Params:
    """Initial parameters, with the structure of `model.init(key)`.

    Args:
      model: a model or a bijection. A `DataInit` is initialised from the examples, a `Fittable` is
        fitted to them, and others do not use them.
      key: one key.
      x: [N, *event], examples.
      context: [N, E], a vector for each of them, for a `DataInit` whose method takes it.
    """
    if isinstance(model, DataInit):
        context = context if _takes(model.init_from) else None
        return model.init_from(key, x) if context is None else model.init_from(key, x, context)
    if isinstance(model, Fittable):
        return model.fit(x, key)
    return model.init(key)


def given(model: Any, context: PyTree) -> Any:
    """p(x | y) at a fixed y, as a model of x, for losses and metrics of one example.

    Code that works with models therefore need not know whether a model is conditional. Methods
    with a parameter `context` are bound to y; the others are those of the model.

    Args:
      model: a model with methods that take `context`.
      context: y; None returns the model unchanged.

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
    """Whether a model is conditional, p(x | y): its field `context` is not None.

    A model without this field is conditional if any of its methods has a parameter `context`.
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
    """A model at a fixed y."""

    def __init__(self, model: Any, context: PyTree) -> None:
        for name, value in inspect.getmembers(model):
            if inspect.ismethod(value) and _takes(value):
                value = functools.partial(value, context=context)
            if name[0] != "_":
                setattr(self, name, value)
