"The built wheel, installed in an empty folder and offline, generates an image with the weights it carries."
import os
import shutil
import subprocess
import sys

import pytest

from tests.tools.notebooks import ROOT

PARTS = ["settings.ini", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "tokenbridge",
         "data/pretrained"]
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


def run(*command, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    said = f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, said
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    "The folder into which the wheel of a copy of this checkout was installed."
    base = tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        source, target = ROOT / part, base / "source" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", base / "dist",
        base / "source")
    wheel, = (base / "dist").glob("tokenbridge-*.whl")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", base / "installed",
        wheel)
    return base / "installed"


@pytest.fixture
def elsewhere(installed, tmp_path):
    "Options of a subprocess: an empty folder, the installed wheel before everything else, no network."
    env = {key: value for key, value in os.environ.items() if not key.startswith("TOKENBRIDGE_")}
    env |= {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "PYTHONSAFEPATH": "1"}
    env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {"cwd": tmp_path, "env": env}


def test_wheel_generates(installed, elsewhere):
    assert "generated (2, 3, 32, 32)" in run(sys.executable, "-c", GENERATE, installed, **elsewhere)


def test_command_of_the_wheel_generates(installed, elsewhere):
    run(sys.executable, installed / "bin" / "tokenbridge", "generate", "--labels", "horse,8", "--num", "1",
        "--steps", "4",
        "--out", "images", **elsewhere)
    assert len(list((elsewhere["cwd"] / "images").glob("*.png"))) == 3, "two images and the grid"
