"The training loop: exact, resumable, and loud when something is wrong."
import copy
import errno
import hashlib
import json
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests import training_runs
from tests.training_runs import same
from tokenbridge import checkpoints, processes, training
from tokenbridge.checkpoints import Checkpoint, load_checkpoint, newest_checkpoint
from tokenbridge.files import load_tensors
from tokenbridge.optim import Muon, TrainConfig, ema_init, learning_rate, shortened
from tokenbridge.training import (
    choose_precision,
    keep_freed_memory,
    layers_compiled,
    reproducible,
    step_generator,
    step_seed,
    train,
)

ROOT = Path(__file__).resolve().parents[1]
TASKS = list(training_runs.TASKS)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def launch(*arguments, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, env=environment,
                          capture_output=True, text=True,
                          timeout=900, **options)


def files_of(folder) -> Checkpoint:
    return load_checkpoint(newest_checkpoint(folder))


def assert_same_runs(one, two, ignore=()):
    first, second = files_of(one), files_of(two)
    assert first.step == second.step
    for part in ("model", "ema", "optimizer"):
        assert same(getattr(first, part), getattr(second, part)), part
    assert reproducible(first.history) == reproducible(second.history)
    assert reproducible([first.window]) == reproducible([second.window])
    for folder, checkpoint in ((one, first), (two, second)):
        lines = (Path(folder) / "history.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == checkpoint.history
    differ = {name for name in first.identity | second.identity
              if first.identity.get(name) != second.identity.get(name)}
    assert differ <= set(ignore)


# ---- killed and resumed

@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    "Trainings, each killed six times and then finished: their folder, how the parts ended, what was said."
    root = tmp_path_factory.mktemp("killed")
    done = launch("tests.training_runs", "killed", root, *TASKS)
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("task", TASKS)
def test_killed_runs_end_bit_equal(task, killed, tmp_path):
    root, ends, said = killed
    assert [end for end, _ in ends[task]] == [signal.SIGKILL] * 6 + [0], said
    assert any(name.startswith(".writing")
               for name in ends[task][0][1]), "the first kill left an unfinished checkpoint"
    assert not list((root / task / "checkpoints").glob(".*")), "left-overs are cleared away"
    whole = train(**training_runs.make(task), folder=tmp_path)
    assert_same_runs(root / task, tmp_path)
    assert same(whole.ema, files_of(root / task).ema)
    assert [row["step"] for row in whole.history] == [5, 10, 15, 20, 25, 30, 35, 36]


def test_two_processes_with_gradients_of_their_own_take_steps_of_their_own(tmp_path):
    done = launch("torch.distributed.run", "--standalone", "--nproc_per_node", 2, "-m", "tests.training_runs",
                  "apart", tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2, done.stderr
    first, second = (load_tensors(tmp_path / f"{rank}.safetensors")[0]["moved"] for rank in (0, 1))
    assert torch.equal(first, -second)
    alone = nn.Parameter(torch.zeros(4, 6))
    alone.grad = training_runs._numbers(4, 6)
    Muon([alone], lr=1.0).step()
    assert torch.equal(first, alone.detach()) and alone.abs().max() > 0.1


def test_two_processes_killed_again_and_again_equal_one_with_two_micro_batches(tmp_path, monkeypatch):
    two = tmp_path / "two"
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")   # else they find old addresses
    done = launch("torch.distributed.run", "--standalone", "--nproc_per_node", 2, "--max-restarts", 3, "-m",
                  "tests.training_runs", "killed_together", "generator", two)
    assert [path.name for path in sorted(tmp_path.glob("*.json"))] == ["0.json", "1.json"], done.stderr
    said = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert said[0]["left"], "no kill within the writing"
    assert said[0]["said"] == said[1]["said"] and [each["errno"] for each in said] == [errno.ENOSPC] * 2
    assert re.match(r"cannot write checkpoint .*: No space left on device; last complete .*step-000008$",
                    said[0]["said"])
    config = replace(training_runs.CONFIG, keep_every=18)
    train(**training_runs.make("generator", config), folder=tmp_path / "one")
    assert_same_runs(tmp_path / "one", two)
    assert not list(two.glob("*/.writing*")), "left-overs are cleared away"
    newest = newest_checkpoint(two)
    sizes = [sum(path.stat().st_size for path in newest.glob(f"*-{rank}.safetensors")) for rank in (0, 1)]
    assert abs(sizes[0] - sizes[1]) < 0.05 * sum(sizes), "each has written about half"
    for folder in (tmp_path / "one", two):   # milestones hold the averages
        kept = sorted((folder / "milestones").iterdir())
        assert [path.name for path in kept] == ["step-000018", "step-000036"]
        assert same(load_checkpoint(kept[-1]).ema, files_of(folder).ema)
        assert not load_checkpoint(kept[0]).model
    alone = train(**training_runs.make("generator", replace(training_runs.CONFIG, steps=4, accumulation=4)))
    four, _ = load_tensors(tmp_path / "four.safetensors")   # two processes with two micro-batches each
    apart = {name: float((four[name] - value).abs().max()) for name, value in alone.ema.items()}
    # keys' biases have no gradient but rounding, which Adam makes large
    assert max(value for name, value in apart.items() if "qkv.bias" not in name) < 1e-6 and max(
        apart.values()) < 1e-5
    shutil.rmtree(newest)   # one process goes on from what two have written
    train(**training_runs.make("generator", config), folder=two, resume=True)
    assert_same_runs(tmp_path / "one", two)


def test_another_product_of_processes_and_accumulation_goes_on_where_it_is_named(tmp_path):
    interrupted(tmp_path, 20)
    arguments = calmer(accumulation=4)
    message = r"^micro_batches: .* 2, resumed with 4; keep the product of processes and accumulation, or name"
    with pytest.raises(ValueError, match=message):
        train(**arguments, folder=tmp_path, resume=True)
    with pytest.warns(UserWarning, match="^micro_batches: 2 up to step 16, then 4, which draw other noise"):
        result = train(**arguments, folder=tmp_path, resume=True, change=["micro_batches"])
    noted = [(row["step"], row["old_micro_batches"], row["new_micro_batches"]) for row in result.history
             if "new_micro_batches" in row]
    assert noted == [(16, 2, 4)]
    assert result.steps == 36 and files_of(tmp_path).identity["micro_batches"] == 4


@pytest.mark.parametrize("processes, accumulation, fits", [(2, None, True), (1, 2, True), (1, None, False)])
def test_a_checkpoint_that_names_the_number_of_processes_goes_on(short, processes, accumulation, fits):
    def older(identity):
        del identity["micro_batches"]
        identity.update({"processes": processes} | ({"accumulation": accumulation} if accumulation else {}))
    rewritten(short["folder"], older)
    with nullcontext() if fits else pytest.raises(ValueError, match="^micro_batches: .* 1, resumed with 2"):
        assert train(**short).steps == 2


def test_same_arguments_same_run_and_no_global_randomness():
    first = train(**training_runs.make("tokens"))
    arguments = training_runs.make("tokens")
    torch.manual_seed(999)
    before = torch.get_rng_state()
    second = train(**arguments)
    assert same(first.ema, second.ema) and reproducible(first.history) == reproducible(second.history)
    assert torch.equal(before, torch.get_rng_state())
    other = training_runs.make("tokens")
    assert not same(first.ema, train(**other | dict(config=replace(other["config"], seed=4))).ema)


class Pulled(Exception):
    "The plug, for a run that ends without a word."


def pull_after(step):
    def on_step(done, _):
        if done == step:
            raise Pulled
    return on_step


def interrupted(tmp_path, step, task="images"):
    with pytest.raises(Pulled):
        train(**training_runs.make(task), folder=tmp_path, on_step=pull_after(step))
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train(**training_runs.make("images"), folder=folder)
    return folder


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "no state", "torn state"])
def test_damaged_checkpoints_are_passed_over(tmp_path, finished, damage):
    newest = interrupted(tmp_path, 29) / "step-000024"
    target = newest / ("state.json" if "state" in damage else "ema.safetensors")
    data = target.read_bytes()
    if damage in ("missing", "no state"):
        target.unlink()
    else:
        target.write_bytes({"cut": data[:-9], "torn state": data[:-9],
                            "flipped": data[:-1] + bytes([data[-1] ^ 1])}[damage])
    with pytest.warns(UserWarning, match="step-000024 is incomplete or damaged"):
        assert newest_checkpoint(tmp_path).name == "step-000016"
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="step-000024"):
        newest_checkpoint(tmp_path)
        load_checkpoint(newest)
    with pytest.warns(UserWarning):
        train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished)


def test_a_torn_history_is_mended(tmp_path, finished):
    interrupted(tmp_path, 29)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[:-7])
    train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished)


def test_resuming_a_finished_run_changes_nothing(finished):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    result = train(**training_runs.make("images"), folder=finished, resume=True)
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert result.steps == 36 and same(result.ema, files_of(finished).ema)


def test_two_checkpoints_stay(finished):
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == ["step-000032",
        "step-000036"]


def test_a_folder_without_a_whole_checkpoint_is_not_begun_anew(tmp_path):
    interrupted(tmp_path, 29)
    history = (tmp_path / "history.jsonl").read_bytes()
    for state in tmp_path.glob("checkpoints/*/state.json"):
        state.unlink()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="^folder: no checkpoint in .* is whole"):
        train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert (tmp_path / "history.jsonl").read_bytes() == history


def test_resume_in_an_empty_folder_starts(tmp_path):
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=2))
    assert train(**arguments, folder=tmp_path / "new", resume=True).steps == 2


def test_existing_checkpoints_are_not_overwritten(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(ValueError, match="holds checkpoints; pass resume=True or another folder"):
        train(**training_runs.make("images"), folder=finished)
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*")}


CHANGED = dict(steps=40, batch_size=16, accumulation=1, optimizer="muon", lr=2e-3, muon_lr=1e-3,
               final_lr=1e-5, warmup=6, schedule="constant",
               cooldown=0.5, betas=(0.9, 0.99), weight_decay=0.0, clip_norm=2.0, ema_decay=0.99,
               decaying="matrices", ema_warmup=False, precision="bf16", channels_last=False, seed=9)


def test_the_table_of_changes_is_complete():
    free = {"save_every", "log_every", "eval_every", "keep_every"}
    assert set(CHANGED) | free == {field.name for field in fields(TrainConfig)}


def test_a_changed_optimizer_is_named(tmp_path):   # of a network with blocks, which Muon could train
    arguments = training_runs.make("tokens", replace(training_runs.CONFIG, steps=2))
    before = arguments["config"].optimizer
    train(**arguments, folder=tmp_path)
    after = "adamw" if before == "muon" else "muon"
    arguments["config"] = replace(arguments["config"], optimizer=after)
    message = f"^optimizer: the checkpoint was trained with '{before}', resumed with '{after}'"
    with pytest.raises(ValueError, match=message):
        train(**arguments, folder=tmp_path, resume=True)


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_setting_is_named(finished, name):
    arguments = training_runs.make("images")
    arguments["config"] = replace(arguments["config"], **{name: CHANGED[name]})
    named = "the checkpoint was trained with"
    if name == "optimizer":   # this network has no repeated layers
        named = "'muon' trains the matrices of blocks"
    if name == "accumulation":   # its product with the number of processes counts
        name, named = "micro_batches", "the checkpoint was trained with 2, resumed with 1; keep the product"
    with pytest.raises(ValueError, match=f"^{name}: {named}"):
        train(**arguments, folder=finished, resume=True)


def test_other_changes_are_named(finished):
    arguments = training_runs.make("images")
    with pytest.raises(ValueError, match="^num_samples: the checkpoint was trained with 30"):
        train(**arguments | dict(num_samples=29), folder=finished, resume=True)
    with pytest.raises(ValueError, match="^trainable: the checkpoint"):
        train(**arguments, trainable=["leave"], folder=finished, resume=True)
    arguments["module"].enter = nn.Conv2d(3, 6, 1)
    with pytest.raises(ValueError, match="checkpoint of step 36: enter.weight: expected shape"):
        train(**arguments, folder=finished, resume=True)


def test_save_every_may_change(tmp_path, finished):
    interrupted(tmp_path, 20)
    arguments = training_runs.make("images")
    train(**arguments | dict(config=replace(arguments["config"], save_every=5)), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished, ignore={"save_every"})


def test_what_is_logged_and_measured_may_change(tmp_path, finished):
    interrupted(tmp_path, 20)   # the checkpoint is of step 16, the rows are of steps 5, 10, 15
    arguments = training_runs.make("images")
    other = replace(arguments["config"], log_every=7, eval_every=24)
    history = train(**arguments | dict(config=other), folder=tmp_path, resume=True).history
    assert [(row["step"], "size" in row) for row in history] == [
        (5, False), (10, False), (15, True), (21, False), (24, True), (28, False), (35, False), (36, True)]
    assert same(files_of(tmp_path).model, files_of(finished).model)
    assert same(files_of(tmp_path).ema, files_of(finished).ema)


# ---- stopped on purpose

@pytest.mark.parametrize("step", [1, 7, 15, 16])   # 15: an evaluation; 16: a checkpoint anyway
def test_a_run_that_on_step_stops_goes_on_bit_equal(tmp_path, finished, step):
    stopped = train(**training_runs.make("images"), folder=tmp_path, on_step=lambda done, _: done == step)
    assert stopped.steps == files_of(tmp_path).step == step
    assert stopped.history == files_of(tmp_path).history and same(stopped.ema, files_of(tmp_path).ema)
    assert train(**training_runs.make("images"), folder=tmp_path, resume=True).steps == 36
    assert_same_runs(tmp_path, finished)


@pytest.mark.parametrize("answer, steps",
                         [(True, 1), (np.True_, 1), (False, 3), (None, 3), (1, 3), ([True], 3)])
def test_only_true_stops(answer, steps):
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=3))
    assert train(**arguments, on_step=lambda step, scalars: answer).steps == steps


def test_a_writer_of_three_lines(tmp_path):
    class SummaryWriter(list):
        def add_scalar(self, name, value, step):
            self.append((name, value, step))

    writer = SummaryWriter()
    arguments = training_runs.make("tokens", replace(training_runs.CONFIG, steps=2))
    train(**arguments,
          on_step=lambda step, scalars: [writer.add_scalar(*pair, step) for pair in scalars.items()])
    assert [(name, step) for name, value, step in writer] == [
        (name, step) for step in (1, 2) for name in ("loss", "hidden", "grad_norm")]
    assert all(type(value) is float for _, value, _ in writer)


def test_ctrl_c_is_raised_again_after_saving(tmp_path, finished):
    def on_step(step, scalars):
        if step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"stopped after step 13 of 36; saved in {tmp_path}"):
        train(**training_runs.make("images"), folder=tmp_path, on_step=on_step)
    assert files_of(tmp_path).step == 13
    train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 13 of 36; nothing saved: no folder"):
        train(**training_runs.make("images"), on_step=on_step)


@pytest.mark.parametrize("where", ["batch", "optimizer", "evaluate", "last"])
def test_a_signal_waits_for_the_end_of_the_step(tmp_path, finished, where, capfd):
    "Wherever it comes, the step is whole when it is saved; the usual handler is back afterwards."
    arguments, seen = training_runs.make("images"), []

    def press(function, calls):
        def pressing(*given, **named):
            seen.append(1)
            if len(seen) == calls:
                signal.raise_signal(signal.SIGINT)
            return function(*given, **named)
        return pressing

    if where in ("batch", "last"):
        arguments["make_batch"] = press(arguments["make_batch"], 72 if where == "last" else 19)
    if where == "evaluate":
        arguments["evaluate"] = press(arguments["evaluate"], 1)
    step = press(torch.optim.AdamW.step, 10) if where == "optimizer" else torch.optim.AdamW.step
    expected = {"batch": 10, "optimizer": 10, "evaluate": 15, "last": 36}[where]
    with mock.patch.object(torch.optim.AdamW, "step", step), \
            pytest.raises(KeyboardInterrupt, match=f"stopped after step {expected} of 36"):
        train(**arguments, folder=tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert files_of(tmp_path).step == expected
    assert capfd.readouterr().err == "\nends after this step; Ctrl-C again: at once\n"
    train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished)


def test_sigterm_leaves_a_whole_step_and_its_exit_code(tmp_path, finished):
    done = launch("tests.training_runs", "program", f"""
import signal
from tests import training_runs
training_runs.train(**training_runs.make("images"), folder={str(tmp_path)!r},
                    on_step=lambda step, _: signal.raise_signal(signal.SIGTERM) if step == 21 else None)
""")
    assert done.returncode == 143, done.stderr
    assert done.stderr.split("\n")[-4:] == ["", "ends after this step",
                                           f"SIGTERM: stopped after step 21 of 36; saved in {tmp_path}", ""]
    train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_handler_of_the_callers_own_stays():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=2))
        assert train(**arguments, on_step=lambda *_: signal.raise_signal(signal.SIGINT)).steps == 2
        assert pressed == [signal.SIGINT] * 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_trains_without_a_handler():
    results = []
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=2))
    worker = threading.Thread(target=lambda: results.append(train(**arguments)))
    worker.start()
    worker.join()
    assert results[0].steps == 2


@pytest.fixture(scope="module")
def pressed(tmp_path_factory):
    "Trainings in processes of their own that got real signals, and what became of them."
    root = tmp_path_factory.mktemp("pressed")
    done = launch("tests.training_runs", "pressed", root)
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_real_signals_leave_a_whole_step(pressed, finished):
    root, ends, said = pressed
    assert [end for end, _ in ends["once"]] == ["KeyboardInterrupt"] * 2 + ["done"], said
    stopped = [int(step) for step in re.findall(r"stopped after step (\d+) of 36; saved in .*/once", said)]
    expected = [f"step-{step:06d}" for step in [*stopped, 36]]
    assert [names[-1] for _, names in ends["once"]] == expected
    assert 3 <= stopped[0] < stopped[1]
    assert_same_runs(root / "once", finished)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_second_signal_while_saving_leaves_the_last_checkpoint(pressed, finished):
    root, ends, said = pressed
    (first, names), (last, _) = ends["twice"]
    assert first == "KeyboardInterrupt" and last == "done", said
    assert "ended at once: steps after the last checkpoint are lost" in said
    assert names == [".writing-000010", "step-000008"]   # none is torn, and the newest is the last whole one
    assert_same_runs(root / "twice", finished)


def test_two_processes_stop_after_the_same_step(tmp_path):
    "One of them gets the signal, twice and at once, as launchers send it."
    done = launch("torch.distributed.run", "--standalone", "--nproc_per_node", 2, "-m", "tests.training_runs",
                  "pressed_together", tmp_path / "two")
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [
        [[4, 4], [9, 9], [143, 20], 36]] * 2, done.stderr
    assert done.stderr.count("SIGTERM: stopped after step 20 of 36; saved in") == 1
    train(**training_runs.make("tokens"), folder=tmp_path / "one")
    assert_same_runs(tmp_path / "one", tmp_path / "two")


# ---- changed on purpose

def calmer(**settings):
    arguments = training_runs.make("images")
    return arguments | dict(config=replace(arguments["config"], **settings))


@pytest.mark.parametrize("where", [13, 15, 16])   # in a row, at its end, and one step after it
def test_a_named_setting_may_change_and_is_noted(tmp_path, where, finished):
    train(**training_runs.make("images"), folder=tmp_path, on_step=lambda step, _: step == where)
    result = train(**calmer(lr=2e-4, clip_norm=0.5), folder=tmp_path, resume=True, change=("lr", "clip_norm"))
    rows = {row["step"]: row for row in result.history}
    note = {"old_lr": 1e-3, "new_lr": 2e-4, "old_clip_norm": 1.0, "new_clip_norm": 0.5}
    assert {key: value for key, value in rows[where].items() if key in note} == note
    assert [step for step, row in rows.items() if "new_lr" in row] == [where]
    straight = {row["step"]: row for row in files_of(finished).history}
    assert reproducible([rows[10]]) == reproducible([straight[10]])
    assert rows[20]["loss"] != straight[20]["loss"]
    before, after = (replace(training_runs.CONFIG, lr=lr) for lr in (1e-3, 2e-4))
    assert rows[where]["lr"] == learning_rate(where - 1, before)
    assert rows[20]["lr"] == learning_rate(19, after)
    assert all(isinstance(value, (int, float)) for row in rows.values() for value in row.values())
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert result.history == [json.loads(line) for line in lines]
    # from now on these are the run's own settings
    with pytest.raises(ValueError, match="^lr: the checkpoint was trained with 0.0002, resumed with 0.001"):
        train(**training_runs.make("images"), folder=tmp_path, resume=True)


def test_a_run_that_changed_is_the_same_when_it_is_killed(tmp_path):
    for folder in ("once", "killed"):
        train(**training_runs.make("images"), folder=tmp_path / folder, on_step=lambda step, _: step == 13)
    again = dict(resume=True, change=("lr",))
    train(**calmer(lr=2e-4), folder=tmp_path / "once", **again)
    for step in (15, 26, 29):   # before the first checkpoint after the change, and after it
        with pytest.raises(Pulled):
            train(**calmer(lr=2e-4), folder=tmp_path / "killed", on_step=pull_after(step), **again)
    train(**calmer(lr=2e-4), folder=tmp_path / "killed", **again)
    assert_same_runs(tmp_path / "once", tmp_path / "killed")


def test_a_muon_rate_may_change_and_counts(tmp_path):
    folder, other = tmp_path / "one", tmp_path / "two"
    ends = []
    for place, rate in ((folder, 2e-3), (other, 1e-4)):
        train(**training_runs.make("tokens"), folder=place, on_step=lambda step, _: step == 20)
        arguments = training_runs.make("tokens")
        arguments["config"] = replace(arguments["config"], muon_lr=rate)
        ends.append(train(**arguments, folder=place, resume=True, change=["muon_lr"]))
    assert not any("new_muon_lr" in row for row in ends[0].history), "named, but equal: nothing to note"
    assert [row["step"] for row in ends[1].history if row.get("new_muon_lr") == 1e-4] == [20]
    assert not same(ends[0].ema, ends[1].ema)


def test_a_change_after_the_end_is_not_noted(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    before = (finished / "history.jsonl").read_text()
    train(**calmer(lr=2e-4), folder=tmp_path / "run", resume=True, change=("lr",))
    assert (tmp_path / "run" / "history.jsonl").read_text() == before


def test_what_is_not_named_stays_an_error(finished):
    with pytest.raises(ValueError, match="^clip_norm: .* or name clip_norm in `change`$"):
        train(**calmer(lr=2e-4, clip_norm=0.5), folder=finished, resume=True, change=("lr",))
    with pytest.raises(ValueError, match="^seed: .*use the same value or another folder$"):
        train(**calmer(seed=9), folder=finished, resume=True)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])   # with the second, `steps` alone might differ
def test_what_was_typed_is_named(tmp_path, schedule):
    config = replace(training_runs.CONFIG, schedule=schedule)
    train(**training_runs.make("images", config), folder=tmp_path, on_step=lambda step, _: step == 10)
    with pytest.raises(ValueError, match="^steps: the checkpoint was trained with 36, resumed with 18"):
        train(**training_runs.make("images", shortened(config, 18)), folder=tmp_path, resume=True)
    with pytest.raises(ValueError, match="^warmup: the checkpoint was trained with 5, resumed with 2"):
        train(**training_runs.make("images", replace(config, warmup=2)), folder=tmp_path, resume=True)


def test_results_are_printed_in_a_line(finished):
    result = train(**training_runs.make("images"), folder=finished, resume=True)
    assert repr(result) == "TrainResult(steps=36)"
    assert len(repr(files_of(finished))) < 1000


@pytest.mark.parametrize("schedule, old, new, where", [
    ("trapezoid", dict(steps=100), dict(), 20),
    ("trapezoid", dict(steps=30, cooldown=0.1), dict(cooldown=0.25), 20),
    ("constant", dict(steps=30), dict(), 30)])
def test_a_level_run_may_change_its_end(tmp_path, schedule, old, new, where):
    "The run with another end is, up to the cooldown, the run that goes on from it: bit for bit."
    wanted = replace(training_runs.CONFIG, schedule=schedule, **new)
    straight = train(**training_runs.make("images", wanted))
    first = training_runs.make("images", replace(wanted, **old))
    with pytest.raises(Pulled) if first["config"].steps > where else nullcontext():
        train(**first, folder=tmp_path, on_step=pull_after(where + 1))
    again = train(**training_runs.make("images", wanted), folder=tmp_path, resume=True)
    assert reproducible(again.history) == reproducible(straight.history)
    assert all(torch.equal(again.ema[name], straight.ema[name]) for name in straight.ema)


@pytest.mark.parametrize("schedule, name, changes", [
    ("cosine", "steps", dict(steps=50)), ("trapezoid", "steps", dict(steps=20)),
    ("trapezoid", "cooldown", dict(cooldown=0.9))])
def test_an_end_that_has_begun_may_not_change(tmp_path, schedule, name, changes):
    config = replace(training_runs.CONFIG, schedule=schedule)
    with pytest.raises(Pulled):
        train(**training_runs.make("images", config), folder=tmp_path, on_step=pull_after(21))
    with pytest.raises(ValueError, match=f"^{name}: the checkpoint was trained with"):
        train(**training_runs.make("images", replace(config, **changes)), folder=tmp_path, resume=True)


# ---- never a pickle

def test_nothing_is_unpickled(tmp_path, monkeypatch):
    interrupted(tmp_path, 20)
    found = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.suffix for path in found} == {".safetensors", ".json", ".jsonl"}
    skipped = {".safetensors": 8}   # bytes, the length of the JSON that follows
    first = {path.read_bytes()[skipped.get(path.suffix, 0):][:1] for path in found}
    assert first == {b"{"}, "all JSON, no pickle"

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")
    for place, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(place, name, refuse)
    assert train(**training_runs.make("images"), folder=tmp_path, resume=True).steps == 36


def test_a_pickle_in_a_checkpoint_is_an_error(tmp_path):
    folder = interrupted(tmp_path, 10) / "step-000008"
    torch.save({"a": torch.ones(1)}, folder / "model.safetensors")
    state = json.loads((folder / "state.json").read_text())
    pickled = (folder / "model.safetensors").read_bytes()
    state["sha256"]["model.safetensors"] = hashlib.sha256(pickled).hexdigest()
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(OSError, match="got a pickle"):
        load_checkpoint(folder)


# ---- failures

@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops(tmp_path, value):
    arguments = training_runs.make("images")
    loss_fn, count = arguments["loss_fn"], []

    def breaking(module, batch, generator):
        count.append(1)
        return loss_fn(module, batch, generator) * (value if len(count) == 41 else 1)
    with pytest.raises(RuntimeError,
                       match=rf"loss: became {value} in step 20; last good checkpoint: .*step-000016"):
        train(**arguments | dict(loss_fn=breaking), folder=tmp_path)
    assert files_of(tmp_path).step == 16
    assert all(torch.isfinite(p).all()
               for p in arguments["module"].parameters()), "the weights of the step before are still there"


def test_a_gradient_that_is_not_finite_stops():
    arguments = training_runs.make("images")

    def square_root_of_zero(module, batch, generator):
        return sum((p * 0).abs().sum().sqrt() for p in module.parameters())
    with pytest.raises(RuntimeError, match="grad_norm: became nan in step 0; last good checkpoint: none"):
        train(**arguments | dict(loss_fn=square_root_of_zero))


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, finished):
    arguments, write = training_runs.make("images"), checkpoints.save_tensors

    def full(path, tensors):
        if "writing-000024" in str(path) and path.name == "optimizer.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, tensors)
    with mock.patch.object(checkpoints, "save_tensors", full), pytest.raises(OSError) as caught:
        train(**arguments, folder=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    target = tmp_path / "checkpoints" / "step-000024"
    assert str(caught.value).startswith(f"cannot write checkpoint {target}: No space left on device")
    assert str(caught.value).endswith("step-000016")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000008",
        "step-000016"]
    train(**training_runs.make("images"), folder=tmp_path, resume=True)
    assert_same_runs(tmp_path, finished)


def test_modes_are_restored_part_by_part():
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=1))
    frozen = list(arguments["module"].modules())[-1].eval()
    train(**arguments)
    assert arguments["module"].training and not frozen.training


def test_gradients_from_before_do_not_count():
    fresh, used = (training_runs.make("images", replace(training_runs.CONFIG, steps=2)) for _ in range(2))
    for parameter in used["module"].parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    assert reproducible(train(**fresh).history) == reproducible(train(**used).history)


def test_a_module_may_have_infinite_buffers(tmp_path):
    class Masked(torch.nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))

        def forward(self, x):
            return (super().forward(x) @ (self.mask + 1).softmax(-1)).sum()
    torch.manual_seed(0)
    run = dict(loss_fn=lambda module, batch, generator: module(batch[0]), make_batch=lambda ids,
               generator: (torch.ones(len(ids), 2),),
               num_samples=4, config=TrainConfig(2, batch_size=2, save_every=1), folder=tmp_path,
               progress=False)
    train(Masked(), **run)
    assert train(Masked(), **run, resume=True).steps == 2


def test_numbers_may_be_numpy_s(tmp_path):
    run = dict(loss_fn=lambda module, batch, generator: module(batch[0]).mean(), folder=tmp_path,
               make_batch=lambda ids, generator: (torch.ones(len(ids), 2),), progress=False)
    config = TrainConfig(steps=np.int64(2), batch_size=2, save_every=1)
    train(torch.nn.Linear(2, 1), num_samples=np.int64(4), config=config, **run)
    plain = replace(config, steps=2)
    assert train(torch.nn.Linear(2, 1), num_samples=4, config=plain, resume=True, **run).steps == 2


def test_a_folder_belongs_to_one_training_at_a_time(tmp_path):
    refused = []

    def begin_another(step, scalars):
        with pytest.raises(ValueError, match="^folder: another training is writing into"):
            train(**training_runs.make("images"), folder=tmp_path, resume=True)
        refused.append(step)

    few = replace(training_runs.CONFIG, steps=2)
    train(**training_runs.make("images", few), folder=tmp_path, on_step=begin_another)
    assert refused == [1, 2]
    assert train(**training_runs.make("images", few), folder=tmp_path, resume=True).steps == 2   # free again


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=f"{tmp_path}/file"):
        train(**training_runs.make("images"), folder=tmp_path / "file" / "below")


# ---- schedule


def test_schedule_reaches_every_optimizer():
    seen = []
    arguments = training_runs.make("tokens", replace(training_runs.CONFIG, steps=12, warmup=4, muon_lr=0.5))
    step = Muon.step

    def watched(self, closure=None):
        seen.append(self.param_groups[0]["lr"])
        return step(self, closure)
    with mock.patch.object(Muon, "step", watched):
        train(**arguments)
    config = arguments["config"]
    assert seen == pytest.approx([learning_rate(i, config) * 0.5 / config.lr for i in range(12)])


# ---- averaged weights


def test_training_averages_its_weights():
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=30, ema_decay=0.8))
    weight = arguments["module"].enter.weight
    expected = weight.detach().double().clone()

    def watch(step, _):
        decay = min(0.8, step / (19 + step))
        expected.mul_(decay).add_(weight.detach().double(), alpha=1 - decay)
    result = train(**arguments, on_step=watch)
    torch.testing.assert_close(result.ema["enter.weight"].double(), expected, atol=1e-6, rtol=0)
    assert not torch.equal(result.ema["enter.weight"], weight)
    assert torch.equal(result.ema["norm.running_mean"],
                       arguments["module"].norm.running_mean), "buffers are not averaged"
    assert result.ema.keys() == arguments["module"].state_dict().keys()


def test_evaluation_sees_averaged_weights_and_leaves_no_trace():
    plain = training_runs.make("tokens") | dict(evaluate=None)
    arguments = training_runs.make("tokens")
    seen = []

    def evaluate(module, step):
        assert not module.training
        torch.manual_seed(1)
        seen.append(module.out.weight.detach().clone())
        return {"value": step}
    result = train(**arguments | dict(evaluate=evaluate))
    assert arguments["module"].training
    assert [row["value"] for row in result.history if "value" in row] == [15, 30, 36]
    assert torch.equal(seen[-1], result.ema["out.weight"])
    assert same(result.ema, train(**plain).ema)


# ---- gradients

def test_accumulation_is_the_large_batch():
    results = []
    for accumulation in (1, 2, 4):
        arguments = training_runs.make("images",
                                       replace(training_runs.CONFIG, steps=1, accumulation=accumulation,
                                               clip_norm=1e9))
        data = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        arguments["module"] = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            for p in arguments["module"].parameters():
                p.fill_(0.1)
        arguments |= dict(loss_fn=lambda module, batch, _: F.mse_loss(module(batch[0]), batch[0]),
                          num_samples=8,
                          make_batch=lambda ids, _: (data[ids],))
        results.append(train(**arguments).history[0])
    for row in results[1:]:
        assert row["grad_norm"] == pytest.approx(results[0]["grad_norm"], rel=1e-5)
        assert row["loss"] == pytest.approx(results[0]["loss"], rel=1e-6)


def test_clipping_bounds_the_gradient():
    lengths = []
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=3, clip_norm=0.01))
    step = torch.optim.AdamW.step

    def watched(self, closure=None):
        lengths.append(torch.cat([p.grad.flatten() for group in self.param_groups
                                  for p in group["params"]]).norm().item())
        return step(self, closure)
    with mock.patch.object(torch.optim.AdamW, "step", watched):
        history = train(**arguments).history
    assert lengths == pytest.approx([0.01] * 3, rel=1e-3)
    assert history[-1]["grad_norm"] > 0.01, "the record shows the length before clipping"


def test_only_named_parameters_are_trained(tmp_path):
    arguments = training_runs.make("images")
    before = ema_init(arguments["module"].state_dict())
    result = train(**arguments, trainable=["leave"], folder=tmp_path)
    after = arguments["module"].state_dict()
    assert torch.equal(before["enter.weight"], after["enter.weight"]) and torch.equal(before["enter.weight"],
        result.ema["enter.weight"])
    assert not torch.equal(before["leave.weight"], after["leave.weight"])
    assert {name.split("|")[0] for name in files_of(tmp_path).optimizer} == {"leave.weight", "leave.bias"}
    assert all(p.requires_grad for p in arguments["module"].parameters())


# ---- Muon


# ---- seeds and precision

def test_seeds_differ_everywhere():
    seeds = {step_seed(*place)
             for place in [(s, t, m, w) for s in range(5) for t in range(20) for m in range(4)
                           for w in ("", "dropout")]}
    assert len(seeds) == 5 * 20 * 4 * 2 and all(0 <= seed < 2**63 for seed in seeds)


def test_a_step_has_one_share_of_hidden_tokens():
    "All its micro-batches hide equally many tokens, at places of their own; the next step hides others."
    arguments, counts, masks = training_runs.make("generator"), [], []
    backbone = arguments["module"].backbone
    original = backbone.training_mask

    def watched(batch, generator, device):
        mask, visible = original(batch, generator, device)
        counts.append(visible)
        masks.append(mask)
        return mask, visible

    config = replace(arguments["config"], steps=12, accumulation=4)
    with mock.patch.object(backbone, "training_mask", watched):
        train(**arguments | dict(config=config, evaluate=None))
    steps = [counts[i:i + 4] for i in range(0, 48, 4)]
    assert all(len(set(step)) == 1 for step in steps) and len({step[0] for step in steps}) > 1
    assert not torch.equal(masks[0], masks[1])
    generator = step_generator(config.seed, 5, 2)
    assert backbone.training_mask(2, generator)[1] == steps[5][0]   # as a place of the run, from outside


def test_precision_follows_the_processor():
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "flags" in flags:
        has = any(word in flags.split() for word in ("avx512_bf16", "amx_bf16", "amx_tile"))
        assert choose_precision("cpu") == ("bf16" if has else "fp32")
    with mock.patch.object(training, "_processor_has_bf16", lambda: True):
        assert choose_precision("cpu") == "bf16"
    with mock.patch.object(training, "_processor_has_bf16", lambda: False):
        assert choose_precision("cpu") == "fp32"
    with mock.patch.object(torch.cuda, "is_bf16_supported",
                           lambda including_emulation=True: including_emulation):
        assert choose_precision("cuda") == "fp32"
    assert choose_precision("cpu", "bf16") == "bf16" and choose_precision("cpu", "fp32") == "fp32"


FAULTS = """
import resource, torch
from tokenbridge.training import keep_freed_memory
count = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
ones = torch.ones(2 ** 24)
for listens in (False, True):
    listens = listens and keep_freed_memory()
    for _ in range(10):   # until the heap has settled: a small block behind a freed one takes a new one
        ones + 1
    before = count()
    for _ in range(10):
        ones + 1
    print(int(listens), count() - before)
"""


@pytest.mark.skipif(not training._has_mallopt(), reason="needs the GNU C library")
def test_memory_is_kept():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    (_, usual), (listens, kept) = (map(int, line.split()) for line in done.stdout.splitlines())
    # 10 times 64 MB: 32 pages of 2 MB each, or thousands of small ones
    assert listens and kept < 5 and usual >= 10 * 32


def test_only_glibc_is_asked_to_keep_memory(monkeypatch):
    monkeypatch.setattr(training.ctypes, "CDLL", None)   # whoever is asked now, fails
    with mock.patch.object(training.sys, "platform", "darwin"):
        assert not keep_freed_memory()
    with mock.patch.object(training.platform, "libc_ver", lambda: ("", "")):
        assert not keep_freed_memory()


# ---- compiled layers

class Layer(nn.Linear):
    "What is repeated."

    def forward(self, x):
        return x + F.gelu(super().forward(x))


class Stack(nn.Module):
    "Three equal layers, and one of another kind."

    def __init__(self):
        super().__init__()
        self.layers, self.out = nn.ModuleList(Layer(4, 4) for _ in range(3)), nn.Linear(4, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


def translations(module: nn.Module) -> list:
    return [layer._compiled_call_impl for layer in module.layers]


def test_layers_run_compiled_inside_the_block_only():
    graphs, stack, x = [], Stack(), torch.randn(5, 4, requires_grad=True)
    note = lambda graph, inputs: (graphs.append(graph), graph.forward)[1]
    plain, names = stack(x), list(stack.state_dict())
    with layers_compiled(stack, backend=note):
        assert torch.equal(stack(x), plain) and graphs and list(stack.state_dict()) == names
        inside, seen = translations(stack), len(graphs)
        assert all(inside) and stack.out._compiled_call_impl is None
        with layers_compiled(stack, False, note):
            assert translations(stack) == [None] * 3 and torch.equal(stack(x), plain) and len(graphs) == seen
        assert translations(stack) == inside
        assert not any(translations(copy.deepcopy(stack)))   # a copy runs as written
    assert translations(stack) == [None] * 3
    with pytest.raises(ZeroDivisionError), layers_compiled(stack, backend=note):
        1 / 0
    assert translations(stack) == [None] * 3


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_training_is_the_same_training():
    from torch._dynamo.utils import counters
    rows, compiled_while_evaluating = {}, []

    def evaluate(module, step):
        compiled_while_evaluating.extend(translations(module))
        return {"checked": 1.0}

    for compiled in (False, True):
        torch.manual_seed(0)
        stack = Stack()
        counters.clear()
        result = train(stack, lambda module, batch, generator: module(batch[0]).square().mean(),
                       lambda ids, generator: (torch.stack([ids, ids + 1, ids % 3, ids % 5], 1).float(),), 64,
                       TrainConfig(4, batch_size=16, warmup=0, precision="fp32", log_every=1, eval_every=2),
                       evaluate=evaluate,
                       progress=False, device="cpu", compiled=compiled)
        graphs = counters["stats"]["unique_graphs"]
        assert graphs > 1 if compiled else not graphs   # one of them is the compiler's test
        assert translations(stack) == [None] * 3
        rows[compiled] = torch.tensor([[row["loss"], row["grad_norm"]] for row in result.history])
    torch.testing.assert_close(rows[True], rows[False])
    assert compiled_while_evaluating == [None] * 12


def test_bf16_trains_with_fp32_weights():
    seen = []
    arguments = training_runs.make("images", replace(training_runs.CONFIG, steps=2, precision="bf16"))
    arguments["loss_fn"] = lambda module, batch, _: (seen.append(module(batch[0]).dtype),
        F.mse_loss(module(batch[0]).float(), batch[0]))[1]
    train(**arguments)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in arguments["module"].parameters()} == {torch.float32}


def test_bar_and_curve(capfd):
    arguments = training_runs.make("images") | dict(progress=True)
    history = train(**arguments).history
    shown = capfd.readouterr().err
    assert "36/36" in shown and "loss" in shown and "images/s" in shown
    assert set(reproducible(history)[0]) == {"step", "lr", "loss", "grad_norm"} and "size" in history[2]


def timed(monkeypatch) -> dict:
    "A training whose clock is moved by its batches, a quarter of a second each, and by its evaluations."
    clock, arguments = [0.0], training_runs.make("images")
    monkeypatch.setattr(training, "time", mock.Mock(perf_counter=lambda: clock[0]))

    def moving(function, seconds):
        def moved(*given):
            clock[0] += seconds
            return function(*given)
        return moved
    return arguments | dict(make_batch=moving(arguments["make_batch"], 0.25),
                            evaluate=moving(arguments["evaluate"], 100.0))


def test_a_row_says_what_the_machine_did(monkeypatch):
    "Seconds of its steps without evaluation, images a second, memory; a GPU of a known kind: utilisation."
    history = train(**timed(monkeypatch), flops=1e9).history
    assert [row["seconds"] for row in history] == [2.5] * 7 + [0.5]
    assert all(row["images_per_second"] == 16.0 for row in history)   # 8 a step of two batches
    assert all(0.05 < row["peak_memory_gb"] < 60 and "mfu" not in row for row in history)   # no peak known
    run = mock.Mock(flops=2e12, config=TrainConfig(1, batch_size=32))
    run.processes.device, run.processes.num_processes = torch.device("cuda", 0), 8
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 76_300_000_000)
    assert training._measured(run, 50, 4.0) == {
        "seconds": 4.0, "images_per_second": 400.0, "peak_memory_gb": 76.3, "mfu": 0.10111}


def test_seconds_of_a_row_outlive_an_interruption(tmp_path, monkeypatch):
    "A row that a checkpoint cuts in two has the seconds of both halves."
    train(**timed(monkeypatch) | dict(on_step=lambda step, _: step == 3), folder=tmp_path)
    assert files_of(tmp_path).window["seconds"] == 1.5
    assert train(**timed(monkeypatch), folder=tmp_path, resume=True).history[0]["seconds"] == 2.5


@pytest.mark.parametrize("name, peak", [
    ("NVIDIA H200", 989), ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA H100 NVL", 835),
    ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA A10", 125), ("NVIDIA L4", 121), ("NVIDIA L40S", 362),
    ("NVIDIA GeForce RTX 4090", 165), ("NVIDIA A10G", None), ("Tesla V100-SXM2-16GB", None),
    ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None)])
def test_peaks_of_gpus(name, peak):
    assert processes.gpu_peak(name) == (None if peak is None else peak * 1e12)


# ---------------------------------------------------------------- what readers of the code asked for
def test_what_the_caller_calls_the_same_must_be_the_same(tmp_path):
    arguments = training_runs.make("images")
    arguments["config"] = replace(arguments["config"], steps=4)
    train(**arguments, folder=tmp_path, identity={"tokenizer": {"vae": "aa"}})
    again = training_runs.make("images") | dict(config=arguments["config"], folder=tmp_path, resume=True)
    with pytest.raises(ValueError,
                       match="^tokenizer.vae: the checkpoint was trained with 'aa', resumed with 'bb'"):
        train(**again, identity={"tokenizer": {"vae": "bb"}})
    assert train(**again, identity={"tokenizer": {"vae": "aa"}}).steps == 4


def test_what_the_caller_calls_the_same_has_names_of_its_own():
    with pytest.raises(ValueError,
                       match="^identity: expected names that the training does not use itself, got lr, seed"):
        train(**training_runs.make("images"), identity={"seed": 7, "lr": 1, "data": "x"})


def test_micro_batches_report_the_same_scalars():
    arguments, calls = training_runs.make("images"), []
    plain = arguments["loss_fn"]

    def loss_fn(*inputs):
        calls.append(1)
        return plain(*inputs), {"one": torch.ones(())} if len(calls) % 2 else {}

    with pytest.raises(ValueError,
                       match=r"^loss_fn: expected the same scalars .* micro-batch, got \[\] after \['one'\]"):
        train(**arguments | dict(loss_fn=loss_fn))


def test_shared_parameters_are_averaged_under_each_name():
    module = training_runs.Tied()
    result = train(module, lambda m, batch, generator: m.second(m.first(batch[0])).square().mean(),
                   lambda ids, generator: (torch.ones(len(ids), 3),),
                   8, TrainConfig(12, batch_size=4, warmup=0, precision="fp32"), progress=False, device="cpu")
    assert torch.equal(result.ema["first.weight"], result.ema["second.weight"])
    assert not torch.equal(result.ema["second.weight"], module.second.weight)


@pytest.mark.parametrize("name", ["loss", "lr", "step", "rows"])
def test_numbers_of_the_loop_are_not_written_over(name):
    arguments = training_runs.make("tokens")
    with pytest.raises(ValueError, match=f"^evaluate: '{name}' is a number of the loop itself"):
        train(**arguments | dict(evaluate=lambda module, step: {name: 1.0}))
    loss_fn = arguments["loss_fn"]
    with pytest.raises(ValueError, match=f"^loss_fn: '{name}' is a number of the loop itself"):
        train(**arguments | dict(loss_fn=lambda *a: (loss_fn(*a), {name: 1.0})))


def test_beginning_anew_is_said(tmp_path):
    arguments = training_runs.make("tokens", replace(training_runs.CONFIG, steps=1))
    with pytest.warns(UserWarning, match="holds no checkpoint, the training begins anew"):
        train(**arguments, folder=tmp_path, resume=True)


def test_a_batch_may_be_a_list():
    seen = []
    loss = lambda module, batch, generator: (seen.append(len(batch)),
                                             module(batch[0]).sum() + 0 * batch[1].sum())[1]
    train(nn.Linear(1, 1), loss, lambda ids, generator: [torch.ones(len(ids), 1), torch.zeros(1)], 4,
          TrainConfig(1, batch_size=2, warmup=0, precision="fp32"), progress=False, device="cpu")
    assert seen == [2]


def test_what_the_caller_has_compiled_trains_compiled():
    graphs, stack = [], Stack()
    for layer in stack.layers:
        layer.compile(backend=lambda graph, inputs: (graphs.append(graph), graph.forward)[1])
    before = translations(stack)
    train(stack, lambda module, batch, generator: module(batch[0]).square().mean(), lambda ids,
          generator: (torch.ones(len(ids), 4),), 4,
          TrainConfig(1, batch_size=2, warmup=0, precision="fp32"), progress=False, device="cpu")
    assert graphs and translations(stack) == before


# ---- checkpoints of earlier and later versions

def rewritten(folder, change):
    "Change the identity in the newest checkpoint of a folder."
    path = newest_checkpoint(folder) / "state.json"
    state = json.loads(path.read_text())
    change(state["identity"])
    path.write_text(json.dumps(state))


@pytest.fixture
def short(tmp_path):
    "The arguments of a finished run of two steps."
    arguments = training_runs.make("tokens", replace(training_runs.CONFIG, steps=2)) | dict(folder=tmp_path)
    train(**arguments)
    return arguments | dict(resume=True)


def test_a_checkpoint_names_what_differs_from_the_defaults(short):
    named = set(files_of(short["folder"]).identity)
    assert {"steps", "batch_size", "optimizer", "precision", "num_samples", "micro_batches"} <= named
    assert not named & {"lr", "clip_norm", "schedule", "accumulation", "processes"}


def test_a_setting_that_a_checkpoint_does_not_know_has_its_default(short):
    @dataclass(frozen=True)
    class LaterConfig(TrainConfig):
        "TrainConfig of a later version."
        polish: float = 0.5

    later = {field.name: getattr(short["config"], field.name) for field in fields(TrainConfig)}
    with mock.patch.object(training, "TrainConfig", LaterConfig):
        assert train(**short | dict(config=LaterConfig(**later))).steps == 2
        with pytest.raises(ValueError, match="^polish: .* trained with 0.5, resumed with 0.7"):
            train(**short | dict(config=LaterConfig(**later, polish=0.7)))


def test_a_checkpoint_that_names_every_setting_goes_on(short):   # as earlier versions wrote them
    rewritten(short["folder"], lambda identity: identity.update(asdict(short["config"]) | identity))
    assert train(**short).steps == 2


def test_a_missing_setting_is_compared_by_its_default(short):
    rewritten(short["folder"], lambda identity: identity.pop("warmup"))
    with pytest.raises(ValueError, match="^warmup: the checkpoint was trained with 100, resumed with 5"):
        train(**short)


@pytest.mark.parametrize("value", [1, None])
def test_a_setting_that_nobody_knows_is_an_error(short, value):
    rewritten(short["folder"], lambda identity: identity.update(future=value))
    if value is None:
        assert "future" in files_of(short["folder"]).identity
    with pytest.raises(ValueError, match=f"^future: the checkpoint was trained with {value}, "):
        train(**short)


# ---- one process keeps to itself

OF_ONES_OWN = """
import sys, torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from tests import training_runs
from tokenbridge.training import reproducible, train

def trained():
    result = train(**training_runs.make("tokens"))
    return [t.sum().item() for t in result.ema.values()], reproducible(result.history)

alone = trained()
assert not AcceleratorState._shared_state and not PartialState._shared_state, "state was left behind"
theirs = Accelerator(mixed_precision="bf16", cpu=True, gradient_accumulation_steps=3)
assert trained() == alone, "the caller's Accelerator changed the training"
assert theirs.mixed_precision == "bf16" and theirs.gradient_accumulation_steps == 3
assert Accelerator().mixed_precision == "bf16"
print("undisturbed")
"""


def test_a_caller_may_have_an_accelerator_before_and_after():
    done = launch("tests.training_runs", "program", OF_ONES_OWN)
    assert done.stdout.split()[-1:] == ["undisturbed"], done.stderr


def test_one_process_does_not_import_accelerate():
    done = launch("tests.training_runs", "program", """
import sys
from tests import training_runs
from tokenbridge.processes import one_after_the_other
from tokenbridge.training import train
with one_after_the_other():
    train(**training_runs.make("images", training_runs.replace(training_runs.CONFIG, steps=1)))
print("accelerate" in sys.modules)
""")
    assert done.stdout.split() == ["False"], done.stderr


def test_gradients_of_several_processes_are_not_kept_twice(monkeypatch):
    accelerate = mock.Mock(DistributedDataParallelKwargs=mock.Mock(return_value="handler"))
    accelerate.Accelerator.return_value.device.type = "cpu"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with mock.patch.dict(sys.modules, accelerate=accelerate):
        processes.start_processes("cpu")
    accelerate.DistributedDataParallelKwargs.assert_called_once_with(gradient_as_bucket_view=True)
    assert accelerate.Accelerator.call_args.kwargs["kwargs_handlers"] == ["handler"]


def test_without_a_launcher_this_is_the_main_process(monkeypatch):
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert processes.processes_started() == 1 and processes.is_main_process()
    monkeypatch.setenv("RANK", "1")
    assert not processes.is_main_process()


def test_one_goes_ahead_of_the_others(tmp_path):
    done = launch("torch.distributed.run", "--standalone", "--nproc_per_node", 2, "-m", "tests.training_runs",
                  "queue", tmp_path)
    times = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert times[0]["left"] <= times[1]["entered"], done.stderr


class Read(TorchDispatchMode):
    "Counts how often a tensor becomes a number."

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_step_asks_for_no_number_but_those_it_reports():
    config = TrainConfig(4, batch_size=4, accumulation=2, warmup=0, precision="fp32")
    lists, original = [], torch.Tensor.tolist
    inside = lambda module, batch, generator: (module(batch[0]).square().mean(), {"one": torch.ones(())})
    with Read() as read, mock.patch.object(torch.Tensor, "tolist",
                                           lambda tensor: (lists.append(1), original(tensor))[1]):
        train(nn.Linear(3, 3), inside, lambda ids, generator: (torch.ones(len(ids), 3),), 8, config,
              progress=False, device="cpu")
    assert read.count == 0 and len(lists) == config.steps + 1   # once a step, and `num_samples` before
