"""Bounds of a linear Gaussian model, whose posterior, KL and gradients are known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gm import distributions as dist
from gm import train
from gm.core import Event, pytree
from gm.losses import variational
from tests.models import tenants


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, 1), x | z ~ N(z, 1); q(z | x) = N(x / 2 + params, 1 / 2), exact at params = 0."""

    event: Event = Event((1,))

    def prior(self, params):
        return dist.Normal(jnp.zeros(1), jnp.ones(1))

    def encode(self, params, x):
        return dist.Normal(x / 2 + params, jnp.full(1, np.sqrt(0.5)))

    def decode(self, params, z):
        return dist.Normal(z, jnp.ones(1))


MODEL = LinearGaussian()
MARGINAL = stats.norm(0.0, np.sqrt(2.0))
X = MARGINAL.ppf((np.arange(4096) + 0.5) / 4096)[:, None]  # [4096, 1] float64
BATCH = {"x": X.astype(np.float32)}
EXACT = np.zeros(1, np.float32)
SHIFTED = np.ones(1, np.float32)  # q off by one: KL(q || posterior) = 1 / (2 * 1/2) = 1
OPTIONS = ("model", "num_samples", "analytic_kl", "beta", "free_nats")
negative_elbo = jax.jit(variational.negative_elbo, static_argnames=OPTIONS)
negative_iwae = jax.jit(variational.negative_iwae, static_argnames=OPTIONS[:2])


def test_iwae_is_exact_at_the_true_posterior(key):
    """Every weight equals p(x) when q is the posterior, so one sample suffices."""
    loss, metrics = negative_iwae(MODEL, EXACT, key, BATCH, num_samples=2)
    np.testing.assert_allclose(loss, -MARGINAL.logpdf(X).mean(), rtol=1e-5)
    np.testing.assert_allclose([metrics["iwae"], metrics["elbo"]], -loss, rtol=1e-5)


def test_sampled_elbo_is_exact_at_the_true_posterior(key):
    loss, metrics = negative_elbo(MODEL, EXACT, key, BATCH, analytic_kl=False)
    np.testing.assert_allclose(loss, -MARGINAL.logpdf(X).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["elbo"], -loss, rtol=1e-6)


def test_metrics_of_the_elbo_are_those_of_the_bound_whatever_is_minimised(key):
    """KL(N(x / 2 + 1, 1/2) || N(0, 1)) in closed form; beta and free nats are in the loss alone.

    The mean log likelihood has a standard error of 0.02 if every example has its own noise.
    """
    loss, metrics = negative_elbo(MODEL, SHIFTED, key, BATCH, beta=4.0, free_nats=1.0)
    kl = 0.5 * (0.5 - 1.0 - np.log(0.5) + (X[:, 0] / 2 + 1.0) ** 2)
    expected = -0.5 * np.log(2 * np.pi) - 0.5 * ((X[:, 0] / 2 - 1.0) ** 2 + 0.5)
    np.testing.assert_allclose(metrics["kl"], kl.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["log_likelihood"], expected.mean(), atol=0.06)
    np.testing.assert_allclose(
        metrics["elbo"], metrics["log_likelihood"] - metrics["kl"], rtol=1e-6
    )
    objective = metrics["log_likelihood"] - 4.0 * np.maximum(kl, 1.0).mean()
    np.testing.assert_allclose(loss, -objective, rtol=1e-5)


def test_the_sampled_kl_is_the_closed_form_in_expectation(key):
    _, metrics = negative_elbo(MODEL, SHIFTED, key, BATCH, analytic_kl=False, num_samples=4)
    kl = 0.5 * (0.5 - 1.0 - np.log(0.5) + (X[:, 0] / 2 + 1.0) ** 2)
    np.testing.assert_allclose(metrics["kl"], kl.mean(), atol=0.05)  # std 1.2 / sqrt(4096 * 4)


def test_more_samples_tighten_the_bound_which_stays_below_log_p(key):
    """With eight different samples of each example; one sample is the elbo, log p(x) - 1."""
    loss, metrics = negative_iwae(MODEL, SHIFTED, key, BATCH, num_samples=8)
    log_p = MARGINAL.logpdf(X).mean()
    # log w = log p(x) - 1 + sqrt(2) e: a standard error of 0.01.
    np.testing.assert_allclose(metrics["elbo"], log_p - 1.0, atol=0.05)
    tight = np.random.default_rng(0).normal(-1.0, np.sqrt(2.0), (100_000, 8))
    want = log_p + np.mean(np.log(np.mean(np.exp(tight), axis=1)))
    np.testing.assert_allclose(-loss, want, atol=0.06)
    assert metrics["elbo"] + 0.3 < metrics["iwae"] < log_p


@pytest.mark.parametrize("loss", [variational.negative_elbo, variational.negative_iwae])
def test_gradients_pass_through_the_samples_to_the_posterior(loss, key):
    """d/dm KL(N(m, 1/2) || N(0, 1/2)) = 2 m at m = 1; without the path it would be 1 or 0."""
    grad = jax.jit(jax.grad(lambda p, key: loss(MODEL, p, key, BATCH, num_samples=1)[0]))
    np.testing.assert_allclose(grad(SHIFTED, key), 2.0, atol=0.12)  # std 1.4 / sqrt(4096)


def test_iwae_bound_of_equal_weights_is_the_weight_and_survives_extremes():
    assert variational.iwae_bound(jnp.full(5, -800.0)) == pytest.approx(-800.0)
    value_and_grad = jax.jit(jax.value_and_grad(variational.iwae_bound))
    value, grad = value_and_grad(jnp.array([-jnp.inf, 0.0]))
    assert value == pytest.approx(-np.log(2.0))
    np.testing.assert_array_equal(grad, [0.0, 1.0])


def test_elbo_weighs_the_kl_and_spares_free_nats():
    log_likelihood, kl = jnp.array([-3.0, -5.0]), jnp.array(2.0)
    assert variational.elbo(log_likelihood, kl) == -6.0
    assert variational.elbo(log_likelihood, kl, beta=4.0) == -12.0
    assert variational.elbo(log_likelihood, kl, free_nats=3.0) == -7.0
    assert jax.grad(lambda k: variational.elbo(log_likelihood, k, free_nats=3.0))(kl) == 0.0


class Bits(LinearGaussian):
    """z is a bit: nothing flows back through its samples."""

    def prior(self, params):
        return dist.Bernoulli(jnp.zeros(1))

    def encode(self, params, x):
        return dist.Bernoulli(params + x)

    def decode(self, params, z):
        return dist.Normal(z.astype(jnp.float32), jnp.ones(1))


@pytree
class Wide:
    """A prior of one's own: N(0, 2)."""

    def log_prob(self, z):
        return dist.Normal(jnp.zeros(1), jnp.full(1, 2.0)).log_prob(z)

    def sample(self, key):
        return dist.Normal(jnp.zeros(1), jnp.full(1, 2.0)).sample(key)


class OwnPrior(LinearGaussian):
    def prior(self, params):
        return Wide()


@pytest.mark.parametrize("loss", [variational.negative_elbo, variational.negative_iwae])
def test_a_posterior_of_discrete_samples_is_refused_for_its_gradient_would_be_wrong(loss, key):
    message = r"reparameterized.*Bits encodes to Bernoulli.*score-function.*Gumbel"
    with pytest.raises(TypeError, match=message):
        jax.grad(lambda p: loss(Bits(), p, key, {"x": X[:2]})[0])(jnp.zeros(1))


def test_log_weights_of_discrete_samples_have_the_right_values(key):
    """p(x) is the mean weight: here of all weights, as z takes two values."""
    weigh = jax.jit(lambda key, x: variational.log_weights(Bits(), EXACT, key, x, 20_000))
    weights = np.exp(np.asarray(weigh(key, jnp.array([0.3])), np.float64))
    want = 0.5 * (stats.norm.pdf(0.3) + stats.norm.pdf(0.3, 1.0))
    assert abs(weights.mean() - want) < 5 * stats.sem(weights)
    assert len(np.unique(weights)) == 2


def test_the_enumerated_elbo_is_exact_and_tight_at_the_posterior(key):
    """z is a bit of even odds, x ~ N(z, 1): the posterior's log odds are x - 1/2."""
    loss = jax.jit(lambda a, key: variational.negative_enumerated_elbo(Bits(), a, key, BATCH))
    value, metrics = loss(jnp.full(1, -0.5), key)
    x = X[:, 0].astype(np.float64)
    likelihoods = stats.norm.pdf(x[:, None], [0.0, 1.0])
    evidence = np.log(likelihoods.mean(1)).mean()
    np.testing.assert_allclose(value, -evidence, rtol=1e-6)
    q = np.stack([stats.logistic.cdf(0.5 - x), stats.logistic.cdf(x - 0.5)], axis=1)
    kl = np.sum(q * np.log(2.0 * q), axis=1).mean()
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(metrics["log_likelihood"], metrics["elbo"] + kl, rtol=1e-5)
    # Elsewhere the gap is KL(q || posterior), and its slope is right though samples have none.
    q_far = stats.logistic.cdf(1.0 + x)
    gap = q_far * np.log(q_far / q[:, 1]) + (1.0 - q_far) * np.log((1.0 - q_far) / q[:, 0])
    far, key_other = jnp.ones(1), jax.random.key(9)
    np.testing.assert_allclose(loss(far, key_other)[0], gap.mean() - evidence, rtol=1e-5)
    slope = jax.grad(lambda a: loss(a, key)[0])(far)
    np.testing.assert_allclose(slope, np.mean(1.5 * q_far * (1.0 - q_far)), rtol=1e-4)
    with pytest.raises(TypeError, match="or a Joint of them; got Normal"):
        variational.negative_enumerated_elbo(MODEL, EXACT, key, BATCH)


def test_a_value_without_mass_adds_nothing_to_the_enumerated_elbo_or_its_gradient():
    """Of q (log p - log q) the slope along log q is q (log p - log q - 1), with 0 log 0 = 0."""
    log_q, log_joint = jnp.array([0.0, -jnp.inf]), jnp.array([-1.0, -jnp.inf])
    value, grad = jax.value_and_grad(variational.enumerated_elbo)(log_q, log_joint)
    assert value == -1.0
    np.testing.assert_array_equal(grad, [-2.0, 0.0])


def test_a_model_of_two_categorical_latents_learns_by_the_enumerated_elbo():
    """The data are two of eight words, half each: log 2 nats are left, and the bound is tight."""
    model, optimizer = tenants.Discrete(), optax.adam(0.05)
    words = np.array([[0, 1, 1], [1, 0, 0]], np.int32)
    loss = functools.partial(variational.negative_enumerated_elbo, model)
    step = train.make_step(loss, optimizer, mesh=train.data_mesh(jax.devices()[:1]))
    state = train.init(model.init(jax.random.key(1)), optimizer, jax.random.key(0))
    for _ in range(200):
        state, metrics = step(state, {"x": words})
    assert np.log(2.0) - 1e-4 < metrics["loss"] < np.log(2.0) + 0.05


def test_the_kl_to_a_prior_of_ones_own_is_sampled(key):
    """KL(N(x / 2, 1/2) || N(0, 4)); log q - log p has a standard deviation below one."""
    _, metrics = negative_elbo(OwnPrior(), EXACT, key, BATCH)
    kl = 0.5 * ((0.5 + (X[:, 0] / 2) ** 2) / 4.0 - 1.0 - np.log(0.5 / 4.0))
    np.testing.assert_allclose(metrics["kl"], kl.mean(), atol=0.06)


@dataclasses.dataclass(frozen=True)
class Chain:
    """z_1 ~ N(0, 1), z_2 ~ N(z_1, 1), x ~ N(z_2, 1); q shifts z_1 by params and is N(., 1/4).

    Terms of the KL: of z_1 in closed form; of z_2, which q takes for a Laplace, by samples.
    """

    event: Event = Event((1,))

    def prior(self, params):
        return dist.Joint((dist.Normal(jnp.zeros(1), jnp.ones(1)), self.next))

    def next(self, z_1):
        return dist.Normal(z_1, jnp.ones(1))

    def encode(self, params, x):
        q = dist.Normal(params, jnp.full(1, 0.5))
        return dist.Joint((q, lambda z_1: dist.Laplace(z_1 + x, jnp.ones(1))))

    def decode(self, params, z):
        return dist.Normal(z[1], jnp.ones(1))


def test_a_hierarchy_has_a_term_for_each_part_with_its_own_weight_and_free_nats(key):
    """The first term is that of two Normals, the second E log Laplace(z_2) / N(z_2), by samples."""
    weights = {"beta": (2.0, 3.0), "free_nats": (5.0, 0.0)}
    loss, metrics = negative_elbo(Chain(), SHIFTED, key, BATCH, num_samples=8, **weights)
    first = 0.5 * (0.25 - 1.0 - np.log(0.25) + 1.0)
    np.testing.assert_allclose(metrics["kl_0"], first, rtol=1e-5)
    # The entropy of a Laplace is 1 + log 2, its second moment about m is x^2 + 2.
    second = -1.0 - np.log(2.0) + 0.5 * np.log(2 * np.pi) + 0.5 * (X[:, 0] ** 2 + 2.0)
    np.testing.assert_allclose(metrics["kl_1"], second.mean(), atol=0.06)
    np.testing.assert_allclose(metrics["kl"], metrics["kl_0"] + metrics["kl_1"], rtol=1e-5)
    want = metrics["log_likelihood"] - 2.0 * 5.0 - 3.0 * metrics["kl_1"]
    np.testing.assert_allclose(loss, -want, rtol=1e-5)
    with pytest.raises(ValueError, match=r"a beta that is one number .*\(2,\); got shape \(3,\)"):
        negative_elbo(Chain(), SHIFTED, key, {"x": X[:2]}, beta=(1.0, 1.0, 1.0))


class Moved(LinearGaussian):
    """p(x | y) = N(x - y; 0, 2), with an exact posterior."""

    def encode(self, params, x, context=None):
        return super().encode(params, x - context)

    def decode(self, params, z, context=None):
        return dist.Normal(z + context, jnp.ones(1))


def test_a_conditional_model_is_given_its_context(key):
    y = (3.0 * X[::-1]).astype(np.float32)
    batch = {"x": (X + y).astype(np.float32), "context": y}
    for loss in (negative_iwae, functools.partial(negative_elbo, analytic_kl=False)):
        value, _ = loss(Moved(), EXACT, key, batch, num_samples=1)
        np.testing.assert_allclose(value, -MARGINAL.logpdf(X).mean(), rtol=1e-4)
    plain, _ = negative_iwae(MODEL, EXACT, key, {"x": batch["x"]}, num_samples=1)
    value, _ = negative_iwae(MODEL, EXACT, key, batch, num_samples=1)
    assert value == plain  # labels are no matter to a model of x alone


def test_wrong_calls_have_one_clear_error(key):
    class Sampler:
        event = Event((1,))

        def sample(self, params, key):
            return jnp.zeros(1)

    for loss in (variational.negative_elbo, variational.negative_iwae):
        with pytest.raises(TypeError, match=r"with prior, encode, decode; Sampler offers sample"):
            loss(Sampler(), {}, key, BATCH)
        with pytest.raises(ValueError, match="num_samples of at least 1; got 0"):
            loss(MODEL, EXACT, key, BATCH, num_samples=0)
        with pytest.raises(TypeError, match=r'needs a batch \{"x": \[B, \.\.\.\]\}; got a ndarray'):
            loss(MODEL, EXACT, key, X)
