r"""Order-agnostic training: maximum likelihood over all orders of the elements.

    E_o[-log p_o(x)],    p_o(x) = \prod_i p(x_o(i) | x_o(<i))

Uria, Murray & Larochelle (2014), "A deep and tractable density estimator", arXiv:1310.1757: by
linearity one random place d of one random order is an unbiased estimate of the whole sum, and where
the conditionals depend on the set o(<d) alone, one forward pass gives all of them,

    D / (D - d) \sum_{i not in o(<d)} -log p(x_i | x_o(<d)),    d uniform in {0, ..., D - 1}.

Germain, Gregor, Murray & Larochelle (2015), "MADE", arXiv:1502.03509, section 4.2: a masked network
takes another order (and other masks) at every step instead.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import (
    Array,
    Batch,
    Key,
    Metrics,
    MixtureOfMembers,
    OrderAgnostic,
    Params,
    PyTree,
    given,
    require,
)
from gm.losses import batches


def order_agnostic_estimate(log_probs: Array, observed: Array) -> Array:
    """D / (D - d) times the sum over what is not observed, in nats.

    Args:
      log_probs: [D], log p(x_i | x_observed).
      observed: [D], booleans, d of them true, d < D.
    """
    missing = jnp.sum(~observed).astype(log_probs.dtype)
    return observed.size / missing * jnp.sum(jnp.where(observed, 0.0, log_probs))


def random_prefix(key: Key, size: int) -> Array:
    """[D] booleans: the first d elements of a random order, d uniform in {0, ..., D - 1}."""
    key_order, key_length = jax.random.split(key)
    rank = jax.random.permutation(key_order, size)
    return rank < jax.random.randint(key_length, (), 0, size)


def order_agnostic_nll(
    model: OrderAgnostic, params: Params, key: Key, batch: Batch
) -> tuple[Array, Metrics]:
    """Unbiased estimate of E_o[-log p_o(x)], averaged over the batch; one forward pass an example.

    Args:
      model: a model with `conditionals_given`: DeepNADE.
      params: of the model.
      key: for an order and a place of its own for each example.
      batch: {"x": [B, *event]}, and {"context": y} where the model is conditional.

    Returns:
      Nats per example, and {"log_prob"}.
    """
    require(model, OrderAgnostic, "order_agnostic_nll")
    x, y = batches.examples(model.event, batch, "order_agnostic_nll", model)

    def one(key: Key, x: Array, y: PyTree) -> Array:
        observed = random_prefix(key, model.event.size)
        conditionals = given(model, y).conditionals_given(
            params, x, observed.reshape(model.event.shape)
        )
        log_probs = dist.element_log_probs(conditionals, x)
        return order_agnostic_estimate(log_probs.reshape(-1), observed)

    log_prob = jnp.mean(jax.vmap(one)(jax.random.split(key, len(x)), x, y))
    return -log_prob, {"log_prob": log_prob}


def sampled_member_nll(
    model: MixtureOfMembers, params: Params, key: Key, batch: Batch
) -> tuple[Array, Metrics]:
    """-log p_m(x) of one random member for the whole batch, averaged over the batch.

    Args:
      model: an ensemble with `member_log_prob`: MADE over orders and masks, NADE over orders.
      params: that all members share.
      key: for the member.
      batch: {"x": [B, *event]}, and {"context": y} where the model is conditional.

    Returns:
      Nats per example, and {"log_prob"}.
    """
    require(model, MixtureOfMembers, "sampled_member_nll")
    x, y = batches.examples(model.event, batch, "sampled_member_nll", model)
    m = jax.random.randint(key, (), 0, model.num_members)
    one = jax.vmap(lambda x, y: given(model, y).member_log_prob(params, x, m))
    log_prob = jnp.mean(one(x, y))
    return -log_prob, {"log_prob": log_prob}
