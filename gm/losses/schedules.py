r"""Options of a loss as functions of the step: KL warm-up, free bits or temperatures that change.

    loss = schedules.scheduled(
        functools.partial(variational.negative_elbo, model),
        beta=optax.linear_schedule(0.0, 1.0, 10_000),
    )
    state = train.init(params, optimizer, key, memory=schedules.start(), replicated=True)

The step is carried as the loss's memory (`train.make_step`), so that a resumed run continues its
schedule, and so that a schedule is any function of an int32 step, such as optax's. KL warm-up:
Bowman et al. (2016), arXiv:1511.06349; Sønderby et al. (2016), arXiv:1602.02282.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gm.core import Array, Batch, Key, Loss, Metrics, Params

Schedule = Callable[[Array], Array]


def start() -> Array:
    """The memory of `scheduled` before the first step: 0, an int32 scalar."""
    return jnp.zeros((), jnp.int32)


def scheduled(loss: Loss, **options: Schedule) -> Callable[..., tuple[Array, tuple[Metrics, Any]]]:
    """A loss whose options are schedules, with the number of its calls as its memory.

    Args:
      loss: loss(params, key, batch, **options) -> (scalar, metrics).
      **options: step -> value of the option, for each option that has a schedule; a function that
        gives a vector weighs the terms of a hierarchy.

    Returns:
      loss(params, key, batch, memory) -> (scalar, (metrics, memory)); scalars of schedules are
      among the metrics, by the names of the options.

    Raises:
      TypeError: an option is not a function, or there is none.
    """
    wrong = [name for name, schedule in options.items() if not callable(schedule)]
    if wrong or not options:
        raise TypeError(
            "scheduled needs options that are functions of the step, such as "
            "beta=optax.linear_schedule(0.0, 1.0, 1000); got "
            f"{', '.join(f'{name}={options[name]!r}' for name in wrong) or 'none'}. Give constants "
            "to the loss by functools.partial."
        )

    def with_step(
        params: Params, key: Key, batch: Batch, memory: Array
    ) -> tuple[Array, tuple[Metrics, Array]]:
        values = {name: jnp.asarray(schedule(memory)) for name, schedule in options.items()}
        objective, metrics = loss(params, key, batch, **values)
        shown = {name: value for name, value in values.items() if value.ndim == 0}
        return objective, (metrics | shown, memory + 1)

    return with_step
