"One object, one folder: what comes back is what went out, and the wrong parts never meet."
import copy
import json
import re
import shutil
import sys
import types
from dataclasses import asdict, fields, replace
from functools import reduce
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from einops import rearrange

from tests.tools.tiny import save_tiny, three_classes, tiny_model
from tokenbridge import files, folders
from tokenbridge.backbone import BackboneConfig
from tokenbridge.data import drawn_rich_images, to_float
from tokenbridge.files import load_tensors, read_json, save_tensors, write_json
from tokenbridge.generation import SamplingDefaults, generate_indices
from tokenbridge.head import Head, HeadConfig
from tokenbridge.model import ARConfig, ARModel
from tokenbridge.pipeline import (
    TokenBridge,
    Tokenizer,
    load_example_tokens,
    round_weights_,
    save_example_tokens,
    upgrade_folder,
)
from tokenbridge.quantizer import Quantizer
from tokenbridge.vae import VAE, ForeignVAE, Posterior, VAEConfig

LABELS = torch.tensor([0, 1, 2, 3])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return to_float(drawn_rich_images(4, seed=1).images)


@pytest.fixture
def bridge(tiny_folder) -> TokenBridge:
    return TokenBridge.from_pretrained(tiny_folder)


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    "A copy that a test may spoil."
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def other_vae(vae: VAE) -> VAE:
    "The same VAE but for one weight."
    vae = copy.deepcopy(vae)
    with torch.no_grad():
        next(vae.parameters()).flatten()[0] += 1e-3
    return vae


# ---------------------------------------------------------------------- what it does
def test_tokens_are_the_latents_in_raster_order(bridge, images):
    indices = bridge.tokenize(images)
    with torch.no_grad():
        latents = bridge.vae.encode(images).mean
        assert indices.dtype == torch.int64 and indices.shape == (4, 16, 5)
        assert torch.equal(indices[:, 6], bridge.quantizer.quantize(latents[:, :, 1, 2]))     # 6 = 1 * 4 + 2
        levels = rearrange(bridge.quantizer.dequantize(indices), "b (h w) d -> b d h w", h=4)
        assert torch.equal(bridge.detokenize(indices), bridge.vae.decode(levels))


def test_reconstruct(bridge, images):
    assert torch.equal(bridge.reconstruct(images), bridge.detokenize(bridge.tokenize(images)))
    with torch.no_grad():
        assert torch.allclose(bridge.reconstruct(images, quantized=False),
                              bridge.vae.decode(bridge.vae.encode(images).mean), atol=1e-6)


def test_chunks_and_bytes_change_nothing(bridge):
    pixels = drawn_rich_images(7, seed=1).images
    floats, tokens = to_float(pixels), bridge.tokenize(pixels)
    assert torch.equal(bridge.tokenize(floats), tokens)
    assert torch.equal(bridge.quantizer.quantize(bridge.latents(pixels)), tokens)
    for size in (1, 3, 100):
        assert torch.allclose(bridge.latents(pixels, size), bridge.latents(floats), atol=1e-5)
        assert (bridge.tokenize(pixels, size) != tokens).float().mean() < 0.01
        assert torch.allclose(bridge.detokenize(tokens, size), bridge.detokenize(tokens), atol=1e-5)
        for quantized in (True, False):
            assert bridge.reconstruct(pixels, quantized, size).shape == floats.shape


def test_a_large_set_goes_through_in_parts(bridge):
    "As many pixels at a time as 500 small images have; the same bits as by hand."
    pixels, seen = torch.zeros(1100, 3, 32, 32, dtype=torch.uint8), []
    encode = bridge.vae.encode
    with mock.patch.object(bridge.vae, "encode", lambda images: seen.append(len(images)) or encode(images)):
        tokens = bridge.tokenize(pixels)
    assert seen == [500, 500, 100] and tokens.shape == (1100, 16, 5)


@pytest.mark.parametrize("mirror", [True, False])
def test_a_set_is_tokenized_once(bridge, mirror):
    data = three_classes(7)
    tokens = bridge.tokenize_set(data, mirror)
    assert tokens.tokens.shape == (7, 1 + mirror, 16, 5) and tokens.tokens.dtype == torch.uint8
    assert torch.equal(tokens.tokens[:, 0].long(), bridge.tokenize(data.images))
    if mirror:
        assert torch.equal(tokens.tokens[:, 1].long(), bridge.tokenize(data.images.flip(-1)))
    assert torch.equal(tokens.labels, data.labels) and tokens.num_levels == 7 and tokens.mirror is mirror
    assert (tokens.classes, tokens.source) == (data.classes, data.source)
    assert tokens.made_by == bridge.fingerprints() and set(tokens.made_by) == {"vae", "levels"}


def test_generate_hands_every_option_on(bridge):
    options = dict(steps=5, cfg_scale=2.0, cfg_schedule="constant", temperature=0.8, top_k=5, top_p=0.9,
                   order="raster",
                   known=(torch.full((4, 16, 5), 3), (torch.arange(16) < 4).repeat(4, 1)))
    indices = generate_indices(bridge.ar, LABELS, generator=seeded(), **options)
    assert torch.equal(bridge.generate(LABELS, generator=seeded(), **options), bridge.detokenize(indices))


# ---------------------------------------------------------------------- what a model carries
NAMES = ("one", "two", "three")


def test_none_is_what_the_model_carries(bridge):
    own = SamplingDefaults(steps=5, cfg_scale=3.0, cfg_schedule="constant", temperature=0.7, top_k=4,
                           top_p=0.9, order="raster")
    mine = TokenBridge(bridge.vae, bridge.quantizer, bridge.ar, sampling=own)
    assert torch.equal(mine.generate(LABELS, seed=1), bridge.generate(LABELS, seed=1, **asdict(own)))
    off = dict(steps=16, cfg_scale=1, cfg_schedule="linear", temperature=1, top_k=7, top_p=1, order="random")
    assert torch.equal(mine.generate(LABELS, seed=1, **off), bridge.generate(LABELS, seed=1))
    assert not torch.equal(mine.generate(LABELS, seed=1), bridge.generate(LABELS, seed=1))


def test_labels_of_every_kind(bridge):
    named = TokenBridge(bridge.vae, bridge.quantizer, bridge.ar, classes=NAMES)
    wanted = named.generate(torch.tensor([2, 0]), steps=2, seed=1)
    words = ["three", "one"]
    for labels in ([2, 0], (2, 0), np.array([2, 0]), words, np.array(words), ["three", 0],
                   [np.int64(2), np.uint8(0)], np.array(["three", 0], dtype=object)):
        assert torch.equal(named.generate(labels, steps=2, seed=1), wanted)
    for one in ("three", 2, np.int64(2), torch.tensor(2), np.array("three")):
        assert torch.equal(named.generate(one, steps=2, seed=1), named.generate([2], steps=2, seed=1))
        assert torch.equal(named.generate(one, 3, steps=2, seed=1), named.generate([2] * 3, steps=2, seed=1))
    dials = dict(steps=np.int64(2), cfg_scale=np.float32(2), temperature=np.float64(1), seed=np.int64(1),
                 top_k=np.int32(3), top_p=np.float32(0.5), first=np.int64(0), chunk_size=np.int64(1))
    assert torch.equal(named.generate([2, 0], **dials),
                       named.generate([2, 0], **{name: value.item() for name, value in dials.items()}))
    in_turn = named.generate(num=4, steps=2, seed=1)
    assert torch.equal(in_turn, named.generate([0, 1, 2, 0], steps=2, seed=1))
    assert torch.equal(named.generate(labels=[3] * 2, steps=2, seed=1),
                       named.generate(torch.full((2,), 3), steps=2, seed=1))
    with pytest.raises(ValueError, match="labels: expected the name of a class, such as .*, got 'four'"):
        named.generate(["four"])
    with pytest.raises(ValueError, match="class names or numbers from 0 to 3 .3: no label., got 7"):
        named.generate(["one", 7])
    with pytest.raises(ValueError, match="labels: the model knows no names, got 'one'"):
        bridge.generate(["one"])


def test_eight_images_are_twice_four(bridge):
    eight = bridge.generate(num=8, steps=2, seed=5)
    twice = [bridge.generate(num=4, steps=2, seed=5, first=first) for first in (0, 4)]
    assert torch.allclose(torch.cat(twice), eight, atol=1e-5)


def test_names_and_defaults_are_stored(bridge, tmp_path):
    sampling = SamplingDefaults(cfg_scale=3.0, top_k=4, order="confidence")
    out = TokenBridge(bridge.vae, bridge.quantizer, bridge.ar, "mine", list(NAMES), sampling)
    back = TokenBridge.from_pretrained(out.save_pretrained(tmp_path))
    assert (back.name, back.classes, back.sampling) == ("mine", NAMES, sampling)


def test_every_key_with_a_default_may_be_missing(tmp_path):
    shipped = files.pretrained_folder("cifar-tiny")
    config = read_json(shipped / "config.json")
    shutil.copy(shipped / "model.safetensors", tmp_path)
    defaults = [((), TOP), (("vae",), VAEConfig), (("quantizer",), {"kind": "given"}),
                (("sampling",), SamplingDefaults), (("ar", "backbone"), BackboneConfig),
                (("ar", "head"), HeadConfig)]
    wanted, deleted = TokenBridge.from_pretrained(shipped).generate([3, 5], steps=1, seed=0), 0
    for path, known in defaults:
        known = known if isinstance(known, dict) else {field.name: field.default for field in fields(known)}
        for key in known:
            spoilt = copy.deepcopy(config)
            part = reduce(lambda part, name: part[name], path, spoilt)
            if key not in part or part[key] != known[key]:
                continue
            del part[key]
            deleted += 1
            write_json(tmp_path / "config.json", spoilt)
            images = TokenBridge.from_pretrained(tmp_path).generate([3, 5], steps=1, seed=0)
            assert torch.equal(images, wanted), (path, key)
    assert deleted > 20


TOP = {"name": "", "classes": None, "sampling": {}, "ar": None, "own_parts": []}


def test_generate_in_chunks(bridge):
    calls = []
    whole = bridge.generate(LABELS, steps=3, generator=seeded())
    chunked = bridge.generate(LABELS, steps=3, generator=seeded(), chunk_size=3, progress=lambda step,
                              steps: calls.append((step, steps)))
    assert torch.allclose(chunked, whole, atol=1e-5) and calls[-1] == (6, 6)


def test_nothing_asks_for_gradients(bridge, images):
    assert not any(result.requires_grad
                   for result in (bridge.reconstruct(images), bridge.generate(LABELS, steps=1)))


def test_a_tokenizer_cannot_generate(tiny_tokenizer, images):
    bridge = TokenBridge.from_pretrained(tiny_tokenizer)
    assert bridge.ar is None and bridge.reconstruct(images).shape == images.shape
    assert torch.equal(Tokenizer(bridge.vae, bridge.quantizer).tokenize(images), bridge.tokenize(images))
    with pytest.raises(ValueError, match="ar: this TokenBridge has no AR model"):
        bridge.generate(LABELS)


# ---------------------------------------------------------------------- out and back
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_round_trip(bridge, images, tmp_path, dtype, kind):
    vae = round_weights_(copy.deepcopy(bridge.vae), dtype)
    order = [3, 1, 4, 0, 2]
    ar = tiny_model(kind, levels=bridge.quantizer.levels, tokens=16)
    ar.head.order.copy_(torch.tensor(order))
    out = TokenBridge(vae, Quantizer(bridge.quantizer.levels, "fitted"), round_weights_(ar, dtype),
                      "mine").eval()
    back = TokenBridge.from_pretrained(out.save_pretrained(tmp_path / "a", dtype=dtype))
    assert not any(part.training
                   for part in back.modules()) and back.name == "mine" and back.quantizer.kind == "fitted"
    assert back.ar.head.order.tolist() == order
    assert back.ar.config == ar.config and back.vae.config == vae.config
    for (name, value), (other, wanted) in zip(back.state_dict().items(), out.state_dict().items(),
                                              strict=True):
        assert name == other and torch.equal(value, wanted) and value.dtype == wanted.dtype
    assert torch.equal(back.generate(LABELS, generator=seeded()), out.generate(LABELS, generator=seeded()))
    assert torch.equal(VAE.from_pretrained(tmp_path / "a").encode(images).mean, vae.encode(images).mean)


def test_what_is_stored(bridge, tmp_path):
    bridge.save_pretrained(tmp_path / "full")
    TokenBridge(round_weights_(copy.deepcopy(bridge.vae)), bridge.quantizer,
                name="x").save_pretrained(tmp_path / "half", torch.bfloat16)
    tensors, _ = load_tensors(tmp_path / "full" / "model.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"vae", "quantizer",
        "ar"} and "ar.levels" not in tensors
    assert all(value.dtype in (torch.float32, torch.int64) for value in tensors.values())
    tensors, _ = load_tensors(tmp_path / "half" / "model.safetensors")
    wide = {name for name, value in tensors.items() if value.dtype == torch.float32}
    assert wide == {"vae.latent_mean", "vae.latent_std", "quantizer.levels"}
    config = read_json(tmp_path / "half" / "config.json")
    assert set(config) == {"format", "name", "classes", "sampling", "vae", "quantizer", "ar", "own_parts",
                           "fingerprints"} and config["ar"] is None
    assert config["quantizer"] == {"kind": "fitted", "dims": 5, "num_levels": 7} and config["format"] == 2


def test_loading_leaves_the_random_numbers_alone(tiny_folder):
    before = torch.get_rng_state()
    TokenBridge.from_pretrained(tiny_folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_lie_on_one_device(bridge):
    for odd in ("quantizer", "ar"):
        parts = {name: copy.deepcopy(getattr(bridge, name)) for name in ("vae", "quantizer", "ar")}
        parts[odd].to("meta")
        with pytest.raises(ValueError, match=f"^{odd}: expected it where the VAE lies, on cpu, got meta"):
            TokenBridge(**parts)


def test_saving_again_replaces(bridge, folder):
    bridge.name = "second"
    bridge.save_pretrained(folder)
    assert TokenBridge.from_pretrained(folder).name == "second"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


# ---------------------------------------------------------------------- the right parts only
def test_a_fresh_model_is_bound_to_its_first_tokenizer(bridge):
    ar = tiny_model(levels=bridge.quantizer.levels, tokens=16)
    first = TokenBridge(bridge.vae, bridge.quantizer, ar)
    assert ar.trained_on == bridge.fingerprints() == first.check()
    # equal numbers are the same tokenizer
    TokenBridge(copy.deepcopy(bridge.vae), Quantizer(bridge.quantizer.levels), ar)
    with pytest.raises(ValueError, match="ar: made for another VAE"):
        TokenBridge(other_vae(bridge.vae), bridge.quantizer, ar)
    with pytest.raises(ValueError, match="ar: made for other levels"):
        TokenBridge(bridge.vae, Quantizer(bridge.quantizer.levels + 0.01), ar)


def test_a_loaded_model_remembers(bridge):
    with pytest.raises(ValueError, match="ar: made for another VAE"):
        TokenBridge(other_vae(bridge.vae), bridge.quantizer, bridge.ar)


def test_a_vae_trained_on_cannot_be_saved(bridge, tmp_path):
    with torch.no_grad():
        bridge.vae.latent_mean += 0.1
    with pytest.raises(ValueError, match="ar: made for another VAE"):
        bridge.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_parts_mixed_on_disk(folder):
    tensors, _ = load_tensors(folder / "model.safetensors")
    save_tensors(folder / "model.safetensors",
                 {name: value * 1.01 if name == "vae.latent_std" else value for name,
                  value in tensors.items()})
    with pytest.raises(ValueError, match=r"model.safetensors \(vae\): expected the values that were saved"):
        TokenBridge.from_pretrained(folder)


def test_bf16_needs_a_rounded_vae(bridge, tmp_path):
    with pytest.raises(ValueError,
                       match=r"vae: .* does not fit into bfloat16, call round_weights_\(vae\) before"):
        bridge.save_pretrained(tmp_path / "x", dtype=torch.bfloat16)
    assert not (tmp_path / "x").exists()


def test_round_weights(bridge):
    vae = copy.deepcopy(bridge.vae)
    assert round_weights_(vae) is vae and torch.equal(vae.latent_std, bridge.vae.latent_std)
    once = copy.deepcopy(vae.state_dict())
    round_weights_(vae)
    for name, parameter in vae.named_parameters():
        assert torch.equal(parameter, once[name]) and parameter.dtype == torch.float32
        assert torch.allclose(parameter, bridge.vae.get_parameter(name), rtol=2 ** -8)


# ---------------------------------------------------------------------- casts
@pytest.mark.parametrize("cast", [torch.float16, torch.bfloat16, torch.float64])
def test_a_cast_is_no_other_model(bridge, tmp_path, cast):
    before = bridge.check()
    bridge.to(cast)
    assert bridge.check() == before == bridge.fingerprints()
    again = TokenBridge(bridge.vae, bridge.quantizer, bridge.ar)   # assembled anew
    assert again.check() == before
    for model in (bridge, again):
        with pytest.raises(ValueError, match=f"vae: expected weights in float32, got .* in {str(cast)[6:]}"):
            model.save_pretrained(tmp_path / "x")
    bridge.vae.float()
    message = f"ar: expected weights in float32, got .* in {str(cast)[6:]}|another VAE"
    with pytest.raises(ValueError, match=message):
        bridge.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("default", [torch.float16, torch.bfloat16, torch.float64])
def test_another_default_dtype_is_no_other_model(tiny_folder, bridge, images, default):
    torch.set_default_dtype(default)
    try:
        again = TokenBridge.from_pretrained(tiny_folder)
        found = again.check()
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == bridge.check() and torch.equal(again.tokenize(images), bridge.tokenize(images))
    assert {weight.dtype for weight in again.parameters()} == {torch.float32}


# ---------------------------------------------------------------------- integrity
def flip_a_bit(value: torch.Tensor) -> torch.Tensor:
    raw = value.flatten().view(torch.uint8).clone()
    raw[len(raw) // 2 // 4 * 4] ^= 1    # the lowest bit of a float
    return raw.view(value.dtype).view(value.shape)


@pytest.mark.parametrize("name, change", [
    ("vae.latent_mean", lambda t: t + 1e-3), ("vae.latent_std", lambda t: t * 1.001),
    ("quantizer.levels", lambda t: t.flip(0)), ("quantizer.levels", lambda t: t * 1.001),
    ("ar.head.order", lambda t: t.flip(0)),
    *((name, flip_a_bit) for name in ("vae.encoder.patch.weight", "vae.decoder.patch.bias",
                                      "quantizer.levels", "ar.head.out_weight", "ar.backbone"))])
def test_whatever_changed_is_named(folder, name, change):
    tensors, _ = load_tensors(folder / "model.safetensors")
    name = name if name in tensors else next(key for key in tensors if key.startswith("ar.backbone"))
    assert not torch.equal(changed := change(tensors[name]), tensors[name])
    save_tensors(folder / "model.safetensors", tensors | {name: changed})
    part = {"quantizer": "levels"}.get(name.split(".")[0], name.split(".")[0])
    with pytest.raises(ValueError, match=rf"\({part}\): expected the values that were saved with config"):
        TokenBridge.from_pretrained(folder)


def test_each_part_is_hashed_once(tiny_folder):
    with mock.patch.object(folders, "value_fingerprint", wraps=files.value_fingerprint) as counted:
        TokenBridge.from_pretrained(tiny_folder)
    assert counted.call_count == 3


def test_folders_of_format_1_are_read_and_rewritten(bridge, folder):
    weights = (folder / "model.safetensors").read_bytes()

    def older(config):
        for key in ("classes", "sampling", "own_parts"):
            del config[key]
        config["format"], config["ar"]["head"]["levels"] = 1, config["ar"]["head"].pop("num_levels")
        del config["fingerprints"]["ar"]
    spoil(folder, older)
    with pytest.warns(UserWarning, match="config.json: format 1 has no fingerprint of the AR model"):
        old = TokenBridge.from_pretrained(folder)
    assert torch.equal(old.generate(LABELS, seed=1), bridge.generate(LABELS, seed=1))
    assert upgrade_folder(folder, NAMES, SamplingDefaults(cfg_scale=2.0)) == folder
    new = TokenBridge.from_pretrained(folder)
    assert (new.classes, new.sampling.cfg_scale, new.name) == (NAMES, 2.0, "tiny")
    assert (folder / "model.safetensors").read_bytes() == weights
    before = (folder / "config.json").read_bytes()
    assert upgrade_folder(folder).joinpath("config.json").read_bytes() == before   # nothing left to do
    assert set(read_json(folder / "config.json")["fingerprints"]) == {"vae", "levels", "ar"}


# ---------------------------------------------------------------------- refused before a byte is written
class OtherVAE(VAE):
    "Decodes something else with the same weights."


class OtherModel(ARModel):
    "Samples in another way with the same weights."


def with_nan(bridge):
    with torch.no_grad():
        next(bridge.ar.head.parameters()).view(-1)[0] = float("nan")


def with_a_double_dimension(bridge):
    bridge.ar.head.order[0] = bridge.ar.head.order[1]


@pytest.mark.parametrize("change, message", [
    (lambda b: setattr(b.vae, "__class__", OtherVAE), "vae: from_pretrained would build a VAE, got OtherVAE"),
    (lambda b: setattr(b.ar, "__class__", OtherModel),
     "ar: from_pretrained would build an ARModel, got OtherModel"),
    (with_nan, "holds NaN or infinite values"),
    (with_a_double_dimension, "head.order: expected a permutation"),
    (lambda b: b.vae.register_buffer("extra", torch.ones(1)), "another VAE|has unexpected extra")])
def test_what_cannot_be_read_is_not_written(bridge, folder, tmp_path, change, message):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    change(bridge)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(ValueError, match=message):
            bridge.save_pretrained(target)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (tmp_path / "new").exists()


# ---------------------------------------------------------------------- parts of your own
class OwnHead(Head):
    "Knows nothing of its context."

    def __init__(self, dims=5, num_levels=7):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.randn(dims, num_levels, generator=seeded(3)))

    def costs(self, context, tokens):
        logits = self.logits.log_softmax(-1).expand(len(tokens), -1, -1)
        return -logits.gather(2, tokens[..., None].long())[..., 0]

    def noise(self, b, n, generator):
        return torch.rand(b, n, len(self.logits), generator=generator)

    def sample(self, context, noise, temperature=1.0, top_k=None, top_p=None):
        cumulative = self.logits.softmax(-1).cumsum(-1)
        tokens = (noise[..., None] > cumulative).sum(-1).clamp(max=cumulative.shape[1] - 1)
        return tokens, -self.costs(context, tokens).sum(-1)


def own_head(bridge, logits=None) -> ARModel:
    model = ARModel(replace(bridge.ar.config, head=None), bridge.quantizer.levels, head=OwnHead())
    model.backbone.load_state_dict(bridge.ar.backbone.state_dict())
    return model.eval()


def test_a_head_of_your_own(bridge, tmp_path):
    out = TokenBridge(bridge.vae, bridge.quantizer, own_head(bridge), "own")
    out.save_pretrained(tmp_path)
    assert read_json(tmp_path / "config.json")["own_parts"] == ["head"]
    with pytest.raises(ValueError, match="ar: its head cannot be built from a file"):
        TokenBridge.from_pretrained(tmp_path)
    empty = own_head(bridge)
    with torch.no_grad():
        for weight in empty.parameters():
            weight.zero_()
    back = TokenBridge.from_pretrained(tmp_path, ar=empty)
    assert back.ar is empty and back.name == "own"
    assert torch.equal(back.generate(LABELS, seed=2), out.generate(LABELS, seed=2))
    with pytest.raises(ValueError, match="ar: expected an ARModel with the configuration in"):
        TokenBridge.from_pretrained(tmp_path, ar=bridge.ar)
    tensors, _ = load_tensors(tmp_path / "model.safetensors")
    turned = {"ar.head.logits": tensors["ar.head.logits"].flip(0)}
    save_tensors(tmp_path / "model.safetensors", tensors | turned)
    with pytest.raises(ValueError, match=r"\(ar\): expected the values"):
        TokenBridge.from_pretrained(tmp_path, ar=empty)


def test_given_parts_are_filled(bridge, tiny_folder, tiny_tokenizer):
    vae, ar = copy.deepcopy(bridge.vae), tiny_model(tokens=16)
    with torch.no_grad():
        next(vae.parameters()).zero_()
    back = TokenBridge.from_pretrained(tiny_folder, vae=vae, ar=ar)
    assert back.vae is vae and back.ar is ar and back.check() == bridge.check()
    assert torch.equal(back.generate(LABELS, seed=2), bridge.generate(LABELS, seed=2))
    with pytest.raises(ValueError, match="ar: .* holds a tokenizer without an AR model, got one to fill"):
        TokenBridge.from_pretrained(tiny_tokenizer, ar=ar)


# ---------------------------------------------------------------------- somebody else's autoencoder
class Stranger(torch.nn.Module):
    "Plain torch.nn, with a scale of its own: 16 x 16 pixels to 2 x 2 tokens of 3 dimensions."

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.down = torch.nn.Conv2d(3, 3, 8, stride=8)
            self.up = torch.nn.ConvTranspose2d(3, 3, 8, stride=8)

    def encode(self, images):
        return 20 * self.down(images) + 5

    def decode(self, latents):
        return self.up((latents - 5) / 20)


def foreign(seed=0) -> ForeignVAE:
    stranger = Stranger(seed)
    return ForeignVAE(stranger.encode, stranger.decode, latent_dims=3, factor=8, image_size=16)


@pytest.fixture
def strange() -> TokenBridge:
    data = drawn_rich_images(40, size=16)
    vae = foreign().fit_scale(data.images)
    quantizer = Quantizer.fit(Tokenizer(vae, Quantizer.uniform(3, 2)).latents(data.images), 7)
    ar = ARModel(tiny_config(tokens=4, dims=3), quantizer.levels)
    return TokenBridge(vae, quantizer, ar, "strange").eval()


def tiny_config(**changes):
    from tests.tools import tiny
    config = tiny.tiny_config()
    return ARConfig(replace(config.backbone, **changes), replace(config.head, dims=changes["dims"]))


def test_a_foreign_autoencoder(strange, tmp_path):
    images = drawn_rich_images(9, seed=2, size=16).images
    assert strange.tokenize_set(drawn_rich_images(5, size=16)).made_by == strange.fingerprints()
    strange.save_pretrained(tmp_path)
    tensors, _ = load_tensors(tmp_path / "model.safetensors")
    assert {name for name in tensors if name.startswith("vae.")} == {"vae.latent_mean", "vae.latent_std"}
    mine = foreign()   # not scaled: the folder puts the scale back
    back = TokenBridge.from_pretrained(tmp_path, vae=mine)
    assert back.vae is mine and back.check() == strange.check()
    assert torch.equal(back.tokenize(images), strange.tokenize(images))
    assert torch.equal(back.generate(num=3, seed=1), strange.generate(num=3, seed=1))
    for seed, message in ((None, "weights of a foreign autoencoder are not in the folder"),
                          (1, "differ by more than 1 % of a deviation")):
        mine = None if seed is None else foreign(seed)
        with pytest.raises(ValueError, match=f"vae: .*{message}"):
            TokenBridge.from_pretrained(tmp_path, vae=mine)
        assert mine is None or bool((mine.latent_mean == 0).all() and (mine.latent_std == 1).all())


def test_a_foreign_decoder_is_looked_at_too(strange, tmp_path):
    strange.save_pretrained(tmp_path)
    mine = foreign()
    with torch.no_grad():
        mine.foreign[0].up.weight *= 4
    with pytest.raises(ValueError, match="vae: not the autoencoder that .* decoded colours by four grey"):
        TokenBridge.from_pretrained(tmp_path, vae=mine)
    config = read_json(tmp_path / "config.json")   # of a folder from before that
    config["vae"]["probe"] = [row[:3] for row in config["vae"]["probe"]]
    write_json(tmp_path / "config.json", config)
    assert TokenBridge.from_pretrained(tmp_path, vae=foreign()).check() == strange.check()


def test_a_foreign_autoencoder_without_its_scale_is_noticed():
    with pytest.warns(UserWarning, match="never scaled, call fit_scale"):
        Tokenizer(foreign(), Quantizer.uniform(3, 4)).tokenize_set(drawn_rich_images(2, size=16))


def test_a_foreign_autoencoder_may_be_cast(strange, tmp_path):
    strange.save_pretrained(tmp_path)
    back = TokenBridge.from_pretrained(tmp_path, vae=foreign().bfloat16())
    assert back.check() == strange.check()
    strange.vae.half()
    assert strange.check() == back.check()
    strange.save_pretrained(tmp_path / "again")   # its weights are not stored, so their dtype is of no matter
    with torch.no_grad():
        back.vae.foreign[0].down.weight += 0.1
    with pytest.raises(ValueError, match="ar: made for another VAE"):
        TokenBridge(foreign(1), back.quantizer, back.ar)


@pytest.mark.parametrize("name", ["vae.latent_mean", "vae.latent_std"])
def test_the_scale_of_a_foreign_autoencoder_is_compared(strange, tmp_path, name):
    strange.save_pretrained(tmp_path)
    tensors, _ = load_tensors(tmp_path / "model.safetensors")
    save_tensors(tmp_path / "model.safetensors", tensors | {name: flip_a_bit(tensors[name])})
    with pytest.raises(ValueError, match=r"\(scale of the vae\): expected the values that were saved"):
        TokenBridge.from_pretrained(tmp_path, vae=foreign())


def test_parts_that_are_refused_stay_as_they_were(bridge, folder):
    tensors, _ = load_tensors(folder / "model.safetensors")
    order = tensors["ar.head.order"].flip(0)
    save_tensors(folder / "model.safetensors", tensors | {"ar.head.order": order})
    vae, ar = other_vae(bridge.vae), tiny_model(tokens=16)
    before = [copy.deepcopy(part.state_dict()) for part in (vae, ar)] + [ar.levels.clone()]
    with pytest.raises(ValueError, match=r"\(ar\): expected the values"):
        TokenBridge.from_pretrained(folder, vae=vae, ar=ar)
    for part, state in zip((vae, ar), before):
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    assert torch.equal(ar.levels, before[2]) and ar.trained_on is None


def test_latents_are_decoded_past_the_quantizer(bridge, images):
    assert torch.equal(bridge.decode(bridge.latents(images)), bridge.reconstruct(images, quantized=False))
    assert torch.allclose(bridge.decode(bridge.latents(images), 3), bridge.decode(bridge.latents(images)),
                          atol=1e-5)


def test_a_set_is_read_part_by_part(bridge):
    data, seen = three_classes(7), []
    read = type(data).batch
    with mock.patch.object(type(data), "batch", lambda self, ids: seen.append(len(ids)) or read(self, ids)):
        tokens = bridge.tokenize_set(data, chunk_size=3)
    assert seen == [3, 3, 1] and torch.equal(tokens.tokens[:, 0].long(), bridge.tokenize(data.images))


class FiveThings(torch.nn.Module):
    "None of our classes."
    image_size, latent_dims, grid = 16, 3, (2, 2)

    def encode(self, images):
        pooled = torch.nn.functional.avg_pool2d(images, 8)
        return Posterior(pooled, torch.ones_like(pooled))

    def decode(self, latents):
        return torch.nn.functional.interpolate(latents, scale_factor=8.0)


def test_five_things_are_enough(tmp_path):
    tokenizer = Tokenizer(FiveThings(), Quantizer.uniform(3, 7))
    data = drawn_rich_images(4, size=16)
    tokens = tokenizer.tokenize_set(data)
    assert tokens.tokens.shape == (4, 2, 4, 3) and tokenizer.reconstruct(data.images).shape == (4, 3, 16, 16)
    with pytest.raises(ValueError, match="got FiveThings; wrap an autoencoder of your own in ForeignVAE"):
        TokenBridge(tokenizer.vae, tokenizer.quantizer).save_pretrained(tmp_path / "x")


# ---------------------------------------------------------------------- nothing stale
def test_nothing_stale_stays(bridge, folder):
    beside = ("tokens.safetensors", "record.json", "metrics.json", "notes.txt")
    for name in beside:
        (folder / name).write_text("of the first model")
    bridge.name = "the same model by another name"
    bridge.save_pretrained(folder)
    assert all((folder / name).exists() for name in beside)
    with torch.no_grad():
        next(bridge.ar.parameters()).add_(1)
    bridge.save_pretrained(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "notes.txt"]


def test_a_stranger_keeps_his_files(bridge, tmp_path):
    (tmp_path / "metrics.json").write_text("mine")
    (tmp_path / "config.json").write_text('{"format": "of another program"}')
    bridge.save_pretrained(tmp_path)
    assert (tmp_path / "metrics.json").read_text() == "mine"


def test_old_config_beside_new_weights_is_noticed(bridge, folder):
    before = (folder / "config.json").read_bytes()
    with torch.no_grad():
        next(bridge.ar.parameters()).add_(1)
    bridge.save_pretrained(folder)
    (folder / "config.json").write_bytes(before)   # as if the power had failed between the two
    with pytest.raises(ValueError, match=r"\(ar\): expected the values that were saved with config.json"):
        TokenBridge.from_pretrained(folder)


# ---------------------------------------------------------------------- compiled
def test_latents_are_one_graph(bridge, images):
    compiled = torch.compile(bridge.latents, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images), bridge.latents(images))


# ---------------------------------------------------------------------- spoiled folders
def spoil(folder: Path, change) -> None:
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", change(config) or config)


@pytest.mark.parametrize("change, message", [
    (lambda c: c.update(format=3), "expected format 1 or 2, got 3"),
    (lambda c: c.update(colour="blue"), "unknown 'colour'"),
    (lambda c: c.pop("fingerprints") and None, "missing 'fingerprints'"),
    (lambda c: c["vae"].update(sharpness=1), "unknown 'sharpness'"),
    (lambda c: c["ar"]["head"].update(colour=1), "unknown 'colour'"),
    (lambda c: c["ar"]["head"].pop("dims") and None, "head.dims: expected 5, as the backbone has it, got 16"),
    (lambda c: c["ar"]["head"].update(width=-1), "width: expected an integer of at least 1, got -1"),
    (lambda c: c["ar"].update(backbone=None), "expected the fields of BackboneConfig, got NoneType"),
    (lambda c: c.update(quantizer=[1, 2]), "quantizer: expected kind, dims and num_levels, got [1, 2]"),
    (lambda c: c["quantizer"].update(num_levels=8), "quantizer: expected"),
    (lambda c: c["quantizer"].update(bits=3), "quantizer: expected"),
    (lambda c: c.update(vae=None), "expected the fields of VAEConfig, got NoneType"),
    (lambda c: c.update(ar=None), "expected the fingerprints of vae, levels, got"),
    (lambda c: c["fingerprints"].update(levels="0" * 16), "(levels): expected the values that were saved"),
    (lambda c: c["fingerprints"].pop("ar") and None, "expected the fingerprints of vae, levels, ar"),
    (lambda c: c["fingerprints"].update(ar=None), "expected the fingerprints of vae, levels, ar"),
    (lambda c: c.update(classes=["one", "one"]), "classes: expected a list of different names"),
    (lambda c: c["sampling"].update(heat=1), "unknown 'heat'"),
    (lambda c: ["format", 1], "expected format 1 or 2, got list")])
def test_a_wrong_config(folder, change, message):
    spoil(folder, change)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        TokenBridge.from_pretrained(folder)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("change, message", [
    (lambda t: t.pop("vae.latent_mean"), "lacks latent_mean"),
    (lambda t: t.pop("ar.head.order"), "lacks order|lacks head.order"),
    (lambda t: t.pop("quantizer.levels"), "quantizer: expected"),
    (lambda t: t.update({"vae.extra": torch.ones(1)}), "has unexpected extra"),
    (lambda t: t.update({"judge.weight": torch.ones(1)}), "has unexpected judge.weight"),
    (lambda t: t.update({"vae.latent_std": torch.full((5,), float("nan"))}), "latent_std: holds NaN"),
    (lambda t: t.update({"vae.latent_std": torch.ones(4)}),
     r"latent_std: expected shape \(5,\), got \(4,\)")])
def test_wrong_tensors(folder, change, message):
    tensors, _ = load_tensors(folder / "model.safetensors")
    change(tensors)
    save_tensors(folder / "model.safetensors", tensors)
    with pytest.raises(ValueError, match=message):
        TokenBridge.from_pretrained(folder)


def test_cut_or_missing_files(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(OSError, match="not a whole safetensors file"):
        TokenBridge.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model.safetensors: no such file"):
        TokenBridge.from_pretrained(folder)
    (folder / "config.json").write_text('{"format": 1,')
    with pytest.raises(OSError, match="not a JSON file"):
        TokenBridge.from_pretrained(folder)


# ---------------------------------------------------------------------- names
def test_a_hub_id_is_fetched(tiny_folder):
    hub = types.SimpleNamespace(snapshot_download=mock.Mock(return_value=str(tiny_folder)))
    with mock.patch.dict(sys.modules, {"huggingface_hub": hub}):
        assert TokenBridge.from_pretrained("owner/name").name == "tiny"
    (name,), options = hub.snapshot_download.call_args
    assert name == "owner/name" and "model.safetensors" in options["allow_patterns"]


def test_a_shipped_name_is_found(tiny_folder, monkeypatch, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    monkeypatch.setattr(files, "project_folder", lambda kind: tmp_path)
    assert TokenBridge.from_pretrained("tiny").name == "tiny"
    with pytest.raises(FileNotFoundError, match="no shipped weights 'tinier', there are: tiny"):
        TokenBridge.from_pretrained("tinier")


# ---------------------------------------------------------------------- example tokens
def test_example_tokens(bridge, folder, images):
    indices = bridge.tokenize(images)
    path = save_example_tokens(folder, indices, LABELS)
    again, labels = load_example_tokens(folder)
    assert torch.equal(again, indices) and torch.equal(labels,
        LABELS) and again.dtype == labels.dtype == torch.int64
    assert path.stat().st_size < indices.numel() + 1000
    spoil(folder, lambda c: c["fingerprints"].update(vae="0" * 16))
    with pytest.raises(ValueError, match="tokens.safetensors: made for another VAE"):
        load_example_tokens(folder)


# ---------------------------------------------------------------------- other sizes
@pytest.mark.parametrize("dims, levels, size, factor", [(2, 3, 16, 4), (8, 64, 24, 8)])
def test_other_sizes(tmp_path, dims, levels, size, factor):
    multipliers = (1,) * {4: 2, 8: 3}[factor]
    vae = VAE(VAEConfig(image_size=size, latent_dims=dims, factor=factor, width=4,
                        multipliers=multipliers)).eval()
    bridge = TokenBridge(vae, Quantizer.uniform(dims, levels))
    back = TokenBridge.from_pretrained(bridge.save_pretrained(tmp_path))
    images = torch.rand(2, 3, size, size, generator=seeded()) * 2 - 1
    assert torch.equal(back.reconstruct(images), bridge.reconstruct(images))
    assert back.tokenize(images).shape == (2, (size // factor) ** 2,
                                           dims) and back.quantizer.kind == "uniform"
    assert json.loads((tmp_path / "config.json").read_text())["vae"]["multipliers"] == list(multipliers)


# ---------------------------------------------------------------------- half precision
@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_go_all_the_way(dtype, kind, tmp_path):
    bridge = TokenBridge.from_pretrained(save_tiny(tmp_path / "tiny"))
    bridge = TokenBridge(bridge.vae, bridge.quantizer, tiny_model(kind, bridge.quantizer.levels, tokens=16))
    levels, images = bridge.quantizer.levels.clone(), to_float(drawn_rich_images(2).images)
    mean, exact = bridge.vae.latent_mean.clone(), bridge.tokenize(images)
    bridge.to(dtype)
    assert torch.equal(bridge.ar.levels, levels) and torch.equal(bridge.quantizer.levels,
        levels) and torch.equal(bridge.vae.latent_mean, mean)
    assert bridge.ar.head.out_weight.dtype == bridge.vae.decoder.patch.weight.dtype == dtype
    assert (bridge.tokenize(images) - exact).abs().max() <= 1
    assert bridge.tokenize(images.double()).shape == exact.shape
    labels = torch.tensor([0, 2])
    plain, guided = (bridge.generate(labels, cfg_scale=scale, generator=torch.Generator().manual_seed(0))
                     for scale in (1.0, 60.0))   # a tiny model hardly hears its label
    assert plain.shape == images.shape and plain.isfinite().all() and not torch.equal(plain, guided)


def test_loading_moves_no_random_numbers(tiny_folder):
    from tokenbridge.vae import VAE
    state = torch.get_rng_state()
    VAE.from_pretrained(tiny_folder)
    TokenBridge.from_pretrained(tiny_folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_saving_builds_no_second_model(tmp_path, monkeypatch):
    "What is read back before a byte is written has the very tensors that are to be stored."
    bridge, seen, load_into = TokenBridge.from_pretrained(save_tiny(tmp_path / "a")), [], folders.load_into
    monkeypatch.setattr(folders, "load_into", lambda *given, **options: (
        seen.append(load_into(*given, **options)), seen[-1])[1])
    drawn = torch.get_rng_state()
    bridge.save_pretrained(tmp_path / "b")
    assert torch.equal(drawn, torch.get_rng_state()) and len(seen) == 2
    for ours, built in zip((bridge.vae, bridge.ar), seen):
        for name, value in ours.state_dict().items():
            assert built.state_dict()[name].data_ptr() == value.data_ptr(), name
