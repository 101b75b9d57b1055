"""Pictures of a latent space, by a decoder that is the identity."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.tasks import latents


@dataclasses.dataclass(frozen=True)
class Identity:
    event: Event = Event((3,))

    def prior(self, params):
        return dist.Normal(jnp.zeros(3), jnp.ones(3))

    def encode(self, params, x):
        return dist.Normal(x, jnp.full(3, 0.1))

    def decode(self, params, z):
        return dist.Normal(jnp.concatenate(jax.tree.leaves(z)), jnp.ones(3))


def test_reconstructions_have_noise_of_their_own(key):
    x = 10.0 * jnp.ones((500, 3))
    error = np.asarray(latents.reconstructions(Identity(), None, key, x)) - 10.0
    np.testing.assert_allclose([error.mean(), error.std()], [0.0, 0.1], atol=0.01)
    assert abs(np.corrcoef(error[1:, 0], error[:-1, 0])[0, 1]) < 0.2


def test_a_traversal_moves_one_element_over_all_leaves():
    z = (jnp.array([1.0]), jnp.array([2.0, 3.0]))
    got = latents.traversal(Identity(), None, z, 1, jnp.array([-5.0, 5.0]))
    np.testing.assert_array_equal(got, [[1.0, -5.0, 3.0], [1.0, 5.0, 3.0]])
    with pytest.raises(ValueError, match="index from 0 to 2; got 3"):
        latents.traversal(Identity(), None, z, 3, jnp.zeros(1))


def test_an_arc_keeps_the_norm_and_its_ends_and_a_line_is_straight():
    first, last = jnp.array([2.0, 0.0, 0.0]), jnp.array([0.0, 2.0, 0.0])
    arc = latents.interpolation(Identity(), None, first, last, 5)
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), 2.0, rtol=1e-5)
    np.testing.assert_allclose(arc[2], np.sqrt([2.0, 2.0, 0.0]), atol=1e-6)
    np.testing.assert_allclose(arc[jnp.array([0, -1])], [first, last], atol=1e-6)
    line = latents.interpolation(Identity(), None, first, last, 3, spherical=False)
    np.testing.assert_allclose(line[1], [1.0, 1.0, 0.0])
    same = latents.interpolation(Identity(), None, first, 3.0 * first, 3)
    np.testing.assert_allclose(same[1], 2.0 * first, rtol=1e-6)
    with pytest.raises(ValueError, match="num of at least 2; got 1"):
        latents.interpolation(Identity(), None, first, last, 1)
