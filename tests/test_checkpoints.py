"Checkpoints: found, whole, and with the optimizers' memories in them."
import torch

from tests import training_runs
from tests.training_runs import same
from tokenbridge.checkpoints import (
    Checkpoint,
    newest_checkpoint,
    pack_optimizers,
    save_checkpoint,
    unpack_optimizers_,
)
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
