"""What every model must satisfy, checkable on a model of one's own.

    laws.check(model, key)

runs every law that the model's capabilities call for, at random parameters, and raises `LawBroken`
naming the first that does not hold. Use a small model: where a law needs the whole space it sums
over all K^D states, or integrates over one or two real dimensions, and says so where it cannot.

`python -m gm.laws [FILE.py]` prints the laws and checks every model in FILE's table `MODELS`, one
line each; without FILE it takes the project's own table.
"""

from __future__ import annotations

from typing import Any

import jax

from gm import core
from gm.core import Key, Params
from gm.laws import any_model, autoregressive, density, flow, latent, spaces
from gm.laws.law import Law, LawBroken, NotApplicable, compiled

__all__ = ["LAWS", "Law", "LawBroken", "NotApplicable", "check"]

_LEARNERS = (core.Density, core.Latent, core.Implicit, core.Critic)

LAWS = (
    Law("a model is a value", (), any_model.model_is_a_value),
    Law(
        "sampling is a function of its key",
        (core.Samplable,),
        any_model.sampling_is_a_function_of_its_key,
    ),
    Law("gradients reach every parameter", (_LEARNERS,), any_model.gradients_reach_every_parameter),
    Law("a density sums to one", (core.Density,), density.density_sums_to_one),
    Law(
        "samples follow the density",
        (core.Samplable, core.Density),
        density.samples_follow_the_density,
    ),
    Law(
        "no element sees itself or a later one",
        (core.Autoregressive,),
        autoregressive.no_element_sees_itself_or_a_later_one,
    ),
    Law("walk and pass agree", (core.Autoregressive,), autoregressive.walk_and_pass_agree),
    Law(
        "log p is the sum of conditionals",
        (core.Autoregressive, core.Density),
        autoregressive.log_prob_is_the_sum_of_conditionals,
    ),
    Law("p(x | z) sums to one", (core.Latent,), latent.likelihood_given_z_sums_to_one),
    Law("elbo <= iwae <= log p(x)", (core.Latent,), latent.bounds_are_ordered),
    Law("a flow inverts itself", (core.Flow,), flow.flow_inverts_itself),
    Law("log_det is the Jacobian's", (core.Flow,), flow.log_det_is_the_jacobian),
)


def check(model: Any, key: Key, params: Params | None = None) -> dict[str, str]:
    """Runs every law that the model's capabilities call for; p(x | y) at one random y.

    Args:
      model: any model; a small one.
      key: for parameters and draws.
      params: of the model; by default `model.init` with some noise on every parameter, since many
        laws hold by accident where weights are zero.

    Returns:
      {law: "holds" or "not checked: why"}.

    Raises:
      LawBroken: naming the model and the law.
    """
    key_init, key_noise, key_laws = jax.random.split(key, 3)
    if params is None:
        params = compiled(lambda k, n: spaces.perturb(model.init(k), n))(key_init, key_noise)
    verdicts, of_x = {}, spaces.given_one(model, key_laws)
    for law in LAWS:
        if not law.applies(model):
            continue
        try:
            law.holds(of_x if law.capabilities else model, params, key_laws)
            verdicts[law.sentence] = "holds"
        except NotApplicable as reason:
            verdicts[law.sentence] = f"not checked: {reason}"
        except LawBroken as broken:
            name = type(model).__name__
            raise LawBroken(f"{name} breaks the law '{law.sentence}': {broken}") from None
    return verdicts
