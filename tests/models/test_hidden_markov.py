"""Hidden Markov models against sums over all K^T paths, and Baum-Welch against its gradient."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import distributions as dist
from gm.core import Event
from gm.models.classical import HiddenMarkovModel, Mixture, baum_welch, components
from gm.models.classical import forward_backward as messages

T, K = 4, 3
PATHS = np.array(list(itertools.product(range(K), repeat=T)))
RNG = np.random.default_rng(0)
WORDS = HiddenMarkovModel(Event((T,), 5), K, components.Categoricals(5))
PLANES = HiddenMarkovModel(Event((T, 2)), K, components.Gaussians(2))
LINES = HiddenMarkovModel(Event((T, 2)), K, components.DiagonalGaussians(2))


def noisy(model):
    def add(leaf):
        return jnp.asarray(leaf + RNG.normal(size=leaf.shape), jnp.float32)

    return jax.tree.map(add, model.init(jax.random.key(0)))


def emission_log_probs(model, params, x):
    """log p(x_t | z_t): [T, K], by scipy."""
    of = jax.tree.map(np.asarray, params["emissions"])
    if model is WORDS:
        return special.log_softmax(of["logits"], axis=-1)[:, 0, x].T
    if model is LINES:
        each = stats.norm(of["mean"][None], np.exp(of["log_scale"])[None]).logpdf(x[:, None])
        return each.sum(axis=2)
    found = []
    for k in range(K):
        chol = np.diag(np.exp(of["log_diagonal"][k]))
        chol[1, 0] = of["lower"][k, 0]
        found.append(stats.multivariate_normal(of["mean"][k], chol @ chol.T).logpdf(x))
    return np.stack(found, axis=1)


def joint(params, log_likelihood):
    """log p(x, z) of every path: [K^T]."""
    start = special.log_softmax(np.asarray(params["log_start"]))
    rows = special.log_softmax(np.asarray(params["log_transition"]), axis=1)
    steps = sum(rows[PATHS[:, t], PATHS[:, t + 1]] for t in range(T - 1))
    return start[PATHS[:, 0]] + steps + sum(log_likelihood[t, PATHS[:, t]] for t in range(T))


@pytest.mark.parametrize("model", [WORDS, PLANES, LINES], ids=["words", "full", "diagonal"])
def test_likelihood_posterior_and_viterbi_are_those_of_all_paths(model):
    params = noisy(model)
    x = RNG.integers(0, 5, T) if model is WORDS else RNG.normal(size=(T, 2)).astype(np.float32)
    log_joint = joint(params, emission_log_probs(model, params, x))
    log_prob = special.logsumexp(log_joint)
    paths = jnp.asarray(PATHS, jnp.int32)

    @jax.jit
    def everything(params, x):
        q = model.encode(params, x)
        both = model.prior(params).log_prob(paths[17]) + model.decode(params, paths[17]).log_prob(x)
        return model.log_prob(params, x), jax.vmap(q.log_prob)(paths), q.mode(), both

    found = everything(params, x)
    np.testing.assert_allclose(found[0], log_prob, rtol=1e-5)
    np.testing.assert_allclose(found[1], log_joint - log_prob, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found[2], PATHS[np.argmax(log_joint)])
    np.testing.assert_allclose(found[3], log_joint[17], rtol=1e-5)


def test_conditionals_are_ratios_of_shorter_likelihoods():
    """log p(x_t | x_<t) by `length`; in two dimensions those of one time sum up."""
    params, x = noisy(PLANES), jnp.asarray(RNG.normal(size=(T, 2)), jnp.float32)
    one = jax.jit(lambda x: dist.element_log_probs(PLANES.conditionals(params, x), x))
    each = one(x).sum(axis=1)
    whole = jax.jit(lambda n: PLANES.log_prob(params, x, length=n))
    want = np.diff([0.0, *(whole(n) for n in range(1, T + 1))])
    np.testing.assert_allclose(each, want, rtol=1e-4, atol=1e-5)


def test_expected_counts_are_those_of_all_paths_and_the_gradient_of_log_p():
    start, rows = (special.log_softmax(RNG.normal(size=s), axis=-1) for s in ((K,), (K, K)))
    likelihood = RNG.normal(size=(T, K)) * 3.0
    given = [jnp.asarray(a, jnp.float32) for a in (start, rows, likelihood)]
    log_joint = joint({"log_start": start, "log_transition": rows}, likelihood)
    posterior = special.softmax(log_joint)
    visits = [[posterior[PATHS[:, t] == k].sum() for k in range(K)] for t in range(T)]
    pairs = np.zeros((K, K))
    for path, p in zip(PATHS, posterior, strict=True):
        np.add.at(pairs, (path[:-1], path[1:]), p)
    expected = jax.jit(baum_welch.expected, static_argnums=(3, 4))
    for parallel in (False, True):
        found = expected(*given, T, parallel)
        np.testing.assert_allclose(found[0], special.logsumexp(log_joint), rtol=1e-5)
        np.testing.assert_allclose(found[1], visits, atol=1e-5)
        np.testing.assert_allclose(found[2], pairs, atol=1e-5)

        def log_prob(rows, likelihood, parallel=parallel):
            log_p = messages.predicted(given[0], rows, likelihood, parallel)
            return jnp.sum(jax.nn.logsumexp(log_p + likelihood, axis=1))

        gradient = jax.jit(jax.grad(log_prob, (0, 1)))(*given[1:])
        np.testing.assert_allclose(gradient[1], visits, atol=1e-5)
        free = pairs - pairs.sum(1, keepdims=True) * np.exp(rows)  # of what is normalised
        mine = gradient[0] - gradient[0].sum(1, keepdims=True) * np.exp(rows)
        np.testing.assert_allclose(mine, free, atol=1e-5)


@pytest.mark.parametrize("parallel", [False, True])
def test_zeros_and_distances_of_any_size_leave_values_and_gradients_finite(parallel):
    """From left to right, the last state absorbing; likelihoods thousands of nats apart."""
    zero = -np.inf
    rows = jnp.log(jnp.array([[0.5, 0.5, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]], jnp.float32))
    start = jnp.array([0.0, zero, zero], jnp.float32)
    likelihood = np.full((T, K), -5e3, np.float32)
    likelihood[np.arange(T), [0, 1, 0, 1]] = 0.0  # the third asks for what cannot be

    def log_prob(start, rows, likelihood):
        log_p = messages.predicted(start, rows, likelihood, parallel)
        return jnp.sum(jax.nn.logsumexp(log_p + likelihood, axis=1))

    given = start, rows, jnp.asarray(likelihood)
    value, gradient = jax.jit(jax.value_and_grad(log_prob, (0, 1, 2)))(*given)
    want = joint({"log_start": start, "log_transition": rows}, likelihood.astype(np.float64))
    np.testing.assert_allclose(value, special.logsumexp(want), rtol=1e-6)
    assert all(np.all(np.isfinite(leaf)) for leaf in gradient)
    np.testing.assert_allclose(gradient[2].sum(axis=1), 1.0, rtol=1e-4)
    expected = jax.jit(baum_welch.expected, static_argnums=(3, 4))
    _, visits, pairs = expected(*given, T, parallel)
    np.testing.assert_allclose(visits.sum(axis=1), 1.0, rtol=1e-5)
    assert pairs[1, 0] == 0.0
    np.testing.assert_allclose(pairs.sum(), T - 1, rtol=1e-3)  # 5,000 nats have 5e-4 of rounding


def test_what_is_impossible_scores_minus_infinity_with_a_finite_gradient():
    chain = HiddenMarkovModel(Event((T,), 3), 3, components.Categoricals(3))
    logits = jnp.log(jnp.eye(3, dtype=jnp.float32))
    rows = jnp.log(jnp.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]], jnp.float32))
    params = {
        "log_start": jnp.zeros(3),
        "log_transition": rows,
        "emissions": {"logits": logits[:, None]},
    }
    value, gradient = jax.jit(jax.value_and_grad(chain.log_prob))(params, jnp.array([0, 2, 2, 2]))
    assert value == -np.inf
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_of_one_time_it_is_a_mixture_and_so_is_its_fit():
    model = HiddenMarkovModel(Event((1, 2)), K, components.Gaussians(2))
    mixture = Mixture(Event((1, 2)), K, components.Gaussians(2))
    params = noisy(model)
    same = {"log_weight": params["log_start"], "components": params["emissions"]}
    x = RNG.normal(size=(50, 1, 2)).astype(np.float32)
    found, metrics = jax.jit(model.fit_step)(params, None, x)
    want, theirs = jax.jit(mixture.fit_step)(same, None, x)
    np.testing.assert_allclose(metrics["log_prob"], theirs["log_prob"], rtol=1e-5)
    np.testing.assert_allclose(found["log_start"], want["log_weight"], atol=1e-4)
    np.testing.assert_allclose(found["emissions"]["mean"], want["components"]["mean"], atol=1e-4)
    np.testing.assert_array_equal(found["log_transition"], params["log_transition"])


def test_with_a_state_for_each_value_one_step_counts_pairs():
    chain = HiddenMarkovModel(Event((6,), 3), 3, components.Categoricals(3, smoothing=0.0))
    x = RNG.integers(0, 3, (40, 6))
    x[:, 3:] = np.where(x[:, :3] == 1, 2, x[:, 3:])
    logits = jnp.log(jnp.eye(3, dtype=jnp.float32))[:, None]
    params = chain.init(jax.random.key(0)) | {"emissions": {"logits": logits}}
    lengths = RNG.integers(2, 7, 40)
    found, _ = jax.jit(chain.fit_step)(params, None, x, lengths=lengths)
    pairs = np.zeros((3, 3))
    for row, n in zip(x, lengths, strict=True):
        np.add.at(pairs, (row[: n - 1], row[1:n]), 1.0)
    want = pairs / pairs.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(found["log_transition"]), want, atol=1e-5)
    np.testing.assert_allclose(np.exp(found["log_start"]), np.bincount(x[:, 0]) / 40, atol=1e-5)


def test_no_step_lowers_the_likelihood_and_the_regimes_are_found():
    """Two regimes that last; weights count sequences, and what is past their lengths does not."""
    model = HiddenMarkovModel(Event((12,)), 2, components.DiagonalGaussians(1))
    z = (np.cumsum(RNG.uniform(size=(60, 12)) < 0.1, axis=1) + RNG.integers(0, 2, (60, 1))) % 2
    x = (np.where(z == 0, -1.0, 2.0) + 0.5 * RNG.normal(size=z.shape)).astype(np.float32)
    lengths, weights = 1 + np.arange(60) % 12, np.arange(60) % 3
    padded = np.where(np.arange(12) < lengths[:, None], x, 77.0).astype(np.float32)
    found = model.fit(padded, weights=weights, lengths=lengths, restarts=2)
    means = np.sort(np.asarray(found["emissions"]["mean"])[:, 0])
    np.testing.assert_allclose(means, [-1.0, 2.0], atol=0.2)
    stay = np.diag(jax.nn.softmax(found["log_transition"], axis=1))
    np.testing.assert_allclose(stay, 0.9, atol=0.1)
    given = {"weights": jnp.asarray(weights, jnp.float32), "lengths": lengths}
    params, step, seen = model.init(jax.random.key(1)), jax.jit(model.fit_step), []
    for _ in range(15):
        begun = params
        params, metrics = step(begun, None, padded, **given)
        seen.append(float(metrics["log_prob"]))
    assert np.all(np.diff(seen) > -1e-5)
    again = {"lengths": np.repeat(lengths, weights)}
    other, _ = step(begun, None, np.repeat(x, weights, axis=0), **again)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="first axis is time"):
        HiddenMarkovModel(Event((T, 3)), 2, components.Gaussians(2))
    with pytest.raises(ValueError, match="Gaussians for real values"):
        HiddenMarkovModel(Event((T,), 4), 2, components.Categoricals(5))
    x = np.zeros((2, T), np.int32)
    with pytest.raises(ValueError, match=r"lengths that are integers in \[1, 4\]"):
        WORDS.fit(x, lengths=np.array([0, 4]))
    with pytest.raises(ValueError, match="one length for each"):
        WORDS.fit(x, lengths=np.array([4]))
    with pytest.raises(ValueError, match=r"at least 3 observed times.*got 2"):
        WORDS.fit(x, lengths=np.array([1, 1]))
