"""Flows and transformed distributions against scipy; a RealNVP as a new user writes one."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gm import bijections, core, laws, train
from gm import distributions as dist
from gm.bijections import Affine, Chain, Permutation
from gm.core import Event
from gm.losses import likelihood
from gm.models.autoregressive import MADE
from gm.models.flows import Flow, Standard
from gm.networks import MLP

PLANE = Event((2,))
ROOT = np.array([[2.0, 0.0], [1.0, 0.5]])  # of the covariance
X = np.random.default_rng(0).standard_normal((64, 2)) @ ROOT.T + (1.0, -2.0)


def test_an_affine_flow_is_the_gaussian_that_was_fitted(key):
    flow = Flow(PLANE, Standard(PLANE), Affine(PLANE, "triangular"))
    params = flow.init(key, X.astype(np.float32))
    got = jax.jit(jax.vmap(flow.log_prob, (None, 0)))(params, X.astype(np.float32))
    want = stats.multivariate_normal(X.mean(0), np.cov(X.T, bias=True)).logpdf(X)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    # No step of gradient ascent leads further up.
    loss = functools.partial(likelihood.negative_log_likelihood, flow)
    gradient = jax.jit(jax.grad(loss, has_aux=True))(params, key, {"x": X.astype(np.float32)})[0]
    assert max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient)) < 1e-4


def test_parts_of_a_chain_start_from_the_data_that_comes_to_them(key):
    """Noise of mean 0 and covariance 1 in each turn; a part that does not fit is as it was."""
    parts = (Affine(PLANE), Permutation((1, 0)), Affine(PLANE, "triangular"))
    flow = Flow(PLANE, Standard(PLANE), Chain(parts))
    params = flow.init(key, X.astype(np.float32))["bijection"]
    np.testing.assert_allclose(params[2]["shift"], X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(params[0]["shift"], 0.0, atol=1e-4)
    np.testing.assert_allclose(params[0]["log_scale"], 0.0, atol=1e-4)
    with pytest.raises(ValueError, match=r"Chain\.fit needs a key"):
        flow.bijection.fit(X.astype(np.float32))
    with pytest.raises(TypeError, match=r"with examples needs a model with fit.*missing: fit"):
        Flow(PLANE, Standard(PLANE), Permutation((1, 0))).init(key, X.astype(np.float32))
    with pytest.raises(ValueError, match="needs their contexts too"):
        Flow(PLANE, Standard(PLANE), Affine(PLANE), Event((2,))).init(key, X.astype(np.float32))


@dataclasses.dataclass(frozen=True)
class ActNorm(Affine):
    """Started from one batch, but no fit: it takes no weights."""

    fit = None

    def init_from(self, key, x):
        return Affine(self.event, self.scale).fit(x + 0.0 * jax.random.normal(key))


def test_a_part_that_looks_at_data_is_started_from_what_comes_to_it(key):
    """Noise is of mean 0 and variance 1 in each turn, whatever random map comes between."""
    assert not isinstance(ActNorm(PLANE), core.Fittable)
    x = X.astype(np.float32)
    chain = Chain((ActNorm(PLANE), Coupling(), ActNorm(PLANE)))
    params = chain.init_from(key, x)
    assert jax.tree.structure(params) == jax.tree.structure(chain.init(key))
    np.testing.assert_allclose(params[2]["shift"], X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.exp(params[2]["log_scale"]), X.std(0), rtol=1e-4)
    z = jax.vmap(chain.inverse, (None, 0))(params, x)[0]
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1.0, rtol=1e-4)
    flow = Flow(PLANE, Standard(PLANE), chain).init(key, x)
    z = jax.vmap(chain.inverse, (None, 0))(flow["bijection"], x)[0]
    np.testing.assert_allclose(z.std(0), 1.0, rtol=1e-4)


def test_a_base_may_be_any_density_and_is_given_the_context_if_it_takes_one(key, random_params):
    """A class-conditional mixture autoregressive base, under a shift of 3 in each element."""
    base = MADE(PLANE, dist.MixtureOfNormalsHead(2), hidden=(4,), context=Event((), 2))
    flow = Flow(PLANE, base, Affine(PLANE), context=Event((), 2))
    params = random_params(flow.init)
    params["bijection"] = {"shift": jnp.full(2, 3.0), "log_scale": jnp.zeros(2)}

    @jax.jit
    def both(params, x, y):
        own = base.log_prob(params["base"], x - 3.0, y), base.sample(params["base"], key, y) + 3.0
        return own, (flow.log_prob(params, x, y), flow.sample(params, key, y))

    want, got = both(params, jnp.array([3.5, 2.0]), jnp.array(1))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5)


@dataclasses.dataclass(frozen=True)
class ShiftBy:
    """x -> x + the context."""

    def init(self, key):
        return {}

    def forward(self, params, x, context=None):
        return x + context, jnp.zeros(())

    def inverse(self, params, y, context=None):
        return y - context, jnp.zeros(())


def test_a_context_reaches_the_bijection_as_a_vector(key):
    flow = Flow(Event((3,)), Standard(Event((3,))), ShiftBy(), context=Event((), 3))
    x, _ = flow.to_data(flow.init(key), jnp.zeros(3), jnp.array(1))
    np.testing.assert_array_equal(x, [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="Flow needs a context"):
        flow.to_data({"base": {}, "bijection": {}}, jnp.zeros(3))


def test_a_transformed_distribution_is_what_scipy_says_of_it(key):
    """2 e + 1 for Laplace noise e, one sign turned; and through a context."""
    scaled = Affine(PLANE, "full")
    params = {"shift": jnp.ones(2), "matrix": jnp.diag(jnp.array([2.0, -2.0]))}
    p = dist.Transformed(dist.Laplace(jnp.zeros(2), jnp.ones(2)), scaled, params)
    y = np.array([0.3, 4.0], np.float32)
    np.testing.assert_allclose(p.log_prob(y), stats.laplace(1.0, 2.0).logpdf(y).sum(), rtol=1e-5)
    moved = dist.Transformed(
        dist.Normal(jnp.zeros(2), jnp.ones(2)), ShiftBy(), {}, jnp.full(2, 5.0)
    )
    np.testing.assert_allclose(moved.log_prob(y), stats.norm(5.0).logpdf(y).sum(), rtol=1e-5)
    assert p.reparameterized
    assert not dist.Transformed(dist.Poisson(jnp.zeros(2)), ShiftBy(), {}, 0).reparameterized


@dataclasses.dataclass(frozen=True)
class OneWay:
    """A map that goes forward alone, as an inverse autoregressive one does at its price."""

    def forward(self, params, x, context=None):
        return 2.0 * x, x.size * jnp.log(2.0)


def test_a_sample_and_its_score_need_no_inverse(key):
    y, log_prob = dist.Transformed(
        dist.Normal(jnp.zeros(2), jnp.ones(2)), OneWay(), {}
    ).sample_and_log_prob(key)
    np.testing.assert_allclose(log_prob, stats.norm(0.0, 2.0).logpdf(y).sum(), rtol=1e-5)


def test_what_is_no_base_and_no_bijection_is_refused():
    with pytest.raises(TypeError, match=r"Flow needs a bijection with init, forward, inverse; MLP"):
        Flow(PLANE, Standard(PLANE), MLP((4,), (2,)))
    with pytest.raises(TypeError, match="Flow needs a model with log_prob"):
        Flow(PLANE, dist.Normal(jnp.zeros(2), jnp.ones(2)), Affine(PLANE))
    with pytest.raises(ValueError, match="a base of as many elements"):
        Flow(PLANE, Standard(Event((3,))), Affine(PLANE))
    with pytest.raises(ValueError, match="real event"):
        Flow(Event((2,), 2), Standard(PLANE), Affine(PLANE))
    assert isinstance(Flow(PLANE, Standard(PLANE), Affine(PLANE)), core.Flow)


# A RealNVP from scratch, as a new user writes one: these lines are counted by the test below.
@dataclasses.dataclass(frozen=True)
class Coupling:
    network = MLP((16,), (2,))

    def init(self, key):
        return self.network.init(key, jnp.zeros(1))

    def forward(self, params, x, context=None):
        log_scale, shift = self.network.apply(params, x[:1])
        return jnp.stack([x[0], x[1] * jnp.exp(log_scale) + shift]), log_scale

    def inverse(self, params, y, context=None):
        log_scale, shift = self.network.apply(params, y[:1])
        return jnp.stack([y[0], (y[1] - shift) * jnp.exp(-log_scale)]), -log_scale


SWAP = bijections.Permutation((1, 0))
REAL_NVP = Flow(PLANE, Standard(PLANE), Chain([Coupling(), SWAP] * 4))
# End of what is counted.


@pytest.mark.matrix
def test_a_real_nvp_from_scratch_takes_twenty_lines_keeps_the_laws_and_learns(key):
    source = pathlib.Path(__file__).read_text().split("counted by the test below.\n")[1]
    lines = [line for line in source.split("# End of what")[0].splitlines() if line.strip()]
    assert len(lines) <= 20
    assert set(laws.check(REAL_NVP, jax.random.key(1)).values()) == {"holds"}
    optimizer = optax.adam(1e-2)
    loss = functools.partial(likelihood.negative_log_likelihood, REAL_NVP)
    step = train.make_step(loss, optimizer)
    state = train.init(jax.jit(REAL_NVP.init)(key), optimizer, key)
    batch, losses = {"x": X.astype(np.float32)}, []
    for _ in range(60):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0] - 1.0
