"The command: instant help, exit codes, one-line errors, and what each command leaves behind."
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.tools.tiny import save_tiny
from tokenbridge import cli, model
from tokenbridge.data import DRAWN_CLASSES
from tokenbridge.generation import SamplingDefaults
from tokenbridge.pipeline import TokenBridge
from tokenbridge.recipes import recipe

START = "import sys; from tokenbridge.cli import main; sys.exit(main())"


def command(line: str) -> int:
    return cli.main(shlex.split(line))


def save_named(folder: Path, classes: tuple[str, ...], **sampling) -> Path:
    "A tiny model whose classes have names, and that says how it is sampled."
    tiny = TokenBridge.from_pretrained(save_tiny(folder, classes=len(classes)))
    named = TokenBridge(tiny.vae, tiny.quantizer, tiny.ar, name="mine", classes=classes,
                        sampling=SamplingDefaults(**sampling))
    return named.save_pretrained(folder)


def process(line: str, code: str = START, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *shlex.split(line)], capture_output=True, text=True,
                          **options)


# ---- before a command runs

@pytest.mark.parametrize("line", ["--help", *[f"{name} --help" for name in cli.COMMANDS]])
def test_help_needs_no_torch(line, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.parse(shlex.split(line))
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert "usage: tokenbridge" in text
    if line != "--help":
        assert "(default:" in text and "--device" in text
        # an option that does nothing is none
        assert ("--seed" in text) == (line.split()[0] not in ("reconstruct", "benchmark", "info"))


def test_help_is_instant():
    code = ("import sys\nfrom tokenbridge.cli import parse\ntry: parse()\n"
            "finally: print('torch' in sys.modules, 'numpy' in sys.modules)")
    done = process("generate --help", code)
    assert done.returncode == 0 and done.stdout.endswith("False False\n")


def test_every_option_says_what_it_is(capsys):
    for name, kind in cli.OPTIONS.items():
        with pytest.raises(SystemExit):
            cli.parse([name, "--help"])
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        for field in dataclasses.fields(kind):
            if field.name not in ("on", "model"):
                option = f"--{field.name.replace('_', '-')} "
                words = [words.split() for words in re.findall(rf"{option}(.*?)\(default", text)]
                assert words and max(map(len, words)) >= 3, f"{name} {option}: no words about it"


@pytest.mark.parametrize("line", ["", "generat", "generate --nums 3", "generate --num three",
                                  "generate --cfg-schedule cosine", "info a b", "train --resume maybe"])
def test_a_wrong_command_line_is_code_2(line, capsys):
    with pytest.raises(SystemExit) as exit:
        command(line)
    assert exit.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_command_is_known():
    assert list(cli.OPTIONS) == list(cli.COMMANDS)


# ---- how it ends

def test_an_error_is_one_line_and_code_1(tmp_path, capsys):
    assert command(f"info {tmp_path}/nowhere") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("tokenbridge: error: ")
    assert err.count("\n") == 1 and str(tmp_path) in err


def test_an_unexpected_error_is_named(monkeypatch, capsys):
    def broken(options):
        raise KeyError("levels")
    monkeypatch.setitem(cli.COMMANDS, "info", broken)
    assert command("info") == 1
    assert capsys.readouterr().err == "tokenbridge: error: unexpected KeyError: 'levels'\n"
    monkeypatch.setenv("TOKENBRIDGE_TRACEBACK", "1")
    with pytest.raises(KeyError):
        command("info")


def test_interrupt_is_code_130(tmp_path):
    "A real SIGINT, while a command is at work."
    # the handler: a parent in the background has the signal ignored
    code = ("import signal, sys, time\nfrom tokenbridge import cli\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "def slow(options):\n    print('ready', flush=True)\n    time.sleep(60)\n"
            "cli.COMMANDS['info'] = slow\nsys.exit(cli.main())")
    running = subprocess.Popen([sys.executable, "-c", code, "info"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130 and err == "tokenbridge: interrupted\n"


def test_a_reader_that_goes_away_is_no_error():
    code = ("import sys, time\nfrom tokenbridge import cli\n"
            "cli.COMMANDS['info'] = lambda options: [print('x' * 9999, flush=True) for _ in range(99)]\n"
            "sys.exit(cli.main())")
    running = subprocess.Popen([sys.executable, "-c", code, "info"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    running.stdout.read(10)
    running.stdout.close()
    assert running.wait(timeout=30) == 0 and running.stderr.read() == ""


# ---- what the commands do

def test_info_about_the_machine(capsys):
    assert command("info --device cpu --precision fp32") == 0
    text = capsys.readouterr().out
    assert "precision  fp32" in text and "device     cpu" in text


def test_info_about_a_model(tiny_folder, tiny_tokenizer, capsys):
    assert command(f"info {tiny_folder}") == 0
    text = capsys.readouterr().out
    for words in ("4 x 4 tokens of 5 dimensions", "7 a dimension", "3 classes", "fingerprint"):
        assert words in text
    assert command(f"info {tiny_tokenizer}") == 0
    assert re.search(r"generator +none", capsys.readouterr().out)


def test_generate(tiny_folder, tmp_path, capsys):
    line = f"generate --model {tiny_folder} --labels 2,0 --num 3 --steps 2 --out {tmp_path}"
    assert command(f"{line}/a --seed 5") == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["000-class-2.png", "001-class-2.png", "002-class-2.png", "003-class-0.png",
                     "004-class-0.png", "005-class-0.png", "grid.png"]
    assert Image.open(tmp_path / "a" / "000-class-2.png").size == (32, 32)
    assert str(tmp_path / "a") in capsys.readouterr().out
    for out, more in (("same", "--seed 5 --chunk-size 2"), ("other", "--seed 6")):
        assert command(f"{line}/{out} {more}") == 0
    grids = {name: (tmp_path / name / "grid.png").read_bytes() for name in ("a", "same", "other")}
    assert grids["a"] == grids["same"] != grids["other"]


def test_classes_are_named_by_the_model(tmp_path, capsys):
    "Three drawn classes, none of CIFAR-10's: the names are the model's own, and no record is needed."
    save_named(tmp_path / "m", ("disc", "ring/hole", "bar"), cfg_scale=2.5)
    assert not (tmp_path / "m" / "record.json").exists()
    assert command(f"generate --model {tmp_path}/m --labels bar,1 --num 1 --out {tmp_path}/a") == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["000-bar.png", "001-ring-hole.png", "grid.png"]
    assert command(f"generate --model {tmp_path}/m --labels horse --num 1 --out {tmp_path}/a") == 1
    assert "or one of disc, ring/hole, bar, got 'horse'" in capsys.readouterr().err
    assert command(f"info {tmp_path}/m") == 0
    text = capsys.readouterr().out
    assert re.search(r"classes +disc, ring/hole, bar\n", text)
    assert re.search(r"sampling +cfg_scale 2.5\n", text)


def test_a_model_is_sampled_as_it_says(tmp_path):
    save_named(tmp_path / "m", ("a", "b", "c"), cfg_scale=4.0, temperature=0.5, steps=3, order="raster")
    typed = {"own": "", "same": "--cfg-scale 4 --temperature 0.5 --steps 3 --order raster",
             "hot": "--temperature 2", "plain": "--cfg-scale 1 --temperature 1 --steps 16 --order random"}
    line = f"generate --model {tmp_path}/m --num 2 --seed 1 --out {tmp_path}"
    assert all(command(f"{line}/{name} {options}") == 0 for name, options in typed.items())
    grids = {name: (tmp_path / name / "grid.png").read_bytes() for name in typed}
    assert grids["own"] == grids["same"] and len(set(grids.values())) == 3


def test_reconstruct(tiny_tokenizer, tmp_path, capsys):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (40, 50), (200, 30, 90)).save(tmp_path / "in" / "deep" / "a.png")
    Image.new("L", (32, 32), 7).save(tmp_path / "b.jpg")
    images = f"--images {tmp_path}/in {tmp_path}/b.jpg"
    assert command(f"reconstruct --model {tiny_tokenizer} {images} --out {tmp_path}/new/r.png") == 0
    assert Image.open(tmp_path / "new" / "r.png").size[0] > 100
    text = capsys.readouterr().out
    assert "continuous" in text and "quantized" in text and "dB" in text and "2 images" in text


def test_generate_without_a_generator(tiny_tokenizer, tmp_path, capsys):
    assert command(f"generate --model {tiny_tokenizer} --out {tmp_path}/a") == 1
    assert "without a generator" in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_warnings_are_one_line(tiny_tokenizer, tmp_path, capsys, monkeypatch, without_settings):
    monkeypatch.chdir(tmp_path)
    assert command(f"reconstruct --model {tiny_tokenizer} --num 2 --out {tmp_path}/r.png") == 0
    err = capsys.readouterr().err
    assert "tokenbridge: warning: " in err and "DRAWN" in err and ".py:" not in err


def test_train_a_tokenizer_then_a_generator(tmp_path, capsys, monkeypatch, without_settings):
    monkeypatch.chdir(tmp_path)
    first = "train-vae --out v --num 48 --steps 2 --batch-size 8 --perceptual-weight 0 --device cpu"
    second = "train --tokenizer v --out g --num 48 --steps 2 --batch-size 4 --device cpu --seed 3"
    assert command(f"{first} --num-levels 5") == 0
    assert command(second) == 0
    assert command("info g") == 0
    text = capsys.readouterr().out
    for words in ("saved in v", "saved in g", "5 a dimension, fitted", "10 classes"):
        assert words in text
    record = json.loads((tmp_path / "g" / "record.json").read_text())
    assert record["seed"] == 3 and record["results"]["steps"] == 2
    assert record["results"]["history"][-1]["step"] == 2
    assert command(second) == 1
    assert "--resume" in capsys.readouterr().err, "a second run must not write over the first"
    assert command(f"{second} --resume") == 0
    assert "nothing was left to do: 2 steps" in capsys.readouterr().out
    assert command(f"{first} --num-levels 6 --resume") == 1, "a generator was trained on these levels"
    assert "num_levels: the tokenizer in v has 5, got 6" in capsys.readouterr().err
    stored = json.loads((tmp_path / "g" / "config.json").read_text())
    assert stored["name"] == "cifar-tiny" and stored["classes"] == list(DRAWN_CLASSES)
    assert TokenBridge.from_pretrained(tmp_path / "g").sampling == recipe("cifar-tiny").sampling
    # trained on drawn images: a disc, no airplane
    assert command("generate --model ./g --labels 0 --num 1 --steps 1 --out pictures") == 0
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"000-{DRAWN_CLASSES[0]}.png", "grid.png"]
    for cooldown, rate in ((0, 2e-3), (1, 1e-3)):   # of the last of four steps, two of which warm up
        line = f"--out c{cooldown} --num 48 --steps 4 --batch-size 4 --device cpu --cooldown {cooldown}"
        assert command(f"train --tokenizer v {line}") == 0
        history = json.loads((tmp_path / f"c{cooldown}" / "record.json").read_text())["results"]["history"]
        assert history[-1]["lr"] == pytest.approx(rate)


def test_compiled_is_handed_on(tiny_folder, tmp_path, monkeypatch, without_settings):
    from tokenbridge import benchmark, recipes
    asked = []

    def note(*arguments, **options):
        asked.append(options.get("compiled", arguments[-1]))
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "train_generator", note)
    monkeypatch.setattr(benchmark, "run", note)
    for line in (f"train --tokenizer {tiny_folder} --num 20 --out {tmp_path}", "benchmark"):
        for option in ("", " --compiled"):
            command(line + option)
    assert asked == [False, True] * 2


def test_two_processes_train_one_model(tmp_path, monkeypatch, without_settings):
    monkeypatch.chdir(tmp_path)
    line = "--num 48 --steps 1 --batch-size 8 --perceptual-weight 0 --device cpu"
    assert command(f"train-vae --out v {line}") == 0
    (tmp_path / "start.py").write_text(
        "import os, sys\nfrom tokenbridge.cli import main\ncode = main()\nsys.stdout.flush()\n"
        "os._exit(code)   # gloo may abort at an ordinary exit\n")
    words = "train --tokenizer v --out g --num 48 --steps 2 --batch-size 4 --device cpu".split()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--",
                "start.py", *words]
    done = subprocess.run(launcher, cwd=tmp_path, capture_output=True, text=True, timeout=300,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.count("saved in g") == 1, done.stdout
    record = json.loads((tmp_path / "g" / "record.json").read_text())
    assert record["results"]["processes"] == 2 and record["results"]["steps"] == 2
    assert command("info g") == 0


def test_evaluate(tmp_path, capsys, monkeypatch, without_settings):
    save_tiny(tmp_path / "tiny", classes=10)
    monkeypatch.chdir(tmp_path)
    line = "evaluate --model ./tiny --num 40 --samples 2 --out new/m.json --device cpu"
    assert command(f"{line} --cfg-scale 2") == 0
    results = json.loads((tmp_path / "new" / "m.json").read_text())["results"]
    assert results["tokenizer"]["images"] == 40 and results["samples"]["cfg_scale"] == 2
    assert "gain" in results["generator"]
    text = capsys.readouterr().out
    assert "psnr_quantized" in text and "the model does not name its classes" in text


def test_other_classes_are_no_test(tmp_path, capsys, monkeypatch, without_settings):
    "A model of named classes is measured on images of these classes, or not at all."
    monkeypatch.chdir(tmp_path)
    save_named(tmp_path / "known", DRAWN_CLASSES, cfg_scale=1.5)
    save_named(tmp_path / "other", DRAWN_CLASSES[::-1])
    assert command("evaluate --model ./known --num 40 --samples 2 --out known.json --device cpu") == 0
    assert "does not name" not in capsys.readouterr().out
    assert json.loads(Path("known.json").read_text())["results"]["samples"]["cfg_scale"] == 1.5
    monkeypatch.setattr("tokenbridge.recipes.measure", lambda *a, **k: pytest.fail("has begun"))
    assert command("evaluate --model ./other --num 40 --samples 2 --out other.json --device cpu") == 1
    assert "data: expected images of the model's classes, 10 (" in capsys.readouterr().err
    assert not Path("other.json").exists()


@pytest.mark.parametrize("line", ["train-vae --out v", "train --out g"])
@pytest.mark.parametrize("name", ["cifar-giant", None])
def test_no_preset_is_trained_by_the_recipe_of_another(line, name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = dataclasses.replace(model.PRESETS["cifar"], recipe=name)
    monkeypatch.setitem(model.PRESETS, "cifar", odd)
    assert command(f"{line} --preset cifar --steps 1 --num 20") == 1
    assert "recipe: expected one of" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_tokenizer_in_32_bits_is_trained_on_and_kept(tiny_tokenizer, tmp_path, capsys, monkeypatch,
    without_settings):
    from tokenbridge.files import load_tensors
    monkeypatch.chdir(tmp_path)
    line = f"train --tokenizer {tiny_tokenizer} --out g --num 32 --steps 1 --batch-size 4 --device cpu"
    assert command(line) == 0, capsys.readouterr().err
    old, new = (load_tensors(Path(folder, "model.safetensors"))[0] for folder in (tiny_tokenizer, "g"))
    assert all(torch.equal(old[name], new[name]) for name in old)
    short = "--num 32 --steps 1 --batch-size 4 --device cpu"
    assert command(f"train-vae --out v {short} --perceptual-weight 0 --num-levels 7") == 0
    capsys.readouterr()
    assert command(line.replace(str(tiny_tokenizer), "v") + " --resume") == 1
    assert "tokenizer.levels: the checkpoint was trained with" in capsys.readouterr().err


def test_errors_come_before_the_work(tmp_path, capsys, monkeypatch, without_settings):
    save_tiny(tmp_path / "tiny", classes=10)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tokenbridge.pipeline.TokenBridge.generate", lambda *a, **k: pytest.fail("has begun"))
    assert command("evaluate --model ./tiny --num 5 --samples 2 --out m.json --device cpu") == 1
    assert "num: expected two test images of some class" in capsys.readouterr().err
    assert command("reconstruct --model ./tiny --num 2 --out r.gif") == 1
    assert "path ending: expected one of" in capsys.readouterr().err
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "metrics.json").write_text('{"results": "twelve minutes of work"}')
    assert command("demo --out d --data nowhere") == 1
    assert "twelve" in (tmp_path / "d" / "metrics.json").read_text()
    assert command("generate --model ./tiny --seed 99999999999999999999999") == 1
    assert "seed: expected an integer in [0, " in capsys.readouterr().err
