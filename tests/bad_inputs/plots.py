"Bad inputs of `plots`, and the message each must give."
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from tokenbridge import plots

matplotlib.use("Agg")
A_FILE = Path(tempfile.mkdtemp(prefix="bad-inputs-")) / "file"
A_FILE.write_text("x")
IMAGES = torch.zeros(2, 3, 4, 4)
NAN = torch.full((2, 3, 4, 4), float("nan"))
ax = Figure().subplots()

ROWS = {
    "panels": [
        (lambda: plots.panels(0), ValueError, "rows: expected an integer of at least 1, got 0"),
        (lambda: plots.panels(width=-1), ValueError, "width: expected a number above 0, got -1"),
    ],
    "picture_ending": [(lambda: plots.picture_ending("x.gif"), ValueError, "path ending: expected one of")],
    "save_figure": [
        (lambda: plots.save_figure("figure", "x.png"), ValueError, "figure: expected a matplotlib figure"),
        (lambda: plots.save_figure(Figure(), "x.doc"), ValueError, "path ending: expected one of"),
        (lambda: plots.save_figure(Figure((1, 1)), A_FILE / "x.png"), OSError, "cannot write"),
    ],
    "tile_images": [
        (lambda: plots.tile_images(IMAGES[0]), ValueError,
         "images: expected shape (b 3 h w), got shape (3, 4, 4)"),
        (lambda: plots.tile_images(IMAGES.int()), ValueError, "images: expected float values"),
        (lambda: plots.tile_images(NAN), ValueError, "images: expected finite values"),
        (lambda: plots.tile_images(IMAGES[:0]), ValueError, "images: expected at least one image"),
        (lambda: plots.tile_images(IMAGES, columns=0), ValueError,
         "columns: expected an integer of at least 1"),
        (lambda: plots.tile_images(IMAGES, scale=1.5), ValueError, "scale: expected an integer"),
    ],
    "image_grid": [
        (lambda: plots.image_grid(ax, IMAGES, labels=["one"]), ValueError,
         "labels: expected 2 texts, one per image, got 1"),
        (lambda: plots.image_grid(ax, IMAGES[:, :1]), ValueError, "images: expected shape (b 3 h w)"),
    ],
    "image_rows": [
        (lambda: plots.image_rows(ax, {}), ValueError, "rows: expected at least one row"),
        (lambda: plots.image_rows(ax, {"a": IMAGES, "b": IMAGES[:1]}), ValueError,
         "rows: expected the same shape"),
        (lambda: plots.image_rows(ax, {"a": IMAGES, "b": NAN}), ValueError, "rows['b']: expected finite"),
        (lambda: plots.image_rows(ax, {"a": IMAGES}, heads=["one"]), ValueError,
         "heads: expected 2 texts, one per column, got 1"),
    ],
    "level_histogram": [
        (lambda: plots.level_histogram(ax, NAN, torch.arange(3.0)), ValueError, "latents: expected finite"),
        (lambda: plots.level_histogram(ax, torch.zeros(0), torch.arange(3.0)), ValueError,
         "latents: expected a tensor with at least one number"),
        (lambda: plots.level_histogram(ax, torch.zeros(3), torch.zeros(2, 2)), ValueError,
         "levels: expected shape (k)"),
    ],
    "level_ridges": [(lambda: plots.level_ridges(ax, torch.zeros(5, 3), torch.zeros(2, 4)), ValueError,
                      "levels: expected shape (d k), d = 3")],
    "smooth": [(lambda: plots.smooth(np.zeros(3), 1.0), ValueError,
                "smoothing: expected a number in [0, 0.9999], got 1.0")],
    "curves": [
        (lambda: plots.curves(ax, {}), ValueError, "lines: expected at least one curve"),
        (lambda: plots.curves(ax, {"a": ([1, 2], [1, 2, 3])}), ValueError, "lines['a']: expected (steps,)"),
        (lambda: plots.curves(ax, {"a": [1, 2]}, smoothing=-1), ValueError,
         "smoothing: expected a number in"),
    ],
    "matrix": [
        (lambda: plots.matrix(ax, torch.zeros(3)), ValueError, "values: expected shape (r c)"),
        (lambda: plots.matrix(ax, torch.zeros(1, 2), rows=["a", "b"]), ValueError,
         "rows: expected 1 names, got 2"),
    ],
    "attention_map": [
        (lambda: plots.attention_map(ax, torch.zeros(2, 3), torch.ones(3, 2).bool()), ValueError,
         "allowed: expected shape (2 3)"),
        (lambda: plots.attention_map(ax, torch.full((2, 2), float("nan"))), ValueError,
         "weights: expected finite"),
    ],
    "usage_map": [(lambda: plots.usage_map(ax, torch.zeros(2, 3, 4)), ValueError,
                   "usage: expected shape (r c)")],
    "order_picture": [
        (lambda: plots.order_picture(ax, torch.zeros(4, dtype=torch.int64), (2, 2)), ValueError,
         "order: expected every position in [0, 3] once"),
        (lambda: plots.order_picture(ax, torch.arange(4), (2, 3)), ValueError,
         "order: expected shape (n), n = 6"),
        (lambda: plots.order_picture(ax, torch.arange(4), (2, 2), [1, 2]), ValueError,
         "schedule: expected counts that sum to 4, got 3"),
    ],
    "bars": [
        (lambda: plots.bars(ax, {}), ValueError, "values: expected at least one bar"),
        (lambda: plots.bars(ax, {"a": float("nan")}), ValueError, "values: expected finite"),
        (lambda: plots.bars(ax, {"a": 1.0}, spread={"b": 1.0}), ValueError,
         "spread: expected names of bars, got 'b'"),
    ],
    "grouped_bars": [
        (lambda: plots.grouped_bars(ax, {}), ValueError, "groups: expected the same series"),
        (lambda: plots.grouped_bars(ax, {"g": {"a": 1}, "h": {"b": 1}}), ValueError,
         "groups: expected the same series"),
    ],
}
