import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist

LOC = jnp.arange(6.0).reshape(2, 3)


def test_element_counts_in_raster_order_with_a_traced_index():
    p = dist.Normal(LOC, jnp.full((2, 3), 0.1))
    got = jax.jit(lambda i: dist.element(p, (2, 3), i))(jnp.array(4))
    assert got.loc.shape == ()
    assert got.loc == 4.0


def test_element_takes_trailing_axes_along():
    logits = jnp.arange(12.0).reshape(2, 3, 2)
    p = dist.Mixture(logits, dist.DiscretizedLogistic(logits, jnp.ones((2, 3, 2)), 17))
    got = dist.element(p, (2, 3), 5)
    np.testing.assert_array_equal(got.logits, [10.0, 11.0])
    np.testing.assert_array_equal(got.components.loc, [10.0, 11.0])
    assert got.components.num_values == 17


def test_many_elements_make_an_event_of_their_own():
    got = dist.element(dist.Poisson(LOC), (2, 3), jnp.array([[5], [0]]))
    np.testing.assert_array_equal(got.log_rate, [[5.0], [0.0]])


def test_a_scalar_event_is_its_own_only_element():
    p = dist.Normal(1.0, 2.0)
    assert dist.element(p, (), 0).loc == 1.0
    np.testing.assert_allclose(
        dist.element_log_probs(p, jnp.array(0.0)), stats.norm(1.0, 2.0).logpdf(0.0), rtol=1e-6
    )


def test_element_log_probs_keep_the_shape_of_x():
    got = dist.element_log_probs(dist.Normal(LOC, jnp.ones((2, 3))), jnp.zeros((2, 3)))
    np.testing.assert_allclose(got, stats.norm(LOC).logpdf(0.0), rtol=1e-6)


def test_parameters_that_do_not_lead_with_the_shape_are_refused():
    with pytest.raises(ValueError, match=r"Dirichlet needs parameters .* \(2, 3\)"):
        dist.element(dist.Dirichlet(jnp.ones(3)), (2, 3), 0)


def test_tabulate_lists_every_probability():
    rate = jnp.array([0.5, 2.0])
    table = jax.jit(dist.tabulate, static_argnums=(1, 2))
    got = table(dist.Poisson(jnp.log(rate)), (2,), 30)
    assert got.logits.shape == (2, 30)
    want = stats.poisson(np.asarray(rate)[:, None]).logpmf(np.arange(30))
    np.testing.assert_allclose(got.logits, want, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(got.mean(), rate, rtol=1e-5)
    logits = jnp.array([[0.0, 1.0, 2.0]])
    same = table(dist.Categorical(logits), (1,), 3)
    np.testing.assert_allclose(same.logits, jax.nn.log_softmax(logits), rtol=1e-6)
