"""Laws of latent-variable models: p(x | z) is a density, and the bounds are in order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from gm import core
from gm.core import Array, Key, Params, PyTree
from gm.laws import any_model, integrals, spaces
from gm.laws.any_model import NUM_SAMPLES
from gm.laws.law import NUM_SIGMAS, NotApplicable, demand
from gm.laws.statistics import TOO_RARE, chi_squared, two_samples
from gm.laws.trial import MAX_ROWS, TOLERANCE, Trial, on_two_grids

NUM_LATENTS = 1024
NUM_SAMPLED = 2**14  # samples of each of two densities, if quadrature is not possible
MAX_ERROR = 0.1  # nats


def latents(trial: Trial, params: Params, key: Key, inputs: dict[str, Array]) -> dict[str, PyTree]:
    """z of the prior and of two posteriors, and log p(x | z) of every x for three z."""
    model, keys, x = trial.model, jax.random.split(key, NUM_LATENTS), inputs["x"]
    z = jax.vmap(lambda k: model.prior(params).sample(k))(keys)

    def posterior(x: Array) -> PyTree:
        return jax.vmap(lambda k: model.encode(params, x).sample(k))(keys)

    def given(z: PyTree) -> Array:
        return jax.vmap(model.decode(params, z).log_prob)(x)

    return {
        "prior": z,
        "posterior": jax.vmap(posterior)(x[:2]),
        "log_likelihood": jax.vmap(given)(jax.tree.map(lambda leaf: leaf[:3], z)),
    }


def ancestors(trial: Trial, params: Params, key: Key, inputs: dict[str, Array]) -> Array:
    """Ancestral samples [NUM_SAMPLES, *event], with separate keys for z and x."""
    model = trial.model
    del inputs

    def one(key: Key) -> Array:
        key_z, key_x = jax.random.split(key)
        z = model.prior(params).sample(key_z)
        if isinstance(model, core.Implicit):
            return model.generate(params, z)
        return model.decode(params, z).sample(key_x)

    return jax.vmap(one)(jax.random.split(jax.random.fold_in(key, 1), NUM_SAMPLES))


def likelihood_given_z_sums_to_one(trial: Trial, seen: dict[str, PyTree]) -> None:
    """The sum of p(x | z) over all x is one at every z."""
    model = trial.model
    for i in range(3):
        z = jax.tree.map(lambda leaf, i=i: leaf[i], seen["prior"])

        def log_prob(given: PyTree, x: Array) -> Array:
            params, z = given
            return model.decode(params, z).log_prob(x)

        if not model.event.discrete:
            on_two_grids(
                lambda n, f=log_prob, z=z: _demand_integral(trial, f, (trial.params, z), n)
            )
            continue
        if spaces.num_states(model.event) <= MAX_ROWS:
            total = np.sum(np.exp(seen["log_likelihood"][i].astype(np.float64)))
        else:
            x = spaces.states(model.event)
            total = np.sum(np.exp(trial.score("likelihood", log_prob, (trial.params, z), x)))
        demand(abs(total - 1.0) < TOLERANCE, f"it sums to {total:.6f}")


def _demand_integral(trial: Trial, log_prob: Any, given: PyTree, fineness: int) -> None:
    """Raises unless p(x | z) at one z integrates to one over real x."""
    event = trial.event

    def sample(given: PyTree, key: Key) -> Array:
        keys = jax.random.split(key, NUM_LATENTS)
        return jax.vmap(trial.model.decode(*given).sample)(keys)

    x = trial.run("likelihood samples", sample, given, trial.key).reshape(NUM_LATENTS, -1)

    def density(x: np.ndarray) -> np.ndarray:
        x = x.reshape(-1, *event.shape).astype(event.dtype)
        return np.exp(trial.score("likelihood", log_prob, given, x))[:, None]

    total = float(trial.integrate(density, [x], fineness).total[0])
    demand(abs(total - 1.0) < TOLERANCE, f"it sums to {total:.6f}")


def samples_follow_the_generative_process(
    trial: Trial, samples: np.ndarray, others: np.ndarray
) -> None:
    """Compares `sample` with z ~ p(z), x ~ p(x | z) of separate keys by chi-squared tests.

    At some parameters x hardly depends on z, and faults in sampling z have no effect on x. So the
    comparison is repeated at other parameters, with more noise.
    """
    _demand_same(trial, samples, others)
    for pair in any_model.elsewhere(trial, any_model.samples, ancestors):
        if all(np.all(np.isfinite(x)) for x in pair):
            _demand_same(trial, *pair)


def _demand_same(trial: Trial, samples: np.ndarray, others: np.ndarray) -> None:
    """Raises unless two sets [NUM_SAMPLES, *event] have the same distribution."""
    event, rng = trial.event, trial.rng("directions")
    if spaces.num_states(event) <= MAX_ROWS:
        tests = [(spaces.number(event, samples), spaces.number(event, others))]
    else:
        rows = [x.reshape(len(x), -1).astype(np.float64) for x in (samples, others)]
        # A random projection detects any difference with probability one.
        tests = [tuple(x @ w for x in rows) for w in rng.standard_normal((4, event.size))]
    for a, b in tests:
        chi2, freedom, p = two_samples(a, b)
        demand(p > TOO_RARE, f"chi-squared {chi2:.1f} with {freedom} degrees of freedom")


def bounds_are_ordered(
    trial: Trial, seen: dict[str, PyTree], out: tuple[np.ndarray, Any]
) -> str | None:
    """elbo <= iwae_8 <= log p(x) in expectation; sampled elbos and -log q have their exact means.

    log p(x) and the exact elbo are integrals over z (`gm.laws.integrals`); the `log_prob` of a
    model that also has one must be that integral. The weights themselves are not averaged, because
    their variance is infinite if q is much narrower than the posterior; their logarithms have
    finite variance.
    """
    errors, weights, exactly = [], out[0], [None, None]
    if isinstance(trial.model, core.Density):
        of = functools.partial(any_model.log_weights, trial.model)
        weights = trial.run("log weights", of, trial.params, trial.key, trial.inputs["x"][:2])
        exactly = out[0][:2]
    for i, log_w in enumerate(weights.astype(np.float64)):
        top = np.max(log_w, axis=1)
        iwae = np.log(np.mean(np.exp(log_w - top[:, None]), axis=1)) + top
        elbo = np.mean(log_w, axis=1)
        slack = 1e-6 * np.abs(elbo) + 1e-4
        demand(bool(np.all(elbo <= iwae + slack)), "the elbo exceeds iwae on the same samples")

        def check(fineness: int, i: int = i, iwae: Any = iwae, elbo: Any = elbo) -> float:
            exact = _exact_bounds(trial, seen, i, float(np.mean(iwae)), fineness)
            _demand_order(elbo, iwae, exact, exactly[i])
            return exact.log_p_error

        errors.append(on_two_grids(check))
    if max(errors) > 0.0:
        return f"log p(x) within {max(errors):.1g} nats, by {2 * NUM_SAMPLED} samples of z"
    return None


class _Exact(NamedTuple):
    """log p(x) and the elbo of one x, with standard errors, which are zero for quadrature."""

    log_p: float
    elbo: float
    log_p_error: float = 0.0
    elbo_error: float = 0.0


def _demand_order(
    elbo: np.ndarray, iwae: np.ndarray, exact: _Exact, log_prob: np.ndarray | None
) -> None:
    """Checks the order of sampled bounds [N] of one x, its log p(x) and its exact elbo.

    Also that the model's own log p(x), where there is one, is the exact one.
    """
    size = TOLERANCE * (1.0 + 0.01 * abs(exact.elbo))
    size_p = size + NUM_SIGMAS * exact.log_p_error
    if log_prob is not None:
        demand(
            abs(log_prob - exact.log_p) <= size_p,
            f"log_prob gives {log_prob:.4f}; the integral over z is {exact.log_p:.4f}",
        )
    size_elbo = size + NUM_SIGMAS * exact.elbo_error
    demand(
        exact.elbo <= exact.log_p + size_p + size_elbo,
        f"the exact elbo {exact.elbo:.4f} exceeds log p(x) {exact.log_p:.4f}",
    )
    mean, error = _mean(elbo)
    demand(
        abs(mean - exact.elbo) <= NUM_SIGMAS * error + size_elbo,
        f"sampled elbos average {mean:.4f} ± {error:.4f}; q implies {exact.elbo:.4f}",
    )
    mean, error = _mean(iwae)
    demand(
        mean <= exact.log_p + NUM_SIGMAS * error + size_p,
        f"iwae {mean:.4f} > log p {exact.log_p:.4f}",
    )


def _exact_bounds(
    trial: Trial, seen: dict[str, PyTree], i: int, about: float, fineness: int
) -> _Exact:
    """log p(x) = log ∫ p(x, z) dz and its ELBO ∫ q log (p(x, z) / q) dz."""
    model, given = trial.model, (trial.params, trial.inputs["x"][i])
    posterior = jax.tree.map(lambda leaf: leaf[i], seen["posterior"])

    def log_densities(given: PyTree, z: PyTree) -> tuple[Array, Array, Array]:
        params, x = given
        log_prior, log_q = model.prior(params).log_prob(z), model.encode(params, x).log_prob(z)
        return log_prior, log_prior + model.decode(params, z).log_prob(x), log_q

    surprises = -trial.score("bounds", log_densities, given, posterior)[2]
    entropy, entropy_error = _mean(surprises[np.isfinite(surprises)])

    def integrands(z: PyTree, sampled: bool = False) -> np.ndarray:
        """p(x, z), q times the elbo term minus `about`, q, p(z), and -q log q minus the entropy of
        samples; if sampled, all divided by half of p(z) + q.
        """
        log_prior, log_joint, log_q = trial.score("bounds", log_densities, given, z)
        base = np.logaddexp(log_prior, log_q) - np.log(2.0) if sampled else 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            q, gain = np.exp(log_q - base), log_joint - about - log_q
            gain, surprise = (np.where(q > 0.0, q * v, 0.0) for v in (gain, -log_q - entropy))
            parts = [np.exp(log_joint - about - base), gain, q, np.exp(log_prior - base), surprise]
            return np.nan_to_num(np.stack(parts, axis=1))

    total, error = _over_latents(trial, given, integrands, (posterior, seen["prior"]), fineness)
    demand(
        bool(np.all(np.abs(total[2:4] - 1.0) < TOLERANCE + NUM_SIGMAS * error[2:4])),
        f"the posterior sums to {total[2]:.4f}, the prior to {total[3]:.4f}",
    )
    size = TOLERANCE * (1.0 + 0.01 * abs(entropy))
    demand(
        abs(total[4]) <= size + NUM_SIGMAS * (error[4] + entropy_error)
        or not np.all(np.isfinite(surprises)),  # the test of sampled elbos detects this
        f"-log q of samples of q averages {entropy:.4f} ± {entropy_error:.4f}; q's entropy is "
        f"{entropy + total[4]:.4f}",
    )
    log_p = float(np.log(total[0])) + about
    return _Exact(log_p, float(total[1]) + about, float(error[0] / total[0]), float(error[1]))


def _over_latents(
    trial: Trial, given: PyTree, integrands: Any, shown: tuple[PyTree, PyTree], fineness: int
) -> tuple[np.ndarray, np.ndarray]:
    """[5] integrals over z and their standard errors, zero where they are exact.

    Args:
      trial, given, fineness: as in `_exact_bounds`.
      integrands: as there; the third is q, the fourth p(z).
      shown: samples of both.
    """
    space, error = integrals.Space.of(*shown), np.zeros(5)
    simplex = any(map(_on_simplex, jax.tree.leaves(shown)))  # of no volume for a grid
    reals = [space.split(z)[0] for z in shown]

    def exactly(space: integrals.Space) -> np.ndarray | None:
        return integrals.exactly(
            integrands, space, lambda f: trial.integrate(f, reals, fineness).total
        )

    total = None if simplex else exactly(space)
    unseen = total is not None and len(space.ranges) and max(abs(total[2:4] - 1.0)) > TOLERANCE
    if total is None or unseen:
        both = trial.run("sampled latents", _sampler(trial.model), given, trial.key)
        # Discrete values that occur in none of so many samples hold less than TOLERANCE.
        total = exactly(integrals.Space.of(*both)) if unseen else None
        if total is None:
            total, error = integrals.by_samples(lambda z: integrands(z, sampled=True), both)
            if not error[0] < MAX_ERROR * total[0]:
                raise NotApplicable(
                    f"{2 * NUM_SAMPLED} samples of z leave log p(x) uncertain by more than "
                    f"{MAX_ERROR}"
                )
    elif not space.num_reals:
        for z, column, of in zip(shown, (2, 3), ("posterior", "prior"), strict=True):
            _demand_counts(space, z, integrands(space.every())[:, column], of)
    return total, error


def _on_simplex(z: np.ndarray) -> bool:
    """Whether all samples z [N, ...] are proportions, whose density has one coordinate less."""
    z = np.asarray(z)
    if z.ndim < 2 or z.shape[-1] < 2 or z.dtype.kind != "f":
        return False
    return bool(np.all(z >= 0.0) and np.all(np.abs(z.sum(axis=-1) - 1.0) < 1e-4))


def _demand_counts(space: integrals.Space, z: PyTree, p: np.ndarray, of: str) -> None:
    """That samples z [N] fall on the states of a discrete space as often as p [num_states] says."""
    number = space.number(z)
    seen = np.bincount(number, minlength=len(p)).astype(np.float64)
    chi2, freedom, rare = chi_squared(seen, p * len(number))
    demand(
        rare > TOO_RARE,
        f"samples of the {of} are not as likely as it says: chi-squared {chi2:.1f} with {freedom} "
        "degrees of freedom",
    )


def _mean(values: np.ndarray) -> tuple[float, float]:
    """The mean of values [N], with its standard error."""
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


def _sampler(model: Any) -> Callable[[PyTree, Key], tuple[PyTree, PyTree]]:
    """A function that samples NUM_SAMPLED latents of the posterior and of the prior."""

    def sample(given: PyTree, key: Key) -> tuple[PyTree, PyTree]:
        params, x = given
        keys = jax.random.split(jax.random.fold_in(key, 2), (2, NUM_SAMPLED))
        q, p = model.encode(params, x), model.prior(params)
        return jax.vmap(q.sample)(keys[0]), jax.vmap(p.sample)(keys[1])

    return sample
