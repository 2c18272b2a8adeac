"Bad inputs of `pipeline`, and the message each must give."
import errno
import os
import tempfile
from pathlib import Path
from unittest import mock

import torch

from tests.tools.tiny import save_tiny, tiny_model
from tokenbridge import pipeline
from tokenbridge.data import drawn_rich_images
from tokenbridge.generation import SamplingDefaults
from tokenbridge.pipeline import TokenBridge
from tokenbridge.quantizer import Quantizer
from tokenbridge.vae import ForeignVAE

HOME = Path(tempfile.mkdtemp(prefix="bad-inputs-"))
NOWHERE, A_FILE = HOME / "nowhere", HOME / "file"
A_FILE.write_text("not a folder")
UNFINISHED = HOME / "unfinished"
UNFINISHED.mkdir()
(UNFINISHED / "run.json").write_text("{}")
BRIDGE = TokenBridge.from_pretrained(save_tiny(HOME / "tiny"))
IMAGES, INDICES, LABELS = torch.zeros(1, 3, 32, 32), torch.zeros(1, 16, 5,
    dtype=torch.int64), torch.tensor([0])
VAE, LEVELS = BRIDGE.vae, BRIDGE.quantizer


def foreign(seed):
    "An autoencoder of other hands: 16 x 16 pixels, 2 x 2 tokens."
    encode, decode = torch.nn.Conv2d(3, 5, 8, stride=8), torch.nn.ConvTranspose2d(5, 3, 8, stride=8)
    with torch.no_grad():
        encode.weight.copy_(torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(seed)))
    return ForeignVAE(encode, decode, latent_dims=5, factor=8, image_size=16)


FOREIGN = TokenBridge(foreign(0), Quantizer.uniform(5, 7)).save_pretrained(HOME / "foreign")


def full_disk():
    with mock.patch.object(os, "write", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        BRIDGE.save_pretrained(HOME / "full")


def cast_model():
    TokenBridge.from_pretrained(HOME / "tiny").bfloat16().save_pretrained(NOWHERE)


ROWS = {
    "round_weights_": [(lambda: pipeline.round_weights_(VAE, torch.float16), ValueError,
                        "dtype: expected one of torch.float32, torch.bfloat16")],
    "Tokenizer": [
        (lambda: pipeline.Tokenizer(LEVELS, VAE), ValueError,
         "got Quantizer without image_size, latent_dims, grid, encode, decode"),
        (lambda: pipeline.Tokenizer(VAE, LEVELS.levels), ValueError,
         "quantizer: expected a Quantizer, got Tensor"),
        (lambda: pipeline.Tokenizer(VAE, Quantizer.uniform(4, 7)), ValueError,
         "quantizer: expected levels for the 5 dimensions of the VAE, got 4"),
    ],
    "Tokenizer.tokenize": [
        (lambda: BRIDGE.tokenize(IMAGES[0]), ValueError,
         "images: expected shape (b 3 32 32), got shape (3, 32, 32)"),
        (lambda: BRIDGE.tokenize(IMAGES[..., 1:]), ValueError, "images: expected shape (b 3 32 32)"),
        (lambda: BRIDGE.tokenize(IMAGES.long()), ValueError, "images: expected float values"),
        (lambda: BRIDGE.tokenize(IMAGES + 255), ValueError,
         "images: expected floats in [-1, 1] (data.to_float makes them of bytes), got 255 to 255"),
        (lambda: BRIDGE.tokenize(IMAGES / 0), ValueError,
         "images: expected finite values, got 3072 NaN or infinite"),
        (lambda: BRIDGE.tokenize(IMAGES, chunk_size=0), ValueError,
         "expected an integer of at least 1, got 0"),
    ],
    "Tokenizer.latents": [
        (lambda: BRIDGE.latents(IMAGES.numpy()), ValueError,
         "images: expected a tensor of shape (b 3 32 32), got ndarray"),
        (lambda: BRIDGE.latents(IMAGES, chunk_size=1.5), ValueError,
         "expected an integer of at least 1, got 1.5"),
    ],
    "Tokenizer.detokenize": [
        (lambda: BRIDGE.detokenize(INDICES[:, 1:]), ValueError,
         "indices: expected shape (b n d), n = 16, d = 5"),
        (lambda: BRIDGE.detokenize(INDICES.float()), ValueError, "indices: expected int values"),
        (lambda: BRIDGE.detokenize(INDICES + 7), ValueError, "indices: expected integers in [0, 6], got 7"),
    ],
    "Tokenizer.decode": [(lambda: BRIDGE.decode(INDICES), ValueError, "latents: expected float values"),
                         (lambda: BRIDGE.decode(IMAGES), ValueError, "latents: expected shape (b n d)")],
    "Tokenizer.reconstruct": [(lambda: BRIDGE.reconstruct(IMAGES[:, :2], quantized=False), ValueError,
                               "images: expected shape (b 3 32 32)")],
    "Tokenizer.tokenize_set": [
        (lambda: BRIDGE.tokenize_set(drawn_rich_images(2, size=16)), ValueError,
         "images: expected shape (b 3 32 32), got shape (2, 3, 16, 16)"),
        (lambda: BRIDGE.tokenize_set(drawn_rich_images(2), mirror=2), ValueError, "mirror: expected one of"),
        (lambda: BRIDGE.tokenize_set(IMAGES), ValueError, "data: expected an ImageSet, got Tensor"),
        (lambda: BRIDGE.tokenize_set(drawn_rich_images(2), chunk_size=0), ValueError,
         "expected an integer of at least 1, got 0"),
    ],
    "TokenBridge": [
        (lambda: TokenBridge(None, LEVELS), ValueError,
         "vae: expected an autoencoder with image_size, latent_dims, grid, encode, decode, got NoneType"),
        (lambda: TokenBridge(VAE, LEVELS, VAE), ValueError, "ar: expected an ARModel, got VAE"),
        (lambda: TokenBridge(VAE, LEVELS, tiny_model()), ValueError,
         "ar: expected 16 tokens as in the tokenizer, got 6"),
        (lambda: TokenBridge(VAE, Quantizer.uniform(5, 8), BRIDGE.ar), ValueError,
         "ar: expected 8 levels as in the tokenizer, got 7"),
        (lambda: TokenBridge(VAE, Quantizer.uniform(5, 7), BRIDGE.ar), ValueError,
         "ar: made for other levels (fingerprint"),
        (lambda: TokenBridge(VAE, LEVELS, tiny_model(tokens=16)), ValueError,
         "ar: expected the levels of the quantizer, got others"),
        (lambda: TokenBridge(VAE, LEVELS, name=None), ValueError, "name: expected a text, got NoneType"),
        (lambda: TokenBridge(VAE, LEVELS, classes="abc"), ValueError,
         "classes: expected a list of different names, got 'abc'"),
        (lambda: TokenBridge(VAE, LEVELS, classes=["cat", "cat"]), ValueError,
         "classes: expected a list of different names"),
        (lambda: TokenBridge(VAE, LEVELS, BRIDGE.ar, classes=list("abcd")), ValueError,
         "classes: expected at most 3 names, one for each class of the AR model, got 4"),
        (lambda: TokenBridge(VAE, LEVELS, sampling={"cfg_scale": 3}), ValueError,
         "sampling: expected SamplingDefaults, got dict"),
        (lambda: TokenBridge(VAE, LEVELS, BRIDGE.ar, sampling=SamplingDefaults(steps=17)), ValueError,
         "sampling.steps: expected an integer in [1, 16], got 17"),
        (lambda: TokenBridge(VAE, LEVELS, BRIDGE.ar, sampling=SamplingDefaults(top_k=8)), ValueError,
         "sampling.top_k: expected an integer in [1, 7], got 8"),
    ],
    "TokenBridge.generate": [
        (lambda: TokenBridge(VAE, LEVELS).generate(LABELS), ValueError,
         "ar: this TokenBridge has no AR model"),
        (lambda: BRIDGE.generate(LABELS + 4), ValueError, "labels: expected integers in [0, 3], got 4"),
        (lambda: BRIDGE.generate(LABELS, steps=17), ValueError,
         "steps: expected an integer in [1, 16], got 17"),
        (lambda: BRIDGE.generate(), ValueError, "labels: expected labels, num or known, got none of them"),
        (lambda: BRIDGE.generate(LABELS, num=1), ValueError, "num: expected labels or num, or one label"),
        (lambda: BRIDGE.generate(num=0), ValueError, "num: expected an integer of at least 1, got 0"),
        (lambda: BRIDGE.generate(num=1, first=-1), ValueError, "first: expected an integer of at least 0"),
        (lambda: BRIDGE.generate("cat"), ValueError, "labels: the model knows no names, got 'cat'"),
        (lambda: BRIDGE.generate({"cat"}), ValueError, "labels: expected a list, an array or a tensor"),
        (lambda: BRIDGE.generate(4), ValueError, "labels: expected numbers from 0 to 3 (3: no label), got 4"),
        (lambda: BRIDGE.generate(["cat"]), ValueError, "labels: the model knows no names, got 'cat'"),
        (lambda: BRIDGE.generate([None]), ValueError, "labels: expected numbers from 0 to 3 (3: no label)"),
        (lambda: BRIDGE.generate([0.5]), ValueError, "(3: no label), got 0.5"),
        (lambda: BRIDGE.generate(num=1, seed=-1), ValueError, "seed: expected an integer"),
    ],
    "TokenBridge.save_pretrained": [
        (lambda: BRIDGE.save_pretrained(A_FILE), OSError, "cannot write"),
        (lambda: BRIDGE.save_pretrained(NOWHERE, dtype=torch.float16), ValueError,
         "dtype: expected one of torch.float32, torch.bfloat16"),
        (lambda: BRIDGE.save_pretrained(NOWHERE, dtype=torch.bfloat16), ValueError,
         "does not fit into bfloat16, call round_weights_(vae)"),
        (cast_model, ValueError,
         "vae: expected weights in float32, got encoder.patch.weight in bfloat16; a model that was cast is "
         "not saved, call .float() if that loses nothing"),
        (full_disk, OSError, "No space left on device"),
    ],
    "TokenBridge.from_pretrained": [
        (lambda: TokenBridge.from_pretrained("no-such"), FileNotFoundError, "no shipped weights 'no-such'"),
        (lambda: TokenBridge.from_pretrained(NOWHERE), FileNotFoundError, "nowhere is not a folder"),
        (lambda: TokenBridge.from_pretrained(HOME), FileNotFoundError, "config.json: no such file"),
        (lambda: TokenBridge.from_pretrained(None), ValueError, "name_or_path: expected a shipped name"),
        (lambda: TokenBridge.from_pretrained(HOME / "tiny", ar=VAE), ValueError,
         "ar: expected an ARModel with the configuration in"),
        (lambda: TokenBridge.from_pretrained(HOME / "tiny", vae=LEVELS), ValueError,
         "vae: expected an autoencoder with image_size"),
        (lambda: TokenBridge.from_pretrained(FOREIGN), ValueError,
         "vae: the weights of a foreign autoencoder are not in the folder, call from_pretrained(folder"),
        (lambda: TokenBridge.from_pretrained(FOREIGN, vae=VAE), ValueError,
         "vae: expected a ForeignVAE with image_size, latent_dims, factor = (16, 5, 8), "
         "got VAE with (32, 5, 8)"),
        (lambda: TokenBridge.from_pretrained(UNFINISHED), FileNotFoundError,
         "holds a run that is not finished, which tokenbridge.recipes.load_run reads"),
        (lambda: TokenBridge.from_pretrained(FOREIGN, vae=foreign(1)), ValueError,
         "latents of one picture differ by more than 1 % of a deviation"),
    ],
    "save_example_tokens": [
        (lambda: pipeline.save_example_tokens(HOME, INDICES, LABELS), FileNotFoundError,
         "config.json: no such file"),
        (lambda: pipeline.save_example_tokens(HOME / "tiny", INDICES[..., 1:], LABELS), ValueError,
         "indices: expected shape (b n d), d = 5"),
        (lambda: pipeline.save_example_tokens(HOME / "tiny", INDICES + 7, LABELS), ValueError,
         "indices: expected integers in [0, 6], got 7"),
        (lambda: pipeline.save_example_tokens(HOME / "tiny", INDICES, LABELS.repeat(2)), ValueError,
         "labels: expected shape (b), b = 1"),
    ],
    "upgrade_folder": [
        (lambda: pipeline.upgrade_folder(NOWHERE), FileNotFoundError, "config.json: no such file"),
        (lambda: pipeline.upgrade_folder(HOME / "tiny", classes=["one"] * 3), ValueError,
         "classes: expected a list of different names"),
        (lambda: pipeline.upgrade_folder(HOME / "tiny", sampling=3.0), ValueError,
         "sampling: expected SamplingDefaults, got float"),
    ],
    "load_example_tokens": [
        (lambda: pipeline.load_example_tokens(HOME / "tiny"), FileNotFoundError,
         "tokens.safetensors: no such file"),
        (lambda: pipeline.load_example_tokens("no-such"), FileNotFoundError, "no shipped weights 'no-such'"),
    ],
}
