"""Reverse KL between Gaussians, whose values and gradients are known; weights by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import train
from gm.bijections import Affine
from gm.core import Event
from gm.losses import reverse_kl
from gm.models.flows import Flow, Standard

PLANE = Event((2,))
FLOW = Flow(PLANE, Standard(PLANE), Affine(PLANE))
MEAN, SCALE = np.array([1.0, -2.0], np.float32), np.array([0.5, 3.0], np.float32)


def log_target(x):
    """A Gaussian times e^3."""
    return jnp.sum(-0.5 * ((x - MEAN) / SCALE) ** 2) - jnp.log(2 * jnp.pi * 1.5) + 3.0


def params_at(shift, scale):
    affine = {"shift": jnp.asarray(shift), "log_scale": jnp.log(jnp.asarray(scale))}
    return {"base": {}, "bijection": affine}


@functools.partial(jax.jit, static_argnames="path")
def loss_and_gradient(params, key, path):
    loss = functools.partial(reverse_kl.reverse_kl, FLOW, log_target=log_target, num_samples=4096)
    (value, numbers), gradient = jax.value_and_grad(
        lambda p: loss(p, key, path_gradient=path), has_aux=True
    )(params)
    return value, numbers, gradient["bijection"]


def test_at_the_target_all_weights_are_its_normaliser_and_the_path_has_no_gradient(key):
    value, numbers, gradient = loss_and_gradient(params_at(MEAN, SCALE), key, True)
    np.testing.assert_allclose(value, -3.0, atol=1e-5)
    np.testing.assert_allclose(numbers["log_normalizer"], 3.0, atol=1e-5)
    np.testing.assert_allclose(numbers["ess"], 1.0, atol=1e-5)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, 0.0, atol=1e-5)
    _, _, whole = loss_and_gradient(params_at(MEAN, SCALE), key, False)
    assert np.max(np.abs(whole["log_scale"])) > 1e-3  # its mean is zero, it is not


def test_value_and_both_gradients_are_those_of_the_closed_form(key):
    """KL(N(m, s) || N(μ, σ)) = log σ/s + (s² + (m - μ)²) / 2σ² - 1/2, for each element."""
    shift, scale = np.array([0.5, 0.0], np.float32), np.array([0.7, 2.0], np.float32)
    kl = np.log(SCALE / scale) + (scale**2 + (shift - MEAN) ** 2) / (2 * SCALE**2) - 0.5
    for path in (False, True):
        value, numbers, gradient = loss_and_gradient(params_at(shift, scale), key, path)
        np.testing.assert_allclose(value, kl.sum() - 3.0, atol=0.1)  # 4 standard errors
        np.testing.assert_allclose(numbers["elbo"], -value, rtol=1e-6)
        np.testing.assert_allclose(gradient["shift"], (shift - MEAN) / SCALE**2, atol=0.2)
        np.testing.assert_allclose(gradient["log_scale"], scale**2 / SCALE**2 - 1.0, atol=0.25)


def test_a_sample_comes_with_its_own_score(key):
    """Through a full matrix, whose determinant is not one."""
    flow = Flow(PLANE, Standard(PLANE), affine := Affine(PLANE, "full"))
    root = np.array([[2.0, 1.0], [0.0, 3.0]])
    params = {"base": {}, "bijection": affine.params_of(MEAN, root)}
    x, log_prob = flow.sample_and_log_prob(params, key)
    np.testing.assert_array_equal(x, flow.sample(params, key))
    want = stats.multivariate_normal(MEAN, root @ root.T).logpdf(x)
    np.testing.assert_allclose(log_prob, want, rtol=1e-5)


def test_normaliser_and_shares_are_those_of_sums():
    """q is even on four points, p̃ is 1, 2, 3, 4; samples of p in proportion."""
    mass = np.array([1.0, 2.0, 3.0, 4.0])
    w = jnp.asarray(np.log(mass / 0.25), jnp.float32)
    share = mass.sum() ** 2 / (4 * np.sum(mass**2))
    np.testing.assert_allclose(reverse_kl.effective_share(w), share, rtol=1e-5)
    np.testing.assert_allclose(reverse_kl.effective_share(w + 100.0), share, rtol=1e-4)
    log_z, error = reverse_kl.log_normalizer(w)
    np.testing.assert_allclose(log_z, np.log(10.0), rtol=1e-6)
    np.testing.assert_allclose(error, np.std(mass, ddof=1) / 2.0 / mass.mean(), rtol=1e-5)
    np.testing.assert_allclose(reverse_kl.evidence_lower_bound(w), np.mean(w), rtol=1e-6)
    of_p = jnp.repeat(w, np.array([1, 2, 3, 4]))
    np.testing.assert_allclose(reverse_kl.forward_effective_share(of_p), share, rtol=1e-5)


def test_a_missed_mode_shows_in_samples_of_the_target_alone():
    """Two modes 20 apart, and q one of them: half the mass, and every weight one half."""
    half = stats.norm((-10.0, 10.0), 1.0)
    rng = np.random.default_rng(0)

    def log_ratio(x):
        return jnp.asarray(np.log(half.pdf(x[:, None]).mean(1)) - stats.norm(-10.0).logpdf(x))

    own = log_ratio(rng.normal(-10.0, 1.0, 1000))
    other = log_ratio(rng.normal(0.0, 1.0, 1000) + np.repeat((-10.0, 10.0), 500))
    assert reverse_kl.effective_share(own) > 0.999
    log_z, error = reverse_kl.log_normalizer(own)
    np.testing.assert_allclose(log_z, np.log(0.5), atol=1e-4)
    assert error < 1e-4
    assert reverse_kl.forward_effective_share(other) < 1e-3


@dataclasses.dataclass(frozen=True)
class Counts:
    event: Event = Event((2,), 5)

    def log_prob(self, params, x):
        return jnp.zeros(())

    def sample_and_log_prob(self, params, key):
        return jnp.zeros(2, jnp.int32), jnp.zeros(())


def test_a_step_of_training_needs_no_data_and_what_does_not_fit_is_refused(key):
    loss = functools.partial(reverse_kl.reverse_kl, FLOW, log_target=log_target, num_samples=8)
    train.players.check_loss(loss)
    params = params_at(MEAN, SCALE)
    with pytest.raises(TypeError, match=r"log_weights needs a model with .*missing: sample_and"):
        reverse_kl.log_weights(Standard(PLANE), {}, key, log_target, 8)
    with pytest.raises(TypeError, match="differentiable in the parameters; Counts samples integ"):
        reverse_kl.reverse_kl(Counts(), {}, key, log_target=log_target)
    with pytest.raises(ValueError, match="num_samples of at least 1; got 0"):
        reverse_kl.reverse_kl(FLOW, params, key, log_target=log_target, num_samples=0)
    with pytest.raises(ValueError, match=r"one number for one x, of shape \(2,\); got shape \(2,"):
        reverse_kl.reverse_kl(FLOW, params, key, log_target=lambda x: x)
