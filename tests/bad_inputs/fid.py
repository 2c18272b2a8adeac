"Bad inputs of `fid`, and the message each must give."
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import nn

from tokenbridge import fid

FEATURES = torch.randn(5, 3)
NETWORK = fid.Network("FD-none", 3, "aa" * 32, lambda images: (FEATURES, FEATURES))
KNOWN, PLANE = fid.moments(FEATURES), torch.eye(3)
PIXELS = np.zeros((3, 8, 8, 3), np.uint8)
HOME = TemporaryDirectory(prefix="tokenbridge-fid-")   # until the tests end
ROOT = Path(HOME.name)


def npz(name: str, **arrays) -> Path:
    "An .npz file of these arrays."
    path = ROOT / name
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **arrays)
    return path


def folder(name: str, *sizes: tuple[int, int], text: str = "") -> Path:
    "A folder of black images of these sizes, and perhaps of a file that is none."
    path = ROOT / name
    path.mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(path / f"{number}.png")
    if text:
        (path / "x.png").write_text(text)
    return path


def torn() -> Path:
    "An .npz whose last bytes are missing."
    path = npz("torn.npz", images=PIXELS)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def swapped() -> Path:
    "An .npz whose pixels do not fit its checksum."
    path = npz("swapped.npz", images=PIXELS)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("images.npy").header_offset + 300
    data = bytearray(path.read_bytes())
    data[start] ^= 1
    path.write_bytes(data)
    return path


def gap() -> Path:
    "A folder of blocks whose second one is missing."
    for number in (0, 2):
        npz(f"gap/block-{number:05}.npz", images=PIXELS)
    return ROOT / "gap"


def uneven() -> Path:
    "A folder of blocks of two sizes."
    npz("uneven/block-00000.npz", images=PIXELS)
    return npz("uneven/block-00001.npz", images=PIXELS[:, :4, :4]).parent


def weights(content) -> Path:
    "A file of torch.save."
    torch.save(content, ROOT / "weights.pth")
    return ROOT / "weights.pth"


def reference(**arrays) -> Path:
    "Statistics of three features, with changes."
    return npz("reference.npz", **{"mu": np.zeros(3), "sigma": np.eye(3), **arrays})


GOOD = npz("good.npz", images=PIXELS)
OBJECTS = np.array([{"a": 1}], dtype=object)
read = lambda **arrays: fid.read_statistics(reference(**arrays), NETWORK)
find = lambda **arrays: fid.find_pictures(npz("wrong.npz", **arrays))
lists = type("Lists", (nn.Module,), {"features": lambda self, x: [x], "forward": lambda self, x: x})

ROWS = {
    "INCEPTION_SHA256": "internal: a constant, the published weights' digest",
    "Moments": [(lambda: fid.moments(FEATURES[:1]).covariance, ValueError,
                 "features: expected at least two images for a covariance, got 1")],
    "moments": [
        (lambda: fid.moments(FEATURES[0]), ValueError, "features: expected shape (N f)"),
        (lambda: fid.moments(FEATURES[:0]), ValueError, "expected an integer of at least 1, got 0"),
        (lambda: fid.moments(FEATURES / 0), ValueError, "features: expected finite values"),
    ],
    "joined": [(lambda: fid.joined(KNOWN, fid.moments(FEATURES[:, :2])), ValueError,
                "other: expected shape (f), f = 3, got shape (2,)")],
    "frechet_distance": [
        (lambda: fid.frechet_distance(KNOWN.mean, PLANE[:2], KNOWN.mean, PLANE), ValueError,
         "covariance: expected shape (f f), f = 3"),
        (lambda: fid.frechet_distance(KNOWN.mean, PLANE, KNOWN.mean[:2], PLANE), ValueError,
         "other_mean: expected shape (f), f = 3"),
        (lambda: fid.frechet_distance(KNOWN.mean, PLANE, KNOWN.mean, PLANE * float("nan")), ValueError,
         "other_covariance: expected finite values"),
    ],
    "inception_score": [
        (lambda: fid.inception_score(FEATURES), ValueError, "splits: expected an integer in [1, 5], got 10"),
        (lambda: fid.inception_score(FEATURES[0]), ValueError, "logits: expected shape (N c)"),
    ],
    "Network": "internal: made by judge_network and inception_network, which check",
    "judge_network": [
        (lambda: fid.judge_network(nn.Linear(2, 2)), ValueError,
         "judge: expected a module with a method features"),
        (lambda: fid.judge_network(lists()), ValueError,
         "judge.features: expected a tensor of shape (b f), got list"),
    ],
    "inception_network": [
        (lambda: fid.inception_network(ROOT / "none.pth"), FileNotFoundError, "none.pth: no such file"),
        (lambda: fid.inception_network(weights(KNOWN)), OSError, "refused as a checkpoint"),
        (lambda: fid.inception_network(GOOD, layer="63"), ValueError, "layer: expected one of '64'"),
        (lambda: fid.inception_network(weights({"a": 1})), ValueError, "expected a dictionary of tensors"),
    ],
    "Pictures": "internal: made by find_pictures, which checks",
    "find_pictures": [
        (lambda: fid.find_pictures(ROOT / "none"), FileNotFoundError, "none: no such folder or file"),
        (lambda: fid.find_pictures(folder("empty")), ValueError, "expected block-*.npz or images (.jpg"),
        (lambda: fid.find_pictures(folder("wide", (9, 8))), ValueError,
         "expected square images, got 9 x 8 pixels"),
        (lambda: fid.find_pictures(folder("two", (8, 8), (9, 9))), ValueError,
         "1.png: expected 8 x 8 pixels as in 0.png, got 9 x 9; a size crops them all"),
        (lambda: fid.find_pictures(folder("broken", (8, 8), text="no image")), ValueError,
         "x.png: expected an image file, could not open it"),
        (lambda: fid.find_pictures(gap()), ValueError, "block 1 is missing (1 of 3); has sampling finished?"),
        (lambda: fid.find_pictures(uneven()), ValueError,
         "block-00001.npz: images: expected 8 x 8 pixels as in block-00000.npz, got 4 x 4"),
        (lambda: fid.find_pictures(torn()), ValueError, "torn.npz: not a whole .npz file"),
        (lambda: fid.find_pictures(Path(__file__)), ValueError,
         "not a whole .npz file (File is not a zip file)"),
        (lambda: list(fid.find_pictures(swapped()).batches(2)), ValueError,
         "not a whole .npz file (Bad CRC-32"),
        (lambda: find(pictures=PIXELS), ValueError, "expected an array 'images' or 'arr_0', got 'pictures'"),
        (lambda: find(images=OBJECTS), ValueError, "an array of Python objects, which is never unpickled"),
        (lambda: find(images=PIXELS / 1.0), ValueError,
         "images: expected uint8 of shape (N, H, H, 3), got float64"),
        (lambda: find(arr_0=PIXELS.transpose(0, 3, 1, 2).copy()), ValueError,
         "arr_0: expected uint8 of shape"),
        (lambda: find(images=PIXELS[:0]), ValueError, "got uint8 of shape (0, 8, 8, 3)"),
        (lambda: find(images=PIXELS, labels=np.zeros(2)), ValueError,
         "labels: expected shape (3,), got (2,)"),
        (lambda: fid.find_pictures(GOOD, 9), ValueError, "size: expected 8 or None"),
        (lambda: fid.find_pictures(GOOD, 7), ValueError, "size: expected an integer of at least 8, got 7"),
    ],
    "Reference": "internal: made by read_statistics, which checks",
    "read_statistics": [
        (lambda: read(mu=np.zeros(2)), ValueError, "mu: expected floats of shape (3,) for FD-none"),
        (lambda: read(sigma=np.zeros(3)), ValueError, "sigma: expected floats of shape (3, 3) for FD-none"),
        (lambda: read(mu=OBJECTS), ValueError, "an array of Python objects, which is never unpickled"),
        (lambda: read(mu=np.full(3, np.inf)), ValueError, "mu: expected finite values"),
        (lambda: read(sigma=np.triu(np.ones((3, 3)))), ValueError, "sigma: expected a symmetric matrix"),
        (lambda: read(weights=np.array("bb")), ValueError,
         "expected statistics by the weights aaaaaaaa, got bb"),
        (lambda: fid.read_statistics(GOOD, NETWORK), ValueError,
         "expected arrays 'mu' and 'sigma', 'mu' is missing"),
        (lambda: fid.read_statistics(ROOT / "none.npz", NETWORK), FileNotFoundError,
         "none.npz: no such file"),
    ],
    "save_statistics": [(lambda: fid.save_statistics(ROOT / "x.np", KNOWN, NETWORK), ValueError,
                         "path: expected a name that ends in .npz, got 'x.np'")],
    "look_at": [(lambda: fid.look_at(NETWORK, fid.find_pictures(GOOD), 0), ValueError,
                 "chunk_size: expected an integer of at least 1, got 0")],
    "Measured": "internal: made by measure_images, which checks",
    "measure_images": [
        (lambda: fid.measure_images(GOOD, GOOD, NETWORK), ValueError, "expected at least 10 images, got 3"),
        (lambda: fid.measure_images(GOOD, folder("large", (9, 9), (9, 9)), NETWORK, splits=1), ValueError,
         "large: expected 8 x 8 pixels as the samples have, got 9 x 9"),
        (lambda: fid.measure_images(GOOD, folder("one", (8, 8)), NETWORK, splits=1), ValueError,
         "one: expected at least two images, got 1"),
        (lambda: fid.measure_images(GOOD, ROOT / "none.npz", NETWORK, splits=1), FileNotFoundError,
         "none.npz"),
        (lambda: fid.measure_images(GOOD, npz("half.npz", mu=np.zeros(3)), NETWORK, splits=1), ValueError,
         "'sigma' is missing"),
        (lambda: fid.measure_images(GOOD, GOOD, NETWORK, keep="x", splits=1), ValueError,
         "keep: expected a name"),
        (lambda: fid.measure_images(GOOD, GOOD, NETWORK, splits=0), ValueError,
         "splits: expected an integer"),
    ],
}
