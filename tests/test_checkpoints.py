"Checkpoints: found, whole, and with the optimizers' memories in them."
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import training_runs
from tests.training_runs import same
from tokenbridge import checkpoints
from tokenbridge.checkpoints import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    pack_optimizers,
    save_checkpoint,
    save_milestone,
    shares,
    unpack_optimizers_,
)
from tokenbridge.files import file_hash
from tokenbridge.optim import Muon, make_optimizers


def test_checkpoints_beyond_a_million_steps_are_ordered(tmp_path):
    for step in (999_999, 1_000_000):
        save_checkpoint(tmp_path,
                        Checkpoint(step, {}, {"a": torch.ones(1)}, {"a": torch.ones(1)}, {"a": torch.ones(1)},
                                   [], {}))
    assert newest_checkpoint(tmp_path).name == "step-1000000"


def test_optimizer_memories_survive_the_trip():
    arguments = training_runs.make("tokens")
    module, config = arguments["module"], arguments["config"]
    optimizers = make_optimizers(module, config)
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.AdamW, Muon]
    for p in module.parameters():
        p.grad = torch.ones_like(p)
    for optimizer in optimizers:
        optimizer.step()
    packed = pack_optimizers(module, optimizers)
    assert {key.rsplit("|")[1] for key in packed} == {"momentum", "exp_avg", "exp_avg_sq", "step"}
    fresh = make_optimizers(module, config)
    unpack_optimizers_(module, fresh, packed)
    assert same(packed, pack_optimizers(module, fresh))


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 50)), st.integers(1, 5))
def test_shares_hold_every_name_once_and_weigh_about_the_same(sizes, num):
    lists = shares(sizes, num)
    assert len(lists) == num and sorted(name for names in lists for name in names) == sorted(sizes)
    weights = [sum(sizes[name] for name in names) for names in lists]
    assert max(weights) - min(weights) <= max(sizes.values(), default=0)
    assert lists == shares(dict(sorted(sizes.items(), reverse=True)), num), "in any order"


def test_a_milestone_holds_averages_and_stays(tmp_path):
    whole = Checkpoint(3, {"steps": 9}, *({name: torch.full((2,), 1.0)} for name in "abc"), [{"step": 3}], {})
    target = save_milestone(tmp_path, whole)
    for step in (4, 5, 6):
        save_checkpoint(tmp_path, replace(whole, step=step))
    assert target == tmp_path / "milestones" / "step-000003" and newest_checkpoint(tmp_path).name[-1] == "6"
    kept = load_checkpoint(target)
    assert same(kept.ema, whole.ema) and kept.history == whole.history and not kept.model | kept.optimizer
    assert save_milestone(tmp_path, whole) == target and same(load_checkpoint(target).ema, whole.ema)


def test_a_checkpoint_is_hashed_once(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, Checkpoint(3, {}, *({name: torch.ones(2)} for name in "abc"), [], {}))
    read = []
    monkeypatch.setattr(checkpoints, "file_hash", lambda path: (read.append(path.name), file_hash(path))[1])
    load_checkpoint(newest_checkpoint(tmp_path), checked=True)
    assert sorted(read) == ["ema.safetensors", "history.jsonl", "model.safetensors", "optimizer.safetensors"]
