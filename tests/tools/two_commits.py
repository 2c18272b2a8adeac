"""Do two commits compute the same, bit for bit, on this machine?

    python -m tests.tools.two_commits BEFORE [AFTER]     AFTER: HEAD if nothing is said

Each commit is checked out into a folder of its own and computes the same small things in a process of its
own, with one thread and one seed: a VAE trained for a few steps, levels, tokens, generators trained on them
(AdamW and Muon, masked and causal), costs, draws of the head. What differs is named, and the exit code is
then 1. `compute` runs in both commits, so it knows the older names as well.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.tools.notebooks import ROOT


def compute() -> dict[str, str]:
    "Hashes and losses by name, from whichever tokenbridge is imported here."
    import torch
    torch.set_num_threads(1)
    found: dict[str, str] = {}
    data, vae = _vae(found)
    quantizer, indices, labels = _tokens(found, data, vae)
    for kind in ("masked", "causal"):
        for optimizer in ("adamw", "muon"):
            _generator(found, f"{kind} {optimizer}", quantizer, indices, labels, kind, optimizer)
    _shipped(found)
    return found


def _vae(found: dict):
    "Train a small VAE for a few steps with the recipe's own function."
    try:
        from tokenbridge.recipes import train_vae
    except ImportError:
        from tokenbridge.demo import train_vae
    train_config = _train_config()
    from tokenbridge.data import drawn_rich_images
    from tokenbridge.vae import VAEConfig
    data = drawn_rich_images(64)
    schedule = train_config(steps=6, batch_size=16, warmup=2, log_every=1)
    vae, result = train_vae(data, VAEConfig(width=16), schedule, device="cpu", progress=False)
    found["VAE: weights"] = _hash(vae.state_dict())
    found["VAE: losses"] = repr([row["loss"] for row in result.history])
    return data, vae


def _tokens(found: dict, data, vae):
    "Fit levels, quantize, decode."
    import torch
    from einops import rearrange

    from tokenbridge.data import to_float
    from tokenbridge.quantizer import Quantizer
    with torch.no_grad():
        latents = rearrange(vae.encode(to_float(data.images)).mean, "b d h w -> b (h w) d")
        quantizer = Quantizer.fit(latents, 8)
        indices = quantizer.quantize(latents)
        levels = rearrange(quantizer.dequantize(indices), "b (h w) d -> b d h w", h=vae.grid[0])
        found["levels"], found["indices"] = _hash({"": quantizer.levels}), _hash({"": indices})
        found["decoded"] = _hash({"": vae.decode(levels)})
    return quantizer, indices, data.labels


def _generator(found: dict, name: str, quantizer, indices, labels, kind: str, optimizer: str) -> None:
    "Train a small generator with the loop, then ask it for costs and draws."
    import torch

    from tokenbridge.backbone import BackboneConfig
    from tokenbridge.head import HeadConfig
    from tokenbridge.model import ARConfig, ARModel
    from tokenbridge.training import train
    n, d = indices.shape[1:]
    torch.manual_seed(0)
    backbone = BackboneConfig(kind=kind, tokens=n, dims=d, classes=10, width=24, encoder_blocks=1,
                              decoder_blocks=1,
                              heads=3, class_tokens=2, dropout=0.1)
    head = HeadConfig(dims=d, context_width=24, width=16, blocks=2, heads=2, dropout=0.1,
                      **{_levels_name(): 8})
    model = ARModel(ARConfig(backbone, head), quantizer.levels, torch.arange(d).flip(0))
    schedule = _train_config()(steps=6, batch_size=16, accumulation=2, warmup=2, log_every=1,
                               optimizer=optimizer)
    result = train(model, lambda module, batch, generator: module.loss(*batch, generator),
                   lambda ids, generator: (indices[ids], labels[ids]), len(labels), schedule, device="cpu",
                   progress=False)
    found[f"{name}: averaged weights"] = _hash(result.ema)
    found[f"{name}: losses"] = repr([row["loss"] for row in result.history])
    found[f"{name}: weights"] = _hash(model.state_dict())
    mask = torch.ones(indices.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        found[f"{name}: costs"] = _hash({"": model.eval().token_nll(indices, labels, mask)})
        noise = torch.rand(9, d, generator=torch.Generator().manual_seed(3))
        context = torch.randn(9, 24, generator=torch.Generator().manual_seed(4))
        found[f"{name}: draws"] = _hash(dict(zip("is", model.head.sample(context, noise, 0.9, 6, 0.95))))


def _shipped(found: dict) -> None:
    "What the shipped model makes of drawn images."
    import torch

    from tokenbridge import TokenBridge
    from tokenbridge.data import drawn_rich_images, to_float
    model = TokenBridge.from_pretrained("cifar-tiny")
    images = to_float(drawn_rich_images(8, seed=3).images)
    indices, labels = model.tokenize(images), torch.arange(8)
    mask = (torch.arange(indices.shape[1]) % 2 == 0).expand(indices.shape[:2])
    with torch.no_grad():
        found["shipped: indices"] = _hash({"": indices})
        found["shipped: pictures"] = _hash({"": model.detokenize(indices)})
        found["shipped: loss"] = repr(float(model.ar.loss(indices, labels, mask=mask)))
        found["shipped: costs"] = _hash({"": model.ar.token_nll(indices, labels, mask)})


def _levels_name() -> str:
    "What the field of the head's configuration is called."
    from tokenbridge.head import HeadConfig
    return "num_levels" if "num_levels" in HeadConfig.__dataclass_fields__ else "levels"


def _train_config():
    try:
        from tokenbridge.optim import TrainConfig
    except ImportError:
        from tokenbridge.training import TrainConfig
    return TrainConfig


def _hash(tensors) -> str:
    "A hash of tensors by name: dtype, shape, bytes."
    import torch
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def computed_at(commit: str, folder: Path) -> dict[str, str]:
    "What `compute` finds with the package of a commit."
    subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "--force", str(folder), commit],
                   check=True,
                   capture_output=True)
    try:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        done = subprocess.run([sys.executable, __file__, "--compute", commit], capture_output=True, text=True,
                              env=env,
                              cwd=folder)
        if done.returncode:
            raise RuntimeError(f"{commit}: {done.stderr.strip().splitlines()[-1]}")
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(folder)],
                       capture_output=True)


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    "The names whose values differ, or that only one of the two has."
    return [name for name in [*before, *(after.keys() - before.keys())]
            if before.get(name) != after.get(name)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.two_commits",
                                     description="Compare two commits.")
    parser.add_argument("before")
    parser.add_argument("after", nargs="?", default="HEAD")
    parser.add_argument("--compute", action="store_true",
                        help="print what the package found here computes, as JSON")
    options = parser.parse_args(arguments)
    if options.compute:
        print(json.dumps(compute()))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        before, after = (computed_at(commit, Path(temporary) / name)
                         for name, commit in (("before", options.before), ("after", options.after)))
    wrong = differences(before, after)
    for name in before | after:
        word = "DIFFERENT" if name in wrong else "same"
        print(f"{word:10} {name:32} {before.get(name, '-')[:36]}  {after.get(name, '-')[:36]}")
    print(f"{len(before | after) - len(wrong)} the same, {len(wrong)} different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
