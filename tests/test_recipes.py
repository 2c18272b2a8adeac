"Recipes: training starts where it should, goes on only where it may, and gives a model that knows itself."
import copy
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests import training_runs
from tests.tools import notebooks
from tests.tools.tiny import three_classes, tiny_config
from tokenbridge import recipes
from tokenbridge.checkpoints import load_checkpoint, newest_checkpoint
from tokenbridge.classifier import JudgeNet
from tokenbridge.data import ImageSet, TokenSet, batch_ids, drawn_rich_images, to_float
from tokenbridge.evaluation import fd_judge, psnr, seam_ratio, token_pixels
from tokenbridge.generation import SamplingDefaults
from tokenbridge.latents import cache_latents
from tokenbridge.model import PRESETS, ARModel, training_flops
from tokenbridge.optim import TrainConfig
from tokenbridge.pipeline import TokenBridge, Tokenizer
from tokenbridge.quantizer import Quantizer, spectral_order
from tokenbridge.recipes import (
    RECIPES,
    fit_quantizer,
    generator_config,
    known_order,
    load_run,
    measure,
    recipe,
    train_generator,
    train_vae,
)
from tokenbridge.training import step_seed, train
from tokenbridge.vae import VAE, Posterior, VAEConfig

ONE_STEP = TrainConfig(steps=1, batch_size=2, warmup=0)


@pytest.fixture
def bridge(tiny_folder):
    "A tiny model with a generator of three classes."
    return TokenBridge.from_pretrained(tiny_folder)


@pytest.fixture
def tokens(bridge):
    "Tokens of four images and of their mirror images."
    return bridge.tokenize_set(three_classes(4))


def trained(bridge, tokens, config=None, schedule=ONE_STEP, *arguments, **options):
    "train_generator on the CPU, silent."
    return train_generator(bridge, tokens, config or bridge.ar.config, schedule, *arguments, device="cpu",
                           progress=False, **options)


# ---- recipes

def test_every_preset_names_a_recipe_of_its_own():
    for name, preset in PRESETS.items():
        assert preset.recipe == {"drawn-tiny": "demo-drawn"}.get(name, name)
        assert recipe(preset.recipe) is RECIPES[preset.recipe]
    assert recipe("imagenet-l").vae is None and recipe("imagenet-l").ar.steps == 500_456


@pytest.mark.parametrize("name, micro", [("imagenet-b", 64), ("imagenet-l", 64), ("imagenet-h", 32)])
def test_recipes_of_imagenet_are_in_epochs(name, micro):
    plan, images = recipe(name), 1_281_167
    for processes in (1, 8, 32, 2048):
        config = plan.schedule(images, processes)
        assert (config.steps, config.warmup) == (plan.ar.steps, plan.ar.warmup) == (500_456, 125_114)
        assert 2048 // processes // config.accumulation == min(micro, 2048 // processes)
    assert plan.schedule(images // 10).steps == 50_045 and plan.schedule(images // 10).warmup == 12_511
    assert plan.schedule(images, 3) == plan.ar      # what `train` says of three processes is said there
    assert (plan.ar.lr, plan.ar.clip_norm, plan.ar.betas, plan.recompute) == (8e-4, 1.0, (0.9, 0.95), "head")
    assert recipe("cifar-tiny").schedule(50_000, 8) == recipe("cifar-tiny").ar


def test_the_official_code_s_values_are_one_recipe():
    paper, code = recipe("imagenet-l"), recipe("imagenet-l-official")
    differ = {name for name, value in asdict(code.ar).items() if value != getattr(paper.ar, name)}
    assert differ == {"steps", "warmup", "lr", "clip_norm", "ema_warmup", "decaying"}
    assert (code.epochs, code.classifiers) == (400, "xavier")
    config = code.schedule(1_281_167, 8)
    assert (config.steps, config.warmup) == (code.ar.steps, code.ar.warmup) == (250_228, 62_557)


def test_a_recipe_says_how_its_model_is_sampled():
    assert recipe("demo").sampling == SamplingDefaults(cfg_scale=8.0, temperature=0.85)
    assert recipe("cifar-tiny").sampling == SamplingDefaults(cfg_scale=3.0)


# ---- the autoencoder

def test_grey_images_have_fewer_directions_than_dimensions():
    drawn = drawn_rich_images(40)
    grey = ImageSet(drawn.images[:, :1].expand(-1, 3, -1, -1).contiguous(), drawn.labels, drawn.classes,
                    "grey")
    vae, _ = train_vae(grey, VAEConfig(factor=2, latent_dims=8, width=8),
                       TrainConfig(2, batch_size=8, warmup=0), perceptual_weight=0, device="cpu",
                       progress=False)
    with torch.no_grad():
        # all four directions are kept
        assert psnr(to_float(grey.images), vae.decode(vae.encode(to_float(grey.images)).mean)) > 30


@pytest.mark.parametrize("perceptual_weight", [0.0, 0.03])
def test_a_vae_of_any_size_is_trained(perceptual_weight):
    drawn = drawn_rich_images(20)
    small = replace(drawn, images=drawn.images[..., ::2, ::2].contiguous())
    config = VAEConfig(image_size=16, factor=4, latent_dims=3, width=8, multipliers=(1, 1))
    vae, result = train_vae(small, config, ONE_STEP, perceptual_weight=perceptual_weight, device="cpu",
                            progress=False)
    assert result.steps == 1 and vae.decode(vae.encode(to_float(small.images[:2])).mean).shape[-1] == 16


class Halves(nn.Module):
    "Somebody else's autoencoder: every second pixel, nothing to train."
    image_size, latent_dims, grid = 32, 3, (16, 16)

    def encode(self, images):
        return Posterior(images[..., ::2, ::2], torch.zeros_like(images[..., ::2, ::2]))

    def decode(self, latents):
        return latents.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_a_vae_goes_on_from_given_weights_and_tells_what_it_does(capsys):
    data, config = drawn_rich_images(20), VAEConfig(latent_dims=3, width=8, multipliers=(1, 1, 1))
    train = lambda **options: train_vae(data, config, replace(ONE_STEP, lr=1e-12, eval_every=1),
                                        perceptual_weight=0, device="cpu", progress=False, **options)
    first, _ = train()
    seen = []
    again, result = train(start=first, evaluate=lambda vae, step: {"seen": step}, trainable=["decoder"],
                          on_step=lambda step, scalars: seen.append(step))
    assert seen == [1] and result.history[-1]["seen"] == 1
    assert all(torch.allclose(value, first.get_parameter(name), atol=1e-2)
               for name, value in again.named_parameters())
    with pytest.raises(ValueError, match="^start: expected a VAE of the same configuration, got another one"):
        train(start=VAE(replace(config, width=16)))


def test_without_mirroring_no_image_is_turned(monkeypatch):
    monkeypatch.setattr(recipes, "random_flip", lambda *_: pytest.fail("turned"))
    config = VAEConfig(latent_dims=3, width=8, multipliers=(1, 1, 1))
    train_vae(drawn_rich_images(20), config, ONE_STEP, perceptual_weight=0, device="cpu", progress=False,
              mirror=False)


def test_levels_are_fitted_to_anybody_s_latents():
    data = drawn_rich_images(30)
    quantizer = fit_quantizer(Halves(), data, 5, num=20)
    pixels = to_float(data.images[:20, :, ::2, ::2]).movedim(1, -1).reshape(20, 256, 3)
    assert torch.equal(quantizer.levels, Quantizer.fit(pixels, 5).levels)


# ---- the generator

@pytest.mark.parametrize("given", [True, False])
def test_the_generator_starts_from_given_weights(bridge, tokens, given):
    still = replace(ONE_STEP, lr=1e-12)
    result, _ = trained(bridge, tokens, schedule=still, start=bridge.ar if given else None)
    before, after = dict(bridge.ar.named_parameters()), dict(result.ar.named_parameters())
    # weights are rounded to 16 bits
    near = [name for name in before if (before[name] - after[name]).abs().max() < 2e-2]
    assert (len(near) == len(before)) == given, near


def test_given_weights_that_do_not_fit_cost_no_training(bridge, tokens, monkeypatch):
    monkeypatch.setattr(recipes, "train", lambda *_, **__: pytest.fail("has begun"))
    config = bridge.ar.config
    for change, message in ((dict(class_tokens=3), "start: .*expected shape"),
                            (dict(classes=4), "start: expected a TokenBridge that names its 4 classes")):
        other = ARModel(replace(config, backbone=replace(config.backbone, **change)), bridge.quantizer.levels)
        with pytest.raises(ValueError, match=message):
            trained(bridge, tokens, start=other)


def test_rows_of_classes_are_matched_by_name(bridge, tokens):
    bridge.classes = tokens.classes
    names = (tokens.classes[2], "new", tokens.classes[0], "newer")
    other = replace(tokens, classes=names, labels=tokens.labels.clamp(max=3))
    shape, still = generator_config(bridge, names, bridge.ar.config), replace(ONE_STEP, lr=1e-12)
    result, _ = trained(bridge, other, shape, still, start=bridge)
    old, new = (model.ar.backbone.class_embed.weight for model in (bridge, result))
    assert new.shape[0] == 5 and torch.allclose(new[[0, 2, 4]], old[[2, 0, 3]], atol=2e-2)
    assert not any(torch.allclose(new[row], each, atol=2e-2) for row in (1, 3) for each in old)
    kept = "backbone.class_embed.weight"
    for name, value in bridge.ar.named_parameters():
        assert name == kept or torch.allclose(value, result.ar.get_parameter(name), atol=2e-2)


def test_a_known_order_is_taken_where_the_autoencoder_is_its_own(bridge, tokens, tmp_path):
    kl16 = VAE(VAEConfig(kind="kl16", image_size=32, latent_dims=16, factor=16, width=32))
    shape = PRESETS["imagenet-l"]
    assert known_order(shape, Tokenizer(kl16, Quantizer.gaussian(16, 64))) == shape.order
    assert known_order(shape, bridge) is None
    assert known_order(PRESETS["cifar"], Tokenizer(kl16, Quantizer.gaussian(16, 64))) is None
    order = (4, 2, 0, 1, 3)
    result, _ = trained(bridge, tokens, None, ONE_STEP, tmp_path, order=order)
    assert result.ar.head.order.tolist() == list(order)
    with pytest.raises(ValueError, match="^order: the checkpoint was trained with"):
        trained(bridge, tokens, None, ONE_STEP, tmp_path, True, order=order[::-1])


def test_a_shape_follows_from_the_tokenizer(bridge):
    assert generator_config(bridge, 3, bridge.ar.config, "xavier").head.classifiers == "xavier"
    shape = generator_config(bridge, ["red", "blue"])
    wide = PRESETS["cifar-tiny"].ar
    assert (shape.backbone.tokens, shape.backbone.dims, shape.backbone.classes) == (16, 5, 2)
    assert (shape.head.dims, shape.head.num_levels, shape.head.width) == (5, 7, wide.head.width)
    assert generator_config(bridge, 3, bridge.ar.config) == bridge.ar.config
    assert generator_config(bridge, np.int64(3)).backbone.width == wide.backbone.width


# ---- a run that is not finished

def test_an_unfinished_run_can_be_drawn_from(bridge, tokens, tmp_path):
    long = TrainConfig(steps=5, batch_size=2, warmup=0, save_every=2, keep_every=3)

    def stop(step, scalars):
        if step == 1:   # all but the weights is there before the first step is over
            assert (tmp_path / "run.json").is_file() and (tmp_path / "tokenizer" / "config.json").is_file()
        if step == 4:
            raise RuntimeError("power cut")
    with pytest.raises(RuntimeError, match="power cut"):
        trained(bridge, tokens, None, long, tmp_path, on_step=stop, sampling=SamplingDefaults(steps=2))
    kept = load_run(tmp_path / "milestones" / "step-000003")   # also of a run that has gone on
    milestone = load_checkpoint(tmp_path / "milestones" / "step-000003").ema
    assert all(torch.equal(value, milestone[name]) for name, value in kept.ar.state_dict().items())
    run = load_run(tmp_path)
    averages = load_checkpoint(newest_checkpoint(tmp_path)).ema
    assert run.classes == tokens.classes and run.sampling.steps == 2 and not run.training
    assert all(torch.equal(value, averages[name]) for name, value in run.ar.state_dict().items())
    assert run.generate(num=2, seed=0).shape == (2, 3, 32, 32)
    result, _ = trained(bridge, tokens, None, long, tmp_path, resume=True)
    result.save_pretrained(tmp_path)
    assert torch.equal(load_run(tmp_path).generate(num=2, seed=0), result.generate(num=2, seed=0))


def test_a_refused_training_changes_nothing_of_the_one_that_goes_on(bridge, tokens, tmp_path):
    levels = bridge.quantizer.levels + 0.01
    other = Tokenizer(bridge.vae, Quantizer(levels))
    others = other.tokenize_set(three_classes(4))

    def begin_another(step, scalars):
        with pytest.raises(ValueError, match="^folder: another training is writing into"):
            train_generator(other, others, bridge.ar.config, ONE_STEP, tmp_path, device="cpu", progress=False)

    trained(bridge, tokens, None, replace(ONE_STEP, steps=2), tmp_path, on_step=begin_another)
    assert load_run(tmp_path).fingerprints() == bridge.fingerprints()


def test_a_run_without_a_checkpoint_leaves_nothing_to_the_next(bridge, tokens, tmp_path):
    def power_cut(step, scalars):
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        trained(bridge, tokens, None, replace(ONE_STEP, steps=2), tmp_path, on_step=power_cut)
    other = Tokenizer(bridge.vae, Quantizer(bridge.quantizer.levels + 0.01))
    narrow = replace(bridge.ar.config, backbone=replace(bridge.ar.config.backbone, class_tokens=1))
    with pytest.warns(UserWarning, match="holds no checkpoint"):
        trained(other, other.tokenize_set(three_classes(4)), narrow, ONE_STEP, tmp_path, resume=True)
    run = load_run(tmp_path)
    assert run.fingerprints() == other.fingerprints() and run.ar.config == narrow


def test_parts_of_one_s_own_learn_the_tokens_of_another_tokenizer(bridge, tokens):
    other = Tokenizer(bridge.vae, Quantizer(bridge.quantizer.levels + 0.01))
    others, shape = other.tokenize_set(three_classes(4)), replace(bridge.ar.config, head=None)
    result, _ = trained(other, others, shape, ONE_STEP, start=bridge, other_tokens=True)
    assert result.fingerprints() == other.fingerprints()
    assert torch.equal(result.ar.levels, other.quantizer.levels)
    wrong = replace(shape, backbone=replace(shape.backbone, label_dropout=0.9))
    with pytest.raises(ValueError, match="^config: expected the backbone of `start`"):
        trained(bridge, tokens, wrong, ONE_STEP, start=bridge)


def test_another_run_s_folder_is_left_alone(bridge, tokens, tmp_path):
    trained(bridge, tokens, None, ONE_STEP, tmp_path, name="first")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with pytest.raises(ValueError, match="holds checkpoints"):
        trained(bridge, tokens, None, ONE_STEP, tmp_path, name="second")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_an_autoencoder_that_no_file_can_build_is_trained_on_all_the_same(tmp_path):
    data = three_classes(4)
    tokenizer = Tokenizer(Halves(), Quantizer.uniform(3, 4))
    shape = generator_config(tokenizer, 3, tiny_config())
    with pytest.warns(UserWarning, match="the unfinished run cannot be drawn from .vae: from_pretrained"):
        trained(tokenizer, tokenizer.tokenize_set(data), shape, ONE_STEP, tmp_path)
    with pytest.raises(FileNotFoundError, match="no run.json"):
        load_run(tmp_path)


@pytest.mark.parametrize("change", [dict(heads=1), dict(mask_ratio_low=0.1), dict(dropout=0.5)])
def test_a_generator_of_another_shape_does_not_go_on(bridge, tokens, tmp_path, change):
    moved = torch.get_rng_state()
    trained(bridge, tokens, None, ONE_STEP, tmp_path)
    assert torch.equal(torch.get_rng_state(), moved)   # the caller's random numbers stay where they were
    other = replace(bridge.ar.config, backbone=replace(bridge.ar.config.backbone, **change))
    assert other != bridge.ar.config
    with pytest.raises(ValueError,
                       match=f"^shape.backbone.{next(iter(change))}: the checkpoint was trained with"):
        trained(bridge, tokens, other, ONE_STEP, tmp_path, resume=True)


def test_other_tokens_do_not_go_on_and_another_place_does(bridge, tmp_path):
    data = three_classes(4)
    train = lambda data, resume: trained(bridge, bridge.tokenize_set(data), None, ONE_STEP, tmp_path, resume)
    train(data, False)
    train(replace(data, source="elsewhere"), True)
    with pytest.raises(ValueError, match="^data: the checkpoint was trained with '4 images, "):
        train(replace(data, images=255 - data.images), True)


def test_both_views_are_seen_and_one_is_enough(bridge, tokens):
    one = bridge.tokenize_set(three_classes(4), mirror=False)
    losses = [trained(bridge, seen, schedule=replace(ONE_STEP, log_every=1))[1].history[0]["loss"]
              for seen in (tokens, one)]
    assert losses[0] != losses[1]


def test_the_loop_is_told_the_operations_of_an_image(bridge, tokens, monkeypatch):
    told, original = [], recipes.train
    monkeypatch.setattr(recipes, "train", lambda *given, **named: (told.append(named["flops"]),
                                                                   original(*given, **named))[1])
    trained(bridge, tokens)
    trained(bridge, tokens, trainable=["head"])
    assert told == [training_flops(bridge.ar.config), None]


def test_the_result_carries_what_it_needs(bridge, tokens):
    dials = SamplingDefaults(cfg_scale=8.0, temperature=0.85)
    result, _ = trained(bridge, tokens, sampling=dials, name="mine")
    assert result.classes == tokens.classes and result.sampling == dials and result.name == "mine"
    assert trained(bridge, tokens)[0].sampling == SamplingDefaults()


def test_a_head_of_your_own_is_trained_on(bridge, tokens):
    class Mine(type(bridge.ar.head)):
        "A head that the configuration does not know."

    mine = copy.deepcopy(bridge.ar)
    mine.head.__class__, mine.config = Mine, replace(mine.config, head=None)
    result, _ = trained(bridge, tokens, mine.config, start=mine)
    assert type(result.ar.head) is Mine and result.ar is not mine and result.ar.head is not mine.head
    with pytest.raises(ValueError, match="^head: expected a HeadConfig in the config or a head of your own"):
        trained(bridge, tokens, mine.config)


def test_weights_for_other_levels_cost_no_training(bridge, tokens):
    other = ARModel(bridge.ar.config, bridge.quantizer.levels + 1)
    with pytest.raises(ValueError, match="^start: expected a generator that has the levels of the tokenizer"):
        trained(bridge, tokens, start=other)


def test_weights_for_other_levels_are_adapted_where_that_is_said(bridge, tokens):
    other = ARModel(bridge.ar.config, bridge.quantizer.levels + 1)
    other.load_state_dict(bridge.ar.state_dict())
    result, _ = trained(bridge, tokens, schedule=replace(ONE_STEP, lr=1e-12), start=other, other_tokens=True)
    assert torch.equal(result.ar.levels, bridge.quantizer.levels), "levels are the tokenizer's"
    for name, value in bridge.ar.named_parameters():   # weights are rounded to 16 bits
        assert torch.allclose(value, result.ar.get_parameter(name), atol=2e-2), name


def test_tokens_of_another_tokenizer_are_refused(bridge, tokens):
    other = Tokenizer(bridge.vae, Quantizer(bridge.quantizer.levels + 1e-3, "fitted"))
    with pytest.raises(ValueError, match="^tokens: expected those of this tokenizer, whose levels is"):
        trained(bridge, other.tokenize_set(three_classes(4)))
    wider = TokenSet(tokens.tokens.repeat(1, 1, 2, 1), tokens.labels, tokens.num_levels, tokens.classes,
                     tokens.source, tokens.made_by, tokens.mirror)
    with pytest.raises(ValueError, match="^tokens: expected tokens=16, as the tokenizer has it, got 32"):
        trained(bridge, wider)


# ---- a folder of pictures

def test_from_a_folder_to_a_picture_in_fifteen_lines(tmp_path):
    cells = [notebooks.joined(cell["source"]) for cell in notebooks.code_cells(notebooks.read("12_cifar"))]
    lines = next(text for text in cells if "image_folder(photos" in text).strip().splitlines()
    assert len([line for line in lines if line]) <= 15
    for number, (picture, label) in enumerate(drawn_rich_images(6, size=64)):
        (place := tmp_path / "photos" / f"{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(place / f"{number}.png")
    text = "\n".join(lines).replace("steps=4", "steps=1").replace("warmup=2", "warmup=0")
    assert "steps=1" in text and "warmup=0" in text
    exec(compile(text, "lesson 12", "exec"), {"photos": str(tmp_path / "photos"), "out": str(tmp_path)})
    assert Image.open(tmp_path / "samples.png").size[0] > 64 and (tmp_path / "config.json").is_file()


# ---- measuring

@pytest.fixture
def asked(monkeypatch):
    "What the samples were drawn with; nothing is drawn or judged."
    seen = []
    monkeypatch.setattr(recipes, "generate_indices", lambda ar, labels, **dials: (
        seen.append(dials), torch.zeros(len(labels), 16, 5, dtype=torch.int64))[1])
    monkeypatch.setattr(recipes, "evaluate_samples", lambda *_, **__: {})
    monkeypatch.setattr(recipes, "evaluate_tokenizer", lambda *_, **__: {})
    return seen


def test_a_model_is_sampled_as_it_says_unless_told_otherwise(bridge, tokens, asked):
    bridge.sampling = SamplingDefaults(cfg_scale=8.0, temperature=0.85)
    test = three_classes(6)
    own, samples = measure(bridge, test, tokens, 2)
    told, _ = measure(bridge, test, tokens, 2, SamplingDefaults(cfg_scale=2.0))
    assert [(dials["cfg_scale"], dials["temperature"]) for dials in asked] == [(8.0, 0.85), (2.0, 1.0)]
    assert own["samples"].pop("seam_ratio") > 0
    assert own["samples"] == {"cfg_scale": 8.0, "temperature": 0.85, "per_class": 2}
    assert told["samples"]["cfg_scale"] == 2.0 and len(samples) == 6 and "gain" in own["generator"]


def test_a_tokenizer_alone_is_measured_without_training_tokens(bridge, asked):
    tokenizer = Tokenizer(bridge.vae, bridge.quantizer)
    assert measure(tokenizer, three_classes(6)) == ({"tokenizer": {}}, None) and not asked


def test_a_judge_judges_what_it_knows(bridge, tokens):
    test, data = three_classes(6), {"judge": JudgeNet(tokens.classes), "other": JudgeNet(["a", "b", "c"])}
    metrics, samples = measure(bridge, test, tokens, 2)
    assert not [name for name in metrics["tokenizer"] if "agreement" in name] and len(samples) == 6
    assert set(metrics["samples"]) == {"images", "seam_ratio", "cfg_scale", "temperature", "per_class"}
    metrics, _ = measure(bridge, test, tokens, 2, judge=data["judge"])
    assert "agreement" in metrics["samples"] and "agreement_real" in metrics["tokenizer"]
    with pytest.raises(ValueError, match="^judge: expected a classifier of the images' classes, 3 .* of 3"):
        measure(bridge, test, tokens, 2, judge=data["other"])


def test_a_class_too_many_is_no_missing_label(bridge, tokens):
    bridge.classes = None
    with pytest.raises(ValueError, match="^test: expected at most the 3 classes of the generator, got 10"):
        measure(bridge, drawn_rich_images(20), tokens)


def test_images_of_other_classes_are_refused(bridge, tokens, asked):
    data = three_classes(6)
    bridge.classes = ("airplane", *data.classes[1:])
    with pytest.raises(ValueError, match="^test: expected images of the model's classes, got class 0"):
        measure(bridge, data, tokens)


def test_samples_stand_beside_training_images_and_their_tokens(bridge, tokens):
    """FD-judge to the test images: of samples, of as many training images, of what tokens keep of these."""
    training, test, judge = three_classes(12), three_classes(30), JudgeNet(tokens.classes).eval()
    metrics, samples = measure(bridge, test, tokens, 2, judge=judge, training_images=training)
    found, first = metrics["samples"], training.images[:len(samples)]
    assert found["fd_judge"] == pytest.approx(fd_judge(judge, samples, test.images), rel=1e-5)
    assert found["fd_judge_floor"] == pytest.approx(fd_judge(judge, first, test.images), rel=1e-5)
    decoded = bridge.reconstruct(first)
    assert found["fd_judge_quantized"] == pytest.approx(fd_judge(judge, decoded, test.images), rel=1e-5)
    assert found["seam_ratio"] == pytest.approx(seam_ratio(samples, token_pixels(bridge)), rel=1e-6)


# ---- latents in a cache

@pytest.fixture
def latents(bridge, tmp_path):
    "Posteriors of six images and of their mirror images, in two shards; deviations wide enough to matter."
    found = cache_latents(three_classes(6), bridge, tmp_path / "cache", shard_size=4)
    wide = tuple((mean, torch.full_like(std, 0.5)) for mean, std in found.shards)
    return replace(found, shards=wide)


def test_a_generator_learns_from_fresh_samples_of_cached_posteriors(bridge, latents, monkeypatch):
    seen, loss = [], ARModel.loss
    monkeypatch.setattr(ARModel, "loss", lambda self, indices, labels, *rest, **options: (
        seen.append((indices, labels)), loss(self, indices, labels, *rest, **options))[1])
    still = TrainConfig(steps=3, batch_size=2, accumulation=2, warmup=0, lr=1e-12, seed=5)
    result, _ = trained(bridge, latents, schedule=still)
    assert result.classes == latents.classes and len(seen) == 6
    for number, (indices, labels) in enumerate(seen):
        step, micro = divmod(number, 2)
        ids = batch_ids(step, 2, 6, 5).chunk(2)[micro]
        generator = torch.Generator().manual_seed(step_seed(5, step, micro, "batch"))
        sample, wanted = latents.batch(ids, generator)
        assert torch.equal(indices, bridge.quantizer.quantize(sample)) and torch.equal(labels, wanted)
    seen.clear()
    trained(bridge, latents, schedule=still, samples=False)
    means = bridge.quantizer.quantize(latents.means(6))
    turned = bridge.quantizer.quantize(torch.cat([mean[:, 1].float() for mean, _ in latents.shards]))
    ids = batch_ids(0, 2, 6, 5)
    for (indices, _), image in zip(seen, ids):
        assert torch.equal(indices[0], means[image]) or torch.equal(indices[0], turned[image])


def test_the_order_of_dimensions_is_that_of_the_cached_means(bridge, latents):
    grid = latents.means(5000).view(6, 4, 4, 5).movedim(-1, 1)
    order = trained(bridge, latents)[0].ar.head.order
    assert torch.equal(order, spectral_order(grid)) and latents.means(2).shape == (2, 16, 5)


def test_a_run_on_latents_goes_on_with_the_same_ones_only(bridge, tmp_path):
    def cached(data, name):
        return cache_latents(data, bridge, tmp_path / name, shard_size=3)
    data, out, long = three_classes(6), tmp_path / "run", replace(ONE_STEP, steps=4)
    first, again = cached(data, "a"), cached(replace(data, source="elsewhere"), "b")
    trained(bridge, first, None, long, out, on_step=lambda step, _: step == 2)
    assert first.fingerprint() == again.fingerprint() != first.take(5).fingerprint()
    for other in replace(first, checksum=""), cached(three_classes(6, seed=1), "c"):
        with pytest.raises(ValueError, match="^data: the checkpoint was trained with '6 posteriors, "):
            trained(bridge, other, None, long, out, True)
    with pytest.raises(ValueError, match="^samples: the checkpoint was trained with"):
        trained(bridge, again, None, long, out, True, samples=False)
    finished, result = trained(bridge, again, None, long, out, True)
    assert result.steps == 4 and same_weights(finished.ar, trained(bridge, first, None, long)[0].ar)


def same_weights(one, other):
    "Whether two modules have the same state."
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_latents_that_do_not_fit_cost_no_training(bridge, latents, tokens, monkeypatch):
    monkeypatch.setattr(recipes, "train", lambda *_, **__: pytest.fail("has begun"))
    cases = [(replace(latents, made_by={"vae": "another"}), {}, "^tokens: expected those of this tokenizer"),
             (replace(latents, shards=tuple((a[:, :, :9], b[:, :, :9]) for a, b in latents.shards)), {},
              "^tokens: expected tokens=16, as the tokenizer has it, got 9"),
             (tokens, dict(samples=False), "^samples: expected True, tokens were drawn before"),
             (three_classes(4), {}, "^tokens: expected a TokenSet or a LatentSet, got ImageSet")]
    for data, options, message in cases:
        with pytest.raises(ValueError, match=message):
            trained(bridge, data, **options)


def test_two_processes_draw_the_samples_of_one(tmp_path):
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
                           "2", "-m", "tests.training_runs", "distributed", "latents", str(tmp_path / "two")],
                          capture_output=True, text=True, timeout=200)
    assert newest_checkpoint(tmp_path / "two") is not None, done.stderr
    train(**training_runs.make("latents"), folder=tmp_path / "one")
    one, two = (load_checkpoint(newest_checkpoint(tmp_path / name)) for name in ("one", "two"))
    assert one.step == two.step == 36 and training_runs.same(one.ema, two.ema)
