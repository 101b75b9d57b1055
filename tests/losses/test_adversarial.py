import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.core import Event
from gm.losses import adversarial
from gm.models.implicit import Critic, Generator
from gm.networks import MLP


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """c(x) = |x|^2 / 2, whose gradient is x itself."""

    event: Event = Event((2,))

    def score(self, params, x):
        return 0.5 * jnp.sum(x * x)


def test_gradient_penalty_takes_its_norm_for_each_example(key):
    """A critic a.x has slope |a| everywhere, whatever the batch."""
    a = jnp.array([3.0, 4.0])
    x = jax.random.normal(key, (6, 2))
    penalty = adversarial.gradient_penalty(lambda x: a @ x, key, x, -x)
    np.testing.assert_allclose(penalty, (5.0 - 1.0) ** 2, rtol=1e-6)


def test_gradient_penalty_interpolates_each_example_by_a_number_of_its_own():
    """With c = |x|^2 / 2 the slope is |x^|: between draws at 0 and data of norm 5 it is 5 u_b.

    E (5u - 1)^2 = 25/3 - 5 + 1 over u ~ U(0, 1); one u for the whole batch would scatter from 0 to
    16 between keys.
    """
    x = jnp.tile(jnp.array([[3.0, 4.0]]), (4096, 1))
    for seed in range(3):
        penalty = adversarial.gradient_penalty(
            lambda x: 0.5 * jnp.sum(x * x), jax.random.key(seed), x, jnp.zeros_like(x)
        )
        np.testing.assert_allclose(penalty, 25 / 3 - 4, rtol=0.05)


def test_interpolation_lies_on_the_segment_so_dimensions_share_their_number(key):
    """c = (x_1 - x_2)^2 has slope 0 on the diagonal; unshared numbers would leave it."""
    x = jnp.ones((64, 2))
    penalty = adversarial.gradient_penalty(lambda x: (x[0] - x[1]) ** 2, key, x, -x)
    np.testing.assert_allclose(penalty, 1.0, atol=1e-6)


def test_penalty_has_a_finite_gradient_where_the_slope_is_zero(key):
    def penalty(a):
        return adversarial.gradient_penalty(
            lambda x: a @ x, key, jnp.ones((4, 2)), jnp.ones((4, 2))
        )

    assert penalty(jnp.zeros(2)) == 1.0
    assert jnp.all(jnp.isfinite(jax.grad(penalty)(jnp.zeros(2))))


def test_zero_centred_penalty_is_the_mean_squared_slope(key):
    x = jax.random.normal(key, (6, 2))
    got = adversarial.slope_penalty(lambda x: Quadratic().score(None, x), x, 0.0)
    np.testing.assert_allclose(got, np.mean(np.sum(np.square(x), axis=1)), rtol=1e-6)


def test_non_saturating_losses_at_an_undecided_critic():
    zero = jnp.zeros(3)
    assert adversarial.non_saturating_critic_loss(zero, zero) == pytest.approx(2 * np.log(2))
    assert adversarial.non_saturating_generator_loss(zero) == pytest.approx(np.log(2))


def test_non_saturating_generator_keeps_its_gradient_where_the_critic_is_sure():
    grad = jax.grad(adversarial.non_saturating_generator_loss)(jnp.full(1, -50.0))
    np.testing.assert_allclose(grad, -1.0, rtol=1e-6)


def test_wasserstein_losses_are_differences_of_means():
    a, b = jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])
    assert adversarial.wasserstein_critic_loss(a, b) == -1.5
    assert adversarial.wasserstein_generator_loss(b) == -0.5


EVENT = Event((2,))
GENERATOR = Generator(EVENT, MLP((4,), (2,)), latent_dim=3)


def game(critic, key):
    return {"generator": GENERATOR.init(key), "critic": critic.init(key)}


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize(
    "loss",
    [
        functools.partial(adversarial.non_saturating_critic, r1=1.0),
        adversarial.non_saturating_generator,
        adversarial.wasserstein_critic,
        adversarial.wasserstein_generator,
    ],
    ids=["ns critic", "ns generator", "w critic", "w generator"],
)
def test_losses_of_models_are_scalars_with_gradients_for_their_player(loss, pack, key):
    critic = Critic(EVENT, MLP((4,), (), input_ndim=1 if pack == 1 else 2), pack)
    params = game(critic, key)
    batch = {"x": jax.random.normal(key, (6, 2))}
    grads, metrics = jax.grad(lambda p: loss(GENERATOR, critic, p, key, batch), has_aux=True)(
        params
    )
    player = "critic" if "critic" in getattr(loss, "func", loss).__name__ else "generator"
    assert any(jnp.any(g != 0.0) for g in jax.tree.leaves(grads[player]))
    assert all(jnp.ndim(m) == 0 and jnp.isfinite(m) for m in metrics.values())


def test_a_batch_that_packs_do_not_divide_is_refused(key):
    critic = Critic(EVENT, MLP((4,), (), input_ndim=2), pack=4)
    with pytest.raises(ValueError, match=r"packs of 4 divide; got 6"):
        adversarial.non_saturating_critic(
            GENERATOR, critic, game(critic, key), key, {"x": jnp.zeros((6, 2))}
        )


def test_a_generator_without_generate_is_refused(key):
    with pytest.raises(
        TypeError, match=r"needs a model with prior, generate; Quadratic offers score"
    ):
        adversarial.wasserstein_generator(
            Quadratic(), Quadratic(), {}, key, {"x": jnp.zeros((2, 2))}
        )


def test_a_generator_of_integers_is_refused():
    with pytest.raises(ValueError, match=r"Generator needs a real event.*UniformDequantization"):
        Generator(Event((2,), 17), MLP((4,), (2,)), latent_dim=3)
