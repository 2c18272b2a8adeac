"Bad inputs of `optim`, and the message each must give."
import torch
from torch import nn

from tokenbridge import optim as t
from tokenbridge.optim import Muon, TrainConfig

NAN = float("nan")
CONFIG = TrainConfig(1, batch_size=2, warmup=0, precision="fp32")


def frozen():
    module = nn.Linear(1, 1)
    module.requires_grad_(False)
    return module


def config(**settings):
    return lambda: TrainConfig(**{"steps": 10} | settings)


def swap(tensors):
    with t.weights_swapped(nn.Linear(1, 1), tensors):
        pass


class Telling(nn.ModuleList):
    "A list of one matrix (4, 2) that tells pieces."

    def __init__(self, pieces: dict):
        super().__init__([nn.Linear(2, 4)])
        self.pieces = pieces

    def muon_pieces(self) -> dict:
        return self.pieces


def muon(pieces: dict):
    return lambda: t.make_optimizers(Telling(pieces), TrainConfig(1, optimizer="muon"))


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
        (config(decaying="all"), ValueError, "decaying: expected one of 'layers', 'matrices', got 'all'"),
        (config(ema_warmup="yes"), ValueError, "ema_warmup: expected one of True, False, got 'yes'"),
        (config(precision="fp16"), ValueError,
         "precision: expected one of 'auto', 'fp32', 'bf16', got 'fp16'"),
        (config(seed=-1), ValueError, "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (config(seed=2 ** 63), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got 9223372036854775808"),
        (config(log_every=0), ValueError, "log_every: expected an integer of at least 1"),
        (config(save_every=0), ValueError, "save_every: expected an integer of at least 1"),
        (config(keep_every=-1), ValueError, "keep_every: expected an integer of at least 0"),
        (config(eval_every=-1), ValueError, "eval_every: expected an integer of at least 0"),
    ],
    "flat_until": "internal: takes a TrainConfig, which has been checked",
    "shortened": [
        (lambda: t.shortened(CONFIG, 0), ValueError, "steps: expected an integer of at least 1, got 0"),
        (lambda: t.shortened(CONFIG, 2.5), ValueError, "steps: expected an integer"),
    ],
    "for_epochs": [
        (lambda: t.for_epochs(CONFIG, 0, 10), ValueError, "epochs: expected a number above 0, got 0"),
        (lambda: t.for_epochs(CONFIG, 1, 0), ValueError, "num: expected an integer of at least 1, got 0"),
    ],
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
    "split_parameters": [
        (lambda: t.split_parameters(nn.Linear(1, 1), "all"), ValueError,
         "decaying: expected one of 'layers', 'matrices', got 'all'"),
    ],
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
        (muon({"qkv.weight": 3}), ValueError,
         "Telling.muon_pieces: expected names of matrices and numbers of pieces that divide their rows, "
         "got 'qkv.weight': 3"),
        (muon({"0.bias": 2}), ValueError, "got '0.bias': 2"),
        (muon({"0.weight": 3}), ValueError, "got '0.weight': 3"),
        (lambda: t.make_optimizers(frozen(), CONFIG), ValueError,
         "module: expected trainable parameters, got none"),
    ],
}
