# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16 Official weights: other people's tensors in our classes
#
# > Only numbers that agree prove a loader. Contains loaders and sizes of the official checkpoints.
#
# | | |
# | --- | --- |
# | **Goal** | load weights in the format of the official VAE (`kl16.ckpt`) and of TokenBridge-L and -H into our `VAE` and `ARModel`, strictly, and show on a small model that they compute what a second implementation, written from the same description of the official code, computes |
# | **You need** | lessons [05](05_backbone.ipynb), [06](06_head.ipynb), [09](09_generation.ipynb), [10](10_pipeline.ipynb); the KL-16 section of [02](02_vae.ipynb), the Gaussian levels of [03](03_quantizer.ipynb), the presets of [07](07_model.ipynb) |
# | **Paper** | Sec. 3 and 4; the official repository's checkpoints |
# | **Runtime** | budget 60 s on two slow cores |
# | **Hardware** | any; the real L checkpoint wants 10 GB of memory (weights, their average and the optimizer's two memories, 1.9 GB each, and our model) |

# %%
#| default_exp official

# %%
#| export
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tokenbridge.backbone import BackboneConfig
from tokenbridge.checks import check_int, check_number
from tokenbridge.files import load_foreign, load_into, load_tensors
from tokenbridge.head import HeadConfig
from tokenbridge.model import PRESETS, ARConfig, ARModel
from tokenbridge.pipeline import TokenBridge
from tokenbridge.quantizer import Quantizer, gaussian_levels
from tokenbridge.vae import VAE, VAEConfig

# %%
import copy
import argparse
import json
import math
import tempfile
import time

import matplotlib.pyplot as plt

from tokenbridge.files import project_folder
from tokenbridge.generation import cosine_schedule, generate_indices

# %% [markdown]
# The real checkpoints are gigabytes large and not at hand offline. So the project keeps a miniature: `data/golden/tokenbridge-tiny.safetensors` holds random weights under the official names, in a deliberately crooked size (5 dimensions, 7 levels, 9 tokens, encoder and decoder of different widths), with inputs and outputs. The outputs come from a second implementation, `tests/reference_official.py`: plain loops, written from the description of the official model, sharing no line with the package. (A misreading of that description would be in both. So the tests repeat this lesson's comparison with weights and outputs of the official code itself, where those files are at hand; they are not ours to pass on.) The real checkpoints have the same names in larger sizes.

# %%
start = time.time()
golden = project_folder("golden")
scratch = tempfile.TemporaryDirectory()
stored, metadata = load_tensors(golden / "tokenbridge-tiny.safetensors")
tiny = json.loads(metadata["config"])
official = {name.removeprefix("model."): t for name, t in stored.items() if name.startswith("model.")}
print(len(official), "weights;",
      ", ".join(f"{name} {tuple(t.shape)}" for name, t in stored.items() if "." not in name))

# %% [markdown]
# The shapes, for later: there are 3 images of 9 tokens, 7 of which are hidden in each, so 21 tokens have logits; the encoder sees 3 class tokens and the 2 visible tokens.
#
# ## What a foreign checkpoint contains
#
# The official training loop saves one file with everything in it: the parameters as trained, their moving average, the optimizer, the epoch, the state of the loss scaler. (The loop of MAR, from which it descends, stores the command-line arguments as well; our file has them, because a loader meets both.) We write such a file from the miniature, so that there is something to open.

# %%
checkpoint = Path(scratch.name) / "checkpoint-last.pth"
buffers = {"channel_mask": torch.full((5, 5), -math.inf).triu(1), "boundaries": torch.zeros(8)}
noisy = {name: t + 0.1 for name, t in official.items()}
torch.save({"model": noisy | buffers, "model_ema": official, "optimizer": {}, "epoch": 799,
            "args": argparse.Namespace(blr=1e-4)}, checkpoint)
for key, value in torch.load(checkpoint, weights_only=False).items():
    print(f"{key:10}", f"{len(value)} tensors" if isinstance(value, dict) and value else value)


# %% [markdown]
# Two things to notice. `model_ema` holds the weights with which the official code samples; whoever takes `model` gets others, and no error. And `model_ema` has fewer tensors: the average is kept of *parameters* only, so buffers (the causal mask, the quantizer's tables) are absent. They are not lost. They follow from the configuration and are computed anew.
#
# ## A checkpoint is a program
#
# We have just opened that file in the way one must never open a stranger's. A `.pth` file is a pickle, and a pickle is a small program which the reader runs. What could it do? Anything:

# %%
class Surprise:
    def __reduce__(self):
        return print, ("code from the file is running on your machine",)

torch.save({"model": Surprise()}, Path(scratch.name) / "stranger.pth")
_ = torch.load(Path(scratch.name) / "stranger.pth", weights_only=False)

# %% [markdown]
# A print is harmless; the next file may not be. `files.load_foreign` passes `weights_only=True`: tensors, numbers, texts, containers, by name `argparse.Namespace` (training loops store their arguments in one), and nothing else.

# %%
try:
    load_foreign(Path(scratch.name) / "stranger.pth")
    raise AssertionError("the stranger was let in")
except OSError as error:
    print(str(error).replace(scratch.name, "."))


# %% [markdown]
# `read_official` opens both kinds of files, this one and safetensors, and takes the right dictionary out of them. The VAE's file has its tensors under `model`; other files wrap theirs in a prefix.

# %%
#| export
def read_official(
    source: str | Path | Mapping,  # a .pth, .ckpt or .safetensors file, or what was in one
    prefix: str = "",              # take only the names that begin with this, and cut it off
) -> dict[str, Tensor]:            # official name -> tensor
    "The weights of a foreign checkpoint: the moving average if there is one, else the model."
    if not isinstance(source, (str, Path, Mapping)):
        raise ValueError(f"source: expected a file or a dictionary of tensors, got {type(source).__name__}")
    content, where = source if isinstance(source, Mapping) else _open(Path(source)), _where(source)
    for key in ("model_ema", "model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    _check_tensors(content, where)
    tensors = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    if not tensors:
        got = ", ".join(list(content)[:3])
        raise ValueError(f"{where}: expected names that begin with {prefix!r}, got {got}")
    return tensors


# %%
#| exporti
def _open(path: Path):
    "What is in a file, by its ending."
    return load_tensors(path)[0] if path.suffix == ".safetensors" else load_foreign(path)


def _where(source) -> str:
    "How messages call the source."
    return "tensors" if isinstance(source, Mapping) else str(source)


def _check_tensors(content, where: str) -> None:
    "Raise ValueError unless this is a dictionary from names to tensors."
    if not isinstance(content, Mapping) or not content:
        got = "an empty one" if content == {} else type(content).__name__
        raise ValueError(f"{where}: expected a dictionary of tensors, got {got}")
    for name, value in content.items():
        if not isinstance(name, str):
            raise ValueError(f"{where}: expected names, got the key {name!r}")
        if not isinstance(value, Tensor):
            raise ValueError(f"{where}: {name}: expected a tensor, got {type(value).__name__}")


# %%
found = read_official(checkpoint)
assert found.keys() == official.keys() and all(torch.equal(found[name], official[name]) for name in found)
print(len(found), "weights, those of model_ema:", ", ".join(sorted(found)[:3]), "...")

# %% [markdown]
# ## The naive loader
#
# PyTorch has a function for this: `load_state_dict`. It complains, because names differ. There is a switch against complaints, `strict=False`. What happens?

# %%
sizes = dict(tokens=9, dims=5, classes=6, width=24, decoder_width=32, encoder_blocks=2, decoder_blocks=1,
             heads=4, decoder_heads=2, class_tokens=3, norm_eps=1e-5)
head_sizes = dict(dims=5, num_levels=7, context_width=32, width=16, blocks=2, heads=2, norm_eps=1e-5)
levels = gaussian_levels(7).repeat(5, 1)
torch.manual_seed(0)
naive = ARModel(ARConfig(BackboneConfig(**sizes), HeadConfig(**head_sizes)), levels,
                order=tiny["channel_order"]).eval()
result = naive.load_state_dict(official, strict=False)
print(f"no error; of {len(naive.state_dict())} tensors of ours {len(result.missing_keys)} were not found")

# %% [markdown]
# It loaded nothing and said nothing. In a longer program the next thing one sees is noise images, and a day goes by. The golden file knows which loss the true model has on its tokens. (A bad one: its weights are random and large, so that no mistake can hide behind small numbers. What counts is that we get the same.)

# %%
labels, indices, mask = (stored[name] for name in ("labels", "indices", "mask"))
mask = mask.bool()
with torch.no_grad():
    loss = naive.loss(indices, labels, mask=mask).item()
print(f"loss {loss:.3f}, expected {stored['loss'].item():.3f}; knowing nothing: ln 7 = {math.log(7):.3f}")
assert abs(loss - stored["loss"].item()) > 0.1


# %% [markdown]
# Ours is at $\ln 7$, an untouched head that guesses; the true model is confidently wrong about random tokens. By the loss alone the failed load even looks like the better one. So we want three things of a loader: names translated, every tensor accounted for in both directions, and numbers that agree at the end.
#
# ## The names, as a table
#
# Translations written as code hide mistakes. Written as data, they can be read down a column. Each row says: the official name, its shape in letters, and where the values live in our model. `{E}` stands for 0, 1, 2, ... as often as the counter E says.
#
# | letter | meaning | letter | meaning |
# | --- | --- | --- | --- |
# | D, W, K | widths of encoder, decoder, head | E, U, H | blocks of encoder, decoder, head |
# | F, G, M | hidden widths of their MLPs | C | latent dimensions (our d) |
# | A | width of one attention head of the head | B | levels (our k) |
# | L, P | tokens, tokens + class tokens | N | classes |
#
# (L, B and H are counts in this table, and not the paper's models of those names, which are TokenBridge-B, -L and -H here.)
#
# E, U, H and C also count: `{C-1}` stands for 0 to C - 2, since the last dimension's index is never fed back.
#
# Most rows come in patterns: a linear layer has a weight and a bias, a norm too, a transformer block has four linear layers and two norms.

# %%
#| exporti
def _linear(official: str, ours: str, inputs: str, outputs: str) -> list[tuple[str, str, str]]:
    "Rows of a linear layer."
    return [(f"{official}.weight", f"{outputs} {inputs}", f"{ours}.weight"),
            (f"{official}.bias", outputs, f"{ours}.bias")]


def _norm(official: str, ours: str, width: str) -> list[tuple[str, str, str]]:
    "Rows of an affine LayerNorm."
    return [(f"{official}.{part}", width, f"{ours}.{part}") for part in ("weight", "bias")]


def _block(official: str, ours: str, width: str, hidden: str) -> list[tuple[str, str, str]]:
    "Rows of a transformer block."
    layers = {"attn.qkv": (width, f"3{width}"), "attn.proj": (width, width), "mlp.fc1": (width, hidden),
              "mlp.fc2": (hidden, width)}
    rows = [row for name, shape in layers.items()
            for row in _linear(f"{official}.{name}", f"{ours}.{name}", *shape)]
    return rows + [row for name in ("norm1", "norm2")
                   for row in _norm(f"{official}.{name}", f"{ours}.{name}", width)]


# %% [markdown]
# Where the official model keeps many small tensors and ours keeps one large, our column has an index: `token_embeddings.3.weight` is `head.token_embed[3]`. The label "none" is our last class, so the official `fake_latent` becomes the last row of `class_embed`.

# %%
#| export
NAME_MAP = (
    ("class_emb.weight", "N D", "backbone.class_embed.weight[:-1]"),
    ("fake_latent", "1 D", "backbone.class_embed.weight[-1:]"),
    *_linear("z_proj", "backbone.latent_proj", "C", "D"),
    ("encoder_pos_embed_learned", "1 P D", "backbone.encoder_positions"),
    *_norm("z_proj_ln", "backbone.latent_norm", "D"),
    *_block("encoder_blocks.{E}", "backbone.encoder_blocks.{E}", "D", "F"),
    *_norm("encoder_norm", "backbone.encoder_norm", "D"),
    *_linear("decoder_embed", "backbone.decoder_embed", "D", "W"),
    ("mask_token", "1 1 W", "backbone.mask_token"),
    ("decoder_pos_embed_learned", "1 P W", "backbone.decoder_positions"),
    *_block("decoder_blocks.{U}", "backbone.decoder_blocks.{U}", "W", "G"),
    *_norm("decoder_norm", "backbone.decoder_norm", "W"),
    ("output_pos_embed", "1 L W", "backbone.output_positions"),
    *_linear("condition_proj", "head.condition_proj", "W", "K"),
    ("channel_embed", "1 C K", "head.dim_embed"),
    ("timesteps_embeddings", "1 C K", "head.step_embed"),
    ("token_embeddings.{C-1}.weight", "B K", "head.token_embed[{C-1}]"),
    *_block("channel_blocks.{H}", "head.blocks.{H}", "K", "M"),
    *_norm("channel_blocks.{H}.attn.q_norm", "head.blocks.{H}.attn.q_norm", "A"),
    *_norm("channel_blocks.{H}.attn.k_norm", "head.blocks.{H}.attn.k_norm", "A"),
    *_linear("channel_blocks.{H}.adaLN_modulation.1", "head.blocks.{H}.modulation", "K", "6K"),
    *_norm("channel_norm", "head.norm", "K"),
    *_linear("channel_final.adaLN_modulation.1", "head.final_modulation", "K", "2K"),
    ("channel_heads.{C}.weight", "B K", "head.out_weight[{C}]"),
    ("channel_heads.{C}.bias", "B", "head.out_bias[{C}]"),
)
OFFICIAL_BUFFERS = (("reconstruction_values", "B"), ("boundaries", "B+1"), ("channel_mask", "C C"))
KL16_ORDER: tuple[int, ...] = PRESETS["imagenet-l"].order or ()  # of MAR's KL-16, low frequencies first

# %%
for name, shape, ours in NAME_MAP:
    if "blocks" not in name or "channel_blocks" in name and "mlp" not in name:
        print(f"{name:46} {shape:6} {ours}")


# %% [markdown]
# Given a number for every letter, the table says which tensors a checkpoint must have, and in which shape. No model needs to be built for that.

# %%
#| exporti
def _check_sizes(sizes: Mapping[str, int]) -> None:
    "Raise ValueError unless there is a positive number for every letter."
    for letter in "DWKFGMALPEUHCBN":
        if letter not in sizes:
            raise ValueError(f"sizes: expected a number for every letter of the table, {letter} is missing")
        check_int(f"sizes: {letter}", sizes[letter], 1)


def _count(words: str, sizes: Mapping[str, int]) -> int:
    "'3D' or 'B+1' or 'C-1' or '1' in numbers."
    parts = re.fullmatch(r"(\d*)([A-Z]?)([+-]\d+)?", words)
    assert parts is not None
    factor, letter, plus = parts.groups()
    return int(factor or 1) * (sizes[letter] if letter else 1) + int(plus or 0)


def _rows(sizes: Mapping[str, int]) -> list[tuple[str, tuple[int, ...], str]]:
    "The table with numbers for letters, one row for every official tensor."
    rows = []
    for name, words, ours in NAME_MAP:
        counter = re.search(r"{(.*?)}", name)
        shape = tuple(_count(word, sizes) for word in words.split())
        for i in range(_count(counter[1], sizes) if counter else 1):
            fill = lambda text: re.sub(r"{.*?}", str(i), text)
            rows.append((fill(name), shape, fill(ours)))
    return rows


# %%
#| export
def official_shapes(
    sizes: Mapping[str, int],        # a number for every letter of the table
) -> dict[str, tuple[int, ...]]:     # official name -> shape
    "Name and shape of every parameter of an official model of these sizes."
    _check_sizes(sizes)
    return {name: shape for name, shape, _ in _rows(sizes)}


# %% [markdown]
# A check that costs nothing: fill in the sizes of TokenBridge-L and add up. The official class, built with its settings for -L, counts 486,889,472 parameters (-B: 218,024,704). A forgotten row puts the sum off, and so does a wrong letter, unless two letters stand for equal sizes there (in -L: D = W = K and F = G = M). The crooked miniature has other coincidences (E = H, 6K = F, 2K = W), but not these; what one check misses the other finds. For -H we know only the rounded number, 910 million, and it fits (lesson 07).

# %%
def preset_sizes(width, blocks, head_width, head_blocks):
    # attention heads of the head's blocks; class tokens before the 16 x 16 tokens
    heads, class_tokens = 8, 64
    return dict(D=width, W=width, K=head_width, F=4 * width, G=4 * width, M=4 * head_width,
                A=head_width // heads, L=256, P=256 + class_tokens,
                E=blocks, U=blocks, H=head_blocks, C=16, B=64, N=1000)

large = official_shapes(preset_sizes(1024, 16, 1024, 4))
totals = {name: sum(math.prod(shape) for shape in official_shapes(preset_sizes(*s)).values())
          for name, s in {"B": (768, 12, 768, 4), "L": (1024, 16, 1024, 4), "H": (1280, 20, 1024, 6)}.items()}
print({name: f"{total:,}" for name, total in totals.items()}, f"L in {len(large)} tensors")
assert totals["L"] == 486_889_472 and totals["B"] == 218_024_704


# %% [markdown]
# To the last parameter. Where do they sit? Our guess before the picture: in the 32 backbone blocks, each with $12 \cdot 1024^2$ weights, that is about 400 of the 487 million; the head, though it is the paper's invention, should be a side wing.

# %%
def part(name):
    if name.startswith(("encoder_", "decoder_")):
        return name[:7]
    return "head" if name.startswith(("channel_", "token_embeddings", "timesteps",
                                      "condition_proj")) else "all other"

groups = Counter()
for name, shape in large.items():
    groups[part(name)] += math.prod(shape) / 1e6
fig, ax = plt.subplots(figsize=(6, 1.9), dpi=80)
ax.barh(list(groups), list(groups.values()), color="0.6", edgecolor="black")
for row, millions in enumerate(groups.values()):
    ax.text(millions, row, f" {millions:.1f}", va="center")
ax.set(xlabel="million parameters of TokenBridge-L", xlim=(0, 240))
ax.invert_yaxis()
plt.show()
assert groups["encoder"] + groups["decoder"] > 400 and groups["head"] < 100


# %% [markdown]
# So it is: two long bars, one short, the head a sixth of the whole. A row of the table that were wrong by one embedding would not be visible here; the sum above would see it.
#
# ## Sizes, by vote
#
# Nobody should have to type the sizes of a checkpoint: they can be read off its tensors. The naive way reads each size from one tensor, say the width from `z_proj.weight`. If just that tensor is damaged, all *others* then look wrong, and the error points at an innocent. But nearly every size occurs in many tensors. So each axis that is just that letter votes, and the majority decides.

# %%
#| exporti
def _known(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, int, tuple[str, str, str]]]:
    "Which names fit the table: name -> (counter or '', its value, row)."
    known = {}
    for row in NAME_MAP:
        counter = re.search(r"{(.*?)}", row[0])
        pattern = re.compile(re.sub(r"\\{.*?\\}", r"(\\d+)", re.escape(row[0])))
        for match in filter(None, map(pattern.fullmatch, tensors)):
            known[match[0]] = (counter[1] if counter else "", int(match[1]) if counter else 0, row)
    return known


def _depth(known: Mapping, counter: str) -> int:
    "How many blocks there are: up to the last one of which more than half is there."
    full = sum(f"{{{counter}}}" in name for name, _, _ in NAME_MAP)
    seen = Counter(index for word, index, _ in known.values() if word == counter)
    return max((index + 1 for index, num in seen.items() if 2 * num > full), default=0)


# %%
#| exporti
def _votes(tensors: Mapping[str, Tensor], known: Mapping, letter: str) -> dict[int, list[str]]:
    "What the tensors say about one size: size -> names that say so."
    votes: dict[int, list[str]] = {}
    for name, (_, _, (_, shape, _)) in known.items():
        words = shape.split()
        if letter in words and len(words) == tensors[name].ndim:
            votes.setdefault(tensors[name].shape[words.index(letter)], []).append(name)
    return votes


def _decide(votes: Mapping[int, list[str]], letter: str, where: str) -> int:
    "The size that most tensors name; a tie is an error that shows both sides."
    ranked = sorted(votes.items(), key=lambda item: -len(item[1]))
    if not ranked:
        witness = re.sub("{.*?}", "0", next(name for name, shape, _ in NAME_MAP if letter in shape.split()))
        raise ValueError(f"{where}: lacks {witness} (or it has the wrong number of axes)")
    if len(ranked) > 1 and len(ranked[0][1]) == len(ranked[1][1]):
        sides = [f"{names[0]} says {size}" for size, names in ranked[:2]]
        raise ValueError(f"{where}: tensors disagree about a size: {', '.join(sides)}")
    return ranked[0][0]


# %% [markdown]
# Counters (how many blocks) need another rule, or a single stray tensor named `encoder_blocks.99...` would make the model a hundred blocks deep: a block counts if more than half of it is there.

# %%
#| export
def official_sizes(
    tensors: Mapping[str, Tensor],  # official name -> tensor
    where: str = "tensors",         # for messages: where they come from
) -> dict[str, int]:                # letter of the table -> size
    "Read every size off the tensors by majority."
    _check_tensors(tensors, where)
    known = _known(tensors)
    sizes = {letter: _decide(_votes(tensors, known, letter), letter, where) for letter in "CDWKLPBNFGMA"}
    return sizes | {counter: _depth(known, counter) for counter in "EUH"}


# %%
read = official_sizes(found)
print(read)
assert (read["D"], read["W"], read["K"], read["C"], read["B"], read["L"], read["N"]) == (24, 32, 16, 5, 7, 9,
    6)
damaged = found | {"z_proj.weight": torch.zeros(23, 5)}
stray = found | {"encoder_blocks.99.attn.qkv.bias": torch.zeros(72)}
assert official_sizes(damaged) == official_sizes(stray) == read


# %% [markdown]
# The damaged tensor was outvoted, and the stray one made no block. There are limits: the numbers of classes and of tokens stand in one tensor each, and depths follow from names, so a truncated class table or a missing last block looks like a smaller model. Whoever knows which model a file should hold compares with its preset (`config_sizes`, below). What no tensor tells: how many attention heads the blocks have (the same matrices serve 4 heads of 6 or 6 of 4), the epsilon of the norms, the range of the quantizer, the order of the dimensions. These are arguments, with the official models' values as defaults. (The head's own number of attention heads *can* be told: its qk-norm has the width of one.)
#
# ## Strict
#
# Now every tensor is held against the table, in both directions. The error gives the official name, because that is the name to search for in the file.

# %%
#| export
def check_official(
    tensors: Mapping[str, Tensor],  # official name -> tensor
    sizes: Mapping[str, int],       # a number for every letter of the table
    where: str = "tensors",         # for messages: where they come from
) -> None:
    "Raise ValueError naming missing, extra, misshapen or non-finite tensors; buffers may be absent."
    _check_tensors(tensors, where)
    shapes = official_shapes(sizes)
    buffers = {name: tuple(_count(word, sizes) for word in shape.split()) for name, shape in OFFICIAL_BUFFERS}
    for verb, names in (("lacks", [n for n in shapes if n not in tensors]),
                        ("has unexpected", [n for n in tensors if n not in shapes and n not in buffers])):
        if names:
            raise ValueError(f"{where}: {verb} {', '.join(names[:3])}"
                             + (f" and {len(names) - 3} more" if len(names) > 3 else ""))
    for name, tensor in tensors.items():
        want = (shapes | buffers)[name]
        if tuple(tensor.shape) != want:
            raise ValueError(f"{where}: {name}: expected shape {want}, got {tuple(tensor.shape)}")
        if name in shapes and not tensor.is_floating_point():
            raise ValueError(f"{where}: {name}: expected floats, got {tensor.dtype}")
        if name in shapes and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{where}: {name}: holds NaN or infinite values")


# %%
without = {name: t for name, t in found.items() if name != "channel_heads.3.bias"}
cases = {"expected shape (24, 5), got (23, 5)": damaged, "lacks channel_heads.3.bias": without,
         "has unexpected diffloss.net.weight": found | {"diffloss.net.weight": torch.zeros(2)},
         "mask_token: holds NaN": found | {"mask_token": torch.full((1, 1, 32), math.nan)}}
for words, case in cases.items():
    try:
        check_official(case, official_sizes(case))
        raise AssertionError("a broken checkpoint went through")
    except ValueError as error:
        print(error)
        assert words in str(error)

# %% [markdown]
# ## From sizes to a configuration, and back
#
# Our configuration follows from the sizes, plus what the tensors cannot tell. The way back is shorter.

# %%
#| exporti
# attention heads of the official models, by width
_HEADS = {p.ar.backbone.width: p.ar.backbone.heads for p in PRESETS.values() if p.name.startswith("imagenet")}


def _heads(name: str, given: int | None, width: int) -> int:
    "Attention heads: as given, or those of the official model of this width."
    if given is None and width not in _HEADS:
        known = ", ".join(map(str, _HEADS))
        raise ValueError(f"{name}: expected a number for width {width} (known without it: {known}), got None")
    return _HEADS[width] if given is None else given


def _ratio(hidden: int, width: int) -> float:
    "The ratio r with int(width * r) = hidden."
    exact = hidden / width
    return exact if int(width * exact) == hidden else (hidden + 0.5) / width


# %%
#| export
def official_config(
    sizes: Mapping[str, int],             # a number for every letter of the table, from `official_sizes`
    heads: int | None = None,             # attention heads of the encoder; None: as official for its width
    decoder_heads: int | None = None,     # attention heads of the decoder; None: `heads` if it is as wide
    norm_eps: float = 1e-6,               # epsilon of the LayerNorms
    official_first_step: bool = False,    # True: sample as the official code does
    dropout: float = 0.0,                 # dropout for further training; the official models had 0.1
) -> ARConfig:
    "The configuration of ours that has these sizes."
    _check_sizes(sizes)
    s, ratios = sizes, {_ratio(sizes["F"], sizes["D"]), _ratio(sizes["G"], sizes["W"])}
    if len(ratios) > 1:
        raise ValueError("sizes: expected one MLP ratio in encoder and decoder, "
                         f"got {s['F']} / {s['D']} and {s['G']} / {s['W']}")
    if decoder_heads is None and s["W"] == s["D"]:
        decoder_heads = heads
    backbone = BackboneConfig(
        kind="masked", tokens=s["L"], dims=s["C"], classes=s["N"], width=s["D"], decoder_width=s["W"],
        encoder_blocks=s["E"], decoder_blocks=s["U"], heads=_heads("heads", heads, s["D"]),
        decoder_heads=_heads("decoder_heads", decoder_heads, s["W"]), class_tokens=s["P"] - s["L"],
        mlp_ratio=ratios.pop(), dropout=dropout, attention_dropout=dropout, norm_eps=norm_eps)
    head = HeadConfig(
        dims=s["C"], num_levels=s["B"], context_width=s["W"], width=s["K"], blocks=s["H"],
        heads=s["K"] // s["A"], mlp_ratio=_ratio(s["M"], s["K"]), dropout=dropout, norm_eps=norm_eps,
        official_first_step=official_first_step)
    return ARConfig(backbone, head)


# %% [markdown]
# Back from a configuration to the letters:

# %%
#| export
def config_sizes(
    config: ARConfig,       # configuration with a masked backbone and a dimension-wise head
) -> dict[str, int]:        # a number for every letter of the table
    "The sizes of the official model that has this configuration."
    b, h = config.backbone, config.head
    if b.kind != "masked":
        raise ValueError(f"config: expected a masked backbone as in the official model, got kind {b.kind!r}")
    if h is None or h.kind != "dimensions":
        got = "none of ours" if h is None else f"kind {h.kind!r}"
        raise ValueError(f"config: expected a dimension-wise head as in the official model, got {got}")
    width = b.decoder_size[0]
    return dict(D=b.width, W=width, K=h.width, F=int(b.width * b.mlp_ratio), G=int(width * b.mlp_ratio),
                M=int(h.width * h.mlp_ratio), A=h.width // h.heads, L=b.tokens, P=b.tokens + b.class_tokens,
                E=b.encoder_blocks, U=b.decoder_blocks, H=h.blocks, C=b.dims, B=h.num_levels, N=b.classes)


# %%
config = official_config(read, heads=4, decoder_heads=2, norm_eps=1e-5)
print(config.backbone)
print(config.head)
assert config_sizes(config) == read and config == ARConfig(BackboneConfig(**sizes), HeadConfig(**head_sizes))
assert config_sizes(PRESETS["imagenet-l"].ar) == preset_sizes(1024, 16, 1024, 4)


# %% [markdown]
# ## The same memory under two names
#
# How do values get from one naming to the other? Stacking, concatenating, cutting, each with its inverse: that would be a second table, and both could disagree. Instead we look at *our* parameters through official glasses. An index or a reshape of a tensor is a view: same memory, other shape. Whoever fills the views has filled the model.

# %%
#| export
def official_views(
    model: ARModel,           # model with a masked backbone and a dimension-wise head
) -> dict[str, Tensor]:       # official name -> view of our parameter in the official shape
    "Our parameters under their official names; writing into a view writes into the model."
    own, views = dict(model.named_parameters()), {}
    for name, shape, ours in _rows(config_sizes(model.config)):
        place, _, index = ours.removesuffix("]").partition("[")
        part = own[place].detach()
        if index:   # the table's only slices, or a number
            part = {":-1": part[:-1], "-1:": part[-1:]}[index] if ":" in index else part[int(index)]
        views[name] = part.view(shape)
    return views


# %%
views = official_views(naive)
print(sum(view.numel() for view in views.values()), "values seen through views,",
      sum(p.numel() for p in naive.parameters()), "parameters")
views["fake_latent"].fill_(0.5)
assert (naive.backbone.class_embed.weight[-1] == 0.5).all()
for view in views.values():
    view.fill_(7.0)
assert all((p == 7).all()
           for p in naive.parameters()) and sum(map(torch.numel, views.values())) == sum(map(torch.numel,
               naive.parameters()))


# %% [markdown]
# Both directions fall out of it: loading copies into the views, and a model of ours under official names is just the views. (The tests do that round trip and compare bit for bit.)

# %% [markdown]
# And the loader is a few lines. Should the file carry its own quantizer table, in standard deviations, it must be the one that `sigma_range` leads to; a wrong range would otherwise go unnoticed and cost quality, not an error. (An average of parameters alone, like `model_ema`, carries none: then nobody checks. And how the official code scales the table, `value_range`, no file tells.)

# %%
#| export
def load_official_model(
    source: str | Path | Mapping[str, Tensor],  # .pth or .safetensors file, or official name -> tensor
    order=None,                           # (d,) dimension generated at each step; None: KL-16's, if d is 16
    value_range: float = 5.0,             # largest latent that the quantizer covers
    sigma_range: float = 3.0,             # deviations of the normal distribution at `value_range`
    prefix: str = "",                     # beginning of the names in the file, cut off
    **options,                            # see `official_config`: heads, decoder_heads, norm_eps, ...
) -> ARModel:                             # in evaluation mode
    "An official TokenBridge checkpoint as an ARModel; any width, depth, levels, grid and number of classes."
    tensors, where = read_official(source, prefix), _where(source)
    sizes = official_sizes(tensors, where)
    check_official(tensors, sizes, where)
    if order is None and sizes["C"] != len(KL16_ORDER):
        raise ValueError(f"order: expected a permutation of the {sizes['C']} dimensions, got None "
                         f"(known only for KL-16's {len(KL16_ORDER)})")
    row = gaussian_levels(sizes["B"], value_range, sigma_range)
    _check_levels(tensors, row, value_range, sigma_range, where)
    model = ARModel(official_config(sizes, **options), row.repeat(sizes["C"], 1),
                    KL16_ORDER if order is None else order)
    for name, view in official_views(model).items():
        view.copy_(tensors[name])
    return model.eval()


# %%
#| exporti
def _check_levels(tensors: Mapping[str, Tensor], levels: Tensor, value_range: float, sigma_range: float,
                  where: str) -> None:
    "Levels in the file, in standard deviations, must be ours; an unfilled table (all equal) says nothing."
    values = tensors.get("reconstruction_values")
    if values is None or bool((values == values[0]).all()):
        return
    if not bool((values.diff() > 0).all()):   # the official formula gives such a table from 741 levels on
        raise ValueError(f"{where}: reconstruction_values: expected {len(values)} values that ascend, "
                         "got some that do not")
    stored = values.double() * (value_range / sigma_range)
    if not torch.allclose(stored, levels.double(), atol=1e-4):
        raise ValueError(f"{where}: reconstruction_values: differ from the levels of "
                         f"sigma_range {sigma_range}")


# %%
model = load_official_model(checkpoint, order=tiny["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-5)
with torch.no_grad():
    loss = model.loss(indices, labels, mask=mask).item()
print(f"loss {loss:.6f}, expected {stored['loss'].item():.6f}")
assert abs(loss - stored["loss"].item()) < 1e-4

# %% [markdown]
# And a file with a table. A file holds it in standard deviations, that is with `value_range` equal to `sigma_range`: (3, 3) is ours before it is stretched to ±5 and passes; (2.5, 2.5) is another range and does not.

# %%
shape = dict(order=tiny["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-5)
load_official_model(found | {"reconstruction_values": gaussian_levels(7, 3.0, 3.0)}, **shape)
try:
    load_official_model(found | {"reconstruction_values": gaussian_levels(7, 2.5, 2.5)}, **shape)
    raise AssertionError("a wrong table went through")
except ValueError as error:
    print(error)
    assert "reconstruction_values" in str(error)

# %% [markdown]
# ## Parity, station by station
#
# One number that agrees might be luck. If it disagreed we would want to know where the two computations part. So the golden file has a value for every station between latents and loss, and we compare each. Indices must agree exactly; everything computed in floats, the de-quantized values included, to rounding (both compute in 64 bits; in 32, rounding adds up differently on different machines).

# %%
quantizer, exact = Quantizer(model.levels), copy.deepcopy(model).double()
dequantized = quantizer.dequantize(indices)
with torch.no_grad():
    encoder_out = exact.backbone.encode(dequantized, labels, mask)[0]
    z = exact.backbone(dequantized, labels, mask)
    # by dimension -> by step, as the file has them
    logits = exact.head(z[mask], indices[mask])[:, model.head.order]
context = z.float()   # the rest of the lesson goes on in 32 bits
assert torch.equal(quantizer.quantize(stored["latents"]), indices)
print(f"all {indices.numel()} indices equal")

# %%
stations = {"dequantized": dequantized, "encoder_out": encoder_out, "z": z, "logits": logits}
for name, ours in stations.items():
    error, spread = (ours - stored[name]).abs().max().item(), stored[name].std().item()
    assert error < 2e-5, f"{name}: {error:.2g} off"   # how far below depends on the machine
    print(f"{name:12} {str(tuple(ours.shape)):12} standard deviation {spread:.2f}, "
          "largest difference below 2e-5")

# %% [markdown]
# How sensitive is that? A small mistake on purpose: the norms' epsilon at 1e-6 where this model has 1e-5. Nothing in the tensors could have told.

# %%
wrong = load_official_model(found, order=tiny["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-6)
swapped = load_official_model(found, order=tiny["channel_order"], heads=2, decoder_heads=2, norm_eps=1e-5)
with torch.no_grad():
    change = {name: (other.backbone(dequantized, labels, mask) - stored["z"]).abs().max().item()
              for name, other in (("epsilon", wrong), ("number of heads", swapped))}
for name, value in change.items():
    print(f"wrong {name:16} context off by {value:.1e}")
assert change["epsilon"] > 1e-4 and change["number of heads"] > 0.1

# %% [markdown]
# A wrong epsilon shows in the fourth digit, well above rounding: a looser comparison would have let it through. The wrong number of heads loads without a word and is another model: same tensors, same shapes. That is why a preset or a person has to give it, and why we measure.
#
# ## The official sampler's mismatch
#
# Now something that no loader can see. The head reads a sequence whose first element is the *condition*, what the backbone says about the token. In training the official code feeds the condition as it is. Its sampler feeds the condition **plus the first step embedding**. A slip of one line, and it need not show in the images, if the step embeddings are small. But the logits used for sampling are no longer those that were trained.
#
# Two functions compute the logits of one and the same token: `forward` all at once (as in training) and `cached_logits` step by step (as in sampling). They must agree. We load the weights once with the official way of sampling, once with ours.
#
# What to expect: every step reads the first element, so with the official way all steps should be off, the first one, which reads nothing else, not less than others. Ours should be off by rounding.

# %%
theirs = load_official_model(found, order=tiny["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-5,
                             official_first_step=True)

def gap(model):
    "Largest difference between trained and sampled logits at every step."
    with torch.no_grad():
        args = context[mask], indices[mask]
        difference = (model.head(*args) - model.head.cached_logits(*args)).abs()
    return difference[:, model.head.order].amax((0, 2))

gaps = {"official first element": gap(theirs), "ours": gap(model)}
assert gaps["ours"].max() < 1e-5 and gaps["official first element"].min() > 1e-2
assert gaps["official first element"].argmax() == 0

# %%
fig, ax = plt.subplots(figsize=(5.5, 3), dpi=80)
for (name, values), style in zip(gaps.items(), ("s--", "o-")):
    ax.semilogy(range(1, 6), values.clamp(min=1e-8), style, label=name)
ax.set(xlabel="step of the head", ylabel="largest difference\nof the logits", xticks=range(1, 6),
       ylim=(1e-8, 10))
ax.legend(loc="center right")
plt.show()


# %% [markdown]
# Orders of magnitude lie between the curves. The lower one is rounding (our first step agrees to the floor of the axis: before it there is nothing to cache); the upper one is a different function, at the first step most of all. If the mismatch were ours too, the curves would lie together at the top, and lesson 06 would have failed its check. (These weights are random and large. What the mismatch costs the trained models we cannot measure here, and know no published figure for.)
#
# ## Whole images
#
# Last, the loop around it all: whole images by argmax with given orders, 4 steps, without and with guidance. The golden file has them both ways. An argmax forgives nothing: one wrong index is fed back and changes what follows.
#
# A **difference of convention**: the official orders list the token that is revealed *last* first, ours the one that is generated first. So orders are turned round.

# %%
def greedy(model, cfg_scale):
    return generate_indices(model, labels, steps=tiny["steps"], cfg_scale=cfg_scale, temperature=0.0,
                            order=stored["orders"].flip(1))

for way, loaded in (("consistent", model), ("official", theirs)):
    for cfg in (1, 3):
        wanted = stored[f"greedy_{way}_cfg{cfg}"]
        same = (greedy(loaded, float(cfg)) == wanted).float().mean().item()
        print(f"{way:10} guidance {cfg}: {same:.0%} of {wanted.numel()} indices equal")
        assert same == 1

# %% [markdown]
# And how far do the two ways of sampling part? The picture shows the indices of the first image under guidance, dimensions (rows) by tokens (columns; dark: a high index), both in order of generation, with a cross where the two ways differ; thin lines separate the four steps, of 1, 2, 3 and 3 tokens. Expect crosses from the first token on, since the mismatch sits in the head, but not everywhere: the largest logit can stay the largest. Later tokens should have more of them, since differences travel through the backbone.

# %%
pair = {way: stored[f"greedy_{way}_cfg3"][0] for way in ("consistent", "official")}
turn = stored["orders"][0].flip(0)
# tokens after the first, second and third step
borders = torch.tensor(cosine_schedule(9, tiny["steps"])).cumsum(0)[:-1].tolist()
fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), dpi=80, sharey=True)
for ax, (way, image) in zip(axes, pair.items()):
    spelled = image[turn][:, tiny["channel_order"]]
    ax.imshow(spelled.T, cmap="Greys", vmin=0, vmax=9)   # 9, not 6: black would hide the crosses
    for token, dim in (pair["official"] != pair["consistent"])[turn][:,
        tiny["channel_order"]].nonzero().tolist():
        ax.text(token, dim, "x", ha="center", va="center", color="red", weight="bold")
    for border in borders:
        ax.axvline(border - 0.5, color="black", linewidth=0.8)
    ax.set(title=way, xlabel="token, in order of generation", ylabel="dimension,\nin order of generation")
plt.show()

# %%
turned = stored["orders"].flip(1)[..., None].expand(-1, -1, 5)
for cfg in (1, 3):
    flips = (stored[f"greedy_official_cfg{cfg}"] != stored[f"greedy_consistent_cfg{cfg}"]).gather(1,
        turned).float()
    steps = flips.split([first - last for last, first in zip((0, *borders), (*borders, 9))], dim=1)
    print(f"guidance {cfg}: the mismatch changes {flips.mean():.0%} of the indices; step by step",
          [f"{int(part.sum())} of {part.numel()}" for part in steps])
    assert steps[0].sum() > 0 and steps[0].mean() < steps[-1].mean()


# %% [markdown]
# So it is, over all three images. The first step has one token an image, and there are flips in it: few, but had there been none, the fault would have been only in what is fed back. Later steps have more, since differences are fed back, within a token by the head and between tokens by the backbone (the counts do not tell the two apart).
#
# ## The VAE: KL-16
#
# Here the names need no table: lesson 02 built the architecture under latent diffusion's names. Only the sizes must be read: the channels at every resolution, the number of resolutions and blocks, the latent dimensions. A smaller vote is enough for that: the sizes of first axes, and a number in a name counts if more than two tensors bear it.

# %%
#| exporti
def _vote(tensors: Mapping[str, Tensor], pattern: str, example: str, where: str) -> int:
    "The commonest size of the first axis among tensors whose name fits."
    sizes = Counter(t.shape[0] for name, t in tensors.items() if re.fullmatch(pattern, name) and t.ndim)
    if not sizes:
        raise ValueError(f"{where}: lacks {example} and all tensors of its size")
    (first, votes), *others = sizes.most_common(2)
    if others and others[0][1] == votes:
        raise ValueError(f"{where}: tensors like {example} disagree about a size: {first} and {others[0][0]}")
    return first


def _number(tensors: Mapping[str, Tensor], pattern: str) -> int:
    "One more than the largest number in names like this, a lonely name aside."
    seen = Counter(int(match[1]) for match in map(re.compile(pattern).match, tensors) if match)
    return max((number + 1 for number, times in seen.items() if times > 2), default=0)


# %%
#| export
def official_vae_config(
    tensors: Mapping[str, Tensor],  # official name -> tensor
    image_size: int = 256,          # pixels of the images it is meant for
    groups: int = 32,               # groups of each GroupNorm
    where: str = "tensors",         # for messages: where they come from
) -> VAEConfig:
    "Read the sizes of a KL-16 autoencoder off its tensors."
    _check_tensors(tensors, where)
    width = _vote(tensors, r"encoder\.(conv_in|down\.0\.block\.0\.norm1)\.\w+", "encoder.conv_in.weight",
                  where)
    moments = _vote(tensors, r"(quant_conv|encoder\.conv_out)\.\w+", "quant_conv.weight", where)
    num = _number(tensors, r"encoder\.down\.(\d+)\.block\.")
    channels = [_vote(tensors, rf"(encoder\.down|decoder\.up)\.{i}\.block\.\d+\.(norm2|conv1|conv2)\.\w+",
                      f"encoder.down.{i}.block.0.conv1.weight", where)
                for i in range(num)]
    if not channels or any(c % width for c in channels):
        raise ValueError(f"{where}: encoder.down: expected resolutions with multiples of {width} channels, "
                         f"got {channels}")
    return VAEConfig(kind="kl16", image_size=image_size, latent_dims=moments // 2, factor=2 ** (num - 1),
                     width=width, groups=groups,
                     multipliers=tuple(c // width for c in channels),
                     blocks=_number(tensors, r"encoder\.down\.\d+\.block\.(\d+)\."))


# %% [markdown]
# The latents of KL-16 have a standard deviation of about 4.3; MAR multiplies them by 0.2325 before anything else. In our package the VAE owns the scale: mean 0 and standard deviation 1/0.2325 in its buffers, so that nobody outside has to remember. These two are the only tensors that may be absent from the file.

# %%
#| export
def load_official_vae(
    source: str | Path | Mapping[str, Tensor],  # .ckpt or .safetensors file, or official name -> tensor
    image_size: int = 256,    # pixels of the images it is meant for
    groups: int = 32,         # groups of each GroupNorm
    scale: float = 0.2325,    # factor by which latents are multiplied
    prefix: str = "",         # beginning of the names in the file, cut off
) -> VAE:                     # in evaluation mode, fp32
    "MAR's KL-16, or another of its architecture, as a VAE; a wrong file is an error that names the tensor."
    check_number("scale", scale, 0, open_low=True)
    tensors, where = read_official(source, prefix), _where(source)
    vae = VAE(official_vae_config(tensors, image_size, groups, where))
    load_into(vae, {name: tensor.float() for name, tensor in tensors.items()}, where,
              allow_missing=("latent_mean", "latent_std"))
    vae.latent_mean.zero_()
    vae.latent_std.fill_(1 / scale)
    return vae.eval()


# %%
vae_stored, vae_metadata = load_tensors(golden / "kl16-tiny.safetensors")
print(vae_metadata["config"])
vae_options = dict(image_size=6, groups=4, scale=1.0)  # a miniature again: 8 channels, 6 pixels
vae = load_official_vae(vae_stored, prefix="vae.", **vae_options)
with torch.no_grad():
    posterior, decoded = vae.encode(vae_stored["images"]), vae.decode(vae_stored["latents"])
mean, log_variance = vae_stored["moments"].chunk(2, dim=1)
for name, ours, wanted in (("mean", posterior.mean, mean), ("std", posterior.std, (log_variance / 2).exp()),
                           ("decoded", decoded, vae_stored["decoded"])):
    assert (ours - wanted).abs().max() < 1e-4
    print(f"{name:8} {tuple(ours.shape)} agrees to 1e-4")

# %% [markdown]
# At scale 1 nobody notices if the scale is applied the wrong way round, so once more with MAR's: what leaves the encoder must be 0.2325 times as large, and the decoder must undo it. And three broken files, which must not pass.

# %%
scaled = load_official_vae(vae_stored, prefix="vae.", image_size=6, groups=4)
with torch.no_grad():
    assert (scaled.encode(vae_stored["images"]).mean - 0.2325 * mean).abs().max() < 1e-4
    assert (scaled.decode(0.2325 * vae_stored["latents"]) - vae_stored["decoded"]).abs().max() < 1e-4
whole = read_official(vae_stored, prefix="vae.")
cases = {"lacks decoder.conv_in.bias": {name: t for name,
                                        t in whole.items() if name != "decoder.conv_in.bias"},
         "has unexpected loss.logvar": whole | {"loss.logvar": torch.zeros(1)},
         "encoder.conv_in.weight: expected shape (8, 3, 3, 3), got (8, 4, 3, 3)": whole
         | {"encoder.conv_in.weight": torch.zeros(8, 4, 3, 3)}}
for words, case in cases.items():
    try:
        load_official_vae(case, **vae_options)
        raise AssertionError("a broken file went through")
    except ValueError as error:
        print(error)
        assert words in str(error)

# %% [markdown]
# Shapes alone would not have proved it. Lesson 02 pointed at the lopsided padding of the strided convolutions; let us pad on all sides instead and look.

# %%
even = load_official_vae(vae_stored, prefix="vae.", **vae_options)
for level in even.encoder.down:
    if level.downsample is not None:
        level.downsample.conv.padding = (1, 1)
        level.downsample.forward = level.downsample.conv.forward
with torch.no_grad():
    wrong_mean = even.encode(vae_stored["images"]).mean
print(f"shape {tuple(wrong_mean.shape)} as before, largest difference {(wrong_mean - mean).abs().max():.2f} "
      f"(standard deviation of the mean: {mean.std():.2f})")
assert wrong_mean.shape == mean.shape and (wrong_mean - mean).abs().max() > 0.1


# %% [markdown]
# The shape right, the numbers wrong by up to several standard deviations, and no error: parity has to be measured.
#
# ## Into a folder of ours
#
# VAE, levels and model together are a `TokenBridge` (lesson 10). Saved as a folder, they need this lesson no more: no pickle, no official names, and fingerprints that tie the model to its VAE.

# %%
#| export
def convert_official(
    vae_source: str | Path | Mapping[str, Tensor],    # file or tensors of the VAE, for `load_official_vae`
    model_source: str | Path | Mapping[str, Tensor],  # file or tensors of the AR model, the same way
    folder: str | Path,                               # folder to be written
    vae_options: Mapping | None = None,               # further arguments of `load_official_vae`
    model_options: Mapping | None = None,             # further arguments of `load_official_model`
    name: str = "official",                           # name that is stored with the weights
) -> TokenBridge:                                     # what was saved
    "Turn official checkpoints into a saved folder."
    vae = load_official_vae(vae_source, **(vae_options or {}))
    ar = load_official_model(model_source, **(model_options or {}))
    bridge = TokenBridge(vae, Quantizer(ar.levels, "gaussian"), ar, name)
    bridge.save_pretrained(folder)
    return bridge


# %%
#| export
from tokenbridge.checks import documented

documented(__name__)   # so that help() shows the comments beside the parameters

# %%
vae_weights = read_official(vae_stored, prefix="vae.")
model_options = dict(order=tiny["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-5)
convert_official(vae_weights, checkpoint, Path(scratch.name) / "mine", vae_options, model_options)
mine = TokenBridge.from_pretrained(Path(scratch.name) / "mine")
images = mine.generate(labels, steps=tiny["steps"], cfg_scale=3.0, temperature=0.0,
                       order=stored["orders"].flip(1))
print("images", tuple(images.shape), "from",
      sorted(path.name for path in (Path(scratch.name) / "mine").iterdir()))
assert torch.equal(greedy(mine.ar, 3.0), stored["greedy_consistent_cfg3"])
assert torch.equal(images, mine.detokenize(stored["greedy_consistent_cfg3"]))

# %% [markdown]
# From a stranger's pickle to images by our own pipeline, the indices on the way equal to the reference's, every one.
#
# ## The real files
#
# With the official files downloaded (`vae/kl16.ckpt` and `tokenbridge/tokenbridge_large/checkpoint-last.pth` of the hub repository `Epiphqny/TokenBridge`), everything above shrinks to one call. Sizes, heads, order and scale need no word. (We have not run this: the files are not at hand. Guidance and temperature are the paper's for L. With `model_options=dict(official_first_step=True)` the sampler is the official one.)
#
# ```python
# bridge = convert_official("kl16.ckpt", "checkpoint-last.pth", "tokenbridge-l", name="tokenbridge-l")
# images = bridge.generate(torch.tensor([207, 360]), steps=64, cfg_scale=3.1, temperature=0.97)   # a retriever, an otter; 64 of 256 steps
# ```
#
# **What we learned**
#
# - A pickle is a program; read strangers' files with `weights_only=True`. The weights to take are `model_ema`; buffers that are absent there are recomputed.
# - A name map is data. One table gives names, shapes, parameter counts (to the last of 486,889,472), sizes by vote, strict errors and, through views, both directions of the conversion.
# - Tensors do not tell everything: the number of heads, the epsilon, the padding, the order of the dimensions. Only numbers that agree at every station prove a loader.
# - The official sampler feeds its head a first element that training never saw. Ours samples what it trains; `official_first_step=True` brings the old way back.
#
# **References**: TokenBridge (arXiv 2503.16430) and its repository; MAR (arXiv 2406.11838), whose backbone and VAE these are; latent diffusion (arXiv 2112.10752), whose autoencoder that VAE is.
#
# **Next**: [17 The command](17_cli.ipynb), everything so far from a shell.

# %% tags=["volatile"]
from tokenbridge.checks import print_runtime
scratch.cleanup()
print_runtime(start, 60)
