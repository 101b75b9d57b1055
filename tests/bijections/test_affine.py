"""Affine maps against matrices of numpy, and their fit against closed forms."""

import jax
import numpy as np
import pytest

from gm.bijections import Affine
from gm.core import Event

EVENT = Event((2, 2))
SCALES = ("diagonal", "triangular", "full")


@pytest.fixture
def rows():
    """Correlated, far from zero, of unlike scales."""
    z = np.random.default_rng(0).standard_normal((50, 4))
    x = z @ np.array([[1.0, 0.5, 0.0, 0.0], [0, 1, -2, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
    return (x * (1.0, 10.0, 0.1, 1.0) + (5.0, -3.0, 0.0, 100.0)).astype(np.float32)


def matrix_of(affine, params):
    """m and S, from the images of 0 and of the unit vectors."""
    forward = jax.jit(jax.vmap(lambda x: affine.forward(params, x)[0]))
    points = np.concatenate([np.zeros((1, 4)), np.eye(4)]).astype(np.float32)
    y = np.asarray(forward(points.reshape(5, 2, 2)), np.float64).reshape(5, 4)
    return y[0], (y[1:] - y[0]).T


@pytest.mark.parametrize("scale", SCALES)
def test_a_fit_has_the_moments_of_its_rows_and_the_shape_of_its_scale(scale, rows):
    affine, w = Affine(EVENT, scale), np.linspace(0.0, 2.0, 50)
    shift, root = matrix_of(affine, affine.fit(rows.reshape(50, 2, 2), weights=w))
    mean = np.average(rows.astype(np.float64), axis=0, weights=w)
    want = np.cov(rows.T.astype(np.float64), aweights=w, bias=True)
    size = np.sqrt(np.diag(want))
    np.testing.assert_allclose(shift, mean, rtol=1e-5, atol=1e-5)
    got = root @ root.T
    if scale == "diagonal":
        want = np.diag(np.diag(want))
    np.testing.assert_allclose(got / np.outer(size, size), want / np.outer(size, size), atol=1e-4)
    if scale == "triangular":
        np.testing.assert_allclose(np.triu(root, 1), 0.0, atol=1e-5)
        assert np.all(np.diag(root) > 0.0)
    if scale == "full":  # the symmetric root moves noise the least
        np.testing.assert_allclose(root, root.T, atol=1e-3)


@pytest.mark.parametrize("scale", SCALES)
def test_maps_start_as_the_identity(scale, key):
    shift, root = matrix_of(affine := Affine(EVENT, scale), affine.init(key))
    np.testing.assert_array_equal(shift, np.zeros(4))
    np.testing.assert_array_equal(root, np.eye(4))


@pytest.mark.parametrize(
    ("scale", "x", "weights", "message"),
    [
        ("triangular", np.ones((4, 2, 2), np.float32), None, "at least 5 rows .* triangular"),
        ("diagonal", np.eye(4, dtype=np.float32), [1, 0, 0, 0], "at least 2 rows .*; got 1"),
        ("diagonal", np.full((9, 4), 0.1, np.float32), None, "4 of 4 are constant"),
        ("full", np.arange(40.0, dtype=np.float32).reshape(10, 4), None, "in a plane of fewer"),
        ("diagonal", np.eye(4, dtype=np.float32), [1, -1, 1, 1], "at least 0 for each of 4 rows"),
        ("diagonal", np.eye(4, dtype=np.float32), [1, 1], r"got shape \(2,\)"),
        ("diagonal", np.full((3, 4), np.nan, np.float32), None, "needs finite values"),
    ],
)
def test_rows_that_have_no_density_are_refused(scale, x, weights, message):
    with pytest.raises(ValueError, match=message):
        Affine(EVENT, scale).fit(x.reshape(-1, 2, 2), weights=weights)


def test_a_discrete_event_and_an_unknown_scale_are_refused():
    with pytest.raises(ValueError, match="real event"):
        Affine(Event((2,), 2))
    with pytest.raises(ValueError, match="diagonal, triangular, full; got lower"):
        Affine(EVENT, "lower")


def test_parameters_of_a_matrix_are_that_matrix_and_a_singular_one_is_refused():
    lower = np.tril(np.arange(1.0, 17.0).reshape(4, 4))
    for scale, root in (
        ("full", -lower.T),
        ("triangular", lower),
        ("diagonal", np.diag(range(1, 5))),
    ):
        affine = Affine(EVENT, scale)
        shift, got = matrix_of(affine, affine.params_of(np.ones((2, 2)), root))
        np.testing.assert_allclose(got, root, rtol=1e-5)
        np.testing.assert_array_equal(shift, np.ones(4))
    for scale, root, message in (
        ("full", np.ones((4, 4)), "one that is singular, with singular values from"),
        ("triangular", lower.T, "a triangular matrix with a positive diagonal"),
        ("diagonal", -np.eye(4), "a diagonal matrix with a positive diagonal"),
        ("full", np.eye(3), r"a matrix of \(4, 4\); got \(2, 2\) and \(3, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            Affine(EVENT, scale).params_of(np.zeros((2, 2)), root)
