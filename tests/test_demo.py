"The demo, shortened, in an empty folder without data and without network: every file and every key is there."
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tokenbridge.classifier import find_judge
from tokenbridge.pipeline import TokenBridge

PICTURES = ["reconstructions.png", "samples.png", "losses.png", "latents.png"]
KEYS = {
    "tokenizer": ["psnr_continuous", "psnr_quantized", "ssim_continuous", "ssim_quantized", "agreement_real",
                  "agreement_continuous", "agreement_quantized", "latent_mean", "latent_deviation",
                  "latent_kurtosis",
                  "level_usage", "level_perplexity"],
    "generator": ["nll", "uniform", "dimension_histogram", "position_histogram", "gain"],
    "samples": ["agreement", "reference_agreement", "variance", "reference_variance", "agreement_ratio",
                "variance_ratio"],
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
    judged = find_judge(TokenBridge.from_pretrained(folder).classes, metrics["data"]) is not None
    for part, names in KEYS.items():
        names = [name for name in names if judged or not ("agreement" in name or "variance" in name)]
        missing = [name for name in names if name not in metrics[part]]
        assert not missing, f"{part}: {missing}"


def test_demo_saves_a_model_that_says_how_to_use_it(demo):
    from tokenbridge.data import DRAWN_CLASSES
    from tokenbridge.recipes import recipe
    folder, _, _ = demo
    model = TokenBridge.from_pretrained(folder)
    assert model.ar is not None and model.quantizer.kind == "fitted" and model.name == "demo"
    assert model.classes == DRAWN_CLASSES and model.sampling == recipe("fast").sampling


def test_demo_says_what_it_did(demo):
    _, out, err = demo
    assert "DRAWN" in err.upper() and "do not compare" in out
    assert "runs/demo" in out and "metrics.json" in out
    assert "Traceback" not in err
