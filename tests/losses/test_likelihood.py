import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist
from gm import laws, metrics
from gm.core import Event
from gm.losses import likelihood

X = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
Y = np.arange(512) % 10
loss_of = jax.jit(likelihood.negative_log_likelihood, static_argnames=("model", "dropout"))


@dataclasses.dataclass(frozen=True)
class Gauss:
    """N(params + y, 1) in three dimensions; dropout adds noise to log p."""

    event: Event = Event((3,))
    context: Event = Event((), 10)

    def log_prob(self, params, x, context=0):
        return dist.Normal(params + context, jnp.ones(3)).log_prob(x)

    def log_prob_with_dropout(self, params, key, x, context=0):
        return self.log_prob(params, x, context) + jax.random.normal(key)


def test_negative_log_likelihood_is_the_mean_over_the_batch(key):
    loss, metrics = loss_of(Gauss(), np.ones(3, np.float32), key, {"x": X, "context": Y - Y})
    want = -stats.norm(1.0).logpdf(X).sum(axis=1).mean()
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    np.testing.assert_allclose(metrics["log_prob"], -want, rtol=1e-6)
    np.testing.assert_allclose(metrics["bits_per_dim"], want / (3 * np.log(2)), rtol=1e-6)


def test_dropout_is_sampled_for_each_example_and_the_context_is_given(key):
    """Noise of one for each of 512 examples: their mean has an error of 0.04."""
    batch = {"x": X, "context": Y}
    loss, _ = loss_of(Gauss(), np.ones(3, np.float32), key, batch, dropout=True)
    want = -stats.norm(1.0 + Y[:, None]).logpdf(X).sum(axis=1).mean()
    assert 0.0 < abs(loss - want) < 0.2


def test_bits_per_dim_of_a_uniform_guess_is_log2_of_the_levels():
    assert likelihood.bits_per_dim(64 * np.log(17.0), 64) == pytest.approx(np.log2(17.0))


def test_bits_per_dim_of_the_uniform_density_on_dequantized_data_is_log2_of_the_levels():
    assert likelihood.bits_per_dim(0.0, 64, num_levels=256) == pytest.approx(8.0)


@dataclasses.dataclass(frozen=True)
class Chain:
    """x_t ~ N(a x_t-1, 1), which remembers a x_T: gradients could reach the past through it."""

    event: Event = Event((2,))

    def initial_hidden_state(self, a):
        return jnp.zeros(())

    def log_prob_from(self, a, hidden, x):
        means = jnp.array([hidden, a * x[0]])
        return dist.Normal(means, jnp.ones(2)).log_prob(x), a * x[1]


def test_a_window_goes_on_from_the_last_one_and_no_gradient_goes_back(key):
    """Rows start anew where "first" says so; d/da of the second window sees its own a alone."""
    x = np.random.default_rng(1).normal(size=(2, 4, 2)).astype(np.float32)  # [window, B, T]
    first = np.array([False, False, True, False])
    a = 0.5

    @jax.value_and_grad
    def second(a):
        loss = likelihood.truncated_bptt_nll
        batch = {"x": x[0], "first": np.ones(4, bool)}
        _, (_, hidden) = loss(Chain(), a, key, batch, jnp.full(4, 9.0))
        value, (metrics, _) = loss(Chain(), a, key, {"x": x[1], "first": first}, hidden)
        return value + 0.0 * metrics["log_prob"]

    value, grad = jax.jit(second)(jnp.float32(a))
    before = np.where(first, 0.0, a * x[0, :, 1])
    errors = np.stack([x[1, :, 0] - before, x[1, :, 1] - a * x[1, :, 0]], axis=1)
    np.testing.assert_allclose(value, -stats.norm.logpdf(errors).sum(1).mean(), rtol=1e-6)
    np.testing.assert_allclose(grad, np.mean(-errors[:, 1] * x[1, :, 0]), rtol=1e-5)


def test_windows_need_to_know_where_a_text_starts(key):
    with pytest.raises(ValueError, match="an entry 'first'; got 'x'"):
        likelihood.truncated_bptt_nll(Chain(), 0.5, key, {"x": X[:, :2]}, jnp.zeros(512))


class Plain:
    event = Event((3,))

    def log_prob(self, params, x):
        return jnp.sum(x)


@dataclasses.dataclass(frozen=True)
class Unsummed:
    event: Event = Event((3,))

    def init(self, key):
        return {}

    def log_prob(self, params, x):
        return -0.5 * x * x

    def sample(self, params, key):
        return jax.random.normal(key, (3,), jnp.float32)


def test_a_log_prob_that_is_no_scalar_is_named_by_losses_scores_and_laws(key):
    says = r"Unsummed\.log_prob gives shape \(3,\) for one x; it must give a scalar: sum over"
    with pytest.raises(ValueError, match=says):
        likelihood.negative_log_likelihood(Unsummed(), {}, key, {"x": X})
    with pytest.raises(ValueError, match=says):
        metrics.evaluate(Unsummed(), {}, X)
    with pytest.raises(ValueError, match=says):
        laws.check(Unsummed(), key)


def test_wrong_calls_have_one_clear_error(key):
    nll = likelihood.negative_log_likelihood
    with pytest.raises(TypeError, match="negative_log_likelihood needs a model with log_prob"):
        nll(object(), {}, key, {"x": X})
    with pytest.raises(TypeError, match=r"got the class Gauss: give an instance of it, Gauss\("):
        nll(Gauss, {}, key, {"x": X})
    with pytest.raises(TypeError, match=r"got a ndarray of shape \(512, 3\). Give \{\"x\": x\}"):
        nll(Gauss(), {}, key, X)
    with pytest.raises(
        ValueError, match=r"context needs .*\[0, 10\); .* from 1 to 10, counted from"
    ):
        nll(Gauss(), {}, key, {"x": X, "context": np.arange(512) % 10 + 1})
    with pytest.raises(TypeError, match="with log_prob_with_dropout; Plain offers log_prob"):
        nll(Plain(), {}, key, {"x": X}, dropout=True)


def test_integers_given_to_a_real_model_are_refused_even_under_jit(key):
    with pytest.raises(ValueError, match=r"needs real values; got int32.*UniformDequantization"):
        loss_of(Gauss(), jnp.ones(3), key, {"x": jnp.zeros((2, 3), jnp.int32)})
