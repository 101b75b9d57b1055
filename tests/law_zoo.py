"""Right and wrong models for `gm.laws`: none of the first may be condemned, each of the others must
be, by the law that speaks of its fault."""

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
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP, MaskedMLP

BITS, LINE, PLANE = Event((3,), 2), Event((1,)), Event((2,))


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


@dataclasses.dataclass(frozen=True)
class Mixture1D:
    """A mixture on the line, of components of any place and width."""

    loc: tuple[float, ...] = (-2.0, 0.5)
    scale: tuple[float, ...] = (0.3, 1.0)
    event: Event = LINE

    def init(self, key):
        return {"logits": jnp.zeros(len(self.loc)), "move": jnp.zeros(len(self.loc))}

    def distribution(self, params):
        scale = jnp.array(self.scale)
        loc = jnp.array(self.loc) + scale * params["move"]
        return dist.Mixture(params["logits"][None], dist.Normal(loc[None], scale[None]))

    def log_prob(self, params, x):
        return self.distribution(params).log_prob(x)

    def sample(self, params, key):
        return self.distribution(params).sample(key)


@dataclasses.dataclass(frozen=True)
class Student:
    """Student's t of few degrees of freedom, on the line; one is Cauchy's."""

    freedom: float = 1.0
    event: Event = LINE

    def init(self, key):
        return {"log_scale": jnp.zeros(1)}

    def log_prob(self, params, x):
        scale = jnp.exp(params["log_scale"])
        return jnp.sum(jax.scipy.stats.t.logpdf(x / scale, self.freedom) - params["log_scale"])

    def sample(self, params, key):
        return jnp.exp(params["log_scale"]) * jax.random.t(key, self.freedom, (1,))


@dataclasses.dataclass(frozen=True)
class Ridge:
    """x_0 ~ N(0, 1), x_1 near a wave of x_0: a thin winding line."""

    width: float = 0.003
    event: Event = PLANE

    def init(self, key):
        return {"loc": jnp.zeros(2)}

    def log_prob(self, params, x):
        loc, scale = jnp.stack([jnp.zeros(()), jnp.sin(3.0 * x[0])]), jnp.array([1.0, self.width])
        return dist.Normal(params["loc"] + loc, scale).log_prob(x)

    def sample(self, params, key):
        z = jax.random.normal(key, (2,))
        first = params["loc"][0] + z[0]
        return jnp.stack([first, params["loc"][1] + jnp.sin(3.0 * first) + self.width * z[1]])


def made(event=BITS, head=None, hidden=(6,)):
    head = dist.BernoulliHead() if head is None else head
    return CausalModel(event, head, MaskedMLP(hidden=hidden))


def vae(kind=VAE, event=BITS, head=None, latent_dim=1, **options):
    head = dist.BernoulliHead() if head is None else head
    encoder = MLP((4,), (2 * latent_dim,), input_ndim=2)
    decoder = MLP((4,), (*event.shape, head.num_params))
    return kind(event, head, encoder, decoder, latent_dim, **options)


RIGHT: dict[str, Any] = {
    "MADE": made(),
    "MADE, mixture of Normals": MADE(PLANE, dist.MixtureOfNormalsHead(3), hidden=(8,)),
    "MADE of 40 bits": MADE(Event((40,), 2), dist.BernoulliHead(), hidden=(4,)),
    "MADE, three orders": Ensemble(MADE(BITS, dist.BernoulliHead(), (6,), wiring_seed=0), 3),
    "NADE, given a label": NADE(BITS, dist.BernoulliHead(), 4, context=Event((), 3)),
    "RNADE, Laplaces": NADE(PLANE, dist.MixtureOfLaplacesHead(2), 4, rescaled=True),
    "coin": coin(),
    "Bayesian network": BayesianNetwork(Event((3,), 3), ((), (0,), (0, 1))),
    "full table": full_table(BITS),
    "VAE": vae(),
    "VAE, two latents": vae(event=Event((2,), 3), head=dist.CategoricalHead(3), latent_dim=2),
    "VAE, real": vae(event=LINE, head=dist.NormalHead()),
    "VAE, narrow posterior": vae(start_scale=1e-3),
    "RealNVP 2x16": RealNVP(2, 16),
    "RealNVP 4x32": RealNVP(4, 32),
    "RealNVP 6x64": RealNVP(6, 64),
    "RealNVP 6x64, bounded": RealNVP(6, 64, bounded=True),
    "affine": Affine(),
    "affine, metres as nanometres": Affine(1e5, 1e4),
    "affine, far from zero": Affine(300.0, 1e-2),
    "affine, tiny": Affine(0.0, 1e-5),
    "affine, three dimensions": Affine(event=Event((3,))),
    "mixture": Mixture1D(),
    "mixture, a spike": Mixture1D((0.0, 3.0), (1.0, 1e-3)),
    "mixture, far apart": Mixture1D((-5e3, 1e3), (1.0, 30.0)),
    "Student, 3 degrees": Student(3.0),
    "Cauchy": Student(1.0),
    "Student, a tenth of a degree": Student(0.1),
    "a ridge": Ridge(),
    "Generator": Generator(PLANE, MLP((4,), (2,)), latent_dim=2),
    "Critic of few units": Critic(PLANE, MLP((2,), ())),
}


@dataclasses.dataclass(frozen=True)
class Made(CausalModel):
    """A MADE of three bits to be broken in one way each."""

    event: Event = BITS
    conditional: dist.BernoulliHead = dist.BernoulliHead()
    network: MaskedMLP = MaskedMLP(hidden=(6,))


class Unnormalized(Made):
    def log_prob(self, params, x, context=None):
        return 1.1 * super().log_prob(params, x)


class ForgetsAnElement(Made):
    def log_prob(self, params, x, context=None):
        p = self.conditionals(params, x)
        return dist.Bernoulli(p.logits[1:]).log_prob(x[1:])


class PeeksAtItself(Made):
    def conditionals(self, params, x, context=None, wiring=None):
        p = super().conditionals(params, x)
        return dist.Bernoulli(p.logits + 0.1 * (2.0 * x - 1.0))


class PeeksAhead(Made):
    def conditionals(self, params, x, context=None, wiring=None):
        p = super().conditionals(params, x)
        return dist.Bernoulli(p.logits.at[0].add(0.01 * x[2]))


@dataclasses.dataclass(frozen=True)
class RealPeeksAhead(Made):
    event: Event = PLANE
    conditional: dist.NormalHead = dist.NormalHead()

    def conditionals(self, params, x, context=None, wiring=None):
        p = super().conditionals(params, x)
        return dist.Normal(p.loc.at[0].add(0.01 * jnp.sin(x[1])), p.scale)


class ForgetsInSteps(Made):
    def observe(self, params, carry, x_i):
        return super().observe(params, carry, jnp.zeros_like(x_i))

    def predict_block(self, params, carry, x):
        return super().predict_block(params, carry, jnp.zeros_like(x))


class StepsInAnotherOrder(Made):
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
    def conditionals(self, params, x, context=None, wiring=None):
        p = params["params"]
        first = sorted(p)[0]
        stopped = p | {first: jax.lax.stop_gradient(p[first])}
        return super().conditionals({"params": stopped}, x)


@dataclasses.dataclass(frozen=True)
class NotANumber(Mixture1D):
    def log_prob(self, params, x):
        zero = jnp.sum(params["logits"] * 0.0)
        return super().log_prob(params, x) + jnp.sqrt(zero)


@dataclasses.dataclass(frozen=True)
class HoldsAList(Mixture1D):
    names: Any = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class CanBeSet:
    """Fields that can be set: hashed by identity."""

    event: Event = LINE
    __hash__ = object.__hash__

    def init(self, key):
        return {"log_scale": jnp.zeros(1)}

    def sample(self, params, key):
        return jax.random.normal(key, (1,))


class Plain:
    event = LINE

    def init(self, key):
        return {}

    def sample(self, params, key):
        return jax.random.normal(key, (1,))


class TooMuch(Mixture1D):
    def log_prob(self, params, x):
        return super().log_prob(params, x) + 0.01


class OneKeyForBoth(Mixture1D):
    def sample(self, params, key):
        loc = jnp.array(self.loc) + jnp.array(self.scale) * params["move"]
        m = jax.random.uniform(key, (1,)) < jax.nn.sigmoid(
            params["logits"][1] - params["logits"][0]
        )
        m = m.astype(jnp.int32)
        u = jax.random.uniform(key, (1,), minval=1e-6)
        return loc[m] + jnp.array(self.scale)[m] * jax.scipy.special.ndtri(u)


class Wider(Student):
    def sample(self, params, key):
        return 1.5 * super().sample(params, key)


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


class Elsewhere(dist.Normal):
    """Samples from another place than its density says."""

    def sample(self, key):
        return super().sample(key) + 1.0


class Thin(dist.Normal):
    """Claims a density that integrates to less than one, so that its bound is none."""

    def log_prob(self, x):
        return super().log_prob(x) - 3.0


class ThinBits(dist.Bernoulli):
    def log_prob(self, x):
        return super().log_prob(x) - 0.01


class SamplesAnotherPosterior(VAE):
    def encode(self, params, x):
        q = super().encode(params, x)
        return Elsewhere(q.loc, q.scale)


class ThinPosterior(VAE):
    def encode(self, params, x):
        q = super().encode(params, x)
        return Thin(q.loc, q.scale)


class ThinLikelihood(VAE):
    def decode(self, params, z):
        return ThinBits(super().decode(params, z).logits)


class SamplesTheMode(VAE):
    def sample(self, params, key):
        return self.decode(params, self.prior(params).sample(key)).mode()


class SamplesWithOneKey(VAE):
    def sample(self, params, key):
        return self.decode(params, self.prior(params).sample(key)).sample(key)


class SamplesAnotherPrior(Generator):
    def sample(self, params, key):
        return self.generate(params, 1.2 * self.prior(params).sample(key))


VALUE, SAMPLING = "a model is a value", "sampling is a function of its key"
GRADIENTS, SUM = "gradients reach every parameter", "a density sums to one"
FOLLOW, PROCESS = "samples follow the density", "samples follow the generative process"
CAUSAL, FACES = "no element sees itself or a later one", "walk and pass agree"
INVERSE, JACOBIAN = "a flow inverts itself", "log_det is the Jacobian's"
CONDITIONALS, BOUNDS = "log p is the sum of conditionals", "elbo <= iwae <= log p(x)"
LIKELIHOOD = "p(x | z) sums to one"

WRONG: dict[str, tuple[Any, str]] = {
    "a plain class": (Plain(), VALUE),
    "fields that can be set": (CanBeSet(), VALUE),
    "a list among its fields": (HoldsAList(), VALUE),
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
    "log p + 0.01": (TooMuch(), SUM),
    "samples from elsewhere": (SamplesFromElsewhere(), FOLLOW),
    "samples half as wide again": (Wider(), FOLLOW),
    "samples far away": (Shifted(), FOLLOW),
    "one key for component and value": (OneKeyForBoth(), FOLLOW),
    "a parameter nobody reads": (DeadParameter(), GRADIENTS),
    "a parameter behind stop_gradient": (StopsGradients(), GRADIENTS),
    "a gradient that is no number": (NotANumber(), GRADIENTS),
    "log-determinant times 0.9": (WrongLogDet(2, 16), JACOBIAN),
    "log-determinant times 0.9, 4x32": (WrongLogDet(4, 32), JACOBIAN),
    "log-determinant times 0.9, 6x64": (WrongLogDet(6, 64), JACOBIAN),
    "a layer's log-determinant left out": (ForgetsALayersLogDet(4, 16), JACOBIAN),
    "an inverse of layers out of order": (NoInverse(4, 16), INVERSE),
    "one log-determinant for both ways": (SameLogDetBothWays(2, 16), INVERSE),
    "log p without the log-determinant": (ForgetsLogDet(2, 16, bounded=True), SUM),
    "sample leaves out a layer": (SkipsALayer(2, 16, bounded=True), FOLLOW),
    "a posterior that samples elsewhere": (vae(SamplesAnotherPosterior), BOUNDS),
    "a posterior that sums to less than one": (vae(ThinPosterior), BOUNDS),
    "a likelihood that sums to less than one": (vae(ThinLikelihood), LIKELIHOOD),
    "a VAE samples modes": (vae(SamplesTheMode), PROCESS),
    "a VAE samples z and x with one key": (vae(SamplesWithOneKey), PROCESS),
    "a generator samples another prior": (
        SamplesAnotherPrior(PLANE, MLP((4,), (2,)), latent_dim=2),
        PROCESS,
    ),
}
