"""Implicit models: generators, which sample without a density, and the critics of their games.

`Generator` and `Critic` are two models of one game; `gm.losses.adversarial` gives each its loss
over its own entry of {"generator": ..., "critic": ...}. `Reconstruction` is the critic of
energy-based and boundary-equilibrium games.
"""

from gm.models.implicit.critic import Critic
from gm.models.implicit.generator import Generator
from gm.models.implicit.reconstruction import Reconstruction

__all__ = ["Critic", "Generator", "Reconstruction"]
