"Experiments: every trial begins from the same weights and tokens, and the records say what made them."
import base64
import io
import shutil
import time
from contextlib import contextmanager

import pytest
from PIL import Image

from tests.tools import notebooks, tiny
from tokenbridge import benchmark, experiments, files, training
from tokenbridge.classifier import accuracy, read_classifier
from tokenbridge.data import drawn_images
from tokenbridge.drawn import DRAWN_CLASSES
from tokenbridge.model import preset, training_flops


def drawn(split, root, limit=None):
    "In place of load_images."
    from tests.tools.tiny import three_classes
    return three_classes(limit or 40, seed=len(split))


def test_masks_are_compared_from_the_same_weights(tiny_folder, monkeypatch):
    from tokenbridge.training import TrainConfig
    monkeypatch.setattr(experiments, "load_images", drawn)
    trials, schedule = {"even": (0.0, 5.0), "again": (0.0, 5.0), "all": (1.0, 0.5)}, TrainConfig(steps=10,
        batch_size=8, warmup=0, lr=1e-2, ema_decay=0.5)
    facts = experiments.mask_experiment(None, trials, schedule, tiny_folder, (0.25, 1.0), 40, 20)["results"]
    gains = {run["trial"]: run["gain"] for run in facts["runs"]}
    assert facts["shares"] == [0.25, 1.0] and list(gains) == ["before", "even", "again",
        "all"] and gains["even"] == gains["again"]
    assert all(len(gain) == 2 and gain != gains["before"] for label,
               gain in gains.items() if label != "before")
    assert gains["all"] != gains["even"], "the distribution of the mask does not reach the training"
    still = experiments.mask_experiment(None, {"still": (0.5, 0.5)},
                                 TrainConfig(steps=1, warmup=0, lr=1e-12, weight_decay=0.0), tiny_folder,
                                 (0.5,), 40, 20)["results"]
    assert still["runs"][0]["gain"] == pytest.approx(still["runs"][1]["gain"],
        abs=1e-3), "training does not begin at the model's weights"


def test_optimizers_are_compared_on_the_same_tokens(tiny_folder, monkeypatch):
    from tokenbridge.training import TrainConfig
    monkeypatch.setattr(experiments, "load_images", drawn)
    trials = {"still": dict(lr=1e-12), "again": dict(lr=1e-12),
              "awake": dict(optimizer="muon", lr=1e-2, muon_lr=1e-2)}
    schedule = TrainConfig(steps=6, batch_size=8, warmup=0, eval_every=3, ema_decay=0.5)
    record = experiments.optimizer_experiment(None, trials, schedule, tiny_folder, 40, 20)
    curves = {run["trial"]: [row["nll"] for row in run["curve"]] for run in record["results"]["runs"]}
    assert [row["step"] for row in record["results"]["runs"][0]["curve"]] == [3, 6]
    assert curves["still"] == curves["again"] and curves["awake"][-1] < curves["still"][-1] - 0.01
    assert 0 < record["results"]["position_histogram"] < 3


def test_the_benchmark_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "results_folder", lambda: tmp_path)
    monkeypatch.setattr(benchmark, "run", lambda *arguments: {"rows": list(arguments)})
    path = experiments.record_benchmark("cifar-tiny", 2, 1)
    kept = files.read_json(path)
    assert path == tmp_path / "benchmark.json"
    assert kept["results"]["rows"] == ["cifar-tiny", 2, 1, True, "cpu"]
    assert kept["command"].startswith("tokenbridge benchmark --preset cifar-tiny --batch-size 2 --rounds 1")


def test_a_step_is_profiled_in_both_precisions(monkeypatch):
    monkeypatch.setattr(benchmark, "_model", lambda name, device: tiny.tiny_model("masked"))
    monkeypatch.setattr(experiments, "keep_freed_memory", lambda: None)
    found = experiments.step_profile(None, 2)["results"]["self_ms"]
    for precision in ("fp32", "bf16"):
        assert 5 < len(found[precision]) <= 22 and list(found[precision].values())[0] > 0
        assert any("mm" in name for name in found[precision])


def test_full_size_runs_at_any_size():
    rows = experiments.full_size_experiment(None, (("cifar-tiny", 2),), "cpu", 3, 2)["results"]["rows"]
    assert len(rows) == 1 and rows[0]["preset"] == "cifar-tiny" and len(rows[0]["losses"]) == 3
    assert rows[0]["images_per_second"] == pytest.approx(2 / rows[0]["seconds_per_step"])
    assert rows[0]["peak_gb"] is None


@pytest.mark.parametrize("section", list(experiments.SECTIONS))
def test_each_section_of_full_size_runs_alone(section, monkeypatch, tmp_path):
    "With two images of the small preset; what it asks of the compiler and of recomputation is noted."
    asked, plan = [], experiments.SECTIONS[section]

    @contextmanager
    def compiled(module, wanted=True):   # compiling takes longer than a test may
        asked.append("compiled" if wanted else "as written")
        yield

    monkeypatch.setattr(experiments, "layers_compiled", compiled)
    monkeypatch.setattr(training, "layers_compiled", compiled)
    recomputed = training.layers_recomputed
    monkeypatch.setattr(training, "layers_recomputed",
                        lambda module, which: (asked.append(which), recomputed(module, which))[1])
    monkeypatch.setattr(files, "results_folder", lambda: tmp_path)
    found = experiments.full_size_section(section, "drawn-tiny", "cpu", 2, 2)
    assert files.read_json(tmp_path / f"full-size-{section}.json") == found
    results = found["results"]
    assert results["images_per_second"] > 0 and results["batch_size"] == 2
    assert 5 < len(results["self_ms"]) <= 22 and any("mm" in name for name in results["self_ms"])
    assert asked == ["compiled"] * plan.compiled + [plan.recompute] * (plan.work == "train")
    if plan.work == "train":
        assert len(results["losses"]) == 3   # one step more, for the profile
        work = training_flops(preset("drawn-tiny").ar) * results["images_per_second"]
        assert results["tflops"] * 1e12 == pytest.approx(work)


def test_every_record_has_a_maker():
    records = {path.stem for path in (notebooks.ROOT / "data" / "results").glob("*.json")}
    measured = {f"full-size-{section}" for section in experiments.SECTIONS}   # where there was a GPU
    assert records - measured == set(experiments.MADE_BY)
    for maker in set(experiments.MADE_BY.values()):
        assert maker in experiments.__all__ or maker.startswith(("tokenbridge ", "tests.tools.")), maker


def test_the_figures_of_a_shipped_model_are_written_to_both_places(monkeypatch, tmp_path, tiny_folder):
    monkeypatch.setattr(experiments, "load_images", drawn)
    monkeypatch.setattr(experiments, "pretrained_folder", lambda name: tmp_path)
    monkeypatch.setattr(files, "results_folder", lambda: tmp_path / "results")
    load = experiments.TokenBridge.from_pretrained
    monkeypatch.setattr(experiments.TokenBridge, "from_pretrained", lambda name: load(tiny_folder))
    record = experiments.shipped_figures("tiny", per_class=2)
    assert files.read_json(tmp_path / "metrics.json") == files.read_json(tmp_path / "results" / "tiny.json")
    assert record["results"]["samples"]["per_class"] == 2
    assert record["command"].startswith("tokenbridge evaluate")


def test_a_shipped_judge_says_what_it_knows(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "load_images", lambda split, data: drawn_images(40, seed=len(split)))
    monkeypatch.setattr(files, "results_folder", lambda: tmp_path)
    record = experiments.ship_judge(tmp_path, "drawn", steps=2)
    judge = read_classifier(tmp_path / "judge-drawn.safetensors")
    assert judge.classes == DRAWN_CLASSES and judge.source == "drawn"
    assert record["results"]["accuracy"] == accuracy(judge, drawn_images(40, seed=4))
    assert files.read_json(tmp_path / "classifier-judge-drawn.json") == record


def test_a_demo_is_kept_with_its_samples(monkeypatch, tmp_path, tiny_folder):
    def run(out, data, fast, seed, command, precision):
        shutil.copytree(tiny_folder, out)
        return files.run_record(command, seed, time.time(), data=data, fast=fast)

    monkeypatch.setattr(experiments, "run_demo", run)
    monkeypatch.setattr(files, "results_folder", lambda: tmp_path)
    experiments.record_demo("drawn", 3, "fp32", tmp_path / "run", fast=True)
    kept = files.read_json(tmp_path / "demo-drawn.json")
    assert kept["command"] == "tokenbridge demo --data drawn --seed 3 --precision fp32"
    picture = Image.open(io.BytesIO(base64.b64decode(kept["results"]["samples_png"])))
    assert picture.width > 100 and len(picture.convert('L').getcolors(256)) > 10


def test_a_checkpoint_is_written_and_read(tmp_path):
    found = experiments.checkpoint_experiment(None, "cifar-tiny", tmp_path)["results"]
    assert found["gigabytes"] * 1e9 > 16 * found["parameters"] and not list(tmp_path.iterdir())
    assert all(found[part]["seconds"] > 0 for part in ("write", "check", "read"))
    if (most := found["write"]["gb_beside_the_states"]) is not None:   # no second copy of the states
        assert most < 0.5 * found["gigabytes"]
