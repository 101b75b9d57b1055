import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE, walk
from gm.sampling import decoding

P = np.array([0.1, 0.4, 0.2, 0.3])
CATEGORICAL = dist.Categorical(jnp.log(jnp.array(P, jnp.float32)) + 7.0)  # unnormalised
LOGISTICS = dist.Mixture(
    jnp.array([0.3, -0.2]),
    dist.DiscretizedLogistic(jnp.array([-0.5, 0.6]), jnp.array([0.2, 0.1]), 9),
)


def probs(d):
    return np.exp(np.asarray(d.log_probs, np.float64))


@pytest.mark.parametrize("t", [0.5, 2.0, 1e-3])
def test_temperature_is_a_power_of_p_normalised(t):
    want = (P / P.max()) ** (1 / t)
    got = probs(decoding.temperature(t)(CATEGORICAL))
    np.testing.assert_allclose(got, want / want.sum(), rtol=1e-5, atol=1e-30)


def test_temperature_of_a_bernoulli_divides_its_log_odds():
    d = decoding.temperature(0.25)(dist.Bernoulli(jnp.array([-0.5, 0.0, 3.0])))
    assert isinstance(d, dist.Bernoulli)
    np.testing.assert_allclose(d.logits, [-2.0, 0.0, 12.0])


@pytest.mark.parametrize("adjust", [decoding.greedy, decoding.temperature(0.0), decoding.top_k(1)])
def test_greedy_is_the_mode_with_certainty(adjust, key):
    table = dist.tabulate(LOGISTICS, (), 9)
    for d in (CATEGORICAL, dist.Bernoulli(jnp.array(0.1)), dist.Bernoulli(jnp.array(-2.0))):
        assert adjust(d).sample(key) == d.mode()
        assert adjust(d).log_prob(d.mode()) == 0.0
    assert adjust(LOGISTICS).sample(key) == table.mode()


def test_ties_are_broken_as_the_mode_breaks_them():
    fair = dist.Bernoulli(jnp.zeros(()))
    for adjust in (decoding.greedy, decoding.top_k(1), decoding.nucleus(0.5)):
        assert adjust(fair).logits == -jnp.inf
    uniform = dist.Categorical(jnp.zeros(4))
    np.testing.assert_allclose(probs(decoding.top_k(2)(uniform)), [0.5, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(probs(decoding.nucleus(0.5)(uniform)), [0.5, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(probs(decoding.nucleus(1e-6)(uniform)), [1, 0, 0, 0])


def test_top_k_keeps_the_likeliest_in_their_proportions():
    want = np.array([0, 4, 0, 3]) / 7
    np.testing.assert_allclose(probs(decoding.top_k(2)(CATEGORICAL)), want, rtol=1e-5)


@pytest.mark.parametrize(
    ("p", "kept"),
    [(0.01, [1]), (0.39, [1]), (0.41, [1, 3]), (0.69, [1, 3]), (0.71, [1, 2, 3]), (0.95, range(4))],
)
def test_nucleus_is_the_smallest_set_whose_mass_reaches_p(p, kept):
    want = np.where(np.isin(np.arange(4), list(kept)), P, 0.0)
    got = probs(decoding.nucleus(p)(CATEGORICAL))
    np.testing.assert_allclose(got, want / want.sum(), rtol=1e-5)


def test_nucleus_of_a_bernoulli_is_certain_once_one_value_has_the_mass():
    d = dist.Bernoulli(jnp.array([3.0, -3.0, 0.4]))  # likelier value has 0.95, 0.95, 0.6
    np.testing.assert_array_equal(
        decoding.nucleus(0.9)(d).logits, [np.inf, -np.inf, np.float32(0.4)]
    )


def test_certain_distributions_stay_as_they_are():
    certain = dist.Bernoulli(jnp.array([jnp.inf, -jnp.inf]))
    one = dist.Categorical(jnp.array([-jnp.inf, 0.0, -jnp.inf]))
    for adjust in (decoding.greedy, decoding.temperature(0.3), decoding.nucleus(0.7)):
        np.testing.assert_array_equal(adjust(certain).logits, certain.logits)
        np.testing.assert_array_equal(probs(adjust(one)), [0, 1, 0])


def test_discretised_mixtures_become_tables_of_the_same_probabilities():
    table = probs(dist.tabulate(LOGISTICS, (), 9))
    want = table**2 / np.sum(table**2)
    np.testing.assert_allclose(probs(decoding.temperature(0.5)(LOGISTICS)), want, rtol=1e-4)


@pytest.mark.parametrize("d", [CATEGORICAL, LOGISTICS, dist.Bernoulli(jnp.ones(3))])
def test_what_changes_nothing_gives_the_distribution_back(d):
    assert decoding.temperature(1.0)(d) is d
    assert decoding.nucleus(1.0)(d) is d
    assert decoding.chain()(d) is d
    assert decoding.top_k(2)(dist.Bernoulli(jnp.ones(3))).logits.shape == (3,)


def test_a_chain_applies_the_first_function_first():
    d = decoding.chain(decoding.temperature(0.5), decoding.nucleus(0.5))(CATEGORICAL)
    want = decoding.nucleus(0.5)(decoding.temperature(0.5)(CATEGORICAL))
    np.testing.assert_array_equal(d.log_probs, want.log_probs)
    other = decoding.temperature(0.5)(decoding.nucleus(0.5)(CATEGORICAL))
    assert np.sum(probs(d) > 0) == 1  # 0.16 / 0.3 of the mass is on one value
    assert np.sum(probs(other) > 0) == 2


def test_works_elementwise_under_jit_and_vmap(key):
    logits = jax.random.normal(key, (5, 2, 3, 4))
    adjust = decoding.chain(decoding.temperature(0.7), decoding.top_k(3), decoding.nucleus(0.8))
    batched = jax.jit(jax.vmap(lambda logits: adjust(dist.Categorical(logits)).log_probs))(logits)
    one = adjust(dist.Categorical(logits[3, 1, 2])).log_probs
    np.testing.assert_allclose(batched[3, 1, 2], one, rtol=1e-5)


def test_bad_options_say_what_would_do():
    with pytest.raises(ValueError, match=r"at least 0 \(0 is greedy\); got -1"):
        decoding.temperature(-1.0)
    with pytest.raises(ValueError, match=r"k of at least 1; got 0"):
        decoding.top_k(0)
    with pytest.raises(ValueError, match=r"at most the 4 values; got 5"):
        decoding.top_k(5)(CATEGORICAL)
    for p in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"p in \(0, 1\]"):
            decoding.nucleus(p)


@pytest.mark.parametrize(
    "adjust",
    [decoding.greedy, decoding.temperature(1.0), decoding.top_k(1), decoding.nucleus(1.0)],
)
@pytest.mark.parametrize(
    "d", [dist.Normal(jnp.zeros(()), jnp.ones(())), dist.Poisson(jnp.zeros(()))]
)
def test_real_values_and_counts_are_refused(adjust, d):
    with pytest.raises(TypeError, match=rf"finitely many values.*got {type(d).__name__}.*tabulate"):
        adjust(d)


def test_the_walk_takes_them(key):
    model = MADE(Event((4,), 3), dist.CategoricalHead(3), hidden=(8,))
    params = jax.jit(model.init)(key)
    plain = walk.sample(model, params, key)
    np.testing.assert_array_equal(
        walk.sample(model, params, key, adjust=decoding.temperature(1.0)), plain
    )
    x = walk.sample(model, params, key, adjust=decoding.greedy)
    np.testing.assert_array_equal(x, model.conditionals(params, x).mode())
