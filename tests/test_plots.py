"Each helper draws on the axes it is given, returns them, and shows what it was given."
import errno
import os

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from tokenbridge import plots  # noqa: E402
from tokenbridge.data import save_images  # noqa: E402


@pytest.fixture
def ax():
    before, numbers = dict(matplotlib.rcParams), set(plt.get_fignums())
    ax = plots.panels()
    yield ax
    assert dict(matplotlib.rcParams) == before, "a helper changed a global setting"
    for number in set(plt.get_fignums()) - numbers:
        plt.close(number)


def picture(ax) -> np.ndarray:
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


RANDOM = torch.rand(7, 3, 8, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
DRAW = {
    "image_grid": lambda ax: plots.image_grid(ax, RANDOM, 3, labels=list("abcdefg")),
    "image_rows": lambda ax: plots.image_rows(ax, {"real": RANDOM, "quantized": -RANDOM},
                                              heads=list("abcdefg")),
    "level_histogram": lambda ax: plots.level_histogram(ax, torch.randn(500), torch.linspace(-2, 2, 64),
        normal=True),
    "level_ridges": lambda ax: plots.level_ridges(ax, torch.randn(2, 50, 5),
        torch.linspace(-2, 2, 8).expand(5, 8)),
    "curves": lambda ax: plots.curves(ax, {"a": [3, 2, 1], "b": ([1, 10, 100], np.ones((4, 3)))},
                                      smoothing=0.5, log_x=True, log_y=True),
    "matrix": lambda ax: plots.matrix(ax, torch.randn(3, 4), rows=list("abc"), columns=list("wxyz")),
    "attention_map": lambda ax: plots.attention_map(ax, torch.rand(5, 7), torch.ones(5, 7).tril().bool()),
    "usage_map": lambda ax: plots.usage_map(ax, torch.rand(3, 12)),
    "order_picture": lambda ax: plots.order_picture(ax, torch.randperm(15), (3, 5), [1, 6, 8]),
    "bars": lambda ax: plots.bars(ax, {"a": 1, "b": -2.5}, spread={"b": 0.3}),
    "grouped_bars": lambda ax: plots.grouped_bars(ax, {"g": {"a": 1, "b": 2}, "h": {"a": 3, "b": 4}}),
}


@pytest.mark.parametrize("name", DRAW)
def test_helper_draws_and_returns_its_axes(ax, name):
    assert DRAW[name](ax) is ax
    drawn = picture(ax).copy()
    ax.clear()
    assert (drawn != picture(ax.set_axis_off() or ax)).mean() > 0.01
    grey = drawn.astype(float).mean(-1)
    assert grey.std() > 5, "nothing would remain on a grey printer"


@pytest.mark.parametrize("name",
                         sorted(set(DRAW) - {"image_grid", "image_rows", "order_picture", "matrix", "bars",
                                             "grouped_bars"}))
def test_axes_are_labelled(ax, name):
    DRAW[name](ax)
    assert ax.get_xlabel() and ax.get_ylabel()


def test_every_drawing_helper_is_tried():
    takes_ax = {name for name in plots.__all__ if "ax" in getattr(plots, name).__annotations__}
    assert takes_ax == set(DRAW)


def test_tiles_show_each_pixel_once_scaled():
    images = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8)
    sheet = plots.tile_images(images, columns=2, scale=3, gap=1, strip=5)
    assert sheet.shape == (3 * (12 + 5 + 1) - 1, 2 * 19 - 1, 3)
    for i in range(5):
        top, left = i // 2 * 18 + 5, i % 2 * 19
        tile = sheet[top:top + 12, left:left + 18]
        assert (tile[::3, ::3] == images[i].permute(1, 2, 0).numpy()).all()
        assert (tile[1::3, 2::3] == tile[::3, ::3]).all()
    assert (sheet[36 + 5:, 19:] == 255).all(), "the missing sixth image stays white"


def test_floats_and_bytes_show_the_same():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    floats = values.float() / 127.5 - 1
    assert (plots.tile_images(values) == plots.tile_images(floats)).all()
    assert (plots.tile_images(floats * 3) == plots.tile_images((floats * 3).clamp(-1, 1))).all()
    assert (plots.tile_images(floats.bfloat16()) == plots.tile_images(floats.bfloat16().float())).all()


def test_curves_differ_without_colour(ax):
    plots.curves(ax, {str(i): [i, i + 1.0] for i in range(8)})
    looks = {(str(line.get_linestyle()), line._dash_pattern[1] and tuple(line._dash_pattern[1]),
              line.get_marker()) for line in ax.lines}
    assert len(looks) == 8 and len({line.get_marker() for line in ax.lines}) == 8


def test_groups_differ_without_colour(ax):
    plots.grouped_bars(ax, {"g": {name: 1.0 for name in "abcd"}})
    assert len({bar.get_hatch() for bar in ax.patches}) == 4


def test_band_spans_the_seeds(ax):
    plots.curves(ax, {"a": np.array([[1.0, 2.0], [3.0, 6.0]])})
    assert ax.lines[0].get_ydata().tolist() == [2.0, 4.0]
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == 1 and corners[:, 1].max() == 6


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.99])
def test_smoothing_against_its_definition(smoothing):
    values = np.random.default_rng(0).normal(size=(2, 30))
    weights = smoothing ** np.arange(30)
    want = [(values[:, t::-1] * weights[:t + 1]).sum(1) / weights[:t + 1].sum() for t in range(30)]
    assert np.allclose(plots.smooth(values, smoothing), np.stack(want, 1))


def test_borders_lie_between_the_levels(ax):
    plots.level_histogram(ax, torch.randn(50), torch.tensor([-1.0, 0.0, 3.0]))
    assert sorted(segment[0][0] for segment in ax.collections[0].get_segments()) == [-0.5, 1.5]
    assert ax.lines[-1].get_xdata().tolist() == [-1, 0, 3]


def test_order_counts_tokens_and_steps(ax):
    plots.order_picture(ax, torch.tensor([4, 0, 5, 1, 3, 2]), (2, 3))
    assert [int(text.get_text()) for text in ax.texts] == [2, 4, 6, 5, 1, 3]


def test_bars_say_their_values(ax):
    plots.bars(ax, {"a": 1.234, "b": -2}, form="{:.1f}")
    assert [text.get_text() for text in ax.texts] == ["1.2", "-2.0"]


def test_constant_tables_can_be_drawn(ax):
    plots.matrix(ax, torch.zeros(2, 2))
    picture(ax)
    plots.level_histogram(ax, torch.zeros(10), torch.tensor([-1.0, 1.0]), normal=True)
    picture(ax)


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_save_figure(tmp_path, ending):
    ax = DRAW["curves"](plots.panels())
    path = plots.save_figure(ax, tmp_path / "deep" / f"x.{ending}")
    assert path.stat().st_size > 1000 and not plt.fignum_exists(ax.figure.number)
    assert [p.name for p in path.parent.iterdir()] == [f"x.{ending}"]


def test_saved_images_are_exact(tmp_path):
    sheet = plt.imread(save_images(tmp_path / "x.png", RANDOM, 4, 2))
    assert ((sheet[..., :3] * 255).round() == plots.tile_images(RANDOM, 4, 2)).all()


@pytest.mark.parametrize("save",
                         [lambda path: save_images(path, RANDOM),
                          lambda path: plots.save_figure(plots.panels(), path)])
def test_full_disk_keeps_the_old_picture(tmp_path, monkeypatch, save):
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="x.png: No space left on device"):
            save(path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_row_without_labels_takes_no_room_for_them():
    height = lambda labels: plots.image_grid(plots.panels(), torch.zeros(6, 3, 8, 8), 3,
                                             labels).images[0].get_array().shape[0]
    assert height(["a", "b", "c", "", "", ""]) == height(None) < height(list("abcdef"))


def test_a_sheet_alone_gets_96_pixels_an_image():
    images = torch.rand(10, 3, 32, 32)
    one = plots.image_grid(plots.panels(width=5, height=1.5), images, 5, list("abcdefghij"))
    rows = plots.image_rows(plots.panels(width=3, height=1.5), {"real": images[:5], "quantized": images[5:]})
    for ax in (one, rows):
        picture(ax)
        assert ax.get_window_extent().width / 5 >= 96
    beside = plots.panels(1, 2)
    size = beside[0].figure.get_size_inches().copy()
    plots.image_grid(beside[0], images)
    plots.image_grid(many := plots.panels(), images.repeat(3, 1, 1, 1))
    assert (beside[0].figure.get_size_inches() == size).all(), "a figure with other axes keeps its size"
    assert many.figure.get_size_inches().tolist() == [3.2, 2.4], "many images keep the file small"


def test_an_even_table_is_grey():
    shade = lambda table: plots.matrix(plots.panels(), table).images[0].norm(table[0, 0].item())
    assert shade(torch.full((3, 3), 0.2)) == pytest.approx(0.5)
    assert shade(torch.tensor([[1.0, 0.0]])) == 1 and shade(torch.tensor([[-1.0, 1.0]])) == 0
