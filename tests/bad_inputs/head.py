"Bad inputs of `head`, and the message each must give."
import math

import torch

from tokenbridge import head as h

SMALL = dict(dims=3, num_levels=4, context_width=5, width=8, blocks=1, heads=2)
HEAD, DIVERGED = (h.DimensionHead(h.HeadConfig(**SMALL)) for _ in range(2))
torch.nn.init.constant_(DIVERGED.out_bias, float("nan"))
CONTEXT, INDICES, NOISE = torch.zeros(2, 5), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3)
NAN = torch.tensor([[float("nan")] * 5] * 2)
LOGITS = torch.zeros(2, 4)
PARALLEL, LOST = (h.ParallelHead(h.HeadConfig(**SMALL, kind="parallel")) for _ in range(2))
torch.nn.init.constant_(LOST.out_bias, float("nan"))

FORWARD = [
    (lambda call: call(CONTEXT[:, :4], INDICES), ValueError,
     "context: expected shape (m e), e = 5, got shape (2, 4)"),
    (lambda call: call(CONTEXT.long(), INDICES), ValueError, "context: expected float values"),
    (lambda call: call(CONTEXT, INDICES[:1]), ValueError,
     "indices: expected shape (m d), m = 2, d = 3, got shape (1, 3)"),
    (lambda call: call(CONTEXT, INDICES.float()), ValueError, "indices: expected int values"),
    (lambda call: call(CONTEXT, INDICES + 4), ValueError, "indices: expected integers in [0, 3], got 4"),
    (lambda call: call(CONTEXT, INDICES - 1), ValueError, "indices: expected integers in [0, 3], got -1"),
]


def of(method, rows=FORWARD):
    "The same rows for another method."
    return [(lambda row=row: row[0](method), *row[1:]) for row in rows]


COSTS = [
    (lambda call: call(CONTEXT[:, :4], INDICES), ValueError,
     "context: expected shape (m e), e = 5, got shape (2, 4)"),
    (lambda call: call(CONTEXT.long(), INDICES), ValueError, "context: expected float values"),
    (lambda call: call(CONTEXT, INDICES[:1]), ValueError,
     "tokens: expected shape (m d), m = 2, d = 3, got shape (1, 3)"),
    (lambda call: call(CONTEXT, INDICES.float()), ValueError, "tokens: expected int values"),
]
DRAW = [
    (lambda call: call(CONTEXT[0], NOISE), ValueError,
     "context: expected shape (m e), e = 5, got shape (5,)"),
    (lambda call: call(NAN, NOISE), ValueError,
     "context: expected finite values, got 10 NaN or infinite of 10"),
    (lambda call: call(CONTEXT, NOISE[:, :2]), ValueError,
     "noise: expected shape (m d), m = 2, d = 3, got shape (2, 2)"),
    (lambda call: call(CONTEXT, NOISE + 1), ValueError,
     "noise: expected numbers in [0, 1), got 1.0 to 1.0"),
    (lambda call: call(CONTEXT, NOISE - 0.5), ValueError,
     "noise: expected numbers in [0, 1), got -0.5 to -0.5"),
    (lambda call: call(CONTEXT, NOISE * float("nan")), ValueError,
     "noise: expected numbers in [0, 1), got nan"),
    (lambda call: call(CONTEXT, NOISE, temperature=-1), ValueError,
     "temperature: expected a number of at least 0, got -1"),
    (lambda call: call(CONTEXT, NOISE, temperature=float("nan")), ValueError,
     "temperature: expected a number of at least 0, got nan"),
    (lambda call: call(CONTEXT, NOISE, top_k=0), ValueError,
     "top_k: expected an integer of at least 1, got 0"),
    (lambda call: call(CONTEXT, NOISE, top_p=0.0), ValueError, "top_p: expected a number in (0, 1]"),
]
BEFORE = [
    (lambda call: call(-1, 2), ValueError, "b: expected an integer of at least 0, got -1"),
    (lambda call: call(2, 1.5), ValueError, "n: expected an integer of at least 0, got 1.5"),
]

ROWS = {
    "Head": "internal: only writes down what a model asks of a head",
    "HeadConfig": [
        (lambda: h.HeadConfig(dims=0), ValueError, "dims: expected an integer of at least 1, got 0"),
        (lambda: h.HeadConfig(num_levels=1), ValueError, "levels: expected an integer of at least 2, got 1"),
        (lambda: h.HeadConfig(context_width=1.5), ValueError,
         "context_width: expected an integer of at least 1, got 1.5"),
        (lambda: h.HeadConfig(width=-8), ValueError, "width: expected an integer of at least 1, got -8"),
        (lambda: h.HeadConfig(blocks=0), ValueError, "blocks: expected an integer of at least 1, got 0"),
        (lambda: h.HeadConfig(heads=5), ValueError, "heads: expected a divisor of the width 96, got 5"),
        (lambda: h.HeadConfig(mlp_ratio=0), ValueError, "mlp_ratio: expected a number above 0, got 0"),
        (lambda: h.HeadConfig(dropout=1.5), ValueError, "dropout: expected a number in [0, 1], got 1.5"),
        (lambda: h.HeadConfig(norm_eps=0), ValueError, "norm_eps: expected a number above 0, got 0"),
        (lambda: h.HeadConfig(official_first_step="yes"), ValueError,
         "official_first_step: expected one of False, True, got 'yes'"),
        (lambda: h.HeadConfig(kind="causal"), ValueError,
         "kind: expected one of 'dimensions', 'parallel', got 'causal'"),
        (lambda: h.HeadConfig(kind="parallel", official_first_step=True), ValueError,
         "official_first_step: expected False, the parallel head has no steps, got True"),
    ],
    "make_head": [
        (lambda: h.make_head({"kind": "parallel"}), ValueError, "config: expected a HeadConfig, got dict"),
        (lambda: h.make_head(h.HeadConfig(**SMALL), [0, 1]), ValueError,
         "order: expected a permutation of 0 to 2, got [0, 1]"),
        (lambda: h.make_head(h.HeadConfig(**SMALL, kind="parallel"), [0, 1]), ValueError,
         "order: expected a permutation of 0 to 2, got [0, 1]"),
    ],
    "ParallelHead": [
        (lambda: h.ParallelHead(h.HeadConfig(**SMALL)), ValueError,
         "kind: expected one of 'parallel', got 'dimensions'"),
        (lambda: h.ParallelHead(SMALL), ValueError, "config: expected a HeadConfig, got dict"),
    ],
    "ParallelHead.forward": [
        (lambda: PARALLEL(CONTEXT[:, :4]), ValueError,
         "context: expected shape (m e), e = 5, got shape (2, 4)"),
    ],
    "ParallelHead.costs": of(PARALLEL.costs, COSTS),
    "ParallelHead.noise": of(PARALLEL.noise, BEFORE),
    "ParallelHead.sample": of(PARALLEL.sample, DRAW) + [
        (lambda: LOST.sample(CONTEXT, NOISE), ValueError,
         "log-probabilities of the head: expected finite values, got 2 NaN"),
    ],
    "DimensionTransformer": "internal: the network inside DimensionHead, which checks what comes in",
    "DimensionHead": [
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL), [0, 1]), ValueError,
         "order: expected a permutation of 0 to 2, got [0, 1]"),
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL), torch.tensor([0, 1, 1])), ValueError,
         "order: expected a permutation of 0 to 2, got [0, 1, 1]"),
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL), 3), ValueError,
         "order: expected a permutation of 0 to 2, got 3"),
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL), [0, "a", 1]), ValueError,
         "order: expected a permutation of 0 to 2, got [0, 'a', 1]"),
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL), [1, 2, 3]), ValueError,
         "order: expected a permutation of 0 to 2, got [1, 2, 3]"),
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL), torch.arange(3.0)), ValueError,
         "order: expected a permutation of 0 to 2, got [0.0,"),
        (lambda: h.DimensionHead(SMALL), ValueError, "config: expected a HeadConfig, got dict"),
        (lambda: h.DimensionHead(h.HeadConfig(**SMALL, kind="parallel")), ValueError,
         "kind: expected one of 'dimensions', got 'parallel'"),
    ],
    "DimensionHead.forward": of(HEAD),
    "DimensionHead.costs": of(HEAD.costs, COSTS),
    "DimensionHead.noise": of(HEAD.noise, BEFORE),
    "DimensionHead.cached_logits": of(HEAD.cached_logits),
    "DimensionHead.stepwise_logits": of(HEAD.stepwise_logits),
    "DimensionHead.sample": of(HEAD.sample, DRAW) + [
        (lambda: DIVERGED.sample(CONTEXT, NOISE), ValueError,
         "log-probabilities of the head: expected finite values, got 2 NaN"),
    ],
    "filter_logits": [
        (lambda: h.filter_logits(torch.zeros(2, 4, dtype=torch.int64)), ValueError,
         "logits: expected float values"),
        (lambda: h.filter_logits([0.1, 0.2]), ValueError,
         "logits: expected a tensor of shape (... k), got list"),
        (lambda: h.filter_logits(LOGITS, -0.1), ValueError,
         "temperature: expected a number of at least 0, got -0.1"),
        (lambda: h.filter_logits(LOGITS, float("inf")), ValueError,
         "temperature: expected a number of at least 0, got inf"),
        (lambda: h.filter_logits(LOGITS, top_k=2.0), ValueError,
         "top_k: expected an integer of at least 1, got 2.0"),
        (lambda: h.filter_logits(LOGITS, top_p=1.1), ValueError, "top_p: expected a number in (0, 1]"),
    ],
    "sample_categorical": [
        (lambda: h.sample_categorical(LOGITS.long(), torch.zeros(2)), ValueError,
         "logits: expected float values"),
        (lambda: h.sample_categorical(LOGITS, torch.zeros(3)), ValueError,
         "noise: expected shape (2,), one number for each row of logits, got (3,)"),
        (lambda: h.sample_categorical(LOGITS * math.nan, torch.zeros(2)), ValueError,
         "logits: expected numbers or minus infinity, got NaN"),
        (lambda: h.sample_categorical(LOGITS, torch.tensor([-2.0, 1.5])), ValueError,
         "noise: expected numbers in [0, 1), got -2.0 to 1.5"),
        (lambda: h.sample_categorical(LOGITS, torch.tensor([0.5, math.nan])), ValueError,
         "noise: expected numbers in [0, 1)"),
    ],
}
