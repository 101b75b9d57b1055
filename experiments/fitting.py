"""What experiments trained in steps share: the parameters of the best validation, and their scores.

This file is no script: the experiments beside it call it.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import options

from gm import data, metrics, train
from gm.core import Array, Key, Metrics, Params
from gm.metrics import results

Loss = Callable[..., tuple[Array, Metrics]]  # of (model, params, key, batch)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes:
      params: the averaged parameters that are reported.
      step: updates behind them.
      seconds: of all training.
      others: where validation has risen, those not reported and the updates behind them, as
        {"last step": (params, step)}, or of the "best validation".
    """

    params: Params
    step: int
    seconds: float
    others: Mapping[str, tuple[Params, int]] = dataclasses.field(default_factory=dict)

    def scores(
        self, metric: str, score: Callable[[Params], metrics.Score]
    ) -> dict[str, metrics.Score]:
        """{metric: the score}, and where validation has risen that of the others, by name."""
        others = {f"{metric}, {name}": score(params) for name, (params, _) in self.others.items()}
        return {metric: score(self.params), **others}

    def record(
        self, scores: Mapping[str, metrics.Score], dataset: data.Dataset, **fields: Any
    ) -> list[results.Result]:
        """Rows of result.json, each with the updates behind its parameters."""
        rows = []
        for metric, score in scores.items():
            steps = [n for name, (_, n) in self.others.items() if metric.endswith(f", {name}")]
            own = {"steps": [*steps, self.step][0], "seconds": self.seconds, **fields}
            rows += results.record_all({metric: score}, dataset, **own)
        return rows


def init(model: Any, key: Key) -> Params:
    """The initial parameters, as one program."""
    return jax.jit(model.init)(key)


def run(
    c: options.Chosen,
    step: train.Step,
    state: train.State,
    batches: Any,
    validate: Callable[[train.State], Mapping[str, float]],
    *,
    by: str = "nats",
    **keep: Any,
) -> Fitted:
    """Trains as asked, and says so where validation has risen.

    Args:
      c: the options.
      step: as in `train.run`, like state, batches and the rest.
      state: the initial one.
      batches: of training data.
      validate: after each tenth of the steps.
      by: the number of `validate` that decides; the least is the best.
      **keep: further options of `train.run`.
    """
    best, begin = train.Best(by), time.perf_counter()
    own = {"folder": c.folder, "config": c, "evaluate": validate, "best": best}
    state = train.run(step, state, batches, c.num_steps, **own, **keep)
    seconds, last = time.perf_counter() - begin, (state.averaged, c.num_steps)
    if not best.risen:
        return Fitted(*last, seconds)
    chosen, what = (best.params, best.step), f"of step {best.step} (--no-keep-best: of the last)"
    others = {"last step": last}
    if not c.keep_best:
        chosen, others, what = last, {"best validation": chosen}, "of the last step, as asked"
    print(
        f"validation has risen from {best.value:.2f} {by} at step {best.step} to "
        f"{best.last_value:.2f} at step {best.last_step}: reported are the parameters {what}"
    )
    return Fitted(*chosen, seconds, others)
