"""Deep generative models in JAX: a generative-model algorithm = a model + a learning principle.

Models are frozen dataclasses of pure functions of one example; learning principles are pure loss
functions; `jit` and `vmap` compose them, and one data-parallel loop trains them. Import modules,
not names: `from gm.losses import variational`, then `variational.negative_elbo`. After `import gm`
each room is imported when it is first used: `gm.losses.variational.negative_elbo`.
"""

import importlib
import types
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "bijections",
    "commands",
    "core",
    "data",
    "distributions",
    "laws",
    "losses",
    "metrics",
    "models",
    "networks",
    "numerics",
    "plot",
    "recipes",
    "sampling",
    "tasks",
    "train",
]

if TYPE_CHECKING:
    from gm import (
        bijections,
        commands,
        core,
        data,
        distributions,
        laws,
        losses,
        metrics,
        models,
        networks,
        numerics,
        plot,
        recipes,
        sampling,
        tasks,
        train,
    )
else:  # hidden from type checkers, which would take any name for a room

    def __getattr__(name: str) -> types.ModuleType:
        """Imports a room when it is first used."""
        if name not in __all__:
            raise AttributeError(f"gm has no {name}; its rooms are {', '.join(__all__[1:])}.")
        return importlib.import_module(f"gm.{name}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
