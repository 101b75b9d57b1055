"""Gradient estimators of variational bounds against the exact gradient: bias, variance, SNR.

    python benchmarks/estimators.py > benchmarks/results/estimators.txt

Two models whose exact gradient is known for every K (`weighted_bounds.enumerated_iwae`): a real z
of one element under two pixels (conjugate), by quadrature, and four bits under four pixels, by
their 16 values. Of an estimator with K samples of z (and K the bound's, for IWAE) a row gives, for
the parameters of the encoder and of the decoder,

    bias    |mean - exact| / |exact|, and the standard error of that mean in the same unit
    spread  sqrt(trace of the covariance) / |exact|, of one estimate
    SNR     mean over the parameters of |exact_i| / standard deviation_i; inf where one has no noise

all vectors over the parameters of one part. The weights of the real z are bounded, but for "narrow
q", narrower than the posterior: there they are not, and neither theory of the SNR holds.
`--table FILE --picture FILE` plots the encoder's SNR against K.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.flatten_util import ravel_pytree

from gm import distributions as dist
from gm import plot
from gm.core import Event
from gm.losses import path_gradients, relaxations, score_function, variational
from gm.losses import weighted_bounds as bounds

Params = dict[str, dict[str, Any]]
PARTS = ("encoder", "decoder")


@dataclasses.dataclass(frozen=True)
class Config:
    """How much."""

    sizes: tuple[int, ...] = (1, 10, 100, 1000)
    """K, samples of z."""
    samples: int = 200_000
    """Of z for each row, of which there are so many over K estimates."""
    most: int = 200_000
    """Estimates, at most."""
    only: tuple[str, ...] = ()
    """Names of the estimators; all by default."""
    table: pathlib.Path | None = None
    """A table of an earlier run, to plot instead of running."""
    picture: pathlib.Path = pathlib.Path("estimators.png")
    """Where to write the plot."""


@dataclasses.dataclass(frozen=True)
class Real:
    """z ~ N(0, 1), x ~ N(a z + c, 0.5²), q = N(0.5, scale²); the posterior is N(0.67, 0.35²)."""

    event: Event = Event((2,))
    scale: float = 0.45

    @property
    def params(self) -> Params:
        """Of q and p."""
        encoder = {"m": jnp.float32(0.5), "s": jnp.float32(np.log(self.scale))}
        return {"encoder": encoder, "decoder": self.decoder}

    decoder: ClassVar[dict[str, jax.Array]] = {
        "a": jnp.array([1.2, -0.6]),
        "c": jnp.array([0.1, 0.2]),
    }
    x: ClassVar[np.ndarray] = np.array([0.9, -0.5], np.float32)

    def prior(self, params: Params) -> dist.Normal:
        """N(0, 1)"""
        return dist.Normal(jnp.zeros(1), jnp.ones(1))

    def encode(self, params: Params, x: jax.Array) -> dist.Normal:
        """q(z | x), of one x."""
        return dist.Normal(params["encoder"]["m"][None], jnp.exp(params["encoder"]["s"])[None])

    def decode(self, params: Params, z: jax.Array) -> dist.Normal:
        """p(x | z)"""
        loc = params["decoder"]["a"] * z + params["decoder"]["c"]
        return dist.Normal(loc, jnp.full(2, 0.5))

    def values(self) -> tuple[jax.Array, jax.Array]:
        """Points of z, and the logarithm of their weights."""
        z = jnp.linspace(-8.0, 8.0, 1601)[:, None]
        return z, jnp.full(len(z), np.log(0.01))


@dataclasses.dataclass(frozen=True)
class Bits:
    """Four bits z, x ~ N(a tanh(b z) + c, 0.5²) of four pixels, q of independent bits."""

    event: Event = Event((4,))
    params: ClassVar[Params] = {
        "encoder": {"logits": jnp.array([0.8, -0.4, 0.3, -1.0])},
        "decoder": {
            "a": jnp.array([1.0, -0.8, 0.6, 1.2]),
            "b": jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)), jnp.float32),
            "prior": jnp.zeros(4),
        },
    }
    x: ClassVar[np.ndarray] = np.array([0.5, -0.7, 0.2, 0.9], np.float32)

    def prior(self, params: Params) -> dist.Bernoulli:
        """Independent bits."""
        return dist.Bernoulli(params["decoder"]["prior"])

    def encode(self, params: Params, x: jax.Array) -> dist.Bernoulli:
        """q(z | x), of one x."""
        return dist.Bernoulli(params["encoder"]["logits"])

    def decode(self, params: Params, z: jax.Array) -> dist.Normal:
        """p(x | z), of bits or relaxed ones."""
        inner = params["decoder"]["b"] @ (2.0 * z.astype(jnp.float32) - 1.0)
        return dist.Normal(params["decoder"]["a"] * jnp.tanh(inner), jnp.full(4, 0.5))

    def values(self) -> tuple[jax.Array, jax.Array]:
        """All z."""
        z = dist.enumerate_support(self.prior(self.params))
        return z, jnp.zeros(len(z))


def nvil(model: Bits, params: Params, key: jax.Array, batch: Any, *, num_samples: int) -> Any:
    """With the moving average at its limit, the exact ELBO, and no scale."""
    elbo = -exact(model, params, params, 1)
    memory = score_function.Baseline(jax.lax.stop_gradient(elbo), jnp.float32(1.0))
    both = {"model": params}
    options = {"num_samples": num_samples, "scaled": False}
    value, (metrics, _) = score_function.nvil_loss(model, None, both, key, batch, memory, **options)
    return value, metrics


def estimators() -> dict[str, tuple[Any, Callable, bool, int]]:
    """Name -> (model, loss, whether the bound is IWAE's of K samples, least K)."""
    relaxed, rebar = relaxations.relaxed_loss, relaxations.rebar_loss
    through = functools.partial(relaxed, straight_through=True)
    piwae = functools.partial(
        bounds.negative_bound,
        bound=bounds.iwae_bound,
        encoder_bound=functools.partial(bounds.miwae_bound, num_groups=10),
    )
    return {
        "ELBO, pathwise": (Real(), variational.negative_elbo, False, 1),
        "ELBO, landing": (Real(), path_gradients.sticking_the_landing_loss, False, 1),
        "IWAE, pathwise": (Real(), variational.negative_iwae, True, 1),
        "IWAE, DReG": (Real(), path_gradients.doubly_reparameterized_loss, True, 1),
        "IWAE, narrow q": (Real(scale=0.28), variational.negative_iwae, True, 1),
        "DReG, narrow q": (Real(scale=0.28), path_gradients.doubly_reparameterized_loss, True, 1),
        "PIWAE, 10 groups": (Real(), piwae, True, 10),
        "ELBO, score": (Bits(), score_function.score_function_loss, False, 1),
        "ELBO, NVIL": (Bits(), nvil, False, 1),
        "ELBO, RLOO": (Bits(), score_function.rloo_loss, False, 2),
        "IWAE, VIMCO": (Bits(), score_function.vimco_loss, True, 2),
        "ELBO, REBAR 0.5": (Bits(), rebar, False, 1),
        "ELBO, Gumbel 1.0": (Bits(), functools.partial(relaxed, temperature=1.0), False, 1),
        "ELBO, Gumbel 0.5": (Bits(), relaxed, False, 1),
        "ELBO, Gumbel 0.1": (Bits(), functools.partial(relaxed, temperature=0.1), False, 1),
        "ELBO, straight": (Bits(), through, False, 1),
    }


def exact(model: Any, of_decoder: Params, of_encoder: Params, num_samples: int) -> jax.Array:
    """Negative bound, exactly."""
    x = jnp.asarray(model.x)
    z, log_volume = model.values()
    log_q = jax.vmap(model.encode(of_encoder, x).log_prob)(z) + log_volume
    log_joint = bounds.log_joints(model, of_decoder, x, z) + log_volume
    return -bounds.enumerated_iwae(log_q, log_joint, num_samples)


def exact_gradient(model: Any, of_decoder: int, of_encoder: int) -> dict[str, np.ndarray]:
    """Of each part, in the bound of its own number of samples."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.params)
        f = jax.jit(lambda p, q, n: exact(model, p, q, n), static_argnums=2)
        decoder = jax.grad(f)(params, params, of_decoder)["decoder"]
        encoder = jax.grad(f, argnums=1)(params, params, of_encoder)["encoder"]
        both = {"encoder": encoder, "decoder": decoder}
        return {part: np.asarray(ravel_pytree(both[part])[0], np.float64) for part in PARTS}


def estimates(c: Config, model: Any, loss: Callable, size: int) -> dict[str, np.ndarray]:
    """Gradients of each part, [R, P]."""
    batch = {"x": jnp.asarray(model.x)[None]}

    def one(key: jax.Array) -> dict[str, jax.Array]:
        grads = jax.grad(lambda p: loss(model, p, key, batch, num_samples=size)[0])(model.params)
        return {part: ravel_pytree(grads[part])[0] for part in PARTS}

    count = min(c.most, c.samples // size)
    keys = jax.random.split(jax.random.key(size), count)
    many = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=max(1, 100_000 // size)))
    return {part: np.asarray(g, np.float64) for part, g in many(keys).items()}


def main(c: Config) -> None:
    """One row per estimator, K and part; or the plot of such rows."""
    if c.table is not None:
        picture(c.table.read_text("utf-8"), c.picture)
        return
    print(f"{'estimator':18} {'K':>5} {'part':8} {'bias':>9} {'s.e.':>9} {'spread':>9} {'SNR':>9}")
    for name, (model, loss, tight, least) in estimators().items():
        if c.only and name not in c.only:
            continue
        for size in c.sizes:
            if size < least:
                continue
            sizes = (size, max(1, size // 10) if "groups" in name else size) if tight else (1, 1)
            want, got = exact_gradient(model, *sizes), estimates(c, model, loss, size)
            for part in PARTS:
                g, truth = got[part], want[part]
                scale, error = np.linalg.norm(truth), g.std(0) / np.sqrt(len(g))
                bias = np.linalg.norm(g.mean(0) - truth) / scale
                numbers = bias, np.linalg.norm(error) / scale, np.linalg.norm(g.std(0)) / scale
                with np.errstate(divide="ignore"):
                    ratio = np.mean(np.abs(truth) / g.std(0))
                row = " ".join(f"{number:9.4f}" for number in (*numbers, ratio))
                print(f"{name:18} {size:5} {part:8} {row}", flush=True)


def picture(table: str, path: pathlib.Path) -> None:
    """Plots the encoder's signal-to-noise ratio of a table of this benchmark."""
    shown = ("IWAE, pathwise", "IWAE, DReG", "PIWAE, 10 groups", "IWAE, VIMCO", "ELBO, landing")
    lines: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in shown}
    for row in table.splitlines():
        name, rest = row[:18].strip(), row[18:].split()
        if name in lines and rest[1] == "encoder":
            for column, value in zip(lines[name], (int(rest[0]), float(rest[-1])), strict=True):
                column.append(value)
    lines = {name: line for name, line in lines.items() if line[0]}
    label = "SNR of the encoder's gradient"
    plot.save(plot.curves(lines, "K", label, log_x=True, log_y=True), path)


if __name__ == "__main__":
    main(tyro.cli(Config))
