"Bad inputs of `backbone`, and the message each must give."
import torch

from tokenbridge import backbone as m
from tokenbridge.backbone import BackboneConfig

SIZES = dict(tokens=6, dims=5, classes=3, width=12, encoder_blocks=1, decoder_blocks=1, heads=3,
             class_tokens=2)
MASKED, CAUSAL = m.make_backbone(BackboneConfig(**SIZES)), m.make_backbone(BackboneConfig(kind="causal",
    **SIZES))
LATENTS, LABELS, MASK = torch.zeros(2, 6, 5), torch.tensor([0, 3]), torch.ones(2, 6, dtype=torch.bool)
FIRST = torch.zeros(2, 1, dtype=torch.int64)


def fed():
    "A causal generation that has come to place 2."
    state = CAUSAL.start(LABELS)
    CAUSAL.predict(state, LATENTS, None, FIRST + 2)
    return state


def forward(model) -> list:
    "What both kinds refuse to look at."
    return [
        (lambda: model(LATENTS[0], LABELS, MASK), ValueError, "latents: expected shape (b n d)"),
        (lambda: model(LATENTS[:, :5], LABELS, MASK), ValueError,
         "latents: expected shape (b n d), n = 6, d = 5, got shape (2, 5, 5)"),
        (lambda: model(LATENTS.long(), LABELS, MASK), ValueError, "latents: expected float values"),
        (lambda: model(LATENTS, LABELS[:1], MASK), ValueError,
         "labels: expected shape (b), b = 2, got shape (1,)"),
        (lambda: model(LATENTS, LABELS.float(), MASK), ValueError, "labels: expected int values"),
        (lambda: model(LATENTS, LABELS + 1, MASK), ValueError, "labels: expected integers in [0, 3], got 4"),
        (lambda: model(LATENTS, LABELS - 1, MASK), ValueError, "labels: expected integers in [0, 3], got -1"),
    ]


def start(model) -> list:
    return [
        (lambda: model.start(LABELS + 1), ValueError, "labels: expected integers in [0, 3], got 4"),
        (lambda: model.start(LABELS[None]), ValueError, "labels: expected shape (b), got shape (1, 2)"),
        (lambda: model.start(LABELS, batch=3), ValueError, "labels: expected shape (b), b = 3"),
        (lambda: model.start(None), ValueError, "batch: expected an integer of at least 1, got None"),
    ]


ROWS = {
    "BackboneConfig": [
        (lambda: BackboneConfig(kind="diffusion"), ValueError,
         "kind: expected one of 'masked', 'causal', got 'diffusion'"),
        (lambda: BackboneConfig(tokens=0), ValueError, "tokens: expected an integer of at least 1, got 0"),
        (lambda: BackboneConfig(dims=16.0), ValueError, "dims: expected an integer of at least 1, got 16.0"),
        (lambda: BackboneConfig(classes=0), ValueError, "classes: expected an integer of at least 1"),
        (lambda: BackboneConfig(class_tokens=0), ValueError,
         "class_tokens: expected an integer of at least 1"),
        (lambda: BackboneConfig(encoder_blocks=-1), ValueError,
         "encoder_blocks: expected an integer of at least 1"),
        (lambda: BackboneConfig(decoder_blocks=0), ValueError,
         "decoder_blocks: expected an integer of at least 1"),
        (lambda: BackboneConfig(heads=7), ValueError, "heads: expected a divisor of the width 192, got 7"),
        (lambda: BackboneConfig(decoder_width=64), ValueError,
         "decoder_heads: expected a divisor of the width 64, got 6"),
        (lambda: BackboneConfig(decoder_heads=0), ValueError,
         "decoder_heads: expected an integer of at least 1, got 0"),
        (lambda: BackboneConfig(kind="causal", decoder_width=96), ValueError,
         "decoder_width: expected None, the causal backbone has one stack, got 96"),
        (lambda: BackboneConfig(kind="causal", decoder_heads=2), ValueError,
         "decoder_heads: expected None, the causal backbone has one stack"),
        (lambda: BackboneConfig(dropout=1.1), ValueError, "dropout: expected a number in [0, 1], got 1.1"),
        (lambda: BackboneConfig(attention_dropout=-0.1), ValueError,
         "attention_dropout: expected a number in [0, 1]"),
        (lambda: BackboneConfig(label_dropout=2), ValueError,
         "label_dropout: expected a number in [0, 1], got 2"),
        (lambda: BackboneConfig(mask_ratio_low=float("nan")), ValueError,
         "mask_ratio_low: expected a number in [0, 1], got nan"),
        (lambda: BackboneConfig(mask_ratio_deviation=0), ValueError,
         "mask_ratio_deviation: expected a number above 0, got 0"),
        (lambda: BackboneConfig(mlp_ratio=0), ValueError, "mlp_ratio: expected a number above 0, got 0"),
        (lambda: BackboneConfig(norm_eps=0.0), ValueError, "norm_eps: expected a number above 0, got 0.0"),
    ],
    "mask_ratio": [
        (lambda: m.mask_ratio(1.5), ValueError, "uniform: expected a number in [0, 1], got 1.5"),
        (lambda: m.mask_ratio(0.5, low=-0.1), ValueError, "low: expected a number in [0, 1], got -0.1"),
        (lambda: m.mask_ratio(0.5, deviation=0), ValueError, "deviation: expected a number above 0, got 0"),
    ],
    "mean_hidden": "internal: a BackboneConfig has checked its numbers",
    "BackboneState": "internal: made by start, handed back to predict",
    "Backbone": "internal: the common part of the two kinds, which are in this table",
    "MaskedBackbone": [
        (lambda: m.MaskedBackbone(BackboneConfig(kind="causal")), ValueError,
         "kind: expected one of 'masked', got 'causal'"),
    ],
    "MaskedBackbone.forward": forward(MASKED) + [
        (lambda: MASKED(LATENTS, LABELS, MASK.long()), ValueError,
         "mask: expected bool values of shape (b n), got shape (2, 6) of int64"),
        (lambda: MASKED(LATENTS, LABELS, MASK[:1]), ValueError,
         "mask: expected shape (b n), b = 2, n = 6, got shape (1, 6)"),
        (lambda: MASKED(LATENTS, LABELS, None), ValueError,
         "mask: expected a tensor of shape (b n), got NoneType"),
        (lambda: MASKED(LATENTS, LABELS, MASK, visible=2), ValueError,
         "visible: expected the number of visible tokens of every image, got 2"),
        (lambda: MASKED(LATENTS, LABELS, MASK, visible=7), ValueError,
         "visible: expected an integer in [0, 6], got 7"),
    ],
    "MaskedBackbone.encode": [(lambda: MASKED.encode(LATENTS, LABELS, MASK[:, :5]), ValueError,
                               "mask: expected shape (b n), b = 2, n = 6")],
    "MaskedBackbone.decode": "internal: called by forward with what encode gave",
    "MaskedBackbone.start": start(MASKED),
    "MaskedBackbone.predict": [
        (lambda: MASKED.predict(MASKED.start(LABELS), LATENTS, MASK, FIRST + 6), ValueError,
         "positions: expected integers in [0, 5], got 6"),
        (lambda: MASKED.predict(MASKED.start(LABELS), LATENTS, MASK, FIRST[0]), ValueError,
         "positions: expected shape (b m), b = 2"),
        (lambda: MASKED.predict(MASKED.start(LABELS[:1]), LATENTS, MASK, FIRST[:1]), ValueError,
         "labels: expected shape (b), b = 2"),
    ],
    "MaskedBackbone.drop_labels": [
        (lambda: MASKED.drop_labels(LABELS.float()), ValueError, "labels: expected int values of shape (b)"),
        (lambda: MASKED.drop_labels(LABELS[None]), ValueError,
         "labels: expected shape (b), got shape (1, 2)"),
    ],
    "MaskedBackbone.training_mask": [(lambda: MASKED.training_mask(0), ValueError,
                                      "batch: expected an integer of at least 1, got 0")],
    "MaskedBackbone.default_order": [(lambda: MASKED.default_order(-1), ValueError,
                                      "batch: expected an integer of at least 1, got -1")],
    "MaskedBackbone.check_plan": [
        (lambda: MASKED.check_plan(0), ValueError, "steps: expected an integer in [1, 6], got 0"),
        (lambda: MASKED.check_plan(7), ValueError, "steps: expected an integer in [1, 6], got 7"),
    ],
    "CausalBackbone": [
        (lambda: m.CausalBackbone(BackboneConfig()), ValueError,
         "kind: expected one of 'causal', got 'masked'"),
    ],
    "CausalBackbone.forward": forward(CAUSAL),
    "CausalBackbone.start": start(CAUSAL),
    "CausalBackbone.predict": [
        (lambda: CAUSAL.predict(CAUSAL.start(LABELS), LATENTS, MASK, torch.tensor([[0], [1]])), ValueError,
         "positions: expected one position in [0, 5] for all images, got 0 to 1"),
        (lambda: CAUSAL.predict(CAUSAL.start(LABELS), LATENTS, MASK, torch.tensor([[0, 1]] * 2)), ValueError,
         "positions: expected shape (b 1), b = 2"),
        (lambda: CAUSAL.predict(fed(), LATENTS, MASK, FIRST + 1), ValueError,
         "positions: expected one position in [2, 5] for all images, got 1"),
        (lambda: CAUSAL.predict(CAUSAL.start(LABELS), LATENTS, MASK, FIRST + 6), ValueError,
         "positions: expected one position in [0, 5]"),
        (lambda: CAUSAL.predict(CAUSAL.start(LABELS), LATENTS[:1], MASK, FIRST), ValueError,
         "latents: expected shape (b n d), b = 2, n = 6, d = 5"),
    ],
    "CausalBackbone.default_order": [(lambda: CAUSAL.default_order(0), ValueError,
                                      "batch: expected an integer of at least 1, got 0")],
    "CausalBackbone.training_mask": [(lambda: CAUSAL.training_mask(0), ValueError,
                                      "batch: expected an integer of at least 1, got 0")],
    "CausalBackbone.check_plan": [
        (lambda: CAUSAL.check_plan(3), ValueError,
         "steps: expected 6 or None, a causal backbone generates one token a step, got 3"),
        (lambda: CAUSAL.check_plan(None, "confidence"), ValueError,
         "order: expected 'raster' or None, a causal backbone has no other, got 'confidence'"),
        (lambda: CAUSAL.check_plan(None, torch.arange(6).flip(0)[None]), ValueError,
         "order: expected 'raster' or None, a causal backbone has no other, got 'another order'"),
        (lambda: CAUSAL.check_plan(None, None, torch.tensor([[False] * 5 + [True]])), ValueError,
         "known: expected the same first tokens"),
        (lambda: CAUSAL.check_plan(None, None, torch.ones(2, 5, dtype=torch.bool)), ValueError,
         "known: expected shape (b n), n = 6"),
    ],
    "make_backbone": [(lambda: m.make_backbone({"kind": "masked"}), ValueError,
                       "config: expected a BackboneConfig, got dict")],
}
