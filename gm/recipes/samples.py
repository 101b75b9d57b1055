"""Samples of a trained model, and pictures or texts of them."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from gm import data, plot
from gm.core import Array, Params
from gm.models.autoregressive import Ensemble


def one_of(model: Any) -> Any:
    """One member of an ensemble that averages probabilities; it is sampled via any member."""
    return model.member(0) if isinstance(model, Ensemble) else model


def labels_in_turn(model: Any, num: int) -> tuple[np.ndarray, ...]:
    """The context of num samples, each label in turn; () for a model without context."""
    context = getattr(model, "context", None)
    return () if context is None else (np.arange(num) % context.num_values,)


def sample(model: Any, params: Params, seed: int, num: int) -> np.ndarray:
    """Samples [num, *event], with each label in turn, and from one member of an ensemble."""
    model, keys = one_of(model), jax.random.split(jax.random.key(seed), num)
    return np.asarray(_sample(model, params, keys, *labels_in_turn(model, num)))


@functools.partial(jax.jit, static_argnames="model")  # compiled once for all pictures of a run
def _sample(model: Any, params: Params, keys: Array, *context: Array) -> Array:
    return jax.vmap(functools.partial(model.sample, params))(keys, *context)


def beside_data(
    dataset: data.Dataset, model: Any, params: Params, seed: int, path: pathlib.Path
) -> None:
    """Writes a picture of 64 test examples next to 64 samples."""
    panels = {"data": dataset.test.x[:64], "model": sample(model, params, seed, 64)}
    plot.save(plot.samples(panels, num_values=model.event.num_values), path)


def show(dataset: data.Dataset, x: np.ndarray, title: str, path: pathlib.Path) -> pathlib.Path:
    """Writes examples [N, ...] as a picture, or texts to the path with the suffix `.txt`.

    Returns:
      The path that was written.
    """
    if not dataset.vocabulary:
        return plot.save(plot.samples({title: x}, num_values=dataset.event.num_values), path)
    path, texts = path.with_suffix(".txt"), (data.decode(one, dataset.vocabulary) for one in x)
    path.write_text("\n---\n".join(texts), encoding="utf-8")
    return path
