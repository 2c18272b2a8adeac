"Official weights: parity with the official model (where its files are) and the reference, and strictness."
import argparse
import dataclasses
import hashlib
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from einops import rearrange

from tests import reference_official as reference
from tokenbridge.checks import find_class
from tokenbridge.files import load_tensors
from tokenbridge.generation import SamplingDefaults, generate_indices
from tokenbridge.model import preset
from tokenbridge.official import (
    KL16_ORDER,
    config_sizes,
    convert_official,
    imagenet_classes,
    load_official_model,
    load_official_vae,
    official_config,
    official_shapes,
    official_sizes,
    official_views,
    read_official,
)
from tokenbridge.pipeline import TokenBridge
from tokenbridge.quantizer import Quantizer

TINY = Path(__file__).parents[1] / "data" / "golden"


def split(path: Path, prefix: str) -> tuple[dict, dict, dict]:
    "Weights, inputs and outputs, configuration."
    tensors, metadata = load_tensors(path)
    weights = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return weights, {name: t for name,
                     t in tensors.items() if not name.startswith(prefix)}, json.loads(metadata["config"])


@pytest.fixture(scope="module")
def tiny():
    weights, values, config = split(TINY / "tokenbridge-tiny.safetensors", "model.")
    return weights, values | {"mask": values["mask"].bool()}, config


@pytest.fixture(scope="module")
def small(golden):
    weights, values, config = split(golden / "tokenbridge-small.safetensors", "model.")
    values = values | {"mask": values["mask"].bool(),
                       "latents": rearrange(values["latents"], "b d h w -> b (h w) d")}
    for name in [name for name in values if name.startswith("greedy")]:
        values[name] = rearrange(values[name], "b d h w -> b (h w) d")
    return weights, values, config | {"eps": 1e-5, "steps": 8}


def load(weights, config, **options):
    heads = {"heads": config["encoder_num_heads"], "decoder_heads": config["decoder_num_heads"],
             "norm_eps": config["eps"]}
    return load_official_model(weights, order=config["channel_order"], **heads | options)


def check_parity(weights, values, config):
    "Every station from latents to loss."
    model = load(weights, config)
    quantizer = Quantizer.gaussian(config["vae_embed_dim"], config["quant_levels"])
    assert torch.equal(quantizer.levels, model.levels)
    assert torch.equal(quantizer.quantize(values["latents"]), values["indices"])
    dequantized = quantizer.dequantize(values["indices"])
    torch.testing.assert_close(dequantized, values["dequantized"], rtol=0, atol=2e-6)
    labels, indices, mask = values["labels"], values["indices"], values["mask"]
    with torch.no_grad():
        z = model.backbone(dequantized, labels, mask)
        out = {"encoder_out": model.backbone.encode(dequantized, labels, mask)[0], "z": z,
               "logits": model.head(z[mask], indices[mask])[:, model.head.order],
               "loss": model.loss(indices, labels, mask=mask)}
    for name, ours in out.items():
        torch.testing.assert_close(ours, values[name], rtol=0, atol=1e-4, msg=lambda text,
                                   name=name: f"{name}: {text}")


def greedy(weights, values, config, way, cfg):
    "Whole images by argmax, indices (b, n, d)."
    model = load(weights, config, official_first_step=way == "official")
    return generate_indices(model, values["labels"], steps=config["steps"], cfg_scale=float(cfg),
                            temperature=0.0,
                            order=values["orders"].flip(1)), model


# ---------------------------------------------------------------------- the official model's own files
def test_official_model_every_station(small):
    check_parity(*small)


@pytest.mark.parametrize("way", ["consistent", "official"])
@pytest.mark.parametrize("cfg", [1, 3])
def test_official_model_whole_images(small, way, cfg):
    weights, values, config = small
    indices, model = greedy(weights, values, config, way, cfg)
    latents = Quantizer(model.levels).dequantize(indices)
    torch.testing.assert_close(latents, values[f"greedy_{way}_cfg{cfg}"], rtol=0, atol=1e-4)


def test_official_model_from_a_file_with_a_prefix(small, golden):
    weights, values, config = small
    path = golden / "tokenbridge-small.safetensors"
    model = load_official_model(path, prefix="model.", heads=4, norm_eps=1e-5)  # the order of KL-16 is known
    assert model.head.order.tolist() == config["channel_order"] == list(KL16_ORDER)
    with torch.no_grad():
        torch.testing.assert_close(model.loss(values["indices"], values["labels"], mask=values["mask"]),
                                   values["loss"], rtol=0, atol=1e-4)


def test_official_vae(golden):
    weights, values, config = split(golden / "kl16-small.safetensors", "vae.")
    vae = load_official_vae(weights, image_size=64, scale=0.5)
    assert (vae.config.width, list(vae.config.multipliers), vae.config.blocks) == (config["ch"],
        config["ch_mult"], config["num_res_blocks"])
    with torch.no_grad():
        moments = vae.quant_conv(vae.encoder(values["images"]))
        posterior, decoded = vae.encode(values["images"]), vae.decode(0.5 * values["latents"])
    for name, ours in {"moments": moments, "mean": 2 * posterior.mean, "std": 2 * posterior.std,
                       "decoded": decoded}.items():
        torch.testing.assert_close(ours, values[name], rtol=0, atol=1e-4, msg=lambda text,
                                   name=name: f"{name}: {text}")


def test_reference_is_the_official_model(small):
    "The oracle of the tiny files is itself held against the official numbers."
    weights, values, config = small
    exact = {name: t.double() for name, t in weights.items()}
    out = reference.forward(exact, config, values["indices"][:1], values["labels"][:1], values["mask"][:1])
    for name in ("encoder_out", "z", "logits"):
        torch.testing.assert_close(out[name].float(), values[name][:len(out[name])], rtol=0, atol=1e-5)
    found = reference.quantize(values["latents"].double(), reference.level_values(config["quant_levels"]))
    assert torch.equal(found, values["indices"])


# ---------------------------------------------------------------------- our own golden files
def test_tiny_model_every_station(tiny):
    check_parity(*tiny)


@pytest.mark.parametrize("way", ["consistent", "official"])
@pytest.mark.parametrize("cfg", [1, 3])
def test_tiny_model_whole_images(tiny, way, cfg):
    weights, values, config = tiny
    assert torch.equal(greedy(weights, values, config, way, cfg)[0], values[f"greedy_{way}_cfg{cfg}"])


def test_official_sampler_disagrees_with_training_and_ours_does_not(tiny):
    weights, values, config = tiny
    for official in (False, True):
        head = load(weights, config, official_first_step=official).head
        args = values["z"][values["mask"]], values["indices"][values["mask"]]
        with torch.no_grad():
            forced, stepwise, cached = head(*args), head.stepwise_logits(*args), head.cached_logits(*args)
        assert bool((forced - stepwise).abs().max() > (0.1 if official else 1e-5)) == official
        torch.testing.assert_close(stepwise, cached, rtol=0, atol=1e-5)


def test_tiny_vae():
    weights, values, config = split(TINY / "kl16-tiny.safetensors", "vae.")
    vae = load_official_vae(weights, image_size=6, groups=config["groups"])
    mean, log_variance = values["moments"].chunk(2, dim=1)
    with torch.no_grad():
        posterior, decoded = vae.encode(values["images"]), vae.decode(0.2325 * values["latents"])
    torch.testing.assert_close(posterior.mean, 0.2325 * mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(posterior.std, 0.2325 * (log_variance / 2).exp(), rtol=0, atol=1e-4)
    torch.testing.assert_close(decoded, values["decoded"], rtol=0, atol=1e-4)
    assert torch.equal(vae.latent_mean, torch.zeros(5)) and torch.allclose(vae.latent_std,
        torch.tensor(1 / 0.2325))


def test_golden_files_are_what_the_reference_makes(tmp_path):
    reference.make_model(tmp_path / "tokenbridge-tiny.safetensors")
    reference.make_vae(tmp_path / "kl16-tiny.safetensors")
    for path in sorted(tmp_path.glob("*.safetensors")):
        made, kept = load_tensors(path), load_tensors(TINY / path.name)
        assert made[1] == kept[1] and made[0].keys() == kept[0].keys()
        assert (TINY / path.name).stat().st_size < 300_000
        for name, tensor in made[0].items():
            torch.testing.assert_close(tensor, kept[0][name], rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- sizes
def random_sizes(**changes):
    sizes = dict(encoder_embed_dim=24, encoder_depth=2, decoder_embed_dim=16, decoder_depth=3,
                 channel_embed_dim=12, channel_depth=1,
                 channel_heads=3, quant_levels=5, vae_embed_dim=3, class_num=4, buffer_size=2, tokens=6,
                 encoder_num_heads=2,
                 decoder_num_heads=2, channel_order=None, eps=1e-6)
    return sizes | changes


@pytest.mark.parametrize("changes", [
    {}, dict(encoder_embed_dim=8, decoder_embed_dim=40), dict(quant_levels=2), dict(vae_embed_dim=1),
    dict(vae_embed_dim=12),
    dict(tokens=1), dict(class_num=1), dict(buffer_size=1), dict(encoder_depth=11, decoder_depth=1),
    dict(channel_depth=4, channel_heads=1),
    dict(quant_levels=800)], ids=str)
def test_any_size(changes):
    "Sizes are read off the tensors, and the loss is the reference's (where its levels ascend)."
    config = random_sizes(**changes)
    config["channel_order"] = list(range(config["vae_embed_dim"]))[::-1]
    weights = reference.random_weights(reference.model_shapes(config), seed=5)
    model = load(weights, config)
    backbone, head = model.config.backbone, model.config.head
    assert (backbone.width, backbone.decoder_width,
            head.width) == tuple(config[f"{n}_embed_dim"] for n in ("encoder", "decoder", "channel"))
    assert (backbone.encoder_blocks, backbone.decoder_blocks,
            head.blocks) == tuple(config[f"{n}_depth"] for n in ("encoder", "decoder", "channel"))
    assert (head.num_levels, head.dims, head.heads) == (config["quant_levels"], config["vae_embed_dim"],
        config["channel_heads"])
    assert (backbone.classes, backbone.class_tokens, backbone.tokens) == (config["class_num"],
        config["buffer_size"], config["tokens"])
    assert (model.levels.diff(dim=1) > 0).all()
    if config["quant_levels"] < 700:
        generator = torch.Generator().manual_seed(0)
        indices = torch.randint(config["quant_levels"], (1, config["tokens"], config["vae_embed_dim"]),
                                generator=generator)
        mask = torch.arange(config["tokens"])[None] % 3 != 1
        wanted = reference.forward({n: t.double() for n, t in weights.items()}, config, indices,
                                   torch.tensor([0]), mask)["loss"]
        with torch.no_grad():
            assert abs(model.loss(indices, torch.tensor([0]), mask=mask) - wanted) < 1e-4


def test_table_counts_the_paper_models():
    for name, total in (("imagenet-b", 218_024_704), ("imagenet-l", 486_889_472)):
        ar = preset(name).ar
        b, h = ar.backbone, ar.head
        sizes = dict(D=b.width, W=b.width, K=h.width, F=4 * b.width, G=4 * b.width, M=4 * h.width,
                     A=h.width // h.heads, L=256, P=320,
                     E=b.encoder_blocks, U=b.decoder_blocks, H=h.blocks, C=16, B=64, N=1000)
        shapes = official_shapes(sizes)
        assert sum(map(math.prod, shapes.values())) == total
        meta = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        assert official_sizes(meta) == sizes == config_sizes(ar)
        assert official_config(official_sizes(meta), dropout=0.1) == dataclasses.replace(
            ar, backbone=dataclasses.replace(b, decoder_width=b.width, decoder_heads=b.heads))


def test_round_trip_is_bit_for_bit(tiny):
    weights, _, config = tiny
    model = load(weights, config)
    views = official_views(model)
    assert views.keys() == weights.keys() and all(torch.equal(views[name], weights[name]) for name in weights)
    own = dict(model.named_parameters())
    assert sum(view.numel() for view in views.values()) == sum(p.numel() for p in own.values())
    for view in views.values():
        view.zero_()
    assert not any(parameter.any() for parameter in own.values())


# ---------------------------------------------------------------------- strictness
def test_every_missing_tensor_is_named(tiny):
    weights, _, config = tiny
    for name in weights:
        with pytest.raises(ValueError, match=rf"{re.escape(name)}\b"):
            load({n: t for n, t in weights.items() if n != name}, config)


def test_every_misshapen_tensor_is_named(tiny):
    weights, _, config = tiny
    for name, tensor in weights.items():
        for bad in (tensor[..., :-1], tensor[None], torch.cat([tensor, tensor], -1)):
            with pytest.raises(ValueError, match=rf"{re.escape(name)}\b"):
                load(weights | {name: bad}, config)


def test_shapes_that_only_two_tensors_know(tiny):
    "Encoder and decoder positions are the only witnesses of the sequence's length: the error shows both."
    weights, _, config = tiny
    with pytest.raises(ValueError, match="encoder_pos_embed_learned.*decoder_pos_embed_learned"):
        load(weights | {"encoder_pos_embed_learned": weights["encoder_pos_embed_learned"][:, 1:]}, config)


@pytest.mark.parametrize("name",
                         ["surprise", "encoder_blocks.7.norm1.weight", "channel_heads.5.bias",
                          "encoder_blocks.0.norm3.weight"])
def test_extra_tensor_is_named(tiny, name):
    weights, _, config = tiny
    with pytest.raises(ValueError, match=re.escape(name)):
        load(weights | {name: torch.zeros(7)}, config)


def test_missing_whole_block_is_named(tiny):
    weights, _, config = tiny
    with pytest.raises(ValueError, match=r"lacks encoder_blocks\.0\."):
        load({n: t for n, t in weights.items() if not n.startswith("encoder_blocks.0.")}, config)


def test_nan_is_named(tiny):
    weights, _, config = tiny
    with pytest.raises(ValueError, match="decoder_norm.bias"):
        load(weights | {"decoder_norm.bias": torch.full((32,), math.nan)}, config)


def test_buffers_may_be_absent_but_not_wrong(tiny):
    weights, values, config = tiny
    levels = torch.tensor(reference.level_values(7))
    buffers = {"reconstruction_values": levels, "boundaries": torch.zeros(8),
               "channel_mask": torch.full((5, 5), -math.inf).triu(1)}
    assert torch.equal(load(weights | buffers, config).levels, load(weights, config).levels)
    for name, bad in (("reconstruction_values", levels * 1.1), ("boundaries", torch.zeros(7)),
                      ("channel_mask", torch.zeros(4, 5))):
        with pytest.raises(ValueError, match=name):
            load(weights | buffers | {name: bad}, config)


def test_a_table_that_does_not_ascend_is_refused_and_an_unfilled_one_says_nothing(tiny):
    weights, _, config = tiny
    assert torch.equal(load(weights | {"reconstruction_values": torch.zeros(7)}, config).levels,
                       load(weights, config).levels)
    wrong = torch.tensor(reference.level_values(7))[[1, 0, 2, 3, 4, 5, 6]]
    with pytest.raises(ValueError, match="reconstruction_values: expected 7 values that ascend"):
        load(weights | {"reconstruction_values": wrong}, config)


def test_a_wrong_range_is_found_if_the_file_has_levels(tiny):
    weights, _, config = tiny
    with pytest.raises(ValueError, match="reconstruction_values"):
        load(weights | {"reconstruction_values": torch.tensor(reference.level_values(7))}, config,
             sigma_range=2.0)
    assert load(weights, config, value_range=2.0).levels.abs().max() < 2


# ---------------------------------------------------------------------- files
def test_reads_the_moving_average_of_a_pickle(tiny, tmp_path):
    weights, values, config = tiny
    content = {"model": {n: t + 1 for n, t in weights.items()}, "model_ema": weights, "epoch": 3,
               "args": argparse.Namespace(blr=1e-4)}
    torch.save(content, tmp_path / "checkpoint-last.pth")
    assert torch.equal(read_official(tmp_path / "checkpoint-last.pth")["fake_latent"], weights["fake_latent"])
    model = load(tmp_path / "checkpoint-last.pth", config)
    with torch.no_grad():
        assert abs(model.loss(values["indices"], values["labels"],
                              mask=values["mask"]) - values["loss"]) < 1e-4
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.*lacks fake_latent"):
        torch.save({"model": {n: t for n, t in weights.items() if n != "fake_latent"}}, tmp_path / "cut.pth")
        load(tmp_path / "cut.pth", config)


def test_half_precision_files_are_computed_in_fp32(tiny):
    weights, _, config = tiny
    assert all(p.dtype == torch.float32
               for p in load({n: t.half() for n, t in weights.items()}, config).parameters())


def test_every_missing_or_misshapen_vae_tensor_is_named(tmp_path):
    weights, _, config = split(TINY / "kl16-tiny.safetensors", "vae.")
    torch.save({"model": weights}, tmp_path / "kl16.ckpt")
    assert load_official_vae(tmp_path / "kl16.ckpt", image_size=6, groups=4).config.latent_dims == 5
    for number, (name, tensor) in enumerate(weights.items()):  # each tensor meets one of three accidents
        bad = [{n: t for n, t in weights.items() if n != name}, weights | {name: torch.cat([tensor, tensor])},
               weights | {name: tensor[None]}]
        with pytest.raises(ValueError, match=re.escape(name)):
            load_official_vae(bad[number % 3], image_size=6, groups=4)
    with pytest.raises(ValueError, match="decoder.up.9.block.0.conv1.weight"):
        load_official_vae(weights | {"decoder.up.9.block.0.conv1.weight": torch.zeros(8)}, image_size=6,
                          groups=4)


@pytest.mark.parametrize("changes",
                         [dict(ch=4, ch_mult=[1, 3], groups=2), dict(ch_mult=[2, 2], num_res_blocks=2),
                          dict(ch_mult=[1, 1, 2], z_channels=1)], ids=str)
def test_any_vae_size(changes):
    config = reference.TINY_VAE | changes
    weights = reference.random_weights(reference.vae_shapes(config), seed=6)
    vae = load_official_vae(weights, image_size=8, groups=config["groups"], scale=1.0)
    assert (vae.config.width, list(vae.config.multipliers), vae.config.blocks) == (config["ch"],
        config["ch_mult"], config["num_res_blocks"])
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    exact = {name: t.double() for name, t in weights.items()}
    wanted = reference.vae_moments(exact, config, image.double())
    with torch.no_grad():
        latents = vae.encode(image[None]).mean
        torch.testing.assert_close(latents[0], wanted[:len(wanted) // 2].float(), rtol=0, atol=1e-4)
        torch.testing.assert_close(vae.decode(latents)[0],
                                   reference.vae_decode(exact, config, latents[0].double()).float(), rtol=0,
                                   atol=1e-4)


def test_convert_to_a_folder_of_ours(tiny, tmp_path):
    weights, values, config = tiny
    vae_weights, _, vae_config = split(TINY / "kl16-tiny.safetensors", "vae.")
    options = dict(order=config["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-5)
    made = convert_official(vae_weights, tmp_path / "folder", weights, model_options=options,
                            vae_options=dict(image_size=6, groups=4))
    loaded = TokenBridge.from_pretrained(tmp_path / "folder")
    assert (loaded.name, loaded.classes, loaded.sampling) == ("folder", None, SamplingDefaults())
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(loaded.tokenize(images), made.tokenize(images))
    settings = dict(steps=config["steps"], cfg_scale=3.0, temperature=0.0, order=values["orders"].flip(1))
    assert torch.equal(loaded.generate(values["labels"], **settings),
                       made.detokenize(values["greedy_consistent_cfg3"]))


# ---------------------------------------------------------------------- from files to a folder
@pytest.fixture
def mini(tiny):
    "The official files of a small model, and what no file tells."
    weights, _, config = tiny
    vae = split(TINY / "kl16-tiny.safetensors", "vae.")[0]
    options = dict(vae_options=dict(image_size=6, groups=4),
                   model_options=dict(order=config["channel_order"], heads=4, decoder_heads=2, norm_eps=1e-5))
    return vae, weights, options


@pytest.mark.parametrize("layout", ["parameters only", "with buffers", "namespace", "average alone",
                                    "old format"])
def test_four_layouts_give_one_model(mini, tmp_path, layout):
    vae, average, options = mini
    buffers = {"reconstruction_values": torch.tensor(reference.level_values(7)), "boundaries": torch.zeros(8),
               "channel_mask": torch.full((5, 5), -math.inf).triu(1)}
    trained = {name: tensor + 1 for name, tensor in average.items()} | buffers
    rest = {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "epoch": 399, "scaler": {"scale": 1.0}}
    content = {"parameters only": {"model": trained, "model_ema": average} | rest,
               "with buffers": {"model": trained, "model_ema": average | buffers} | rest,
               "namespace": {"model": trained, "model_ema": average,
                             "args": argparse.Namespace(blr=1e-4, vae_path="x", cfg=[1.0])} | rest,
               "average alone": average, "old format": {"model": trained, "model_ema": average}}[layout]
    torch.save(content, tmp_path / "last.pth", _use_new_zipfile_serialization=layout != "old format")
    torch.save({"model": vae}, tmp_path / "kl16.ckpt")
    convert_official(tmp_path / "kl16.ckpt", tmp_path / "out", tmp_path / "last.pth", **options)
    views = official_views(TokenBridge.from_pretrained(tmp_path / "out").ar)
    assert views.keys() == average.keys()
    assert all(torch.equal(views[name], average[name]) for name in average)


def test_record_says_which_files(mini, tmp_path):
    vae, weights, options = mini
    torch.save({"model": vae}, tmp_path / "kl16.ckpt")
    torch.save({"model_ema": weights}, tmp_path / "last.pth")
    convert_official(str(tmp_path / "kl16.ckpt"), tmp_path / "out", tmp_path / "last.pth", command="as typed",
                     name="mini", classes=list("abcdef"), **options)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors",
                                                                    "record.json"}
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["command"] == "as typed" and record["date"] and record["results"]["ignored"] == []
    for part, name in (("vae", "kl16.ckpt"), ("model", "last.pth")):
        content = (tmp_path / name).read_bytes()
        assert record["results"]["sources"][part] == {"file": name, "bytes": len(content),
                                                      "sha256": hashlib.sha256(content).hexdigest()}
    made = TokenBridge.from_pretrained(tmp_path / "out")
    assert (made.name, made.classes) == ("mini", tuple("abcdef"))


def test_without_a_generator_a_tokenizer_with_the_papers_levels(mini, tmp_path):
    vae, _, options = mini
    made = convert_official(vae, tmp_path / "out", vae_options=options["vae_options"])
    loaded = TokenBridge.from_pretrained(tmp_path / "out")
    assert made.ar is loaded.ar is loaded.classes is None
    assert torch.equal(loaded.quantizer.levels, Quantizer.gaussian(5, 64, value_range=5.0).levels)
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(loaded.tokenize(images), made.tokenize(images))


def test_latent_diffusions_own_file_needs_its_losses_ignored(mini, tmp_path):
    vae, _, options = mini
    names = ("logvar", "discriminator.main.0.weight", "lin0", "lin1")
    losses = {f"loss.{name}": torch.zeros(2) for name in names}
    torch.save({"state_dict": vae | losses, "global_step": 7}, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=r"unexpected loss\.logvar, .* and 1 more; `ignore` leaves out"):
        convert_official(tmp_path / "model.ckpt", tmp_path / "out", vae_options=options["vae_options"])
    assert not (tmp_path / "out").exists()
    convert_official(tmp_path / "model.ckpt", tmp_path / "out", ignore=["loss."],
                     vae_options=options["vae_options"])
    assert TokenBridge.from_pretrained(tmp_path / "out").vae.fingerprint() == load_official_vae(
        vae, **options["vae_options"]).fingerprint()


def test_a_model_of_the_papers_size_carries_its_settings():
    "On shapes alone, so that no gigabytes are needed."
    from tokenbridge import official
    for size, cfg, temperature in (("l", 3.1, 0.97), ("h", 3.45, 0.91)):
        ar = SimpleNamespace(config=official_config(config_sizes(preset(f"imagenet-{size}").ar)))
        sampling = official._official_sampling(ar)
        assert (sampling.cfg_scale, sampling.temperature, sampling.steps) == (cfg, temperature, None)


def test_thousand_classes_get_names(mini, tmp_path):
    vae, weights, options = mini
    weights = weights | {"class_emb.weight": torch.randn(1000, 24)}
    made = convert_official(vae, tmp_path / "out", weights, **options)
    loaded = TokenBridge.from_pretrained(tmp_path / "out")
    assert made.classes == loaded.classes == imagenet_classes()
    assert find_class("otter", loaded.classes) == 360


def test_class_names():
    names = imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[207], names[360]) == ("tench, Tinca tinca", "golden retriever", "otter")
    assert imagenet_classes(["n02444819", "n01440764"]) == ("otter", "tench, Tinca tinca")
    for number, name in enumerate(names):   # a line is a name of its own, and so is each id
        assert find_class(name, names) == find_class(name.upper(), names) == number
    unique = 0
    for number, name in enumerate(names):
        for word in name.split(","):
            try:
                assert find_class(word.strip().title(), names) == number
                unique += 1
            except ValueError as error:
                assert f"{number} (" in str(error)
    assert unique > 1800
    for word, numbers in {"crane": (134, 517), "maillot": (638, 639), "cardigan": (264, 474)}.items():
        with pytest.raises(ValueError, match=rf"{word}.* {numbers[0]} \(.* {numbers[1]} \("):
            find_class(word, names)


def test_loading_costs_no_random_number(mini):
    vae, weights, options = mini
    torch.manual_seed(0)
    state = torch.get_rng_state()
    load_official_vae(vae, **options["vae_options"])
    load_official_model(weights, **options["model_options"])
    assert torch.equal(torch.get_rng_state(), state)
