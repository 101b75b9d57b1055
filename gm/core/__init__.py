"""Shared types: names, events, and the capabilities of a model as protocols.

A model has the methods that make sense for it. Each group of methods is a capability, defined here
as a `typing.Protocol`; a loss checks for the one it needs with `require`, which raises an error
that says what is missing.
"""

from gm.core.capabilities import (
    given,
    init_from,
    members,
    require,
    scalar,
    takes_context,
)
from gm.core.configs import (
    in_precision,
)
from gm.core.events import (
    Event,
    context_inputs,
    context_size,
    context_vector,
    example_context,
)
from gm.core.names import (
    Array,
    Batch,
    Key,
    Loss,
    Metrics,
    Params,
    PyTree,
)
from gm.core.protocols import (
    CAPABILITIES,
    Autoregressive,
    Bijection,
    BlockAutoregressive,
    Bounded,
    Critic,
    DataInit,
    Density,
    Distribution,
    Fittable,
    Flow,
    Head,
    Implicit,
    IterativelyFittable,
    Latent,
    MixtureOfMembers,
    Network,
    OrderAgnostic,
    Samplable,
)
from gm.core.pytrees import (
    pytree,
    static,
)
from gm.core.weights import (
    example_weights,
)

__all__ = [
    "CAPABILITIES",
    "Array",
    "Autoregressive",
    "Batch",
    "Bijection",
    "BlockAutoregressive",
    "Bounded",
    "Critic",
    "DataInit",
    "Density",
    "Distribution",
    "Event",
    "Fittable",
    "Flow",
    "Head",
    "Implicit",
    "IterativelyFittable",
    "Key",
    "Latent",
    "Loss",
    "Metrics",
    "MixtureOfMembers",
    "Network",
    "OrderAgnostic",
    "Params",
    "PyTree",
    "Samplable",
    "context_inputs",
    "context_size",
    "context_vector",
    "example_context",
    "example_weights",
    "given",
    "in_precision",
    "init_from",
    "members",
    "pytree",
    "require",
    "scalar",
    "static",
    "takes_context",
]
