"""The law of gradient estimators: in mean they are the exact gradient of the bound.

Exact by `enumerated_iwae`, which is itself held to a sum over all choices: over four values of a
discrete z, or quadrature points of a real one. One parameter is of encoder and decoder alike.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gm import distributions as dist
from gm.core import Event
from gm.losses import path_gradients as paths
from gm.losses import relaxations, score_function, variational
from gm.losses import weighted_bounds as wb

X = jnp.array([0.7, -0.4], jnp.float32)
ROUNDS = 4096


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """z ~ N(0, 1), x_i | z ~ N(a_i z + c, 1), q = N(m + b (x_0 - c), e^s)."""

    event: Event = Event((2,))
    params: ClassVar = {"a": jnp.array([0.9, -0.5]), "b": 0.3, "c": 0.2, "m": -0.3, "s": -0.4}

    def prior(self, params):
        return dist.Normal(jnp.zeros(1), jnp.ones(1))

    def encode(self, params, x):
        loc = params["m"] + params["b"] * (x[:1] - params["c"])
        return dist.Normal(loc, jnp.exp(params["s"])[None])

    def decode(self, params, z):
        return dist.Normal(params["a"] * z + params["c"], jnp.ones(2))

    def values(self):
        """Quadrature points, and the logarithm of their weights."""
        grid = jnp.linspace(-9.0, 9.0, 601)[:, None]
        return grid, jnp.full(601, np.log(18.0 / 600))


@dataclasses.dataclass(frozen=True)
class Bits(Gaussian):
    """z of two bits; the likelihood is not linear in them."""

    params: ClassVar = {
        "a": jnp.array([[1.5, -0.5], [-1.0, 2.0]]),
        "c": 0.3,
        "m": 0.4,
        "p": jnp.zeros(2),
    }

    def prior(self, params):
        return dist.Bernoulli(params["p"] + 0.5)

    def encode(self, params, x):
        return dist.Bernoulli(params["m"] * x + params["c"])

    def numbers(self, z):
        return z.astype(jnp.float32)

    def decode(self, params, z):
        h = params["a"] @ self.numbers(z) + params["c"]
        return dist.Normal(h * h, jnp.ones(2))

    def values(self):
        z = dist.enumerate_support(self.prior(self.params))
        return z, jnp.zeros(len(jax.tree.leaves(z)[0]))


@dataclasses.dataclass(frozen=True)
class Trits(Bits):
    """z is one of three values."""

    params: ClassVar = Bits.params | {
        "a": jnp.array([[1.0, -1.0, 0.3], [0.5, 1.0, -0.7]]),
        "p": jnp.zeros(3),
    }

    def prior(self, params):
        return dist.Categorical(params["p"])

    def encode(self, params, x):
        return dist.Categorical(jnp.append(params["m"] * x, params["c"]))

    def numbers(self, z):
        return dist.one_hot(z, 3)


@dataclasses.dataclass(frozen=True)
class Pair(Bits):
    """z = (one of two, one of three given the first)."""

    params: ClassVar = Bits.params | {"p": jnp.array([[0.3, 0.0, -0.5], [0.0, 1.0, 0.2]])}

    def prior(self, params):
        return dist.Joint(
            (dist.Bernoulli(jnp.zeros(())), lambda b: dist.Categorical(params["p"][b]))
        )

    def encode(self, params, x):
        logits = params["m"] * jnp.stack([x[0] * jnp.arange(3.0), x[1] * jnp.ones(3)])
        first = dist.Bernoulli(params["c"])
        return dist.Joint(
            (first, lambda b: dist.Categorical(params["m"] * params["p"][b] + logits[b]))
        )

    def decode(self, params, z):
        return dist.Normal(params["a"] @ jnp.stack([z[0], z[1]]).astype(jnp.float32), jnp.ones(2))


def partial(loss, model, **options):
    return lambda p, key: loss(model, p, key, {"x": X[None]}, **options)


def nvil(model, **options):
    """With a baseline of x that is not zero, and averages of earlier steps."""

    class Line:
        event = Event((2,))

        def score(self, params, x):
            return params * x[0]

    memory = score_function.Baseline(jnp.float32(-1.5), jnp.float32(0.5))

    def loss(p, key):
        both = {"model": p, "baseline": jnp.float32(0.8)}
        value, (metrics, _) = score_function.nvil_loss(
            model, Line(), both, key, {"x": X[None]}, memory, **options
        )
        square = metrics["baseline_loss"]
        return value - (square - jax.lax.stop_gradient(square)), metrics

    return loss


# (loss, model, K of the exact bound of the decoder, K of that of the encoder)
SPLIT = {"bound": wb.iwae_bound, "encoder_bound": functools.partial(wb.miwae_bound, num_groups=2)}
CASES = {
    "pathwise": (partial(variational.negative_iwae, Gaussian(), num_samples=3), Gaussian(), 3, 3),
    "landing": (partial(paths.sticking_the_landing_loss, Gaussian()), Gaussian(), 1, 1),
    "DReG": (
        partial(paths.doubly_reparameterized_loss, Gaussian(), num_samples=4),
        Gaussian(),
        4,
        4,
    ),
    "PIWAE": (partial(wb.negative_bound, Gaussian(), num_samples=6, **SPLIT), Gaussian(), 6, 3),
    "score": (partial(score_function.score_function_loss, Bits(), num_samples=2), Bits(), 1, 1),
    "score, real z": (
        partial(score_function.rloo_loss, Gaussian(), num_samples=4),
        Gaussian(),
        1,
        1,
    ),
    "RLOO": (partial(score_function.rloo_loss, Bits(), num_samples=3), Bits(), 1, 1),
    "RLOO, a pair": (partial(score_function.rloo_loss, Pair(), num_samples=3), Pair(), 1, 1),
    "VIMCO": (partial(score_function.vimco_loss, Bits(), num_samples=3), Bits(), 3, 3),
    "VIMCO, a pair": (partial(score_function.vimco_loss, Pair(), num_samples=3), Pair(), 3, 3),
    "NVIL": (nvil(Bits(), num_samples=2), Bits(), 1, 1),
    "REBAR": (partial(relaxations.rebar_loss, Bits(), temperature=0.4), Bits(), 1, 1),
    "REBAR, three values": (
        partial(relaxations.rebar_loss, Trits(), temperature=0.7, weight=0.6),
        Trits(),
        1,
        1,
    ),
}


def exact(model, of_decoder, of_encoder):
    """Value of the decoder's bound, and the gradient: each part of its own bound."""

    def bound(p, q, num_samples):
        z, log_volume = model.values()
        log_q = jax.vmap(model.encode(q, X).log_prob)(z) + log_volume
        log_p = wb.log_joints(model, p, X, z) + log_volume
        return -wb.enumerated_iwae(log_q, log_p, num_samples)

    value, of_p = jax.value_and_grad(bound)(model.params, model.params, of_decoder)
    of_q = jax.grad(bound, argnums=1)(model.params, model.params, of_encoder)
    return value, ravel_pytree(of_p)[0] + ravel_pytree(of_q)[0]


MARKED = [
    pytest.param(
        case, marks=[pytest.mark.matrix] if case in ("score, real z", "VIMCO, a pair") else []
    )
    for case in CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_in_mean_an_estimator_is_the_exact_gradient(case):
    """Of every parameter, to five standard errors; and the loss's value is the bound's."""
    loss, model, *sizes = CASES[case]

    def one(key):
        (value, _), grads = jax.value_and_grad(loss, has_aux=True)(model.params, key)
        return value, ravel_pytree(grads)[0]

    values, grads = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), ROUNDS))
    value, slope = jax.jit(lambda: exact(model, *sizes))()
    for got, want in ((values[:, None], value[None]), (grads, slope)):
        got = np.asarray(got, np.float64)
        error = got.std(0) / np.sqrt(ROUNDS)
        np.testing.assert_array_less(np.abs(got.mean(0) - want), 5 * error + 2e-4)
    assert np.max(np.abs(slope) / (error + 1e-9)) > 20  # so that a wrong factor shows


@pytest.mark.parametrize(
    ("loss", "size"), [(paths.sticking_the_landing_loss, 1), (paths.doubly_reparameterized_loss, 3)]
)
def test_path_gradients_of_the_encoder_vanish_at_the_posterior_without_noise(loss, size, key):
    """z | x ~ N(v a (x - c), v) with 1 / v = 1 + |a|²; the second pixel is not seen, a_1 = 0."""
    v = 1.0 / (1.0 + 0.9**2)
    params: ClassVar = {
        "a": jnp.array([0.9, 0.0]),
        "b": 0.9 * v,
        "c": 0.2,
        "m": 0.0,
        "s": 0.5 * np.log(v),
    }
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    grad = jax.jit(
        jax.grad(lambda p: loss(Gaussian(), p, key, {"x": X[None]}, num_samples=size)[0])
    )
    found = grad(params)
    np.testing.assert_allclose([found["m"], found["s"], found["b"]], 0.0, atol=2e-6)
    assert abs(found["c"]) > 0.1  # of the decoder


def test_the_moving_averages_of_nvil_are_of_the_signal_after_the_baseline(key):
    """log w by hand at fixed samples: q is certain, so that every z is (1, 1)."""
    model = Bits()
    params = model.params | {"m": jnp.float32(0.0), "c": jnp.float32(40.0)}
    log_w = wb.log_joints(model, params, X, jnp.ones((1, 2), jnp.int32))[0]
    memory = score_function.Baseline.start()
    both = {"model": params}
    loss = jax.jit(
        lambda memory: score_function.nvil_loss(
            model, None, both, key, {"x": X[None]}, memory, decay=0.75
        )
    )
    value, (metrics, memory) = loss(memory)
    np.testing.assert_allclose([-value, metrics["elbo"]], log_w, rtol=1e-5)
    np.testing.assert_allclose(memory, [0.25 * log_w, 0.75], rtol=1e-5)
    _, (metrics, memory) = loss(memory)
    np.testing.assert_allclose(memory.mean, (0.25 + 0.75 * 0.25) * log_w, rtol=1e-5)
    np.testing.assert_allclose(metrics["baseline_loss"], (0.75 * log_w) ** 2, rtol=1e-4)


def test_a_large_variance_divides_the_signal_of_nvil(key):
    @functools.partial(jax.jit, static_argnums=1)
    def slope(variance, scaled):
        memory = score_function.Baseline(jnp.float32(0.0), variance)

        def loss(p):
            both = {"model": p}
            return score_function.nvil_loss(
                Bits(), None, both, key, {"x": X[None]}, memory, scaled=scaled
            )[0]

        return jax.grad(loss)(Bits.params)["m"]

    np.testing.assert_allclose(slope(16.0, True), slope(16.0, False) / 4.0, rtol=1e-4)
    np.testing.assert_allclose(slope(0.2, True), slope(0.2, False), rtol=1e-5)


def test_vimco_has_finite_baselines_where_some_weights_are_zero():
    log_w = jnp.array([0.0, -jnp.inf, -1.0])
    got = score_function.vimco_baselines(log_w)
    # Of the second, the geometric mean of 1 and e^-1 in its place; of the others, zero.
    want = [np.exp(-1.0) / 3, (1 + np.exp(-1.0) + np.exp(-0.5)) / 3, 1 / 3]
    np.testing.assert_allclose(got, np.log(want), rtol=1e-5)


def test_wrong_calls_are_refused_in_one_sentence(key):
    batch = {"x": X[None]}
    for loss in (paths.sticking_the_landing_loss, paths.doubly_reparameterized_loss):
        with pytest.raises(TypeError, match=r"reparameterized.*Bits encodes to Bernoulli"):
            loss(Bits(), Bits.params, key, batch)
    with pytest.raises(TypeError, match="negative_bound needs a posterior with reparameterized"):
        wb.negative_bound(Bits(), Bits.params, key, batch, bound=wb.iwae_bound, num_samples=2)
    for loss in (score_function.rloo_loss, score_function.vimco_loss):
        with pytest.raises(ValueError, match=r"num_samples of at least 2.*got 1"):
            loss(Bits(), Bits.params, key, batch, num_samples=1)
    for loss in (relaxations.relaxed_loss, relaxations.rebar_loss):
        with pytest.raises(TypeError, match="both Bernoulli or both Categorical; Pair has Joint"):
            loss(Pair(), Pair.params, key, batch)
        with pytest.raises(ValueError, match="num_samples of at least 1; got 0"):
            loss(Bits(), Bits.params, key, batch, num_samples=0)
        with pytest.raises(ValueError, match=r"positive temperature; got 0\.0"):
            loss(Bits(), Bits.params, key, batch, temperature=0.0)
    both = {"model": Bits.params, "baseline": None}
    memory = score_function.Baseline.start()
    with pytest.raises(TypeError, match="nvil_loss needs a model with score; Gaussian"):
        score_function.nvil_loss(Bits(), Gaussian(), both, key, batch, memory)
