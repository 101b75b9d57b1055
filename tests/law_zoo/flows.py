"""Flows and bijections: RealNVPs, affine maps, and each broken in one way."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import bijections
from gm import distributions as dist
from gm.bijections import Chain, Inverse, Permutation
from gm.core import Event
from gm.models.flows import Flow, Standard
from tests.law_zoo.sentences import FOLLOW, INVERSE, JACOBIAN, PLANE, SIZES, SUM


def mlp_init(key, sizes):
    """Weights of variance 1 / fan-in, biases zero, as a user would write them."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(k, (m, n)) / np.sqrt(m), jnp.zeros(n))
        for k, (m, n) in zip(keys, itertools.pairwise(sizes), strict=True)
    ]


def mlp(params, x):
    """Rectified hidden layers."""
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return x @ w + b


@dataclasses.dataclass(frozen=True)
class RealNVP:
    """Dinh et al. (2017), arXiv:1605.08803, in the plane: each layer moves one axis by the other.

    y = x exp(bound tanh(s) + t), or exp(s) where no bound is set, with s, t = mlp(other axis).
    """

    num_layers: int
    width: int
    bounded: bool = False
    event: Event = PLANE

    def init(self, key):
        keys = jax.random.split(key, self.num_layers)
        return [mlp_init(k, (1, self.width, self.width, 2)) for k in keys]

    def shift_and_log_scale(self, params, other):
        shift, log_scale = mlp(params, other[None])
        return shift, jnp.tanh(log_scale) if self.bounded else log_scale

    def to_noise(self, params, x):
        x, log_det = list(x), jnp.zeros(())
        for i, layer in enumerate(params):
            shift, log_scale = self.shift_and_log_scale(layer, x[1 - i % 2])
            x[i % 2] = (x[i % 2] - shift) * jnp.exp(-log_scale)
            log_det -= log_scale
        return jnp.stack(x), log_det

    def to_data(self, params, z):
        z, log_det = list(z), jnp.zeros(())
        for i, layer in reversed(list(enumerate(params))):
            shift, log_scale = self.shift_and_log_scale(layer, z[1 - i % 2])
            z[i % 2] = z[i % 2] * jnp.exp(log_scale) + shift
            log_det += log_scale
        return jnp.stack(z), log_det

    def log_prob(self, params, x):
        z, log_det = self.to_noise(params, x)
        return dist.Normal(jnp.zeros(2), jnp.ones(2)).log_prob(z) + log_det

    def sample(self, params, key):
        return self.to_data(params, jax.random.normal(key, (2,)))[0]


@dataclasses.dataclass(frozen=True)
class Affine:
    """x = shift + scale L z, of any scale."""

    shift: float = 0.0
    scale: float = 1.0
    event: Event = PLANE

    def init(self, key):
        size = self.event.size
        return {"log_diagonal": jnp.zeros(size), "lower": jnp.zeros((size, size))}

    def matrix(self, params):
        return self.scale * (
            jnp.tril(params["lower"], -1) + jnp.diag(jnp.exp(params["log_diagonal"]))
        )

    def to_noise(self, params, x):
        z = jax.scipy.linalg.solve_triangular(self.matrix(params), x - self.shift, lower=True)
        return z, -jnp.sum(params["log_diagonal"]) - self.event.size * np.log(self.scale)

    def to_data(self, params, z):
        log_det = jnp.sum(params["log_diagonal"]) + self.event.size * np.log(self.scale)
        return self.shift + self.matrix(params) @ z, log_det

    def log_prob(self, params, x):
        z, log_det = self.to_noise(params, x)
        return dist.Normal(jnp.zeros_like(z), jnp.ones_like(z)).log_prob(z) + log_det

    def sample(self, params, key):
        return self.to_data(params, jax.random.normal(key, self.event.shape))[0]


class Shifted(Affine):
    def sample(self, params, key):
        return super().sample(params, key) + 50.0


class WrongLogDet(RealNVP):
    def to_noise(self, params, x):
        z, log_det = super().to_noise(params, x)
        return z, 0.9 * log_det

    def to_data(self, params, z):
        x, log_det = super().to_data(params, z)
        return x, 0.9 * log_det


class ForgetsALayersLogDet(RealNVP):
    def to_noise(self, params, x):
        z, log_det = super().to_noise(params, x)
        return z, log_det + self.shift_and_log_scale(params[0], x[1])[1]

    def to_data(self, params, z):
        x, log_det = super().to_data(params, z)
        return x, log_det - self.shift_and_log_scale(params[0], x[1])[1]


class NoInverse(RealNVP):
    def to_data(self, params, z):
        return super().to_data(params[::-1], z)


class InverseIsOff(RealNVP):
    def to_data(self, params, z):
        x, log_det = super().to_data(params, z)
        return x + 0.01, log_det


class SameLogDetBothWays(RealNVP):
    def to_data(self, params, z):
        x, log_det = super().to_data(params, z)
        return x, -log_det


class ForgetsLogDet(RealNVP):
    def log_prob(self, params, x):
        z, _ = self.to_noise(params, x)
        return dist.Normal(jnp.zeros(2), jnp.ones(2)).log_prob(z)


class SkipsALayer(RealNVP):
    def sample(self, params, key):
        return self.to_data(params[:-1], jax.random.normal(key, (2,)))[0]


@dataclasses.dataclass(frozen=True)
class Coupling:
    """(a, b) -> (a, b exp(s(a)) + t(a)) in the plane, class-conditional or not."""

    width: int = 8
    context: Event | None = None
    event: Event = PLANE

    def init(self, key):
        return mlp_init(key, (1 + (self.context.vector_size if self.context else 0), self.width, 2))

    def scale_and_shift(self, params, a, y):
        given = a[None] if y is None else jnp.concatenate([a[None], jax.nn.one_hot(y, 3)])
        log_scale, shift = mlp(params, given)
        return jnp.tanh(log_scale), shift

    def forward(self, params, x, context=None):
        log_scale, shift = self.scale_and_shift(params, x[0], context)
        return x.at[1].set(x[1] * jnp.exp(log_scale) + shift), log_scale

    def inverse(self, params, y, context=None):
        log_scale, shift = self.scale_and_shift(params, y[0], context)
        return y.at[1].set((y[1] - shift) * jnp.exp(-log_scale)), -log_scale


@dataclasses.dataclass(frozen=True)
class Sigmoid:
    """Onto (0, 1), where most points are none of its values."""

    event: Event = PLANE

    def init(self, key):
        return {"slope": jnp.ones(())}

    def forward(self, params, x, context=None):
        y = jax.nn.sigmoid(x * params["slope"])
        return y, jnp.sum(jnp.log(y * (1 - y) * params["slope"]))

    def inverse(self, params, y, context=None):
        x = (jnp.log(y) - jnp.log1p(-y)) / params["slope"]
        return x, -jnp.sum(jnp.log(y * (1 - y) * params["slope"]))


@dataclasses.dataclass(frozen=True)
class Squeeze:
    """[2, 1] -> [2], and then another map."""

    then: Any

    def init(self, key):
        return self.then.init(key)

    def forward(self, params, x, context=None):
        return self.then.forward(params, x[:, 0], context)

    def inverse(self, params, y, context=None):
        x, log_det = self.then.inverse(params, y, context)
        return x[:, None], log_det


class SumsForwardTwice(Coupling):
    def forward(self, params, x, context=None):
        y, log_det = super().forward(params, x, context)
        return y, 2.0 * log_det


class ScalesByAll(Coupling):
    """Both directions agree, and on a log_det that is none: s of another element."""

    def inverse(self, params, y, context=None):
        x, _ = super().inverse(params, y, context)
        return x, -self.scale_and_shift(params, x[1], context)[0]

    def forward(self, params, x, context=None):
        return super().forward(params, x, context)[0], self.scale_and_shift(params, x[1], None)[0]


class DropsAnElement(Coupling):
    def forward(self, params, x, context=None):
        y, log_det = super().forward(params, x, context)
        return y[:1], log_det


class LogDetOfEachElement(Coupling):
    def inverse(self, params, y, context=None):
        x, log_det = super().inverse(params, y, context)
        return x, jnp.stack([jnp.zeros(()), log_det])


def flow(*parts, event=PLANE, **options):
    return Flow(event, Standard(event), Chain(parts), **options)


RIGHT: dict[str, Any] = {
    "RealNVP 2x16": RealNVP(2, 16),
    "RealNVP 4x32": RealNVP(4, 32),
    "RealNVP 6x64": RealNVP(6, 64),
    "RealNVP 6x64, bounded": RealNVP(6, 64, bounded=True),
    "affine": Affine(),
    "affine, metres as nanometres": Affine(1e5, 1e4),
    "affine, far from zero": Affine(300.0, 1e-2),
    "affine, tiny": Affine(0.0, 1e-5),
    "affine, three dimensions": Affine(event=Event((3,))),
    "a coupling": Coupling(),
    "a coupling, class-conditional": Coupling(context=Event((), 3)),
    "a coupling, inverse first": flow(Inverse(Coupling()), Permutation((1, 0)), Coupling()),
    "a sigmoid": Sigmoid(),
    "a sigmoid that says -inf outside": flow(
        bijections.Affine(PLANE), bijections.Elementwise(PLANE, bijections.transformers.Sigmoid())
    ),
    "a full matrix": bijections.Affine(Event((3, 2)), "full"),
    "a matrix in the plane, logistic noise": Flow(
        PLANE, Standard(Event((2, 1)), dist.Logistic), Squeeze(bijections.Affine(PLANE, "full"))
    ),
    "a flow of a flow": Flow(PLANE, flow(Coupling()), bijections.Affine(PLANE, "triangular")),
}

WRONG: dict[str, tuple[Any, str]] = {
    "samples far away": (Shifted(), FOLLOW),
    "log-determinant times 0.9": (WrongLogDet(2, 16), JACOBIAN),
    "log-determinant times 0.9, 4x32": (WrongLogDet(4, 32), JACOBIAN),
    "log-determinant times 0.9, 6x64": (WrongLogDet(6, 64), JACOBIAN),
    "a layer's log-determinant left out": (ForgetsALayersLogDet(4, 16), JACOBIAN),
    "an inverse of layers out of order": (NoInverse(4, 16), INVERSE),
    "an inverse that is off by a hundredth": (InverseIsOff(2, 16), INVERSE),
    "one log-determinant for both ways": (SameLogDetBothWays(2, 16), INVERSE),
    "log p without the log-determinant": (ForgetsLogDet(2, 16, bounded=True), SUM),
    "forward's log-determinant twice": (SumsForwardTwice(), INVERSE),
    "a log-determinant of something else": (ScalesByAll(), JACOBIAN),
    "a bijection drops an element": (DropsAnElement(), SIZES),
    "a log-determinant of every element": (LogDetOfEachElement(), SIZES),
    "sample leaves out a layer": (SkipsALayer(2, 16, bounded=True), FOLLOW),
}
