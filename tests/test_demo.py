"The demo, shortened, in an empty folder without data and without network: every file and every key is there."
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from tests.tools.notebooks import ROOT
from tokenbridge.data import drawn_images, to_float
from tokenbridge.demo import _distances, _nearest_rows, compare, known_metrics
from tokenbridge.drawn import DRAWN_CLASSES
from tokenbridge.model import preset
from tokenbridge.pipeline import TokenBridge
from tokenbridge.recipes import recipe

PICTURES = ["reconstructions.png", "samples.png", "nearest.png", "losses.png", "latents.png"]
KEYS = {
    "tokenizer": ["psnr_continuous", "psnr_quantized", "ssim_continuous", "ssim_quantized", "agreement_real",
                  "agreement_continuous", "agreement_quantized", "latent_mean", "latent_deviation",
                  "latent_kurtosis",
                  "level_usage", "level_perplexity"],
    "generator": ["nll", "uniform", "dimension_histogram", "position_histogram", "gain"],
    "samples": ["agreement", "reference_agreement", "variance", "reference_variance", "agreement_ratio",
                "variance_ratio"],
    "nearest": ["samples", "test"],
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    "The folder in which `tokenbridge demo` ran, and what it printed."
    folder = tmp_path_factory.mktemp("demo")
    env = {key: value for key, value in os.environ.items() if not key.startswith("TOKENBRIDGE_")}
    env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    env |= {"TOKENBRIDGE_FAST": "1", "HF_HUB_OFFLINE": "1"}
    start = [sys.executable, "-c", "import sys; from tokenbridge.cli import main; sys.exit(main())", "demo"]
    done = subprocess.run(start, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "runs" / "demo", done.stdout, done.stderr


def test_demo_writes_its_pictures(demo):
    folder, _, _ = demo
    for name in PICTURES:
        picture = Image.open(folder / name)
        assert min(picture.size) >= 64 and len(set(picture.convert("L").resize((32, 32)).tobytes())) > 3, name


def test_demo_writes_every_key(demo):
    folder, _, _ = demo
    record = json.loads((folder / "metrics.json").read_text())
    for key in ("command", "commit", "seed", "hardware", "date", "seconds"):
        assert key in record, key
    metrics = record["results"]
    for part, names in KEYS.items():
        missing = [name for name in names if name not in metrics[part]]
        assert not missing, f"{part}: {missing}"


def test_drawn_images_have_a_model_and_a_judge_of_their_own(demo):
    folder, _, _ = demo
    metrics = json.loads((folder / "metrics.json").read_text())["results"]
    model = TokenBridge.from_pretrained(folder)
    assert metrics["data"] == "drawn" and model.classes == DRAWN_CLASSES
    assert model.ar.config == preset("drawn-tiny").ar and model.sampling == recipe("fast").sampling
    assert model.quantizer.kind == "fitted" and model.name == "demo"
    assert metrics["tokenizer"]["agreement_real"] > 0.98 and metrics["samples"]["reference_agreement"] > 0.3


def test_demo_says_what_it_did(demo):
    _, out, err = demo
    assert "DRAWN" in err and "this run" in out and "recorded" in out
    assert "runs/demo" in out and "metrics.json" in out and "nearest.png" in out
    assert "Traceback" not in err


def test_the_recorded_demo_reaches_its_bar():
    "Four of five samples are seen as the asked shape, by a judge that is right; and they are no copies."
    found = known_metrics("drawn")["recorded"]
    assert found["samples"]["agreement"] >= 0.8 and found["tokenizer"]["agreement_real"] >= 0.98
    assert found["nearest"]["samples"] > 0.5 * found["nearest"]["test"]
    record = json.loads((ROOT / "data" / "results" / "demo-drawn.json").read_text())
    plan = recipe("demo-drawn")
    assert record["seconds"] < 12 * 60
    assert [found["recipe"][part]["steps"] for part in ("vae", "ar")] == [plan.vae.steps, plan.ar.steps]


def test_a_table_has_a_column_for_each_known_run():
    assert set(known_metrics("cifar10")) >= {"shipped"} and known_metrics("elsewhere") == {}
    table = compare({"this run": {"samples": {"agreement": 0.5}}, "recorded": {"nearest": {"test": 12.0}}})
    rows = {line[:26].strip(): line[26:].split() for line in table.splitlines()}
    assert rows[""] == ["this", "run", "recorded"]
    assert rows["samples: seen as asked"] == ["0.500", "-"]
    assert rows["nearest to a test image"] == ["-", "12.000"]


def test_a_copy_is_found_out():
    training = drawn_images(50)
    copies, fresh = (to_float(x.images) for x in (training.take(10), drawn_images(10, seed=1)))
    assert _distances(copies, drawn_images(10, seed=2), training)["samples"] == 0
    found = _distances(fresh, drawn_images(10, seed=2), training)
    assert found["samples"] > 5 and found["test"] > 5
    rows = _nearest_rows(copies, training)
    assert torch.equal(rows["sample"], rows["nearest"]) and not torch.equal(rows["nearest"], rows["second"])
