"""Joint distributions of several parts, each conditional on the earlier ones, and their KL."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key, PyTree, pytree
from gm.distributions.divergences import has_kl, kl_divergence
from gm.distributions.pathwise import Scored, is_reparameterized, sample_and_log_prob

Part = Distribution | Callable[..., Distribution]


@pytree
class Joint(Scored):
    """p(z) = Π_l p(z_l | z_1, ..., z_{l-1}) for tuples z, such as hierarchies or mixed spaces.

        Joint((top, lambda z_1: Normal(f(z_1), s)))     # z = (z_1, z_2)

    A function may close over arrays if the Joint stays inside the JAX transform that made them. A
    Joint that a transform returns, such as a batch made by `jax.vmap`, needs
    `jax.tree_util.Partial(function, params)`, whose arrays are leaves of the pytree; z_1, ... are
    the arguments after params.

    Attributes:
      parts: the distribution of each part, or a function from the earlier parts to it.
    """

    parts: tuple[Part, ...]

    def conditionals(self, z: tuple[PyTree, ...]) -> tuple[Distribution, ...]:
        """p(z_l | z_1, ..., z_{l-1}) for every l.

        Raises:
          ValueError: z does not have as many parts as the joint.
        """
        if not isinstance(z, tuple | list) or len(z) != len(self.parts):
            got = f"{len(z)} of them" if isinstance(z, tuple | list) else type(z).__name__
            raise ValueError(f"Joint needs a tuple of {len(self.parts)} parts; got {got}.")
        return tuple(given_part(part, z[:i]) for i, part in enumerate(self.parts))

    @property
    def reparameterized(self) -> bool:
        """Whether every part is reparameterized."""
        said = []

        def visit(key: Key) -> None:
            z = ()
            for part in self.parts:
                one = given_part(part, z)
                said.append(is_reparameterized(one))
                z = (*z, one.sample(key))

        jax.eval_shape(visit, jax.random.key(0))
        return all(said)

    def log_prob(self, z: tuple[PyTree, ...]) -> Array:
        """log p(z), nats: the sum over the parts."""
        terms = [p.log_prob(z_l) for p, z_l in zip(self.conditionals(z), z, strict=True)]
        return sum(terms[1:], terms[0])

    def sample(self, key: Key) -> tuple[PyTree, ...]:
        """One z, a tuple, by ancestral sampling."""
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Key) -> tuple[tuple[PyTree, ...], Array]:
        """One z and log p(z), nats; each part is scored when it is sampled."""
        z, log_probs = (), []
        for part, k in zip(self.parts, jax.random.split(key, len(self.parts)), strict=True):
            z_l, log_prob = sample_and_log_prob(given_part(part, z), k)
            z, log_probs = (*z, z_l), [*log_probs, log_prob]
        return z, sum(log_probs[1:], log_probs[0])


@pytree
class Reversed(Scored):
    """The distribution of z with its parts in reverse order: a hierarchy counted from below.

    Attributes:
      joint: of (z_L, ..., z_1).
    """

    joint: Joint

    @property
    def reparameterized(self) -> bool:
        """Whether every part is reparameterized."""
        return self.joint.reparameterized

    def log_prob(self, z: tuple[PyTree, ...]) -> Array:
        """log p(z), nats, for z = (z_1, ..., z_L)."""
        return self.joint.log_prob(z[::-1])

    def sample(self, key: Key) -> tuple[PyTree, ...]:
        """One z = (z_1, ..., z_L)."""
        return self.joint.sample(key)[::-1]

    def sample_and_log_prob(self, key: Key) -> tuple[tuple[PyTree, ...], Array]:
        """One z and log p(z), nats."""
        z, log_prob = self.joint.sample_and_log_prob(key)
        return z[::-1], log_prob


def sample_and_kl(
    key: Key, q: Distribution, p: Distribution, *, analytic: bool = True
) -> tuple[PyTree, Array]:
    r"""z ~ q, and L terms whose expected sum is KL(q || p): one for each part of two joints.

        KL(q || p) = Σ_l E_q KL(q(z_l | z_<l) || p(z_l | z_<l))

    A term has closed form if there is one (`has_kl`), else it is log q - log p at the sampled z_l.

    Args:
      key: one key.
      q, p: distributions over the same space. Two `Joint`s with equally many parts give one term
        per part, other pairs one term.
      analytic: whether to use closed forms; False samples every term.

    Returns:
      z, and terms [L] in nats.
    """
    if not (isinstance(q, Joint) and isinstance(p, Joint) and len(q.parts) == len(p.parts)):
        z, term = _term(key, q, p, analytic)
        return z, term[None]
    z, terms, keys = (), [], jax.random.split(key, len(q.parts))
    for q_l, p_l, k in zip(q.parts, p.parts, keys, strict=True):
        z_l, term = _term(k, given_part(q_l, z), given_part(p_l, z), analytic)
        z, terms = (*z, z_l), [*terms, term]
    return z, jnp.stack(terms)


def _term(key: Key, q: Distribution, p: Distribution, analytic: bool) -> tuple[PyTree, Array]:
    """z ~ q, and its term of KL(q || p)."""
    if analytic and has_kl(q, p):
        return q.sample(key), kl_divergence(q, p)
    z, log_q = sample_and_log_prob(q, key)
    return z, log_q - p.log_prob(z)


def given_part(part: Part, earlier: tuple[PyTree, ...]) -> Distribution:
    """The distribution of one part given the values of the earlier parts."""
    return part if hasattr(part, "log_prob") else part(*earlier)
