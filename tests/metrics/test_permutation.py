"""p-values are uniform where both samples are of one distribution, and small where they are not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.losses import moments
from gm.metrics import permutation

RBF = moments.RBF(jnp.array([1.0]))


@pytest.mark.matrix
def test_the_fast_way_is_the_plain_way(key):
    """Both give the statistic, and p-values of as many permutations that agree within noise."""
    x, y = np.random.default_rng(0).normal(size=(2, 12, 2)).astype(np.float32)
    y = y[:9] + 0.6
    value, p = permutation.mmd(key, RBF, x, y, num_permutations=999)
    np.testing.assert_allclose(value, moments.squared_mmd(RBF, x, y), rtol=1e-4, atol=1e-6)
    plain, other = permutation.two_sample(
        key, lambda x, y: moments.squared_mmd(RBF, x, y), x, y, num_permutations=999
    )
    np.testing.assert_allclose(plain, value, rtol=1e-4, atol=1e-6)
    assert abs(p - other) < 4 * np.sqrt(2 * 0.25 / 999)


def test_a_p_value_is_the_part_of_all_orders(key):
    """Four points, three of them in x: enumerated, the value seen among those at least as large."""
    x, y = np.array([0.0, 0.1, 0.3]), np.array([2.0])

    def statistic(x, y):
        return jnp.abs(x.mean() - y.mean())

    every = [statistic(np.array(o[:3]), np.array(o[3:])) for o in itertools.permutations([*x, *y])]
    exact = np.mean(np.array(every) >= statistic(x, y) - 1e-6)
    _, p = permutation.two_sample(key, statistic, jnp.array(x), jnp.array(y), num_permutations=1999)
    assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / 1999)


@pytest.mark.parametrize("kernel", [RBF, jax.tree_util.Partial(moments.negative_distance)])
def test_the_level_is_kept_and_differences_are_seen(kernel, key):
    """2,000 tests of the null at 5 %: within one percent; of a shift, nearly always."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2000, 15, 1)).astype(np.float32)
    keys = jax.random.split(key, 2000)
    test = jax.jit(
        jax.vmap(lambda k, x, y: permutation.mmd(k, kernel, x, y, num_permutations=99)[1])
    )
    p = np.asarray(test(keys, x, y))
    assert abs(np.mean(p <= 0.05) - 0.05) < 0.01
    assert abs(np.mean(p <= 0.5) - 0.5) < 0.04
    assert np.mean(test(keys[:100], x[:100], y[:100] + 2.0) <= 0.05) > 0.95
