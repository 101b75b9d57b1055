"""Recurrent networks against NumPy, and in windows that go on from one another."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm import core
from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import GRU, LSTM, CausalConv, CausalNetwork, RecurrentNetwork

K, T, H = 3, 6, 4
HEAD, GIVEN = dist.CategoricalHead(K), Event((2,))


def model_of(cell=LSTM, shape=(T,), widths=(H, H), context=GIVEN):
    return CausalModel(Event(shape, K), HEAD, RecurrentNetwork(cell=cell, widths=widths), context)


def lstm(p, x, given):
    """Hochreiter & Schmidhuber (1997) with forget gates, whose bias is one more."""
    c, h, states = np.zeros(H), np.zeros(H), []
    for x_t in x:
        a = x_t @ p["inputs"]["kernel"] + p["inputs"]["bias"] + h @ p["recurrent"] + given
        i, f, g, o = a.reshape(4, H)
        c = special.expit(f + 1.0) * c + special.expit(i) * np.tanh(g)
        h = special.expit(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def gru(p, x, given):
    """Cho et al. (2014), the reset gate behind the product, as in cuDNN."""
    h, states = np.zeros(H), []
    for x_t in x:
        r, z, n = (x_t @ p["inputs"]["kernel"] + p["inputs"]["bias"] + given).reshape(3, H)
        r_h, z_h, n_h = (h @ p["recurrent"]).reshape(3, H)
        n = np.tanh(n + special.expit(r + r_h) * (n_h + p["bias"]))
        z = special.expit(z + z_h)
        h = (1.0 - z) * n + z * h
        states.append(h)
    return np.array(states)


def reference(cell, p, x, y):
    """log p(x | y) of the deep network of Graves (2013): every layer sees x, the output all."""
    previous = np.concatenate([np.zeros((1, K + 1)), np.eye(K + 1)[x.ravel()[:-1]]])
    previous[0, K] = 1.0  # that there is none
    inputs, states = previous, []
    for n in range(3):
        given = p[f"given_{n}"]["dense"]
        states.append(cell(p[f"layers_{n}"], inputs, y @ given["kernel"] + given["bias"]))
        inputs = np.concatenate([previous, states[-1]], 1)
    logits = np.concatenate(states, 1) @ p["output"]["kernel"] + p["output"]["bias"]
    return special.log_softmax(logits, -1)[np.arange(x.size), x.ravel()].sum()


@pytest.mark.parametrize(("cell", "formula"), [(LSTM, lstm), (GRU, gru)])
def test_log_prob_is_that_of_the_papers(cell, formula, random_params):
    """Of three layers, over an image in raster order, given a vector."""
    model = model_of(cell, (2, 3), (H, H, H))
    params = random_params(model.init, scale=1.0)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, K, (2, 3)), rng.normal(size=2).astype(np.float32)
    got = jax.jit(model.log_prob)(params, x, y)
    exact = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    np.testing.assert_allclose(got, reference(formula, exact, x, y), rtol=1e-5)


def test_recurrent_weights_start_as_one_orthogonal_matrix_a_gate(key):
    init = jax.jit(lambda: GRU(H).init(key, jnp.zeros((T, K)))["params"]["recurrent"])
    gates = np.split(np.asarray(init()), 3, 1)
    assert len({gate.tobytes() for gate in gates}) == 3
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), atol=1e-5)


def test_windows_with_a_hidden_state_are_one_long_window(random_params):
    """Of parameters that serve events of any length."""
    model, y = model_of(), jnp.array([0.5, -1.0])
    params, x = random_params(model.init), jnp.arange(40) % 7 % K
    longer = dataclasses.replace(model, event=Event((40,), K))

    @jax.jit
    def in_windows(params, x):
        hidden, log_probs = model.initial_hidden_state(params), []
        for part in jnp.split(x, [1, 4]):
            log_prob, hidden = model.log_prob_from(params, hidden, part, y)
            log_probs.append(log_prob)
        alone, _ = model.log_prob_from(params, model.initial_hidden_state(params), x[4:], y)
        return sum(log_probs), longer.log_prob(params, x, y), log_probs[-1] - alone

    total, want, difference = in_windows(params, x)
    np.testing.assert_allclose(total, want, rtol=1e-5)
    assert abs(difference) > 1e-3  # what was remembered matters
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(model.initial_hidden_state(params)))


def test_bfloat16_samples_as_it_scores(random_params):
    model = model_of(context=None)
    low = core.in_precision(model, jnp.bfloat16)
    params, x = random_params(model.init), jnp.arange(T) % K

    @jax.jit
    def faces(params, x):
        def step(carry, x_i):
            return low.observe(params, carry, x_i), low.predict(params, carry).logits

        _, stepped = jax.lax.scan(step, low.start(params), x)
        return stepped, low.conditionals(params, x).logits, model.conditionals(params, x).logits

    stepped, passed, full = faces(params, x)
    assert passed.dtype == jnp.float32
    assert np.abs(passed - full).max() > 1e-4
    np.testing.assert_allclose(stepped, passed, atol=2e-2)  # eight bits


def test_a_network_that_is_not_recurrent_is_refused(random_params):
    class Short(CausalNetwork):
        def setup(self):
            self.layer = CausalConv(self.num_features, self.num_params)

        def body(self, f, context, run):
            return run(self.layer, f)

    model = CausalModel(Event((T,), K), HEAD, Short())
    with pytest.raises(TypeError, match="layers with a `window` method; CausalConv has none"):
        model.initial_hidden_state(random_params(model.init))
