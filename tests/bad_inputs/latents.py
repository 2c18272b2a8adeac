"Bad inputs of `latents`, and the message each must give."
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.tools.tiny import save_tiny, three_classes
from tokenbridge.data import drawn_images
from tokenbridge.latents import LatentSet, cache_latents
from tokenbridge.pipeline import TokenBridge

HOME = TemporaryDirectory(prefix="tokenbridge-latents-")   # until the tests end
ROOT = Path(HOME.name)
TOKENIZER = TokenBridge.from_pretrained(save_tiny(ROOT / "tiny", generator=False))
DATA = three_classes(5)
LABELS, HALF = torch.tensor([0, 1, 0]), torch.zeros(3, 2, 4, 5, dtype=torch.float16)
WIDE = torch.zeros(3, 2, 4, 6, dtype=torch.float16)


def latents(shards=((HALF, HALF),), labels=LABELS, mirror=True) -> LatentSet:
    "A set of three images, with one thing changed."
    return LatentSet(shards, labels, ("a", "b"), "none", {"vae": "none"}, mirror)


def cache(data=DATA, tokenizer=TOKENIZER, folder=ROOT / "cache", **options):
    "A cache with one thing changed."
    return cache_latents(data, tokenizer, folder, **options)


def written(name: str, index: object) -> Path:
    "A folder with this index."
    (ROOT / name).mkdir(exist_ok=True)
    (ROOT / name / "index.json").write_text(json.dumps(index))
    return ROOT / name


def begun() -> Path:
    "A cache whose process did one shard of two."
    cache(folder=ROOT / "begun", shard_size=3, world=2)
    return ROOT / "begun"


ROWS = {
    "LatentSet": [
        (lambda: latents(()), ValueError, "shards: expected a tuple of pairs of tensors, got ()"),
        (lambda: latents(((HALF.float(), HALF),)), ValueError, "expected torch.float16, got torch.float32"),
        (lambda: latents(((HALF, HALF[:2]),)), ValueError, "std: expected shape"),
        (lambda: latents(((HALF, HALF), (WIDE, WIDE))), ValueError, "mean: expected shape"),
        (lambda: latents(labels=LABELS[:2]), ValueError, "labels: expected shape (N), N = 3"),
        (lambda: latents(labels=LABELS + 1), ValueError, "labels: expected integers in [0, 1], got 2"),
        (lambda: latents(mirror=False), ValueError, "mean: expected shape (m 1 n d)"),
        (lambda: latents(mirror="yes"), ValueError, "mirror: expected one of True, False"),
    ],
    "LatentSet.batch": [
        (lambda: latents().batch([0]), ValueError, "ids: expected a tensor"),
        (lambda: latents().batch(torch.tensor([3])), ValueError, "ids: expected integers in [0, 2], got 3"),
        (lambda: latents().take(2).batch(torch.tensor([2])), ValueError, "ids: expected integers in [0, 1]"),
    ],
    "LatentSet.moments": [
        (lambda: latents().moments(torch.tensor([-1])), ValueError, "ids: expected integers in [0, 2], got"),
    ],
    "LatentSet.means": [
        (lambda: latents().means(0), ValueError, "num: expected an integer of at least 1"),
    ],
    "LatentSet.take": [
        (lambda: latents().take(0), ValueError, "num: expected an integer of at least 1"),
    ],
    "LatentSet.load": [
        (lambda: LatentSet.load(ROOT / "none"), FileNotFoundError, "found no index.json there"),
        (lambda: LatentSet.load(written("other", {"a": 1})), ValueError, "expected the index of cache_"),
        (lambda: LatentSet.load(written("later", {"kind": "latents", "format": 2})), ValueError,
         "expected the index of cache_latents in format 1"),
        (lambda: LatentSet.load(written("list", [1])), ValueError, "in format 1, got [1]"),
        (lambda: LatentSet.load(written("short", {"kind": "latents", "format": 1, "num": 1})), ValueError,
         "_Index has missing 'background'"),
        (lambda: LatentSet.load(begun()), FileNotFoundError, "not finished (1 of 2 shards)"),
        (lambda: cache() and LatentSet.load(ROOT / "cache", "tiny"), ValueError,
         "tokenizer: expected a Tokenizer, got str"),
    ],
    "cache_latents": [
        (lambda: cache(data=DATA.images), ValueError, "data: expected an ImageSet, got Tensor"),
        (lambda: cache(tokenizer=TOKENIZER.vae), ValueError, "tokenizer: expected a Tokenizer, got VAE"),
        (lambda: cache(data=drawn_images(5, size=16)), ValueError,
         "data: expected images of 32 pixels, got 16"),
        (lambda: cache(folder=""), ValueError, "path: expected a path"),
        (lambda: cache(shard_size=0), ValueError, "shard_size: expected an integer of at least 1"),
        (lambda: cache(mirror=2), ValueError, "mirror: expected one of True, False"),
        (lambda: cache(precision="fp8"), ValueError, "precision: expected one of 'fp32', 'bf16', got 'fp8'"),
        (lambda: cache(world=0), ValueError, "world: expected an integer of at least 1"),
        (lambda: cache(rank=2, world=2), ValueError, "rank: expected an integer in [0, 1], got 2"),
        (lambda: cache(workers=-1), ValueError, "workers: expected an integer of at least 0"),
        (lambda: cache(skip_broken="no"), ValueError, "skip_broken: expected one of True, False"),
        (lambda: cache(chunk_size=0), ValueError, "chunk_size: expected an integer of at least 1"),
    ],
}
