r"""What mixtures and hidden Markov models are made of: K distributions of one kind.

Each is a frozen value with functions of its parameters, whose leaves have a leading axis [K]:

    init(key, K)                       somewhere near the origin
    around(centers [K, D], x [N, D])   wide ones at the centers, to start from
    log_probs(params, x [D])           log p(x | k): [K]
    elements(params, x [D])            p(x_d | x_<d, k) of every element: a distribution over [D, K]
    maximize(params, x, share [N, K])  the best for examples that belong to k to a part share_nk
    sample(params, k, key)             x ~ p(. | k): [D]
    num_params(K)                      free numbers, for information criteria
    num_values                         of an element: 2 for bits, None for real values

`Bernoullis(D)` of zeros and ones, `Categoricals(V, D)` of V values; `Gaussians(D)` with full
covariances, `DiagonalGaussians(D)`, and `TiedGaussians(D)` with one covariance for all. Standard
deviations have a floor, `min_scale`, in the units of x, for the likelihood of a Gaussian at one
repeated point has no bound.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Array, Key, Params
from gm.numerics import log_softmax

_LOG_2PI = math.log(2.0 * math.pi)
_LEAST = 1e-6  # examples; a component that has fewer stays where it is


def _means(x: Array, share: Array, count: Array) -> Array:
    """Weighted means: [K, D]; share [N, K], count [K] its sums."""
    sums = jnp.matmul(share.T, x, precision="highest")
    return sums / jnp.maximum(count, _LEAST)[:, None]


def _kept(count: Array, new: Array, old: Array) -> Array:
    """Leaves [K, ...] of components that have examples; the old ones of those that have none."""
    empty = (count < _LEAST).reshape(-1, *(1,) * (new.ndim - 1))
    return jnp.where(empty, old, new)


@dataclasses.dataclass(frozen=True)
class Bernoullis:
    """D independent bits each: {"logits": [K, D]}.

    Attributes:
      size: D.
      smoothing: pseudo-examples of either value, in every element of every component.
    """

    num_values: ClassVar[int | None] = 2

    size: int
    smoothing: float = 0.01

    def init(self, key: Key, num: int) -> Params:
        """Probabilities near one half."""
        return {"logits": 0.1 * jax.random.normal(key, (num, self.size), jnp.float32)}

    def around(self, centers: Array, x: Array) -> Params:
        """Halfway between the centers and the mean of the data."""
        mean = 0.5 * centers + 0.5 * jnp.mean(x, 0, keepdims=True)
        return {"logits": jax.scipy.special.logit(jnp.clip(mean, 0.05, 0.95))}

    def log_probs(self, params: Params, x: Array) -> Array:
        """[K]"""
        logits = params["logits"]
        zeros = jnp.sum(jax.nn.log_sigmoid(-logits), axis=1)
        return jnp.matmul(logits, x.astype(logits.dtype), precision="highest") + zeros

    def elements(self, params: Params, x: Array) -> dist.Bernoulli:
        """[D, K]"""
        del x
        return dist.Bernoulli(params["logits"].T)

    def maximize(self, params: Params, x: Array, share: Array) -> Params:
        """The share of ones, smoothed."""
        count, a = jnp.sum(share, 0), self.smoothing
        ones = jnp.matmul(share.T, x, precision="highest") + a
        new = jnp.log(ones) - jnp.log(count[:, None] + 2.0 * a - ones)
        return {"logits": _kept(count, new, params["logits"])}

    def sample(self, params: Params, k: Array, key: Key) -> Array:
        """[D] int32"""
        p = jax.nn.sigmoid(params["logits"][k])
        return jax.random.bernoulli(key, p).astype(jnp.int32)

    def num_params(self, num: int) -> int:
        """K D"""
        return num * self.size


@dataclasses.dataclass(frozen=True)
class Categoricals:
    """D independent elements of V values each: {"logits": [K, D, V]}.

    Attributes:
      num_values: V.
      size: D.
      smoothing: pseudo-examples of each value, in every element of every component.
    """

    num_values: int
    size: int = 1
    smoothing: float = 0.01

    def init(self, key: Key, num: int) -> Params:
        """Probabilities near 1 / V."""
        shape = (num, self.size, self.num_values)
        return {"logits": 0.1 * jax.random.normal(key, shape, jnp.float32)}

    def around(self, centers: Array, x: Array) -> Params:
        """Halfway between the centers and the frequencies of the data."""
        everyone = jnp.ones((len(x), 1), jnp.float32)
        p = self._counts(x, everyone) / len(x)
        one_hot = jax.nn.one_hot(centers.astype(jnp.int32), self.num_values, dtype=jnp.float32)
        return {"logits": jnp.log(0.49 * one_hot + 0.49 * p + 0.02 / self.num_values)}

    def log_probs(self, params: Params, x: Array) -> Array:
        """[K]"""
        x = x.astype(jnp.int32)
        log_p = log_softmax(params["logits"])
        possible = (x >= 0) & (x < self.num_values)
        place = jnp.clip(x, 0, self.num_values - 1)[None, :, None]
        chosen = jnp.take_along_axis(log_p, place, axis=2)[..., 0]
        return jnp.sum(jnp.where(possible[None], chosen, -jnp.inf), axis=1)

    def elements(self, params: Params, x: Array) -> dist.Categorical:
        """[D, K]"""
        del x
        return dist.Categorical(jnp.swapaxes(params["logits"], 0, 1))

    def maximize(self, params: Params, x: Array, share: Array) -> Params:
        """The share of each value, smoothed."""
        count, a = jnp.sum(share, 0)[:, None, None], self.smoothing
        p = (self._counts(x, share) + a) / jnp.maximum(count + a * self.num_values, _LEAST)
        return {"logits": _kept(count, jnp.log(jnp.maximum(p, 1e-30)), params["logits"])}

    def sample(self, params: Params, k: Array, key: Key) -> Array:
        """[D] int32"""
        return dist.Categorical(params["logits"][k]).sample(key)

    def num_params(self, num: int) -> int:
        """K D (V - 1)"""
        return num * self.size * (self.num_values - 1)

    def _counts(self, x: Array, share: Array) -> Array:
        """[K, D, V]"""

        def one(x: Array) -> Array:
            return jax.ops.segment_sum(share, x, self.num_values)

        return jnp.transpose(jax.vmap(one, 1)(x.astype(jnp.int32)), (2, 0, 1))


@dataclasses.dataclass(frozen=True)
class DiagonalGaussians:
    """N(m_k, diag s_k^2): {"mean": [K, D], "log_scale": [K, D]}.

    Attributes:
      size: D.
      min_scale: the least standard deviation, in the units of x.
    """

    num_values: ClassVar[int | None] = None

    size: int
    min_scale: float = 1e-3

    def init(self, key: Key, num: int) -> Params:
        """Standard deviations of one, means sampled from N(0, I)."""
        mean = jax.random.normal(key, (num, self.size), jnp.float32)
        return {"mean": mean, "log_scale": jnp.zeros_like(mean)}

    def around(self, centers: Array, x: Array) -> Params:
        """As wide as the data."""
        scale = jnp.maximum(jnp.std(x, 0), self.min_scale)
        return {"mean": centers, "log_scale": jnp.log(scale)[None] + jnp.zeros_like(centers)}

    def log_probs(self, params: Params, x: Array) -> Array:
        """[K]"""
        log_scale = params["log_scale"]
        z = (x[None] - params["mean"]) * jnp.exp(-log_scale)
        return -jnp.sum(0.5 * z**2 + log_scale, axis=1) - 0.5 * self.size * _LOG_2PI

    def elements(self, params: Params, x: Array) -> dist.Normal:
        """[D, K]"""
        del x
        return dist.Normal(params["mean"].T, jnp.exp(params["log_scale"]).T)

    def maximize(self, params: Params, x: Array, share: Array) -> Params:
        """Weighted means and variances, not below the floor."""
        count = jnp.sum(share, 0)
        mean = _means(x, share, count)
        # Squares of what is near keep their digits; examples without a share are of no matter.
        origin = _means(x, jnp.sum(share, 1, keepdims=True), jnp.sum(count)[None])
        x, shifted = x - origin, mean - origin
        variance = _means(x**2, share, count) - shifted**2
        log_scale = 0.5 * jnp.log(jnp.maximum(variance, self.min_scale**2))
        return {
            "mean": _kept(count, mean, params["mean"]),
            "log_scale": _kept(count, log_scale, params["log_scale"]),
        }

    def sample(self, params: Params, k: Array, key: Key) -> Array:
        """[D]"""
        mean, log_scale = params["mean"][k], params["log_scale"][k]
        return mean + jnp.exp(log_scale) * jax.random.normal(key, (self.size,), mean.dtype)

    def num_params(self, num: int) -> int:
        """2 K D"""
        return 2 * num * self.size


@dataclasses.dataclass(frozen=True)
class Gaussians:
    """N(m_k, L_k L_k'): {"mean": [K, D], "log_diagonal": [K, D], "lower": [K, D (D - 1) / 2]}.

    Attributes:
      size: D.
      min_scale: the least standard deviation in any direction, in the units of x.
    """

    num_values: ClassVar[int | None] = None

    size: int
    min_scale: float = 1e-3

    def init(self, key: Key, num: int) -> Params:
        """Covariances of one, means sampled from N(0, I)."""
        mean = jax.random.normal(key, (num, self.size), jnp.float32)
        lower = jnp.zeros((num, self.size * (self.size - 1) // 2), jnp.float32)
        return {"mean": mean, "log_diagonal": jnp.zeros_like(mean), "lower": lower}

    def around(self, centers: Array, x: Array) -> Params:
        """The covariance of the data for each."""
        cov = jnp.cov(x.T).reshape(self.size, self.size)
        one = self._factors(cov[None])
        return {"mean": centers} | {
            name: jnp.repeat(leaf, len(centers), 0) for name, leaf in one.items()
        }

    def log_probs(self, params: Params, x: Array) -> Array:
        """[K]"""
        chol = self._cholesky(params)
        shift = (x[None] - params["mean"])[..., None]
        z = jax.scipy.linalg.solve_triangular(chol, shift, lower=True)[..., 0]
        log_det = jnp.sum(params["log_diagonal"], axis=1)
        return -0.5 * jnp.sum(z**2, 1) - log_det - 0.5 * self.size * _LOG_2PI

    def elements(self, params: Params, x: Array) -> dist.Normal:
        """[D, K]: the mean of an element moves with the noise of those before it."""
        mean, chol = params["mean"], self._cholesky(params)
        chol = jnp.broadcast_to(chol, (len(mean), *chol.shape[1:]))
        shift = (x[None] - mean)[..., None]
        z = jax.scipy.linalg.solve_triangular(chol, shift, lower=True)
        loc = mean + jnp.matmul(jnp.tril(chol, -1), z, precision="highest")[..., 0]
        return dist.Normal(loc.T, jnp.diagonal(chol, axis1=1, axis2=2).T)

    def maximize(self, params: Params, x: Array, share: Array) -> Params:
        """Weighted means and covariances, whose eigenvalues have the floor."""
        count = jnp.sum(share, 0)
        mean = _means(x, share, count)
        factors = self._factors(self._covariances(x, share, mean, count))
        new = {"mean": mean, **factors}
        return {name: _kept(count, leaf, params[name]) for name, leaf in new.items()}

    def sample(self, params: Params, k: Array, key: Key) -> Array:
        """[D]"""
        noise = jax.random.normal(key, (self.size,), params["mean"].dtype)
        return params["mean"][k] + self._cholesky(params)[k] @ noise

    def num_params(self, num: int) -> int:
        """K (D + D (D + 1) / 2)"""
        return num * (self.size + self.size * (self.size + 1) // 2)

    def _covariances(self, x: Array, share: Array, mean: Array, count: Array) -> Array:
        """[K, D, D]"""

        def one(weights: Array, mean: Array, count: Array) -> Array:
            shift = x - mean[None]
            product = jnp.matmul((weights[:, None] * shift).T, shift, precision="highest")
            return product / jnp.maximum(count, _LEAST)

        return jax.lax.map(lambda of: one(*of), (share.T, mean, count))

    def _factors(self, cov: Array) -> dict[str, Array]:
        """[K, D, D] -> what is stored of their Cholesky factors, after the floor."""
        values, vectors = jnp.linalg.eigh(cov)
        values = jnp.maximum(values, self.min_scale**2)
        cov = jnp.einsum("kij,kj,klj->kil", vectors, values, vectors)
        chol = jnp.linalg.cholesky(cov)
        row, column = np.tril_indices(self.size, -1)
        diagonal = jnp.diagonal(chol, axis1=1, axis2=2)
        return {"log_diagonal": jnp.log(diagonal), "lower": chol[:, row, column]}

    def _cholesky(self, params: Params) -> Array:
        row, column = np.tril_indices(self.size, -1)
        diagonal = jnp.exp(params["log_diagonal"])
        chol = diagonal[..., None] * jnp.eye(self.size, dtype=diagonal.dtype)[None]
        return chol.at[:, row, column].set(params["lower"])


@dataclasses.dataclass(frozen=True)
class TiedGaussians(Gaussians):
    """N(m_k, L L'), one covariance: {"mean": [K, D], "log_diagonal": [1, D], "lower": [1, ...]}.

    Its borders are flat: this is linear discriminant analysis where the k are labels.
    """

    def init(self, key: Key, num: int) -> Params:
        """A covariance of one, means sampled from N(0, I)."""
        params = super().init(key, num)
        return params | {name: params[name][:1] for name in ("log_diagonal", "lower")}

    def around(self, centers: Array, x: Array) -> Params:
        """The covariance of the data."""
        params = super().around(centers, x)
        return params | {name: params[name][:1] for name in ("log_diagonal", "lower")}

    def log_probs(self, params: Params, x: Array) -> Array:
        """[K]"""
        chol = self._cholesky(params)[0]
        shift = (x[None] - params["mean"]).T
        z = jax.scipy.linalg.solve_triangular(chol, shift, lower=True)
        log_det = jnp.sum(params["log_diagonal"])
        return -0.5 * jnp.sum(z**2, 0) - log_det - 0.5 * self.size * _LOG_2PI

    def maximize(self, params: Params, x: Array, share: Array) -> Params:
        """Weighted means, and the mean of the covariances around them."""
        count = jnp.sum(share, 0)
        mean = _means(x, share, count)
        cov = self._covariances(x, share, mean, count)
        pooled = jnp.einsum("k,kij->ij", count / jnp.maximum(jnp.sum(count), _LEAST), cov)
        mean = _kept(count, mean, params["mean"])
        return {"mean": mean, **self._factors(pooled[None])}

    def sample(self, params: Params, k: Array, key: Key) -> Array:
        """[D]"""
        noise = jax.random.normal(key, (self.size,), params["mean"].dtype)
        return params["mean"][k] + self._cholesky(params)[0] @ noise

    def num_params(self, num: int) -> int:
        """K D + D (D + 1) / 2"""
        return num * self.size + self.size * (self.size + 1) // 2
