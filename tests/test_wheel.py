"The built wheel, installed in an empty folder and offline, generates an image with the weights it carries."
import pytest

from tests.tools.installed import run
from tests.tools.notebooks import environment

GENERATE = """
import sys, pathlib, torch, tokenbridge
assert pathlib.Path(tokenbridge.__file__).is_relative_to(sys.argv[1]), tokenbridge.__file__
from tokenbridge import TokenBridge
model = TokenBridge.from_pretrained("cifar-tiny")
images = model.generate(torch.tensor([7, 8]), steps=4, generator=torch.Generator().manual_seed(0))
assert images.shape == (2, 3, 32, 32) and images.isfinite().all(), images.shape
assert images.std() > 0.05, images.std()
from tokenbridge.official import imagenet_classes
assert imagenet_classes()[360] == "otter"
print("generated", tuple(images.shape))
"""


@pytest.fixture
def elsewhere(tmp_path):
    "Options of a subprocess: an empty folder, no network."
    env = environment(fast=False, data=None, alone=True) | {"HOME": str(tmp_path), "PYTHONSAFEPATH": "1"}
    return {"cwd": tmp_path, "env": env}


def test_wheel_generates(installed, elsewhere):
    assert "generated (2, 3, 32, 32)" in run(installed.python, "-c", GENERATE, installed.home, **elsewhere)


def test_command_of_the_wheel_generates(installed, elsewhere):
    run(installed.python.parent / "tokenbridge", "generate", "--labels", "horse,8", "--num", "1",
        "--steps", "4",
        "--out", "images", **elsewhere)
    assert len(list((elsewhere["cwd"] / "images").glob("*.png"))) == 3, "two images and the grid"
