"Images drawn by formula: repeatable, varied, and always to be seen."
import pytest
import torch

from tokenbridge.classifier import accuracy, find_judge
from tokenbridge.data import drawn_images
from tokenbridge.drawn import DRAWN_CLASSES, RICH_CLASSES, draw, draw_plain, draw_rich

ALL = [pytest.param(draw_plain, DRAWN_CLASSES, id="drawn-plain"),
       pytest.param(draw, DRAWN_CLASSES, id="drawn"),
       pytest.param(draw_rich, RICH_CLASSES, id="drawn-rich")]


def images(function, num: int, seed: int = 3, size: int = 32) -> torch.Tensor:
    "Images of all classes in turn, as bytes."
    return function(torch.arange(num) % 10, size, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("function, classes", ALL)
def test_a_seed_draws_the_same_images_at_any_length_and_size(function, classes):
    short, long = images(function, 30), images(function, 70)
    assert short.shape == (30, 3, 32, 32) and short.dtype == torch.uint8
    assert torch.equal(short, long[:30]) and not torch.equal(short, images(function, 30, seed=4))
    assert images(function, 3, size=9).shape == (3, 3, 9, 9)
    assert images(function, 0).shape == (0, 3, 32, 32)
    assert len(classes) == len(set(classes)) == 10


@pytest.mark.parametrize("function, classes", ALL)
def test_every_image_differs_from_every_other(function, classes):
    flat = images(function, 300).flatten(1)
    assert len(flat.unique(dim=0)) == 300 and flat.float().std(1).min() > 5


@pytest.mark.parametrize("function, classes", ALL)
def test_an_image_depends_on_its_label_and_its_own_numbers(function, classes):
    labels = torch.arange(10)
    changed = labels.clone()
    changed[4] = 7
    one, other = (function(x, 32, torch.Generator().manual_seed(0)) for x in (labels, changed))
    same = [torch.equal(a, b) for a, b in zip(one, other)]
    assert same == [True] * 4 + [False] + [True] * 5


def test_a_figure_is_brighter_than_its_ground_and_lies_within_the_picture():
    pictures = images(draw, 500, size=64).float()
    border = torch.ones(64, 64, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    edge = pictures[:, :, border]
    ground = edge.median(2).values
    assert (edge - ground[..., None]).abs().max() < 2, "a figure touches the border"
    far = (pictures - ground[..., None, None]).abs().sum(1)   # of three channels, each up to 255
    figure = far > far.flatten(1).amax(1)[:, None, None] / 2
    share = figure.float().mean((1, 2))
    assert share.min() > 0.08 and share.max() < 0.6
    assert far.flatten(1).amax(1).min() > 150
    light = (pictures * torch.tensor([0.3, 0.59, 0.11])[:, None, None]).sum(1)
    inside = torch.stack([x[mask].mean() for x, mask in zip(light, figure)])
    assert (inside - light[:, 0, 0]).min() > 20


def test_colours_places_and_sizes_vary_within_a_class():
    for label in range(10):
        labels = torch.full((200,), label)
        pictures = draw(labels, 32, torch.Generator().manual_seed(5)).float()
        middle, ground = pictures[:, :, 14:18, 14:18].mean((2, 3)), pictures[:, :, 0, 0]
        assert ground.std(0).min() > 15 and middle.std(0).min() > 15, DRAWN_CLASSES[label]
        far = (pictures - ground[..., None, None]).abs().sum(1)
        mask = (far > far.flatten(1).amax(1)[:, None, None] / 2).float()
        rows = torch.arange(32.0)
        centre = (mask.sum(2) * rows).sum(1) / mask.sum((1, 2))
        assert centre.std() > 0.8 and mask.sum((1, 2)).std() / mask.sum((1, 2)).mean() > 0.1


def test_the_shipped_judge_knows_drawn_images():
    judge = find_judge(DRAWN_CLASSES, "drawn", 32)
    assert judge is not None and accuracy(judge, drawn_images(500, seed=9)) >= 0.98


@pytest.mark.parametrize("colours", [1, 2, 5])
def test_plain_figures_have_so_many_colours_on_one_ground_and_the_judge_knows_them(colours):
    labels = torch.arange(200) % 10
    pictures = draw_plain(labels, 32, torch.Generator().manual_seed(2), colours)
    assert len(pictures[:, :, 0, 0].unique(dim=0)) == 1
    places = pictures.sum(1).flatten(1).argmax(1)
    brightest = pictures.flatten(2)[torch.arange(200), :, places]
    assert len(brightest.unique(dim=0)) == colours
    judge = find_judge(DRAWN_CLASSES, "drawn", 32)
    assert (judge(pictures / 127.5 - 1).argmax(1) == labels).float().mean() >= 0.95
