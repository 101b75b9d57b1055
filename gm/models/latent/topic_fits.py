r"""Fits of latent Dirichlet allocation to documents: variational Bayes, collapsed Gibbs sampling.

    variational_bayes   q(topics) = \prod_k Dir(l_k), l_kw = eta + \sum_d n_dw r_dwk, and q(theta_d)
                        as `dist.proportions_posterior`, in turn
    collapsed_gibbs     p(z_i = k | z_-i, w) ~ (n_dk + a_k) (n_kw + eta) / (n_k + V eta),
                        counts without i, topics and proportions integrated out

Blei, Ng & Jordan (2003), sections 5 and 5.4; Hoffman, Blei & Bach (2010), "Online learning for
latent Dirichlet allocation"; Griffiths & Steyvers (2004), "Finding scientific topics".
Both learn a by Minka's fixed-point iteration (2000, "Estimating a Dirichlet distribution"),
asymmetric as in Wallach, Mimno & McCallum (2009), "Rethinking LDA: why priors matter".
"""

from __future__ import annotations

import dataclasses
import functools
import heapq

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

from gm.core import Array, Key, Params
from gm.distributions import proportions_posterior
from gm.distributions.proportions import responsibilities


def variational_bayes(
    terms: Array,
    counts: Array,
    num_terms: int,
    num_topics: int,
    key: Key,
    *,
    num_steps: int = 50,
    concentration: float = 0.1,
    eta: float = 0.05,
    learn_concentration: bool = True,
    block: int = 256,
) -> Params:
    """Topics by variational Bayes, from random ones.

    Args:
      terms: [D, L] int32, distinct terms of each document; counts: [D, L], 0 for padding.
      num_terms: V.
      num_topics: K.
      key: of the start.
      num_steps: sweeps through all documents.
      concentration: a of every topic at the start.
      eta: concentration of the prior of topics.
      learn_concentration: update a after each sweep.
      block: documents at a time.

    Returns:
      Parameters of `LatentDirichletAllocation`: the mean of q(topics), and a.

    Raises:
      ValueError: no documents, terms outside the vocabulary, or more topics than documents.
    """
    terms, counts = _checked(terms, counts, num_terms, num_topics)
    key_topics, _ = jax.random.split(key)
    start = jax.random.gamma(key_topics, 100.0, (num_topics, num_terms), jnp.float32) / 100.0
    a = jnp.full(num_topics, concentration, jnp.float32)
    options = {"eta": eta, "learn": learn_concentration, "block": min(block, len(terms))}
    args = jnp.asarray(terms), jnp.asarray(counts, jnp.float32), start, a
    topics, a = _variational(*args, num_steps, **options)
    return _params(np.asarray(topics), a)


@functools.partial(jax.jit, static_argnames=("learn", "block"))
def _variational(
    terms: Array,
    counts: Array,
    topics: Array,
    a: Array,
    num_steps: Array | int,
    *,
    eta: float,
    learn: bool,
    block: int,
) -> tuple[Array, Array]:
    """l: [K, V] and a: [K]."""

    def of_document(parts: Array, a: Array, terms: Array, counts: Array) -> tuple[Array, Array]:
        own = parts[terms]  # [L, K]
        q = proportions_posterior(own, counts, a, 20)
        return counts[:, None] * responsibilities(own, q.concentration), q.mean_log()

    def sweep(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        topics, a = state
        total = jnp.sum(topics, axis=1, keepdims=True)
        parts = jnp.exp(special.digamma(topics) - special.digamma(total)).T  # [V, K]
        added, logs = jax.lax.map(
            lambda doc: of_document(parts, a, *doc), (terms, counts), batch_size=block
        )
        new = jnp.zeros_like(parts).at[terms].add(added)
        a = _concentration(a, jnp.mean(logs, axis=0)) if learn else a
        return eta + new.T, a

    return jax.lax.fori_loop(0, num_steps, sweep, (topics, a))


def _concentration(a: Array, mean_log: Array, num_steps: int = 5) -> Array:
    """The Dirichlet of largest likelihood for a mean of log theta, by Minka's iteration."""

    def step(_: int, a: Array) -> Array:
        return jnp.clip(_inverse_digamma(special.digamma(jnp.sum(a)) + mean_log), 1e-4, 1e3)

    return jax.lax.fori_loop(0, num_steps, step, a)


def _inverse_digamma(y: Array) -> Array:
    """x with psi(x) = y, by Newton's method from Minka's start (2000, appendix C)."""
    x = jnp.where(y >= -2.22, jnp.exp(y) + 0.5, -1.0 / (y - special.digamma(1.0)))
    for _ in range(5):
        x = x - (special.digamma(x) - y) / special.polygamma(1, x)
    return x


def collapsed_gibbs(
    words: Array,
    mask: Array,
    num_terms: int,
    num_topics: int,
    key: Key,
    *,
    num_sweeps: int = 300,
    burn_in: int = 200,
    concentration: float = 0.1,
    eta: float = 0.05,
    learn_concentration: bool = True,
    queues: int = 128,
) -> Params:
    """Topics by collapsed Gibbs sampling: the mean over the sweeps after `burn_in`.

    Documents are sampled in queues side by side, word after word, with the counts of topics that
    all of them had before the word: with `queues=1` the sampler is the exact one; with more it is
    that of Newman, Asuncion, Smyth & Welling (2009), "Distributed algorithms for topic models",
    whose counts are one sweep old where these are one word old.

    Args:
      words: [D, T] int32, every occurrence; mask: [D, T] bool, False for padding.
      num_terms: V.
      num_topics: K.
      key: of the chain.
      num_sweeps: through all words.
      burn_in: sweeps that are left out of the mean.
      concentration, eta, learn_concentration: as `variational_bayes`.
      queues: documents at a time.

    Returns:
      Parameters of `LatentDirichletAllocation`: the mean of topics given z over the sweeps, and a.

    Raises:
      ValueError: as `variational_bayes`, or not more sweeps than burn_in.
    """
    words, mask = _checked(words, mask, num_terms, num_topics)
    if not 0 <= burn_in < num_sweeps:
        raise ValueError(
            f"collapsed_gibbs needs more sweeps than burn_in >= 0; got {num_sweeps}, {burn_in}."
        )
    state = _in_queues(words, mask, queues)
    key_z, key_chain = jax.random.split(key)
    z = jax.random.randint(key_z, state[0].shape, 0, num_topics)
    chain = _Chain(num_terms, num_topics, len(words), eta, learn_concentration)
    a = jnp.full(num_topics, concentration, jnp.float32)
    total, a = chain.run(*state, z, a, key_chain, num_sweeps, burn_in)
    return _params(np.asarray(total), a)


@dataclasses.dataclass(frozen=True)
class _Chain:
    """Sweeps over queues of whole documents, one after the other: [T, B] words, of which documents.

    Attributes:
      num_terms, num_topics, num_documents: V, K, D.
      eta: concentration of the prior of topics.
      learn: whether a follows after each sweep.
    """

    num_terms: int
    num_topics: int
    num_documents: int
    eta: float
    learn: bool

    @functools.partial(jax.jit, static_argnums=0)
    def run(
        self,
        words: Array,
        documents: Array,
        mask: Array,
        z: Array,
        a: Array,
        key: Key,
        num_sweeps: Array | int,
        burn_in: Array | int,
    ) -> tuple[Array, Array]:
        """The sum of the topics' means after the burn-in, [K, V], and a."""
        of_words = self.counts(words, mask, z, self.num_terms)
        of_documents = self.counts(documents, mask, z, self.num_documents)

        def sweep(i: int, state: tuple) -> tuple:
            z, a, counts, total = state
            noise = jax.random.uniform(jax.random.fold_in(key, i), z.shape, jnp.float32)
            counts, z = jax.lax.scan(
                functools.partial(self.word, a), counts, (words, documents, mask, z, noise)
            )
            a = self.moved(a, counts[1]) if self.learn else a
            topics = (counts[0] + self.eta) / (counts[2] + self.num_terms * self.eta)[None]
            return z, a, counts, total + jnp.where(i >= burn_in, topics.T, 0.0)

        counts = of_words, of_documents, jnp.sum(of_words, axis=0)
        total = jnp.zeros((self.num_topics, self.num_terms), jnp.float32)
        _, a, _, total = jax.lax.fori_loop(0, num_sweeps, sweep, (z, a, counts, total))
        return total, a

    def counts(self, of: Array, mask: Array, z: Array, size: int) -> Array:
        """How often each goes with each topic: [size, K], in float32, exact below 2^24."""
        zeros = jnp.zeros((size, self.num_topics), jnp.float32)
        return zeros.at[of, z].add(mask.astype(jnp.float32))

    def word(self, a: Array, state: tuple, word: tuple) -> tuple:
        """The next word of every queue, each without itself: [B]."""
        of_words, of_documents, of_topics = state
        w, d, present, old, noise = word
        one = jax.nn.one_hot(old, self.num_topics, dtype=jnp.float32) * present[:, None]
        weights = (of_documents[d] - one + a[None]) * (of_words[w] - one + self.eta)
        weights = weights / (of_topics[None] - one + self.num_terms * self.eta)
        levels = weights @ jnp.triu(jnp.ones((self.num_topics, self.num_topics), jnp.float32))
        new = jnp.sum(levels < noise[:, None] * levels[:, -1:], axis=1)
        new = jnp.where(present, jnp.minimum(new, self.num_topics - 1), old)
        change = jax.nn.one_hot(new, self.num_topics, dtype=jnp.float32) * present[:, None] - one
        state = of_words.at[w].add(change), of_documents.at[d].add(change)
        return (*state, of_topics + jnp.sum(change, axis=0)), new

    def moved(self, a: Array, own: Array) -> Array:
        """a, one step of Minka's iteration nearer to the largest p(z | a); own: [D, K]."""
        size = jnp.sum(own, axis=1)
        gain = jnp.sum(special.digamma(own + a[None]) - special.digamma(a)[None], axis=0)
        whole = jnp.sum(special.digamma(size + jnp.sum(a)) - special.digamma(jnp.sum(a)))
        return jnp.clip(a * gain / whole, 1e-4, 1e3)


def _params(topics: np.ndarray, a: Array) -> Params:
    """Topics [K, V], not normalised, as parameters of the model."""
    log_topics = np.log(topics / topics.sum(axis=1, keepdims=True))
    return {"log_topics": jnp.asarray(log_topics, jnp.float32), "log_concentration": jnp.log(a)}


def _checked(
    terms: Array, counts: Array, num_terms: int, num_topics: int
) -> tuple[np.ndarray, np.ndarray]:
    terms, counts = np.asarray(terms, np.int32), np.asarray(counts)
    if terms.ndim != 2 or terms.shape != counts.shape or not counts.any():
        raise ValueError(
            "a topic model needs terms and counts [D, L] with at least one word; got shapes "
            f"{terms.shape} and {counts.shape}."
        )
    if terms.min() < 0 or terms.max() >= num_terms:
        raise ValueError(
            f"a topic model needs terms in [0, {num_terms}); got {terms.min()} to {terms.max()}."
        )
    if not 1 <= num_topics <= len(terms):
        raise ValueError(
            f"a topic model needs from 1 to as many topics as documents, {len(terms)}; got "
            f"{num_topics}."
        )
    return terms, counts


def _in_queues(words: np.ndarray, mask: np.ndarray, queues: int) -> tuple[Array, Array, Array]:
    """Documents one after the other, in queues of about one length: words, which, mask: [T, B]"""
    lengths, queues = mask.sum(1), min(queues, len(words))
    rows: list[list[int]] = [[] for _ in range(queues)]
    filled = [(0, queue) for queue in range(queues)]
    for d in np.argsort(-lengths, kind="stable"):
        size, queue = heapq.heappop(filled)
        rows[queue].append(int(d))
        heapq.heappush(filled, (size + int(lengths[d]), queue))
    shape = (max(size for size, _ in filled), queues)
    found, of = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    present = np.zeros(shape, bool)
    for queue, row in enumerate(rows):
        own = np.concatenate([words[d][mask[d]] for d in row])
        found[: len(own), queue], present[: len(own), queue] = own, True
        of[: len(own), queue] = np.repeat(row, lengths[row])
    return jnp.asarray(found), jnp.asarray(of), jnp.asarray(present)
