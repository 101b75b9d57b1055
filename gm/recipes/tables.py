"""Cells of a table that compares models of 8x8 digits, as the quickstart prints."""

import time

import jax
import numpy as np

from gm import core, metrics


def sample(model: core.Samplable, params: core.Params, num_x: int) -> tuple[np.ndarray, float]:
    """Samples of 17 levels, and how many a second once compiled."""
    of = jax.jit(jax.vmap(model.sample, (None, 0)))
    keys = jax.random.split(jax.random.key(0), num_x)
    jax.block_until_ready(of(params, keys))
    begin = time.perf_counter()
    x = np.asarray(of(params, keys))
    per_second = num_x / (time.perf_counter() - begin)
    if not model.event.discrete:  # the level that each real value lies in
        x = np.clip(np.floor(17 * x), 0, 16).astype(np.int32)
    return x, per_second


def two_sample(unseen: np.ndarray, x: np.ndarray) -> tuple[str, str]:
    """How samples compare with unseen data: classifier accuracy, and squared MMD in thousandths."""
    accuracy = metrics.c2st.accuracy(unseen, x)
    mmd, error = metrics.mmd.squared_mmd(unseen, x)
    told = f"{accuracy.value:.2f} ± {accuracy.standard_error:.2f}"
    return told, f"{1e3 * mmd:.1f} ± {1e3 * error:.1f}"


def likelihood(score: metrics.Score, event: core.Event) -> tuple[str, str, str]:
    """Nats, bits per dimension, and what kind of number it is."""
    bits = score.bits_per_dim(event)
    kind = f"{score.kind}, K = {score.num_samples}" if score.num_samples else score.kind
    nats = f"{score.value:.1f} ± {score.standard_error:.1f}"
    return nats, f"{bits.value:.2f} ± {bits.standard_error:.2f}", kind
