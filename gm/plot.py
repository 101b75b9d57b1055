"""Pictures for notebooks and reports: grids of images, curves, densities and points.

Every function returns a `matplotlib.figure.Figure` of its own and leaves pyplot alone, so that
nothing needs a display, nothing stays open, and no setting of the caller changes. `save` writes a
file; a notebook shows a figure that ends a cell once `%matplotlib inline` has run.
"""

from __future__ import annotations

import functools
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.labelcolor": "0.2",
    "axes.linewidth": 0.8,
    "xtick.color": "0.4",
    "ytick.color": "0.4",
    "text.color": "0.15",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
COLORS = ("#1f6fb2", "#d1603d", "#3a9a6b", "#8c5aa8", "#b58a1b", "#5f6b76")
DENSITY_MAP = "Blues"
GAP = 0.85  # grey between images, away from both ends of the scale


def _styled(plot: Callable[..., Figure]) -> Callable[..., Figure]:
    """Plots in one style, and leaves the caller's matplotlib settings unchanged."""

    @functools.wraps(plot)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return plot(*args, **kwargs)

    return styled


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with one row of panels, sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.09)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def save(figure: Figure, path: str | os.PathLike, dpi: int = 150) -> pathlib.Path:
    """Writes the figure, in the format that the path's ending names; makes folders as needed."""
    path = pathlib.Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, facecolor="white")
    return path


def image_grid(
    x: np.ndarray,
    *,
    columns: int | None = None,
    num_values: int | None = None,
    value_range: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """One grid of images.

    Args:
      x: [N, H, W], [N, H, W, 1] or [N, H, W, 3], integers or floats.
      columns: of the grid; by default as square as possible.
      num_values: K for integers in [0, K), which are shown from 0 to K - 1.
      value_range: what is black and what is white. By default 0 to K - 1; else 0 to 1 for
        floats that lie within; else 0 to 255 for bytes above 127; else what x spans.
      title: over the grid.
    """
    return side_by_side(
        {title or "": x},
        columns=columns,
        num_values=num_values,
        value_range=value_range,
        panel_size=4.0,
    )


@_styled
def side_by_side(
    panels: Mapping[str, np.ndarray],
    *,
    columns: int | None = None,
    num_values: int | None = None,
    value_range: tuple[float, float] | None = None,
    panel_size: float = 3.0,
) -> Figure:
    """Grids of images side by side, on one scale: `side_by_side({"data": x, "MADE": samples})`.

    Args:
      panels: the title of each grid and its images, as in `image_grid`.
      columns: of each grid.
      num_values: K, as in `image_grid`.
      value_range: as in `image_grid`; by default one range for all panels.
      panel_size: width of a grid in inches.
    """
    if not panels:
        raise ValueError("side_by_side needs at least one panel; got none.")
    batches = {title: _images(title, x) for title, x in panels.items()}
    low, high = value_range or _value_range(list(batches.values()), num_values)
    grids = {
        title: _mosaic((x - low) / ((high - low) or 1.0), columns) for title, x in batches.items()
    }
    aspect = max(grid.shape[0] / grid.shape[1] for grid in grids.values())
    height = panel_size * aspect + 0.35 * any(grids)
    figure, axes = _figure(panel_size * len(grids), height, len(grids))
    for ax, (title, grid) in zip(axes, grids.items(), strict=True):
        ax.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_axis_off()
        if title:
            ax.set_title(title)
    return figure


def _images(title: str, x: np.ndarray) -> np.ndarray:
    """x as [N, H, W] or [N, H, W, 3], bools as integers."""
    x = np.asarray(x)
    if x.ndim == 4 and x.shape[-1] == 1:
        x = x[..., 0]
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] == 3)) or not x.size:
        raise ValueError(
            f"images need shape [N, H, W], [N, H, W, 1] or [N, H, W, 3]; got {x.shape}"
            + (f" for {title!r}." if title else ".")
        )
    return x if np.issubdtype(x.dtype, np.floating) else x.astype(np.int64)


def _value_range(batches: Sequence[np.ndarray], num_values: int | None) -> tuple[float, float]:
    """What is black and what is white."""
    if num_values is not None:
        return 0.0, num_values - 1.0
    low, high = (float(f([f(x) for x in batches])) for f in (np.nanmin, np.nanmax))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    integers = not any(np.issubdtype(x.dtype, np.floating) for x in batches)
    return (0.0, 255.0) if integers and low >= 0 and 127 < high <= 255 else (low, high)


def _mosaic(x: np.ndarray, columns: int | None) -> np.ndarray:
    """[N, H, W] or [N, H, W, 3] in [0, 1] -> one image, with a line between neighbours."""
    count, height, width = x.shape[:3]
    columns = columns or math.ceil(math.sqrt(count * height / width))
    columns = min(columns, count)
    rows = -(-count // columns)
    gap = max(1, round(min(height, width) / 14))
    step_y, step_x = height + gap, width + gap
    grid = np.full((rows * step_y - gap, columns * step_x - gap, *x.shape[3:]), GAP)
    for i, image in enumerate(np.clip(x, 0, 1)):
        top, left = i // columns * step_y, i % columns * step_x
        grid[top : top + height, left : left + width] = image
    # Places of the last row that have no image stay white.
    grid[(rows - 1) * step_y - gap :, (count - (rows - 1) * columns) * step_x - gap :] = 1.0
    return grid


@_styled
def curves(
    lines: Mapping[str, tuple[Any, Any]],
    xlabel: str = "step",
    ylabel: str = "",
    *,
    references: Mapping[str, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    ylim: tuple[float | None, float | None] | None = None,
    title: str | None = None,
) -> Figure:
    """Learning curves: `curves({"train": (steps, values)}, ylabel="nats")`.

    Args:
      lines: the name of each curve and its (steps, values), each [T].
      xlabel: what steps are.
      ylabel: what values are, with the unit.
      references: named horizontal lines, such as a published number.
      log_x: a logarithmic axis of steps.
      log_y: a logarithmic axis of values.
      ylim: limits of the values; None for either leaves it free.
      title: over the curves.
    """
    figure, (ax,) = _figure(6.0, 3.6)
    _lines(ax, lines, references or {})
    if log_x:
        ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log")
    if ylim:
        ax.set_ylim(*ylim)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    return figure


@_styled
def curve_panels(
    panels: Mapping[str, Mapping[str, tuple[Any, Any]]],
    xlabel: str = "step",
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Curves of several quantities side by side: `curve_panels({"nats": {"MADE": (t, y)}})`.

    Args:
      panels: what each panel shows, with its unit, and its curves as in `curves`.
      xlabel: what steps are.
      references: for a panel, named horizontal lines.
    """
    if not panels:
        raise ValueError("curve_panels needs at least one panel; got none.")
    figure, axes = _figure(4.5 * len(panels), 3.4, len(panels))
    for ax, (ylabel, lines) in zip(axes, panels.items(), strict=True):
        _lines(ax, lines, (references or {}).get(ylabel, {}))
        ax.set(xlabel=xlabel, title=ylabel)
    return figure


def _lines(ax: Axes, lines: Mapping[str, tuple[Any, Any]], references: Mapping[str, float]) -> None:
    """Curves and reference lines with a legend where there is more than one."""
    for (name, (steps, values)), color in zip(lines.items(), _colors(len(lines)), strict=True):
        steps, values = np.asarray(steps), np.asarray(values)
        ax.plot(steps, values, color=color, label=name, marker="o" if len(steps) == 1 else None)
    styles = ("--", ":", "-.")
    for i, (name, value) in enumerate(references.items()):
        ax.axhline(value, color="0.45", linestyle=styles[i % 3], linewidth=1.2, label=name)
    ax.grid(axis="y", color="0.92", linewidth=0.8)
    if len(lines) + len(references) > 1:
        ax.legend()


@_styled
def density_1d(
    log_probs: Mapping[str, Callable[[Any], Any]],
    xlim: tuple[float, float],
    *,
    samples: Mapping[str, np.ndarray] | None = None,
    resolution: int = 500,
    xlabel: str = "x",
    title: str | None = None,
) -> Figure:
    """Densities over the real line, with histograms of samples behind them.

    Args:
      log_probs: the name of each density and its log p of one scalar x, in nats.
      xlim: what to show.
      samples: named samples, each [N]; histograms of unit area over all of the line.
      resolution: points at which each density is evaluated.
      xlabel: name of the axis.
      title: over the picture.
    """
    import jax

    figure, (ax,) = _figure(6.0, 3.6)
    points = np.linspace(*xlim, resolution, dtype=np.float32)
    bins = np.linspace(*xlim, 81)
    colors = _colors(len(log_probs) + len(samples or {}))
    for name, log_prob in log_probs.items():
        density = np.exp(np.asarray(jax.jit(jax.vmap(log_prob))(points)))
        ax.plot(points, density, color=next(colors), label=name)
    for name, x in (samples or {}).items():
        x = np.ravel(np.asarray(x))
        weights = np.full(len(x), 1 / (len(x) * (bins[1] - bins[0])))
        ax.hist(x, bins, weights=weights, color=next(colors), alpha=0.35, label=name, zorder=0)
    ax.set(xlim=xlim, ylim=(0, None), xlabel=xlabel, ylabel="density", title=title or "")
    ax.legend()
    return figure


@_styled
def density_2d(
    log_prob: Callable[[Any], Any],
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    *,
    samples: np.ndarray | None = None,
    resolution: int = 200,
    title: str | None = None,
) -> Figure:
    """A density over the plane, with points on top.

    Args:
      log_prob: log p of one x: [2], in nats; mapped over the grid here.
      xlim: what to show of the first coordinate.
      ylim: what to show of the second.
      samples: [N, 2] points, or None.
      resolution: points of the grid along each side.
      title: over the picture.
    """
    import jax

    first, second = (np.linspace(*lim, resolution, dtype=np.float32) for lim in (xlim, ylim))
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)  # [R * R, 2]
    density = np.exp(np.asarray(jax.jit(jax.vmap(log_prob))(grid))).reshape(resolution, resolution)
    figure, (ax,) = _figure(4.4, 4.4)
    extent = (*xlim, *ylim)
    ax.imshow(density, origin="lower", extent=extent, cmap=DENSITY_MAP, interpolation="bilinear")
    if samples is not None:
        _points(ax, samples, COLORS[1])
    _plane(ax, xlim, ylim, title)
    return figure


@_styled
def scatter_2d(
    panels: Mapping[str, np.ndarray],
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    *,
    panel_size: float = 3.2,
) -> Figure:
    """Points in the plane, side by side on the same axes: `scatter_2d({"data": x, "GAN": y})`.

    Args:
      panels: the title of each panel and its points, [N, 2].
      xlim: by default what the first panel, the data, spans, and a margin.
      ylim: likewise.
      panel_size: width of a panel in inches.
    """
    if not panels:
        raise ValueError("scatter_2d needs at least one panel; got none.")
    data = np.asarray(next(iter(panels.values())))
    figure, axes = _figure(panel_size * len(panels), panel_size + 0.2, len(panels))
    for ax, (title, points), color in zip(axes, panels.items(), _colors(len(panels)), strict=True):
        _points(ax, points, color)
        _plane(ax, xlim or _span(data[:, 0]), ylim or _span(data[:, 1]), title)
    return figure


def samples(panels: Mapping[str, np.ndarray], *, num_values: int | None = None) -> Figure:
    """Data and samples side by side, as their shape asks: `samples({"data": x, "MADE": y})`.

    Images [N, H, W] and [N, H, W, C] as grids of the first 64, points [N, 2] in the plane; one bar
    per vector [N, D] otherwise, the first 64 below one another.

    Args:
      panels: the title of each panel and its examples.
      num_values: K, for integers in [0, K).
    """
    panels = {title: np.asarray(x) for title, x in panels.items()}
    if all(x.ndim == 2 and x.shape[1] == 2 for x in panels.values()):
        return scatter_2d(panels)
    panels = {title: x[:64] if x.ndim > 2 else x[None, :64] for title, x in panels.items()}
    return side_by_side(panels, num_values=num_values)


def _points(ax: Axes, x: np.ndarray, color: str) -> None:
    """Points [N, 2], fainter the more there are."""
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"points need shape [N, 2]; got {x.shape}.")
    alpha = min(0.8, max(0.15, 800 / max(len(x), 1)))
    ax.scatter(x[:, 0], x[:, 1], s=5, color=color, alpha=alpha, linewidths=0)


def _plane(
    ax: Axes, xlim: tuple[float, float], ylim: tuple[float, float], title: str | None
) -> None:
    """Equal axes over the same region."""
    ax.set(xlim=xlim, ylim=ylim, aspect="equal", title=title or "")
    ax.locator_params(nbins=5)


def _span(x: np.ndarray) -> tuple[float, float]:
    """The range of x with a margin of a tenth."""
    low, high = float(np.min(x)), float(np.max(x))
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def _colors(count: int):
    """So many colours, over and over where there are more than six."""
    return (COLORS[i % len(COLORS)] for i in range(count))
