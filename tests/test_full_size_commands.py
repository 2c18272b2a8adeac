"The commands of full size at toy size: end to end, shared, killed and resumed, and what they refuse."
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_blocks import largest_file, same_but_for_rounding
from tests.tools.notebooks import ROOT
from tests.tools.tiny import save_tiny, three_classes
from tokenbridge import cli
from tokenbridge.blocks import read_blocks
from tokenbridge.data import TokenSet
from tokenbridge.files import file_hash
from tokenbridge.latents import LatentSet
from tokenbridge.pipeline import TokenBridge
from tokenbridge.recipes import load_run

NUM = 23   # images, in shards of 5
CACHE = "cache-latents photos --tokenizer ./tiny --shard-size 5 --device cpu"
SAMPLE = "sample --model ./tiny --num 40 --steps 3 --seed 3 --precision fp32 --device cpu"
SHORT = "--steps 2 --batch-size 4 --device cpu"


def command(line: str) -> int:
    return cli.main(shlex.split(line))


def contents(folder: str) -> dict[str, bytes]:
    "Every finished file but the record, which says when."
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*")
            if path.is_file() and path.name != "record.json" and not path.name.startswith(".")}


def pixels(folder: str) -> torch.Tensor:
    return torch.cat(list(read_blocks(folder).batches(7)))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    "A tiny model, 23 pictures of three classes, and of one process each a cache and a set of samples."
    home, before = tmp_path_factory.mktemp("full-size"), Path.cwd()
    save_tiny(home / "tiny")
    for number, (picture, label) in enumerate(three_classes(NUM)):
        (place := home / "photos" / f"class {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(place / f"{number:02}.png")
    os.chdir(home)
    try:
        assert command(f"{CACHE} --out cache") == 0
        assert command(f"{SAMPLE} --out samples --block-size 16") == 0
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def place(made, tmp_path, monkeypatch, without_settings) -> Path:
    "A folder of the test's own that sees what was made."
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- official files

def official_files() -> None:
    "A small autoencoder and a small generator of a thousand classes, as the official code would store them."
    from tokenbridge.backbone import BackboneConfig
    from tokenbridge.head import HeadConfig
    from tokenbridge.model import ARConfig, ARModel
    from tokenbridge.official import KL16_ORDER, official_views
    from tokenbridge.quantizer import gaussian_levels
    from tokenbridge.vae import VAE, VAEConfig
    torch.manual_seed(0)
    vae = VAE(VAEConfig(kind="kl16", image_size=32, latent_dims=16, factor=8, width=32, multipliers=(1,) * 4,
                        blocks=1))
    names = [name for name in vae.state_dict() if not name.startswith("latent_")]
    torch.save({"model": {name: vae.state_dict()[name] for name in names}}, "kl16.ckpt")
    losses = {"loss.logvar": torch.zeros(1)}
    torch.save({"state_dict": {name: vae.state_dict()[name] for name in names} | losses}, "ldm.ckpt")
    shape = ARConfig(BackboneConfig(kind="masked", tokens=16, dims=16, classes=1000, width=24, heads=3,
                                    decoder_width=24, encoder_blocks=1, decoder_blocks=1, class_tokens=4),
                     HeadConfig(dims=16, num_levels=64, context_width=24, width=16, blocks=3, heads=2))
    ar = ARModel(shape, gaussian_levels(64).repeat(16, 1), KL16_ORDER)
    torch.save({"model_ema": dict(official_views(ar))}, "checkpoint-last.pth")


def test_official_weights_become_pictures_in_two_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    official_files()
    size = "--image-size 32"
    assert command(f"convert --vae kl16.ckpt --model checkpoint-last.pth --out model --heads 3 {size}") == 0
    assert command("generate --model ./model --labels otter --num 1 --steps 2 --out pictures") == 0
    names = sorted(path.name for path in Path("pictures").iterdir())
    assert names == ["000-otter.png", "grid.png"]
    sources = json.loads(Path("model/record.json").read_text())["results"]["sources"]
    assert {part: source["sha256"] for part, source in sources.items()} == {
        "vae": file_hash("kl16.ckpt"), "model": file_hash("checkpoint-last.pth")}
    assert command("generate --model ./model --labels crane --num 1 --out pictures") == 1
    assert "134" in (said := capsys.readouterr().err) and "517" in said   # a bird and a machine
    assert command(f"convert --vae ldm.ckpt --out tokenizer {size}") == 1
    assert "loss.logvar" in capsys.readouterr().err and not Path("tokenizer").exists()
    assert command(f"convert --vae ldm.ckpt --out tokenizer --ignore loss. {size}") == 0
    tokenizer = TokenBridge.from_pretrained("tokenizer")
    assert tokenizer.ar is None and tokenizer.quantizer.levels.shape == (16, 64)


# ---- from a folder to a figure

def test_from_a_folder_to_a_figure(place, capsys):
    "Train on a cache, convert the unfinished run, draw, measure."
    line = f"train --cache cache --out run --keep-every 1 {SHORT}"
    assert command(line) == 0
    for run, states in (("run", "run/model.safetensors"),
                        ("run/milestones/step-000001", "step-000001/state.json")):
        assert command(f"convert --run {run} --out model") == 0
        source = json.loads(Path("model/record.json").read_text())["results"]["sources"]
        assert source["states"] == states and TokenBridge.from_pretrained("model").ar is not None
    record = json.loads(Path("run/record.json").read_text())["results"]
    assert record["steps"] == 2 and record["images"] == "photos"
    trained = TokenBridge.from_pretrained("run")
    assert trained.classes == ("class 0", "class 1", "class 2")
    assert trained.fingerprints() == TokenBridge.from_pretrained("tiny").fingerprints()
    assert command(f"{line} --resume") == 0
    shutil.copy("cache/record.json", "run/record.json")   # of another command, whose folder it is as well
    assert command(f"{line} --resume") == 0
    assert json.loads(Path("run/record.json").read_text())["results"]["steps"] == 2
    for name in ("config.json", "model.safetensors"):   # as if it had been stopped after its checkpoint
        Path("run", name).unlink()
    assert command("convert --run run --out model") == 0
    averages, stored = load_run("run"), TokenBridge.from_pretrained("model")
    assert all(torch.equal(a, b) for a, b in zip(averages.parameters(), stored.parameters(), strict=True))
    source = json.loads(Path("model/record.json").read_text())["results"]["sources"]
    assert source["run"] == "run" and source["states"].endswith("/state.json") and len(source["sha256"]) == 64
    judge = ROOT / "data" / "pretrained" / "classifiers" / "judge.safetensors"
    assert command("sample --model ./model --num 20 --block-size 8 --steps 2 --out drawn --npz all.npz "
                   "--device cpu") == 0
    capsys.readouterr()
    line = f"fid drawn --reference photos --judge {judge} --splits 2 --device cpu"
    assert command(f"{line} --out fd.json --keep real.npz") == 0
    said, found = capsys.readouterr().out, json.loads(Path("fd.json").read_text())["results"]
    assert said.startswith("FD-judge-20 ") and "(N = 23)" in said and file_hash(judge) in said
    assert found["num"] == 20 and found["reference_num"] == NUM and found["weights"] == file_hash(judge)
    for samples, reference in (("all.npz", "photos"), ("drawn", "real.npz")):
        assert command(f"{line} --out again.json".replace("drawn", samples).replace("photos", reference)) == 0
        again = json.loads(Path("again.json").read_text())["results"]
        assert again["distance"] == pytest.approx(found["distance"], rel=1e-6)


def test_indices_are_cached_where_one_says_so(place, capsys):
    assert command("cache-latents photos --tokenizer ./tiny --out indices --indices --device cpu") == 0
    assert "indices of 23 images" in capsys.readouterr().out
    for option in ("shard-size", "workers"):
        assert command(f"cache-latents photos --tokenizer ./tiny --out no --indices --{option} 3") == 1
        name = option.replace("-", "_")
        assert f"{option}: expected none with --indices" in capsys.readouterr().err.replace(name, option)
    tokens = TokenSet.load("indices/tokens.safetensors")
    assert tokens.tokens.shape == (NUM, 2, 16, 5) and tokens.classes == ("class 0", "class 1", "class 2")
    assert command(f"train --cache indices --out run {SHORT}") == 0
    assert command(f"{CACHE} --out indices") == 1 and command(f"{CACHE} --indices --out cache") == 1
    said = capsys.readouterr().err
    assert "indices holds indices already" in said and "cache holds latents already" in said


def test_folders_of_imagenet_get_names(place):
    "Class folders called by WordNet ids; val is not mixed with train."
    for part, num in (("train", 3), ("val", 2)):
        for number, wordnet in enumerate(("n01440764", "n02444819")):
            folder = Path("imagenet", part, wordnet)
            folder.mkdir(parents=True)
            for i in range(num):
                Image.new("RGB", (40, 50), (number * 90, i * 40, 0)).save(folder / f"{i}.JPEG", "jpeg")
    assert command("cache-latents imagenet --tokenizer ./tiny --out c --device cpu --workers 1") == 0
    data = LatentSet.load("c")
    assert len(data) == 6 and data.classes[0].startswith("tench") and data.classes[1] == "otter"
    Path("imagenet", ".cache").mkdir()
    assert command("cache-latents imagenet --tokenizer ./tiny --out hidden --device cpu") == 0
    assert len(LatentSet.load("hidden")) == 6, "a hidden folder changes nothing"
    shutil.rmtree("imagenet/val")
    assert command("cache-latents imagenet --tokenizer ./tiny --out alone --device cpu") == 0
    assert len(LatentSet.load("alone")) == 6, "train alone is taken whole"


# ---- killed, and resumed by two processes

KILLED = """
import os, signal, sys
from tokenbridge.cli import main
replace, last = os.replace, sys.argv.pop(1)
def killed(fresh, path):
    if os.path.basename(path) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(fresh, path)
os.replace = killed
main()
"""
BOTH = """
import shlex
import shutil
from tokenbridge.cli import main
for line in {lines!r}:
    assert main(shlex.split(line)) == 0
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_killed_and_resumed_by_two_processes(place, made):
    env = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": str(ROOT)}
    lines = f"{CACHE} --out c", f"{SAMPLE} --out s --block-size 16"
    killed = [subprocess.Popen([sys.executable, "-c", KILLED, last, *shlex.split(line)], env=env,
                               stderr=subprocess.DEVNULL)
              for line, last in zip(lines, ("shard-00002.safetensors", "block-00001.npz"))]
    assert [process.wait(120) for process in killed] == [-signal.SIGKILL] * 2
    assert len(list(Path("c").glob("shard-*"))) == 2 and len(list(Path("s").glob("block-*"))) == 1
    assert not Path("c", "done.json").exists()
    Path("both.py").write_text(BOTH.format(lines=lines))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*launcher, "both.py"], env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "means and deviations of 23 images" in done.stdout and "40 images in s" in done.stdout
    assert contents("c") == contents("cache") and contents("s") == contents("samples")
    assert json.loads(Path("c/record.json").read_text())["results"]["processes"] == 2


def test_another_block_size_gives_the_same_images(place, monkeypatch, capsys):
    line = f"{SAMPLE} --out s --block-size 7"
    for rank in ("1", "0"):   # two processes without a launcher that would wait for both
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        assert command(line) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "19 images drawn; 3 blocks of other processes are not in s yet"
    assert second == "40 images in s, 21 of them drawn now by this process"
    same_but_for_rounding(pixels("s"), pixels("samples"))


def test_a_process_that_is_not_the_last_says_so(place, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert command(f"{CACHE} --out c") == 0
    assert "the last process to end completes them" in capsys.readouterr().out
    assert command(f"train --cache c --out run {SHORT}") == 1
    assert "c: not finished (2 of 5 shards); call cache-latents again, it goes on" in capsys.readouterr().err
    assert command(f"{CACHE} --out c --indices") == 1


# ---- faults

def error(line: str, capsys) -> str:
    "What a command that fails says, in one line."
    capsys.readouterr()
    assert command(line) == 1
    said = [words for words in capsys.readouterr().err.splitlines() if words.startswith("tokenbridge: error")]
    assert len(said) == 1 and len(said[0]) < 330
    return said[0]


def test_shards_that_are_missing_torn_or_of_another_tokenizer(place, made, capsys):
    import shutil
    shutil.copytree(made / "cache", "c")
    line, shard = f"train --cache c --out run {SHORT}", Path("c/shard-00001.safetensors")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    assert "shard-00001.safetensors: not a whole safetensors file" in error(line, capsys)
    shard.unlink()
    assert "shard-00001.safetensors: this shard is missing" in error(line, capsys)
    assert command(f"{CACHE} --out c") == 0 and shard.read_bytes() == whole
    other = TokenBridge.from_pretrained("tiny")
    with torch.no_grad():
        next(other.vae.parameters()).mul_(1.5)
    TokenBridge(other.vae, other.quantizer).save_pretrained("other")
    assert "made by another VAE" in error(f"{line} --tokenizer ./other", capsys)
    assert "begun with another vae" in error(f"{CACHE} --out c".replace("./tiny", "./other"), capsys)
    assert not Path("run").exists()


def test_a_full_disk_loses_nothing(place, made, capsys):
    for line, whole, room in ((f"{CACHE} --out c", "cache", 3000),
                              (f"{SAMPLE} --out s --block-size 16", "samples", 20_000)):
        if whole == "cache":   # the tokenizer is larger than a shard
            Path("c").mkdir()
            (Path("c") / "tokenizer").symlink_to(made / "cache" / "tokenizer")
        with largest_file(room):
            assert "cannot write" in error(line, capsys)
        assert command(line) == 0 and contents(line.split("--out ")[1][0]).items() >= {
            name: data for name, data in contents(whole).items() if "/" not in name}.items()


def in_order(folder: str) -> list[str]:
    "The files of a folder in the order in which they are cached."
    from tokenbridge.data import image_folder
    return [path.relative_to(folder).as_posix() for path in image_folder(folder, 32).paths]


def test_broken_images_are_left_out_and_listed(place, made, capsys):
    import shutil
    shutil.copytree(made / "photos", "mine")
    broken = Path("mine", in_order("mine")[12])   # in the third shard
    broken.write_bytes(broken.read_bytes()[:60])
    line = f"{CACHE} --out c".replace("photos", "mine")
    said, name = error(line, capsys), broken.relative_to("mine").as_posix()
    assert name in said and "--skip-broken leaves such files out" in said
    kept = contents("c")
    assert sum(name.startswith("shard") for name in kept) == 2
    assert command(f"{line} --skip-broken") == 0
    assert "of 22 images" in capsys.readouterr().out and contents("c").items() >= kept.items()
    record = json.loads(Path("c/record.json").read_text())["results"]
    assert record["images"] == 22 and list(record["left_out"]["that cannot be read"]) == [name]
    assert "cannot be read" in error(f"{line} --indices".replace("--out c", "--out i"), capsys)


def test_what_cannot_be_measured(place, made, capsys):
    import shutil
    judge = ROOT / "data" / "pretrained" / "classifiers" / "judge.safetensors"
    line = f"fid s --reference r.npz --judge {judge} --device cpu"
    shutil.copytree(made / "samples", "s")
    np.savez("r.npz", mu=np.zeros(7), sigma=np.eye(7))
    assert "r.npz: mu: expected floats of shape (" in error(line, capsys)
    Path("s/block-00002.npz").unlink()
    assert "s: block 2 is missing (1 of 3); sampling has not finished" in error(line, capsys)
