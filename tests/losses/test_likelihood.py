import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist
from gm.core import Event
from gm.losses import likelihood


@dataclasses.dataclass(frozen=True)
class Gauss:
    event: Event = Event((3,))

    def log_prob(self, params, x):
        return dist.Normal(params, jnp.ones(3)).log_prob(x)


def test_negative_log_likelihood_is_the_mean_over_the_batch(key):
    x = jax.random.normal(key, (5, 3))
    loss, metrics = likelihood.negative_log_likelihood(Gauss(), jnp.ones(3), key, {"x": x})
    want = -stats.norm(1.0).logpdf(x).sum(axis=1).mean()
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    np.testing.assert_allclose(metrics["log_prob"], -want, rtol=1e-6)
    np.testing.assert_allclose(metrics["bits_per_dim"], want / (3 * np.log(2)), rtol=1e-6)


def test_bits_per_dim_of_a_uniform_guess_is_log2_of_the_levels():
    assert likelihood.bits_per_dim(64 * np.log(17.0), 64) == pytest.approx(np.log2(17.0))


def test_bits_per_dim_of_the_uniform_density_on_dequantized_data_is_log2_of_the_levels():
    assert likelihood.bits_per_dim(0.0, 64, num_levels=256) == pytest.approx(8.0)


def test_a_model_without_log_prob_is_refused_by_name(key):
    with pytest.raises(TypeError, match="negative_log_likelihood needs a model with log_prob"):
        likelihood.negative_log_likelihood(object(), {}, key, {"x": jnp.zeros((2, 3))})


def test_integers_given_to_a_real_model_are_refused_even_under_jit(key):
    with pytest.raises(ValueError, match=r"needs real values; got int32.*UniformDequantization"):
        jax.jit(lambda x: likelihood.negative_log_likelihood(Gauss(), jnp.ones(3), key, {"x": x}))(
            jnp.zeros((2, 3), jnp.int32)
        )
