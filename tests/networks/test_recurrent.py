"""Recurrent layers against Flax's cells, and one network in a pass, in a walk and in windows."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import core
from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import GRU, LSTM, CausalConv, CausalNetwork, RecurrentNetwork

T, C, H = 6, 3, 4
TEXT, HEAD = Event((T,), 5), dist.CategoricalHead(5)
CELLS = {"LSTM": LSTM, "GRU": GRU}


@jax.jit
def randomized(params, key):
    return jax.tree.map(lambda a: a + 0.3 * jax.random.normal(key, a.shape), params)


def gates(params):
    """The kernels [C, gates, H] of the inputs and [H, gates, H] of the state, and the biases."""
    p = params["params"]
    parts = p["inputs"]["kernel"], p["recurrent"], p["inputs"]["bias"]
    return [np.asarray(a).reshape(*a.shape[:-1], -1, H) for a in parts]


def run_cell(cell, params, carry, x):
    outputs = []
    for x_i in x:
        carry, y = cell.apply({"params": params}, carry, x_i)
        outputs.append(y)
    return np.stack(outputs)


def test_lstm_is_that_of_flax_with_an_open_forget_gate(key):
    layer, x = LSTM(H), jax.random.normal(key, (T, C))
    params = randomized(jax.jit(layer.init)(key, x), key)
    inputs, states, bias = gates(params)
    theirs = {f"i{gate}": {"kernel": inputs[:, n]} for n, gate in enumerate("ifgo")}
    theirs |= {
        f"h{gate}": {"kernel": states[:, n], "bias": bias[n] + (gate == "f")}
        for n, gate in enumerate("ifgo")
    }
    zeros = (jnp.zeros(H), jnp.zeros(H))
    want = run_cell(nn.LSTMCell(H), theirs, zeros, x)
    np.testing.assert_allclose(layer.apply(params, x), want, atol=1e-6)


def test_gru_is_that_of_flax(key):
    layer, x = GRU(H), jax.random.normal(key, (T, C))
    params = randomized(jax.jit(layer.init)(key, x), key)
    inputs, states, bias = gates(params)
    theirs = {f"i{gate}": {"kernel": inputs[:, n], "bias": bias[n]} for n, gate in enumerate("rzn")}
    theirs |= {f"h{gate}": {"kernel": states[:, n]} for n, gate in enumerate("rzn")}
    theirs["hn"]["bias"] = params["params"]["bias"]
    want = run_cell(nn.GRUCell(H), theirs, jnp.zeros(H), x)
    np.testing.assert_allclose(layer.apply(params, x), want, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_recurrent_weights_start_as_one_orthogonal_matrix_a_gate(cell, key):
    _, states, _ = gates(jax.jit(cell(H).init)(key, jnp.zeros((T, C))))
    for gate in np.moveaxis(states, 1, 0):
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_layer_steps_and_goes_on_as_it_runs_at_once(cell, key):
    layer, x = cell(H), jax.random.normal(key, (T, C))
    params = randomized(jax.jit(layer.init)(key, x), key)
    want = layer.apply(params, x)
    state = layer.apply(params, x[0], method="start")
    for i in range(T):
        state, y = layer.apply(params, state, jnp.array(i), x[i], method="step")
        np.testing.assert_allclose(y, want[i], atol=1e-6)
    middle, first = layer.apply(params, None, x[:2], method="window")
    end, second = layer.apply(params, middle, x[2:], method="window")
    np.testing.assert_allclose(np.concatenate([first, second]), want, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), end, state)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_output_i_sees_inputs_up_to_i(cell, key):
    layer, x = cell(H), jax.random.normal(key, (T, C))
    params = randomized(jax.jit(layer.init)(key, x), key)
    moves = np.abs(jax.jacrev(lambda x: layer.apply(params, x))(x)).sum((1, 3))  # [of, by]
    assert (np.triu(moves, 1) == 0).all()
    assert (moves[np.tril_indices(T)] > 0).all()


def model_of(cell=LSTM, context=None):
    return CausalModel(TEXT, HEAD, RecurrentNetwork(cell=cell, widths=(H, 3)), context)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_windows_with_a_memory_are_one_long_window(cell, key):
    model, y = model_of(cell, Event((2,))), jnp.array([0.5, -1.0])
    params, x = randomized(jax.jit(model.init)(key), key), jax.random.randint(key, (T,), 0, 5)
    memory, total = model.memory(params), 0.0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(memory))
    for part in jnp.split(x, [1, 4]):
        log_prob, memory = model.log_prob_from(params, memory, part, y)
        total += log_prob
    np.testing.assert_allclose(total, model.log_prob(params, x, y), rtol=1e-5)
    alone, _ = model.log_prob_from(params, model.memory(params), x[4:], y)
    assert abs(alone - log_prob) > 1e-3  # what was remembered matters


def test_parameters_serve_events_of_any_length(key):
    short = model_of()
    params = randomized(jax.jit(short.init)(key), key)
    long = dataclasses.replace(short, event=Event((10_000,), 5))
    x = jax.jit(long.sample)(params, key)
    assert x.shape == (10_000,)
    np.testing.assert_array_equal(x[:3].shape, (3,))
    first = short.conditionals(params, x[:T]).logits
    np.testing.assert_allclose(long.conditionals(params, x).logits[:T], first, atol=1e-6)
    # The last conditional of the long walk is that of the long pass.
    carry = jax.lax.scan(lambda c, x_i: (long.observe(params, c, x_i), None), long.start(params), x)
    longer = dataclasses.replace(short, event=Event((10_001,), 5))
    want = longer.conditionals(params, jnp.append(x, 0)).logits[-1]
    np.testing.assert_allclose(long.predict(params, carry[0]).logits, want, atol=1e-4)


def test_images_are_read_in_raster_order(key):
    image = CausalModel(Event((2, 3), 5), HEAD, RecurrentNetwork(widths=(H,)))
    line = dataclasses.replace(image, event=Event((6,), 5))
    params, x = randomized(jax.jit(image.init)(key), key), jax.random.randint(key, (2, 3), 0, 5)
    np.testing.assert_allclose(
        image.log_prob(params, x), line.log_prob(params, x.reshape(6)), rtol=1e-6
    )


def test_bfloat16_walks_as_it_passes(key):
    model = core.in_precision(model_of(), jnp.bfloat16)
    params, x = randomized(jax.jit(model.init)(key), key), jax.random.randint(key, (T,), 0, 5)
    want, carry = model.conditionals(params, x).logits, model.start(params)
    assert want.dtype == jnp.float32
    assert np.abs(want - model_of().conditionals(params, x).logits).max() > 1e-4
    for i in range(T):
        np.testing.assert_allclose(model.predict(params, carry).logits, want[i], atol=2e-2)
        carry = model.observe(params, carry, x[i])


def test_a_network_that_cannot_go_on_says_so(key):
    class Short(CausalNetwork):
        def setup(self):
            self.layer = CausalConv(self.num_features, self.num_params)

        def body(self, f, context, run):
            return run(self.layer, f)

    model = CausalModel(TEXT, HEAD, Short())
    with pytest.raises(TypeError, match="layers with `window`; CausalConv has none"):
        model.memory(jax.jit(model.init)(key))
