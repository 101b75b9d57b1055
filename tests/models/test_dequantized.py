"""Dequantized flows: bounds against exact probabilities of levels, and what is kept of a cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import data, metrics
from gm import distributions as dist
from gm.bijections import Affine
from gm.core import Event
from gm.losses import variational
from gm.models import flows
from gm.models.flows import Dequantized, Flow, Standard

LINE = Event((1,))
LEVELS = Event((1,), 5)
MEAN, SCALE = -0.8, 0.5
FLOW = flows.of_logits(Flow(LINE, Standard(LINE), Affine(LINE)), 0.0)
PARAMS = {
    "density": {
        "base": {},
        "bijection": ({"shift": np.array([MEAN]), "log_scale": np.log([SCALE])}, {}),
    }
}
X = np.arange(5)[:, None]


def exact():
    """log P of each level: a logit-normal density over its cell, by the error function."""
    with np.errstate(divide="ignore"):
        ends = np.linspace(0.0, 1.0, 6)
        cdf = stats.norm(MEAN, SCALE).cdf(np.log(ends) - np.log1p(-ends))
    return np.log(np.diff(cdf))


def params_of(model, key):
    """Those of the density above, and of noise that starts at random."""
    found = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), PARAMS)
    if model.noise is not None:
        noise = model.noise.init(key)
        leaves, tree = jax.tree.flatten(noise)
        rng = np.random.default_rng(0)
        leaves = [
            leaf + jnp.asarray(0.1 * rng.normal(size=leaf.shape), jnp.float32) for leaf in leaves
        ]
        found["noise"] = jax.tree.unflatten(tree, leaves)
    return found


NOISE = flows.of_logits(
    flows.iaf(LINE, 1, hidden=(4,), family=dist.Logistic, context=Event((1,))), 0.0
)


@pytest.mark.parametrize("noise", [None, NOISE], ids=["uniform", "variational"])
def test_bounds_rise_to_the_exact_probability_of_each_level(noise, key):
    """S = 1 is below S = 16 in expectation, and that below the truth, which thousands reach."""
    model = Dequantized(LEVELS, FLOW, noise)
    params = params_of(model, key)

    @jax.jit
    @jax.vmap
    def weights(x):
        return variational.log_weights(model, params, key, x, 2**15)

    found = np.asarray(weights(X), np.float64)
    one = found.mean(1)
    many = np.logaddexp.reduce(found.reshape(5, -1, 16), axis=2).mean(1) - np.log(16)
    all_of_them = np.logaddexp.reduce(found, axis=1) - np.log(2**15)
    assert np.all(one < many)
    assert np.all(many < exact() + 0.01)
    ratios = np.exp(found - all_of_them[:, None])
    error = ratios.std(1) / np.sqrt(2**15)
    assert np.all(np.abs(all_of_them - exact()) < 5.0 * error + 1e-4)
    assert np.all(error < 0.1)


def test_a_score_by_samples_of_noise_is_a_bound_of_the_integers(key):
    model = Dequantized(LEVELS, FLOW)
    split = data.from_arrays(X, X, X, num_values=5).test
    score = metrics.evaluate(model, params_of(model, key), split, key=key, num_samples=64)
    assert (score.kind, score.num_samples, score.log_volume) == ("bound", 64, 0.0)
    assert score.value == pytest.approx(-exact().mean(), abs=0.2)
    flat = Dequantized(LEVELS, Flow(LINE, Standard(LINE, dist.Uniform), Affine(LINE)))
    score = metrics.evaluate(flat, flat.init(key), split, key=key)
    assert score.value == pytest.approx(np.log(5), rel=1e-5)  # the posterior is uniform: tight


@pytest.mark.parametrize("num_values", [17, 256, 1000])
def test_a_level_is_kept_at_both_ends_of_its_cell(num_values):
    """(x + u) / K rounds up to the next level where u is next to 1, in float32."""
    levels = np.arange(num_values, dtype=np.int32)
    event = Event((num_values,), num_values)
    density = Flow(Event(event.shape), Standard(Event(event.shape)), Affine(Event(event.shape)))

    class Ends:
        """Noise at 0 or just below 1."""

        event, context = Event(levels.shape), Event(levels.shape)

        def to_noise(self, u, z):
            return z, jnp.zeros(())

        to_data = to_noise

        def sample_and_log_prob(self, u, key, context):
            return jnp.full(levels.shape, u), jnp.zeros(())

    model = Dequantized(event, density, Ends())
    for u in (np.float32(0.0), np.float32(1.0 - 2.0**-24)):
        z = model.encode({"noise": u}, levels).sample(jax.random.key(0))
        level = model.decode({}, z)
        assert level.log_prob(levels) == 0.0
        np.testing.assert_array_equal(level.sample(jax.random.key(0)), levels)
        assert level.log_prob(np.roll(levels, 1)) == -np.inf


def test_what_does_not_fit_is_refused():
    for event, density in ((LINE, FLOW), (Event((2,), 5), FLOW)):
        with pytest.raises(ValueError, match="needs integers, and a density of real numbers"):
            Dequantized(event, density)
    for noise in (FLOW, flows.maf(LINE, 1, context=Event((3,)))):
        with pytest.raises(ValueError, match=r"noise of .* given a context of 1 real"):
            Dequantized(LEVELS, FLOW, noise)
    with pytest.raises(TypeError, match="to_noise"):
        Dequantized(LEVELS, FLOW, Standard(LINE))
