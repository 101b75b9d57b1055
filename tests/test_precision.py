"""Half precision: products in bfloat16; parameters, gradients, sums and losses in float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import core, data, metrics, train
from gm import distributions as dist
from gm.core import Event
from gm.losses import adversarial, likelihood, variational
from gm.models.autoregressive import MADE, walk
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP, ConvDecoder, ConvEncoder

BITS, IMAGES = Event((6,), 2), Event((4, 4, 1))
MADE_6 = MADE(BITS, dist.BernoulliHead(), hidden=(8, 8))
VAE_6 = VAE(BITS, dist.BernoulliHead(), MLP((8,), (4,), 2), MLP((8,), (6, 1)), latent_dim=2)
GENERATOR = Generator(IMAGES, ConvDecoder((4,), (4, 4, 1)), latent_dim=2)
CRITIC = Critic(IMAGES, ConvEncoder((4,), ()))
SUMS = ("reduce_sum", "cumsum", "add_any")


def equations(jaxpr):
    """Every equation of a jaxpr and of those within it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr"),
        ):
            if hasattr(inner, "jaxpr"):
                inner = inner.jaxpr
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def cases():
    half = functools.partial(core.in_precision, dtype=jnp.bfloat16)
    key, x = jax.random.key(0), {"x": jnp.zeros((16, 6), jnp.int32)}
    made, vae = half(MADE_6), half(VAE_6)
    yield "MADE", functools.partial(likelihood.negative_log_likelihood, made), made.init(key), x
    yield "VAE", functools.partial(variational.negative_elbo, vae), vae.init(key), x
    generator, critic = half(GENERATOR), half(CRITIC)
    params = {"generator": generator.init(key), "critic": critic.init(key)}
    images = {"x": jnp.zeros((16, 4, 4, 1))}
    for name, loss in adversarial.non_saturating(generator, critic).items():
        yield name, loss, params, images


@pytest.mark.parametrize("name", ["MADE", "VAE", "critic", "generator"])
def test_products_are_half_and_everything_else_is_not(name, key):
    (case,) = (case for case in cases() if case[0] == name)
    _, loss, params, batch = case
    run = jax.value_and_grad(loss, has_aux=True)
    jaxpr = jax.make_jaxpr(run)(params, key, batch)
    products = 0
    for equation in equations(jaxpr.jaxpr):
        dtypes = {v.aval.dtype for v in equation.invars if hasattr(v.aval, "dtype")}
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            assert dtypes == {jnp.dtype(jnp.bfloat16)}, equation
            products += 1
        if equation.primitive.name in SUMS:
            assert jnp.dtype(jnp.bfloat16) not in dtypes, equation
    assert products >= 6  # two layers, forwards and backwards
    for x in jax.tree.leaves((params, jax.eval_shape(run, params, key, batch))):
        assert x.dtype == jnp.float32


def test_one_argument_reaches_every_network_and_the_model_stays_a_value():
    half = core.in_precision(VAE_6, jnp.bfloat16)
    assert half.encoder.dtype == half.decoder.dtype == jnp.bfloat16
    assert half == core.in_precision(VAE_6, jnp.bfloat16) != VAE_6
    assert hash(half) == hash(core.in_precision(VAE_6, "bfloat16"))
    assert jax.tree.structure(half.init(jax.random.key(0))) == jax.tree.structure(
        VAE_6.init(jax.random.key(0))
    )
    with pytest.raises(TypeError, match="a field `dtype` in some part of it; Event has none"):
        core.in_precision(BITS, jnp.bfloat16)
    with pytest.raises(ValueError, match="a floating dtype; got int32"):
        core.in_precision(MADE_6, jnp.int32)


def test_both_faces_of_a_half_precise_model_agree_and_laws_hold(key):
    half = core.in_precision(MADE_6, jnp.bfloat16)
    params = half.init(key)
    x = jnp.array([0, 1, 1, 0, 1, 0])
    carry, logits = half.start(params), []
    for x_i in walk.in_order(half, x):
        logits.append(half.predict(params, carry).logits)
        carry = half.observe(params, carry, x_i)
    want = half.conditionals(params, x).logits
    np.testing.assert_allclose(jnp.stack(logits), want, atol=2e-2)  # 8 bits of mantissa
    sums = [
        jnp.exp(half.log_prob(params, jnp.array(list(map(int, f"{i:06b}"))))) for i in range(64)
    ]
    np.testing.assert_allclose(sum(sums), 1.0, atol=2e-2)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_training_in_half_precision_learns_as_well(dtype):
    """The 8x8 digits in 300 steps: 88 nats in either, within a nat; independent pixels: 107."""
    digits = data.load("digits")
    model = MADE(digits.event, dist.head_for(digits.event), hidden=(100,))
    optimizer = optax.adamw(4e-3, weight_decay=1.0)
    loss = functools.partial(likelihood.negative_log_likelihood, core.in_precision(model, dtype))
    step = train.make_step(loss, optimizer, mesh=train.data_mesh(jax.devices()[:1]))
    state = train.init(model.init(jax.random.key(0)), optimizer, jax.random.key(1))
    state = train.run(step, state, digits.train.batches(64), 300, progress=False)
    assert metrics.evaluate(model, state.params, digits.test.x).value < 90.0
