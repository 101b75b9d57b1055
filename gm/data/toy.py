"""Toy densities with an exact log_prob, most in one and two dimensions.

Each is a frozen dataclass with an `event`, `log_prob(x)` of one example x: [D] in nats, and
`sample(key)`. All but the checkerboard are mixtures of Gaussians; the moons and spirals have many
narrow modes along a curve, so that their densities are exact. `targets` has those of variational
inference.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Event, Key
from gm.data.dataset import Dataset, make
from gm.data.stored import Arrays
from gm.data.targets import BANANA, EIGHT_SCHOOLS, FUNNEL, Banana, EightSchools, Funnel

SIZES = (50_000, 5_000, 5_000)  # examples for training, validation and testing


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
    r"""p(x) = \sum_m w_m N(x; c_m, s_m^2 I)

    Attributes:
      centers: M tuples of D numbers.
      scales: M standard deviations.
      weights: M positive numbers that sum to 1.
    """

    centers: tuple[tuple[float, ...], ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.centers) == len(self.scales) == len(self.weights):
            raise ValueError(
                "GaussianMixture needs as many scales and weights as centers; got "
                f"{len(self.centers)}, {len(self.scales)} and {len(self.weights)}."
            )
        if abs(math.fsum(self.weights) - 1.0) > 1e-6:
            raise ValueError(f"GaussianMixture needs weights that sum to 1; got {self.weights}.")

    @property
    def event(self) -> Event:
        """Real vectors of D elements."""
        return Event((len(self.centers[0]),))

    @property
    def scale(self) -> float:
        """The common standard deviation of all modes; raises ValueError if they differ."""
        if len(set(self.scales)) > 1:
            raise ValueError(f"the modes have different scales: {self.scales}.")
        return self.scales[0]

    def log_prob(self, x: Array) -> Array:
        """log p(x) for x: [D], nats."""
        centers, scales, log_weights = self._arrays()
        z = (x[None, :] - centers) / scales[:, None]  # [M, D]
        log_normal = -0.5 * jnp.sum(z * z, 1) - x.size * jnp.log(scales * math.sqrt(2 * math.pi))
        return jax.nn.logsumexp(log_weights + log_normal)

    def sample(self, key: Key) -> Array:
        """One x: [D]."""
        centers, scales, log_weights = self._arrays()
        key_mode, key_noise = jax.random.split(key)
        # The inverse distribution function needs one uniform number instead of one per mode.
        below = jnp.cumsum(jnp.exp(log_weights))[:-1]
        u = jax.random.uniform(key_mode, (), jnp.float32)
        mode = jnp.searchsorted(below, u, side="right")
        noise = jax.random.normal(key_noise, self.event.shape, jnp.float32)
        return centers[mode] + scales[mode] * noise

    def quadrature(self, num_nodes: int = 16) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, D] and weights [N] with E[f(x)] = sum_n w_n f(x_n) for polynomials f.

        Gauss-Hermite quadrature of every mode, num_nodes^D points each: exact up to degree
        2 num_nodes - 1 in each dimension.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
        z, w = _product(nodes, weights / np.sum(weights), len(self.centers[0]))
        centers, scales = np.asarray(self.centers), np.asarray(self.scales)
        points = centers[:, None] + scales[:, None, None] * z  # [M, N, D]
        shares = np.asarray(self.weights)[:, None] * w
        return points.reshape(-1, z.shape[1]), shares.reshape(-1)

    def _arrays(self) -> tuple[Array, Array, Array]:
        """Centers [M, D], scales [M] and log weights [M]."""
        centers, scales, weights = map(np.float32, (self.centers, self.scales, self.weights))
        return jnp.asarray(centers), jnp.asarray(scales), jnp.log(weights)


@dataclasses.dataclass(frozen=True)
class Checkerboard:
    """Uniform on the dark squares of a board of n x n squares that covers [-r, r)^2.

    A point is dark when its column and row number have an even sum; log p = -inf elsewhere.
    """

    num_squares: int = 4  # n, even
    radius: float = 4.0  # r

    def __post_init__(self) -> None:
        if self.num_squares < 2 or self.num_squares % 2:
            raise ValueError(f"Checkerboard needs an even num_squares; got {self.num_squares}.")

    @property
    def event(self) -> Event:
        """Points of the plane."""
        return Event((2,))

    def log_prob(self, x: Array) -> Array:
        """log p(x) for x: [2], nats."""
        square = jnp.floor((x + self.radius) * (self.num_squares / (2 * self.radius)))
        on_board = jnp.all((square >= 0) & (square < self.num_squares))
        dark = jnp.sum(square) % 2 == 0
        log_area = 2 * math.log(2 * self.radius) - math.log(2)
        return jnp.where(on_board & dark, -log_area, -jnp.inf).astype(x.dtype)

    def sample(self, key: Key) -> Array:
        """One x: [2]."""
        key_row, key_column, key_place = jax.random.split(key, 3)
        row = jax.random.randint(key_row, (), 0, self.num_squares, jnp.int32)
        half = jax.random.randint(key_column, (), 0, self.num_squares // 2, jnp.int32)
        square = jnp.stack([2 * half + row % 2, row]).astype(jnp.float32)
        place = square + jax.random.uniform(key_place, (2,), jnp.float32)
        return place * (2 * self.radius / self.num_squares) - self.radius

    def quadrature(self, num_nodes: int = 16) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, 2] and weights [N], Gauss-Legendre quadrature of every dark square."""
        nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
        inside, w = _product((nodes + 1.0) / 2.0, weights / 2.0, 2)
        squares = np.argwhere(np.add.outer(*[np.arange(self.num_squares)] * 2) % 2 == 0)
        points = (squares[:, None] + inside) * (2 * self.radius / self.num_squares) - self.radius
        return points.reshape(-1, 2), np.tile(w / len(squares), len(squares))


def _product(
    nodes: np.ndarray, weights: np.ndarray, num_dims: int
) -> tuple[np.ndarray, np.ndarray]:
    """The product rule of a rule on the line: points [N, D] and weights [N]."""
    points = np.stack(np.meshgrid(*[nodes] * num_dims, indexing="ij"), -1).reshape(-1, num_dims)
    return points, functools.reduce(np.multiply.outer, [weights] * num_dims).reshape(-1)


def _mixture(*modes: tuple[float, float, float]) -> GaussianMixture:
    """A one-dimensional density from the (weight, center, scale) of its modes."""
    weights, centers, scales = zip(*modes, strict=True)
    return GaussianMixture(tuple((center,) for center in centers), scales, weights)


def _even(centers: np.ndarray, scale: float) -> GaussianMixture:
    """A mixture with centers [M, D] and equal weights and scales."""
    num = len(centers)
    return GaussianMixture(tuple(map(tuple, centers.tolist())), (scale,) * num, (1 / num,) * num)


def _ring(num_modes: int, radius: float) -> np.ndarray:
    angle = 2 * np.pi * np.arange(num_modes) / num_modes
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _moons(num_modes: int) -> np.ndarray:
    """Two interleaved half circles of radius 1, as in scikit-learn, but centred."""
    angle = np.pi * (np.arange(num_modes) + 0.5) / num_modes
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([upper, [1.0, 0.5] - upper]) - [0.5, 0.25]


def _spirals(num_modes: int) -> np.ndarray:
    """Two arms of one and a half turns, r = angle / 3, with evenly spaced centers."""
    angle = 3 * np.pi * np.sqrt((np.arange(num_modes) + 0.5) / num_modes)
    arm = np.stack([angle * np.cos(angle), angle * np.sin(angle)], 1) / 3
    return np.concatenate([arm, -arm])


# One dimension: Marron & Wand (1992), "Exact mean integrated squared error", table 1.
SKEWED = _mixture((1 / 5, 0.0, 1.0), (1 / 5, 1 / 2, 2 / 3), (3 / 5, 13 / 12, 5 / 9))
STRONGLY_SKEWED = _mixture(
    *((1 / 8, 3 * ((2 / 3) ** j - 1), (2 / 3) ** j) for j in range(8)),
)
KURTOTIC = _mixture((2 / 3, 0.0, 1.0), (1 / 3, 0.0, 1 / 10))
BIMODAL = _mixture((1 / 2, -1.0, 2 / 3), (1 / 2, 1.0, 2 / 3))
TRIMODAL = _mixture((9 / 20, -6 / 5, 3 / 5), (9 / 20, 6 / 5, 3 / 5), (1 / 10, 0.0, 1 / 4))
CLAW = _mixture((1 / 2, 0.0, 1.0), *((1 / 10, j / 2 - 1, 1 / 10) for j in range(5)))

# Two dimensions. Ring: Metz et al. (2017), arXiv:1611.02163. Grid: Srivastava et al. (2017),
# arXiv:1705.07761, and Lin et al. (2018), arXiv:1712.04086.
RING8 = _even(_ring(8, radius=2.0), scale=0.02)
GRID25 = _even(np.array([(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)]), scale=0.05)
TWO_MOONS = _even(_moons(64), scale=0.1)
SPIRALS = _even(_spirals(256), scale=0.1)
FOUR_MODES = GaussianMixture(
    ((-3.0, -3.0), (-3.0, 3.0), (3.0, -3.0), (3.0, 3.0)), (0.5,) * 4, (0.4, 0.3, 0.2, 0.1)
)
CHECKERBOARD = Checkerboard()

DENSITIES = {
    "skewed": SKEWED,
    "strongly_skewed": STRONGLY_SKEWED,
    "kurtotic": KURTOTIC,
    "bimodal": BIMODAL,
    "trimodal": TRIMODAL,
    "claw": CLAW,
    "ring8": RING8,
    "grid25": GRID25,
    "two_moons": TWO_MOONS,
    "spirals": SPIRALS,
    "checkerboard": CHECKERBOARD,
    "four_modes": FOUR_MODES,
    "banana": BANANA,
    "funnel": FUNNEL,
    "eight_schools": EIGHT_SCHOOLS,
}
Density = GaussianMixture | Checkerboard | Banana | Funnel | EightSchools


def sampled(name: str, density: Density) -> Dataset:
    """Samples 50,000 training, 5,000 validation and 5,000 test examples with a fixed seed."""
    keys = jax.random.split(jax.random.key(0), sum(SIZES))
    x = np.asarray(jax.jit(jax.vmap(density.sample))(keys))
    parts = np.split(x, np.cumsum(SIZES[:-1]))
    return make(name, [Arrays({"x": part}) for part in parts], density.event, density=density)
