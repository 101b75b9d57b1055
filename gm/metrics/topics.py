r"""Topic models: perplexity by document completion, and coherence of topics.

    document_completion   exp(-\sum_d log p(scored half | observed half) / words)
    coherence             mean NPMI of pairs among a topic's most probable terms

Wallach, Murray, Salakhutdinov & Mimno (2009), "Evaluation methods for topic models"; Lau, Newman &
Baldwin (2014), "Machine reading tea leaves". One scorer for topics of any origin: the proportions
of a document are inferred from its observed half alone, in the same way for all.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Array
from gm.metrics.score import Score


def document_completion(
    topics: Array,
    concentration: Array,
    terms: np.ndarray,
    observed: np.ndarray,
    scored: np.ndarray,
    *,
    num_steps: int = 100,
) -> Score:
    """Perplexity of the scored half of documents, given the other half.

    p(w | observed) = sum_k E_q[theta_k] p(w | k), q by `dist.proportions_posterior` of the observed
    words.

    Args:
      topics: [K, V], p(w | k).
      concentration: [K], of the prior of theta.
      terms: [D, L] int32; observed, scored: [D, L], their counts in both halves.
      num_steps: of coordinate ascent for q.

    Returns:
      Estimate of unit "perplexity"; its standard error is over documents, by the delta method.

    Raises:
      ValueError: topics that do not sum to one, or nothing to score.
    """
    topics = np.asarray(topics, np.float32)
    if topics.ndim != 2 or not np.allclose(topics.sum(1), 1.0, atol=1e-3):
        raise ValueError(
            "document_completion needs topics [K, V] that sum to one along V; got "
            f"{topics.shape} with sums {topics.sum(-1).min():.4g} to {topics.sum(-1).max():.4g}."
        )
    if not np.any(scored):
        raise ValueError("document_completion needs words to score; got none.")
    arrays = (jnp.asarray(terms), *(jnp.asarray(a, jnp.float32) for a in (observed, scored)))
    log_p = np.asarray(_completed(topics.T, jnp.asarray(concentration), *arrays, num_steps))
    log_p, words = log_p.astype(np.float64), np.asarray(scored, np.float64).sum(1)
    rate = log_p.sum() / words.sum()
    spread = np.sqrt(np.sum((log_p - rate * words) ** 2)) / words.sum()
    value = float(np.exp(-rate))
    return Score(value, float(value * spread), len(words), "perplexity", "estimate")


@functools.partial(jax.jit, static_argnums=5)
def _completed(
    parts: Array, a: Array, terms: Array, observed: Array, scored: Array, num_steps: int
) -> Array:
    """log p(scored | observed) of every document: [D]"""

    def one(document: tuple[Array, Array, Array]) -> Array:
        terms, observed, scored = document
        own = parts[terms]
        theta = dist.proportions_posterior(own, observed, a, num_steps).mean()
        p = own @ theta
        return jnp.sum(jnp.where(scored > 0, scored * jnp.log(jnp.where(scored > 0, p, 1.0)), 0.0))

    return jax.lax.map(one, (terms, observed, scored), batch_size=min(256, len(terms)))


def coherence(topics: Array, terms: np.ndarray, counts: np.ndarray, *, num_top: int = 10) -> Score:
    r"""Mean over topics of the normalised pointwise mutual information of their top terms.

        NPMI(u, v) = log(p(u, v) / (p(u) p(v))) / -log p(u, v),  p of documents that hold a term

    From -1, never together, to 1, only together; 0 where independent. Pairs that never occur
    together count as -1.

    Args:
      topics: [K, V]
      terms, counts: [D, L], documents to count in.
      num_top: terms of each topic.

    Raises:
      ValueError: fewer than two terms of each topic.
    """
    topics = np.asarray(topics)
    if not 2 <= num_top <= topics.shape[1]:
        raise ValueError(
            f"coherence needs num_top from 2 to the {topics.shape[1]} terms; got {num_top}."
        )
    held = np.zeros((len(terms), topics.shape[1]), bool)
    rows, columns = np.nonzero(counts)
    held[rows, terms[rows, columns]] = True
    values = [_npmi(held[:, top]) for top in top_terms(topics, num_top)]
    return Score.mean(np.array(values), unit="NPMI", kind="estimate")


def top_terms(topics: Array, num_top: int = 10) -> np.ndarray:
    """The most probable terms of each topic, first the most probable: [K, num_top]"""
    return np.argsort(-np.asarray(topics), axis=1, kind="stable")[:, :num_top]


def _npmi(held: np.ndarray) -> float:
    """The mean over pairs of terms, of which documents hold: [D, M]"""
    held = held.astype(np.float64)
    both = held.T @ held / len(held)
    alone = np.diag(both)
    i, j = np.triu_indices(len(both), 1)
    p, independent = both[i, j], alone[i] * alone[j]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(p >= 1.0, 1.0, np.log(p / independent) / -np.log(p))
    return float(np.mean(np.where(p > 0.0, found, -1.0)))
