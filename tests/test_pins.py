"""The shipped model computes on any machine what it computed when it was pinned: tokens, pictures, costs.

The numbers are in tests/golden/pins.safetensors, written by `python -m tests.test_pins`, and never to make
a test pass: they change only when other weights are shipped, or when another number is known to be right.
"""
import sys

import pytest
import torch

from tests.tools.notebooks import ROOT
from tokenbridge import TokenBridge
from tokenbridge.data import drawn_rich_images, to_float, to_uint8
from tokenbridge.files import load_tensors, save_tensors
from tokenbridge.pipeline import load_example_tokens

PINS = ROOT / "tests" / "golden" / "pins.safetensors"
# share of indices and bytes that must be equal; how far costs may be apart, in nats
EQUAL, CLOSE = 0.999, 1e-5


def half_hidden(num: int, tokens: int) -> torch.Tensor:
    "Every other token hidden, in even images the even ones."
    return (torch.arange(tokens)[None] + torch.arange(num)[:, None]) % 2 == 0


@torch.no_grad()
def computed() -> dict[str, torch.Tensor]:
    "What is pinned, computed by the code as it is now."
    model = TokenBridge.from_pretrained("cifar-tiny")
    images = to_float(drawn_rich_images(20, seed=5).images)
    known, labels = load_example_tokens("cifar-tiny")
    indices, labels = known[:20], labels[:20]
    mask, dims = half_hidden(*indices.shape[:2]), indices.shape[2]
    generator = torch.Generator().manual_seed(11)
    context = model.ar.backbone(model.quantizer.dequantize(indices), labels, mask)[mask]
    noise = torch.rand(len(context), dims, generator=generator)
    drawn, score = model.ar.head.sample(context, noise, temperature=0.9, top_k=12, top_p=0.95)
    return {"indices": model.tokenize(images).to(torch.uint8),
            "pictures": to_uint8(model.detokenize(indices)),
            "reconstructions": to_uint8(model.reconstruct(images, quantized=False)),
            "costs": model.ar.token_nll(indices, labels, mask),
            "loss": model.ar.loss(indices, labels, mask=mask),
            "drawn": drawn.to(torch.uint8), "score": score, "levels": model.quantizer.levels,
            "order": model.ar.head.order.to(torch.uint8)}


@pytest.fixture(scope="module")
def both() -> tuple[dict, dict]:
    return load_tensors(PINS)[0], computed()


@pytest.mark.parametrize("name", ["indices", "pictures", "reconstructions", "drawn", "order"])
def test_whole_numbers(both, name):
    before, now = (values[name] for values in both)
    share = (before == now).float().mean()
    assert before.shape == now.shape and share >= EQUAL, f"{share:.4%} equal"


@pytest.mark.parametrize("name", ["costs", "loss", "score", "levels"])
def test_costs(both, name):
    before, now = (values[name].double() for values in both)
    off = (before - now).abs()
    # a score is a sum
    allowed = CLOSE * before.abs().clamp(min=1) * (now.shape[-1] if name == "score" else 1)
    assert before.shape == now.shape
    assert float((off <= allowed).float().mean()) >= EQUAL, f"up to {off.max():.2g} apart"
    assert name not in ("loss", "levels") or bool((off <= allowed).all())


if __name__ == "__main__":
    sys.exit(print("written:", save_tensors(PINS, computed())))
