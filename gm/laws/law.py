"""Law: a sentence, the capabilities it needs, what it measures, and how this is checked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from gm.laws.trial import Trial

NUM_SIGMAS = 6.0  # means of two thousand skewed values have heavier tails than normal ones


class LawBroken(AssertionError):
    """Raised if a model breaks a law; the message says which, and by how much."""


class NotApplicable(Exception):
    """Raised if a law cannot be checked on a model; the message says why."""


@dataclasses.dataclass(frozen=True)
class Law:
    """A property that all models with certain capabilities must have.

    Attributes:
      sentence: the statement of the law.
      capabilities: protocols of `gm.core`, or tuples of alternatives; the law applies to models
        that have all of them.
      holds: (trial, *measured) -> None, or a remark on the accuracy; raises LawBroken or
        NotApplicable; uses numpy only.
      measures: functions (trial, params, key, inputs) -> arrays. The measures of all laws of one
        model are compiled as one program (`gm.laws.trial`).
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
    """`jax.jit` with little optimization, for programs that run once or twice."""
    return jax.jit(function, compiler_options=_hasty())


@functools.lru_cache(maxsize=1)
def _hasty() -> dict[str, Any] | None:
    """Options of this release's CPU compiler for less optimization and simpler kernels."""
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
