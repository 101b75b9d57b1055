"""Type names that all packages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

Array = jax.Array
Key = jax.Array
PyTree = Any
Params = PyTree
Batch = Mapping[str, PyTree]  # arrays, or several batches by name
Metrics = dict[str, Array]
Loss = Callable[[Params, Key, Batch], tuple[Array, Metrics]]
