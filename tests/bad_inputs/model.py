"Bad inputs of `model`, and the message each must give."
import dataclasses
from dataclasses import replace

import torch

from tokenbridge import model as m
from tokenbridge.backbone import Backbone, BackboneConfig, make_backbone
from tokenbridge.head import Head, HeadConfig, ParallelHead
from tokenbridge.vae import VAEConfig

BACKBONE = BackboneConfig(tokens=4, dims=3, classes=2, width=8, encoder_blocks=1, decoder_blocks=1, heads=2,
                          class_tokens=1)
HEAD = HeadConfig(dims=3, num_levels=5, context_width=8, width=8, blocks=1, heads=2)
CONFIG, LEVELS = m.ARConfig(BACKBONE, HEAD), torch.linspace(-1, 1, 5).expand(3, 5)
MODEL = m.ARModel(CONFIG, LEVELS)
INDICES, LABELS, MASK = torch.zeros(2, 4, 3, dtype=torch.int64), torch.zeros(2,
    dtype=torch.int64), torch.ones(2, 4, dtype=torch.bool)

PARALLEL = replace(HEAD, kind="parallel")


class Lacking(torch.nn.Module):
    "A head that can be trained and no more."
    def costs(self, context, tokens):
        return torch.zeros(tokens.shape)


class Stub:
    "All methods of a head, but nothing that could have weights."
    costs = noise = sample = lambda self: None


TOKENS = [
    (lambda call: call(INDICES[:, :3], LABELS, mask=MASK), ValueError,
     "indices: expected shape (b n d), n = 4, d = 3, got shape (2, 3, 3)"),
    (lambda call: call(INDICES.float(), LABELS, mask=MASK), ValueError, "indices: expected int values"),
    (lambda call: call(INDICES + 5, LABELS, mask=MASK), ValueError,
     "indices: expected integers in [0, 4], got 5"),
    (lambda call: call(INDICES, LABELS + 3, mask=MASK), ValueError,
     "labels: expected integers in [0, 2], got 3"),
    (lambda call: call(INDICES, LABELS.float(), mask=MASK), ValueError, "labels: expected int values"),
    (lambda call: call(INDICES, LABELS[:1], mask=MASK), ValueError,
     "labels: expected shape (b), b = 2, got shape (1,)"),
    (lambda call: call(INDICES, LABELS, mask=MASK[:, :3]), ValueError, "mask: expected shape (b n)"),
    (lambda call: call(INDICES, LABELS, mask=MASK.long()), ValueError, "mask: expected bool values"),
    (lambda call: call(INDICES, LABELS, mask=~MASK), ValueError,
     "mask: expected at least one hidden token, got none"),
]


def of(method):
    "The same rows for another method."
    return [(lambda row=row: row[0](method), *row[1:]) for row in TOKENS]


ROWS = {
    "ARConfig": [
        (lambda: m.ARConfig({}, HEAD), ValueError, "backbone: expected a BackboneConfig, got dict"),
        (lambda: m.ARConfig(BACKBONE, BACKBONE), ValueError,
         "head: expected a HeadConfig, got BackboneConfig"),
        (lambda: m.ARConfig(BACKBONE, HeadConfig(dims=4, context_width=8)), ValueError,
         "head.dims: expected 3, as the backbone has it, got 4"),
        (lambda: m.ARConfig(BACKBONE, HeadConfig(dims=3, context_width=9)), ValueError,
         "head.context_width: expected 8, as the backbone has it, got 9"),
    ],
    "ARModel": [
        (lambda: m.ARModel(BACKBONE, LEVELS), ValueError, "config: expected an ARConfig, got BackboneConfig"),
        (lambda: m.ARModel(CONFIG, LEVELS[:2]), ValueError,
         "levels: expected shape (d k), d = 3, k = 5, got shape (2, 5)"),
        (lambda: m.ARModel(CONFIG, LEVELS.long()), ValueError, "levels: expected float values"),
        (lambda: m.ARModel(CONFIG, LEVELS * float("nan")), ValueError, "levels: expected finite values"),
        (lambda: m.ARModel(CONFIG, LEVELS.flip(1)), ValueError, "levels: expected rows that ascend strictly"),
        (lambda: m.ARModel(CONFIG, LEVELS, [0, 1, 1]), ValueError,
         "order: expected a permutation of 0 to 2, got [0, 1, 1]"),
        (lambda: m.ARModel(m.ARConfig(BACKBONE), LEVELS), ValueError,
         "head: expected a HeadConfig in the config or a head of your own, got neither"),
        (lambda: m.ARModel(CONFIG, LEVELS, head=Lacking()), ValueError,
         "head: expected costs, noise and sample, got Lacking without noise, sample"),
        (lambda: m.ARModel(CONFIG, LEVELS, head=3), ValueError,
         "head: expected costs, noise and sample, got int without costs, noise, sample"),
        (lambda: m.ARModel(CONFIG, LEVELS, head=Stub()), ValueError,
         "head: expected costs, noise and sample, got Stub, which is not a torch.nn.Module"),
        (lambda: m.ARModel(CONFIG, LEVELS, head=Head()), ValueError, "got Head without costs, noise, sample"),
        (lambda: m.ARModel(CONFIG, LEVELS, backbone=Backbone(BACKBONE)), ValueError,
         "check_plan, got Backbone without forward, training_mask, default_order"),
        (lambda: m.ARModel(CONFIG, LEVELS, backbone=torch.nn.Linear(2, 2)), ValueError,
         "backbone: expected forward, start, predict, training_mask, drop_labels, default_order and "
         "check_plan, got Linear without start, predict, training_mask, drop_labels, default_order, "
         "check_plan"),
        (lambda: m.ARModel(CONFIG, LEVELS, [0, 1, 2], head=ParallelHead(PARALLEL)), ValueError,
         "order: expected None, a head of your own knows its order, got one"),
        (lambda: m.ARModel(CONFIG, LEVELS, head=ParallelHead(replace(PARALLEL, dims=4))), ValueError,
         "head.dims: expected 3, as the model has it, got 4"),
        (lambda: m.ARModel(CONFIG, LEVELS, head=ParallelHead(replace(PARALLEL, context_width=9))), ValueError,
         "head.context_width: expected 8, as the model has it, got 9"),
        (lambda: m.ARModel(CONFIG, LEVELS, backbone=make_backbone(replace(BACKBONE, tokens=9))), ValueError,
         "backbone.tokens: expected 4, as the model has it, got 9"),
        (lambda: m.ARModel(CONFIG, LEVELS, backbone=make_backbone(replace(BACKBONE, width=16))), ValueError,
         "backbone.context_width: expected 8, as the model has it, got 16"),
    ],
    "ARModel.loss": of(MODEL.loss),
    "ARModel.token_nll": of(MODEL.token_nll),
    "count_parameters": "internal: counts whatever module it is given",
    "ModelPreset": [
        (lambda: dataclasses.replace(m.PRESETS["cifar"], num_levels=8), ValueError,
         "num_levels: expected 16, as the generator has it, got 8"),
        (lambda: dataclasses.replace(m.PRESETS["cifar"], vae=VAEConfig(latent_dims=8)), ValueError,
         "vae: tokens: expected 64, as the generator has it, got 16"),
        (lambda: dataclasses.replace(m.PRESETS["cifar"], vae=VAEConfig(factor=4)), ValueError,
         "vae.latent_dims: expected 8, as the generator has it, got 16"),
    ],
    "training_flops": [
        (lambda: m.training_flops(m.ARConfig(BACKBONE)), ValueError,
         "config.head: expected a HeadConfig, got None"),
        (lambda: m.training_flops(CONFIG, 5), ValueError, "hidden: expected a number in [0, 4], got 5"),
    ],
    "layers_recomputed": [
        (lambda: m.layers_recomputed(MODEL, "tail").__enter__(), ValueError,
         "recompute: expected one of 'none', 'head', 'all', got 'tail'"),
        (lambda: m.layers_recomputed(torch.nn.Linear(1, 1)).__enter__(), ValueError,
         "recompute: expected repeated layers to compute twice (an nn.ModuleList) for 'all', got a Linear"),
    ],
    "PRESETS": "internal: a dictionary, `preset` reads it",
    "preset": [
        (lambda: m.preset("cifar-huge"), ValueError, "preset: expected one of 'cifar-tiny', 'cifar'"),
    ],
}
