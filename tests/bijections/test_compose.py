"""Chains, inverses and permutations, by numbers known beforehand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from gm.bijections import Chain, Inverse, Permutation


@dataclasses.dataclass(frozen=True)
class Times:
    """x -> (its parameter, or the context) x; its name is its factor at first."""

    factor: float

    def init(self, key):
        return jnp.asarray(self.factor)

    def forward(self, params, x, context=None):
        factor = params if context is None else context
        return factor * x, x.size * jnp.log(factor)

    def inverse(self, params, y, context=None):
        x, log_det = self.forward(1.0 / params, y, None if context is None else 1.0 / context)
        return x, log_det


@dataclasses.dataclass(frozen=True)
class Plus:
    def init(self, key):
        return jnp.ones(())

    def forward(self, params, x, context=None):
        return x + params, jnp.zeros(())

    def inverse(self, params, y, context=None):
        return y - params, jnp.zeros(())


def test_a_chain_applies_its_first_part_first_and_sums_log_dets(key):
    chain = Chain([Times(2.0), Plus(), Inverse(Times(5.0))])
    params, x = chain.init(key), jnp.array([1.0, 2.0])
    y, log_det = chain.forward(params, x)
    np.testing.assert_allclose(y, [0.6, 1.0], rtol=1e-6)  # (2 x + 1) / 5
    np.testing.assert_allclose(log_det, 2 * np.log(2.0 / 5.0), rtol=1e-6)
    back, log_det = chain.inverse(params, y)
    np.testing.assert_allclose(back, x, rtol=1e-6)
    np.testing.assert_allclose(log_det, -2 * np.log(2.0 / 5.0), rtol=1e-6)
    assert hash(chain) == hash(Chain((Times(2.0), Plus(), Inverse(Times(5.0)))))


def test_every_part_is_given_the_context(key):
    chain = Inverse(Chain((Times(2.0), Times(3.0))))
    y, log_det = chain.forward(chain.init(key), jnp.array([1.0]), jnp.asarray(10.0))
    np.testing.assert_allclose([y[0], log_det], [0.01, -2 * np.log(10.0)], rtol=1e-5)


def test_a_permutation_takes_elements_in_its_order_and_puts_them_back(key):
    swap = Permutation((2, 0, 1, 3))
    x = jnp.array([[10.0, 11.0], [12.0, 13.0]])
    y, log_det = swap.forward({}, x)
    np.testing.assert_array_equal(y, [[12.0, 10.0], [11.0, 13.0]])
    assert log_det == 0.0
    np.testing.assert_array_equal(swap.inverse({}, y)[0], x)
    with pytest.raises(ValueError, match=r"each of 0, \.\.\., 2 once"):
        Permutation((0, 0, 1))
    with pytest.raises(ValueError, match=r"of 4 elements .* shape \(3,\)"):
        swap.forward({}, jnp.zeros(3))


@dataclasses.dataclass(frozen=True)
class OneWay:
    def init(self, key):
        return {}

    def forward(self, params, x, context=None):
        return jnp.abs(x), jnp.zeros(())


def test_an_inverse_of_a_map_that_has_none_is_refused():
    with pytest.raises(TypeError, match=r"Inverse needs a bijection .*missing: inverse"):
        Inverse(OneWay())
    with pytest.raises(TypeError, match=r"Chain needs a bijection .*missing: inverse"):
        Chain((Plus(), OneWay()))
