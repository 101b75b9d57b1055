"""Implicit models: generators, which sample without a density, and the critics of their games.

`Generator` and `Critic` are two models of one game; `gm.losses.adversarial` gives each its loss
over its own entry of {"generator": ..., "critic": ...}.
"""

from gm.models.implicit.critic import Critic
from gm.models.implicit.generator import Generator

__all__ = ["Critic", "Generator"]
