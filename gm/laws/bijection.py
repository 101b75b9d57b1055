"""Laws of bijections and flows: they are invertible, and their log-determinants are correct."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Key, Params
from gm.laws.law import LawBroken, NotApplicable, demand
from gm.laws.trial import Trial

EPS = float(np.finfo(np.float32).eps)
MAX_CONDITION = 1e4  # of a Jacobian; float32 is too imprecise for inverses beyond it
Direction = Callable[[Params, Array], tuple[Array, Array]]


def directions(trial: Trial) -> tuple[Direction, Direction]:
    """The maps from noise to data, and from data to noise."""
    model = trial.model
    if isinstance(model, core.Bijection):
        return model.forward, model.inverse
    return model.to_data, model.to_noise


def maps(trial: Trial, params: Params, key: Key, inputs: dict[str, Array]) -> dict[str, Array]:
    """Maps points and images of noise to noise and back, with the Jacobian."""
    to_data, to_noise = directions(trial)
    del key
    x = inputs["x"]
    noise, data = _shapes(trial, params)
    made, _ = jax.vmap(to_data, (None, 0))(params, x.reshape(-1, *noise))

    def around(x: Array) -> dict[str, Array]:
        def there(x: Array) -> tuple[Array, tuple[Array, Array]]:
            z, log_det = to_noise(params, x)
            return z.reshape(-1), (z, log_det)

        _, pull, (z, log_det) = jax.vjp(there, x, has_aux=True)
        (rows,) = jax.vmap(pull)(jnp.eye(x.size, dtype=x.dtype))
        back, log_det_back = to_data(params, z)
        return {
            "x": x.reshape(-1),
            "z": z.reshape(-1),
            "back": back.reshape(-1),
            "log_det": log_det,
            "log_det_back": log_det_back,
            "jacobian": rows.reshape(x.size, x.size),
        }

    return jax.vmap(around)(jnp.concatenate([x.reshape(-1, *data), made]))


def sizes_are_kept(trial: Trial) -> None:
    """Both directions keep the number of elements and give a scalar log_det, and the round trip
    keeps the shape."""
    ways = directions(trial)
    there_and_back = ways if isinstance(trial.model, core.Bijection) else ways[::-1]
    x = jax.ShapeDtypeStruct(trial.event.shape, trial.event.dtype)
    for name, way in zip(("there", "back"), there_and_back, strict=True):
        try:
            y, log_det = jax.eval_shape(way, trial.params, x)
        except (TypeError, ValueError) as error:
            raise LawBroken(f"the way {name} fails for x of shape {x.shape}: {error}") from None
        demand(y.size == x.size, f"the way {name} makes {y.shape} of {x.shape}")
        demand(log_det.shape == (), f"log_det has shape {log_det.shape} on the way {name}")
        x = y
    demand(x.shape == trial.event.shape, f"{trial.event.shape} comes back as {x.shape}")


def _shapes(trial: Trial, params: Params) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of noise and of data; one of them is the event's."""
    to_data, to_noise = directions(trial)
    shape = trial.event.shape
    x = jax.ShapeDtypeStruct(shape, trial.event.dtype)
    if isinstance(trial.model, core.Bijection):
        return shape, jax.eval_shape(to_data, params, x)[0].shape
    return jax.eval_shape(to_noise, params, x)[0].shape, shape


def bijection_inverts_itself(trial: Trial, seen: dict[str, np.ndarray]) -> None:
    """inverse(forward(x)) = x, and the log-determinants cancel.

    The tolerance is float32 rounding of z, amplified in x by the largest singular value of the map.
    """
    seen, largest, smallest = _sharp(seen)
    x, z, log_det = seen["x"], seen["z"], seen["log_det"]
    size = 1.0 + np.max(np.abs(x), axis=1) + np.max(np.abs(z), axis=1) / smallest
    gap = np.max(np.abs(seen["back"] - x), axis=1)
    demand(
        np.max(gap / size) < 1e-4,
        f"the round trip changes x by {np.max(gap):.2e} where |x| is up to {np.max(size):.1e}",
    )
    total = log_det + seen["log_det_back"]
    off = np.max(np.abs(total) / (1.0 + np.abs(log_det) + 64 * EPS * largest / smallest * 1e3))
    demand(off < 1e-3, f"the log-determinants of both ways add up to {np.max(np.abs(total)):.2e}")


def log_det_is_the_jacobian(trial: Trial, seen: dict[str, np.ndarray]) -> None:
    """log_det of the map to noise equals slogdet of its autodiff Jacobian."""
    seen, largest, smallest = _sharp(seen)
    want = np.linalg.slogdet(seen["jacobian"])[1]
    gap = np.abs(seen["log_det"] - want)
    allowed = 1e-3 * (1.0 + np.abs(want)) + 64 * EPS * largest / smallest
    worst = np.argmax(gap / allowed)
    demand(
        gap[worst] < allowed[worst],
        f"it is {seen['log_det'][worst]:.4f} where the Jacobian's is {want[worst]:.4f}",
    )


def _sharp(seen: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The points where float32 is precise enough, with the extreme singular values there."""
    seen = {name: value.astype(np.float64) for name, value in seen.items()}
    finite = np.all(np.isfinite(seen["jacobian"]), axis=(1, 2))
    half = len(finite) // 2
    if not np.mean(finite[half:]) > 0.5:
        size = np.max(np.abs(np.nan_to_num(seen["x"][half:], nan=np.inf)))
        demand(size > 1e6, "the Jacobian is not finite")  # although x is not large
        raise NotApplicable("the map overflows float32 at these parameters")
    # The first half is independent of the map, and may be outside the image of noise.
    finite[:half] &= np.all(np.isfinite(seen["z"][:half]), axis=1)
    finite[:half] &= seen["log_det"][:half] > -np.inf  # a density of zero there
    values = np.linalg.svd(seen["jacobian"][finite], compute_uv=False)
    stretch = values[:, 0] / np.maximum(values[:, -1], 1e-30)
    sharp = stretch < MAX_CONDITION
    if not np.any(sharp):
        raise NotApplicable(
            f"the condition number of the Jacobian is at least {np.min(stretch):.1e}, and float32 "
            "cannot distinguish it from a singular one"
        )
    seen = {name: value[finite][sharp] for name, value in seen.items()}
    return seen, values[sharp, 0], values[sharp, -1]
