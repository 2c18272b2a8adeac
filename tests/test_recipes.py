"Recipes: what trains a preset starts where it should, goes on only where it may, and sees the right tokens."
import pytest
import torch


@pytest.mark.parametrize("given", [True, False])
def test_the_generator_starts_from_given_weights(tiny_folder, given):
    from tests.tools.tiny import three_classes
    from tokenbridge.recipes import train_generator
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, still = TokenBridge.from_pretrained(tiny_folder), TrainConfig(steps=1, batch_size=2, lr=1e-12,
        warmup=0)
    data = three_classes(4)
    trained, _ = train_generator(bridge, data, bridge.ar.config, still, start=bridge.ar if given else None,
                                 device="cpu", progress=False)
    before, after = dict(bridge.ar.named_parameters()), dict(trained.ar.named_parameters())
    # weights are rounded to 16 bits
    near = [name for name in before if (before[name] - after[name]).abs().max() < 2e-2]
    assert (len(near) == len(before)) == given, near


def test_given_weights_that_do_not_fit_cost_no_tokenizing(tiny_folder, monkeypatch):
    from dataclasses import replace

    from tests.tools.tiny import three_classes
    from tokenbridge import recipes
    from tokenbridge.model import ARModel
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, tokenized = TokenBridge.from_pretrained(tiny_folder), []
    monkeypatch.setattr(recipes, "tokenize_set", lambda *_: tokenized.append(True))
    config = bridge.ar.config
    other = ARModel(replace(config, backbone=replace(config.backbone, classes=config.backbone.classes + 1)),
                    bridge.quantizer.levels)
    with pytest.raises(ValueError, match="^start: .*expected shape"):
        recipes.train_generator(bridge, three_classes(4), config, TrainConfig(steps=1), start=other,
                             device="cpu", progress=False)
    assert not tokenized


@pytest.mark.parametrize("change", [dict(heads=1), dict(mask_ratio_low=0.1), dict(dropout=0.5)])
def test_a_generator_of_another_shape_does_not_go_on(tiny_folder, tmp_path, change):
    from dataclasses import replace

    from tests.tools.tiny import three_classes
    from tokenbridge.recipes import train_generator
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, data, schedule = TokenBridge.from_pretrained(tiny_folder), three_classes(4), TrainConfig(steps=1,
        batch_size=2, warmup=0)
    moved = torch.get_rng_state()
    train_generator(bridge, data, bridge.ar.config, schedule, tmp_path, device="cpu", progress=False)
    assert torch.equal(torch.get_rng_state(), moved)   # the caller's random numbers stay where they were
    other = replace(bridge.ar.config, backbone=replace(bridge.ar.config.backbone, **change))
    assert other != bridge.ar.config
    with pytest.raises(ValueError,
                       match=f"^shape.backbone.{next(iter(change))}: the checkpoint was trained with"):
        train_generator(bridge, data, other, schedule, tmp_path, resume=True, device="cpu", progress=False)


def test_other_images_do_not_go_on_and_another_place_does(tiny_folder, tmp_path):
    from dataclasses import replace

    from tests.tools.tiny import three_classes
    from tokenbridge.recipes import train_generator
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.training import TrainConfig
    bridge, data, schedule = TokenBridge.from_pretrained(tiny_folder), three_classes(4), TrainConfig(steps=1,
        batch_size=2, warmup=0)
    train = lambda data, resume: train_generator(bridge, data, bridge.ar.config, schedule, tmp_path, resume,
        device="cpu", progress=False)
    train(data, False)
    train(replace(data, source="elsewhere"), True)
    with pytest.raises(ValueError, match="^data: the checkpoint was trained with '4 images, "):
        train(replace(data, images=255 - data.images), True)


def test_a_class_too_many_is_no_missing_label(tiny_folder):
    from tokenbridge import recipes
    from tokenbridge.data import synthetic_images
    from tokenbridge.pipeline import TokenBridge
    bridge, ten = TokenBridge.from_pretrained(tiny_folder), synthetic_images(20)
    with pytest.raises(ValueError, match="^test: expected at most the 3 classes of the generator, got 10"):
        recipes.measure(bridge, ten, ten, recipes.RECIPES["fast"])


def test_grey_images_have_fewer_directions_than_dimensions():
    from tokenbridge.data import ImageSet, synthetic_images, to_float
    from tokenbridge.recipes import train_vae
    from tokenbridge.evaluation import psnr
    from tokenbridge.training import TrainConfig
    from tokenbridge.vae import VAEConfig
    drawn = synthetic_images(40)
    grey = ImageSet(drawn.images[:, :1].expand(-1, 3, -1, -1).contiguous(), drawn.labels, drawn.classes,
                    "grey")
    vae, _ = train_vae(grey, VAEConfig(factor=2, latent_dims=8, width=8),
                       TrainConfig(2, batch_size=8, warmup=0), perceptual_weight=0,
                       device="cpu", progress=False)
    with torch.no_grad():
        # all four directions are kept
        assert psnr(to_float(grey.images), vae.decode(vae.encode(to_float(grey.images)).mean)) > 30


def test_tokens_of_both_views_whatever_the_parts(tiny_folder, monkeypatch):
    from tests.tools.tiny import three_classes
    from tokenbridge import recipes
    from tokenbridge.pipeline import TokenBridge
    bridge, images = TokenBridge.from_pretrained(tiny_folder), three_classes(7).images
    want = torch.stack([recipes.tokenize_images(bridge, images), recipes.tokenize_images(bridge, images.flip(-1))],
                       1)
    monkeypatch.setattr(recipes, "_at_a_time", lambda batch, pixels: 3)
    found = recipes.tokenize_set(bridge, images)
    assert found.dtype == torch.uint8 and torch.equal(found.long(), want)
