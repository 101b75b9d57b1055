r"""Vector quantization: learning a VQ-VAE's networks, and its codes by gradient or moving averages.

van den Oord, Vinyals & Kavukcuoglu (2017), arXiv:1711.00937, equation 3; for one x, h its vectors
at P places and e the nearest codes, sg stopping gradients:

    -log p(x | h + sg(e - h)) + beta \sum |h - sg(e)|^2 + \sum |sg(h) - e|^2

The last term is the codes' gradient. In its place moving averages (appendix A.1) of how many h are
nearest to a code, and of their sum, give each code as a ratio:

    n_k <- g n_k + (1 - g) #k,    m_k <- g m_k + (1 - g) \sum_{nearest to k} h,    e_k = m_k / n_k

A dead code, n_k below a threshold, starts again at a random h of the batch (as in Dhariwal et al.,
2020, "Jukebox", arXiv:2005.00341, section 3.2). n and m are the memory of the training state.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from gm.core import Array, Batch, Distribution, Event, Key, Metrics, Params, require
from gm.losses import batches


@runtime_checkable
class Quantized(Protocol):
    """An autoencoder through codes, such as `models.latent.VQVAE`."""

    @property
    def event(self) -> Event:
        """The space of x."""

    def features(self, params: Params, x: Array) -> Array:
        """Vectors before quantization: [*shape, E]"""

    def index(self, params: Params, x: Array) -> Array:
        """The code at each place: [*shape]"""

    def decode_vectors(self, params: Params, e: Array) -> Distribution:
        """p(x | e)"""


class Averages(NamedTuple):
    """Moving averages of what a codebook quantizes.

    Attributes:
      count: [K], n, vectors per batch that are nearest to each code.
      total: [K, E], m, their sum.
    """

    count: Array
    total: Array


def averages(codes: Array) -> Averages:
    """The averages of codes [K, E] that have each seen one vector, themselves."""
    return Averages(jnp.ones(len(codes), codes.dtype), codes)


def perplexity(index: Array, num_codes: int) -> Array:
    """exp of the entropy of how often codes are used, from 1 to K; index: [N]."""
    p = jnp.mean(jax.nn.one_hot(index, num_codes, dtype=jnp.float32), axis=0)
    return jnp.exp(-jnp.sum(jnp.where(p > 0.0, p * jnp.log(jnp.where(p > 0.0, p, 1.0)), 0.0)))


def update_averages(old: Averages, h: Array, index: Array, decay: float) -> Averages:
    """Appendix A.1, equations 6 and 7, for vectors h: [N, E] whose codes are index: [N]."""
    member = jax.nn.one_hot(index, len(old.count), dtype=h.dtype)  # [N, K]
    count = decay * old.count + (1.0 - decay) * jnp.sum(member, axis=0)
    return Averages(count, decay * old.total + (1.0 - decay) * member.T @ h)


def revive(key: Key, old: Averages, h: Array, threshold: float) -> Averages:
    """Codes with a count below the threshold start again, each at a random one of h: [N, E]."""
    chosen = jax.random.choice(key, len(h), (len(old.count),))
    dead = old.count < threshold
    return Averages(jnp.where(dead, 1.0, old.count), jnp.where(dead[:, None], h[chosen], old.total))


def by_gradient(
    model: Any, params: Params, key: Key, batch: Batch, *, commitment: float = 0.25
) -> tuple[Array, Metrics]:
    """Equation 3: every part by its gradient; also for quantizers without a codebook.

    Args:
      model: has `features`, `index`, `decode_vectors` and a `quantizer`, as `VQVAE`.
      params: of the model.
      key: not used; nothing is random.
      batch: {"x": [B, *event]}.
      commitment: beta.

    Returns:
      Nats per example and squared distances, and {"log_likelihood", "distance", "perplexity"}.

    Raises:
      TypeError: the model lacks a method, or the batch is not a mapping.
      ValueError: x is not in the model's event space, or there are more codes than vectors.
    """
    del key
    parts = _quantize(model, params, batch, "by_gradient")
    learned = jnp.sum((jax.lax.stop_gradient(parts.h) - parts.e) ** 2)
    loss, metrics = _loss(model, parts, commitment)
    return loss + learned / len(parts.log_likelihood), metrics


def by_moving_averages(
    model: Any,
    params: Params,
    key: Key,
    batch: Batch,
    memory: Averages,
    *,
    commitment: float = 0.25,
    decay: float = 0.99,
    threshold: float = 0.01,
) -> tuple[Array, tuple[Metrics, Averages]]:
    """Codes by moving averages, with dead ones revived; the networks by their gradients.

    The gradient of the codes is e - m / n: `optimizer` moves them there in one step, and everything
    else by an optimizer of your own.

    Args:
      model, params, batch, commitment: as in `by_gradient`; the quantizer has "codes".
      key: for the revival.
      memory: `train.init(..., memory=averages(codes), replicated=True)`.
      decay: g.
      threshold: vectors per batch, on average, below which a code is dead.

    Returns:
      The loss, and (metrics with "revived" too, the next averages).

    Raises:
      TypeError, ValueError: as `by_gradient`.
    """
    parts = _quantize(model, params, batch, "by_moving_averages")
    h = jax.lax.stop_gradient(parts.h.reshape(-1, parts.h.shape[-1]))
    new = update_averages(memory, h, parts.index.reshape(-1), decay)
    revived = revive(key, new, h, threshold)
    target = revived.total / revived.count[:, None]
    codes = params["quantizer"]["codes"]
    loss, metrics = _loss(model, parts, commitment)
    metrics["revived"] = jnp.sum(jnp.asarray(new.count < threshold, jnp.float32))
    half = 0.5 * jnp.sum((codes - target) ** 2)
    return loss + half - jax.lax.stop_gradient(half), (metrics, revived)


def optimizer(others: optax.GradientTransformation) -> optax.GradientTransformation:
    """Steps of the codes to their moving averages, exactly, and of all else by `others`."""

    def labels(params: Params) -> Params:
        return {
            name: jax.tree.map(lambda _, name=name: name == "quantizer", part)
            for name, part in params.items()
        }

    return optax.multi_transform({True: optax.sgd(1.0), False: others}, labels)


class _Parts(NamedTuple):
    """Of a batch: vectors and codes [B, *shape, E], indices [B, *shape], log p(x | e) [B]."""

    h: Array
    e: Array
    index: Array
    log_likelihood: Array


def _quantize(model: Quantized, params: Params, batch: Batch, name: str) -> _Parts:
    """Both passes of the networks, the gradient passing straight through the quantizer."""
    require(model, Quantized, name)
    x, _ = batches.examples(model.event, batch, name, model)

    def of_example(x: Array) -> _Parts:
        h, index = model.features(params, x), model.index(params, x)
        e = model.quantizer.vectors(params["quantizer"], index)
        straight = h + jax.lax.stop_gradient(e - h)
        return _Parts(h, e, index, model.decode_vectors(params, straight).log_prob(x))

    parts = jax.vmap(of_example)(x)
    learned = "codes" in params["quantizer"]
    if learned and model.quantizer.num_codes > parts.index.size:
        raise ValueError(
            f"{name} needs at least as many vectors in a batch as there are codes, else some have "
            f"none to learn from; got {parts.index.size} vectors and {model.quantizer.num_codes} "
            "codes. Use larger batches or fewer codes."
        )
    return parts


def _loss(model: Quantized, parts: _Parts, commitment: float) -> tuple[Array, Metrics]:
    """The terms that train the networks, per example."""
    distance = jnp.sum((parts.h - jax.lax.stop_gradient(parts.e)) ** 2) / len(parts.log_likelihood)
    log_likelihood = jnp.mean(parts.log_likelihood)
    used = perplexity(parts.index.reshape(-1), model.quantizer.num_codes)
    metrics = {"log_likelihood": log_likelihood, "distance": distance, "perplexity": used}
    return commitment * distance - log_likelihood, metrics
