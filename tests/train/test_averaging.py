"""Averages of parameters against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train


def follow(optimizer, num_updates):
    """w <- w - 1 for num_updates steps from w = 0, so that w_t = -t."""
    params = {"w": jnp.zeros(())}
    state = optimizer.init(params)
    for _ in range(num_updates):
        updates, state = optimizer.update({"w": jnp.ones(())}, state, params)
        params = optax.apply_updates(params, updates)
    return state.average["w"]


def test_constant_decay_follows_the_geometric_series():
    """(1 - d) sum_t d^(n - t) w_t with w_0 kept at weight d^n."""
    d, n = 0.8, 7
    t = np.arange(1, n + 1)
    want = ((1 - d) * d ** (n - t) * -t).sum()
    got = follow(train.with_ema(optax.sgd(1.0), d, warm_up=False), n)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_the_decay_warms_up():
    """By hand, while the start is not forgotten and when it is."""
    want = 0.0
    for t in range(30):
        d = min(0.5, (1 + t) / (10 + t))
        want = d * want + (1 - d) * -(t + 1)
        if t in (0, 2, 29):
            got = follow(train.with_ema(optax.sgd(1.0), 0.5), t + 1)
            np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_state_puts_averages_where_there_are_some(new, new_game):
    state = new()
    average = state.opt_state["all"]._replace(average={"w": jnp.ones(3)})
    np.testing.assert_array_equal(
        state.replace(opt_state={"all": average}).averaged["w"], np.ones(3)
    )
    state = new_game()
    node = state.opt_state["generator"]._replace(average={"generator": {"mean": jnp.ones(2)}})
    got = state.replace(opt_state=state.opt_state | {"generator": node}).averaged
    np.testing.assert_array_equal(got["generator"]["mean"], np.ones(2))
    np.testing.assert_array_equal(got["critic"], state.params["critic"])


def test_without_an_average_averaged_is_params(problem):
    state = train.init(problem.PARAMS, optax.adam(0.1), jax.random.key(0))
    assert state.averaged is state.params


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match=r"decay in \[0, 1\); got 1.0"):
        train.with_ema(optax.sgd(1.0), 1.0)
    optimizer = train.with_ema(optax.sgd(1.0))
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())))
