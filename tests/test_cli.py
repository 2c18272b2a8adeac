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

import tokenbridge
from tests.tools.own_images import digits, photographs
from tests.tools.tiny import save_tiny
from tokenbridge import cli, model, options, shell
from tokenbridge.data import drawn_images
from tokenbridge.drawn import DRAWN_CLASSES
from tokenbridge.generation import SamplingDefaults
from tokenbridge.optim import TrainConfig
from tokenbridge.pipeline import TokenBridge
from tokenbridge.recipes import Recipe, recipe

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
        name = line.split()[0]
        # an option that does nothing is none
        assert "(default:" in text and ("--device" in text) == (name != "convert")
        without = ("reconstruct", "convert", "cache-latents", "fid", "benchmark", "info")
        assert ("--seed" in text) == (name not in without)


@pytest.mark.parametrize("line", ["generate --help", "train-vae --help-all", "--help"])
def test_help_is_instant(line):
    "Without PyTorch and NumPy; the time is the processor's, since a test machine may be busy."
    code = ("import sys, time\nfrom tokenbridge.cli import parse\ntry: parse()\n"
            "finally: print('torch' in sys.modules, 'numpy' in sys.modules, time.process_time())")
    seconds = []
    for _ in range(3):
        done = process(line, code)
        *_, torch_loaded, numpy_loaded, spent = done.stdout.split()
        assert done.returncode == 0 and (torch_loaded, numpy_loaded) == ("False", "False"), done.stderr
        seconds.append(float(spent))
    assert min(seconds) < 0.6, f"{seconds}: 0.3 s on an idle machine"


def shown(line: str, capsys) -> str:
    "A help text in one line, without its frame."
    with pytest.raises(SystemExit) as exit:
        cli.parse(shlex.split(line))
    assert exit.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


POSITIONAL = [("cache-latents", "images"), ("fid", "samples")]


def test_every_option_says_what_it_is(capsys):
    for name, kind in cli.OPTIONS.items():
        text = shown(f"{name} --help-all", capsys)
        for field in dataclasses.fields(kind):
            if field.name not in ("on", "model") and (name, field.name) not in POSITIONAL:
                option = f"--{field.name.replace('_', '-')} "
                words = [words.split() for words in re.findall(rf"{option}(.*?)\(default", text)]
                assert words and max(map(len, words)) >= 3, f"{name} {option}: no words about it"


def test_help_shows_the_dozen_that_people_use(capsys):
    for name, kind in cli.OPTIONS.items():
        few, all_of_them = (set(re.findall(r" (--[a-z-]+)", shown(f"{name} {ask}", capsys)))
                            for ask in ("--help", "--help-all"))
        few, all_of_them = few - {"--help", "--help-all"}, all_of_them - {"--help", "--help-all"}
        assert len(few) <= 16 and few <= all_of_them
        assert ("--help-all" in shown(f"{name} --help", capsys)) == (few != all_of_them)
    assert "--image-size" in shown("train-vae --help", capsys)
    assert "--clip-norm" not in shown("train-vae --help", capsys)


def test_the_data_sets_are_named_in_the_help(capsys):
    from tokenbridge.data import SOURCES
    for name in ("train-vae", "train", "train-judge", "reconstruct", "evaluate"):
        said = re.search(r"--data .*?\(default", shown(f"{name} --help", capsys))
        assert said and all(source in said[0] for source in SOURCES), f"{name}: {said and said[0]}"


# ---- options and the dataclasses whose fields they are

ELSEWHERE = {"precision": ("on", options.Machine)}   # fields of TrainConfig that are options of every command
OF_RECIPES = {"vae": None, "ar": None,   # the TrainConfigs themselves
              "kl_weight": (options.TrainVAE, "kl_weight"), "cfg_scale": (options.Train, "cfg_scale"),
              "perceptual_weight": (options.TrainVAE, "perceptual_weight"),
              "temperature": (options.Train, "temperature"), "mirror": (options.TrainVAE, "no_mirror"),
              "train_images": (options.Train, "num"), "test_images": (options.Evaluate, "num"),
              "per_class": (options.Evaluate, "samples"), "epochs": (options.Train, "epochs"),
              "micro_batch": (options.Train, "accumulation"), "recompute": (options.Train, "recompute"),
              "samples": (options.Train, "means"), "classifiers": (options.Train, "classifiers")}


@pytest.mark.parametrize("kind", [options.TrainVAE, options.Train])
def test_every_setting_of_a_training_is_an_option(kind):
    import typing
    ours, theirs = (typing.get_type_hints(each) for each in (kind, TrainConfig))
    for name, wanted in theirs.items():
        if name in ELSEWHERE:
            assert name in typing.get_type_hints(ELSEWHERE[name][1])
            continue
        assert name in ours, f"TrainConfig.{name} is not an option of {kind.__name__}"
        accepted = typing.get_args(ours[name]) or (ours[name],)
        if typing.get_origin(accepted[0]) is typing.Literal:   # those that TrainConfig accepts
            for choice in typing.get_args(accepted[0]):
                TrainConfig(steps=1, **{name: choice})
            with pytest.raises(ValueError) as refused:
                TrainConfig(steps=1, **{name: "?"})
            assert re.findall(r"'(\w+)'", str(refused.value)) == list(typing.get_args(accepted[0]))
        else:
            assert accepted[0] == wanted, f"{kind.__name__}.{name}: {accepted[0]} instead of {wanted}"
        if name != "seed":
            assert type(None) in accepted, f"{kind.__name__}.{name}: None, as the recipe says, is missing"
            assert getattr(kind(), name) is None


def test_every_field_of_a_recipe_is_an_option():
    assert {field.name for field in dataclasses.fields(Recipe)} == set(OF_RECIPES)
    for place in filter(None, OF_RECIPES.values()):
        assert place[1] in {field.name for field in dataclasses.fields(place[0])}


def test_settings_reach_the_training(tmp_path, monkeypatch, without_settings):
    "Every setting that is typed is that of the training, and what is not typed is the recipe's."
    from tokenbridge import recipes
    seen = []

    def note(*arguments, **named):
        seen.append((arguments, named))
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "train_vae", note)
    typed = ("--steps 40 --batch-size 6 --accumulation 2 --optimizer muon --lr 0.5 --muon-lr 0.25 "
             "--final-lr 0.1 --warmup 7 --schedule trapezoid --cooldown 0.5 --betas 0.8 0.9 "
             "--weight-decay 0.3 --clip-norm 3 --ema-decay 0.5 --precision fp32 --channels-last True "
             "--decaying matrices --ema-warmup False "
             "--seed 4 --log-every 5 --save-every 6 --eval-every 0")
    line = f"train-vae --data drawn --num 20 --out {tmp_path}"
    assert command(f"{line} {typed} --kl-weight 0.5 --perceptual-weight 0.25 --no-mirror") == 130
    arguments, named = seen.pop()
    assert arguments[2:] == (TrainConfig(
        steps=40, batch_size=6, accumulation=2, optimizer="muon", lr=0.5, muon_lr=0.25, final_lr=0.1,
        warmup=7, schedule="trapezoid", cooldown=0.5, betas=(0.8, 0.9), weight_decay=0.3, clip_norm=3,
        ema_decay=0.5, precision="fp32", channels_last=True, seed=4, log_every=5, save_every=6,
        eval_every=0, decaying="matrices", ema_warmup=False), 0.5, 0.25)
    assert named["mirror"] is False
    assert command(f"{line} --recipe demo") == 130
    arguments, named = seen.pop()
    plan = recipe("demo")
    assert arguments[2:] == (plan.vae, plan.kl_weight, plan.perceptual_weight) and named["mirror"] is True
    assert command(f"{line} --steps 28") == 130   # a recipe's warm-up shrinks
    assert seen.pop()[0][2].warmup < 28


def test_a_recipe_in_epochs_reaches_the_training(tmp_path, tiny_folder, monkeypatch, without_settings):
    from tokenbridge import recipes
    from tokenbridge.latents import cache_latents
    seen = []

    def note(*arguments, **named):
        seen.append((arguments[1:4], named))
        raise KeyboardInterrupt

    model = TokenBridge.from_pretrained(tiny_folder)
    cache_latents(drawn_images(40), model, tmp_path / "cache", shard_size=16)
    monkeypatch.setattr(recipes, "train_generator", note)
    line = f"train --cache {tmp_path / 'cache'} --preset imagenet-l --batch-size 16 --out {tmp_path / 'run'}"

    def asked(typed=""):
        assert command(f"{line} {typed}") == 130, typed
        return seen.pop()

    (data, shape, schedule), named = asked()
    assert (schedule.steps, schedule.warmup) == (2000, 500) and len(data) == 40   # 800 and 200 epochs
    assert (schedule.clip_norm, schedule.ema_decay, schedule.ema_warmup) == (1.0, 0.9999, True)
    assert named["recompute"] == "head" and named["samples"] and shape.head.width == 1024
    assert named["order"] is None and shape.head.num_levels == 7   # this is not KL-16: both are its own
    (_, shape, schedule), named = asked("--epochs 4 --accumulation 2 --means --recompute none "
                                        "--classifiers xavier")
    assert (schedule.steps, schedule.warmup, schedule.accumulation) == (10, 2, 2)
    assert named["recompute"] == "none" and not named["samples"] and shape.head.classifiers == "xavier"
    assert asked("--steps 100 --warmup 7")[0][2].warmup == 7
    (_, shape, schedule), _ = asked("--recipe imagenet-l-official")
    assert (schedule.steps, schedule.clip_norm, schedule.decaying) == (1000, 3.0, "matrices")
    assert not schedule.ema_warmup and shape.head.classifiers == "xavier"


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    read = cli.parse(["train", "--data=~/d", "--out=~/o", "--tokenizer=~/t"])
    assert (read.data, read.out, read.tokenizer) == (f"{tmp_path}/d", tmp_path / "o", f"{tmp_path}/t")
    assert cli.parse(["reconstruct", "--images", "~/a.png", "b~"]).images == (tmp_path / "a.png", Path("b~"))
    assert cli.parse(["train", "--data=~"]).data == str(tmp_path)


@pytest.mark.parametrize("line, code", [("--help", 0), ("train --help-all", 0), ("trian", 2),
                                        ("train --helpp", 2), ("info nöwhere", 1)])
def test_a_terminal_that_knows_only_ascii(line, code):
    plain = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = process(line, env=plain)
    assert done.returncode == code and "codec" not in done.stderr
    assert (done.stdout + done.stderr).isascii() and done.stdout + done.stderr


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        cli.parse(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"tokenbridge {tokenbridge.__version__}\n"


@pytest.mark.parametrize("said, typed", [
    ("image_size: expected a multiple of factor 8, got 28",
     "--image-size: expected a multiple of --factor 8, got 28; --factor 2 or 4 would do"),
    ("image_size: expected a multiple of factor 8, got 27",
     "--image-size: expected a multiple of --factor 8, got 27"),
    ("photos/a.jpg: no image; skip_broken=True leaves such files out",
     "photos/a.jpg: no image; --skip-broken leaves such files out")])
def test_an_error_speaks_of_what_is_typed(said, typed):
    assert options.as_typed(said, options.OPTIONS["train-vae"]()) == typed


# ---- how it ends

@pytest.mark.parametrize("line", ["", "generat", "generate --nums 3", "generate --num three",
                                  "generate --cfg-schedule cosine", "info a b", "train --resume maybe"])
def test_a_wrong_command_line_is_code_2(line, capsys):
    with pytest.raises(SystemExit) as exit:
        command(line)
    assert exit.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_command_is_known():
    assert list(cli.OPTIONS) == list(cli.COMMANDS)


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
    assert "such as disc, ring/hole, bar, got 'horse'" in capsys.readouterr().err
    assert shell.parse_labels("Disc, 2,2", 3, ("disc", "ring", "bar")) == [0, 2, 2]
    assert shell.parse_labels("3,1", 3, ("1", "2", "3")) == [2, 0], "a name that is a number"
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
    for name in ("b.jpg", "in/b.png", "in/sheet.png"):
        Image.new("L", (32, 32), 7).save(tmp_path / name)
    images = f"--images {tmp_path}/in {tmp_path}/b.jpg"
    assert command(f"reconstruct --model {tiny_tokenizer} {images} --out {tmp_path}/new/r") == 0
    names = sorted(path.name for path in (tmp_path / "new" / "r").iterdir())
    assert names == ["a.png", "b-2.png", "b.png", "sheet-2.png", "sheet.png"], "none is written over"
    assert Image.open(tmp_path / "new" / "r" / "sheet.png").size[0] > 100
    assert Image.open(tmp_path / "new" / "r" / "a.png").size == (32, 32)
    text = capsys.readouterr().out
    assert "continuous" in text and "quantized" in text and "dB" in text and "4 images" in text
    assert command(f"reconstruct --model {tiny_tokenizer} --data drawn --num 3 --out {tmp_path}/drawn") == 0
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == [*(f"{i:03d}-{DRAWN_CLASSES[i]}.png" for i in range(3)), "sheet.png"]


def test_generate_where_only_some_classes_have_names(tiny_folder, tmp_path):
    bridge = TokenBridge.from_pretrained(tiny_folder)
    TokenBridge(bridge.vae, bridge.quantizer, bridge.ar, classes=["cat"]).save_pretrained(tmp_path / "named")
    assert command(f"generate --model {tmp_path}/named --num 1 --steps 2 --out {tmp_path}/a") == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "000-cat.png", "001-class-1.png", "002-class-2.png", "grid.png"]


def test_generate_without_a_generator(tiny_tokenizer, tmp_path, capsys):
    assert command(f"generate --model {tiny_tokenizer} --out {tmp_path}/a") == 1
    assert "without a generator" in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_warnings_are_one_line(tiny_tokenizer, tmp_path, capsys, monkeypatch, without_settings):
    monkeypatch.chdir(tmp_path)
    assert command(f"reconstruct --model {tiny_tokenizer} --num 2 --out {tmp_path}/r") == 0
    err = capsys.readouterr().err
    assert "tokenbridge: warning: " in err and "drawn" in err.lower() and ".py:" not in err


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
    assert "--num-levels: the tokenizer in v has 5, got 6" in capsys.readouterr().err
    stored = json.loads((tmp_path / "g" / "config.json").read_text())
    assert stored["name"] == "cifar-tiny" and stored["classes"] == list(DRAWN_CLASSES)
    assert TokenBridge.from_pretrained(tmp_path / "g").sampling == recipe("cifar-tiny").sampling
    # trained on drawn images: a disc, no airplane
    assert command("generate --model ./g --labels 0 --num 1 --steps 1 --out pictures") == 0
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"000-{DRAWN_CLASSES[0]}.png", "grid.png"]
    for cooldown, rate in ((0, 2e-3), (1, 1e-3)):   # of the last of four steps, two of which warm up
        line = (f"--out c{cooldown} --num 48 --steps 4 --batch-size 4 --device cpu --warmup 2 "
                f"--cooldown {cooldown}")
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


def test_training_starts_from_another_model(tmp_path, capsys, monkeypatch, without_settings):
    monkeypatch.chdir(tmp_path)
    line = "--data drawn --num 40 --steps 2 --batch-size 4 --lr 1e-9 --device cpu"
    vae = f"train-vae {line} --perceptual-weight 0 --start cifar-tiny"
    assert command(f"{vae} --out v --num-levels 16") == 0
    shipped, further = TokenBridge.from_pretrained("cifar-tiny"), TokenBridge.from_pretrained("v")
    for name, value in shipped.vae.named_parameters():
        assert torch.allclose(value, further.vae.get_parameter(name), atol=1e-2), name
    assert not torch.equal(shipped.quantizer.levels, further.quantizer.levels), "fitted to other images"
    train = f"train {line} --muon-lr 1e-9 --tokenizer v"
    assert command(f"{train} --finetune --out g") == 1
    assert "v is a tokenizer without a generator" in capsys.readouterr().err
    assert command(f"{train} --finetune --start cifar-tiny --out g") == 1
    assert "start: expected none with --finetune" in capsys.readouterr().err
    assert command(f"{train} --start cifar-tiny --out g") == 0
    result = TokenBridge.from_pretrained("g")
    assert torch.equal(result.ar.levels, further.quantizer.levels)
    for name, value in shipped.ar.named_parameters():
        if "class_embed" not in name:   # other classes
            assert torch.allclose(value, result.ar.get_parameter(name), atol=1e-2), name
    assert command(f"train-vae {line} --perceptual-weight 0 --dims 8 --start cifar-tiny --out w") == 1
    assert "start: expected a VAE of the same configuration" in capsys.readouterr().err


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
    assert command("reconstruct --model ./tiny --num 2 --out r.png") == 1
    assert "--out: expected a folder, got the name of a file: r.png" in capsys.readouterr().err
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "metrics.json").write_text('{"results": "twelve minutes of work"}')
    assert command("demo --out d --data nowhere") == 1
    assert "twelve" in (tmp_path / "d" / "metrics.json").read_text()
    assert command("generate --model ./tiny --seed 99999999999999999999999") == 1
    assert "seed: expected an integer in [0, " in capsys.readouterr().err


# ---- images of one's own, from a folder of pictures to figures

SHORT = "--batch-size 4 --device cpu"


def checkpoints(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if path.name.startswith("checkpoint"))


def test_photographs_of_ones_own(tmp_path, capsys, monkeypatch):
    "Five classes of 64 x 64 pixels: both networks trained and resumed, drawn from, looked at, measured."
    monkeypatch.chdir(tmp_path)
    names = photographs(Path("photos"))
    vae = f"train-vae --data photos --image-size 64 --out v --perceptual-weight 0 --schedule constant {SHORT}"
    assert command(f"{vae} --steps 2 --eval-every 2") == 0
    history = json.loads(Path("v/record.json").read_text())["results"]["history"]
    assert "test_psnr" in history[-1]
    assert command(f"{vae} --steps 3 --eval-every 3 --resume") == 0
    generator = f"train --tokenizer ./v --data photos --out g --schedule constant {SHORT}"
    assert command(f"{generator} --steps 2") == 0
    assert command(f"{generator} --steps 3 --eval-every 1 --resume") == 0
    record = json.loads(Path("g/record.json").read_text())
    assert record["results"]["steps"] == 3 and "test_nll" in record["results"]["history"][-1]
    assert json.loads(Path("g/config.json").read_text())["classes"] == list(names)
    dials = "--steps 2 --num 1 --device cpu"
    assert command(f"generate --model ./g --labels {names[3]},0 --out pictures {dials}") == 0
    found = sorted(path.name for path in Path("pictures").iterdir())
    assert found == [f"000-{names[3]}.png", f"001-{names[0]}.png", "grid.png"]
    assert Image.open(f"pictures/{found[0]}").size == (64, 64)
    assert command(f"reconstruct --model ./g --images photos/test/{names[1]} --out seen") == 0
    inputs = sorted(path.stem for path in Path("photos/test", names[1]).iterdir())
    assert sorted(path.stem for path in Path("seen").iterdir()) == sorted([*inputs, "sheet"])
    capsys.readouterr()
    assert command("evaluate --model ./v --data photos --out m.json --device cpu") == 0
    text = capsys.readouterr().out
    assert text.count("no judge knows these classes") == 1 and "agreement" not in text
    assert command("train-judge --data photos --image-size 64 --steps 4 --out j --device cpu") == 0
    assert "test images of photos" in capsys.readouterr().out
    line = ("evaluate --model ./g --data photos --judge j --samples 2 --cfg-scale 1 --out judged.json "
            "--device cpu")
    assert command(line) == 0
    assert "no judge" not in capsys.readouterr().out
    plain, judged = (json.loads(Path(name).read_text())["results"] for name in ("m.json", "judged.json"))
    assert plain["tokenizer"]["images"] == 20 and "agreement" not in str(plain)
    assert 0 <= judged["samples"]["agreement"] <= 1 and "gain" in judged["generator"]


def test_grey_digits_of_ones_own(tmp_path, capsys, monkeypatch):
    "28 x 28 pixels, which takes tokens of 4 x 4; a class is a number; nothing is mirrored."
    monkeypatch.chdir(tmp_path)
    digits(Path("digits"))
    line = f"train-vae --data digits --image-size 28 --out v --perceptual-weight 0 --no-mirror {SHORT}"
    assert command(f"{line} --steps 2") == 1
    assert "--image-size: expected a multiple of --factor 8, got 28" in capsys.readouterr().err
    assert command(f"{line} --steps 2 --factor 4 --dims 6 --num-levels 5") == 0
    asked = []
    original = TokenBridge.tokenize_set
    monkeypatch.setattr(TokenBridge, "tokenize_set", lambda self, data, mirror=True, **more: asked.append(
        mirror) or original(self, data, mirror, **more))
    assert command(f"train --tokenizer ./v --data digits --out g --no-mirror --steps 2 {SHORT}") == 0
    assert asked == [False]
    assert command("info ./g") == 0
    text = capsys.readouterr().out
    assert "28 x 28 pixels to 7 x 7 tokens of 6 dimensions" in text
    assert re.search(r"classes +0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10\n", text)
    assert command("generate --model ./g --labels 7,10 --num 1 --steps 2 --out pictures --device cpu") == 0
    assert sorted(path.name for path in Path("pictures").iterdir()) == ["000-7.png", "001-10.png", "grid.png"]
    assert command("reconstruct --model ./g --data digits --num 2 --out seen --device cpu") == 0
    line = "evaluate --model ./g --data digits --samples 2 --cfg-scale 1 --out m.json --device cpu"
    assert command(line) == 0
    assert "gain" in json.loads(Path("m.json").read_text())["results"]["generator"]


def test_an_unfinished_run_can_be_drawn_from_and_resumed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = f"--data drawn --num 40 {SHORT}"
    assert command(f"train-vae --out v --steps 1 --perceptual-weight 0 {steps}") == 0
    loss, calls = model.ARModel.loss, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)   # Ctrl-C, in the middle of a step
        return loss(self, *arguments)

    signal.signal(signal.SIGINT, signal.default_int_handler)   # jobs in the background begin deaf to it
    monkeypatch.setattr(model.ARModel, "loss", interrupted)
    line = f"train --tokenizer ./v --out g --steps 4 --keep-every 1 {steps}"
    assert command(line) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "tokenbridge: interrupted: stopped after step 2 of 4; saved in g, --resume goes on"
    for place in ("g", "g/milestones/step-000001"):
        assert command(f"generate --model ./{place} --labels disc --num 1 --steps 2 --out pictures "
                       "--device cpu") == 0
    assert sorted(path.name for path in Path("pictures").iterdir()) == ["000-disc.png", "grid.png"]
    assert command(f"{line} --resume") == 0
    assert json.loads(Path("g/record.json").read_text())["results"]["steps"] == 4


def test_what_may_change_on_resume_and_what_may_not(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = f"train-vae --out v --data drawn --num 40 --perceptual-weight 0 {SHORT}"
    assert command(f"{line} --steps 40 --warmup 41") == 1
    assert "--warmup: expected at most the 40 steps of this training, got 41" in capsys.readouterr().err
    assert command(f"{line} --steps 2") == 0
    for more, said in (("--steps 3", "--steps: "), ("--steps 2 --lr 0.1", "--lr: "),
                       ("--steps 2 --change lr --clip-norm 2", "--clip-norm: "),
                       ("--steps 2 --change data", "--change: ")):
        assert command(f"{line} {more} --resume") == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"tokenbridge: error: {said}"), more
        assert ("or --change lr" in error) == (said == "--lr: ")
    assert command(f"{line} --steps 2 --accumulation 2 --resume") == 1
    assert "keep the product of processes and accumulation, or --elastic" in capsys.readouterr().err
    assert command(f"{line} --steps 2 --accumulation 2 --elastic --resume") == 0
    assert "micro_batches: 1 up to step 2, then 2" in capsys.readouterr().err
    assert command(f"{line} --steps 2 --log-every 1 --save-every 7 --resume") == 0
    assert command(f"{line} --steps 2 --clip-norm 0.5 --change clip-norm --resume") == 0
