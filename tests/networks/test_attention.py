"""Attention against NumPy, in a pass and in a walk; the Transformer around it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm import core
from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import CausalSelfAttention, LayerNorm, Transformer
from gm.networks.attention import Dropout

T, C = 5, 6
EVENT, HEAD = Event((T,), 3), dist.CategoricalHead(3)
LAYERS = {
    "one input": (CausalSelfAttention(T, 4, 2), None),
    "strict": (CausalSelfAttention(T, 4, 2, strict=True), None),
    "two inputs": (CausalSelfAttention(T, 6, 3, key_features=9), 2),
    "two inputs, strict": (CausalSelfAttention(T, 6, 1, key_features=4, strict=True), 2),
}


@jax.jit
def randomized(params, key):
    return jax.tree.map(lambda a: a + 0.3 * jax.random.normal(key, a.shape), params)


def case(name, key):
    """A layer, its parameters, its inputs."""
    layer, source_width = LAYERS[name]
    widths = (C,) if source_width is None else (C, source_width)
    inputs = [jax.random.normal(jax.random.fold_in(key, n), (T, n)) for n in widths]
    return layer, randomized(jax.jit(layer.init)(key, *inputs), key), inputs


@pytest.mark.parametrize("name", LAYERS)
def test_attention_is_the_textbook_sum(name, key):
    layer, params, inputs = case(name, key)
    weights = jax.tree.map(np.asarray, params["params"])

    def dense(a, name):
        return np.asarray(a) @ weights[name]["kernel"] + weights[name]["bias"]

    queries, width = dense(inputs[0], "queries"), layer.key_features or layer.features
    keys, values = np.split(dense(inputs[-1], "keys_values"), [width], 1)
    d, e = width // layer.num_heads, layer.features // layer.num_heads
    want = np.zeros((T, layer.features))
    for i in range(T):
        past = slice(0, i if layer.strict else i + 1)
        for h in range(layer.num_heads if past.stop else 0):
            q, k = queries[i, h * d : (h + 1) * d], keys[past, h * d : (h + 1) * d]
            a = special.softmax(k @ q / np.sqrt(d))
            want[i, h * e : (h + 1) * e] = a @ values[past, h * e : (h + 1) * e]
    np.testing.assert_allclose(layer.apply(params, *inputs), want, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_walk_with_kept_keys_and_values_is_the_pass(name, key):
    layer, params, inputs = case(name, key)
    want = layer.apply(params, *inputs)
    cache = layer.apply(params, *(a[0] for a in inputs), method="start")
    for i in range(T):
        now = (a[i] for a in inputs)
        cache, y = layer.apply(params, cache, jnp.array(i), *now, method="step")
        np.testing.assert_allclose(y, want[i], atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_finite_and_come_from_the_past(name, key):
    layer, params, inputs = case(name, key)
    jacobian = jax.jacrev(lambda a: layer.apply(params, *inputs[:-1], a))(inputs[-1])
    moves = np.abs(jacobian).sum((1, 3))  # [of, by], by way of keys and values
    assert np.isfinite(moves).all()
    reach = np.tril(np.ones((T, T)), -1 if layer.strict and len(inputs) == 2 else 0)
    seen = moves > 0
    if layer.strict and len(inputs) == 1:  # the query of the first element has nothing to weigh
        reach[0, 0] = 0
        reach[1, 1] = 0  # and that of the second only one thing
    np.testing.assert_array_equal(seen, reach > 0)


def test_heads_that_do_not_divide_the_width_are_refused(key):
    with pytest.raises(ValueError, match="divisible by num_heads=3; got 4 and 4"):
        jax.jit(CausalSelfAttention(T, 4, 3).init)(key, jnp.zeros((T, C)))


def test_layer_norm_of_one_element_and_of_many(key):
    x = 3.0 + 2.0 * jax.random.normal(key, (T, C))
    params = randomized(jax.jit(LayerNorm().init)(key, x), key)
    z = (x - x.mean(1, keepdims=True)) / np.sqrt(np.var(x, 1, keepdims=True) + 1e-5)
    scale, bias = (np.asarray(params["params"][name]) for name in ("scale", "bias"))
    want = np.asarray(z) * scale + bias
    got = LayerNorm().apply(params, x)
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(LayerNorm().apply(params, x[0]), got[0], atol=1e-6)


def model_of(event=EVENT, context=None, **options):
    network = Transformer(width=8, num_layers=2, num_heads=2, **options)
    return CausalModel(event, HEAD, network, context)


def test_weights_start_as_those_of_gpt2(key):
    network = Transformer(width=64, num_layers=8, num_heads=2)
    params = jax.jit(CausalModel(EVENT, HEAD, network).init)(key)["params"]
    block = params["blocks_3"]
    for kernel, want in (
        (params["elements"]["kernel"], 0.02),
        (params["positions"]["table"], 0.02),
        (block["attention"]["queries"]["kernel"], 0.02),
        (block["mlp_in"]["kernel"], 0.02),
        (block["attention_out"]["kernel"], 0.005),
        (block["mlp_out"]["kernel"], 0.005),
    ):
        error = want / np.sqrt(2 * kernel.size)
        assert abs(np.std(kernel) - want) < 5 * error
    # 12 C^2 + 13 C a block: what is counted of GPT-2
    assert sum(leaf.size for leaf in jax.tree.leaves(block)) == 12 * 64**2 + 13 * 64


def test_images_are_read_in_raster_order(key):
    image, line = model_of(Event((2, 3), 3)), model_of(Event((6,), 3))
    params, x = randomized(jax.jit(image.init)(key), key), jax.random.randint(key, (2, 3), 0, 3)
    want = line.log_prob(params, x.reshape(6))
    np.testing.assert_allclose(image.log_prob(params, x), want, rtol=1e-6)


def test_dropout_is_for_training_only_and_zero_changes_nothing(key):
    x = jax.random.randint(key, (T,), 0, 3)
    plain, dropped = model_of(), model_of(dropout=0.5)
    params = randomized(jax.jit(plain.init)(key), key)
    want = plain.log_prob(params, x)
    assert dropped.log_prob(params, x) == want == plain.log_prob_with_dropout(params, key, x)
    one, two = (dropped.log_prob_with_dropout(params, k, x) for k in jax.random.split(key))
    assert len({float(one), float(two), float(want)}) == 3


def test_dropout_keeps_the_mean(key):
    x = jax.random.normal(key, (3,))
    keys = jax.random.split(key, 4096)
    drawn = jax.vmap(lambda k: Dropout(0.25).apply({}, x, rngs={"dropout": k}))(keys)
    np.testing.assert_allclose(np.mean(drawn == 0.0), 0.25, atol=0.03)  # five standard errors
    np.testing.assert_allclose(np.mean(drawn, 0), x, atol=0.1)


def test_bfloat16_walks_as_it_passes(key):
    model = core.in_precision(model_of(), jnp.bfloat16)
    params, x = randomized(jax.jit(model.init)(key), key), jax.random.randint(key, (T,), 0, 3)
    want, carry = model.conditionals(params, x).logits, model.start(params)
    assert want.dtype == jnp.float32
    assert np.abs(want - model_of().conditionals(params, x).logits).max() > 1e-4
    for i in range(T):  # a value may lie on the edge between two numbers of eight bits
        np.testing.assert_allclose(model.predict(params, carry).logits, want[i], atol=5e-2)
        carry = model.observe(params, carry, x[i])
