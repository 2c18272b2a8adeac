"Bad inputs of `blocks`, and the message each must give."
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.tools.tiny import save_tiny
from tokenbridge import blocks
from tokenbridge.generation import SamplingDefaults
from tokenbridge.pipeline import TokenBridge, Tokenizer

HOME = TemporaryDirectory(prefix="tokenbridge-blocks-")   # until the tests end
ROOT = Path(HOME.name)
MODEL = TokenBridge.from_pretrained(save_tiny(ROOT / "tiny"))
OTHER = TokenBridge.from_pretrained(ROOT / "tiny")
with torch.no_grad():
    next(OTHER.ar.parameters()).flatten()[0] += 1
    OTHER.ar.trained_on = None
WHOLE, A_FILE = ROOT / "whole", ROOT / "file"
A_FILE.write_text("not a folder")
FAST = SamplingDefaults(steps=2)


def sample(folder=ROOT / "nowhere", model=MODEL, num=5, **changes) -> int:
    "Five images in blocks of two, with changes."
    return blocks.sample_blocks(model, num, folder, **{"block_size": 2, "sampling": FAST} | changes)


def copy(name: str, *lost: str, source: str = "", target: str = "", index: str = "") -> Path:
    "The whole folder again, with files removed or exchanged, or another index."
    if not WHOLE.exists():
        sample(WHOLE)
    folder = ROOT / name
    shutil.copytree(WHOLE, folder, dirs_exist_ok=True)
    for file in lost:
        (folder / file).unlink()
    if source:
        shutil.copy(source if "/" in source else folder / source, folder / target)
    if index:
        (folder / "index.json").write_text(index)
    return folder


def torn() -> Path:
    "A folder whose second block lacks its last bytes."
    path = copy("torn") / "block-00001.npz"
    path.write_bytes(path.read_bytes()[:-30])
    return path.parent


def swapped() -> Path:
    "A folder with one changed pixel, which does not fit the checksum."
    path = copy("swapped") / "block-00001.npz"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    return path.parent


def foreign() -> Path:
    "A folder whose second block was drawn with another seed."
    sample(ROOT / "seed1", seed=1)
    return copy("foreign", source=str(ROOT / "seed1" / "block-00001.npz"), target="block-00001.npz")


BEGUN = "take another folder"
ROWS = {
    "sample_blocks": [
        (lambda: sample(model=Tokenizer(MODEL.vae, MODEL.quantizer)), ValueError,
         "model: expected a TokenBridge with an AR model, got Tokenizer"),
        (lambda: sample(model=TokenBridge(MODEL.vae, MODEL.quantizer)), ValueError,
         "expected a TokenBridge with an AR model, got TokenBridge without"),
        (lambda: sample(num=0), ValueError, "num: expected an integer of at least 1, got 0"),
        (lambda: sample(seed=-1), ValueError, "seed: expected an integer in [0"),
        (lambda: sample(block_size=0), ValueError, "block_size: expected an integer of at least 1, got 0"),
        (lambda: sample(world=0), ValueError, "world: expected an integer of at least 1, got 0"),
        (lambda: sample(rank=2, world=2), ValueError, "rank: expected an integer in [0, 1], got 2"),
        (lambda: sample(precision="fp16"), ValueError, "precision: expected one of 'auto', 'fp32', 'bf16'"),
        (lambda: sample(sampling={"steps": 2}), ValueError, "sampling: expected SamplingDefaults, got dict"),
        (lambda: sample(sampling=SamplingDefaults(steps=99)), ValueError,
         "sampling.steps: expected an integer in [1, 16], got 99"),
        (lambda: sample(A_FILE), ValueError, "folder: expected a folder, got the file"),
        (lambda: sample(""), ValueError, "path: expected a path, got ''"),
        (lambda: sample(copy("a"), num=6), ValueError, f"begun with num = 5, now 6; {BEGUN}"),
        (lambda: sample(copy("a"), seed=1), ValueError, f"begun with seed = 0, now 1; {BEGUN}"),
        (lambda: sample(copy("a"), sampling=SamplingDefaults(steps=3)), ValueError,
         f"begun with sampling.steps = 2, now 3; {BEGUN}"),
        (lambda: sample(copy("a"), model=OTHER), ValueError, "begun with fingerprints.ar = "),
        (lambda: sample(copy("b", index='{"format": 1}')), ValueError,
         "index.json: expected what sample_blocks writes, 'num' is not"),
        (lambda: sample(copy("b", index='{"format"')), OSError, "index.json: not a JSON file"),
        (lambda: sample(copy("c", "index.json")), ValueError, "got blocks without their index.json"),
        (lambda: sample(torn()), ValueError, "remove the file to draw it again"),
        (lambda: sample(foreign()), ValueError, "expected 2 images of this run, got a block of another one"),
        (lambda: sample(copy("d", source="block-00000.npz", target="block-00002.npz")), ValueError,
         "block-00002.npz: expected 1 images of this run"),
    ],
    "missing_blocks": [
        (lambda: blocks.missing_blocks(ROOT / "none"), (FileNotFoundError, ValueError), "index.json"),
    ],
    "read_blocks": [
        (lambda: blocks.read_blocks(ROOT / "none"), FileNotFoundError, "index.json: no such file"),
        (lambda: blocks.read_blocks(copy("e", "block-00002.npz")), ValueError,
         "block 2 is missing (1 of 3); sampling has not finished"),
        (lambda: blocks.read_blocks(foreign()), ValueError, "got a block of another one"),
        (lambda: blocks.read_blocks(torn()), ValueError, "not a whole .npz file"),
        (lambda: list(blocks.read_blocks(swapped()).batches(2)), ValueError, "Bad CRC-32"),
        (lambda: blocks.read_blocks(copy("f", source="block-00000.npz", target="block-00003.npz")),
         ValueError, "expected 5 images in 3 blocks, got more blocks with 7"),
    ],
    "pack_npz": [
        (lambda: blocks.pack_npz(WHOLE, ROOT / "x.np"), ValueError,
         "path: expected a name that ends in .npz, got 'x.np'"),
        (lambda: blocks.pack_npz(copy("g"), ROOT / "g" / "block-00009.npz"), ValueError,
         "path: expected a name that no block has"),
        (lambda: blocks.pack_npz(copy("e", "block-00002.npz"), ROOT / "x.npz"), ValueError,
         "block 2 is missing"),
        (lambda: blocks.pack_npz(swapped(), ROOT / "x.npz"), ValueError, "Bad CRC-32"),
        (lambda: blocks.pack_npz(copy("h"), A_FILE / "x.npz"), OSError, "cannot write"),
    ],
}
