"""PixelCNN++: who sees whom at several resolutions, both faces, colours that come one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel, PixelModel, walk
from gm.networks import PixelCNNPlusPlus

SMALL = PixelCNNPlusPlus(channels=3, num_blocks=1)
COLOURED = PixelModel(Event((3, 5, 3), 4), SMALL.clone(num_levels=2), 2, Event((), 3))


def randomized(model, key):
    def move(a):
        return a + 0.1 * jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def levels(shape, num_levels):
    """A model of real values, so that there are gradients."""
    return CausalModel(Event(shape), dist.NormalHead(), SMALL.clone(num_levels=num_levels))


@pytest.mark.parametrize("num_levels", [2, 3])
def test_every_pixel_sees_all_before_it_and_none_after(num_levels, key):
    """By gradients, at odd and even sizes; no blind spot, and nothing leaks from coarse pixels."""
    model = levels((5, 6), num_levels)
    params, x = randomized(model, key), jax.random.normal(key, (4, 5, 6))

    def raw(x):
        return model.network.apply(params, x[..., None])

    jacobian = np.asarray(jax.jit(jax.vmap(jax.jacrev(raw)))(x))
    seen = np.abs(jacobian).reshape(4, 30, -1, 30).max(axis=(0, 2))
    assert np.all(seen[np.triu_indices(30)] == 0.0)
    assert np.all(seen[np.tril_indices(30, -1)] > 0.0)


@pytest.mark.parametrize(("shape", "num_levels"), [((5, 6), 2), ((6, 5), 3), ((1, 3), 3)])
def test_the_walk_gives_what_the_pass_gives(shape, num_levels, key):
    """Whether a size is even or odd, or rounded up to one."""
    model = levels(shape, num_levels)
    params, x = randomized(model, key), jax.random.normal(key, shape)

    @jax.jit
    def both(x):
        def step(carry, x_i):
            return model.observe(params, carry, x_i), carry.raw

        _, walked = jax.lax.scan(step, model.start(params), x.reshape(-1))
        return walked, model.network.apply(params, x[..., None]).reshape(x.size, -1)

    walked, passed = both(x)
    # float32 sums in another order
    np.testing.assert_allclose(walked, passed, rtol=1e-4, atol=1e-4)


def test_a_walk_over_colours_gives_the_mixtures_of_the_pass(key):
    params, y = randomized(COLOURED, key), jnp.array(1)
    x = jax.random.randint(key, COLOURED.event.shape, 0, 4)

    @jax.jit
    def both(x):
        def step(carry, x_i):
            return COLOURED.observe(params, carry, x_i), COLOURED.predict(params, carry)

        _, walked = jax.lax.scan(step, COLOURED.start(params, y), x.reshape(-1))
        return walked, COLOURED.conditionals(params, x, y)

    for walked, passed in zip(*map(jax.tree.leaves, both(x)), strict=True):
        # float32 sums in another order; log weights are sums of log probabilities
        np.testing.assert_allclose(walked, passed.reshape(walked.shape), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_every_block_of_both_streams_is_given_the_context(key):
    """With the weights of all other blocks at zero, the outputs still depend on it."""
    params = randomized(COLOURED, key)
    x = jax.random.randint(key, COLOURED.event.shape, 0, 4)

    def moves(place, block):
        def keep(path, leaf):
            names = [entry.key for entry in path]
            if "given" not in names or names[-1] != "kernel":
                return leaf
            kept = jnp.zeros_like(leaf)
            if names[1:-3] == place:
                kept = kept.at[:, 6 * block : 6 * block + 6].set(jnp.arange(3.0)[:, None])
            return kept

        moved = jax.tree_util.tree_map_with_path(keep, params)
        means = [COLOURED.conditionals(moved, x, jnp.array(y)).components.loc for y in (0, 1)]
        return jnp.max(jnp.abs(means[0] - means[1]))

    def fine(stream):
        return ["rows", "level"] if stream == "rows" else ["pixels"]

    for stream in ("rows", "pixels"):
        for place, count in ((fine(stream), 3), ([*fine(stream), "coarser", "level"], 2)):
            for block in range(count):
                assert moves(place, block) > 1e-5, (place, block)


@pytest.mark.slow
def test_the_walk_draws_what_the_naive_sampler_draws(key):
    model = PixelModel(Event((3, 2, 2), 3), SMALL.clone(num_levels=2), 2)
    params, keys = randomized(model, key), jax.random.split(key, 8)
    walked = jax.jit(jax.vmap(lambda k: model.sample(params, k)))(keys)
    naive = jax.jit(jax.vmap(lambda k: walk.sample_by_passes(model, params, k)))(keys)
    np.testing.assert_array_equal(walked, naive)


def test_the_network_works_for_a_pixel_once():
    """Three colours, one step: work is done in one branch of a condition on the colour alone."""
    model = PixelModel(Event((2, 2, 3), 4), SMALL.clone(num_levels=1), 2)
    params = jax.eval_shape(model.init, jax.random.key(0))
    carry = jax.eval_shape(model.start, params)
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((7, *a.shape), a.dtype), carry)
    batch, axes = batch.replace(time=carry.time), jax.tree.map(lambda a: 0, carry)
    axes = axes.replace(time=None)
    batch = batch.replace(cache=batch.cache | {"time": carry.cache["time"]})
    axes = axes.replace(cache=axes.cache | {"time": None})
    observe = jax.vmap(model.observe, (None, axes, 0), axes)
    program = jax.make_jaxpr(observe)(params, batch, jax.ShapeDtypeStruct((7,), jnp.int32))
    names = {str(equation.primitive) for equation in program.eqns}
    assert "cond" in names
    assert "dot_general" not in names


def test_an_event_that_does_not_fit_is_refused(key):
    with pytest.raises(ValueError, match=r"whole pixels, \[H, W\]; got \(2, 2, 3\).*PixelModel"):
        CausalModel(Event((2, 2, 3), 2), dist.BernoulliHead(), SMALL).init(key)
    for event in (Event((4,), 2), Event((2, 2))):
        with pytest.raises(ValueError, match=r"integers \[H, W\] or \[H, W, G\]"):
            PixelModel(event, SMALL)
