"""Mixtures of whole events, and models as distributions."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

from gm import distributions as dist
from gm.core import Event
from gm.models.classical import Mixture, components

LOC = np.array([[0.0, 4.0], [4.0, 0.0], [9.0, 9.0]], np.float32)
LOGITS = np.log(np.array([0.5, 0.25, 0.0], np.float32) + np.array([0, 0, 1e-30], np.float32))


def mixture():
    return dist.MixtureOfEvents(
        jnp.array(LOGITS), dist.Normal(jnp.array(LOC), jnp.full((3, 2), 0.5, jnp.float32))
    )


def test_a_mixture_of_events_has_one_component_for_all_elements(key):
    """A mixture for each element would put mass at (0, 0) and (4, 4) too."""
    x = np.array([[0.2, 3.7], [4.0, 4.0]], np.float32)
    got = [float(mixture().log_prob(one)) for one in x]
    log_p = stats.norm.logpdf(x[:, None], LOC, 0.5).sum(-1) + np.log([2 / 3, 1 / 3, 1e-38])
    np.testing.assert_allclose(got, special.logsumexp(log_p, axis=1), rtol=1e-5)
    samples = np.asarray(jax.vmap(mixture().sample)(jax.random.split(key, 3000)))
    first = np.abs(samples - LOC[0]).max(1) < 3.0
    assert np.all(first | (np.abs(samples - LOC[1]).max(1) < 3.0))
    assert abs(first.mean() - 2 / 3) < 5 * np.sqrt(2 / 9 / 3000)
    np.testing.assert_allclose(samples[first].std(0), 0.5, rtol=0.1)


def test_the_gradient_of_a_mixture_stays_finite_far_away():
    grad = jax.grad(lambda x: mixture().log_prob(x))(jnp.full(2, 1e4, jnp.float32))
    assert np.all(np.isfinite(grad))


def test_a_model_is_a_distribution_with_its_parameters(key):
    model = Mixture(Event((2,)), 2, components.DiagonalGaussians(2))
    params, x = model.init(key), jnp.array([0.3, -1.0])
    p = dist.OfModel(model, params)
    assert float(p.log_prob(x)) == float(model.log_prob(params, x))
    np.testing.assert_array_equal(p.sample(key), model.sample(params, key))
    assert not dist.is_reparameterized(p)
