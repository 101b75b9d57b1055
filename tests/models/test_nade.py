"""NADE and its kin: what each paper says, and what their ensembles may not do."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import FVSBN, MADE, NADE, DeepNADE, Ensemble
from gm.networks.nade import scan_in_blocks
from gm.numerics import block_size

BITS = Event((5,), 2)
ORDER = (3, 0, 4, 1, 2)


def randomized(model, key):
    def move(a):
        return a + 0.5 * jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def states(size):
    return jnp.array([*itertools.product((0, 1), repeat=size)], jnp.int32)


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def test_nade_is_the_recursion_of_its_paper(key):
    model = NADE(BITS, dist.BernoulliHead(), 7, order=ORDER)
    params, x = randomized(model, key), np.array([1, 0, 1, 1, 0])
    p = jax.tree.map(np.asarray, params["params"])
    a, want = p["bias"].copy(), np.zeros(5)
    for i in ORDER:
        want[i] = p["outputs"][i, :, 0] @ sigmoid(a) + p["output_bias"][i, 0]
        a = a + p["inputs"][i, 0] * x[i]
    got = model.conditionals(params, jnp.array(x)).logits
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_fvsbn_is_a_logistic_regression_on_the_past(key):
    model = FVSBN(BITS, dist.BernoulliHead(), order=ORDER)
    params, x = randomized(model, key), np.array([1, 0, 1, 1, 0])
    (layer,) = params["params"].values()
    kernel, bias = np.asarray(layer["kernel"]), np.asarray(layer["bias"])
    want = bias.copy()
    for place, i in enumerate(ORDER):
        want[i] += sum(kernel[j, i] * x[j] for j in ORDER[:place])
    got = model.conditionals(params, jnp.array(x)).logits
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_rescaled_units_of_rnade_see_the_factor_before_the_activation(key):
    model = NADE(
        Event((3,)), dist.NormalHead(), 4, activation=jax.nn.relu, rescaled=True, order=(2, 0, 1)
    )
    params, x = randomized(model, key), np.array([0.3, -1.2, 0.7], np.float32)
    p = jax.tree.map(np.asarray, params["params"])
    a, want = p["bias"].copy(), np.zeros(3)
    for i in (2, 0, 1):
        h = np.maximum(p["scales"][i] * a, 0.0)
        want[i] = (h @ p["outputs"][i] + p["output_bias"][i])[0]
        a = a + p["inputs"][i, 0] * x[i]
    got = model.conditionals(params, jnp.array(x)).loc
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 20, 23])
def test_a_scan_in_blocks_is_a_scan_with_its_gradients(size, key):
    rows = jax.random.normal(key, (size, 3))

    def step(carry, row):
        return jnp.tanh(carry + row), jnp.sum(carry * row)

    def total(scan, rows):
        outputs = scan(step, jnp.ones(3), rows)
        return jnp.sum(jnp.sin(outputs)), outputs

    def plain(step, carry, rows):
        return jax.lax.scan(step, carry, rows)[1]

    def blocks(step, carry, rows):
        return scan_in_blocks(step, carry, rows, block_size(size))

    (want, _), want_grad = jax.value_and_grad(lambda r: total(plain, r), has_aux=True)(rows)
    (got, _), got_grad = jax.value_and_grad(lambda r: total(blocks, r), has_aux=True)(rows)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(got_grad, want_grad, rtol=1e-6)


def test_deep_nade_gives_the_same_conditionals_for_a_set_as_for_a_place_of_an_order(key):
    """The parameters after o(<d) in any order are those given the set o(<d)."""
    model = DeepNADE(BITS, dist.BernoulliHead(), (7, 6), order=ORDER)
    params, x = randomized(model, key), jnp.array([1, 0, 1, 1, 0])
    in_order = model.conditionals(params, x).logits
    for place, i in enumerate(ORDER):
        observed = jnp.isin(jnp.arange(5), jnp.array(ORDER[:place]))
        noise = jnp.where(observed, x, 1 - x)  # what is not observed is not looked at
        of_set = model.conditionals_given(params, noise, observed).logits
        np.testing.assert_allclose(of_set[i], in_order[i], rtol=1e-4, atol=1e-5)


MEMBERS = {
    "NADE": NADE(BITS, dist.BernoulliHead(), 6, wiring_seed=3),
    "MADE, orders and masks": MADE(BITS, dist.BernoulliHead(), (9, 8), wiring_seed=3),
    "MADE, masks": MADE(BITS, dist.BernoulliHead(), (9,), wiring_seed=3, shuffled=False),
    "DeepNADE": DeepNADE(BITS, dist.BernoulliHead(), (6, 5), wiring_seed=3),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_an_ensemble_averages_the_probabilities_of_whole_examples(name, key):
    ensemble = Ensemble(MEMBERS[name], 3)
    params, x = randomized(ensemble, key), states(5)
    apart = [jax.vmap(lambda x, m=m: ensemble.member(m).log_prob(params, x))(x) for m in range(3)]
    want = np.log(np.mean(np.exp(np.array(apart, np.float64)), axis=0))
    got = jax.jit(jax.vmap(lambda x: ensemble.log_prob(params, x)))(x)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    one = jax.vmap(lambda x: ensemble.member_log_prob(params, x, jnp.array(2)))(x)
    np.testing.assert_allclose(one, apart[2], rtol=1e-4)


def test_averaging_logits_element_by_element_leaks_the_future_and_ours_does_not(key):
    """The textbook mistake sums to something else than one; the ensemble sums to one."""
    ensemble = Ensemble(MEMBERS["DeepNADE"], 3)
    params, x = randomized(ensemble, key), states(5)

    def mistaken(x):
        logits = [ensemble.member(m).conditionals(params, x).logits for m in range(3)]
        return dist.Bernoulli(jnp.mean(jnp.stack(logits), 0)).log_prob(x)

    totals = [
        jnp.sum(jnp.exp(jax.vmap(f)(x))) for f in (mistaken, lambda x: ensemble.log_prob(params, x))
    ]
    assert abs(totals[0] - 1.0) > 0.01
    assert abs(totals[1] - 1.0) < 1e-4


def test_wirings_differ_by_seed_and_are_functions_of_it():
    first, again = (MADE(BITS, dist.BernoulliHead(), (20,), wiring_seed=1) for _ in range(2))
    assert first == again
    assert first.order == again.order
    orders = {MADE(BITS, dist.BernoulliHead(), (20,), wiring_seed=s).order for s in range(8)}
    assert len(orders) > 4
    masks = MADE(BITS, dist.BernoulliHead(), (20,), wiring_seed=1, shuffled=False)
    assert masks.order == (0, 1, 2, 3, 4)
    assert sorted(masks.network.wiring()[1]) == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5


def test_every_weight_of_a_rewired_model_is_drawn(key):
    """Another wiring may use any of them."""
    params = MADE(BITS, dist.BernoulliHead(), (20,), wiring_seed=1).init(key)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if "kernel" in jax.tree_util.keystr(path):
            assert np.all(np.asarray(leaf) != 0.0)


def test_what_cannot_be_rewired_is_refused():
    with pytest.raises(ValueError, match=r"wiring_seed=0"):
        Ensemble(MADE(BITS, dist.BernoulliHead()), 2)
    with pytest.raises(ValueError, match="at least 1 member"):
        Ensemble(MEMBERS["NADE"], 0)
    with pytest.raises(ValueError, match="at least one hidden layer"):
        DeepNADE(BITS, dist.BernoulliHead(), ())
