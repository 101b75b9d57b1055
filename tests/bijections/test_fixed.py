"""Fixed maps of one number against scipy, and where they saturate in float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm.bijections import Elementwise, transformers
from gm.core import Event
from gm.models.flows import Flow, Standard

X = np.array([0.0, 1e-30, -1e-4, 0.3, -2.9, 3.1, 8.0, -8.0, 20.0, -20.0, 200.0, -1e6, 1e6])
T3 = np.tanh(3.0)


def outer_tanh(x):
    return np.sign(x) * np.where(
        np.abs(x) <= 3.0, np.tanh(np.abs(x)), T3 + (np.abs(x) - 3.0) * (1.0 - T3**2)
    )


def log_slope_of_tanh(x):
    return 2.0 * (np.log(2.0) - np.logaddexp(x, -x))


# A map, raw parameters, its formula, its log-derivative, and where x is known from y in float32.
MAPS = {
    "sigmoid": (
        transformers.Sigmoid(),
        (),
        special.expit,
        lambda x: special.log_expit(x) + special.log_expit(-x),
        (-80.0, 3.0),
    ),
    "sigmoid with a margin": (
        transformers.Sigmoid(0.05),
        (),
        lambda x: (special.expit(x) - 0.05) / 0.9,
        lambda x: special.log_expit(x) + special.log_expit(-x) - np.log(0.9),
        (-3.0, 3.0),
    ),
    "tanh": (transformers.Tanh(), (), np.tanh, log_slope_of_tanh, (-3.0, 3.0)),
    "tanh with tails": (
        transformers.Tanh(3.0),
        (),
        outer_tanh,
        lambda x: log_slope_of_tanh(np.clip(x, -3.0, 3.0)),
        (-1e7, 1e7),
    ),
    "softplus": (
        transformers.Softplus(),
        (),
        lambda x: np.logaddexp(0.0, x),
        special.log_expit,
        (-80.0, 1e7),
    ),
    "leaky ReLU": (
        transformers.LeakyReLU(0.2),
        (),
        lambda x: np.where(x < 0.0, 0.2 * x, x),
        lambda x: np.where(x < 0.0, np.log(0.2), 0.0),
        (-1e7, 1e7),
    ),
    "leaky ReLU of a learned slope": (
        transformers.LeakyReLU(None),
        (-0.7,),
        lambda x: np.where(x < 0.0, np.exp(-0.7 / 1.1) * x, x),
        lambda x: np.where(x < 0.0, -0.7 / 1.1, 0.0),
        (-1e7, 1e7),
    ),
    "sinh-arcsinh": (
        transformers.SinhArcsinh(),
        (0.5, -0.6),
        lambda x: np.sinh(np.exp(-0.6 / 1.4) * np.arcsinh(x) + 0.5 / 1.05),
        lambda x: (
            -0.6 / 1.4
            + np.log(np.cosh(np.exp(-0.6 / 1.4) * np.arcsinh(x) + 0.5 / 1.05))
            - 0.5 * np.log1p(x**2)
        ),
        (-1e7, 1e7),
    ),
}


@pytest.fixture(scope="module")
def seen():
    """Every map at every x, in one program: values, both ways, and whether gradients are finite."""

    def around(transformer, raw, x):
        y, log_det = transformer.forward(raw, x)
        back, log_det_back = transformer.inverse(raw, y)
        slopes = [
            jax.grad(lambda raw, x, way=way: sum(way(raw, x)), (0, 1))(raw, at)
            for way, at in ((transformer.forward, x), (transformer.inverse, y))
        ]
        finite = [jnp.all(jnp.isfinite(slope)) for slope in jax.tree.leaves(slopes)]
        return y, log_det, back, log_det_back, jnp.all(jnp.stack(finite))

    def every(x):
        return {
            name: jax.vmap(lambda x, t=t, raw=raw: around(t, jnp.array(raw, jnp.float32), x))(x)
            for name, (t, raw, *_) in MAPS.items()
        }

    return jax.tree.map(np.float64, jax.jit(every)(X.astype(np.float32)))


@pytest.mark.parametrize("name", MAPS)
def test_a_fixed_map_is_its_formula_and_has_a_finite_inverse_everywhere(name, seen):
    _, _, formula, log_slope, (low, high) = MAPS[name]
    y, log_det, back, log_det_back, finite = seen[name]
    np.testing.assert_allclose(y, formula(X), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(log_det, log_slope(X), rtol=1e-5, atol=1e-6)
    assert np.all(finite)
    assert np.all(np.isfinite([back, log_det_back]))
    known = (low <= X) & (high >= X)
    np.testing.assert_allclose(back[known], X[known], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_det_back[known], -log_det[known], rtol=1e-4, atol=1e-4)


def test_a_density_is_zero_outside_the_range_and_a_number_at_its_last_float(key):
    """The logistic-normal density of scipy inside; -inf, with no NaN, at 0, at 1 and beyond."""
    event = Event((1,))
    flow = Flow(event, Standard(event), Elementwise(event, transformers.Sigmoid()))
    y = np.array([-0.5, 0.0, 1e-30, 0.2, 1.0 - 2.0**-24, 1.0, 7.0], np.float32)[:, None]
    score = jax.value_and_grad(functools.partial(flow.log_prob, {"base": {}, "bijection": {}}))
    got, slope = jax.jit(jax.vmap(score))(y)
    inside = (y[:, 0] > 0.0) & (y[:, 0] < 1.0)
    assert np.all(np.isneginf(got[~inside]))
    v = np.float64(y[inside, 0])
    want = -0.5 * special.logit(v) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(v) - np.log1p(-v)
    np.testing.assert_allclose(got[inside], want, rtol=1e-5)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transformers.Sigmoid(0.5), r"margin in \[0, 0\.5\); got 0\.5"),
        (lambda: transformers.Tanh(9.0), "linear_beyond above 0 and at most 8"),
        (lambda: transformers.LeakyReLU(0.0), "positive slope, or it has no inverse"),
    ],
)
def test_maps_without_an_inverse_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
