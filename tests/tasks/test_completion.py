"""Completions against the posterior of a small table, by brute force."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.implicit import Generator
from gm.networks import MLP
from gm.sampling import decoding
from gm.tasks import completion

PARAMS = np.random.default_rng(1).normal(0.0, 1.5, (4, 5)).astype(np.float32)
STATES = np.array(list(itertools.product(range(2), repeat=4)), np.int32)
NUM_SAMPLES = 8192


@dataclasses.dataclass(frozen=True)
class Bits:
    """Four bits; the logit of the d-th in the order is linear in those before it, and in y."""

    event: Event = Event((4,), 2)
    order: tuple[int, ...] = (2, 0, 3, 1)

    def conditionals(self, params, x, context=None):
        raise NotImplementedError

    def start(self, params, context=None):
        return jnp.zeros(4), 0, jnp.float32(0.0 if context is None else context)

    def predict(self, params, carry):
        seen, d, y = carry
        row = jnp.asarray(params)[d]
        return dist.Bernoulli(row[:4] @ seen + row[4] + y)

    def observe(self, params, carry, x_i):
        seen, d, y = carry
        return seen.at[d].set(x_i.astype(jnp.float32)), d + 1, y

    def log_prob(self, x, y=0.0):
        """Of one x, in numpy."""
        incremental = x[list(self.order)]
        logits = np.tril(PARAMS[:, :4].astype(np.float64), -1) @ incremental + PARAMS[:, 4] + y
        return -np.logaddexp(0.0, (1 - 2 * incremental) * logits).sum()


@dataclasses.dataclass(frozen=True)
class Reals(Bits):
    """Three real values, each around the last."""

    event: Event = Event((3,))
    order: tuple[int, ...] = (0, 1, 2)

    def start(self, params, context=None):
        return jnp.float32(0.0)

    def predict(self, params, carry):
        return dist.Normal(carry, jnp.float32(0.1))

    def observe(self, params, carry, x_i):
        return x_i


MODEL = Bits()


def posterior(x, known, y=0.0):
    """p(x | x_known) of all 16 states, and p(x_known), by brute force."""
    p = np.exp([MODEL.log_prob(state, y) for state in STATES])
    p = np.where(np.all((x == STATES) | ~known, axis=1), p, 0.0)
    return p / p.sum(), p.sum()


def frequencies(x, weight=None):
    counts = np.bincount(np.asarray(x) @ [8, 4, 2, 1], weight, minlength=16)
    return counts / counts.sum()


def assert_distributed(x, want):
    """To five standard errors of a frequency."""
    tolerance = 5 * np.sqrt(want * (1 - want) / len(x))
    assert np.all(np.abs(frequencies(x) - want) <= tolerance)


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, None, None, None))
def complete(key, x, known, y):
    return completion.complete_weighted(MODEL, PARAMS, key, x, known, y)


def run(key, x, known, y=0.0):
    return complete(jax.random.split(key, NUM_SAMPLES), x, known, y)


def test_with_nothing_known_it_is_a_sample_and_with_all_known_it_is_x(key):
    nothing = np.zeros(4, bool)
    x, log_weight = run(key, np.full(4, 7), nothing)  # what stands at unknown places is not seen
    assert_distributed(x, posterior(STATES[0], nothing)[0])
    np.testing.assert_array_equal(log_weight, 0.0)
    x, log_weight = run(key, np.array([1, 0, 1, 1]), ~nothing)
    np.testing.assert_array_equal(x, np.tile([1, 0, 1, 1], (NUM_SAMPLES, 1)))
    np.testing.assert_allclose(log_weight, MODEL.log_prob(np.array([1, 0, 1, 1])), rtol=1e-5)


def test_elements_known_first_in_the_order_give_exact_conditional_samples(key):
    """And their weight is the evidence with certainty; the context moves every logit."""
    x, known = np.array([1, 0, 0, 0]), np.array([True, False, True, False])
    for y in (0.0, 1.5):
        completed, log_weight = run(key, x, known, y)
        want, evidence = posterior(x, known, y)
        assert_distributed(completed, want)
        np.testing.assert_allclose(np.exp(log_weight), evidence, rtol=1e-5)


def test_weights_make_up_for_elements_known_late_in_the_order(key):
    x, known = np.array([0, 1, 0, 1]), np.array([False, True, False, True])
    completed, log_weight = run(key, x, known)
    want, evidence = posterior(x, known)
    weight = np.exp(np.asarray(log_weight, np.float64))
    error = weight.std() / np.sqrt(NUM_SAMPLES)
    assert abs(weight.mean() - evidence) < 5 * error
    assert np.abs(frequencies(completed) - want).max() > 0.05  # they are needed
    np.testing.assert_allclose(frequencies(completed, weight), want, atol=0.03)
    np.testing.assert_array_equal(completed[:, known], np.tile(x[known], (NUM_SAMPLES, 1)))


def test_a_prefix_is_the_first_elements_of_the_order(key):
    def both(key):
        got = completion.continue_from(MODEL, PARAMS, key, jnp.array([1, 0]))
        x, known = jnp.array([0, 9, 1, 9]), jnp.array([True, False, True, False])
        return got, completion.complete(MODEL, PARAMS, key, x, known)

    got, want = jax.jit(jax.vmap(both))(jax.random.split(key, 8))
    np.testing.assert_array_equal(got, want)
    assert np.all(got[:, 2] == 1)
    assert np.all(got[:, 0] == 0)
    assert len(np.unique(got, axis=0)) > 1


def test_decoding_changes_what_is_sampled_alone(key):
    """Greedily, given x_1 = 1: the mode of every other conditional."""
    x, known = jnp.array([0, 1, 0, 0]), jnp.array([False, True, False, False])
    greedy = functools.partial(completion.complete, MODEL, PARAMS, logits_processor=decoding.greedy)
    got = np.asarray(jax.jit(greedy)(key, x, known))
    want = np.zeros(4, np.int32)
    for d, i in enumerate(MODEL.order):
        incremental = want[list(MODEL.order)]
        want[i] = 1 if i == 1 else PARAMS[d, :d] @ incremental[:d] + PARAMS[d, 4] > 0
    np.testing.assert_array_equal(got, want)


def test_real_values_keep_marks_of_what_is_missing_out(key):
    """Also where values are known, here as constants of the program, and a nan would be refused."""
    x, known = jnp.array([0.5, jnp.nan, jnp.nan]), jnp.array([True, False, False])
    weigh = jax.jit(lambda key: completion.complete_weighted(Reals(), None, key, x, known))
    got, log_weight = weigh(key)
    assert got[0] == 0.5
    assert np.all(np.abs(np.diff(got)) < 1.0)
    np.testing.assert_allclose(log_weight, -12.5 - 0.5 * np.log(2 * np.pi) - np.log(0.1), rtol=1e-5)


def test_wrong_shapes_and_types_say_what_would_do(key):
    x, known = jnp.zeros(4, jnp.int32), jnp.ones(4, jnp.bool_)
    complete = functools.partial(completion.complete, MODEL, PARAMS, key)
    with pytest.raises(
        ValueError, match=r"complete needs one x of shape \(4,\); got \(2, 4\).*vmap"
    ):
        complete(jnp.zeros((2, 4), jnp.int32), known)
    with pytest.raises(ValueError, match=r"one known of shape \(4,\); got \(3,\)"):
        complete(x, known[:3])
    with pytest.raises(ValueError, match=r"known as bools.*got int32"):
        complete(x, x)
    with pytest.raises(ValueError, match=r"integers in \[0, 2\); got float32"):
        complete(jnp.zeros(4), known)
    with pytest.raises(ValueError, match=r"got values from 0 to 2"):
        complete(jnp.array([0, 0, 2, 0]), known)
    with pytest.raises(ValueError, match=r"prefix of shape \[n\], n <= 4; got \(5,\)"):
        completion.continue_from(MODEL, PARAMS, key, jnp.zeros(5, jnp.int32))
    generator = Generator(Event((2,)), MLP((8,), (2,)), latent_dim=3)
    with pytest.raises(TypeError, match=r"complete needs a model with conditionals"):
        completion.complete(generator, {}, key, jnp.zeros(2), jnp.ones(2, jnp.bool_))
