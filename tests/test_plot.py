import subprocess
import sys

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from PIL import Image

from gm import plot


def shown(figure, panel=0):
    """The values of the image in a panel."""
    return np.asarray(figure.axes[panel].get_images()[0].get_array())


def test_images_lie_in_raster_order_with_a_line_between():
    """Five images of 2 x 3 in rows of three; the sixth place is white."""
    x = np.arange(5)[:, None, None] * np.ones((1, 2, 3))
    grid = shown(plot.image_grid(x, columns=3, num_values=5))
    assert grid.shape == (2 + 1 + 2, 3 * 3 + 2)
    np.testing.assert_allclose(grid[0, [0, 3, 4, 7, 8]], [0, plot.GAP, 0.25, plot.GAP, 0.5])
    np.testing.assert_allclose(grid[3, [0, 3, 4, 7, 8, 10]], [0.75, plot.GAP, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("x", "options", "want"),
    [
        (np.array([0, 1]), {}, [0, 1]),
        (np.array([False, True]), {}, [0, 1]),
        (np.array([0, 8]), {"num_values": 17}, [0, 0.5]),
        (np.array([0, 8]), {}, [0, 1]),
        (np.array([51, 204], np.uint8), {}, [0.2, 0.8]),
        (np.array([0.2, 0.7]), {}, [0.2, 0.7]),
        (np.array([-3.0, 1.0]), {}, [0, 1]),
        (np.array([-3.0, 1.0]), {"value_range": (-2, 2)}, [0, 0.75]),
        (np.array([0, 0]), {}, [0, 0]),
    ],
)
def test_black_and_white_are_where_the_values_say(x, options, want):
    grid = shown(plot.image_grid(x.reshape(1, 1, 2), **options))
    np.testing.assert_allclose(grid, [want], rtol=1e-6)


def test_panels_share_one_scale_and_carry_their_titles():
    figure = plot.side_by_side({"data": np.zeros((4, 2, 2)) + 4.0, "GAN": np.zeros((4, 2, 2))})
    assert [ax.get_title() for ax in figure.axes] == ["data", "GAN"]
    assert not any(ax.axison for ax in figure.axes)
    assert shown(figure, 0)[0, 0] == 1
    assert shown(figure, 1)[0, 0] == 0


def test_colour_images_keep_their_channels():
    x = np.random.default_rng(0).uniform(size=(3, 4, 4, 3))
    np.testing.assert_allclose(shown(plot.image_grid(x, columns=1))[:4], x[0])
    assert shown(plot.image_grid(x[..., :1], columns=1)).shape == (4 * 3 + 2, 4)


@pytest.mark.parametrize("x", [np.zeros((4, 64)), np.zeros((4, 8, 8, 2)), np.zeros((0, 8, 8))])
def test_what_is_not_images_is_refused(x):
    with pytest.raises(ValueError, match=r"for 'MADE'"):
        plot.side_by_side({"MADE": x})
    with pytest.raises(ValueError, match="at least one panel"):
        plot.side_by_side({})


def test_curves_show_every_line_and_reference():
    lines = {"train": ([1, 2, 3], [3.0, 2.0, 1.0]), "validation": ([2], jnp.array([2.5]))}
    figure = plot.curves(lines, ylabel="nats", references={"published": 0.5}, log_y=True)
    (ax,) = figure.axes
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["train", "validation", "published"]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "nats", "log")


def test_a_density_of_the_plane_is_plotted_the_right_way_up():
    """exp(-x - 2 y) on a grid: columns are x, rows are y."""
    figure = plot.density_2d(lambda x: -x[0] - 2 * x[1], (0, 1), (0, 2), resolution=3)
    y, x = np.meshgrid([0.0, 1.0, 2.0], [0.0, 0.5, 1.0], indexing="ij")
    np.testing.assert_allclose(shown(figure), np.exp(-x - 2 * y), rtol=1e-5)
    (ax,) = figure.axes
    assert ax.get_images()[0].origin == "lower"
    assert ax.get_xlim() == (0, 1)


def test_a_density_of_the_line_and_its_histogram_have_unit_area():
    samples = np.random.default_rng(0).uniform(-1, 1, 1000)
    figure = plot.density_1d(
        {"p": lambda x: jnp.where(jnp.abs(x) < 1, jnp.log(0.5), -jnp.inf)},
        (-2, 2),
        samples={"samples": samples},
    )
    (ax,) = figure.axes
    np.testing.assert_allclose(np.trapezoid(ax.lines[0].get_ydata(), dx=4 / 499), 1, atol=0.01)
    area = sum(bar.get_height() * bar.get_width() for bar in ax.patches)
    np.testing.assert_allclose(area, 1, rtol=1e-5)


def test_points_are_shown_on_the_axes_of_the_data():
    x = np.array([[0.0, 0.0], [1.0, 2.0]])
    figure = plot.scatter_2d({"data": x, "GAN": 5 * x})
    assert [ax.get_title() for ax in figure.axes] == ["data", "GAN"]
    for ax in figure.axes:
        np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [-0.1, 1.1, -0.2, 2.2])
    with pytest.raises(ValueError, match=r"shape \[N, 2\]"):
        plot.scatter_2d({"data": x, "GAN": np.zeros((3, 3))})


def test_a_saved_picture_can_be_opened(tmp_path):
    figure = plot.curves({"train": ([1, 2], [1.0, 2.0])})
    path = plot.save(figure, tmp_path / "run" / "curve.png", dpi=100)
    with Image.open(path) as image:
        assert image.size == (600, 360)


def test_settings_and_pyplot_are_left_alone():
    before = dict(matplotlib.rcParams)
    plot.image_grid(np.zeros((1, 2, 2)))
    assert dict(matplotlib.rcParams) == before


def test_neither_import_nor_plotting_needs_pyplot():
    code = (
        "import sys, gm.plot; assert 'matplotlib' not in sys.modules; "
        "gm.plot.curves({'a': ([1], [1])}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("shape", [(70, 4, 5), (70, 4, 5, 3), (70, 2), (70, 9)])
def test_samples_are_plotted_as_their_shape_asks(shape):
    x = np.random.default_rng(0).random(shape)
    figure = plot.samples({"data": x, "model": x})
    assert [ax.get_title() for ax in figure.axes] == ["data", "model"]


def test_curve_panels_show_one_quantity_each():
    lines = {"a": ([0, 1], [2.0, 1.0])}
    figure = plot.curve_panels({"nats": lines, "mmd": lines}, references={"nats": {"base": 3.0}})
    assert [ax.get_title() for ax in figure.axes] == ["nats", "mmd"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 1]
    with pytest.raises(ValueError, match="at least one panel"):
        plot.curve_panels({})
