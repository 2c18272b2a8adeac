"The demo, shortened, in an empty folder without data and without network: every file and every key is there."
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

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
    for part, names in KEYS.items():
        missing = [name for name in names if name not in metrics[part]]
        assert not missing, f"{part}: {missing}"


def test_demo_saves_a_model(demo):
    from tokenbridge.pipeline import TokenBridge
    folder, _, _ = demo
    model = TokenBridge.from_pretrained(folder)
    assert model.ar is not None and model.quantizer.kind == "fitted"


def test_demo_says_what_it_did(demo):
    _, out, err = demo
    assert "SYNTHETIC" in err.upper() and "do not compare" in out and "runs/demo" in out and "metrics.json" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("given", [True, False])
def test_the_generator_starts_from_given_weights(tiny_folder, given):
    from tests.tools.tiny import three_classes
    from tokenbridge.demo import train_generator
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, still = TokenBridge.from_pretrained(tiny_folder), TrainConfig(steps=1, batch_size=2, lr=1e-12,
        warmup=0)
    data = three_classes(4)
    trained, _ = train_generator(bridge, data, bridge.ar.config, still, start=bridge.ar if given else None,
                                 device="cpu", progress=False)
    before, after = dict(bridge.ar.named_parameters()), dict(trained.ar.named_parameters())
    # weights are rounded to 16 bits
    near = [name for name in before if (before[name] - after[name]).abs().max() < 2e-2]
    assert (len(near) == len(before)) == given, near


def test_given_weights_that_do_not_fit_cost_no_tokenizing(tiny_folder, monkeypatch):
    from dataclasses import replace

    from tests.tools.tiny import three_classes
    from tokenbridge import demo
    from tokenbridge.model import ARModel
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, tokenized = TokenBridge.from_pretrained(tiny_folder), []
    monkeypatch.setattr(demo, "tokenize_set", lambda *_: tokenized.append(True))
    config = bridge.ar.config
    other = ARModel(replace(config, backbone=replace(config.backbone, classes=config.backbone.classes + 1)),
                    bridge.quantizer.levels)
    with pytest.raises(ValueError, match="^start: .*expected shape"):
        demo.train_generator(bridge, three_classes(4), config, TrainConfig(steps=1), start=other,
                             device="cpu", progress=False)
    assert not tokenized


@pytest.mark.parametrize("change", [dict(heads=1), dict(mask_ratio_low=0.1), dict(dropout=0.5)])
def test_a_generator_of_another_shape_does_not_go_on(tiny_folder, tmp_path, change):
    from dataclasses import replace

    from tests.tools.tiny import three_classes
    from tokenbridge.demo import train_generator
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, data, schedule = TokenBridge.from_pretrained(tiny_folder), three_classes(4), TrainConfig(steps=1,
        batch_size=2, warmup=0)
    moved = torch.get_rng_state()
    train_generator(bridge, data, bridge.ar.config, schedule, tmp_path, device="cpu", progress=False)
    assert torch.equal(torch.get_rng_state(), moved)   # the caller's random numbers stay where they were
    other = replace(bridge.ar.config, backbone=replace(bridge.ar.config.backbone, **change))
    assert other != bridge.ar.config
    with pytest.raises(ValueError,
                       match=f"^shape.backbone.{next(iter(change))}: the checkpoint was trained with"):
        train_generator(bridge, data, other, schedule, tmp_path, resume=True, device="cpu", progress=False)


def drawn(split, root, limit):
    "In place of load_images."
    from tests.tools.tiny import three_classes
    return three_classes(limit, seed=len(split))


def test_masks_are_compared_from_the_same_weights(tiny_folder, monkeypatch):
    from tokenbridge import demo
    from tokenbridge.training import TrainConfig
    monkeypatch.setattr(demo, "load_images", drawn)
    trials, schedule = {"even": (0.0, 5.0), "again": (0.0, 5.0), "all": (1.0, 0.5)}, TrainConfig(steps=10,
        batch_size=8, warmup=0, lr=1e-2, ema_decay=0.5)
    facts = demo.mask_experiment(None, trials, schedule, tiny_folder, (0.25, 1.0), 40, 20)["results"]
    gains = {run["trial"]: run["gain"] for run in facts["runs"]}
    assert facts["shares"] == [0.25, 1.0] and list(gains) == ["before", "even", "again",
        "all"] and gains["even"] == gains["again"]
    assert all(len(gain) == 2 and gain != gains["before"] for label,
               gain in gains.items() if label != "before")
    assert gains["all"] != gains["even"], "the distribution of the mask does not reach the training"
    still = demo.mask_experiment(None, {"still": (0.5, 0.5)},
                                 TrainConfig(steps=1, warmup=0, lr=1e-12, weight_decay=0.0), tiny_folder,
                                 (0.5,), 40, 20)["results"]
    assert still["runs"][0]["gain"] == pytest.approx(still["runs"][1]["gain"],
        abs=1e-3), "training does not begin at the model's weights"


def test_optimizers_are_compared_on_the_same_tokens(tiny_folder, monkeypatch):
    from tokenbridge import demo
    from tokenbridge.training import TrainConfig
    monkeypatch.setattr(demo, "load_images", drawn)
    trials = {"still": dict(lr=1e-12), "again": dict(lr=1e-12),
              "awake": dict(optimizer="muon", lr=1e-2, muon_lr=1e-2)}
    schedule = TrainConfig(steps=6, batch_size=8, warmup=0, eval_every=3, ema_decay=0.5)
    record = demo.optimizer_experiment(None, trials, schedule, tiny_folder, 40, 20)
    curves = {run["trial"]: [row["nll"] for row in run["curve"]] for run in record["results"]["runs"]}
    assert [row["step"] for row in record["results"]["runs"][0]["curve"]] == [3, 6]
    assert curves["still"] == curves["again"] and curves["awake"][-1] < curves["still"][-1] - 0.01
    assert 0 < record["results"]["position_histogram"] < 3


def test_other_images_do_not_go_on_and_another_place_does(tiny_folder, tmp_path):
    from dataclasses import replace

    from tests.tools.tiny import three_classes
    from tokenbridge.demo import train_generator
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, data, schedule = TokenBridge.from_pretrained(tiny_folder), three_classes(4), TrainConfig(steps=1,
        batch_size=2, warmup=0)
    train = lambda data, resume: train_generator(bridge, data, bridge.ar.config, schedule, tmp_path, resume,
        device="cpu", progress=False)
    train(data, False)
    train(replace(data, source="elsewhere"), True)
    with pytest.raises(ValueError, match="^data: the checkpoint was trained with '4 images, "):
        train(replace(data, images=255 - data.images), True)


def test_a_class_too_many_is_no_missing_label(tiny_folder):
    from tokenbridge import demo
    from tokenbridge.data import synthetic_images
    from tokenbridge.pipeline import TokenBridge
    bridge, ten = TokenBridge.from_pretrained(tiny_folder), synthetic_images(20)
    with pytest.raises(ValueError, match="^test: expected at most the 3 classes of the generator, got 10"):
        demo.measure(bridge, ten, ten, demo.RECIPES["fast"])


def test_grey_images_have_fewer_directions_than_dimensions():
    from tokenbridge.data import ImageSet, synthetic_images, to_float
    from tokenbridge.demo import train_vae
    from tokenbridge.evaluation import psnr
    from tokenbridge.training import TrainConfig
    from tokenbridge.vae import VAEConfig
    drawn = synthetic_images(40)
    grey = ImageSet(drawn.images[:, :1].expand(-1, 3, -1, -1).contiguous(), drawn.labels, drawn.classes,
                    "grey")
    vae, _ = train_vae(grey, VAEConfig(factor=2, latent_dims=8, width=8),
                       TrainConfig(2, batch_size=8, warmup=0), perceptual_weight=0,
                       device="cpu", progress=False)
    with torch.no_grad():
        # all four directions are kept
        assert psnr(to_float(grey.images), vae.decode(vae.encode(to_float(grey.images)).mean)) > 30


def test_tokens_of_both_views_whatever_the_parts(tiny_folder, monkeypatch):
    from tests.tools.tiny import three_classes
    from tokenbridge import demo
    from tokenbridge.pipeline import TokenBridge
    bridge, images = TokenBridge.from_pretrained(tiny_folder), three_classes(7).images
    want = torch.stack([demo.tokenize_images(bridge, images), demo.tokenize_images(bridge, images.flip(-1))],
                       1)
    monkeypatch.setattr(demo, "_at_a_time", lambda batch, pixels: 3)
    found = demo.tokenize_set(bridge, images)
    assert found.dtype == torch.uint8 and torch.equal(found.long(), want)
