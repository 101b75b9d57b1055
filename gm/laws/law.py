"""A law: one sentence, whom it speaks of, and how it is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from gm.core import Key, Params

NUM_SIGMAS = 5.0  # a fair model breaks a law of averages less than once in a million checks


class LawBroken(AssertionError):
    """A model does not keep a law; the message says which, and by how much."""


class NotApplicable(Exception):
    """A law cannot be checked on this model; the message says why."""


@dataclasses.dataclass(frozen=True)
class Law:
    """A sentence that is true of models.

    Attributes:
      sentence: what holds.
      capabilities: protocols of `gm.core`, or tuples of alternatives; the law applies to a model
        that has all of them.
      holds: (model, params, key) -> None, raising LawBroken or NotApplicable.
    """

    sentence: str
    capabilities: tuple[type | tuple[type, ...], ...]
    holds: Callable[[Any, Params, Key], None]

    def applies(self, model: Any) -> bool:
        """Whether the model has the capabilities this law speaks of."""
        return all(isinstance(model, capability) for capability in self.capabilities)


def compiled(function: Callable) -> Callable:
    """`jax.jit` for a program that runs once or twice: most of its time would go into polish."""
    on_cpu = jax.default_backend() == "cpu"
    return jax.jit(
        function, compiler_options={"xla_backend_optimization_level": 0} if on_cpu else None
    )


def demand(condition: bool, otherwise: str) -> None:
    """Raises LawBroken unless the condition is true."""
    if not condition:
        raise LawBroken(otherwise)
