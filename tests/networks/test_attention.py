"""Attention and the Transformer against NumPy, in parallel and element by element."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm import core
from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import CausalSelfAttention, Transformer
from gm.networks.attention import Dropout

T, C, K = 5, 6, 3
EVENT, HEAD = Event((T,), K), dist.CategoricalHead(K)
LAYERS = {
    "one input": (CausalSelfAttention(T, 4, 2), (C,)),
    "two inputs, strict": (CausalSelfAttention(T, 6, 3, key_features=9, strict=True), (C, 2)),
}


def exact(params):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def attention(p, x, source, heads, width, strict=False):
    """Vaswani et al. (2017), equation 1, one element and one head at a time."""
    queries = dense(p["queries"], x)
    keys, values = np.split(dense(p["keys_values"], source), [width], 1)
    d, e = width // heads, values.shape[1] // heads
    y = np.zeros(values.shape)
    for i in range(len(x)):
        past = slice(0, i if strict else i + 1)
        for h in range(heads if past.stop else 0):
            q, k = queries[i, h * d : (h + 1) * d], keys[past, h * d : (h + 1) * d]
            a = special.softmax(k @ q / np.sqrt(d))
            y[i, h * e : (h + 1) * e] = a @ values[past, h * e : (h + 1) * e]
    return y


@pytest.mark.parametrize("name", LAYERS)
def test_attention_is_the_textbook_sum_in_parallel_and_in_steps(name, random_params):
    layer, widths = LAYERS[name]
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(T, n)).astype(np.float32) for n in widths]
    params = random_params(layer.init, *inputs)

    @jax.jit
    def faces(params, inputs):
        def step(cache, now):
            return layer.apply(params, cache, *now, method="step")

        cache = layer.apply(params, *(a[0] for a in inputs), method="start")
        _, stepped = jax.lax.scan(step, cache, (jnp.arange(T), *inputs))
        passed = layer.apply(params, *inputs)
        gradient = jax.grad(lambda a: jnp.sum(layer.apply(params, *inputs[:-1], a)))(inputs[-1])
        return passed, stepped, gradient

    width = layer.key_features or layer.features
    x, source = inputs[0], inputs[-1]
    want = attention(exact(params), x, source, layer.num_heads, width, layer.strict)
    *both, gradient = faces(params, inputs)
    for y in both:
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)  # float32 sums
    assert np.isfinite(gradient).all()  # where the first element sees nothing, too


def test_heads_that_do_not_divide_the_width_are_refused(key):
    with pytest.raises(ValueError, match="divisible by num_heads=3; got 4 and 4"):
        jax.eval_shape(CausalSelfAttention(T, 4, 3).init, key, jnp.zeros((T, C)))


def model_of(event=EVENT, context=None, **options):
    network = Transformer(width=8, num_layers=2, num_heads=2, **options)
    return CausalModel(event, HEAD, network, context)


def layer_norm(p, x):
    z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return z * p["scale"] + p["bias"]


def gelu(x):
    """By tanh, as in GPT-2."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def transformer(p, x, y):
    """log p(x | y) of a pre-norm decoder, Radford et al. (2019), section 2.3."""
    previous = np.concatenate([np.zeros((1, K + 1)), np.eye(K + 1)[x.ravel()[:-1]]])
    previous[0, K] = 1.0  # that there is none
    h = dense(p["elements"], previous) + p["positions"]["table"] + dense(p["given"]["dense"], y)
    for block in (p["blocks_0"], p["blocks_1"]):
        z = layer_norm(block["norm_attention"], h)
        h = h + dense(block["attention_out"], attention(block["attention"], z, z, 2, 8))
        z = layer_norm(block["norm_mlp"], h)
        h = h + dense(block["mlp_out"], gelu(dense(block["mlp_in"], z)))
    log_p = special.log_softmax(dense(p["output"], layer_norm(p["norm"], h)), -1)
    return log_p[np.arange(x.size), x.ravel()].sum()


def test_log_prob_is_that_of_the_paper(random_params):
    """Of two layers, over an image in raster order, given a vector."""
    model = model_of(Event((2, 3), K), Event((2,)))
    params, rng = random_params(model.init), np.random.default_rng(0)
    x, y = rng.integers(0, K, (2, 3)), rng.normal(size=2).astype(np.float32)
    got = jax.jit(model.log_prob)(params, x, y)
    np.testing.assert_allclose(got, transformer(exact(params), x, y), rtol=1e-5)


def test_weights_start_as_those_of_gpt2(key):
    model = CausalModel(EVENT, HEAD, Transformer(width=64, num_layers=2, num_heads=2))

    @jax.jit
    def some(key):
        params = model.init(key)["params"]
        block = params["blocks_1"]
        inner = block["attention"]["queries"]["kernel"], params["positions"]["table"]
        return *inner, block["attention_out"]["kernel"], block["mlp_out"]["kernel"]

    for kernel, want in zip(some(key), (0.02, 0.02, 0.01, 0.01), strict=True):
        error = want / np.sqrt(2 * kernel.size)
        assert abs(np.std(kernel) - want) < 5 * error
    # 12 C^2 + 13 C a block: what is counted of GPT-2
    block = jax.eval_shape(model.init, key)["params"]["blocks_0"]
    assert sum(leaf.size for leaf in jax.tree.leaves(block)) == 12 * 64**2 + 13 * 64


def test_dropout_is_for_training_only_and_independent_everywhere(random_params):
    """Of embeddings, attention weights and what each block adds; without a key nothing changes."""
    plain, dropped, masks = model_of(), model_of(dropout=0.5), {}
    params, x = random_params(plain.init), np.arange(T) % K

    def record(following, args, kwargs, context):
        y = following(*args, **kwargs)
        if isinstance(context.module, Dropout):
            masks["/".join(context.module.path)] = y == 0.0
        return y

    @jax.jit
    def scores(params, key):
        without = [model.log_prob(params, x) for model in (plain, dropped)]
        masks.clear()
        with nn.intercept_methods(record):
            one = dropped.log_prob_with_dropout(params, key, x)
        return *without, one, dict(masks)

    want, same, one, masks = scores(params, jax.random.key(0))
    *_, other, _ = scores(params, jax.random.key(1))
    assert same == want
    assert len({float(want), float(one), float(other)}) == 3
    parts = ("attention/drop", "drop_attention", "drop_mlp")
    assert set(masks) == {"drop", *(f"blocks_{n}/{part}" for n in (0, 1) for part in parts)}
    of_stream = [np.asarray(m) for place, m in masks.items() if "attention/drop" not in place]
    of_weights = [np.tril(m) for place, m in masks.items() if "attention/drop" in place]
    for group in (of_stream, of_weights):
        assert len({mask.tobytes() for mask in group}) == len(group)
    assert all(0.2 < np.mean(mask) < 0.8 for mask in of_stream)


def test_dropout_keeps_the_mean(key):
    x = jnp.array([0.5, -2.0, 1.0])
    keys = jax.random.split(key, 4096)
    dropped = jax.jit(jax.vmap(lambda k: Dropout(0.25).apply({}, x, rngs={"dropout": k})))(keys)
    np.testing.assert_allclose(np.mean(dropped == 0.0), 0.25, atol=0.03)  # five standard errors
    np.testing.assert_allclose(np.mean(dropped, 0), x, atol=0.1)


def test_bfloat16_samples_as_it_scores(random_params):
    model = CausalModel(EVENT, HEAD, Transformer(width=8, num_layers=1, num_heads=2))
    low = core.in_precision(model, jnp.bfloat16)
    params, x = random_params(model.init, scale=0.3), jnp.arange(T) % K

    @jax.jit
    def faces(params, x):
        def step(carry, x_i):
            return low.observe(params, carry, x_i), low.predict(params, carry).logits

        _, stepped = jax.lax.scan(step, low.start(params), x)
        return stepped, low.conditionals(params, x).logits, model.conditionals(params, x).logits

    stepped, passed, full = faces(params, x)
    assert passed.dtype == jnp.float32
    assert np.abs(passed - full).max() > 1e-4
    # A value may lie on the edge between two numbers of eight bits.
    np.testing.assert_allclose(stepped, passed, atol=5e-2)
