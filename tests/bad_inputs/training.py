"Bad inputs of `training`, and the message each must give."
import errno
import tempfile
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from tokenbridge import training as t
from tokenbridge.training import Checkpoint, Muon, TrainConfig

NAN, INF = float("nan"), float("inf")
FOLDER = Path(tempfile.mkdtemp(prefix="bad-inputs-"))
A_FILE, TORN = FOLDER / "file", FOLDER / "torn" / "checkpoints" / "step-000007"
A_FILE.write_text("x")
TORN.mkdir(parents=True)
(TORN / "state.json").write_text('{"sha256": {"model.safetensors": "0"}}')
CONFIG = TrainConfig(1, batch_size=2, warmup=0, precision="fp32")
EMPTY = Checkpoint(3, {}, {"a": torch.ones(1)}, {}, {}, [], {})


def run(loss_fn=lambda module, batch, generator: module(batch[0]).sum(), config=CONFIG, module=None,
        num_samples=2, **options):
    module = nn.Linear(1, 1) if module is None else module
    return t.train(module, loss_fn, lambda ids, generator: (torch.ones(len(ids), 1),), num_samples, config,
                   progress=False, **options)


def sometimes():
    "A loss with one more scalar in its second step."
    calls = iter(({}, {"more": 1.0}))
    return lambda module, batch, generator: (module(batch[0]).sum(), next(calls))


def full_disk(write):
    with mock.patch.object(t, "save_tensors", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        return write()


def frozen():
    module = nn.Linear(1, 1)
    module.requires_grad_(False)
    return module


def config(**settings):
    return lambda: TrainConfig(**{"steps": 10} | settings)


def swap(tensors):
    with t.weights_swapped(nn.Linear(1, 1), tensors):
        pass


def compile_layers(module, compiler_works=True):
    broken = mock.patch.object(torch, "compile",
                               side_effect=RuntimeError("\nNo working C++ compiler found.\nand a long story"))
    with nullcontext() if compiler_works else broken, t.layers_compiled(module):
        pass


ROWS = {
    "TrainConfig": [
        (config(steps=0), ValueError, "steps: expected an integer of at least 1, got 0"),
        (config(steps=2.5), ValueError, "steps: expected an integer"),
        (config(batch_size=0), ValueError, "batch_size: expected an integer of at least 1, got 0"),
        (config(accumulation=3), ValueError, "batch_size: expected a multiple of accumulation 3, got 64"),
        (config(accumulation=0), ValueError, "accumulation: expected an integer of at least 1"),
        (config(optimizer="sgd"), ValueError, "optimizer: expected one of 'adamw', 'muon', got 'sgd'"),
        (config(lr=0.0), ValueError, "lr: expected a number above 0.0, got 0.0"),
        (config(lr=NAN), ValueError, "lr: expected a number"),
        (config(muon_lr=-1.0), ValueError, "muon_lr: expected a number above 0.0, got -1.0"),
        (config(final_lr=1.0), ValueError, "final_lr: expected a number in [0.0, 0.001], got 1.0"),
        (config(warmup=-1), ValueError, "warmup: expected an integer of at least 0, got -1"),
        (config(schedule="linear"), ValueError,
         "schedule: expected one of 'cosine', 'constant', 'trapezoid', got 'linear'"),
        (config(cooldown=1.5), ValueError, "cooldown: expected a number"),
        (config(betas=(0.9, 1.5)), ValueError, "betas: expected a number in [0.0, 1.0], got 1.5"),
        (config(betas=(0.9,)), ValueError, "betas: expected two numbers"),
        (config(betas=0.9), ValueError, "betas: expected two numbers, got 0.9"),
        (config(betas=(0.9, 1.0)), ValueError, "betas: expected numbers below 1, got (0.9, 1.0)"),
        (config(weight_decay=-0.1), ValueError, "weight_decay: expected a number"),
        (config(clip_norm=0), ValueError, "clip_norm: expected a number above 0.0, got 0"),
        (config(ema_decay=1.1), ValueError, "ema_decay: expected a number in [0.0, 1.0], got 1.1"),
        (config(precision="fp16"), ValueError,
         "precision: expected one of 'auto', 'fp32', 'bf16', got 'fp16'"),
        (config(seed=-1), ValueError, "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (config(seed=2 ** 63), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got 9223372036854775808"),
        (config(log_every=0), ValueError, "log_every: expected an integer of at least 1"),
        (config(save_every=0), ValueError, "save_every: expected an integer of at least 1"),
        (config(eval_every=-1), ValueError, "eval_every: expected an integer of at least 0"),
    ],
    "level_steps": "internal: takes a TrainConfig, which has been checked",
    "learning_rate": [
        (lambda: t.learning_rate(-1, CONFIG), ValueError, "step: expected an integer of at least 0, got -1"),
        (lambda: t.learning_rate(0.5, CONFIG), ValueError, "step: expected an integer"),
    ],
    "ema_init": "internal: copies whatever tensors a module has",
    "ema_decay_at": [
        (lambda: t.ema_decay_at(-1, 0.9), ValueError, "step: expected an integer of at least 0, got -1"),
        (lambda: t.ema_decay_at(0, 1.2), ValueError, "decay: expected a number in [0.0, 1.0], got 1.2"),
    ],
    "ema_update_": [
        (lambda: t.ema_update_({"a": torch.ones(1)}, {"b": torch.ones(1)}, 0.9), ValueError,
         "tensors: expected the names of the averages, got ['a', 'b']"),
        (lambda: t.ema_update_({"a": torch.ones(1)}, {"a": torch.ones(1)}, -0.1), ValueError,
         "decay: expected a number in [0.0, 1.0], got -0.1"),
    ],
    "weights_swapped": [
        (lambda: swap({"weight": torch.ones(1)}), ValueError,
         "tensors['weight']: expected shape (1, 1), got (1,)"),
        (lambda: swap({"wieght": torch.ones(1, 1)}), ValueError,
         "tensors: expected names of parameters, got 'wieght'"),
    ],
    "processes_started": "internal: reads what the launcher has set",
    "split_parameters": "internal: sorts the parameters of any module, none is wrong",
    "orthogonalize": [
        (lambda: t.orthogonalize(torch.ones(2, 2)), ValueError,
         "matrices: expected shape (m rows columns), got shape (2, 2)"),
        (lambda: t.orthogonalize(torch.ones(1, 2, 2).long()), ValueError, "matrices: expected float values"),
        (lambda: t.orthogonalize(torch.ones(1, 2, 2), -1), ValueError,
         "steps: expected an integer of at least 0, got -1"),
    ],
    "Muon": [
        (lambda: Muon([nn.Parameter(torch.ones(3))]), ValueError,
         "params: expected matrices, got a parameter of shape (3,)"),
        (lambda: Muon([nn.Parameter(torch.ones(3, 3))], lr=-1.0), ValueError,
         "lr: expected a number of at least 0.0, got -1.0"),
        (lambda: Muon([nn.Parameter(torch.ones(3, 3))], momentum=1.5), ValueError,
         "momentum: expected a number in [0.0, 1.0], got 1.5"),
        (lambda: Muon([nn.Parameter(torch.ones(3, 3))], weight_decay=NAN), ValueError,
         "weight_decay: expected a number"),
    ],
    "Muon.step": "internal: reads gradients that autograd made",
    "make_optimizers": [
        (lambda: t.make_optimizers(nn.Linear(1, 1), TrainConfig(1, optimizer="muon")), ValueError,
         "optimizer: 'muon' trains the matrices of blocks"),
        (lambda: t.make_optimizers(frozen(), CONFIG), ValueError,
         "module: expected trainable parameters, got none"),
    ],
    "choose_precision": [
        (lambda: t.choose_precision("cpu", "half"), ValueError,
         "wanted: expected one of 'auto', 'fp32', 'bf16', got 'half'"),
        (lambda: t.choose_precision("gpu"), ValueError,
         "device: expected one of 'cpu', 'cuda', 'mps', got 'gpu'"),
    ],
    "keep_freed_memory": "internal: takes nothing",
    "layers_compiled": [
        (lambda: compile_layers(nn.Linear(1, 1)), ValueError,
         "module: expected repeated layers to compile (an nn.ModuleList), got a Linear without"),
        (lambda: compile_layers(nn.ModuleList([nn.Linear(1, 1)]), False), ValueError,
         "compiled: torch.compile does not work here: No working C++ compiler found."),
    ],
    "step_seed": "internal: hashes its arguments, whatever they are",
    "Checkpoint": "internal: holds what train wrote; load_checkpoint checks the files",
    "save_checkpoint": [
        (lambda: t.save_checkpoint(A_FILE, EMPTY), OSError, "cannot write checkpoint"),
        (lambda: t.save_checkpoint(FOLDER / "x", EMPTY, keep=0), ValueError,
         "keep: expected an integer of at least 1, got 0"),
        (lambda: full_disk(lambda: t.save_checkpoint(FOLDER / "full", EMPTY)), OSError,
         "No space left on device; last complete checkpoint: none"),
    ],
    "newest_checkpoint": "internal: answers None where there is no complete checkpoint",
    "load_checkpoint": [
        (lambda: t.load_checkpoint(FOLDER / "nowhere"), ValueError,
         "nowhere is missing, incomplete or damaged"),
        (lambda: t.load_checkpoint(A_FILE), ValueError, "file is missing, incomplete or damaged"),
        (lambda: t.load_checkpoint(TORN), ValueError, "step-000007 is missing, incomplete or damaged"),
    ],
    "pack_optimizers": "internal: reads the optimizers of make_optimizers",
    "unpack_optimizers_": [
        (lambda: t.unpack_optimizers_(nn.Linear(1, 1), [], {"weight|step": torch.ones(())}), ValueError,
         "packed: expected entries of trained parameters, got 'weight|step'"),
        (lambda: t.unpack_optimizers_(nn.Linear(1, 1), [], {"x": torch.ones(())}), ValueError,
         "packed: expected entries of trained parameters, got 'x'"),
    ],
    "TrainResult": "internal: what train returns",
    "train": [
        (lambda: run(num_samples=0), ValueError, "num_samples: expected an integer of at least 1, got 0"),
        (lambda: run(loss_fn=lambda *_: 1.0), ValueError, "loss_fn: expected a scalar tensor, got float"),
        (lambda: run(loss_fn=lambda module, batch, _: module(batch[0])), ValueError,
         "loss_fn: expected a scalar tensor, got torch.Size([2, 1])"),
        (lambda: run(loss_fn=lambda module, batch, _: module(batch[0]).sum() * NAN), RuntimeError,
         "loss: became nan in step 0; last good checkpoint: none"),
        (lambda: run(loss_fn=lambda module, batch, _: module(batch[0]).sum() * INF), RuntimeError,
         "in step 0; last good checkpoint: none"),
        (lambda: run(device="tpu"), ValueError, "device: expected one of 'cpu', 'cuda', got 'tpu'"),
        (lambda: run(trainable=["decoder"]), ValueError,
         "trainable: expected beginnings of parameters' names, got 'decoder'"),
        (lambda: run(compiled=True), ValueError, "module: expected repeated layers to compile"),
        (lambda: run(trainable="weight"), ValueError,
         "trainable: expected beginnings of names, such as ('weight',), got one string"),
        (lambda: run(resume=True), ValueError, "resume: expected a folder to go on from, got folder=None"),
        (lambda: run(loss_fn=sometimes(), config=TrainConfig(2, batch_size=2, warmup=0)), ValueError,
         "loss_fn: expected the same scalars in every step"),
        (lambda: run(loss_fn=lambda module, batch, _: (module(batch[0]).sum(), {"mse": 1.0}),
                     config=TrainConfig(1, batch_size=2, eval_every=1),
                     evaluate=lambda module, step: {"mse": 2.0}), ValueError,
                     "evaluate: 'mse' is logged by loss_fn already"),
        (lambda: run(module=frozen()), ValueError, "module: expected trainable parameters, got none"),
        (lambda: run(folder=A_FILE), OSError, "file"),
        (lambda: run(folder=TORN.parent.parent), ValueError,
         "holds checkpoints; pass resume=True or another folder"),
        (lambda: full_disk(lambda: run(folder=FOLDER / "also-full")), OSError,
         "No space left on device; last complete checkpoint: none"),
    ],
}
