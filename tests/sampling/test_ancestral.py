"""The one scan over elements: choosing, coding and search, against sums in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE
from gm.models.classical import BayesianNetwork, graphs
from gm.sampling import ancestral
from gm.tasks import completion

K, ORDER = 5, (2, 0, 3, 1)
MODEL = BayesianNetwork(Event((2, 2), K), ((2,), (3,), (), (0,)))
PARAMS = {"logits": np.random.default_rng(0).normal(0.0, 2.0, (16, K)).astype(np.float32)}
BITS = MADE(Event((20,), 2), dist.BernoulliHead(), (16,), order=tuple(np.arange(20)[::-1]))


def conditional(x, i):
    """p(x_i = . | its parent) in NumPy: [K]."""
    first, parent = (0, 5, 10, 11)[i], MODEL.parents[i]
    row = PARAMS["logits"][first + (x.ravel()[parent[0]] if parent else 0)].astype(np.float64)
    return np.exp(row) / np.exp(row).sum()


def test_a_search_takes_the_likeliest_value_near_the_given_one():
    """PixelDefend's: each element moves by at most one, given those chosen before it."""

    def defend(i, p, random, x_i):
        near = jnp.abs(jnp.arange(K) - x_i) <= 1
        return jnp.argmax(jnp.where(near, p.log_probs, -jnp.inf)), ()

    x = np.array([[4, 0], [2, 1]])
    got, _ = jax.jit(lambda x: ancestral.scan(MODEL, PARAMS, None, defend, x))(x)
    want = x.copy()
    assert MODEL.order == ORDER
    for i in ORDER:
        p = conditional(want, i)
        low, high = max(x.ravel()[i] - 1, 0), x.ravel()[i] + 2
        want.ravel()[i] = low + np.argmax(p[low:high])
    np.testing.assert_array_equal(got, want)
    assert np.any(want != x)


def test_a_coder_returns_the_interval_of_every_value_and_finds_it_again():
    """Widths are probabilities, so their bits are -log2 p(x); a number inside gives back x."""

    def encode(i, p, random, x_i):
        ends = jnp.pad(jnp.cumsum(jnp.exp(p.log_probs)), (1, 0))
        return x_i, (i, ends[x_i], ends[x_i + 1])

    def decode(i, p, random, number):
        return jnp.sum(jnp.cumsum(jnp.exp(p.log_probs))[:-1] <= number), ()

    x = np.array([[3, 0], [2, 4]])
    same, (i, low, high) = jax.jit(lambda: ancestral.scan(MODEL, PARAMS, None, encode, x))()
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(i, np.arange(4).reshape(2, 2))  # raster indices
    for d, (a, b) in enumerate(zip(low.ravel(), high.ravel(), strict=True)):
        p, value = conditional(x, d), x.ravel()[d]
        np.testing.assert_allclose([a, b], [p[:value].sum(), p[: value + 1].sum()], atol=1e-6)
    bits = -np.log2(np.asarray(high, np.float64) - low).sum()
    np.testing.assert_allclose(bits, -MODEL.log_prob(PARAMS, x) / np.log(2.0), rtol=1e-5)
    middle = (low + high) / 2
    got, _ = jax.jit(lambda u: ancestral.scan(MODEL, PARAMS, None, decode, u))(middle)
    np.testing.assert_array_equal(got, x)


def test_blocks_complete_as_single_elements_do_and_pass_gradients(random_params):
    """Of a model taken by blocks: the weight and its gradient are those of the forward pass."""
    params = random_params(BITS.init, scale=1.0)
    assert BITS.samples_blocks
    x, known = np.arange(20) % 2, np.arange(20) % 3 > 0

    def log_weight(params):
        completed, weight = completion.complete_weighted(BITS, params, jax.random.key(0), x, known)
        return weight, completed

    (weight, completed), gradient = jax.jit(jax.value_and_grad(log_weight, has_aux=True))(params)
    np.testing.assert_array_equal(completed[known], x[known])

    def of_forward_pass(params):
        conditionals = BITS.conditionals(params, completed)
        return jnp.sum(dist.element_log_probs(conditionals, completed) * known)

    want, want_gradient = jax.jit(jax.value_and_grad(of_forward_pass))(params)
    np.testing.assert_allclose(weight, want, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), gradient, want_gradient)


def test_data_of_another_shape_than_the_event_is_refused():
    copy = BayesianNetwork(Event((3,), 2), graphs.chain(3))
    with pytest.raises(ValueError, match=r"shape \(3,\) of the event.*got \(2, 3\).*vmap"):
        ancestral.scan(
            copy, {"logits": jnp.zeros(5)}, None, lambda i, p, r, x_i: (x_i, ()), np.zeros((2, 3))
        )
