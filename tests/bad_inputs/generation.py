"Bad inputs of `generation`, and the message each must give."
import torch

from tests.tools.tiny import tiny_config
from tokenbridge import generation
from tokenbridge.model import ARModel

N, D, K, CLASSES = 6, 5, 7, 3
MODEL = ARModel(tiny_config("masked"), torch.linspace(-2, 2, K).repeat(D, 1))
CAUSAL = ARModel(tiny_config("causal"), torch.linspace(-2, 2, K).repeat(D, 1))
LABELS = torch.tensor([0, 1])
INDICES = torch.zeros(2, N, D, dtype=torch.int64)
MASK = torch.zeros(2, N, dtype=torch.bool)
ORDER = torch.arange(N).repeat(2, 1)


def generate(labels=LABELS, model=MODEL, **options):
    return generation.generate_indices(model, labels, **options)


def known(indices=INDICES, mask=MASK):
    return generate(known=(indices, mask))


ROWS = {
    "ORDERS": "internal: a tuple of names",
    "hidden_first": "internal: called by draw_plan with checked positions",
    "step_counts": "internal: called by draw_plan with a checked mask",
    "draw_plan": [
        (lambda: generation.draw_plan(MODEL, ~MASK, order="randm"), ValueError,
         "order: expected one of 'random', 'raster', 'confidence', got 'randm'"),
        (lambda: generation.draw_plan(MODEL, ~MASK, order=ORDER * 0), ValueError,
         "order: expected every position from 0 to 5 once"),
        (lambda: generation.draw_plan(CAUSAL, ~MASK, order="random"), ValueError,
         "order: expected 'raster' or None"),
        (lambda: generation.draw_plan(MODEL, ~MASK, steps=7), ValueError,
         "steps: expected an integer in [1, 6], got 7"),
        (lambda: generation.draw_plan(MODEL, ~MASK[:, :5]), ValueError,
         "hidden: expected shape (b n), n = 6"),
        (lambda: generation.draw_plan(MODEL, ~MASK, generator=3), ValueError,
         "generator: expected a torch.Generator, got int"),
        (lambda: generation.draw_plan(MODEL, ~MASK, seed=-1), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: generation.draw_plan(MODEL, ~MASK, seed=1, generator=torch.Generator()), ValueError,
         "seed: expected None beside a generator"),
        (lambda: generation.draw_plan(MODEL, ~MASK, first=-1), ValueError,
         "first: expected an integer of at least 0, got -1"),
    ],
    "guide": "internal: runs in every step, on tensors that the backbone made",
    "surest": "internal: runs in every step, on numbers that the head made",
    "reveal_steps": "internal: called by generate_indices after it has checked everything",
    "cosine_schedule": [
        (lambda: generation.cosine_schedule(0, 1), ValueError,
         "num_hidden: expected an integer of at least 1, got 0"),
        (lambda: generation.cosine_schedule(16, 0), ValueError,
         "steps: expected an integer in [1, 16], got 0"),
        (lambda: generation.cosine_schedule(16, 17), ValueError,
         "steps: expected an integer in [1, 16], got 17"),
        (lambda: generation.cosine_schedule(16, 2.5), ValueError,
         "steps: expected an integer in [1, 16], got 2.5"),
    ],
    "guidance_weights": [
        (lambda: generation.guidance_weights(-1.0, "linear", LABELS, 4), ValueError,
         "cfg_scale: expected a number of at least 0, got -1.0"),
        (lambda: generation.guidance_weights(1.0, "cosine", LABELS, 4), ValueError,
         "cfg_schedule: expected one of 'linear', 'constant'"),
    ],
    "Plan": [
        (lambda: generation.Plan(ORDER, ORDER[:1], torch.zeros(2, N, D)), ValueError,
         "counts: expected shape (b s), b = 2"),
        (lambda: generation.Plan(ORDER, ORDER, torch.zeros(2, N + 1, D)), ValueError,
         "noise: expected shape (b n d)"),
        (lambda: generation.Plan(ORDER.float(), ORDER, torch.zeros(2, N, D)), ValueError,
         "order: expected int values"),
    ],
    "SamplingDefaults": [
        (lambda: generation.SamplingDefaults(cfg_scale=float("nan")), ValueError,
         "cfg_scale: expected a number of at least 0, got nan"),
        (lambda: generation.SamplingDefaults(cfg_schedule="steep"), ValueError,
         "cfg_schedule: expected one of"),
        (lambda: generation.SamplingDefaults(temperature=-0.1), ValueError,
         "temperature: expected a number of at least 0, got -0.1"),
        (lambda: generation.SamplingDefaults(top_k=0), ValueError,
         "top_k: expected an integer of at least 1, got 0"),
        (lambda: generation.SamplingDefaults(top_p=0.0), ValueError,
         "top_p: expected a number in (0, 1], got 0.0"),
        (lambda: generation.SamplingDefaults(steps=0), ValueError,
         "steps: expected an integer of at least 1, got 0"),
        (lambda: generation.SamplingDefaults(order="spiral"), ValueError,
         "order: expected one of 'random', 'raster', 'confidence', got 'spiral'"),
        (lambda: generation.SamplingDefaults(order=ORDER), ValueError,
         "order: expected one of 'random', 'raster', 'confidence', got tensor("),
    ],
    "generate_indices": [
        (lambda: generate(torch.tensor([0, 4])), ValueError, "labels: expected integers in [0, 3], got 4"),
        (lambda: generate(torch.tensor([-1, 0])), ValueError, "labels: expected integers in [0, 3], got -1"),
        (lambda: generate(torch.tensor([0.0])), ValueError, "labels: expected int values of shape (b)"),
        (lambda: generate(torch.tensor([[0]])), ValueError, "labels: expected shape (b), got shape (1, 1)"),
        (lambda: generate([0, 4]), ValueError, "labels: expected an integer in [0, 3], got 4"),
        (lambda: generate([0, 1.5]), ValueError, "labels: expected an integer in [0, 3], got 1.5"),
        (lambda: generate([]), ValueError, "number of labels: expected an integer of at least 1, got 0"),
        (lambda: generate("01"), ValueError, "labels: expected a tensor of shape (b), got str"),
        (lambda: generate(None), ValueError, "labels: expected a tensor of shape (b), got NoneType"),
        (lambda: generate(LABELS[:0]), ValueError,
         "number of labels: expected an integer of at least 1, got 0"),
        (lambda: generate(steps=0), ValueError, "steps: expected an integer in [1, 6], got 0"),
        (lambda: generate(steps=7), ValueError, "steps: expected an integer in [1, 6], got 7"),
        (lambda: generate(cfg_scale=-1), ValueError, "cfg_scale: expected a number of at least 0, got -1"),
        (lambda: generate(cfg_schedule="cosine"), ValueError,
         "cfg_schedule: expected one of 'linear', 'constant', got 'cosine'"),
        (lambda: generate(temperature=-1.0), ValueError,
         "temperature: expected a number of at least 0, got -1.0"),
        (lambda: generate(temperature=float("inf")), ValueError,
         "temperature: expected a number of at least 0, got inf"),
        (lambda: generate(top_k=0), ValueError, "top_k: expected an integer"),
        (lambda: generate(top_k=8), ValueError, "top_k: expected an integer in [1, 7], got 8"),
        (lambda: generate(top_p=0), ValueError, "top_p: expected a number in (0, 1], got 0"),
        (lambda: generate(top_p=1.5), ValueError, "top_p: expected a number in (0, 1], got 1.5"),
        (lambda: generate(order="spiral"), ValueError,
         "order: expected one of 'random', 'raster', 'confidence', got 'spiral'"),
        (lambda: generate(order=ORDER.numpy()), ValueError,
         "order: expected one of 'random', 'raster', 'confidence', got array("),
        (lambda: generate(order=ORDER[:1]), ValueError,
         "order: expected shape (b n), b = 2, n = 6, got shape (1, 6)"),
        (lambda: generate(order=ORDER.clamp(max=4)), ValueError,
         "order: expected every position from 0 to 5 once in each row"),
        (lambda: generate(order=ORDER.float()), ValueError, "order: expected int values"),
        (lambda: generate(known=INDICES), ValueError,
         "known: expected a pair of tensors (indices, mask), got Tensor"),
        (lambda: known(indices=INDICES[:, 1:]), ValueError,
         "known indices: expected shape (b n d), b = 2, n = 6, d = 5"),
        (lambda: known(indices=INDICES.float()), ValueError, "known indices: expected int values"),
        (lambda: known(mask=MASK.long()), ValueError, "known mask: expected bool values"),
        (lambda: known(mask=MASK[:, 1:]), ValueError, "known mask: expected shape (b n), b = 2, n = 6"),
        (lambda: known(INDICES + 7, ~MASK), ValueError, "known indices: expected integers in [0, 6], got 7"),
        (lambda: generate(chunk_size=0), ValueError, "chunk_size: expected an integer of at least 1, got 0"),
        (lambda: generate(generator=0), ValueError, "generator: expected a torch.Generator, got int"),
        (lambda: generate(seed=-1), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: generate(seed=2 ** 63), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got 9223372036854775808"),
        (lambda: generate(seed=1.0), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got 1.0"),
        (lambda: generate(seed=1, generator=torch.Generator()), ValueError,
         "seed: expected None beside a generator, which gives the number, got both"),
        (lambda: generate(first=-1), ValueError, "first: expected an integer of at least 0, got -1"),
        (lambda: generate(first=0.5), ValueError, "first: expected an integer of at least 0, got 0.5"),
        (lambda: generate(progress="yes"), ValueError,
         "progress: expected a function, True or None, got str"),
        (lambda: generate(model=CAUSAL, steps=3), ValueError, "steps: expected 6 or None"),
        (lambda: generate(model=CAUSAL, order="random"), ValueError, "order: expected 'raster' or None"),
        (lambda: generate(model=MODEL.backbone), ValueError,
         "model: expected an ARModel, got MaskedBackbone"),
    ],
}
