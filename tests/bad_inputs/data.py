"Bad inputs of `data`, and the message each must give."
import tempfile
from pathlib import Path

import torch

from tokenbridge import data as d
from tokenbridge.files import load_tensors, save_tensors

IMAGES, LABELS = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
GENERATOR = torch.Generator()
FOLDER = Path(tempfile.mkdtemp())
(FOLDER / "short.bin").write_bytes(b"\0" * 3000)
(FOLDER / "empty.bin").write_bytes(b"")
(FOLDER / "foreign.bin").write_bytes(b"\xff" * 3073)
(FOLDER / "text.png").write_text("no image")
(FOLDER / "few").mkdir()
(FOLDER / "few" / "test_batch.bin").write_bytes(b"\0" * 3073)
(FOLDER / "no-classes").mkdir()
(FOLDER / "archive.tar.gz").write_bytes(b"no archive")
save_tensors(FOLDER / "latents.safetensors",
             {"mean": torch.zeros(1), "std": torch.zeros(1), "labels": torch.zeros(1)}, {"vae": "aa"})
save_tensors(FOLDER / "other.safetensors", {"x": torch.zeros(1)})
IMAGE_SET = d.ImageSet(IMAGES, LABELS, ("a",), "x")
TOKENS = torch.arange(2 * 2 * 4 * 3).reshape(2, 2, 4, 3).remainder(8).to(torch.uint8)
MEAN = torch.zeros(2, 2, 4, 3)


def token_set(**fields) -> d.TokenSet:
    "A good set of tokens but for these fields."
    good = dict(tokens=TOKENS, labels=LABELS, num_levels=8, classes=("a",), source="x", made_by={})
    return d.TokenSet(**good | {"mirror": True} | fields)


def changed(**metadata: str | None) -> Path:
    "A saved set of tokens with other metadata, None for none."
    tensors, before = load_tensors(token_set().save(FOLDER / "changed.safetensors"))
    after = {key: value for key, value in (before | metadata).items() if value is not None}
    return save_tensors(FOLDER / "changed.safetensors", {k: x.clone() for k, x in tensors.items()}, after)


ROWS = {
    "CIFAR10_CLASSES": "internal: a constant, the ten names",
    "CIFAR10_URL": "internal: a constant, the official address",
    "CIFAR10_MD5": "internal: a constant, the official checksum",
    "IMAGE_ENDINGS": "internal: a constant, the endings read as images",
    "ImageSet": [
        (lambda: d.ImageSet(IMAGES.float(), LABELS, ("a",), "x"), ValueError, "images: expected int values"),
        (lambda: d.ImageSet(IMAGES.long(), LABELS, ("a",), "x"), ValueError,
         "images: expected bytes (torch.uint8), got torch.int64"),
        (lambda: d.ImageSet(IMAGES, LABELS + 1, ("a",), "x"), ValueError,
         "labels: expected integers in [0, 0], got 1"),
        (lambda: d.ImageSet(IMAGES, LABELS[:1], ("a",), "x"), ValueError,
         "labels: expected shape (N), N = 2"),
        (lambda: d.ImageSet(IMAGES[:, :1], LABELS, ("a",), "x"), ValueError,
         "images: expected shape (N 3 h w)"),
    ],
    "ImageSet.take": [(lambda: d.ImageSet(IMAGES, LABELS, ("a",), "x").take(0), ValueError,
                       "num: expected an integer of at least 1")],
    "ImageSet.batch": [(lambda: IMAGE_SET.batch(LABELS[None]), ValueError, "ids: expected shape (b)"),
                       (lambda: IMAGE_SET.batch(LABELS.bool()), ValueError, "ids: expected int values")],
    "ImageSet.split": [(lambda: IMAGE_SET.split(0), ValueError, "num: expected an integer in [1, 1], got 0"),
                       (lambda: IMAGE_SET.split(2), ValueError, "num: expected an integer in [1, 1], got 2")],
    "token_dtype": [(lambda: d.token_dtype(1), ValueError, "num_levels: expected an integer of at least 2")],
    "TokenSet": [
        (lambda: token_set(tokens=TOKENS[:, 0]), ValueError, "tokens: expected shape (N 2 n d)"),
        (lambda: token_set(mirror=False), ValueError, "tokens: expected shape (N 1 n d)"),
        (lambda: token_set(tokens=TOKENS.float()), ValueError, "tokens: expected int values"),
        (lambda: token_set(tokens=TOKENS.long()), ValueError,
         "tokens: expected torch.uint8 for 8 levels, got torch.int64"),
        (lambda: token_set(num_levels=300), ValueError,
         "tokens: expected torch.int32 for 300 levels, got torch.uint8"),
        (lambda: token_set(tokens=TOKENS + 8), ValueError, "tokens: expected integers in [0, 7], got 15"),
        (lambda: token_set(tokens=TOKENS.int() - 1, num_levels=300), ValueError,
         "tokens: expected integers in [0, 299], got -1"),
        (lambda: token_set(labels=LABELS[:1]), ValueError, "labels: expected shape (N), N = 2"),
        (lambda: token_set(labels=LABELS + 1), ValueError, "labels: expected integers in [0, 0], got 1"),
        (lambda: token_set(labels=LABELS - 1), ValueError, "labels: expected integers in [0, 0], got -1"),
        (lambda: token_set(num_levels=1), ValueError, "num_levels: expected an integer of at least 2, got 1"),
        (lambda: token_set(mirror=None), ValueError, "mirror: expected one of True, False, got None"),
        (lambda: token_set(classes=["a"]), ValueError, "classes: expected a tuple of names, got ['a']"),
        (lambda: token_set(made_by="abc"), ValueError, "made_by: expected fingerprints by name, got 'abc'"),
        (lambda: token_set(made_by={"vae": 1}), ValueError, "made_by: expected fingerprints by name"),
    ],
    "TokenSet.batch": [(lambda: token_set().batch(LABELS[None], GENERATOR), ValueError,
                        "ids: expected shape (b)")],
    "TokenSet.take": [(lambda: token_set().take(0), ValueError, "num: expected an integer of at least 1")],
    "TokenSet.split": [(lambda: token_set().split(2), ValueError,
                        "num: expected an integer in [1, 1], got 2")],
    "TokenSet.save": [(lambda: token_set().save(FOLDER / "no-classes"), OSError, "no-classes")],
    "TokenSet.load": [
        (lambda: d.TokenSet.load(FOLDER / "none"), OSError, "none: no such file"),
        (lambda: d.TokenSet.load(FOLDER / "other.safetensors"), ValueError,
         "other.safetensors: expected a file of TokenSet.save, got one with x"),
        (lambda: d.TokenSet.load(FOLDER / "short.bin"), OSError, "not a whole safetensors file"),
        (lambda: d.TokenSet.load(changed(mirror=None)), ValueError,
         "changed.safetensors: its header: TokenSet has missing 'mirror'"),
        (lambda: d.TokenSet.load(changed(colour="1")), ValueError, "TokenSet has unknown 'colour'"),
        (lambda: d.TokenSet.load(changed(num_levels="2")), ValueError,
         "changed.safetensors: tokens: expected integers in [0, 1], got 7"),
        (lambda: d.TokenSet.load(changed(classes="[")), ValueError, "changed.safetensors: Expecting value"),
        (lambda: d.TokenSet.load(changed(classes="3")), ValueError,
         "changed.safetensors: classes: expected a tuple of names, got 3"),
    ],
    "to_float": [(lambda: d.to_float(IMAGES.float()), ValueError, "images: expected int values")],
    "to_uint8": [(lambda: d.to_uint8(IMAGES), ValueError, "images: expected float values")],
    "read_records": [
        (lambda: d.read_records(FOLDER / "none.bin"), FileNotFoundError, "none.bin: no such file"),
        (lambda: d.read_records(FOLDER / "short.bin"), ValueError, "got 3000 bytes"),
        (lambda: d.read_records(FOLDER / "empty.bin"), ValueError, "got 0 bytes"),
        (lambda: d.read_records(FOLDER / "foreign.bin"), ValueError, "expected labels in [0, 9], got 255"),
    ],
    "load_cifar10": [
        (lambda: d.load_cifar10(FOLDER, "val"), ValueError, "split: expected one of 'train', 'test'"),
        (lambda: d.load_cifar10(FOLDER), FileNotFoundError, "no data_batch_1.bin"),
        (lambda: d.load_cifar10(FOLDER / "few", "test"), ValueError,
         "expected 10000 images of the test split, got 1"),
    ],
    "fetch": [(lambda: d.fetch("http://127.0.0.1:9/x", FOLDER / "x", "0" * 32, progress=False), OSError,
               "download failed")],
    "total_md5": [(lambda: d.total_md5(FOLDER / "none"), FileNotFoundError, "none")],
    "unpack": [(lambda: d.unpack(FOLDER / "archive.tar.gz", FOLDER), OSError,
                "archive.tar.gz: cannot be unpacked")],
    "download_cifar10": "internal: `fetch` and `unpack` in a row, both above; needs a network",
    "synthetic_images": [
        (lambda: d.synthetic_images(0), ValueError, "num: expected an integer of at least 1, got 0"),
        (lambda: d.synthetic_images(1, size=4), ValueError, "size: expected an integer of at least 8, got 4"),
    ],
    "centre_square": "internal: works on images that PIL has read",
    "read_image": [
        (lambda: d.read_image(FOLDER / "none.png", 8), FileNotFoundError, "none.png: no such image file"),
        (lambda: d.read_image(FOLDER / "text.png", 8), ValueError, "text.png: expected an image file"),
    ],
    "image_folder": [
        (lambda: d.image_folder(FOLDER / "none", 8), FileNotFoundError, "none: no such folder"),
        (lambda: d.image_folder(FOLDER / "no-classes", 8), ValueError, "expected sub-folders with images"),
        (lambda: d.image_folder(FOLDER, 2), ValueError, "size: expected an integer of at least 8"),
    ],
    "load_images": [
        (lambda: d.load_images("val"), ValueError, "split: expected one of 'train', 'test', got 'val'"),
        (lambda: d.load_images("test", FOLDER / "nowhere"), FileNotFoundError, "no test_batch.bin"),
    ],
    "random_flip": [(lambda: d.random_flip(IMAGES[0], GENERATOR), ValueError,
                     "images: expected shape (b c h w)")],
    "random_shift": [
        (lambda: d.random_shift(IMAGES[0], 1, GENERATOR), ValueError, "images: expected shape (b c h w)"),
        (lambda: d.random_shift(IMAGES, -1, GENERATOR), ValueError,
         "pixels: expected an integer of at least 0, got -1"),
    ],
    "hashed_seed": "internal: text that our own functions compose",
    "batch_ids": [
        (lambda: d.batch_ids(-1, 4, 10), ValueError, "step: expected an integer of at least 0, got -1"),
        (lambda: d.batch_ids(0, 0, 10), ValueError, "batch_size: expected an integer of at least 1"),
        (lambda: d.batch_ids(0, 4, 0), ValueError, "num: expected an integer of at least 1"),
    ],
    "save_latents": [
        (lambda: d.save_latents(FOLDER / "l", MEAN[0], MEAN, LABELS, "aa"), ValueError,
         "mean: expected shape (N 2 n d)"),
        (lambda: d.save_latents(FOLDER / "l", MEAN, MEAN[:1], LABELS, "aa"), ValueError,
         "std: expected shape (N 2 n d)"),
        (lambda: d.save_latents(FOLDER / "l", MEAN, MEAN, LABELS[:1], "aa"), ValueError,
         "labels: expected shape (N)"),
    ],
    "load_latents": [
        (lambda: d.load_latents(FOLDER / "latents.safetensors", "bb"), ValueError,
         "made by VAE aa, expected bb"),
        (lambda: d.load_latents(FOLDER / "other.safetensors", "bb"), ValueError,
         "expected tensors mean, std, labels, got x"),
        (lambda: d.load_latents(FOLDER / "none", "bb"), OSError, "none"),
    ],
}
