"""Right and wrong models for `gm.laws`: none of the first may be condemned, each of the others must
be, by the law that speaks of its fault. One file for each family has both."""

from typing import Any

from tests.law_zoo import causal, densities, fitted, flows, latents

FAMILIES = (causal, densities, fitted, flows, latents)
RIGHT: dict[str, Any] = {name: model for family in FAMILIES for name, model in family.RIGHT.items()}
WRONG: dict[str, tuple[Any, str]] = {
    name: case for family in FAMILIES for name, case in family.WRONG.items()
}
