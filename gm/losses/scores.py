r"""Score-based principles: fits of a density known up to a constant, without that constant.

The score of a density is s(x) = grad_x log p(x), which no normaliser changes. With s_d of data,

    explicit    E |s(x) - s_d(x)|^2 / 2 = E [tr grad s(x) + |s(x)|^2 / 2] + const
    sliced      E [v . grad(v . s(x)) + (v . s(x))^2 / 2],  v of unit variance
    denoising   E |s(x + sigma n) + n / sigma|^2 / 2

Hyvärinen (2005), JMLR 6:695-709; Song et al. (2019), arXiv:1905.07088; Vincent (2011), "A
connection between score matching and denoising autoencoders". Noise-contrastive estimation tells
data from noise of a known density, and so fits the constant too: Gutmann & Hyvärinen (2012), JMLR
13:307-361.

Functions of arrays take a score x -> s of one example, or log densities; `of_log_density` makes a
score of a log density up to a constant.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Key
from gm.losses import batches

Score = Callable[[Array], Array]  # of one x: [D] -> [D]


def of_log_density(log_density: Callable[[Array], Array]) -> Score:
    """grad_x log p(x), of a log density up to a constant: x: [D] -> scalar."""
    return jax.grad(log_density)


def explicit(score: Score, x: Array) -> Array:
    """tr grad s(x) + |s(x)|^2 / 2 of one example; O(D) gradients.

    Args:
      score: s.
      x: [D].
    """
    chex.assert_rank(x, 1)
    divergence = jnp.trace(jax.jacfwd(score)(x))
    return divergence + 0.5 * jnp.sum(score(x) ** 2)


def sliced(key: Key, score: Score, x: Array, *, num_slices: int = 1) -> Array:
    """The same in expectation over directions v = +-1, of which each costs one derivative.

    With |s|^2 / 2 in place of (v . s)^2 / 2, which has the same mean and less variance ("SSM-VR").

    Args:
      key: of the directions.
      score: s.
      x: [D].
      num_slices: directions.
    """
    chex.assert_rank(x, 1)

    def one(key: Key) -> Array:
        v = jax.random.rademacher(key, x.shape, x.dtype)
        _, slope = jax.jvp(score, (x,), (v,))
        return jnp.dot(v, slope)

    divergence = jnp.mean(jax.vmap(one)(jax.random.split(key, num_slices)))
    return divergence + 0.5 * jnp.sum(score(x) ** 2)


def denoising(key: Key, score: Score, x: Array, scale: float | Array) -> Array:
    """sigma^2 |s(x + sigma n) + n / sigma|^2 / 2 of one example, n ~ N(0, I).

    Its minimum is the score of the data with that much noise; the weight sigma^2 makes losses of
    different scales alike (Song & Ermon 2019, arXiv:1907.05600, section 4.2).

    Args:
      key: of the noise.
      score: s.
      x: any shape.
      scale: sigma, positive.

    Raises:
      ValueError: sigma is not positive.
    """
    if not isinstance(scale, jax.Array) and not scale > 0.0:
        raise ValueError(f"denoising needs a positive scale; got {scale}.")
    noise = jax.random.normal(key, x.shape, x.dtype)
    return 0.5 * jnp.sum((scale * score(x + scale * noise) + noise) ** 2)


def noise_contrastive(
    log_model_x: Array, log_noise_x: Array, log_model_y: Array, log_noise_y: Array
) -> Array:
    """-E log sigma(g(x)) - (C/B) E log sigma(-g(y)),  g = log p - log q - log(C / B).

    The cross-entropy of a classifier of data x and noise y, per example of data. Consistent for a
    model with a free constant in log p; its efficiency grows with C / B and with q near the data.

    Args:
      log_model_x: [B], log p of data, unnormalised.
      log_noise_x: [B], log q of data, normalised.
      log_model_y: [C], log p of noise.
      log_noise_y: [C], log q of noise.

    Returns:
      A scalar, nats.

    Raises:
      ValueError: no data, or no noise.
    """
    batches.two_samples("noise_contrastive", log_model_x, log_model_y)
    chex.assert_equal_shape([log_model_x, log_noise_x])
    chex.assert_equal_shape([log_model_y, log_noise_y])
    ratio = len(log_model_y) / len(log_model_x)
    logit_x, logit_y = (
        log_p - log_q - jnp.log(ratio)
        for log_p, log_q in ((log_model_x, log_noise_x), (log_model_y, log_noise_y))
    )
    return jnp.mean(jax.nn.softplus(-logit_x)) + ratio * jnp.mean(jax.nn.softplus(logit_y))
