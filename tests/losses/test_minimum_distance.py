"""One Gaussian for two modes, under each distance: by samples as by quadrature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import bijections
from gm import distributions as dist
from gm.core import Event
from gm.losses import divergences, minimum_distance, moments, transport
from gm.models.autoregressive import MADE
from gm.models.flows import Flow, Standard

LINE = Event((1,))
MODEL = Flow(LINE, Standard(LINE), bijections.Affine(LINE))
GRID = np.linspace(-12.0, 12.0, 2401)


def log_density(x):
    """(N(-2, 1/2) + 2 N(2, 1/2)) / 3, variances 1/4."""
    terms = jnp.stack([-2.0 * (x + 2.0) ** 2, jnp.log(2.0) - 2.0 * (x - 2.0) ** 2])
    return jnp.sum(jax.nn.logsumexp(terms, 0)) - jnp.log(3.0) - 0.5 * jnp.log(2 * jnp.pi * 0.25)


def samples(seed, num):
    rng = np.random.default_rng(seed)
    centers = np.where(rng.uniform(size=num) < 1 / 3, -2.0, 2.0)
    return (centers + 0.5 * rng.normal(size=num)).astype(np.float32)[:, None]


def params_of(mean, scale):
    params = MODEL.init(jax.random.key(0))
    shift, log_scale = jnp.full((1,), mean), jnp.full((1,), jnp.log(scale))
    return params | {"bijection": {"shift": shift, "log_scale": log_scale}}


def exactly(divergence, mean, scale):
    """D(data || N(mean, scale^2)) by the trapezoidal rule."""
    log_p = jax.vmap(log_density)(jnp.asarray(GRID, jnp.float32)[:, None])
    log_q = jax.scipy.stats.norm.logpdf(jnp.asarray(GRID, jnp.float32), mean, scale)
    return float(jnp.trapezoid(divergence.term(log_p, log_q), dx=GRID[1] - GRID[0]))


SIDES = [("KL", False), *((n, True) for n in ("REVERSE_KL", "JENSEN_SHANNON", "SQUARED_HELLINGER"))]


@pytest.mark.parametrize(("name", "from_model"), SIDES)
def test_an_estimate_from_the_side_of_least_variance_is_the_divergence(name, from_model, key):
    """And so is its gradient, of the mean: by differences of the quadrature."""
    divergence, params = getattr(divergences, name), params_of(0.5, 2.2)
    batch = {"x": samples(0, 20_000)}
    loss = functools.partial(
        minimum_distance.of_densities,
        MODEL,
        divergence=divergence,
        log_density=log_density,
        from_model=from_model,
    )
    of = jax.jit(jax.value_and_grad(lambda p: loss(p, key, batch)[0]))
    value, gradient = of(params)
    np.testing.assert_allclose(value, exactly(divergence, 0.5, 2.2), rtol=0.05)
    want = (exactly(divergence, 0.51, 2.2) - exactly(divergence, 0.49, 2.2)) / 0.02
    np.testing.assert_allclose(gradient["bijection"]["shift"][0], want, atol=0.03)


def fitted(distance, start, seed=0):
    """Mean and scale after training with a distance of samples."""
    loss = functools.partial(minimum_distance.of_samples, MODEL, distance=distance)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 400))
    x = jnp.asarray(samples(seed, 4096))

    def step(state, key):
        params, moments = state
        key_batch, key = jax.random.split(key)
        batch = {"x": jax.random.choice(key_batch, x, (128,))}
        gradient = jax.grad(lambda p: loss(p, key, batch)[0])(params)
        updates, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(params, updates), moments), None

    params = params_of(*start)
    begun = params, optimizer.init(params)
    (params, _), _ = jax.jit(jax.lax.scan, static_argnums=0)(
        step, begun, jax.random.split(jax.random.key(seed), 400)
    )
    found = params["bijection"]
    return float(found["shift"][0]), float(jnp.exp(found["log_scale"][0]))


def test_energy_and_wasserstein_find_their_own_gaussians():
    """Each is near the least of its own distance, by search over large samples."""
    x = samples(1, 600)
    noise = np.random.default_rng(2).normal(size=(600, 1)).astype(np.float32)
    distances = {
        "energy": moments.energy_distance,
        "wasserstein": lambda x, y: transport.wasserstein_1d(x[:, 0], y[:, 0], 2.0),
    }
    for distance in distances.values():
        mean, scale = fitted(distance, (0.0, 1.0))
        of = jax.jit(lambda m, s, d=distance: d(x, m + s * noise))
        here = float(of(mean, scale))
        grid = [float(of(m, s)) for m in np.linspace(0, 1.4, 5) for s in np.linspace(1, 3, 5)]
        assert here <= min(grid) + 0.04 * max(grid), (mean, scale, here, min(grid))


def test_what_a_distance_needs_is_said():
    bits = MADE(Event((2,), 2), dist.BernoulliHead(), hidden=(4,))
    batch = {"x": jnp.zeros((2, 2), jnp.int32)}
    with pytest.raises(TypeError, match="MADE samples integers"):
        minimum_distance.of_samples(bits, {}, jax.random.key(0), batch, distance=None)
    with pytest.raises(TypeError, match="of_densities needs a model with log_prob"):
        minimum_distance.of_densities(
            object(), {}, jax.random.key(0), batch, divergence=divergences.KL, log_density=None
        )
