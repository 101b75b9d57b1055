import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.losses import order_agnostic
from gm.models.autoregressive import MADE, NADE, DeepNADE, Ensemble

BITS = Event((3,), 2)
MODEL = DeepNADE(BITS, dist.BernoulliHead(), (6, 5))


def randomized(model, key):
    def move(a):
        return a + 0.5 * jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def test_the_estimate_weighs_what_is_not_observed():
    log_probs = jnp.array([-1.0, -2.0, -4.0, -8.0])
    observed = jnp.array([True, False, True, False])
    assert order_agnostic.order_agnostic_estimate(log_probs, observed) == 4 / 2 * (-2.0 - 8.0)
    nothing = jnp.zeros(4, bool)
    assert order_agnostic.order_agnostic_estimate(log_probs, nothing) == -15.0


def test_every_set_is_as_likely_as_a_random_place_of_a_random_order_makes_it(key):
    keys = jax.random.split(key, 20_000)
    drawn = jax.vmap(lambda k: order_agnostic.random_prefix(k, 3))(keys)
    codes, counts = np.unique(np.asarray(drawn) @ np.array([4, 2, 1]), return_counts=True)
    want = {0: 1 / 3, 1: 1 / 9, 2: 1 / 9, 4: 1 / 9, 3: 1 / 9, 5: 1 / 9, 6: 1 / 9}
    assert set(codes) == set(want)  # never all of them
    for code, count in zip(codes, counts, strict=True):
        p = want[int(code)]
        assert abs(count / 20_000 - p) < 5 * np.sqrt(p * (1 - p) / 20_000)


def test_the_loss_is_unbiased_for_the_mean_over_all_orders(key):
    params, x = randomized(MODEL, key), jnp.array([1, 0, 1])
    orders = itertools.permutations(range(3))
    exact = -np.mean(
        [MODEL.conditionals(params, x, None, (jnp.array(o),)).log_prob(x) for o in orders]
    )
    num = 20_000
    batch = {"x": jnp.broadcast_to(x, (num, 3))}
    loss, metrics = order_agnostic.order_agnostic_nll(MODEL, params, key, batch)
    spread = 3.0  # standard deviation of one estimate, seen to be about 1
    assert abs(loss - exact) < 5 * spread / np.sqrt(num)
    assert metrics["log_prob"] == -loss


def test_a_step_learns_one_member_at_a_time(key):
    ensemble = Ensemble(MADE(BITS, dist.BernoulliHead(), (8,), wiring_seed=0), 4)
    params = randomized(ensemble, key)
    batch = {"x": jax.random.randint(key, (16, 3), 0, 2)}

    def of_member(m):
        member = ensemble.member(m)
        return -np.mean(jax.vmap(lambda x: member.log_prob(params, x))(batch["x"]))

    each = [of_member(m) for m in range(4)]
    losses = [
        order_agnostic.member_nll(ensemble, params, k, batch)[0] for k in jax.random.split(key, 20)
    ]
    nearest = [int(np.argmin(np.abs(np.array(each) - loss))) for loss in losses]
    np.testing.assert_allclose(losses, [each[m] for m in nearest], rtol=1e-5)
    assert len(set(nearest)) == 4


def test_models_of_one_order_are_refused(key):
    model = NADE(BITS, dist.BernoulliHead(), 4)
    with pytest.raises(TypeError, match=r"conditionals_given.*CausalModel offers"):
        order_agnostic.order_agnostic_nll(
            model, jax.jit(model.init)(key), key, {"x": jnp.zeros((2, 3))}
        )
    with pytest.raises(TypeError, match="member_log_prob"):
        order_agnostic.member_nll(model, jax.jit(model.init)(key), key, {"x": jnp.zeros((2, 3))})
