"""Laws: what every model must satisfy, checkable on a model of your own.

    laws.check(model, key)

checks every law that applies to the model's capabilities, at random parameters, and raises
`LawBroken` with the name of the first law that does not hold. Use a small model: laws of the whole
space sum over all K^D states or integrate over one or two real dimensions, and report if they
cannot.

`gm laws FILE.py` (or `python -m gm.laws`) prints the laws and checks every model in the table
`MODELS` of FILE.py, with one line each; `gm laws --help` lists its options.
"""

from __future__ import annotations

from typing import Any

import jax

from gm import core
from gm.core import Key, Params, PyTree
from gm.laws import any_model, autoregressive, bijection, bounded, density, fitted, latent
from gm.laws.law import Law, LawBroken, NotApplicable
from gm.laws.trial import Trial, check_arguments

__all__ = ["LAWS", "Law", "LawBroken", "NotApplicable", "check"]

_LEARNERS = (
    core.Density,
    core.Latent,
    core.Bounded,
    core.Implicit,
    core.Critic,
    core.Bijection,
)
_MAPS = (core.Flow, core.Bijection)

# Specific laws come before those of the density, which fail for any of their reasons.
LAWS = (
    Law("a model is a value", (), any_model.model_is_a_value),
    Law(
        "sampling is a function of its key",
        (core.Samplable,),
        any_model.sampling_is_a_function_of_its_key,
        (any_model.samples,),
    ),
    Law("a bijection keeps the number of elements", (_MAPS,), bijection.sizes_are_kept),
    Law(
        "a bijection inverts itself",
        (_MAPS,),
        bijection.bijection_inverts_itself,
        (bijection.maps,),
    ),
    Law(
        "log_det is the Jacobian's",
        (_MAPS,),
        bijection.log_det_is_the_jacobian,
        (bijection.maps,),
    ),
    Law(
        "no element sees itself or a later one",
        (core.Autoregressive,),
        autoregressive.no_element_sees_itself_or_a_later_one,
        (autoregressive.forward_passes,),
    ),
    Law(
        "incremental sampling agrees with the forward pass",
        (core.Autoregressive,),
        autoregressive.incremental_sampling_agrees_with_the_forward_pass,
        (autoregressive.forward_passes, autoregressive.steps),
    ),
    Law(
        "log p is the sum of conditionals",
        (core.Autoregressive, core.Density),
        autoregressive.log_prob_is_the_sum_of_conditionals,
        (autoregressive.forward_passes, any_model.outputs),
    ),
    Law(
        "gradients reach every parameter",
        (_LEARNERS,),
        any_model.gradients_reach_every_parameter,
        (any_model.outputs,),
    ),
    Law(
        "a density sums to one",
        (core.Density,),
        density.density_sums_to_one,
        (any_model.outputs,),
    ),
    Law(
        "a lower bound sums to at most one",
        (core.Bounded,),
        bounded.bound_sums_to_at_most_one,
        (bounded.bounds,),
    ),
    Law(
        "samples follow the density",
        (core.Samplable, core.Density),
        density.samples_follow_the_density,
        (any_model.samples, any_model.outputs),
    ),
    Law(
        "a fit follows its data",
        (core.Fittable, core.Density, core.Samplable),
        fitted.a_fit_follows_its_data,
        (any_model.samples,),
    ),
    Law(
        "p(x | z) sums to one",
        (core.Latent,),
        latent.likelihood_given_z_sums_to_one,
        (latent.latents,),
    ),
    Law(
        "samples follow the generative process",
        (core.Samplable, (core.Latent, core.Implicit)),
        latent.samples_follow_the_generative_process,
        (any_model.samples, latent.ancestors),
    ),
    Law(
        "elbo <= iwae <= log p(x)",
        (core.Latent,),
        latent.bounds_are_ordered,
        (latent.latents, any_model.outputs),
    ),
)


def check(
    model: Any,
    key: Key,
    params: Params | None = None,
    *,
    event: core.Event | None = None,
    context: PyTree = None,
) -> dict[str, str]:
    """Checks every law that applies to the model's capabilities; p(x | y) at one random y.

    Matrix products use full float32; accelerators use fewer bits by default.

    Args:
      model: a small model, or a bijection.
      key: one key, for parameters, points and samples.
      params: the parameters; by default those of `model.init` with noise on every parameter, since
        many laws hold by accident if weights are zero.
      event: the space of x, for a bijection without a field of this name.
      context: the space of y, an event or a pytree of events, if the field `context` does not
        define it.

    Returns:
      {law: "holds", "holds: how accurately", or "not checked: why"}.

    Raises:
      LawBroken: a law does not hold; the message names the model and the law.
      TypeError: model or key is of the wrong type, or no law applies to the model.
    """
    return verdicts(trial_of(model, key, params, event=event, context=context))


def trial_of(
    model: Any,
    key: Key,
    params: Params | None = None,
    *,
    event: core.Event | None = None,
    context: PyTree = None,
) -> Trial:
    """What `check` makes first; `trial.at(key)` is one more, which compiles nothing again."""
    check_arguments(model, key, event)
    measures = [measure for law in _laws_of(model) for measure in law.measures]
    return Trial(model, key, measures, params, event, context)


def verdicts(trial: Trial) -> dict[str, str]:
    """The verdicts of `check` on one trial."""
    model, found = trial.original, {}
    laws = _laws_of(model)
    for law in laws:
        try:
            with jax.default_matmul_precision("highest"):
                remark = law.check(trial)
            found[law.sentence] = "holds" if remark is None else f"holds: {remark}"
        except NotApplicable as reason:
            found[law.sentence] = f"not checked: {reason}"
        except LawBroken as broken:
            name = type(model).__name__
            raise LawBroken(f"{name} breaks the law '{law.sentence}': {broken}") from None
    if len(laws) == 1:
        core.require(model, core.Samplable, "laws.check")
    return found


def _laws_of(model: Any) -> list[Law]:
    return [law for law in LAWS if law.applies(model)]
