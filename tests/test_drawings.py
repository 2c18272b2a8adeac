"The drawings of the lessons: each inside its sheet, no word on another, the same in words."
import functools
import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.tools import notebooks
from tokenbridge import drawings, plots

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

NAMES = ["draw_way", "draw_grid", "draw_levels", "draw_masked", "draw_causal", "draw_head", "draw_generation",
         "draw_training"]


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@functools.cache
def drawn(name: str):
    "The axes of a drawing, and a renderer that knows the place of everything on it."
    ax = getattr(drawings, name)()
    ax.figure.canvas.draw()
    return ax, ax.figure.canvas.get_renderer()


def test_everything_is_on_the_sheet(name):
    ax, renderer = drawn(name)
    sheet = ax.get_window_extent(renderer)
    for part in [*ax.texts, *ax.patches, *ax.lines, *ax.images]:
        box = part.get_window_extent(renderer)
        inside = (box.x0 >= sheet.x0 - 2 and box.x1 <= sheet.x1 + 2
                  and box.y0 >= sheet.y0 - 2 and box.y1 <= sheet.y1 + 2)
        assert inside, f"{part} {getattr(part, 'get_text', str)()!r} leaves the sheet"


def test_no_word_lies_on_another(name):
    ax, renderer = drawn(name)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in ax.texts]
    for i, (words, box) in enumerate(boxes):
        for other, place in boxes[:i]:
            assert not box.overlaps(place), f"{words!r} lies on {other!r}"


def test_no_line_goes_through_a_word(name):
    ax, renderer = drawn(name)
    for text in ax.texts:
        box = text.get_window_extent(renderer)
        for line in ax.lines:
            if line.get_marker() in ("None", None, "") and len(line.get_xdata()) > 1:
                path = line.get_transform().transform_path(line.get_path())
                assert not path.intersects_bbox(box, filled=False), f"a line goes through {text.get_text()!r}"


def test_letters_can_be_read(name):
    ax, _ = drawn(name)
    assert min(text.get_fontsize() for text in ax.texts) >= 8


def test_small_axes_get_small_letters(name):
    large, _ = drawn(name)
    figure = plt.figure(figsize=(3.2, 3.2))
    small = getattr(drawings, name)(figure.add_axes((0, 0, 1, 1)))
    plt.close(figure)
    assert small.figure is figure
    assert small.texts[0].get_fontsize() == pytest.approx(large.texts[0].get_fontsize() / 2)


def test_nothing_is_told_by_colour_alone(name):
    "In grey, fills differ in lightness or in hatching, width of line or words."
    ax, _ = drawn(name)
    grey = lambda colour: round(float(np.dot(matplotlib.colors.to_rgb(colour), (0.3, 0.59, 0.11))), 2)
    looks = {(patch.get_facecolor()[:3], grey(patch.get_facecolor())) for patch in ax.patches
             if patch.get_facecolor()[3]}
    shades = sorted(shade for _, shade in looks)
    assert len(set(shades)) >= min(2, len(looks)) and shades[-1] - shades[0] > 0.05


def test_same_in_words(name):
    words = drawings.in_words(getattr(drawings, name))
    assert 40 <= len(words.split()) <= 150 and words.endswith(".")
    data, metadata = drawn(name)[0].figure._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == words


def test_same_picture_each_time(name):
    pictures = []
    for _ in range(2):
        file, figure = io.BytesIO(), getattr(drawings, name)().figure
        figure.savefig(file, format="png")
        plt.close(figure)
        pictures.append(np.asarray(Image.open(file)))
    assert (pictures[0] == pictures[1]).all() and pictures[0].shape[1] == 832


def test_the_committed_appendix_carries_the_words():
    shown = [output for cell in notebooks.code_cells(notebooks.read("drawings")) for output in cell["outputs"]
             if "image/png" in output.get("data", {})]
    alternatives = [output["metadata"].get("image/png", {}).get("alt") for output in shown]
    words = [drawings.in_words(getattr(drawings, name)) for name in NAMES]
    assert [text for text in alternatives if text] == words, "`python -m tests.tools.lessons run drawings`"


def test_colours_are_those_of_the_plots():
    assert {drawings._BLUE, drawings._ORANGE} < set(plots._COLOURS)
