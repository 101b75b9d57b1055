"""Evaluation: the mean negative log-likelihood of a model on a split."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Batch, Key, Params, PyTree
from gm.losses import batches
from gm.metrics import importance
from gm.metrics.score import Score


@runtime_checkable
class Split(Protocol):
    """Examples in an order, which know what was done to them; `gm.data.Split` is one.

    Attributes:
      log_volume: nats to add to log p of an example for that of what it was made from.
      bound: whether that only bounds it from below: a transform adds noise.
      consecutive: whether neighbours in the order are neighbours in one text.
    """

    @property
    def log_volume(self) -> float:
        """Nats."""
        ...

    @property
    def bound(self) -> bool:
        """True or False."""
        ...

    @property
    def consecutive(self) -> bool:
        """True or False."""
        ...

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every example once."""
        ...


class Values(NamedTuple):
    """What `evaluate` averages.

    Attributes:
      values: -log p(x) of each example, [N] float64, nats, less `log_volume`.
      exact: whether they are that, or bounds in expectation.
      log_volume: nats, of what was done to the examples.
      correlated: whether neighbours are correlated.
    """

    values: np.ndarray
    exact: bool
    log_volume: float = 0.0
    correlated: bool = False


def evaluate(
    model: Any,
    params: Params,
    data: Split | Array | np.ndarray | Batch | Iterable[Batch],
    *,
    key: Key | None = None,
    num_samples: int = 1,
    batch_size: int = 256,
    correlated: bool | None = None,
) -> Score:
    r"""Mean of -log p(x) over every example of a split, in nats, with its standard error.

    A model with `log_prob` is scored exactly. A latent-variable model without it gets
    -log (1/K) \sum_k p(x, z_k) / q(z_k | x): with K = 1 the negative ELBO, with K in the
    thousands close to -log p(x). Its expectation is above -log p(x) for every K, so the score's
    kind is "bound" for every K; so it is for a model with `lower_bound` alone, of which K values
    are averaged. The standard error is over the sampling of the examples.

    A `gm.data.Split` knows its transforms, and the score is that of the examples as they were
    stored: standardized or dequantized ones have their `log_volume` counted, and dequantization
    makes the score a bound. Arrays are scored as they are.

    The function is compiled once for each model and batch shape; the last batch is padded.
    Each example's key is folded from its place in the split, so the score depends on
    `batch_size` by rounding only.

    Args:
      model: a `core.Density`, a `core.Latent` or a `core.Bounded`, taken for the first that it is;
        hashable.
      params: its parameters.
      data: a split, examples [N, ...], {"x": [N, ...]}, or a finite iterable of {"x": [B, ...]}.
      key: needed where the score is a bound.
      num_samples: K, samples per example; unused where the score is exact.
      batch_size: examples scored at once; never more than the first batch of an iterable.
      correlated: whether neighbouring examples are correlated, as consecutive windows of a text
        are: the standard error is then that of batch means (`Score.mean`). By default what a split
        says of itself, and False for anything else.

    Raises:
      TypeError: the model has no such capability, or the data is none of the above: a data set of
        several splits, endless batches, tuples.
      ValueError: examples or labels that are not of the model's space, no examples, or no key.
      FloatingPointError: examples whose score is not finite; says how many and which.
    """
    values, exact, log_volume, neighbours = negative_log_probs(
        model,
        params,
        data,
        key=key,
        num_samples=num_samples,
        batch_size=batch_size,
    )
    fields = {"log_volume": log_volume}
    if not exact:
        # Where an exact density makes a bound, each example was dequantized by one sample of noise.
        samples = 1 if isinstance(model, core.Density) else num_samples
        fields |= {"kind": "bound", "num_samples": samples}
    correlated = neighbours if correlated is None else correlated
    return Score.mean(values, correlated=correlated, **fields)


def negative_log_probs(
    model: Any,
    params: Params,
    data: Split | Array | np.ndarray | Batch | Iterable[Batch],
    *,
    key: Key | None = None,
    num_samples: int = 1,
    batch_size: int = 256,
) -> Values:
    """What `evaluate` averages, with the same arguments."""
    exact = isinstance(model, core.Density) and not isinstance(model, type)
    if not exact:
        if not isinstance(model, core.Latent | core.Bounded) or isinstance(model, type):
            core.require(model, core.Density, "evaluate")
        if key is None or num_samples < 1:
            raise ValueError(
                f"evaluate needs a key and num_samples of at least 1, for {type(model).__name__} "
                f"has no log_prob and is scored by samples of a bound; got key={key}, "
                f"num_samples={num_samples}."
            )
    if type(model).__hash__ is None:
        raise TypeError(
            f"evaluate needs a model that can be hashed, since it compiles once for each; make "
            f"{type(model).__name__} a frozen dataclass (dataclasses.dataclass(frozen=True)) "
            "without arrays."
        )
    score = functools.partial(_log_probs, model, num_samples=None if exact else num_samples)
    values, start = [], 0
    for x, y, count in _batches(model, data, batch_size):
        numbers = np.arange(start, start + len(x), dtype=np.uint32)
        log_probs = score(params, key, numbers, x, y)
        values.append(-np.asarray(log_probs, np.float64)[:count])
        start += count
    if not values:
        raise ValueError("evaluate needs at least one example; got none.")
    values = np.concatenate(values)
    _check_finite(values)
    if not isinstance(data, Split):
        return Values(values, exact)
    volume = float(data.log_volume)
    return Values(values - volume, exact and not data.bound, volume, bool(data.consecutive))


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _log_probs(
    model: Any,
    params: Params,
    key: Key | None,
    index: Array,
    x: Array,
    y: PyTree,
    num_samples: int | None,
) -> Array:
    """log p(x | y): [B] for x: [B, ...], exact where num_samples is None.

    Products are of float32, where an accelerator would take them of fewer bits by default.
    """

    def log_prob(i: Array, x_i: Array, y_i: PyTree) -> Array:
        p = core.given(model, y_i)
        if num_samples is None:
            return p.log_prob(params, x_i)
        key_i = jax.random.fold_in(key, i)
        if isinstance(model, core.Latent):
            return importance.log_prob(p, params, key_i, x_i, num_samples=num_samples)
        keys = jax.random.split(key_i, num_samples)
        return jnp.mean(jax.vmap(lambda k: p.lower_bound(params, k, x_i))(keys))

    with jax.default_matmul_precision("highest"):
        return jax.vmap(log_prob)(index, x, y)


def _batches(model: Any, data: Any, batch_size: int) -> Iterator[tuple[np.ndarray, PyTree, int]]:
    """Batches of one size with their contexts, the last padded, and counts of real examples."""
    if batch_size < 1:
        raise ValueError(f"evaluate needs a batch_size of at least 1; got {batch_size}.")
    size = None
    for batch in _parts(data, batch_size):
        arrays = batches.examples(model.event, batch, "evaluate", model)
        x, y = jax.tree.map(np.asarray, arrays)
        size = size or min(batch_size, len(x))
        for first in range(0, len(x), size or 1):
            count = min(size, len(x) - first)
            # The last example again where the batch is not full.
            rows = first + np.minimum(np.arange(size), count - 1)
            part = x[rows].astype(model.event.dtype)
            yield part, jax.tree.map(lambda leaf, rows=rows: leaf[rows], y), count


def _parts(data: Any, batch_size: int) -> Iterable[Batch]:
    """The batches that data is made of; one clear TypeError where it is not data to score."""
    if isinstance(data, Split):
        return data.in_order(batch_size)
    if isinstance(data, Mapping):
        return [data]
    if hasattr(data, "shape"):
        return [{"x": data}]
    if hasattr(data, "train") and hasattr(data, "test"):
        raise TypeError(
            "evaluate needs one split; got a data set of several. Give dataset.test, or "
            "dataset.validation to choose by."
        )
    endless = itertools.cycle | itertools.count | itertools.repeat
    if getattr(data, "endless", False) or isinstance(data, endless):
        raise TypeError(
            "evaluate needs every example once; got endless batches, as for training. Give the "
            "split itself, or split.in_order(batch_size)."
        )
    if not isinstance(data, Iterable) or isinstance(data, str | bytes):
        raise TypeError(
            'evaluate needs a split, an array [N, ...], {"x": [N, ...]} or an iterable of such '
            f"mappings; got a {type(data).__name__}."
        )
    return data


def _check_finite(values: np.ndarray) -> None:
    """Raises FloatingPointError that counts and names the examples without a finite score."""
    (bad,) = np.nonzero(~np.isfinite(values))
    if bad.size:
        shown = ", ".join(f"{i} ({values[i]:g})" for i in bad[:10]) + ", ..." * (len(bad) > 10)
        raise FloatingPointError(
            f"evaluate found {len(bad)} of {len(values)} examples whose -log p(x) is not finite, "
            f"at index {shown}. inf means that the model gives them probability zero; nan, that "
            "its parameters or its arithmetic have failed."
        )
