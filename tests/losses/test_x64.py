"""Losses, scores and completions stay in 32 bits where JAX has 64, and promote nothing.

By shapes and dtypes alone: nothing is computed.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.losses import (
    adversarial,
    fixed_points,
    likelihood,
    order_agnostic,
    path_gradients,
    relaxations,
    score_function,
    variational,
    weighted_bounds,
)
from gm.metrics import annealed, importance, mmd
from gm.models.autoregressive import MADE, NADE, DeepNADE, Ensemble
from gm.models.classical import Mixture, components
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP
from gm.tasks import completion
from tests.models import tenants

BITS, PLANE = Event((3,), 2), Event((2,))
BERNOULLI = dist.BernoulliHead()
DEEP = DeepNADE(BITS, BERNOULLI, (4,))
ORDERS = Ensemble(MADE(BITS, BERNOULLI, (4,), mask_seed=0), 2)
LATENT = VAE(BITS, BERNOULLI, MLP((4,), (4,), input_ndim=2), MLP((4,), (3, 1)), latent_dim=2)
DISCRETE = tenants.Discrete()
CLUSTERS = Mixture(PLANE, 2, components.DiagonalGaussians(2))


class BitsOfBits(tenants.Discrete):
    """z of three bits."""

    def prior(self, params):
        return dist.Bernoulli(params["prior"][0])

    def encode(self, params, x):
        return dist.Bernoulli(super().encode(params, x).logits[0])

    def decode(self, params, z):
        return dist.Bernoulli(z.astype(jnp.float32))


BITS_OF_BITS = BitsOfBits()
GENERATOR = Generator(PLANE, MLP((4,), (2,)), latent_dim=3)
CRITIC = Critic(PLANE, MLP((4,), ()))
SEEN = functools.partial(jax.ShapeDtypeStruct, (4, 3), jnp.int32)
REAL = functools.partial(jax.ShapeDtypeStruct, (4, 2), jnp.float32)


def of_batch(loss, init, x, *models, **options):
    return lambda key, x: loss(*models, init(key), key, {"x": x}, **options), x()


def of_game(player, rules, **options):
    def init(key):
        return {"generator": GENERATOR.init(key), "critic": CRITIC.init(key)}

    return of_batch(rules(GENERATOR, CRITIC, **options)[player], init, REAL)


def of_one(function, model, *arrays, **options):
    return lambda key, *given: function(model, model.init(key), key, *given, **options), *arrays


BIT, KNOWN = jax.ShapeDtypeStruct((3,), jnp.int32), jax.ShapeDtypeStruct((3,), jnp.bool_)
CASES = {
    "likelihood": of_batch(likelihood.negative_log_likelihood, ORDERS.init, SEEN, ORDERS),
    "all orders": of_batch(order_agnostic.order_agnostic_nll, DEEP.init, SEEN, DEEP),
    "members": of_batch(order_agnostic.sampled_member_nll, ORDERS.init, SEEN, ORDERS),
    "elbo": of_batch(variational.negative_elbo, LATENT.init, SEEN, LATENT, free_nats=1.0),
    "sampled elbo": of_batch(
        variational.negative_elbo, LATENT.init, SEEN, LATENT, analytic_kl=False
    ),
    "iwae": of_batch(variational.negative_iwae, LATENT.init, SEEN, LATENT),
    "enumerated elbo": of_batch(
        variational.negative_enumerated_elbo, DISCRETE.init, SEEN, DISCRETE
    ),
    "any bound": of_batch(
        weighted_bounds.negative_bound,
        LATENT.init,
        SEEN,
        LATENT,
        bound=functools.partial(weighted_bounds.renyi_bound, order=0.5),
        encoder_bound=functools.partial(weighted_bounds.miwae_bound, num_groups=2),
        num_samples=4,
    ),
    "dreg": of_batch(path_gradients.doubly_reparameterized_loss, LATENT.init, SEEN, LATENT),
    "vimco": of_batch(score_function.vimco_loss, DISCRETE.init, SEEN, DISCRETE),
    "rloo": of_batch(score_function.rloo_loss, DISCRETE.init, SEEN, DISCRETE),
    "relaxed": of_batch(relaxations.relaxed_loss, BITS_OF_BITS.init, SEEN, BITS_OF_BITS),
    "rebar": of_batch(relaxations.rebar_loss, BITS_OF_BITS.init, SEEN, BITS_OF_BITS),
    "annealed": of_one(annealed.estimate, LATENT, BIT, num_chains=2, num_steps=3),
    "a step of EM": of_batch(fixed_points.fixed_point_loss, CLUSTERS.init, REAL, CLUSTERS),
    "critic": of_game("critic", adversarial.non_saturating, r1=1.0),
    "generator": of_game("generator", adversarial.non_saturating),
    "wasserstein": of_game("critic", adversarial.wasserstein),
    "importance": of_one(importance.estimate, LATENT, BIT, num_samples=7, chunk=3),
    "completion": of_one(completion.complete_weighted, NADE(BITS, BERNOULLI, 4), BIT, KNOWN),
    "mmd": (lambda key, x: mmd.squared_mmd(x, 2.0 * x), REAL()),
    "generated": (lambda key: GENERATOR.sample(GENERATOR.init(key), key),),
    "decoded": (lambda key: LATENT.sample(LATENT.init(key), key),),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_stays_in_32_bits(case):
    function, *arrays = CASES[case]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(function, jax.eval_shape(jax.random.key, 0), *arrays)
    assert {leaf.dtype.itemsize for leaf in jax.tree.leaves(out)} == {4}
