r"""Factor analysis and probabilistic PCA: a linear-Gaussian latent-variable model.

    z ~ N(0, I_K),    x = m + W z + e,    e ~ N(0, Ψ),    so that x ~ N(m, W Wᵀ + Ψ)

Ψ is diagonal (factor analysis; Rubin & Thayer, 1982, "EM algorithms for ML factor analysis") or σ²I
(probabilistic PCA; Tipping & Bishop, 1999, "Probabilistic principal component analysis"). The
posterior is known, N(M⁻¹ Wᵀ Ψ⁻¹ (x - m), M⁻¹) with M = I + Wᵀ Ψ⁻¹ W, so that bounds with it are
log p(x) itself, to rounding. Maximum likelihood is a closed form for probabilistic PCA of complete
examples, expectation maximization else: an entry that is nan is missing, and each row counts by
what is observed of it. Cost: `log_prob` O(D K² + K³), by Bayes' rule at the posterior's mean in
place of a D x D matrix; `sample` O(D K).

    model = probabilistic_pca(Event((64,)), 10)
    params = model.fit(x)
    z = model.represent(params, x_0)                      # E[z | x]: [K]
    x_0 = model.impute(params, x_0, observed)             # E[x | what is observed of it]
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.bijections import Affine
from gm.core import Array, Event, Key, Metrics, Params
from gm.models.classical import linear_gaussian

_LOG_2PI = math.log(2.0 * math.pi)


@dataclasses.dataclass(frozen=True)
class FactorAnalysis:
    """p(x) = N(m, W Wᵀ + Ψ): {"mean": [D], "loading": [D, K], "log_scale": [D]}, [] if isotropic.

    The loading is W, of elements in raster order; any rotation of its columns is the same density.

    Attributes:
      event: the space of x, real, of D elements.
      num_factors: K, from 1 to D - 1.
      isotropic: one standard deviation of the noise for all elements, which is probabilistic PCA.
      min_scale: the least standard deviation of the noise, in the units of x.

    Raises:
      ValueError: the event is discrete, or K is not in [1, D).
    """

    event: Event
    num_factors: int
    isotropic: bool = False
    min_scale: float = 1e-3

    def __post_init__(self) -> None:
        size = self.event.size
        if self.event.discrete or not 1 <= self.num_factors < size:
            raise ValueError(
                f"FactorAnalysis needs a real event and from 1 to {size - 1} factors for its {size}"
                f" elements; got {self.event} and {self.num_factors}. K = D factors or more are "
                "any Gaussian: fit gm.bijections.Affine."
            )

    @property
    def num_params(self) -> int:
        """Free numbers: D of the mean, D K - K (K - 1) / 2 of W up to rotation, D or 1 of noise."""
        size, num = self.event.size, self.num_factors
        return size + size * num - num * (num - 1) // 2 + (1 if self.isotropic else size)

    def init(self, key: Key) -> Params:
        """Small loadings, noise of one."""
        shape = (self.event.size, self.num_factors)
        return {
            "mean": jnp.zeros(shape[0], jnp.float32),
            "loading": 0.1 * jax.random.normal(key, shape, jnp.float32),
            "log_scale": jnp.zeros(() if self.isotropic else shape[:1], jnp.float32),
        }

    def prior(self, params: Params) -> dist.Normal:
        """p(z) = N(0, I): [K]"""
        del params
        zeros = jnp.zeros(self.num_factors, jnp.float32)
        return dist.Normal(zeros, jnp.ones_like(zeros))

    def decode(self, params: Params, z: Array) -> dist.Normal:
        """p(x | z) = N(m + W z, Ψ)"""
        loc = params["mean"] + jnp.matmul(params["loading"], z, precision="highest")
        scale = jnp.exp(params["log_scale"]) + jnp.zeros_like(loc)
        return dist.Normal(loc.reshape(self.event.shape), scale.reshape(self.event.shape))

    def encode(
        self, params: Params, x: Array, *, observed: Array | None = None
    ) -> dist.Transformed:
        """p(z | x), exact: a Gaussian of any covariance, [K].

        Args:
          params: of the model.
          x: [*event].
          observed: [*event] bools, False where x is missing and of no matter; all by default.
        """
        weights, shift = self._weigh(params, x, observed)
        loc, root = linear_gaussian.posterior(params["loading"], weights, shift)
        scale, (row, column) = jnp.diagonal(root), np.tril_indices(self.num_factors, -1)
        affine = {
            "shift": loc,
            "log_scale": jnp.log(scale),
            "lower": root[row, column] / scale[row],
        }
        bijection = Affine(Event((self.num_factors,)), "triangular")
        return dist.Transformed(self.prior(params), bijection, affine)

    def represent(self, params: Params, x: Array, *, observed: Array | None = None) -> Array:
        """E[z | x]: [K], of what is observed of x."""
        weights, shift = self._weigh(params, x, observed)
        return linear_gaussian.posterior(params["loading"], weights, shift)[0]

    def log_prob(self, params: Params, x: Array, *, observed: Array | None = None) -> Array:
        """log p(x) in nats, exact; of the observed elements alone where x has missing ones."""
        weights, shift = self._weigh(params, x, observed)
        z, root = linear_gaussian.posterior(params["loading"], weights, shift)
        rest = shift - jnp.matmul(params["loading"], z, precision="highest")
        seen = weights > 0.0
        log_det = jnp.sum(jnp.where(seen, 2.0 * params["log_scale"], 0.0))
        log_det = log_det - 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
        square = jnp.sum(weights * rest**2) + jnp.sum(z**2)
        return -0.5 * (square + log_det + _LOG_2PI * jnp.sum(seen, dtype=rest.dtype))

    def condition(self, params: Params, x: Array, observed: Array) -> Params:
        r"""p(x_missing | x_observed), as parameters of this model: m + W E[z | x_o] and W S.

        S Sᵀ is the posterior's covariance. What it says of elements that are observed is of a
        second measurement of them.

        Args:
          params: of the model.
          x: [*event].
          observed: [*event] bools.
        """
        weights, shift = self._weigh(params, x, observed)
        z, root = linear_gaussian.posterior(params["loading"], weights, shift)
        known = jnp.matmul(params["loading"], z, precision="highest")
        loading = jnp.matmul(params["loading"], root, precision="highest")
        return params | {"mean": params["mean"] + known, "loading": loading}

    def conditionals_given(
        self, params: Params, x: Array, observed: Array, context: None = None
    ) -> dist.Normal:
        """p(x_i | x_observed) of every element that is not observed, each by itself: [*event]."""
        del context
        given = self.condition(params, x, observed)
        noise = jnp.exp(2.0 * given["log_scale"])
        scale = jnp.sqrt(jnp.sum(given["loading"] ** 2, axis=1) + noise)
        shape = self.event.shape
        return dist.Normal(given["mean"].reshape(shape), scale.reshape(shape))

    def impute(self, params: Params, x: Array, observed: Array, key: Key | None = None) -> Array:
        """x with its missing elements: their means given the others, or with a key a sample."""
        given = self.condition(params, x, observed)
        if key is None:
            missing = given["mean"].reshape(self.event.shape)
        else:
            missing = self.sample(given, key)
        return jnp.where(observed, x, missing)

    def sample(self, params: Params, key: Key) -> Array:
        """One x: [*event]."""
        key_z, key_x = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_z)).sample(key_x)

    def fit_step(
        self, params: Params, key: Key, x: Array, *, weights: Array | None = None
    ) -> tuple[Params, Metrics]:
        """One step of expectation maximization on all of x: [N, *event], nan where missing.

        Parameters are expanded by a covariance of z (Liu, Rubin & Wu, 1998, "Parameter expansion to
        accelerate EM"), which takes far fewer steps; the likelihood does not fall, but where the
        floor of the noise holds it up.

        Returns:
          The next parameters, and {"log_prob": of these ones, the mean over x}.
        """
        del key
        rows = jnp.asarray(x, jnp.float32).reshape(len(x), -1)
        w = jnp.ones(len(x), jnp.float32) if weights is None else jnp.asarray(weights, jnp.float32)
        return linear_gaussian.step(params, rows, w, self.min_scale)

    def fit(
        self,
        x: np.ndarray,
        key: Key | None = None,
        *,
        weights: np.ndarray | None = None,
        num_steps: int = 1000,
        tolerance: float = 1e-5,
    ) -> Params:
        r"""Maximum likelihood; nan in x is a missing entry.

        Isotropic, of complete examples, with the eigenvalues λ and eigenvectors U of the covariance
        (Tipping & Bishop, 1999, section 3.2):

            σ² = \sum_{i > K} λ_i / (D - K),    W = U_K (Λ_K - σ² I)^{1/2}

        Else expectation maximization from there, with means in the place of what is missing.
        Entries may be missing for any reason but their own value (at random).

        Args:
          x: [N, *event].
          key: not used; nothing is random.
          weights: [N], how often each example counts; once by default.
          num_steps: of expectation maximization, at most.
          tolerance: nats per example by which a step raises the log-likelihood at least; else it
            ends.

        Raises:
          ValueError: x is not a batch of the event, fewer than two examples have a weight, a row or
            an element has nothing observed, or an element is constant: its likelihood has no bound
            (isotropic noise allows it).
        """
        del key
        x = np.asarray(x)
        self.event.check(np.where(np.isnan(x), 0, x) if x.dtype.kind == "f" else x)
        if x.ndim != len(self.event.shape) + 1:
            raise ValueError(f"fit needs a batch of examples; got one of shape {x.shape}.")
        options = {"num_steps": num_steps, "tolerance": tolerance, "min_scale": self.min_scale}
        rows = x.reshape(len(x), -1).astype(np.float64)
        return linear_gaussian.fit(rows, weights, self.num_factors, self.isotropic, **options)

    def _weigh(self, params: Params, x: Array, observed: Array | None) -> tuple[Array, Array]:
        """1 / Ψ and x - m, [D] each; zero where an element is missing."""
        x, precision = jnp.asarray(x), jnp.exp(-2.0 * params["log_scale"])
        if observed is None:
            self.event.check(x)
            shift = x.reshape(-1) - params["mean"]
            return precision + jnp.zeros_like(shift), shift
        seen = jnp.asarray(observed)
        if seen.shape != self.event.shape or x.shape != self.event.shape:
            raise ValueError(
                f"FactorAnalysis needs one x and observed of shape {self.event.shape}; got "
                f"{x.shape} and {seen.shape}. Use jax.vmap for a batch."
            )
        seen = seen.astype(jnp.bool_).reshape(-1)
        shift = jnp.where(seen, jnp.where(seen, x.reshape(-1), 0.0) - params["mean"], 0.0)
        return jnp.where(seen, precision, 0.0), shift


def probabilistic_pca(event: Event, num_factors: int, min_scale: float = 1e-3) -> FactorAnalysis:
    """Factor analysis with isotropic noise: its W spans the first K principal components."""
    return FactorAnalysis(event, num_factors, isotropic=True, min_scale=min_scale)
