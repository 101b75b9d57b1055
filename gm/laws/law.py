"""A law: its sentence, the capabilities it needs, what it measures, and how that is checked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from gm.laws.trial import Trial

NUM_SIGMAS = 6.0  # a mean of two thousand skewed values strays further than a normal one


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
      holds: (trial, *measured) -> None, or a remark on the accuracy; raises LawBroken or
        NotApplicable; plain numpy.
      measures: functions (trial, params, key, inputs) -> arrays. The measures of all laws of one
        model are one compiled program (`gm.laws.trial`).
    """

    sentence: str
    capabilities: tuple[type | tuple[type, ...], ...]
    holds: Callable[..., str | None]
    measures: tuple[Callable[..., Any], ...] = ()

    def applies(self, model: Any) -> bool:
        """Whether the model has the capabilities of this law."""
        return all(isinstance(model, capability) for capability in self.capabilities)

    def check(self, trial: Trial) -> str | None:
        """Raises LawBroken or NotApplicable unless the law holds for the model."""
        return self.holds(trial, *(trial.measured(measure) for measure in self.measures))


def compiled(function: Callable) -> Callable:
    """`jax.jit` for a program that runs once or twice: most of its time would go into polish."""
    return jax.jit(function, compiler_options=_hasty())


@functools.lru_cache(maxsize=1)
def _hasty() -> dict[str, Any] | None:
    """Options of the CPU compiler that this release has: less polish, and simpler kernels."""
    if jax.default_backend() != "cpu":
        return None
    plain = {"xla_backend_optimization_level": 0}
    for options in (plain | {"xla_cpu_use_fusion_emitters": False}, plain):
        try:
            jax.jit(lambda x: x).lower(0.0).compile(options)
        except jax.errors.JaxRuntimeError:  # "No such compile option"
            continue
        return options
    return None


def demand(condition: bool, otherwise: str) -> None:
    """Raises LawBroken unless the condition is true."""
    if not condition:
        raise LawBroken(otherwise)
