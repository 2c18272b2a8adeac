"""Make a finished run one of the shipped models, and prove that it draws the same images from its new folder.

    python -m tests.tools.ship RUN NAME [--cfg-scale 3] [--temperature 1] [--steps 16] [--out data/pretrained]

RUN is a folder of `tokenbridge train`, or of `train-vae` for a tokenizer alone. Written are config.json and
model.safetensors (16 bits) with the dials given here, and tokens.safetensors: the first 64 test images. Then
follow `python -m tests.test_pins`, `experiments.shipped_figures(NAME)` and `make run` of all lessons.
"""
import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from tests.tools.notebooks import ROOT
from tokenbridge.data import load_images
from tokenbridge.generation import SamplingDefaults
from tokenbridge.pipeline import TokenBridge, save_example_tokens
from tokenbridge.recipes import load_run


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.ship", description="Ship a finished run.")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("name", help="what it will be called, such as cifar-tiny")
    parser.add_argument("--cfg-scale", type=float, help="its guidance; none: as the run says")
    parser.add_argument("--temperature", type=float, help="its temperature; none: as the run says")
    parser.add_argument("--steps", type=int, help="its steps of sampling; none: as the run says")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "pretrained", help="folder of the models")
    parser.add_argument("--data", help="images whose tokens serve as examples; none: CIFAR-10")
    options = parser.parse_args(arguments)
    given = {"cfg_scale": options.cfg_scale, "temperature": options.temperature, "steps": options.steps}
    dials = {name: value for name, value in given.items() if value is not None}
    folder = ship(options.run, options.name, dials, options.out, options.data)
    print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB; the same images")
    return 0


def ship(run: Path, name: str, dials: dict[str, Any], out: Path, data: str | None = None) -> Path:
    "Write the folder of a shipped model; ValueError if it does not draw what the run draws."
    test, model = load_images("test", data, 64), load_run(run)
    shipped = TokenBridge(model.vae, model.quantizer, model.ar, name, model.classes,
                          SamplingDefaults(**dials) if dials else model.sampling)
    folder = shipped.save_pretrained(out / name, torch.bfloat16)
    save_example_tokens(folder, shipped.tokenize(test.images), test.labels)
    before, after = (drawn(each) for each in (run, folder))
    if not torch.equal(before, after):
        raise ValueError(f"run: expected the same images from {run} and {folder}, got others")
    return folder


def drawn(folder: Path) -> torch.Tensor:
    "What tells two models apart: a few images drawn with fixed dials, or decoded where nothing can be drawn."
    model = load_run(folder)
    if model.ar is None:
        n, d = model.vae.grid[0] * model.vae.grid[1], model.quantizer.dims
        return model.detokenize(torch.arange(4 * n * d).view(4, n, d) % model.quantizer.num_levels)
    return model.generate(num=4, steps=4, cfg_scale=2.0, temperature=1.0, seed=3)


if __name__ == "__main__":
    sys.exit(main())
