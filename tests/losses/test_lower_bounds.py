"""Lower bounds of a critic: their formulas, their order and their biases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.losses import divergences as div
from gm.losses import lower_bounds


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def test_bounds_of_samples_are_those_of_their_means():
    t_p, t_q = np.array([0.3, -0.2]), np.array([0.1, 0.4, -0.5])
    want = t_p.mean() - np.exp(t_q - 1.0).mean()
    np.testing.assert_allclose(lower_bounds.variational_bound(div.KL, t_p, t_q), want)
    np.testing.assert_allclose(lower_bounds.nwj(t_p, t_q), want)
    want = t_p.mean() - np.log(np.exp(t_q).mean())
    np.testing.assert_allclose(lower_bounds.donsker_varadhan(t_p, t_q), want)
    scores = np.random.default_rng(0).normal(size=(4, 4))
    want = np.mean(np.diag(scores) - np.log(np.exp(scores).mean(1)))
    np.testing.assert_allclose(lower_bounds.info_nce(scores), want)
    assert lower_bounds.info_nce(100.0 * np.eye(4)) <= np.log(4) + 1e-12
    with pytest.raises(ValueError, match="a divergence with a conjugate"):
        lower_bounds.variational_bound(div.of_function(lambda u: (u - 1.0) ** 2), t_p, t_q)


def test_biases_and_errors_are_those_that_are_stated():
    """N(1, 1) and N(0, 1), whose best critic is x - 1/2 and KL 1/2; 4,000 times 30 samples."""
    rng = np.random.default_rng(0)
    t_p, t_q = rng.normal(0.5, 1.0, (4000, 30)), rng.normal(-0.5, 1.0, (4000, 30))

    @jax.jit
    @jax.vmap
    def bounds(p, q):
        nwj = [lower_bounds.nwj, functools.partial(lower_bounds.variational_error, div.KL)]
        dv = [lower_bounds.donsker_varadhan, lower_bounds.donsker_varadhan_error]
        return [of(p + 1.0, q + 1.0) for of in nwj] + [of(p, q) for of in dv]

    found, nwj_errors, dv, errors = map(np.asarray, bounds(t_p, t_q))
    assert abs(found.mean() - 0.5) < 4 * found.std() / np.sqrt(4000)
    mean_square = np.mean(nwj_errors**2)
    np.testing.assert_allclose(np.sqrt(mean_square), found.std(), rtol=0.05)
    bias = (np.e - 1.0) / (2 * 30)  # Var_q e^t = e - 1, to first order in 1 / 30
    assert 0.5 * bias < dv.mean() - 0.5 < 1.2 * bias
    np.testing.assert_allclose(np.median(errors), dv.std(), rtol=0.15)


def test_a_calibrated_classifier_gives_the_log_ratio():
    """Odds of p for 30 and 10 examples are three times the ratio of densities."""
    ratio = lower_bounds.log_ratio_of_logits(jnp.log(6.0), 30, 10)
    np.testing.assert_allclose(ratio, np.log(2.0))
