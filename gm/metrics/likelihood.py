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

MULTIPLE = 16  # of which the number of examples scored at once is, where they are fewer than asked


@runtime_checkable
class Split(Protocol):
    """An ordered set of examples with information on its transforms, such as `gm.data.Split`.

    Attributes:
      log_volume: nats to add to log p of an example to get that of the original example.
      bound: whether that is only a lower bound, since a transform adds noise.
      consecutive: whether adjacent examples are adjacent windows of one text.
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
    """The values that `evaluate` averages.

    Attributes:
      values: -log p(x) of each example, [N] float64, nats, minus `log_volume`.
      exact: whether the values are exact; otherwise they are bounds in expectation.
      log_volume: the log volume of the transforms of the examples, nats.
      correlated: whether adjacent values are correlated.
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
    kind is "bound". A model that only has `lower_bound` is scored by the mean of K values, and the
    kind is also "bound". The standard error is over the sampling of the examples.

    A `gm.data.Split` knows its transforms, and the score is that of the stored examples: it
    includes the `log_volume` of standardized or dequantized examples, and is a bound for
    dequantized ones. Arrays are scored as they are.

    The function is compiled once per model and batch shape; the last batch is padded, to a multiple
    of 16 examples, so that validation and test sets of similar sizes share a program. The key of an
    example depends on its index in the split, so the score depends on `batch_size` only by
    rounding.

    Args:
      model: a `core.Density`, a `core.Latent` or a `core.Bounded`; hashable. If it is several of
        these, the first is used.
      params: its parameters.
      data: a split, examples [N, ...], {"x": [N, ...]}, or a finite iterable of {"x": [B, ...]}.
      key: one key, needed if the score is a bound.
      num_samples: K, samples per example; unused if the score is exact.
      batch_size: examples scored at once; never more than the first batch of an iterable.
      correlated: whether adjacent examples are correlated, such as consecutive windows of a text;
        the standard error is then that of batch means (`Score.mean`). By default the `consecutive`
        of a split, and False for other data.

    Returns:
      A Score in nats, of kind "exact" or "bound".

    Raises:
      TypeError: the model has none of these capabilities, or the data is something else, such as a
        data set of several splits, endless batches or tuples.
      ValueError: examples or labels are not in the model's space, or examples or the key are
        missing.
      FloatingPointError: scores are not finite; the message says how many and which.
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
        # An exact density with a bound: each example was dequantized with one sample of noise.
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
    """The values that `evaluate` averages; the arguments are the same."""
    exact = isinstance(model, core.Density) and not isinstance(model, type)
    if not exact:
        if not isinstance(model, core.Latent | core.Bounded) or isinstance(model, type):
            core.require(model, core.Density, "evaluate")
        if key is None or num_samples < 1:
            raise ValueError(
                "evaluate needs a key and num_samples of at least 1, because "
                f"{type(model).__name__} has no log_prob and is scored by samples of a bound; got "
                f"key={key}, num_samples={num_samples}."
            )
    if type(model).__hash__ is None:
        raise TypeError(
            f"evaluate needs a model that can be hashed, since it compiles once for each; make "
            f"{type(model).__name__} a frozen dataclass (dataclasses.dataclass(frozen=True)) "
            "without arrays."
        )
    if all(hasattr(params, name) for name in ("params", "opt_state", "step")):
        raise TypeError("evaluate needs parameters; got a training state: give state.params.")
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
    """log p(x | y): [B] for x: [B, ...], nats; exact if num_samples is None.

    Matrix products use full float32; accelerators use fewer bits by default.
    """

    def log_prob(i: Array, x_i: Array, y_i: PyTree) -> Array:
        p = core.given(model, y_i)
        if num_samples is None:
            return core.scalar(p.log_prob(params, x_i), model)
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
    given = not isinstance(data, Split | Mapping) and not hasattr(data, "shape")
    for batch in _parts(data, batch_size):
        arrays = batches.examples(model.event, batch, "evaluate", model)
        x, y = jax.tree.map(np.asarray, arrays)
        # Batches of the caller's own may be as large as memory allows.
        size = size or min(batch_size, len(x) if given else -(-len(x) // MULTIPLE) * MULTIPLE)
        for first in range(0, len(x), size or 1):
            count = min(size, len(x) - first)
            # Pads a partial batch with the last example.
            rows = first + np.minimum(np.arange(size), count - 1)
            part = x[rows].astype(model.event.dtype)
            yield part, jax.tree.map(lambda leaf, rows=rows: leaf[rows], y), count


def _parts(data: Any, batch_size: int) -> Iterable[Batch]:
    """The batches of the data; raises a TypeError if it cannot be scored."""
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
    """Raises FloatingPointError with the number and indices of scores that are not finite."""
    (bad,) = np.nonzero(~np.isfinite(values))
    if bad.size:
        shown = ", ".join(f"{i} ({values[i]:g})" for i in bad[:10]) + ", ..." * (len(bad) > 10)
        raise FloatingPointError(
            f"evaluate found {len(bad)} of {len(values)} examples whose -log p(x) is not finite, "
            f"at index {shown}. inf means that the model gives them probability zero; nan, that "
            "its parameters or its arithmetic have failed."
        )
