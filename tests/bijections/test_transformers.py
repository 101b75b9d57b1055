"""Transformers against formulas of the papers in float64, at the edges of float32 too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm.bijections import transformers
from gm.bijections.transformers import splines

KNOTS = 5  # bins of a spline
AWAY = (0.0, 1e-30, -1e-6, 0.5, -2.5, 4.0, -4.0, 4.5, -4.7, 40.0, -40.0, 1e4, -1e6, 1e6)


def affine(raw, x):
    s = raw[1] / (1.0 + np.abs(raw[1]) / 7.0)
    return x * np.exp(s) + raw[0], s


def additive(raw, x):
    return x + raw[0], 0.0


def sigmoidal(raw, x):
    """Huang et al. (2018), equation 8, with units at [-2, 2] beforehand."""
    w = special.softmax(raw[0])
    a = np.exp(raw[1] / (1.0 + np.abs(raw[1]) / 7.0))
    t = a * x + raw[2] - np.linspace(-2.0, 2.0, len(w))
    below, above = np.sum(w * special.expit(t)), np.sum(w * special.expit(-t))
    slope = np.sum(w * a * special.expit(t) * special.expit(-t)) / (below * above)
    return np.log(below) - np.log(above), np.log(slope)


def deep_sigmoidal(raw, x):
    return sigmoidal(raw.reshape(3, 3), x)


def mixture_cdf(raw, x):
    h, change = sigmoidal(raw[2:].reshape(3, 4), x)
    y, log_det = affine(raw[:2], h)
    return y, change + log_det


def sum_of_squares(raw, x):
    start = np.array([[1.0, 0.0, 0.0], [0.0, 0.1, 0.0]])
    squares = [np.polynomial.Polynomial(p) ** 2 for p in raw[1:].reshape(2, 3) + start]
    slope = squares[0] + squares[1] + 1e-3
    return raw[0] + slope.integ()(x), np.log(slope(x))


def knots_of(raw, k, bound):
    """x, y: [K + 1]; Durkan et al. (2019), section 3.1, with the least sizes of this library."""
    sizes = [0.001 + (1 - 0.001 * k) * special.softmax(part) for part in (raw[:k], raw[k : 2 * k])]
    return [bound * (2.0 * np.concatenate([[0.0], np.cumsum(size)]) - 1.0) for size in sizes]


def slopes_of(raw):
    return 0.001 + np.logaddexp(0.0, raw + np.log(np.expm1(0.999)))


def between(x_k, y_k, d, x):
    """Equations 4 and 5 of the paper."""
    i = np.clip(np.searchsorted(x_k, x, side="right") - 1, 0, len(x_k) - 2)
    s = (y_k[i + 1] - y_k[i]) / (x_k[i + 1] - x_k[i])
    xi = (x - x_k[i]) / (x_k[i + 1] - x_k[i])
    q = s + (d[i + 1] + d[i] - 2 * s) * xi * (1 - xi)
    y = y_k[i] + (y_k[i + 1] - y_k[i]) * (s * xi**2 + d[i] * xi * (1 - xi)) / q
    slope = s**2 * (d[i + 1] * xi**2 + 2 * s * xi * (1 - xi) + d[i] * (1 - xi) ** 2) / q**2
    return y, np.log(slope)


def spline(raw, x):
    d = np.concatenate([[1.0], slopes_of(raw[2 * KNOTS :]), [1.0]])
    return between(*knots_of(raw, KNOTS, 4.0), d, x) if abs(x) <= 4.0 else (x, 0.0)


def circular(raw, x):
    turns = 2 * np.pi * np.floor((x + np.pi) / (2 * np.pi))
    d = slopes_of(raw[2 * KNOTS : 3 * KNOTS])
    y, log_det = between(*knots_of(raw, KNOTS, np.pi), np.append(d, d[0]), x - turns)
    return y + turns + raw[-1], log_det


KINDS = {
    "additive": (transformers.Additive(), additive),
    "affine": (transformers.Affine(), affine),
    "spline": (transformers.Spline(KNOTS), spline),
    "circular spline": (transformers.CircularSpline(KNOTS), circular),
    "mixture CDF": (transformers.MixtureCDF(4), mixture_cdf),
    "deep sigmoidal": (transformers.DeepSigmoidal(3), deep_sigmoidal),
    "sum of squares": (transformers.SumOfSquares(2, 2), sum_of_squares),
}


def points(name, raw):
    """Some x for each raw: ordinary ones, those far away and, of splines, the knots themselves."""
    x = np.random.default_rng(1).uniform(-3.0, 3.0, (len(raw), 8))
    x = [*x.T, *(np.full(len(raw), value) for value in AWAY)]
    transformer = KINDS[name][0]
    if "spline" in name:
        edges = jax.vmap(transformer._knots)(jnp.asarray(raw))[0]
        edges = np.clip(np.asarray(edges), -transformer.bound, transformer.bound)
        x += [*edges.T, *np.nextafter(edges, np.float32(-9.0)).T[1:]]
    return np.stack(x, axis=1).astype(np.float32)


@pytest.mark.parametrize("name", KINDS)
def test_a_transformer_is_that_of_its_paper_and_inverts_at_every_edge(name):
    """Values, log-derivatives, autodiff, inverses, gradients: one program for all of them."""
    transformer, oracle = KINDS[name]
    rng = np.random.default_rng(0)
    sizes = np.repeat([0.0, 0.5, 2.0, 30.0], [1, 6, 6, 6])[:, None]  # the last saturate
    raw = (sizes * rng.standard_normal((len(sizes), transformer.num_params))).astype(np.float32)
    x = points(name, raw)

    def around(raw, x):
        y, log_det = transformer.forward(raw, x)
        back, log_det_back = transformer.inverse(raw, y)
        slope = jax.grad(lambda x: transformer.forward(raw, x)[0])(x)
        grads = [
            jax.grad(lambda raw, x, way=way: sum(way(raw, x)), (0, 1))(raw, at)
            for way, at in ((transformer.forward, x), (transformer.inverse, y))
        ]
        finite = jnp.stack([jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads)])
        return y, log_det, back, log_det_back, slope, jnp.all(finite)

    seen = jax.jit(jax.vmap(jax.vmap(around, (None, 0))))(raw, x)
    y, log_det, back, log_det_back, slope, finite = (np.asarray(a, np.float64) for a in seen)
    assert np.all(finite)
    assert np.all(np.isfinite([y, log_det, back, log_det_back, slope]))
    # Back to x, to the rounding of y; of layers with slopes from e^-7 to e^7 between them as well.
    gap = np.abs(back - x) * np.minimum(np.exp(log_det), 1.0) / (1.0 + np.abs(x) + np.abs(y))
    assert np.all(gap < np.where(sizes < 10.0, 4e-6, 1e-3))
    mild = (np.abs(x) < 5.0) & (sizes < 10.0)
    np.testing.assert_allclose(slope[mild], np.exp(log_det[mild]), rtol=1e-3)
    # What the formulas say, to the rounding of x and of the knots.
    rows = [
        [oracle(np.float64(raw[i]), np.float64(x[i, j]) + e) for e in (-1e-6, 0.0, 1e-6)]
        for i, j in np.argwhere(mild)
    ]
    low, want, high = np.moveaxis(np.array(rows), 1, 0)
    allowed = 1e-5 + 2e-5 * np.abs(want) + np.abs(high - low) + (0.0, 1e-3)
    for there in (log_det, -log_det_back):
        got = np.stack([y[mild], there[mild]], axis=1)
        np.testing.assert_array_less(np.abs(got - want), allowed)
    y = np.take_along_axis(y, np.argsort(x, axis=1), 1)
    assert np.all(np.diff(y, axis=1) >= -1e-5)


def test_deep_sigmoidal_layers_follow_each_other():
    raw = np.random.default_rng(0).standard_normal(18).astype(np.float32)
    got = jax.jit(transformers.DeepSigmoidal(3, 2).forward)(raw, np.float32(0.7))
    h, first = sigmoidal(np.float64(raw[:9]).reshape(3, 3), 0.7)
    y, second = sigmoidal(np.float64(raw[9:]).reshape(3, 3), h)
    np.testing.assert_allclose(got, [y, first + second], rtol=1e-5)


def papers_inverse(s, d0, d1, theta):
    """ξ of Durkan et al. (2019), equations 6 to 8 over Δy, its discriminant, and log dx/dy."""
    slack = d0 + d1 - 2 * s
    a, b = s - d0 + theta * slack, d0 - theta * slack
    discriminant = b * b + 4 * a * s * theta  # c = -s θ
    xi = 2 * s * theta / (b + np.sqrt(np.maximum(discriminant, 0.0)))
    q = s + slack * xi * (1 - xi)
    slope = s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2) / q**2
    with np.errstate(invalid="ignore"):  # in float32, as said
        return xi, discriminant, -np.log(slope)


def test_a_spline_inverts_where_the_papers_discriminant_is_negative_in_float32():
    """Where it flattens by a million, and where it steepens by a thousand; beside float64."""
    rng = np.random.default_rng(0)
    s, d0, spot = np.exp(rng.uniform((-3, 0, -2), (3, 3, 2), (4000, 3))).astype(np.float32).T
    flat = s, d0, np.float32(1e-6) * d0, np.float32(1.0) - np.float32(1e-6) * spot
    assert np.sum(papers_inverse(*flat)[1] < 0.0) > 100
    steep = s, d0, np.float32(1e3) * d0, rng.uniform(0.01, 0.99, 4000).astype(np.float32)

    def invert(s, d0, d1, theta):  # one bin from (0, 0) to (1, s), and one more
        knots = jnp.array([0.0, 1.0, 2.0]), jnp.stack([0.0, s, 2.0 * s]), jnp.stack([d0, d1, d1])
        return splines._inverse(knots, theta * s)

    both = jax.jit(jax.vmap(invert))
    x, log_det = both(*flat)
    want, _, _ = papers_inverse(*map(np.float64, flat))
    np.testing.assert_allclose(x, want, atol=1e-3)  # θ itself is rounded where slopes are 1e-6
    assert np.all(np.isfinite(log_det))
    x, log_det = both(*steep)
    want, _, log_slope = papers_inverse(*map(np.float64, steep))
    np.testing.assert_allclose(x, want, atol=1e-6)
    np.testing.assert_allclose(log_det, log_slope, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transformers.Spline(1), "at least 2 bins.*got 1"),
        (lambda: transformers.CircularSpline(4, min_size=0.3), r"below 1 / num_bins = 0\.25"),
        (lambda: transformers.Spline(bound=0.0), "positive bound"),
        (lambda: transformers.Affine(0.0), "between 0 and 80"),
        (lambda: transformers.MixtureCDF(0), "a component at least"),
        (lambda: transformers.DeepSigmoidal(4, 0), "a unit and a layer"),
        (lambda: transformers.SumOfSquares(0), "at least one square"),
        (lambda: transformers.SumOfSquares(bound=-1.0), "a positive bound"),
    ],
)
def test_sizes_that_make_no_map_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
