"Bad inputs of `training`, and the message each must give."
from contextlib import nullcontext
from unittest import mock

import torch
from torch import nn

from tests.bad_inputs.checkpoints import A_FILE, FOLDER, TORN, full_disk
from tests.bad_inputs.optim import CONFIG, NAN, frozen
from tokenbridge import training as t
from tokenbridge.optim import TrainConfig

INF = float("inf")


def run(loss_fn=lambda module, batch, generator: module(batch[0]).sum(), config=CONFIG, module=None,
        num_samples=2, **options):
    module = nn.Linear(1, 1) if module is None else module
    return t.train(module, loss_fn, lambda ids, generator: (torch.ones(len(ids), 1),), num_samples, config,
                   progress=False, **options)


def sometimes():
    "A loss with one more scalar in its second step."
    calls = iter(({}, {"more": 1.0}))
    return lambda module, batch, generator: (module(batch[0]).sum(), next(calls))


def broken_compiler():
    return mock.patch.object(torch, "compile",
                             side_effect=RuntimeError("\nNo working C++ compiler found.\nand a long story"))


def check_compiler():
    with broken_compiler():
        t.check_compiler("cpu")


def compile_layers(module, compiler_works=True):
    with nullcontext() if compiler_works else broken_compiler(), t.layers_compiled(module):
        pass


ROWS = {
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
    "check_compiler": [
        (check_compiler, ValueError, "compiled: torch.compile does not work here: No working C++ compiler"),
    ],
    "seeded": "internal: takes a seed that step_seed made or a configuration checked",
    "StepGenerator": "internal: a generator with one attribute more, made by step_generator",
    "step_generator": "internal: hashes whatever numbers it is given",
    "MEASURED": "internal: names of columns",
    "reproducible": "internal: leaves out columns of whatever rows it is given",
    "step_seed": "internal: hashes its arguments, whatever they are",
    "TrainResult": "internal: what train returns",
    "train": [
        (lambda: run(flops=0), ValueError, "flops: expected a number above 0, got 0"),
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
        (lambda: run(change="lr", resume=True, folder=FOLDER), ValueError,
         "change: expected names of settings, such as ('lr',), got one string"),
        (lambda: run(change=["rate"], resume=True, folder=FOLDER), ValueError,
         "change: expected one of 'lr', 'muon_lr', 'final_lr', 'weight_decay', 'clip_norm', 'ema_decay', "
         "'micro_batches', got 'rate'"),
        (lambda: run(change=["steps"], resume=True, folder=FOLDER), ValueError, "got 'steps'"),
        (lambda: run(change=["lr"]), ValueError,
         "change: expected resume=True, since a new training just has its lr"),
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
