"""Latent Dirichlet allocation against enumeration of topics, and fits against known ones."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import distributions as dist
from gm.core import Event
from gm.data import documents
from gm.metrics import topics as scores
from gm.models.latent import LatentDirichletAllocation, topic_fits

RNG = np.random.default_rng(0)
MODEL = LatentDirichletAllocation(Event((3,), 4), 2, concentration=0.7)


def log_marginal(topics, a, x):
    """log p(x) as a sum over all z: the proportions integrate to Polya's urn."""
    terms = []
    for z in itertools.product(range(len(a)), repeat=len(x)):
        counts = np.bincount(z, minlength=len(a))
        urn = special.gammaln(a + counts).sum() - special.gammaln(a).sum()
        urn += special.gammaln(a.sum()) - special.gammaln(a.sum() + len(x))
        terms.append(urn + np.log(topics[list(z), x]).sum())
    return special.logsumexp(terms)


def test_importance_sampling_from_q_has_the_sum_over_topics(random_params):
    params = random_params(MODEL.init, scale=1.0)
    topics, a = np.asarray(MODEL.topics(params)), np.exp(np.asarray(params["log_concentration"]))
    x = jnp.array([0, 3, 3])

    @jax.jit
    def log_weights(keys):
        q = MODEL.encode(params, x)
        z = jax.vmap(q.sample)(keys)
        log_joint = jax.vmap(
            lambda z: MODEL.prior(params).log_prob(z) + MODEL.decode(params, z).log_prob(x)
        )(z)
        return log_joint - jax.vmap(q.log_prob)(z)

    weights = np.exp(np.asarray(log_weights(jax.random.split(jax.random.key(0), 5_000))))
    want = np.exp(log_marginal(topics, a, np.asarray(x)))
    assert abs(weights.mean() - want) < 4 * weights.std() / np.sqrt(5_000)


def test_coordinate_ascent_reaches_a_stationary_point_of_the_bound():
    """Against the mean-field bound in numpy, of g alone once r is at its best."""
    parts, counts = RNG.dirichlet(np.ones(3), 5), np.array([2.0, 1.0, 0.0, 3.0, 1.0])
    a = np.array([0.4, 0.9, 1.3])

    def bound(g):
        log_theta = special.psi(g) - special.psi(g.sum())
        words = counts @ special.logsumexp(np.log(parts) + log_theta, axis=1)
        normalizer = special.gammaln(a.sum()) - special.gammaln(a).sum()
        entropy = stats.dirichlet(g).entropy()
        return words + normalizer + (a - 1.0) @ log_theta + entropy

    q = jax.jit(dist.proportions_posterior, static_argnums=3)(
        *(jnp.asarray(v, jnp.float32) for v in (parts, counts, a)), 200
    )
    g = np.asarray(q.concentration, np.float64)
    np.testing.assert_allclose(g.sum(), a.sum() + counts.sum(), rtol=1e-6)
    for change in 1e-3 * np.concatenate([np.eye(3), -np.eye(3)]):
        assert bound(g + change) < bound(g) + 1e-6
    none = dist.proportions_posterior(jnp.asarray(parts), jnp.zeros(5), jnp.asarray(a), 3)
    np.testing.assert_allclose(none.concentration, a, rtol=1e-5)


def test_exact_gibbs_sampling_has_the_posterior_of_all_assignments():
    """Two documents of two words, one queue: frequencies of z against p(z | x) by enumeration."""
    words = np.array([[0, 1], [1, 1]])
    a, eta, chain = 0.6, 0.4, topic_fits._Chain(2, 2, 2, 0.4, False)
    log_p = []
    for z in itertools.product(range(2), repeat=4):
        of_documents, of_words = np.zeros((2, 2)), np.zeros((2, 2))
        np.add.at(of_documents, ([0, 0, 1, 1], z), 1)
        np.add.at(of_words, (z, words.ravel()), 1)
        log_p.append(
            special.gammaln(of_documents + a).sum()
            + special.gammaln(of_words + eta).sum()
            - special.gammaln(of_words.sum(1) + 2 * eta).sum()
        )
    want = special.softmax(log_p)
    w, d, mask = topic_fits._in_queues(words, np.ones((2, 2), bool), 1)
    order = np.argsort(np.asarray(d)[:, 0], kind="stable")

    @jax.jit
    def run(key):
        z = jnp.zeros((4, 1), jnp.int32)
        counts = chain.counts(w, mask, z, 2), chain.counts(d, mask, z, 2)
        counts = (*counts, jnp.sum(counts[0], axis=0))

        def sweep(state, key):
            counts, z = state
            noise = jax.random.uniform(key, (4, 1))
            given = (w, d, mask, z, noise)
            counts, z = jax.lax.scan(
                lambda c, one: chain.word(jnp.full(2, a), c, one), counts, given
            )
            return (counts, z), z[:, 0]

        return jax.lax.scan(sweep, (counts, z), jax.random.split(key, 40_000))[1]

    z = np.asarray(run(jax.random.key(0)))[100:, order]
    seen = np.bincount(z @ [8, 4, 2, 1], minlength=16) / len(z)
    np.testing.assert_allclose(seen, want, atol=0.012)


def planted(num_documents):
    """Documents of two topics that share no term."""
    topics = np.array([[0.5, 0.3, 0.2, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.4, 0.4, 0.2]])
    theta = RNG.dirichlet([0.3, 0.3], num_documents)
    counts = np.stack([RNG.multinomial(40, p) for p in theta @ topics]).astype(np.int32)
    terms = np.tile(np.arange(6, dtype=np.int32), (num_documents, 1))
    return topics, documents.Documents(terms, counts, tuple("abcdef"))


def test_both_fits_find_planted_topics_and_their_concentration():
    topics, docs = planted(150)
    key = jax.random.key(1)
    sizes = {"num_terms": 6, "num_topics": 2, "key": key}
    by_bayes = topic_fits.variational_bayes(docs.terms, docs.counts, num_steps=40, **sizes)
    by_gibbs = topic_fits.collapsed_gibbs(
        *docs.tokens(), num_sweeps=60, burn_in=20, queues=16, **sizes
    )
    observed, scored = planted(60)[1].halves(0)
    perplexity = []
    for params in (by_bayes, by_gibbs):
        found = np.exp(np.asarray(params["log_topics"]))
        np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(found[np.argsort(found[:, 0])[::-1]], topics, atol=0.04)
        a = np.exp(np.asarray(params["log_concentration"]))
        np.testing.assert_allclose(a, 0.3, atol=0.12)
        perplexity.append(
            scores.document_completion(found, a, scored.terms, observed.counts, scored.counts).value
        )
    truth = scores.document_completion(
        topics, np.full(2, 0.3), scored.terms, observed.counts, scored.counts
    )
    np.testing.assert_allclose(perplexity, truth.value, rtol=0.02)


def test_completion_of_one_topic_is_the_unigram_perplexity_and_empty_halves_count_for_nothing():
    p = np.array([[0.5, 0.3, 0.2]])
    terms = np.tile(np.arange(3, dtype=np.int32), (3, 1))
    observed, scored = (
        np.array([[1, 2, 0], [0, 0, 0], [3, 0, 0]]),
        np.array([[4, 0, 1], [0, 2, 0], [0] * 3]),
    )
    found = scores.document_completion(p, np.ones(1), terms, observed, scored)
    want = np.exp(-(4 * np.log(0.5) + np.log(0.2) + 2 * np.log(0.3)) / 7)
    np.testing.assert_allclose(found.value, want, rtol=1e-5)
    log_p, words = (
        np.array([4 * np.log(0.5) + np.log(0.2), 2 * np.log(0.3), 0.0]),
        np.array([5, 2, 0]),
    )
    spread = np.sqrt(np.sum((log_p + np.log(want) * words) ** 2)) / 7
    np.testing.assert_allclose(found.standard_error, want * spread, rtol=1e-4)


def test_coherence_is_the_pointwise_mutual_information_of_documents():
    """Terms 0 and 1 are in documents 0, 1 and 0, 2: p(u, v) = 1/4, p(u) = p(v) = 1/2."""
    terms = np.tile(np.arange(4, dtype=np.int32), (4, 1))
    counts = np.array([[1, 2, 0, 0], [1, 0, 1, 0], [0, 3, 1, 0], [0, 0, 0, 0]])
    found = scores.coherence(np.array([[0.5, 0.4, 0.1, 0.0]]), terms, counts, num_top=2)
    np.testing.assert_allclose(found.value, 0.0, atol=1e-12)  # independent
    never = scores.coherence(np.array([[0.5, 0.0, 0.1, 0.4]]), terms, counts, num_top=2)
    assert never.value == -1.0
    always = scores.coherence(np.array([[0.5, 0.4]]), terms[:, :2], np.eye(4)[:, [0, 0]], num_top=2)
    np.testing.assert_allclose(always.value, 1.0)
    assert scores.top_terms(np.array([[0.1, 0.6, 0.3]]), 2).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LatentDirichletAllocation(Event((2, 2), 4), 2), r"Event\(\(N,\), V\)"),
        (lambda: LatentDirichletAllocation(Event((2,), 4), 0), "at least one topic"),
        (lambda: topic_fits.variational_bayes([[0]], [[0]], 2, 1, None), "at least one word"),
        (lambda: topic_fits.variational_bayes([[2]], [[1]], 2, 1, None), r"terms in \[0, 2\)"),
        (lambda: topic_fits.variational_bayes([[1]], [[1]], 2, 3, None), "as many topics as"),
        (
            lambda: topic_fits.collapsed_gibbs([[1]], [[True]], 2, 1, None, burn_in=300),
            "more sweeps than burn_in",
        ),
        (lambda: scores.coherence(np.ones((1, 3)), np.zeros((1, 1), int), [[1]]), "num_top from 2"),
        (
            lambda: scores.document_completion(np.ones((1, 3)), np.ones(1), [[0]], [[1]], [[1]]),
            "sum to one",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_completion_infers_from_the_observed_half_alone():
    """Terms that tell their topic: E theta_1 = a / (2 a + 10) after ten words of the other one."""
    observed, scored = np.array([[10, 0]]), np.array([[0, 1]])
    terms, a = np.array([[0, 1]], np.int32), np.full(2, 0.5)
    found = scores.document_completion(np.eye(2), a, terms, observed, scored)
    np.testing.assert_allclose(found.value, 11.0 / 0.5, rtol=1e-5)
