"Bad inputs of `official`, and the message each must give."
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from tokenbridge import official as o
from tokenbridge.backbone import BackboneConfig
from tokenbridge.files import load_tensors
from tokenbridge.head import HeadConfig
from tokenbridge.model import ARConfig, ARModel

TINY = Path(__file__).parents[2] / "data" / "golden"
WEIGHTS = {n.removeprefix("model."): t for n,
           t in load_tensors(TINY / "tokenbridge-tiny.safetensors")[0].items() if n.startswith("model.")}
VAE_WEIGHTS = {n.removeprefix("vae."): t for n,
               t in load_tensors(TINY / "kl16-tiny.safetensors")[0].items() if n.startswith("vae.")}
SIZES = o.official_sizes(WEIGHTS)
OPTIONS = dict(order=[3, 0, 4, 1, 2], heads=4, decoder_heads=2)
CAUSAL = ARConfig(BackboneConfig("causal", tokens=4, dims=2, classes=2, width=8, encoder_blocks=1,
                                 decoder_blocks=1, heads=2),
                  HeadConfig(dims=2, num_levels=3, context_width=8, width=8, blocks=1, heads=2))

SMALL = o.official_config(SIZES, heads=4, decoder_heads=2)


def head_is(head) -> ARConfig:
    return ARConfig(SMALL.backbone, head)


def without(name: str, weights: dict = WEIGHTS) -> dict:
    return {n: t for n, t in weights.items() if n != name}


def in_file(content: bytes, name: str = "checkpoint-last.pth"):
    "Call the loader on a file with this content."
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        return o.load_official_model(Path(folder) / name, **OPTIONS)


class Surprise:
    def __reduce__(self):
        return print, ("this must not be printed",)


def stranger(load=o.load_official_vae):
    "Call a loader on a pickle that wants to run code."
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"model": Surprise()}, Path(folder) / "kl16.ckpt")
        return load(Path(folder) / "kl16.ckpt")


def unwritable():
    "Convert into a folder whose parent is a file."
    with tempfile.NamedTemporaryFile() as file:
        return convert(out=Path(file.name) / "folder")


def convert(vae=VAE_WEIGHTS, model=WEIGHTS, out="/nowhere/folder", **options):
    "Convert the miniature, with one thing that is wrong."
    sizes = dict(vae_options=dict(image_size=6, groups=4), model_options=OPTIONS)
    return o.convert_official(vae, out, model, **sizes | options)


ROWS = {
    "NAME_MAP": "internal: a table, the loaders read it",
    "OFFICIAL_BUFFERS": "internal: a table, the loaders read it",
    "KL16_ORDER": "internal: a constant",
    "read_official": [
        (lambda: o.read_official("/nowhere/checkpoint-last.pth"), FileNotFoundError,
         "/nowhere/checkpoint-last.pth: no such file"),
        (lambda: o.read_official("/nowhere/kl16.safetensors"), FileNotFoundError,
         "/nowhere/kl16.safetensors: no such file"),
        (lambda: o.read_official(3), ValueError,
         "source: expected a file or a dictionary of tensors, got int"),
        (lambda: o.read_official({}), ValueError,
         "tensors: expected a dictionary of tensors, got an empty one"),
        (lambda: o.read_official({"model": {"fake_latent": 1.0}}), ValueError,
         "tensors: fake_latent: expected a tensor, got float"),
        (lambda: o.read_official({0: torch.zeros(1)}), ValueError, "tensors: expected names, got the key 0"),
        (lambda: o.read_official(WEIGHTS, prefix="module."), ValueError,
         "tensors: expected names that begin with 'module.'"),
        (lambda: stranger(o.read_official), OSError, "kl16.ckpt: refused as a checkpoint"),
        (lambda: o.read_official(WEIGHTS, ignore="loss."), ValueError,
         "ignore: expected a list of beginnings of names, got 'loss.'"),
        (lambda: o.read_official(WEIGHTS, ignore=[""]), ValueError, "ignore: expected a list of beginnings"),
        (lambda: o.read_official({"a": torch.zeros(1)}, ignore=["a"]), ValueError,
         "tensors: expected a dictionary of tensors, got an empty one"),
    ],
    "official_shapes": [
        (lambda: o.official_shapes({}), ValueError,
         "sizes: expected a number for every letter of the table, D is missing"),
        (lambda: o.official_shapes(SIZES | {"B": 0}), ValueError,
         "sizes: B: expected an integer of at least 1, got 0"),
    ],
    "official_sizes": [
        (lambda: o.official_sizes([]), ValueError, "tensors: expected a dictionary of tensors, got list"),
        (lambda: o.official_sizes(VAE_WEIGHTS), ValueError, "tensors: lacks z_proj.weight"),
        (lambda: o.official_sizes(without("output_pos_embed")), ValueError,
         "tensors: lacks output_pos_embed"),
        (lambda: o.official_sizes(WEIGHTS | {"decoder_pos_embed_learned": torch.zeros(1, 13, 32)},
                                  "file.pth"), ValueError,
         "file.pth: tensors disagree about a size"),
    ],
    "check_official": [
        (lambda: o.check_official(without("channel_heads.3.bias"), SIZES), ValueError,
         "tensors: lacks channel_heads.3.bias"),
        (lambda: o.check_official(WEIGHTS | {"surprise": torch.zeros(1)}, SIZES), ValueError,
         "tensors: has unexpected surprise"),
        (lambda: o.check_official(WEIGHTS | {"fake_latent": torch.zeros(1, 23)}, SIZES), ValueError,
         "tensors: fake_latent: expected shape (1, 24), got (1, 23)"),
        (lambda: o.check_official(WEIGHTS | {"fake_latent": torch.full((1, 24), torch.nan)}, SIZES),
         ValueError, "fake_latent: holds NaN"),
        (lambda: o.check_official(WEIGHTS | {"fake_latent": torch.zeros(1, 24).int()}, SIZES), ValueError,
         "fake_latent: expected floats, got torch.int32"),
        (lambda: o.check_official(WEIGHTS, {}), ValueError, "sizes: expected a number for every letter"),
        (lambda: o.check_official(None, SIZES), ValueError,
         "tensors: expected a dictionary of tensors, got NoneType"),
    ],
    "official_config": [
        (lambda: o.official_config({}), ValueError, "sizes: expected a number for every letter"),
        (lambda: o.official_config(SIZES), ValueError, "heads: expected a number for width 24"),
        (lambda: o.official_config(SIZES, heads=4), ValueError,
         "decoder_heads: expected a number for width 32"),
        (lambda: o.official_config(SIZES, heads=5, decoder_heads=2), ValueError,
         "heads: expected a divisor of the width 24, got 5"),
        (lambda: o.official_config(SIZES | {"G": 64}, heads=4, decoder_heads=2), ValueError,
         "sizes: expected one MLP ratio in encoder and decoder"),
        (lambda: o.official_config(SIZES, heads=4, decoder_heads=2, norm_eps=0.0), ValueError,
         "norm_eps: expected a number above 0, got 0.0"),
    ],
    "config_sizes": [
        (lambda: o.config_sizes(CAUSAL), ValueError,
         "config: expected a masked backbone as in the official model, got kind 'causal'"),
        (lambda: o.config_sizes(head_is(replace(SMALL.head, kind="parallel"))), ValueError,
         "config: expected a dimension-wise head as in the official model, got kind 'parallel'"),
        (lambda: o.config_sizes(head_is(None)), ValueError,
         "config: expected a dimension-wise head as in the official model, got none of ours"),
    ],
    "official_views": [(lambda: o.official_views(ARModel(CAUSAL, torch.arange(3.0).expand(2, 3))), ValueError,
                        "config: expected a masked backbone")],
    "load_official_model": [
        (lambda: o.load_official_model("/nowhere/checkpoint-last.pth"), FileNotFoundError,
         "/nowhere/checkpoint-last.pth: no such file"),
        (lambda: in_file(b""), OSError, "checkpoint-last.pth: the file is empty"),
        (lambda: in_file(b"PK but cut off"), OSError, "checkpoint-last.pth: refused as a checkpoint"),
        (lambda: in_file(b"{}", "model.safetensors"), OSError,
         "model.safetensors: not a whole safetensors file"),
        (lambda: stranger(o.load_official_model), OSError, "kl16.ckpt: refused as a checkpoint"),
        (lambda: o.load_official_model(VAE_WEIGHTS, **OPTIONS), ValueError, "tensors: lacks z_proj.weight"),
        (lambda: o.load_official_model(without("z_proj.bias"), **OPTIONS), ValueError,
         "tensors: lacks z_proj.bias"),
        (lambda: o.load_official_model(WEIGHTS, heads=4, decoder_heads=2), ValueError,
         "order: expected a permutation of the 5 dimensions, got None"),
        (lambda: o.load_official_model(WEIGHTS, **OPTIONS | {"order": [0, 1, 2, 3, 3]}), ValueError,
         "order: expected a permutation"),
        (lambda: o.load_official_model(WEIGHTS, **OPTIONS, sigma_range=0.0), ValueError,
         "sigma_range: expected a number above 0, got 0.0"),
        (lambda: o.load_official_model(WEIGHTS | {"reconstruction_values": torch.arange(7.0)}, **OPTIONS),
         ValueError,
         "reconstruction_values: differ from the levels of sigma_range 3.0"),
    ],
    "official_vae_config": [
        (lambda: o.official_vae_config(WEIGHTS), ValueError,
         "tensors: lacks encoder.conv_in.weight and all tensors of its size"),
        (lambda: o.official_vae_config(None), ValueError,
         "tensors: expected a dictionary of tensors, got NoneType"),
        (lambda: o.official_vae_config(VAE_WEIGHTS, image_size=7, groups=4), ValueError,
         "image_size: expected a multiple of factor 2, got 7"),
        (lambda: o.official_vae_config(VAE_WEIGHTS, image_size=6), ValueError, "groups: expected a divisor"),
        (lambda: o.official_vae_config(VAE_WEIGHTS
                                       | {n: t[:12] for n, t in VAE_WEIGHTS.items() if ".1.block." in n}, 6,
                                       4), ValueError,
         "encoder.down: expected resolutions with multiples of 8 channels, got [8, 12]"),
    ],
    "load_official_vae": [
        (lambda: o.load_official_vae("/nowhere/kl16.ckpt"), FileNotFoundError,
         "/nowhere/kl16.ckpt: no such file"),
        (stranger, OSError, "kl16.ckpt: refused as a checkpoint"),
        (lambda: o.load_official_vae(WEIGHTS), ValueError, "tensors: lacks encoder.conv_in.weight"),
        (lambda: o.load_official_vae(without("quant_conv.bias", VAE_WEIGHTS), 6, 4), ValueError,
         "tensors: lacks quant_conv.bias"),
        (lambda: o.load_official_vae(VAE_WEIGHTS | {"loss.logvar": torch.zeros(1)}, 6, 4), ValueError,
         "tensors: has unexpected loss.logvar"),
        (lambda: o.load_official_vae(VAE_WEIGHTS | {"quant_conv.bias": torch.zeros(9)}, 6, 4), ValueError,
         "quant_conv.bias: expected shape (10,), got (9,)"),
        (lambda: o.load_official_vae(VAE_WEIGHTS | {"quant_conv.bias": torch.full((10,), torch.inf)}, 6, 4),
         ValueError, "quant_conv.bias: holds NaN"),
        (lambda: o.load_official_vae(VAE_WEIGHTS, 6, 4, scale=0.0), ValueError,
         "scale: expected a number above 0, got 0.0"),
    ],
    "imagenet_classes": [
        (lambda: o.imagenet_classes(["n02444819", "otter"]), ValueError,
         "ids: expected WordNet ids of ImageNet's classes, such as n02444819, got 'otter'"),
        (lambda: o.imagenet_classes([360]), ValueError, "got 360"),
    ],
    "convert_official": [
        (lambda: convert(vae="/nowhere/kl16.ckpt"), FileNotFoundError, "/nowhere/kl16.ckpt: no such file"),
        (lambda: convert(model="/nowhere/model.pth"), FileNotFoundError, "/nowhere/model.pth: no such file"),
        (lambda: convert(vae_options=dict(image_size=8, groups=4)), ValueError,
         "ar: expected 16 tokens as in the tokenizer, got 9"),
        (lambda: convert(vae=WEIGHTS), ValueError, "tensors: lacks encoder.conv_in.weight"),
        (lambda: convert(model=VAE_WEIGHTS), ValueError, "tensors: lacks z_proj.weight"),
        (lambda: convert(vae=VAE_WEIGHTS | {"loss.logvar": torch.zeros(1)}), ValueError,
         "tensors: has unexpected loss.logvar; `ignore` leaves out names by their beginning"),
        (lambda: convert(ignore=("quant_conv.",)), ValueError, "tensors: lacks quant_conv.weight"),
        (lambda: convert(ignore="loss."), ValueError,
         "ignore: expected a list of beginnings of names, got 'loss.'"),
        (lambda: convert(classes=["cat"] * 6), ValueError, "classes: expected a list of different names"),
        (lambda: convert(out=""), ValueError, "out: expected a folder, got ''"),
        (unwritable, OSError, "out: expected a folder, /"),
        (lambda: convert(out="/proc/folder"), OSError, "/proc"),
    ],
}
