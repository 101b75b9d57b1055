"""NADE and its kin against NumPy: what each paper says, and what their ensembles may not do."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE, NADE, DeepNADE, Ensemble
from gm.networks.nade import scan_in_blocks
from gm.numerics import block_size

BITS = Event((5,), 2)
ORDER = (3, 0, 4, 1, 2)
X = np.array([1, 0, 1, 1, 0])


def exact(params):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])


def bernoulli(logits, x):
    return special.log_expit(np.where(x == 1, logits, -logits)).sum(-1)


def nade(p, f, order, activation, y=None):
    """Raw outputs [D, P] of Larochelle & Murray (2011), with the factors of RNADE where p has them.

    f: [D, C]; every bias is moved by a context y.
    """
    a, raw = p["bias"], p["output_bias"].copy()
    if y is not None:
        moved = [y @ p[f"contexts_{n}"]["kernel"] + p[f"contexts_{n}"]["bias"] for n in range(2)]
        a, raw = a + moved[0], raw + moved[1].reshape(raw.shape)
    for i in order:
        raw[i] += activation(p["scales"][i] * a if "scales" in p else a) @ p["outputs"][i]
        a = a + f[i] @ p["inputs"][i]
    return raw


def test_nade_is_the_recursion_of_its_paper(random_params):
    """Of three values, given a vector, over an image in an order."""
    event, head, order = Event((2, 2), 3), dist.CategoricalHead(3), (2, 0, 3, 1)
    model = NADE(event, head, 7, order=order, context=Event((2,)))
    params, rng = random_params(model.init, scale=1.0), np.random.default_rng(0)
    x, y = rng.integers(0, 3, (2, 2)), rng.normal(size=2).astype(np.float32)
    logits = nade(exact(params), np.eye(3)[x.ravel()], order, special.expit, y)
    want = special.log_softmax(logits, -1)[np.arange(4), x.ravel()].sum()
    np.testing.assert_allclose(jax.jit(model.log_prob)(params, x, y), want, rtol=1e-5)


def test_rnade_is_the_recursion_of_its_paper_with_a_mixture_behind_it(random_params):
    """Factors stand before the activation; some are negative, so that relu tells the sides."""
    order, head = (2, 0, 1), dist.MixtureOfNormalsHead(2)
    model = NADE(Event((3,)), head, 6, activation=jax.nn.relu, rescaled=True, order=order)
    params, x = random_params(model.init, scale=1.0), np.array([0.3, -1.2, 0.7], np.float32)
    p = exact(params)
    assert np.min(p["scales"]) < 0.0 < np.max(p["scales"])
    raw = nade(p, x[:, None].astype(np.float64), order, lambda a: np.maximum(a, 0.0))
    weights, loc, scale = np.split(raw, 3, 1)
    # The head's own start: locations at -1/2 and 1/2, scales at 1.
    scale = 1e-3 + np.logaddexp(0.0, scale + np.log(np.e - 1.0))
    density = stats.norm(loc + np.array([-0.5, 0.5]), scale)
    parts = special.log_softmax(weights, -1) + density.logpdf(x[:, None])
    want = special.logsumexp(parts, -1).sum()
    np.testing.assert_allclose(jax.jit(model.log_prob)(params, x), want, rtol=1e-5)


def test_factors_of_rnade_start_at_one_and_fall_along_the_order(key):
    model = NADE(Event((3,)), dist.NormalHead(), 4, rescaled=True, order=(2, 0, 1))
    scales = jax.jit(model.init)(key)["params"]["scales"]
    want = 1.0 / np.sqrt([1.0 + 1.0 / 3.0, 1.0 + 2.0 / 3.0, 1.0])
    np.testing.assert_allclose(scales, want, rtol=1e-6)


def deep_nade(p, x, observed):
    """Logits of all elements given those observed: Uria et al. (2014), section 2, two layers."""
    seen = x * observed
    h = np.maximum(seen @ p["inputs"][:, 0] + observed @ p["seen"] + p["bias"], 0.0)
    h = np.maximum(h @ p["deeper_0"]["kernel"] + p["deeper_0"]["bias"], 0.0)
    return np.einsum("h,dh->d", h, p["outputs"][..., 0]) + p["output_bias"][:, 0]


def test_deep_nade_is_that_of_its_paper_for_an_order_and_for_a_set(random_params):
    model = DeepNADE(BITS, dist.BernoulliHead(), (6, 6), order=ORDER)
    params = random_params(model.init, scale=1.0)
    places = [np.isin(np.arange(5), ORDER[:place]) for place in range(5)]

    @jax.jit
    def both(params, x, observed):
        # What is not observed is not looked at.
        noise = jnp.where(observed, x, 1 - x)
        of_set = jax.vmap(lambda x, o: model.conditionals_given(params, x, o).logits)
        return model.log_prob(params, x), of_set(noise, observed)

    got, of_sets = both(params, X, np.array(places))
    logits = np.array([deep_nade(exact(params), X, seen) for seen in places])
    np.testing.assert_allclose(of_sets, logits, rtol=1e-4, atol=1e-5)
    in_order = logits[np.arange(5), ORDER]
    np.testing.assert_allclose(got, bernoulli(in_order, X[list(ORDER)]), rtol=1e-5)


@pytest.mark.parametrize("size", [20, 23])  # blocks of 4 or 5, and of 1
def test_a_scan_in_blocks_is_a_scan_with_its_gradients(size):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(size, 3)), jnp.float32)

    def step(carry, row):
        return jnp.tanh(carry + row), jnp.sum(carry * row)

    def plain(rows):
        return jnp.sum(jnp.sin(jax.lax.scan(step, jnp.ones(3), rows)[1]))

    def blocks(rows):
        return jnp.sum(jnp.sin(scan_in_blocks(step, jnp.ones(3), rows, block_size(size))))

    both = jax.jit(lambda rows: [jax.value_and_grad(f)(rows) for f in (plain, blocks)])
    (want, want_grad), (got, got_grad) = both(rows)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(got_grad, want_grad, rtol=1e-5, atol=1e-6)


NADE_ = NADE(BITS, dist.BernoulliHead(), 6, mask_seed=3)
MEMBERS = {
    "MADE, masks": MADE(BITS, dist.BernoulliHead(), (9, 9), mask_seed=3, random_order=False),
    "DeepNADE": DeepNADE(BITS, dist.BernoulliHead(), (6, 5), mask_seed=3),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_an_ensemble_averages_the_probabilities_of_whole_examples(name, random_params):
    """So over all examples they sum to one; members are models of their own, and differ."""
    ensemble = Ensemble(MEMBERS[name], 3)
    params = random_params(ensemble.init)
    x = np.array([*itertools.product((0, 1), repeat=5)], np.int32)

    @jax.jit
    @jax.vmap
    def scores(x):
        apart = [ensemble.member(m).log_prob(params, x) for m in range(3)]
        return (
            ensemble.log_prob(params, x),
            ensemble.member_log_prob(params, x, jnp.array(2)),
            jnp.stack(apart),
        )

    got, last, apart = (np.asarray(a, np.float64) for a in scores(x))
    want = special.logsumexp(apart, axis=1) - np.log(3.0)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    np.testing.assert_allclose(last, apart[:, 2], rtol=1e-4)
    np.testing.assert_allclose(np.exp(got).sum(), 1.0, rtol=1e-4)
    assert np.abs(np.diff(apart, axis=1)).max(0).min() > 0.01


def test_an_ensemble_of_nade_is_the_mean_of_its_recursions(random_params):
    ensemble = Ensemble(NADE_, 3)
    params = random_params(ensemble.init)
    orders = [ensemble.member(m).order for m in range(3)]
    assert orders[0] == NADE_.order
    assert len(set(orders)) == 3
    raws = [nade(exact(params), X[:, None], order, special.expit) for order in orders]
    want = special.logsumexp([bernoulli(raw[:, 0], X) for raw in raws]) - np.log(3.0)
    np.testing.assert_allclose(jax.jit(ensemble.log_prob)(params, X), want, rtol=1e-5)


def test_samples_of_an_ensemble_come_from_every_member(random_params):
    """By the frequencies of all 2^5 examples."""
    ensemble, num_samples = Ensemble(NADE_, 3), 4096
    params = random_params(ensemble.init, scale=1.0)
    x = np.array([*itertools.product((0, 1), repeat=5)], np.int32)

    @jax.jit
    def both(keys):
        samples = jax.vmap(lambda k: ensemble.sample(params, k))(keys)
        return samples, jax.vmap(lambda x: ensemble.log_prob(params, x))(x)

    samples, log_p = both(jax.random.split(jax.random.key(0), num_samples))
    want = num_samples * np.exp(np.asarray(log_p, np.float64))
    count = np.bincount(samples @ 2 ** np.arange(5)[::-1], minlength=32)
    assert np.sum((count - want) ** 2 / want) < stats.chi2(31).ppf(0.999)


def test_orderings_differ_by_seed_and_are_functions_of_it():
    first, again = (MADE(BITS, dist.BernoulliHead(), (20,), mask_seed=1) for _ in range(2))
    assert first == again
    assert first.order == again.order
    orders = {MADE(BITS, dist.BernoulliHead(), (20,), mask_seed=s).order for s in range(8)}
    assert len(orders) > 4
    masks = MADE(BITS, dist.BernoulliHead(), (20,), mask_seed=1, random_order=False)
    assert masks.order == (0, 1, 2, 3, 4)


def test_a_model_without_a_mask_seed_is_refused():
    with pytest.raises(ValueError, match=r"mask_seed=0"):
        Ensemble(MADE(BITS, dist.BernoulliHead()), 2)
    with pytest.raises(ValueError, match="at least 1 member"):
        Ensemble(NADE_, 0)
    with pytest.raises(ValueError, match="at least one hidden layer"):
        DeepNADE(BITS, dist.BernoulliHead(), ())
