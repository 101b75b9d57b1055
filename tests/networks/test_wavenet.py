"""WaveNet against NumPy, and what each of its outputs sees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import WaveNet

K, CHANNELS, SKIPS = 3, 4, 5


def model_of(dilations, size, shape=(6,)):
    network = WaveNet(channels=CHANNELS, skip_channels=SKIPS, dilations=dilations, size=size)
    return CausalModel(Event(shape, K), dist.CategoricalHead(K), network, Event((2,)))


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def logits_of(p, x, y, dilations, size):
    """van den Oord et al. (2016), figure 4 and section 2.5, one element and one tap at a time."""
    previous = np.concatenate([np.zeros((1, K + 1)), np.eye(K + 1)[x.ravel()[:-1]]])
    previous[0, K] = 1.0  # that there is none
    given = dense(p["given"]["dense"], y).reshape(len(dilations), 2 * CHANNELS)
    h, skips = dense(p["entry"], previous), np.zeros((x.size, SKIPS))
    for n, dilation in enumerate(dilations):
        conv, a = p[f"convs_{n}"], np.zeros((x.size, 2 * CHANNELS))
        for t in range(x.size):
            a[t] = conv["bias"] + given[n]
            for back in range(size):
                if t - back * dilation >= 0:
                    a[t] += h[t - back * dilation] @ conv["kernel"][size - 1 - back]
        gate = np.tanh(a[:, :CHANNELS]) * special.expit(a[:, CHANNELS:])
        out = dense(p[f"mixes_{n}"], gate)
        skips += out[:, :SKIPS]
        if n < len(dilations) - 1:
            h = h + out[:, SKIPS:]
    return dense(p["exit"], np.maximum(dense(p["hidden"], np.maximum(skips, 0.0)), 0.0))


@pytest.mark.parametrize(("dilations", "size"), [((1, 2, 4, 1), 2), ((2, 1), 3)])
def test_log_prob_is_that_of_the_paper_at_any_length(dilations, size, random_params):
    """Parameters of six elements score an image of twelve, in raster order, given a vector."""
    short = model_of(dilations, size)
    model = dataclasses.replace(short, event=Event((3, 4), K))
    params, rng = random_params(short.init, scale=1.0), np.random.default_rng(0)
    x, y = rng.integers(0, K, (3, 4)), rng.normal(size=2).astype(np.float32)
    exact = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    log_p = special.log_softmax(logits_of(exact, x, y, dilations, size), -1)
    want = log_p[np.arange(12), x.ravel()].sum()
    np.testing.assert_allclose(jax.jit(model.log_prob)(params, x, y), want, rtol=1e-5)


@pytest.mark.parametrize(
    ("dilations", "size", "want"), [((1, 2, 4, 1), 2, 9), ((1, 2), 3, 7), ((3,), 2, 4)]
)
def test_receptive_field_is_what_the_reference_sees(dilations, size, want, random_params):
    """By the last output, moved through element after element."""
    model = model_of(dilations, size)
    assert model.sized_network.receptive_field == want
    exact = jax.tree.map(np.asarray, random_params(model.init)["params"])
    x, y = np.zeros(16, int), np.zeros(2)
    last = logits_of(exact, x, y, dilations, size)[-1]
    seen = [
        back
        for back in range(1, 16)
        if np.any(
            logits_of(exact, np.eye(16, dtype=int)[15 - back], y, dilations, size)[-1] != last
        )
    ]
    assert seen[-1] == want


def test_what_blocks_add_starts_smaller_by_the_root_of_their_number(key):
    """So that neither the stream nor the sum of the skips grows with the depth."""
    network = WaveNet(channels=32, skip_channels=32, dilations=(1, 2, 4, 8))

    @jax.jit
    def kernels():
        params = network.init(key, jnp.zeros((5, 1)))["params"]
        return [params[f"mixes_{n}"]["kernel"] for n in (0, 3)]  # a stream and skips; skips alone

    for kernel in kernels():
        want = 1.0 / np.sqrt(4 * 32)  # where the usual scale is 1 / sqrt(inputs)
        assert abs(np.std(kernel) / want - 1.0) < 0.1


def test_a_stack_without_blocks_is_refused(key):
    network = WaveNet(dilations=(), shape=(16,), num_features=1, num_params=2)
    with pytest.raises(ValueError, match="WaveNet needs at least one dilation"):
        network.init(key, jnp.zeros((16, 1)))
