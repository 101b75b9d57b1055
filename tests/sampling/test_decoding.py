import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE
from gm.sampling import ancestral, decoding

P = np.array([0.1, 0.4, 0.2, 0.3])
CATEGORICAL = dist.Categorical(jnp.log(jnp.array(P, jnp.float32)) + 7.0)  # unnormalised
LOGISTICS = dist.Mixture(
    jnp.array([0.3, -0.2]),
    dist.DiscretizedLogistic(jnp.array([-0.5, 0.6]), jnp.array([0.2, 0.1]), 9),
)


def probs(d):
    return np.exp(np.asarray(d.log_probs, np.float64))


def processed(processors, d):
    """What each of the functions makes of d, by one compiled program."""
    return jax.jit(lambda d: [logits_processor(d) for logits_processor in processors])(d)


def test_temperature_is_a_power_of_p_normalised():
    temperatures = 0.5, 2.0, 1e-3
    tempered = processed([decoding.temperature(t) for t in temperatures], CATEGORICAL)
    for t, d in zip(temperatures, tempered, strict=True):
        want = (P / P.max()) ** (1 / t)
        np.testing.assert_allclose(probs(d), want / want.sum(), rtol=1e-5, atol=1e-30)


def test_what_comes_out_is_normalised_though_what_went_in_is_not():
    """A `log_probs` of its own would hide it: logits are log probabilities."""
    processors = (
        decoding.greedy,
        decoding.temperature(0.5),
        decoding.top_k(2),
        decoding.nucleus(0.6),
    )
    for d in processed(processors, CATEGORICAL):
        np.testing.assert_allclose(np.exp(np.asarray(d.logits)).sum(), 1.0, rtol=1e-5)


def test_temperature_of_a_bernoulli_divides_its_log_odds():
    d = decoding.temperature(0.25)(dist.Bernoulli(jnp.array([-0.5, 0.0, 3.0])))
    assert isinstance(d, dist.Bernoulli)
    np.testing.assert_allclose(d.logits, [-2.0, 0.0, 12.0])


def test_greedy_is_the_mode_with_certainty(key):
    processors = decoding.greedy, decoding.temperature(0.0), decoding.top_k(1)

    @jax.jit
    def sampled(d):
        mode = dist.tabulate(d, (), 9).mode()
        ones = [logits_processor(d) for logits_processor in processors]
        x = jnp.stack([one.sample(key) for one in ones])
        return mode, x, jnp.stack([one.log_prob(mode) for one in ones])

    for d in (CATEGORICAL, dist.Bernoulli(jnp.array(0.1)), LOGISTICS):
        mode, x, log_prob = sampled(d)
        np.testing.assert_array_equal(x, np.full(3, mode))
        np.testing.assert_array_equal(log_prob, np.zeros(3))


def test_ties_are_broken_as_the_mode_breaks_them():
    fair, uniform = dist.Bernoulli(jnp.zeros(())), dist.Categorical(jnp.zeros(4))
    for d in processed([decoding.greedy, decoding.top_k(1), decoding.nucleus(0.5)], fair):
        assert d.logits == -jnp.inf
    processors = decoding.top_k(2), decoding.nucleus(0.5), decoding.nucleus(1e-6)
    wants = [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [1, 0, 0, 0]
    for d, want in zip(processed(processors, uniform), wants, strict=True):
        np.testing.assert_allclose(probs(d), want, rtol=1e-6)


def test_top_k_keeps_the_likeliest_in_their_proportions():
    want = np.array([0, 4, 0, 3]) / 7
    np.testing.assert_allclose(
        probs(processed([decoding.top_k(2)], CATEGORICAL)[0]), want, rtol=1e-5
    )


def test_nucleus_is_the_smallest_set_whose_mass_reaches_p():
    kept = {0.01: [1], 0.39: [1], 0.41: [1, 3], 0.69: [1, 3], 0.71: [1, 2, 3], 0.95: range(4)}
    found = processed([decoding.nucleus(p) for p in kept], CATEGORICAL)
    for d, values in zip(found, kept.values(), strict=True):
        want = np.where(np.isin(np.arange(4), list(values)), P, 0.0)
        np.testing.assert_allclose(probs(d), want / want.sum(), rtol=1e-5)


def test_nucleus_of_a_bernoulli_is_certain_once_one_value_has_the_mass():
    d = dist.Bernoulli(jnp.array([3.0, -3.0, 0.4]))  # likelier value has 0.95, 0.95, 0.6
    (got,) = processed([decoding.nucleus(0.9)], d)
    np.testing.assert_array_equal(got.logits, [np.inf, -np.inf, np.float32(0.4)])


def test_certain_distributions_stay_as_they_are():
    certain = dist.Bernoulli(jnp.array([jnp.inf, -jnp.inf]))
    one = dist.Categorical(jnp.array([-jnp.inf, 0.0, -jnp.inf]))
    processors = decoding.greedy, decoding.temperature(0.3), decoding.nucleus(0.7)
    for d in processed(processors, certain):
        np.testing.assert_array_equal(d.logits, certain.logits)
    for d in processed(processors, one):
        np.testing.assert_array_equal(probs(d), [0, 1, 0])


def test_discretised_mixtures_become_tables_of_the_same_probabilities():
    table = probs(dist.tabulate(LOGISTICS, (), 9))
    want = table**2 / np.sum(table**2)
    (got,) = processed([decoding.temperature(0.5)], LOGISTICS)
    np.testing.assert_allclose(probs(got), want, rtol=1e-4)


@pytest.mark.parametrize("d", [CATEGORICAL, LOGISTICS, dist.Bernoulli(jnp.ones(3))])
def test_what_changes_nothing_gives_the_distribution_back(d):
    assert decoding.temperature(1.0)(d) is d
    assert decoding.nucleus(1.0)(d) is d
    assert decoding.chain()(d) is d
    assert decoding.top_k(2)(dist.Bernoulli(jnp.ones(3))).logits.shape == (3,)


def test_a_chain_applies_the_first_function_first():
    sharper, smaller = decoding.temperature(0.5), decoding.nucleus(0.5)
    processors = decoding.chain(sharper, smaller), decoding.chain(smaller, sharper)
    d, other = processed(processors, CATEGORICAL)
    assert np.sum(probs(d) > 0) == 1  # 0.16 / 0.3 of the mass is on one value
    assert np.sum(probs(other) > 0) == 2


def test_works_elementwise_under_jit_and_vmap(key):
    logits = jax.random.normal(key, (5, 2, 3, 4))
    logits_processor = decoding.chain(
        decoding.temperature(0.7), decoding.top_k(3), decoding.nucleus(0.8)
    )
    of = jax.jit(lambda logits: logits_processor(dist.Categorical(logits)).log_probs)
    batched = jax.jit(jax.vmap(of))(logits)
    np.testing.assert_allclose(batched[3, 1, 2], of(logits[3, 1, 2]), rtol=1e-5)


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
    "logits_processor",
    [decoding.greedy, decoding.temperature(1.0), decoding.top_k(1), decoding.nucleus(1.0)],
)
@pytest.mark.parametrize(
    "d", [dist.Normal(jnp.zeros(()), jnp.ones(())), dist.Poisson(jnp.zeros(()))]
)
def test_real_values_and_counts_are_refused(logits_processor, d):
    with pytest.raises(TypeError, match=rf"finitely many values.*got {type(d).__name__}.*tabulate"):
        logits_processor(d)


def test_ancestral_sampling_takes_them(key):
    model = MADE(Event((4,), 3), dist.CategoricalHead(3), hidden=(8,))
    params = jax.jit(model.init)(key)

    unchanged = decoding.temperature(1.0)

    @jax.jit
    def sampled(params):
        x = ancestral.sample(model, params, key, logits_processor=decoding.greedy)
        plain, same = (
            ancestral.sample(model, params, key, logits_processor=a) for a in (None, unchanged)
        )
        return x, model.conditionals(params, x).mode(), plain, same

    x, mode, plain, same = sampled(params)
    np.testing.assert_array_equal(x, mode)
    np.testing.assert_array_equal(plain, same)
