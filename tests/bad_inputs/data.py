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
(FOLDER / "text").mkdir()
(FOLDER / "text" / "text.png").write_text("no image")
(FOLDER / "few").mkdir()
(FOLDER / "few" / "test_batch.bin").write_bytes(b"\0" * 3073)
(FOLDER / "no-classes").mkdir()
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
    "load_cifar10": [(lambda: d.load_cifar10(FOLDER, "val"), ValueError, "split: expected one of 'train'")],
    "SOURCES": "internal: a table of functions",
    "drawn_rich_images": [
        (lambda: d.drawn_rich_images(0), ValueError, "num: expected an integer of at least 1, got 0"),
        (lambda: d.drawn_rich_images(1, size=4), ValueError, "size: expected an integer of at least 8"),
    ],
    "drawn_images": [(lambda: d.drawn_images(0), ValueError, "num: expected an integer of at least 1, got 0"),
                     (lambda: d.drawn_images(1, -1), ValueError, "seed: expected an integer")],
    "save_images": [
        (lambda: d.save_images(FOLDER / "short.bin" / "x.png", IMAGES), OSError, "cannot write"),
        (lambda: d.save_images("x.jpg", IMAGES), ValueError,
         "path: expected a name that ends in .png, got 'x.jpg'"),
        (lambda: d.save_images("x.png", [1]), ValueError, "images: expected a tensor"),
    ],
    "ImageSet.image_size": [(lambda: d.ImageSet(IMAGES[..., :4], LABELS, ("a",), "x").image_size, ValueError,
                             "images: expected as many rows as columns, got 8 x 4 pixels")],
    "FolderSet": [
        (lambda: d.FolderSet((FOLDER / "a.png",), LABELS, ("a",), "x", 8), ValueError,
         "labels: expected shape (N), N = 1"),
        (lambda: d.FolderSet((FOLDER / "a.png",), LABELS[:1] + 1, ("a",), "x", 8), ValueError,
         "labels: expected integers in [0, 0], got 1"),
        (lambda: d.FolderSet((FOLDER / "a.png",), LABELS[:1], ("a",), "x", 2), ValueError,
         "size: expected an integer of at least 8, got 2"),
        (lambda: d.FolderSet((FOLDER / "a.png",), LABELS[:1], ("a",), "x", 8, "mud"), ValueError,
         "background: expected a colour's name or three bytes, got 'mud'"),
        (lambda: d.FolderSet((FOLDER / "a.png",), LABELS[:1], ("a",), "x", 8)[0], FileNotFoundError,
         "a.png: no such image file"),
    ],
    "FolderSet.batch": [
        (lambda: d.FolderSet((FOLDER / "a.png",), LABELS[:1], ("a",), "x", 8).batch(LABELS[:1] + 1),
         ValueError, "ids: expected integers in [0, 0], got 1"),
    ],
    "image_folder": [
        (lambda: d.image_folder(FOLDER / "none", 8), FileNotFoundError, "none: no such folder"),
        (lambda: d.image_folder(FOLDER / "no-classes", 8), ValueError,
         "no-classes: expected images, found none ending in .jpg"),
        (lambda: d.image_folder(FOLDER / "text", 8), ValueError, "text.png: expected an image file"),
        (lambda: d.image_folder(FOLDER, 2), ValueError, "size: expected an integer of at least 8"),
        (lambda: d.image_folder(FOLDER, 8, "val"), ValueError, "split: expected one of None, 'train'"),
        (lambda: d.image_folder(FOLDER, 8, background=(1, 2)), ValueError,
         "background: expected a colour's name or three bytes, got (1, 2)"),
        (lambda: d.image_folder(FOLDER, 8, skip_broken=3), ValueError, "skip_broken: expected one of True"),
        (lambda: d.image_folder(FOLDER, 8, limit=0), ValueError, "limit: expected an integer of at least 1"),
    ],
    "load_images": [
        (lambda: d.load_images("val"), ValueError, "split: expected one of 'train', 'test', got 'val'"),
        (lambda: d.load_images("test", FOLDER / "nowhere"), FileNotFoundError,
         "data: expected one of cifar10, drawn, drawn-rich or a folder, got"),
        (lambda: d.load_images("test", "drwan"), FileNotFoundError, "or a folder, got drwan"),
        (lambda: d.load_images("test", FOLDER / "few"), ValueError, "expected 10000 images of the test"),
        (lambda: d.load_images("test", FOLDER / "few", size=64), ValueError, "have 32 pixels, got 64"),
        (lambda: d.load_images("test", FOLDER / "text"), ValueError,
         "size: expected the number of pixels for the images of"),
        (lambda: d.load_images("test", "drawn", limit=0), ValueError, "limit: expected an integer"),
        (lambda: d.load_images("test", "drawn", size=4), ValueError, "size: expected an integer"),
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
