"""Autoregressive models and tables, right ones and a MADE of three bits broken in one way each."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE, NADE, CausalModel, Ensemble
from gm.models.classical import BayesianNetwork, coin, full_table
from gm.networks import MaskedMLP
from tests.law_zoo.sentences import (
    BITS,
    BOUND,
    CAUSAL,
    CONDITIONALS,
    FACES,
    FOLLOW,
    GRADIENTS,
    PLANE,
    SAMPLING,
    VALUE,
)


def made(event=BITS, head=None, hidden=(6,)):
    head = dist.BernoulliHead() if head is None else head
    return CausalModel(event, head, MaskedMLP(hidden=hidden))


@dataclasses.dataclass(frozen=True)
class Made(CausalModel):
    """A MADE of three bits to be broken in one way each."""

    event: Event = BITS
    head: dist.BernoulliHead = dist.BernoulliHead()
    network: MaskedMLP = MaskedMLP(hidden=(6,))


class Unnormalized(Made):
    def log_prob(self, params, x, context=None):
        return 1.1 * super().log_prob(params, x)


class ForgetsAnElement(Made):
    def log_prob(self, params, x, context=None):
        p = self.conditionals(params, x)
        return dist.Bernoulli(p.logits[1:]).log_prob(x[1:])


@dataclasses.dataclass(frozen=True)
class Bound:
    """A noisy bound on the log p of a coin, `gap` below it in the mean."""

    gap: float = 0.1
    event: Event = Event((), 2)

    def init(self, key):
        return coin().init(key)

    def lower_bound(self, params, key, x):
        return coin().log_prob(params, x) - self.gap + 0.1 * jax.random.normal(key)


class PeeksAtItself(Made):
    def conditionals(self, params, x, context=None, ordering=None):
        p = super().conditionals(params, x)
        return dist.Bernoulli(p.logits + 0.1 * (2.0 * x - 1.0))


class PeeksAhead(Made):
    def conditionals(self, params, x, context=None, ordering=None):
        p = super().conditionals(params, x)
        return dist.Bernoulli(p.logits.at[0].add(0.01 * x[2]))


@dataclasses.dataclass(frozen=True)
class RealPeeksAhead(Made):
    event: Event = PLANE
    head: dist.NormalHead = dist.NormalHead()

    def conditionals(self, params, x, context=None, ordering=None):
        p = super().conditionals(params, x)
        return dist.Normal(p.loc.at[0].add(0.01 * jnp.sin(x[1])), p.scale)


class ForgetsInSteps(Made):
    def observe(self, params, carry, x_i):
        return super().observe(params, carry, jnp.zeros_like(x_i))

    def predict_block(self, params, carry, x):
        return super().predict_block(params, carry, jnp.zeros_like(x))


@dataclasses.dataclass(frozen=True)
class StepsInAnotherOrder(Made):
    """With direct connections: through hidden units alone, all of which may be off, an element may
    happen to move no other, and then the order that it claims is one of its orders."""

    network: MaskedMLP = MaskedMLP(hidden=(6,), direct=True)

    @property
    def order(self):
        return (0, 2, 1)


class SamplesFromElsewhere(Made):
    def sample(self, params, key, context=None):
        return jax.random.bernoulli(key, 0.5, (3,)).astype(jnp.int32)


class IgnoresItsKey(Made):
    def sample(self, params, key, context=None):
        return jnp.zeros(3, jnp.int32)


class SamplesOutside(Made):
    def sample(self, params, key, context=None):
        return 2 * super().sample(params, key)


class SamplesAnotherShape(Made):
    def sample(self, params, key, context=None):
        return super().sample(params, key)[:2]


class GlobalGenerator(Made):
    def sample(self, params, key, context=None):
        key = jax.random.fold_in(key, np.random.default_rng().integers(2**31))
        return super().sample(params, key)


class CountsItsCalls(Made):
    calls = itertools.count()

    def init(self, key):
        return super().init(jax.random.fold_in(key, next(self.calls)))


class DeadParameter(Made):
    def init(self, key):
        return {"params": super().init(key)["params"] | {"dead": jnp.zeros(3)}}


class StopsGradients(Made):
    def conditionals(self, params, x, context=None, ordering=None):
        p = params["params"]
        first = sorted(p)[0]
        stopped = p | {first: jax.lax.stop_gradient(p[first])}
        return super().conditionals({"params": stopped}, x)


RIGHT: dict[str, Any] = {
    "MADE": made(),
    "MADE, mixture of Normals": MADE(PLANE, dist.MixtureOfNormalsHead(3), hidden=(8,)),
    "MADE of 40 bits": MADE(Event((40,), 2), dist.BernoulliHead(), hidden=(4,)),
    "MADE, three orders": Ensemble(MADE(BITS, dist.BernoulliHead(), (6,), mask_seed=0), 3),
    "NADE, class-conditional": NADE(BITS, dist.BernoulliHead(), 4, context=Event((), 3)),
    "RNADE, Laplaces": NADE(PLANE, dist.MixtureOfLaplacesHead(2), 4, rescaled=True),
    "coin": coin(),
    "a bound below a coin": Bound(),
    "a bound that is tight": Bound(0.0),
    "Bayesian network": BayesianNetwork(Event((3,), 3), ((), (0,), (0, 1))),
    "full table": full_table(BITS),
}

WRONG: dict[str, tuple[Any, str]] = {
    "init counts its calls": (CountsItsCalls(), VALUE),
    "sample takes a global generator": (GlobalGenerator(), SAMPLING),
    "sample ignores its key": (IgnoresItsKey(), SAMPLING),
    "samples outside the event": (SamplesOutside(), SAMPLING),
    "samples of another shape": (SamplesAnotherShape(), SAMPLING),
    "a conditional sees itself": (PeeksAtItself(), CAUSAL),
    "a conditional sees a later element": (PeeksAhead(), CAUSAL),
    "a real conditional sees a later one": (RealPeeksAhead(), CAUSAL),
    "incremental sampling forgets": (ForgetsInSteps(), FACES),
    "elements in another order": (StepsInAnotherOrder(), CAUSAL),
    "log p times 1.1": (Unnormalized(), CONDITIONALS),
    "log p without the first element": (ForgetsAnElement(), CONDITIONALS),
    "a bound above log p": (Bound(-0.1), BOUND),
    "samples from elsewhere": (SamplesFromElsewhere(), FOLLOW),
    "a parameter nobody reads": (DeadParameter(), GRADIENTS),
    "a parameter behind stop_gradient": (StopsGradients(), GRADIENTS),
}
