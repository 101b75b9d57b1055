"""Cells of the quickstart's table that compares models of 8x8 digits."""

import time

import jax
import numpy as np

from gm import core, metrics


def sample(model: core.Samplable, params: core.Params, num_x: int) -> tuple[np.ndarray, float]:
    """Samples with 17 levels, and the number of samples per second after compilation."""
    of = jax.jit(jax.vmap(model.sample, (None, 0)))
    keys = jax.random.split(jax.random.key(0), num_x)
    jax.block_until_ready(of(params, keys))
    begin = time.perf_counter()
    x = np.asarray(of(params, keys))
    per_second = num_x / (time.perf_counter() - begin)
    if not model.event.discrete:  # quantize real values to levels
        x = np.clip(np.floor(17 * x), 0, 16).astype(np.int32)
    return x, per_second


def two_sample(unseen: np.ndarray, x: np.ndarray) -> tuple[str, str]:
    """C2ST accuracy of samples against unseen data, and squared MMD in thousandths."""
    accuracy = metrics.c2st.accuracy(unseen, x)
    mmd, error = metrics.mmd.squared_mmd(unseen, x)
    told = f"{accuracy.value:.2f} ± {accuracy.standard_error:.2f}"
    return told, f"{1e3 * mmd:.1f} ± {1e3 * error:.1f}"


def likelihood(score: metrics.Score, event: core.Event) -> tuple[str, str, str]:
    """Nats, bits per dimension, and the kind of the score."""
    bits = score.bits_per_dim(event)
    kind = f"{score.kind}, K = {score.num_samples}" if score.num_samples else score.kind
    nats = f"{score.value:.1f} ± {score.standard_error:.1f}"
    return nats, f"{bits.value:.2f} ± {bits.standard_error:.2f}", kind
