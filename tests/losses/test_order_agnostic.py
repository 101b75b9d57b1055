"""All orders at once, against sums over every order and member of small tables."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.losses import order_agnostic

BITS = Event((3,), 2)
RNG = np.random.default_rng(0)
PARAMS = RNG.normal(0.0, 1.5, (3, 6)).astype(np.float32)
X = np.array([1, 0, 1])


@dataclasses.dataclass(frozen=True)
class AnySet:
    """Logits of each bit, linear in the bits that are known and in which they are."""

    event: Event = BITS

    def conditionals_given(self, params, x, observed, context=None):
        seen = jnp.concatenate([jnp.where(observed, x, 0), observed]).astype(jnp.float32)
        return dist.Bernoulli(params @ seen + (0.0 if context is None else context))


@dataclasses.dataclass(frozen=True)
class Table:
    """Four members of independent bits; member m has the logits params[m]."""

    event: Event = BITS
    num_members: int = 4

    def member_log_prob(self, params, x, m, context=None):
        return dist.Bernoulli(jnp.asarray(params)[m]).log_prob(x)


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def test_the_estimate_weighs_what_is_not_observed():
    log_probs = jnp.array([-1.0, -2.0, -4.0, -8.0])
    observed = jnp.array([True, False, True, False])
    assert order_agnostic.order_agnostic_estimate(log_probs, observed) == 4 / 2 * (-2.0 - 8.0)
    nothing = jnp.zeros(4, bool)
    assert order_agnostic.order_agnostic_estimate(log_probs, nothing) == -15.0


def test_every_set_is_as_likely_as_a_random_place_of_a_random_order_makes_it(key):
    keys = jax.random.split(key, 20_000)
    samples = jax.jit(jax.vmap(lambda k: order_agnostic.random_prefix(k, 3)))(keys)
    codes, counts = np.unique(np.asarray(samples) @ np.array([4, 2, 1]), return_counts=True)
    want = {0: 1 / 3, 1: 1 / 9, 2: 1 / 9, 4: 1 / 9, 3: 1 / 9, 5: 1 / 9, 6: 1 / 9}
    assert set(codes) == set(want)  # never all of them
    for code, count in zip(codes, counts, strict=True):
        p = want[int(code)]
        assert abs(count / 20_000 - p) < 5 * np.sqrt(p * (1 - p) / 20_000)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_loss_is_unbiased_for_the_mean_over_all_orders(shift, key):
    """Every example has a set of its own: 20,000 of them leave an error of about 0.01."""

    def log_p(order):
        total, observed = 0.0, np.zeros(3)
        for i in order:
            logit = PARAMS[i] @ np.concatenate([X * observed, observed]) + shift
            total += log_sigmoid((2 * X[i] - 1) * logit)
            observed[i] = 1.0
        return total

    exact = -np.mean([log_p(order) for order in itertools.permutations(range(3))])
    num = 20_000
    batch = {"x": np.tile(X, (num, 1))}
    if shift:
        batch["context"] = np.full(num, shift, np.float32)
    loss = jax.jit(order_agnostic.order_agnostic_nll, static_argnames="model")
    value, metrics = loss(AnySet(), PARAMS, key, batch)
    spread = 3.0  # standard deviation of one estimate, seen to be below 2
    assert abs(value - exact) < 5 * spread / np.sqrt(num)
    assert metrics["log_prob"] == -value


def test_a_step_learns_one_member_at_a_time_and_all_in_turn():
    x = RNG.integers(0, 2, (16, 3))
    params = RNG.normal(size=(4, 3)).astype(np.float32)
    sides = 2 * x[None] - 1
    each = -log_sigmoid(sides * params[:, None].astype(np.float64)).sum(-1).mean(-1)
    loss = jax.jit(lambda key: order_agnostic.sampled_member_nll(Table(), params, key, {"x": x})[0])
    losses = np.array([loss(jax.random.key(seed)) for seed in range(30)])
    nearest = np.abs(losses[:, None] - each).argmin(1)
    np.testing.assert_allclose(losses, each[nearest], rtol=1e-5)
    assert set(nearest) == {0, 1, 2, 3}


def test_wrong_calls_have_one_clear_error(key):
    batch = {"x": np.tile(X, (2, 1))}
    with pytest.raises(TypeError, match=r"conditionals_given.*Table offers member_log_prob"):
        order_agnostic.order_agnostic_nll(Table(), PARAMS, key, batch)
    with pytest.raises(TypeError, match="member_log_prob; AnySet offers conditionals_given"):
        order_agnostic.sampled_member_nll(AnySet(), PARAMS, key, batch)
    with pytest.raises(TypeError, match="order_agnostic_nll needs a batch"):
        order_agnostic.order_agnostic_nll(AnySet(), PARAMS, key, batch["x"])
    with pytest.raises(TypeError, match="sampled_member_nll needs a batch"):
        order_agnostic.sampled_member_nll(Table(), PARAMS, key, batch["x"])
    with pytest.raises(ValueError, match=r"x needs integers in \[0, 2\); got values from 0 to 2"):
        order_agnostic.sampled_member_nll(Table(), PARAMS, key, {"x": 2 * batch["x"]})
