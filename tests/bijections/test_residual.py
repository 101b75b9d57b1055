"""Planar, radial, Sylvester, Householder and block autoregressive maps against their papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.bijections import (
    Amortized,
    BlockAutoregressive,
    Householder,
    Inverse,
    Planar,
    Radial,
    Sylvester,
)
from gm.core import Event

EVENT = Event((2, 2))
X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
X[6:] = [[0.0] * 4, [1e6, -1e6, 3e5, 1.0]]


def planar(p, x):
    """Rezende & Mohamed (2015), equation 10 and appendix A.1."""
    along = -0.999 + np.logaddexp(0.0, p["w"] @ p["u"] + np.log(np.expm1(0.999)))
    u = p["u"] + (along - p["w"] @ p["u"]) * p["w"] / (p["w"] @ p["w"])
    assert p["w"] @ u > -1.0
    return x + u * np.tanh(p["w"] @ x + p["b"])


def radial(p, x):
    """Equation 14."""
    alpha = np.exp(p["log_alpha"])
    beta = alpha * (-0.999 + np.logaddexp(0.0, p["beta"] + np.log(np.expm1(0.999))))
    away = x - p["centre"].reshape(-1)
    return x + beta / (alpha + np.linalg.norm(away)) * away


def reflections(v):
    """H_1 H_2 ..."""
    q = np.eye(v.shape[1])
    for row in v:
        q = q @ (np.eye(len(row)) - 2.0 * np.outer(row, row) / (row @ row))
    return q


def householder(p, x):
    return reflections(p["v"]) @ x


def sylvester(p, x):
    """van den Berg et al. (2018), equation 13."""
    q, (outer, inner) = reflections(p["v"])[:, :3], np.zeros((2, 3, 3))
    for r, d, u in zip((outer, inner), p["diagonals"], p["upper"], strict=True):
        r[np.diag_indices(3)] = 0.999 * np.tanh(d)
        r[np.triu_indices(3, 1)] = u
    return x + q @ outer @ np.tanh(inner @ q.T @ x + p["b"])


def block(p, x):
    """De Cao et al. (2019), equations 7 to 9, with rows scaled to a norm."""
    for number, (layer, (n, m)) in enumerate(zip(p, ((1, 2), (2, 2), (2, 1)), strict=True)):
        kernel = np.zeros_like(layer["kernel"])
        for i in range(4):
            for j in range(i + 1):
                part = np.s_[j * n : (j + 1) * n, i * m : (i + 1) * m]
                kernel[part] = np.exp(layer["kernel"][part]) if i == j else layer["kernel"][part]
        kernel *= np.exp(layer["log_scale"]) / np.linalg.norm(kernel, axis=0)
        x = x @ kernel + layer["bias"]
        x = 0.1 * x + 0.9 * np.tanh(x) if number < 2 else x
    return x


MAPS = {
    "planar": (Planar(EVENT), planar),
    "radial": (Radial(EVENT), radial),
    "Householder": (Householder(EVENT, 3), householder),
    "Sylvester": (Sylvester(EVENT, 3, 2), sylvester),
    "block autoregressive": (BlockAutoregressive(EVENT, 2, 2), block),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_that_of_its_paper_with_its_jacobian_and_a_numerical_inverse(name, random_params):
    """One program: both ways, the Jacobian, gradients of the inverse at ordinary and far points."""
    layer, oracle = MAPS[name]
    params = random_params(layer.init, scale=1.5)

    def around(params, x):
        x = x.reshape(EVENT.shape)
        y, log_det = layer.forward(params, x)
        back, log_det_back = layer.inverse(params, y)
        jacobian = jax.jacobian(lambda x: layer.forward(params, x)[0])(x)

        def moved(params, y):
            back, log_det = layer.inverse(params, y)
            return jnp.sum(jnp.sin(back)) + log_det

        grads = jax.tree.leaves(jax.grad(moved, (0, 1))(params, y))
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(g)) for g in grads]))
        return y, log_det, back, log_det_back, jacobian, finite

    seen = jax.jit(jax.vmap(around, (None, 0)))(params, X)
    y, log_det, back, log_det_back, jacobian, finite = (np.float64(leaf) for leaf in seen)
    assert np.all(finite)
    want = [oracle(jax.tree.map(np.float64, params), np.float64(x)) for x in X]
    np.testing.assert_allclose(y.reshape(8, 4), want, rtol=1e-4, atol=1e-4)
    values = np.linalg.slogdet(jacobian.reshape(8, 4, 4))[1]
    np.testing.assert_allclose(log_det, values, rtol=1e-3, atol=1e-3)
    size = 1.0 + np.max(np.abs(X), axis=1, keepdims=True)
    steep = np.linalg.cond(jacobian.reshape(8, 4, 4))[:, None]
    assert np.all(np.abs(back.reshape(8, 4) - X) < 3e-6 * size * steep)
    np.testing.assert_allclose(log_det_back[:7], -log_det[:7], rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_planar_and_sylvester_flows_invert_at_the_end_of_what_their_parameters_allow(sign):
    """wᵀu and the diagonals far beyond; the constraint keeps 1 + wᵀû tanh' at 0.001 or more."""
    planes = {"w": jnp.full(2, 3.0), "u": jnp.full(2, sign * 50.0), "b": jnp.zeros(())}
    units = {
        "v": jnp.ones((1, 2)),
        "diagonals": jnp.array([[50.0, 50.0], [sign * 50.0, -50.0]]),
        "upper": jnp.array([[2.0], [-3.0]]),
        "b": jnp.zeros(2),
    }
    plane = Event((2,))

    def there_and_back(x):
        out = []
        for layer, params in ((Planar(plane), planes), (Sylvester(plane, 2, 1), units)):
            y, log_det = layer.forward(params, x)
            again = layer.forward(params, layer.inverse(params, y)[0])[0]
            out.append((jnp.max(jnp.abs(again - y)), log_det))
        return out

    x = np.array([[0.0, 0.0], [1e-4, 0.0], [-0.3, 0.5], [1e3, -2.0]], np.float32)
    for gap, log_det in jax.jit(jax.vmap(there_and_back))(x):
        assert np.all(gap < 1e-3)
        assert np.all(np.isfinite(log_det))


def test_parameters_of_any_bijection_move_with_a_context(random_params):
    """f(x; θ + network(c)), against the network's own output."""
    layer = Amortized(Planar(Event((2,))), 3)
    params, x, c = random_params(layer.init), jnp.array([0.3, -0.5]), jnp.array([1.0, 0.0, -1.0])

    @jax.jit
    def both(params, x, c):
        out = layer.sized_network.apply(params["network"], c)
        own = params["bijection"]
        moved = {"b": own["b"] + out[0], "u": own["u"] + out[1:3], "w": own["w"] + out[3:5]}
        there = layer.forward(params, x, c)
        return there, layer.bijection.forward(moved, x), layer.inverse(params, there[0], c)

    got, want, (back, _) = both(params, x, c)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5)
    np.testing.assert_allclose(back, x, rtol=1e-4)


def test_a_block_network_reaches_every_number(random_params):
    """With tanh alone its values would be bounded, and most y without an x."""
    layer = Inverse(BlockAutoregressive(Event((2,)), 3))
    params = random_params(layer.init)
    y = jax.jit(lambda p, z: layer.inverse(p, layer.forward(p, z)[0])[0])
    z = jnp.array([300.0, -1e4])
    np.testing.assert_allclose(y(params, z), z, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Planar(Event((2,), 3)), "Planar needs a real event"),
        (lambda: Radial(Event((2,), 3)), "Radial needs a real event"),
        (lambda: Householder(EVENT, 0), "a reflection at least"),
        (lambda: Sylvester(EVENT, 5), "from 1 to the 4 elements .* got 5"),
        (lambda: Sylvester(Event((2,), 3), 1), "real event"),
        (lambda: BlockAutoregressive(EVENT, 0), "one hidden unit for each element"),
        (lambda: BlockAutoregressive(Event((2,), 2)), "real event"),
        (lambda: Amortized(Planar(EVENT), 0), "context_dim of at least 1"),
    ],
)
def test_sizes_that_make_no_bijection_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
