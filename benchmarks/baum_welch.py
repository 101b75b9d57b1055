"""Baum-Welch against hmmlearn: the same numbers, and a ratio of CPU times.

    pip install hmmlearn
    python benchmarks/baum_welch.py [--repeats 5]

One step of expectation maximization on random sequences of categorical values from the same
parameters, in turns in one process, by process time and the quickest of --repeats, without
compilation. hmmlearn (0.3.3) has two implementations in double precision: in logarithms, as gm has
it, and scaled probabilities, which lose what is below the smallest number.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
import tyro
from hmmlearn import hmm
from scipy import special

from gm.core import Event, Params
from gm.models.classical import HiddenMarkovModel, components

SIZES = ((8, 20), (32, 65))  # states and values


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    num_sequences: int = 64
    length: int = 512
    repeats: int = 5


def theirs(params: Params, implementation: str) -> hmm.CategoricalHMM:
    """hmmlearn's model of the same parameters."""
    p = jax.tree.map(lambda leaf: special.softmax(np.asarray(leaf, np.float64), axis=-1), params)
    options = {"n_iter": 1, "tol": -np.inf, "init_params": "", "implementation": implementation}
    model = hmm.CategoricalHMM(len(p["log_start"]), **options)
    model.startprob_, model.transmat_ = p["log_start"], p["log_transition"]
    model.emissionprob_ = p["emissions"]["logits"][:, 0]
    return model


def seconds(function: Callable[..., object], *args: object) -> float:
    """CPU time of one call."""
    begin = time.process_time()
    jax.block_until_ready(function(*args))  # leaves what is no array alone
    return time.process_time() - begin


def main(c: Config) -> None:
    """Prints one line for each size."""
    rng = np.random.default_rng(0)
    for num_states, num_values in SIZES:
        x = rng.integers(0, num_values, (c.num_sequences, c.length))
        of = components.Categoricals(num_values, smoothing=0.0)
        model = HiddenMarkovModel(Event((c.length,), num_values), num_states, of)
        begun = model.init(jax.random.key(0))
        params = jax.tree.map(lambda a: a + rng.normal(size=a.shape).astype(np.float32), begun)
        step = jax.jit(model.fit_step)
        new, metrics = step(params, None, x)
        flat, lengths = x.reshape(-1, 1), [c.length] * c.num_sequences
        fitted = theirs(params, "log").fit(flat, lengths)
        gap = np.max(np.abs(np.exp(new["log_transition"]) - fitted.transmat_))
        score = theirs(params, "log").score(flat, lengths) / c.num_sequences
        print(f"{num_states} states: log p {metrics['log_prob']:.4f} and {score:.4f}, ", end="")
        print(f"transitions of a step differ by {gap:.1e}")
        times: dict[str, list[float]] = {"gm": [], "log": [], "scaling": []}
        for _ in range(c.repeats):
            times["gm"].append(seconds(step, params, None, x))
            for implementation in ("log", "scaling"):
                other = theirs(params, implementation)
                times[implementation].append(seconds(other.fit, flat, lengths))
        best = {name: min(values) for name, values in times.items()}
        for name in ("log", "scaling"):
            print(f"  gm takes {best['gm'] / best[name]:.2f} of hmmlearn's CPU time ({name})")


if __name__ == "__main__":
    main(tyro.cli(Config))
