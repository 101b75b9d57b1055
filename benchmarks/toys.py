"""Every flow on every density of the plane: KL(truth || model) in nats.

    python benchmarks/toys.py [--only 'spline MAF'] [--folder runs/toys]

Each flow is trained by maximum likelihood on fresh samples of each density, evenly spread by a
randomly shifted sequence: Adam with cosine decay, and the average of the parameters is scored. An
affine map is fitted in closed form. The divergence is a mean over 131,072 points of eight such
sequences, and its error their spread. What the folder has is not trained again, so that an
interrupted run goes on. Of all that it has, it writes `benchmarks/results/toys.md` and
`docs/images/toys.png`.
"""

import dataclasses
import functools
import math
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import toy_flows
import tyro
from PIL import Image

from gm import metrics, plot, train
from gm.core import Array, Key, Params
from gm.data import toy
from gm.metrics import provenance

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOYS = ("two_moons", "ring8", "spirals", "checkerboard", "grid25")
ROOT_3 = 1.2207440846  # x^4 = x + 1: its powers make an even sequence of three dimensions
CHUNK = 100  # updates in one call of the device
LIMITS = {"two_moons": 2.2, "ring8": 2.7, "spirals": 4.0, "checkerboard": 4.6, "grid25": 4.8}
PIXELS = 160  # of a picture, along each side


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train."""

    only: tuple[str, ...] = ()
    """Flows by their names; all by default."""
    toy: str = ""
    """Densities with this in their name."""
    folder: pathlib.Path = pathlib.Path("runs/toys")
    """For what each flow has come to."""
    share: float = 1.0
    """Of the number of updates."""


def optimizer(recipe: toy_flows.Recipe, num_steps: int) -> optax.GradientTransformation:
    """Adam, warmed up and with cosine decay, gradients clipped; averaged parameters."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, min(100, num_steps // 10), num_steps
    )
    return train.with_ema(optax.chain(optax.clip_by_global_norm(5.0), optax.adam(schedule)), 0.998)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def advance(recipe: toy_flows.Recipe, num_steps: int, state: tuple, x: Array) -> tuple:
    """One update for each batch of x: [T, B, 2]; returns the state, and nats: [T]."""
    adam, log_prob = optimizer(recipe, num_steps), jax.vmap(recipe.flow.log_prob, (None, 0))

    def step(state: tuple, x: Array) -> tuple[tuple, Array]:
        params, opt_state = state
        nats, grads = jax.value_and_grad(lambda p: -jnp.mean(log_prob(p, x)))(params)
        updates, opt_state = adam.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), nats

    return jax.lax.scan(step, state, x)


@functools.partial(jax.jit, static_argnums=(0, 2))
def samples(density: Any, key: Key, size: int) -> Array:
    """Samples [size, 2] of a density that fill it more evenly than independent ones.

    Each is x(u) for u uniform in the cube, and together they are a randomly shifted additive
    recurrence (u_i = shift + i α mod 1), so that means over them are unbiased and vary less.
    """
    shift = jax.random.uniform(key, (3,), jnp.float32)
    turns = np.arange(size)[:, None] * ROOT_3 ** -np.arange(1.0, 4.0) % 1.0
    u = (shift + jnp.asarray(turns, jnp.float32)) % 1.0
    if isinstance(density, toy.Checkerboard):
        n = density.num_squares
        square = jnp.floor(u[:, 0] * (n * n // 2)).astype(jnp.int32)
        row, half = square // (n // 2), square % (n // 2)
        corner = jnp.stack([2 * half + row % 2, row], axis=1)
        return (corner + u[:, 1:]) * (2 * density.radius / n) - density.radius
    below = np.cumsum(density.weights)[:-1].astype(np.float32)
    mode = jnp.searchsorted(below, u[:, 0], side="right")
    centers, scales = np.float32(density.centers), np.float32(density.scales)
    noise = jax.scipy.special.ndtri(jnp.clip(u[:, 1:], 1e-7, 1.0 - 1e-7))
    return jnp.asarray(centers)[mode] + jnp.asarray(scales)[mode, None] * noise


def fit(recipe: toy_flows.Recipe, density: Any, share: float) -> Params:
    """The averaged parameters after training on fresh samples of a density."""
    batches = jax.jit(jax.vmap(lambda key: samples(density, key, recipe.batch_size)))
    num_steps = int(share * recipe.num_steps) // CHUNK * CHUNK
    key_init, key_data = jax.random.split(jax.random.key(0))
    params = recipe.flow.init(key_init, np.asarray(samples(density, key_init, 10_000)))
    if num_steps == 0:
        return params
    opt_state = optimizer(recipe, num_steps).init(params)
    state = jax.tree.map(jnp.copy, (params, opt_state))
    for chunk in range(num_steps // CHUNK):
        keys = jax.random.split(jax.random.fold_in(key_data, chunk), CHUNK)
        state, _ = advance(recipe, num_steps, state, batches(keys))
    return jax.block_until_ready(train.averaging.averaged(*state))


def from_truth(flow: Any, params: Params, density: Any) -> tuple[float, float]:
    """KL(truth || model), the mean over eight rules of 16,384 even points, and its error."""
    truth, means = jax.jit(jax.vmap(density.log_prob)), []
    for key in jax.random.split(jax.random.key(1), 8):
        x = np.asarray(samples(density, key, 2**14))
        means.append(np.mean(np.asarray(truth(x), np.float64) - log_probs(flow, params, x)))
    return float(np.mean(means)), float(np.std(means, ddof=1) / math.sqrt(8))


def log_probs(flow: Any, params: Params, x: np.ndarray) -> np.ndarray:
    """log p of each of x: [N, 2]."""
    return -metrics.likelihood.negative_log_probs(flow, params, x, batch_size=4096).values


def grid(name: str) -> np.ndarray:
    """Points of the picture of a toy: [PIXELS PIXELS, 2]."""
    side = np.linspace(-LIMITS[name], LIMITS[name], PIXELS, dtype=np.float32)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)


def run(recipe: toy_flows.Recipe, name: str, share: float, path: pathlib.Path) -> None:
    """Trains one flow on one toy, and writes what became of it."""
    begin = time.perf_counter()
    params = fit(recipe, toy.DENSITIES[name], share)
    seconds = time.perf_counter() - begin
    kl, error = from_truth(recipe.flow, params, toy.DENSITIES[name])
    print(f"{path.parent.name:18} {name:13} {kl:8.5f} ± {error:.5f}, {seconds:.0f} s", flush=True)
    about = {"kl": kl, "error": error, "seconds": seconds}
    about["size"] = sum(leaf.size for leaf in jax.tree.leaves(params))
    about |= {"batch_size": recipe.batch_size, "steps": int(share * recipe.num_steps)}
    path.parent.mkdir(parents=True, exist_ok=True)
    density = np.exp(log_probs(recipe.flow, params, grid(name))).reshape(PIXELS, PIXELS)
    np.savez(path, **about, density=density)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: KL of each flow from each toy, the parameters, the updates, the seconds."""
    header = ("flow", *TOYS, "parameters", "updates x batch", "seconds a toy")
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    least = {t: min(float(of[t]["kl"]) for of in found.values() if t in of) for t in TOYS}
    for name, of in found.items():
        cells = []
        for t in TOYS:
            kl = float(of[t]["kl"]) if t in of else math.nan
            shown = "-" if math.isnan(kl) else f"{kl:.4f}" if kl < 0.1 else f"{kl:.2f}"
            cells.append(f"**{shown}**" if kl == least[t] else shown)
        one = next(iter(of.values()))
        steps = f"{one['steps']:,} x {one['batch_size']:,}" if one["steps"] else "closed form"
        seconds = np.mean([of[t]["seconds"] for t in of])
        lines.append(
            f"| {name} | {' | '.join(cells)} | {one['size']:,} | {steps} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def picture(found: dict[str, dict[str, Any]]) -> Any:
    """A row of densities for each toy: the truth, then every flow."""
    import matplotlib
    from matplotlib.figure import Figure

    truth = {}
    for t in TOYS:
        exact = np.exp(jax.jit(jax.vmap(toy.DENSITIES[t].log_prob))(grid(t)))
        truth[t] = {"density": exact.reshape(PIXELS, PIXELS)}
    columns = {"truth": truth} | found
    with matplotlib.rc_context(plot.STYLE | {"axes.titlesize": 7}):
        figure = Figure(figsize=(0.95 * len(columns), 0.98 * len(TOYS)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)
        axes = figure.subplots(len(TOYS), len(columns))
        for row, t in zip(axes, TOYS, strict=True):
            exact = truth[t]["density"]
            top = np.quantile(exact[exact > 1e-3 * exact.max()], 0.9)
            for ax, (name, of) in zip(row, columns.items(), strict=True):
                ax.set_axis_off()
                if t in of:
                    shown = np.sqrt(np.clip(of[t]["density"] / top, 0.0, 1.0))
                    ax.imshow(shown, origin="lower", cmap=plot.DENSITY_MAP, vmin=0.0, vmax=1.0)
                if t == TOYS[0]:
                    ax.set_title(name)
    return figure


def main(c: Config) -> None:
    """Trains what is missing, then writes the table and the picture of what is there."""
    paths = {n: {t: c.folder / n / f"{t}.npz" for t in TOYS} for n in toy_flows.RECIPES}
    for name, recipe in toy_flows.RECIPES.items():
        for t in TOYS:
            if name in (c.only or toy_flows.RECIPES) and c.toy in t and not paths[name][t].exists():
                run(recipe, t, c.share, paths[name][t])
    found = {
        n: {t: dict(np.load(path)) for t, path in of.items() if path.exists()}
        for n, of in paths.items()
    }
    found = {n: of for n, of in found.items() if of}
    printed = table(found)
    print(printed)
    where = ROOT / "benchmarks" / "results" / "toys.md"
    machine = f"{provenance.hardware()}, jax {jax.__version__}"
    where.write_text(f"`python benchmarks/toys.py` on {machine}\n\n{printed}\n", "utf-8")
    path = plot.save(picture(found), ROOT / "docs" / "images" / "toys.png", dpi=90)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(48)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
