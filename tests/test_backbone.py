"Both backbones: no leak, each image alone, cache, masks and labels, one graph, the official numbers."
import json
import math
from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from tokenbridge.backbone import (
    BackboneConfig,
    CausalBackbone,
    MaskedBackbone,
    make_backbone,
    mask_ratio,
    mean_hidden,
)

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "tokenbridge-small.safetensors"
TINY = Path(__file__).parents[1] / "data" / "golden" / "tokenbridge-tiny.safetensors"
SIZES = dict(tokens=6, dims=5, classes=3, width=24, encoder_blocks=2, decoder_blocks=1, heads=3,
             class_tokens=2)


def backbone(kind: str, seed: int = 0, **changes):
    "A small backbone in double precision, every weight of it away from its start."
    torch.manual_seed(seed)
    model = make_backbone(BackboneConfig(kind=kind, **SIZES | changes)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WIDE = dict(decoder_width=16, decoder_heads=2)
MODELS = {"masked": backbone("masked"), "wide": backbone("masked", **WIDE), "causal": backbone("causal")}
masks = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4).map(torch.tensor)


# ---------------------------------------------------------------------- the masked backbone
@given(mask=masks, seed=st.integers(0, 99), name=st.sampled_from(["masked", "wide"]))
@torch.no_grad()
def test_hidden_tokens_are_never_read(mask, seed, name):
    latents, labels = rand(len(mask), 6, 5, seed=seed), torch.arange(len(mask)) % 4
    context = MODELS[name](latents, labels, mask)
    assert context.isfinite().all()
    assert torch.equal(MODELS[name](latents.masked_fill(mask[..., None], torch.nan), labels, mask), context)


@given(mask=masks, seed=st.integers(0, 99), name=st.sampled_from(["masked", "wide"]))
@torch.no_grad()
def test_a_padded_batch_is_each_image_alone(mask, seed, name):
    latents, labels = rand(len(mask), 6, 5, seed=seed), torch.arange(len(mask)) % 4
    alone = [MODELS[name](latents[i:i + 1], labels[i:i + 1], mask[i:i + 1]) for i in range(len(mask))]
    torch.testing.assert_close(MODELS[name](latents, labels, mask), torch.cat(alone), atol=1e-10, rtol=1e-10)


@given(visible=st.integers(0, 5), hidden=st.integers(0, 5))
@torch.no_grad()
def test_every_visible_token_and_the_label_matter_everywhere(visible, hidden):
    if visible == hidden:
        return
    mask = torch.ones(1, 6, dtype=torch.bool)
    mask[0, visible] = False
    latents, label, model = rand(1, 6, 5), torch.tensor([1]), MODELS["masked"]
    other = latents.clone()
    other[0, visible] += 1
    context = model(latents, label, mask)[0, hidden]
    assert not torch.allclose(context, model(other, label, mask)[0, hidden], atol=1e-6)
    assert not torch.allclose(context, model(latents, label + 1, mask)[0, hidden], atol=1e-6)


@torch.no_grad()
def test_encoder_sees_visible_tokens_only():
    mask = torch.tensor([[True, False, True, True, False, False], [True, True, True, True, True, False]])
    encoded, places, padding = MODELS["wide"].encode(rand(2, 6, 5), None, mask)
    assert tuple(encoded.shape) == (2, 2 + 3, 24) and places[0].tolist() == [1, 4, 5] and places[1, 0] == 5
    assert padding.tolist() == [[False] * 3, [False, True, True]]
    encoded, places, padding = MODELS["wide"].encode(rand(2, 6, 5), None, torch.ones(2, 6, dtype=torch.bool))
    assert tuple(encoded.shape) == (2, 2, 24) and places.shape == (2, 0) and padding is None


def test_gradients_with_padding_are_finite_and_reach_every_parameter():
    model = backbone("masked").train()
    mask = torch.tensor([[True, False, True, True, False, True], [True] * 6])
    latents = rand(2, 6, 5).masked_fill(mask[..., None], torch.nan)
    model(latents, torch.tensor([0, 3]), mask).square().sum().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in model.parameters())


# ---------------------------------------------------------------------- the causal backbone
@given(place=st.integers(0, 5), seed=st.integers(0, 99))
@torch.no_grad()
def test_causal_context_sees_earlier_tokens_only(place, seed):
    model, latents, labels = MODELS["causal"], rand(2, 6, 5, seed=seed), torch.tensor([0, 3])
    context, other = model(latents, labels), latents.clone()
    other[:, place:] += 3
    torch.testing.assert_close(model(other, labels)[:, :place + 1], context[:, :place + 1], atol=1e-10,
                               rtol=1e-10)
    if place < 5:
        assert (model(other, labels) - context)[:, place + 1:].abs().amin((0, 2)).min() > 0
    assert not torch.allclose(model(latents, labels.flip(0)), context)


@given(prefix=st.integers(0, 5), cached=st.booleans(), labelled=st.booleans(), seed=st.integers(0, 99))
@torch.no_grad()
def test_causal_steps_equal_the_whole(prefix, cached, labelled, seed):
    model, latents = MODELS["causal"], rand(3, 6, 5, seed=seed)
    labels = torch.tensor([2, 0, 3]) if labelled else None
    state, whole = model.start(labels, batch=3, cached=cached), model(latents, labels)
    for i in range(prefix, 6):
        unknown = latents.clone()
        unknown[:, i:] = 0 if not cached else torch.nan
        for _ in range(2):  # asked twice, answered the same
            part = model.predict(state, unknown, None, torch.full((3, 1), i))
            torch.testing.assert_close(part, whole[:, i:i + 1], atol=1e-10, rtol=1e-10)
    assert bool(state.caches) == cached and all(cache.length == 2 + 5 for cache in state.caches)


@torch.no_grad()
def test_causal_in_single_precision_cached_equals_uncached():
    torch.manual_seed(0)
    model = make_backbone(BackboneConfig(kind="causal", tokens=12, dims=3, width=48, heads=4)).eval()
    latents, labels = torch.randn(4, 12, 3), torch.tensor([0, 1, 10, 10])
    state, whole = model.start(labels), model(latents, labels)
    parts = [model.predict(state, latents, None, torch.full((4, 1), i)) for i in range(12)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_causal_plans():
    plan, raster = MODELS["causal"].check_plan, torch.arange(6)
    prefix = (raster < 2).expand(3, 6)
    for arguments in ((None,), (6,), (None, "raster"), (6, raster.expand(3, 6)), (None, None, prefix),
                      (4, "raster", prefix),
                      (6, None, prefix), (None, None, torch.ones(2, 6, dtype=torch.bool)),
                      (None, None, torch.zeros(2, 6, dtype=torch.bool))):
        assert plan(*arguments) is None
    for arguments in ((5,), (1,), (None, "confidence"), (None, raster.flip(0).expand(3, 6)),
                      (3, None, prefix),
                      (None, None, ~prefix), (None, None, torch.stack([raster < 2, raster < 3]))):
        with pytest.raises(ValueError):
            plan(*arguments)


@pytest.mark.parametrize("changes",
                         [dict(tokens=1), dict(class_tokens=1), dict(tokens=1, class_tokens=1),
                          dict(decoder_blocks=0)])
@torch.no_grad()
def test_smallest_causal_backbone(changes):
    model = backbone("causal", **changes)
    n = model.config.tokens
    latents, state = rand(2, n, 5), model.start(None, 2)
    parts = [model.predict(state, latents, None, torch.full((2, 1), i)) for i in range(n)]
    torch.testing.assert_close(torch.cat(parts, 1), model(latents, None))


# ---------------------------------------------------------------------- the common interface
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_predict_gives_the_contexts_of_the_positions(name):
    model, latents, labels = MODELS[name], rand(2, 6, 5), torch.tensor([1, 3])
    order = model.default_order(2, torch.Generator().manual_seed(0))
    hidden = torch.ones(2, 6, dtype=torch.bool)
    state = model.start(labels)
    for step in range(6):
        positions = order[:, step:step + 1]
        expected = model(latents, labels, hidden).gather(1, positions[..., None].expand(-1, -1, model.width))
        torch.testing.assert_close(model.predict(state, latents, hidden, positions), expected)
        hidden = hidden.scatter(1, positions, False)
    if name != "causal":
        several = torch.tensor([[0, 2, 4], [5, 1, 0]])
        contexts, whole = model.predict(state, latents, hidden, several), model(latents, labels, hidden)
        assert all(torch.equal(contexts[i, j], whole[i, several[i, j]]) for i in range(2) for j in range(3))


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_no_label_is_the_last_class(name):
    latents, mask = rand(2, 6, 5), torch.tensor([[True, False] * 3, [False, True] * 3])
    expected = MODELS[name](latents, torch.tensor([3, 3]), mask)
    assert torch.equal(MODELS[name](latents, None, mask), expected)
    assert MODELS[name].start(None, 2).labels.tolist() == [3, 3]


@pytest.mark.parametrize("name", MODELS)
def test_orders_and_masks_follow_the_generator(name):
    model, seeded = MODELS[name], lambda seed: torch.Generator().manual_seed(seed)
    order = model.default_order(50, seeded(3))
    assert torch.equal(order.sort(1).values, torch.arange(6).expand(50, 6)) and order.dtype == torch.int64
    assert torch.equal(order, model.default_order(50, seeded(3)))
    assert torch.equal(model.training_mask(9, seeded(3))[0], model.training_mask(9, seeded(3))[0])
    mask, visible = model.training_mask(50, seeded(3))
    assert mask.dtype == torch.bool and mask.shape == (50, 6)
    assert mask.sum(1).unique().tolist() == [6 - visible]
    if name == "causal":
        assert mask.all() and torch.equal(order[7], torch.arange(6))
    else:
        assert len(order.unique(dim=0)) > 30 and len(mask.unique(dim=0)) > 1 or mask.all()


def test_labels_are_dropped_at_the_given_rate():
    model = backbone("masked", label_dropout=0.3)
    labels = torch.arange(6000) % 3
    dropped = model.drop_labels(labels, torch.Generator().manual_seed(0))
    assert abs((dropped == 3).double().mean() - 0.3) < 0.02 and torch.equal(dropped[dropped != 3],
        labels[dropped != 3])
    assert torch.equal(dropped, model.drop_labels(labels, torch.Generator().manual_seed(0)))
    assert model.drop_labels(None) is None and labels.max() == 2
    assert not (backbone("masked", label_dropout=0.0).drop_labels(labels) == 3).any()
    assert (backbone("causal", label_dropout=1.0).drop_labels(labels) == 3).all()


# ---------------------------------------------------------------------- without a look at the values
@pytest.mark.parametrize("name", ["masked", "wide"])
@torch.no_grad()
def test_a_known_number_of_visible_tokens_changes_nothing(name):
    model, latents, labels = MODELS[name], rand(3, 6, 5), torch.tensor([0, 3, 1])
    for seed in range(4):
        mask, visible = model.training_mask(3, torch.Generator().manual_seed(seed))
        assert torch.equal(model(latents, labels, mask, visible), model(latents, labels, mask))


@pytest.mark.parametrize("name", ["masked", "causal"])
def test_one_graph_holds_the_whole_backbone(name):
    "No value is looked at on the way, so that torch.compile finds no place where it has to break off."
    torch.compiler.reset()
    model, latents, labels = MODELS[name], rand(3, 6, 5), torch.tensor([0, 3, 1])
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for seed, told in ((0, labels), (1, None)):
        mask, visible = model.training_mask(3, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(compiled(latents, told, mask, visible=visible),
                                   model(latents, told, mask), atol=1e-12, rtol=1e-12)


# ---------------------------------------------------------------------- the share of hidden tokens
@given(uniform=st.floats(0, 1, exclude_max=True), low=st.floats(0, 1), deviation=st.floats(0.01, 3))
def test_mask_ratio_inverts_the_cut_distribution(uniform, low, deviation):
    ratio, normal = mask_ratio(uniform, low, deviation), NormalDist(1.0, deviation)
    assert low <= ratio <= 1
    mass = 0.5 - normal.cdf(low)
    if mass > 1e-6:
        assert (normal.cdf(ratio) - normal.cdf(low)) / mass == pytest.approx(uniform, abs=1e-6)


@pytest.mark.parametrize("deviation", [0.25, 0.5])
@pytest.mark.parametrize("low", [0.0, 0.3, 0.7, 1.0])
def test_training_masks_hide_the_right_share(low, deviation):
    model = backbone("masked", tokens=40, mask_ratio_low=low, mask_ratio_deviation=deviation)
    counts = torch.stack([model.training_mask(2, torch.Generator().manual_seed(i))[0].sum(1)
                          for i in range(400)]).double()
    assert torch.equal(counts[:, 0], counts[:, 1]) and counts.min() >= max(1,
        math.ceil(40 * low)) and counts.max() <= 40
    expected = sum(math.ceil(40 * mask_ratio((i + 0.5) / 1000, low, deviation)) for i in range(1000)) / 1000
    assert abs(counts.mean() - expected) < 1.0
    assert abs(mean_hidden(model.config) - expected) < 0.02
    assert mean_hidden(BackboneConfig(kind="causal", tokens=40)) == 40


def test_a_shared_generator_decides_on_the_share_alone():
    class Both(torch.Generator):
        "As the loop of lesson 08 has them."

    seeded = lambda seed: torch.Generator().manual_seed(seed)

    def drawn(own, shared):
        generator = Both().manual_seed(own)
        generator.shared = seeded(shared)
        return model.training_mask(3, generator)

    model = backbone("masked", tokens=40)
    numbers = {drawn(own, 7)[1] for own in range(20)}
    assert len(numbers) == 1 and numbers == {model.training_mask(3, seeded(7))[1]}
    assert len({drawn(1, shared)[1] for shared in range(20)}) > 3
    assert not torch.equal(drawn(0, 7)[0], drawn(1, 7)[0])


def test_training_mask_hides_every_place_equally_often():
    model = backbone("masked", tokens=10)
    share = torch.stack([model.training_mask(50, torch.Generator().manual_seed(i))[0]
                         for i in range(40)]).double().mean((0, 1))
    assert (share - share.mean()).abs().max() < 0.03


# ---------------------------------------------------------------------- start of the weights, sizes
@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_weights_start_as_the_official_ones(kind):
    torch.manual_seed(0)
    model = make_backbone(BackboneConfig(kind=kind, tokens=64, dims=7))
    for name, value in model.named_parameters():
        if "positions" in name or name in ("mask_token", "class_embed.weight"):
            assert 0.015 < value.std() < 0.025, name
        elif value.ndim == 2:
            assert value.abs().max() <= math.sqrt(6 / sum(value.shape)) + 1e-6, name
            assert value.std() > 0.9 * math.sqrt(2 / sum(value.shape)), name
        else:
            assert torch.equal(value,
                               torch.ones_like(value) if name.endswith("weight")
                               else torch.zeros_like(value)), name


def test_widths():
    config = BackboneConfig(**SIZES, **WIDE)
    model = make_backbone(config)
    assert model.width == 16 and config.decoder_size == (16, 2) and BackboneConfig().decoder_size == (192, 6)
    assert isinstance(model, MaskedBackbone) and isinstance(make_backbone(BackboneConfig(kind="causal")),
        CausalBackbone)
    assert model.decoder_blocks[0].attn.heads == 2 and model.encoder_blocks[0].attn.heads == 3
    assert model.encoder_norm.eps == 1e-6
    assert make_backbone(BackboneConfig(norm_eps=1e-3)).latent_norm.eps == 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_runs_in_half_precision(name):
    model = make_backbone(MODELS[name].config)
    latents, mask = torch.randn(3, 6, 5), torch.tensor([[True, False] * 3] * 2 + [[True] * 6])
    for rows in (slice(0, 2), slice(0, 3)):
        with torch.autocast("cpu", torch.bfloat16):
            context = model(latents[rows], None, mask[rows])
        expected = model(latents[rows], None, mask[rows])
        assert (context.float() - expected).abs().max() < 0.1
    context.float().sum().backward()


def test_dropout_acts_in_training_only():
    model, latents, mask = backbone("masked", dropout=0.5, attention_dropout=0.5), rand(2, 6,
        5), torch.ones(2, 6, dtype=torch.bool)
    assert torch.equal(model(latents, None, mask), model(latents, None, mask))
    model.train()
    assert not torch.equal(model(latents, None, mask), model(latents, None, mask))


# ---------------------------------------------------------------------- the official model's numbers
OFFICIAL = {"class_emb": "class_embed", "z_proj": "latent_proj", "z_proj_ln": "latent_norm",
            "encoder_pos_embed_learned": "encoder_positions",
            "decoder_pos_embed_learned": "decoder_positions", "output_pos_embed": "output_positions"}


def official(path: Path) -> tuple[MaskedBackbone, dict[str, torch.Tensor]]:
    "The backbone with the file's weights, and everything in the file."
    with safe_open(path, "pt") as file:
        config, tensors = json.loads(file.metadata()["config"]), {key: file.get_tensor(key)
            for key in file.keys()}
    weights = {key.removeprefix("model."): value for key, value in tensors.items()}
    renamed = {".".join([OFFICIAL.get(first, first), *rest]): value for key,
               value in weights.items() for first, *rest in [key.split(".")]}
    renamed["class_embed.weight"] = torch.cat([weights["class_emb.weight"], weights["fake_latent"]])
    model = make_backbone(BackboneConfig(
        tokens=tensors["mask"].shape[1], dims=config["vae_embed_dim"], classes=config["class_num"],
        width=config["encoder_embed_dim"],
        decoder_width=config["decoder_embed_dim"], encoder_blocks=config["encoder_depth"],
        decoder_blocks=config["decoder_depth"],
        heads=config["encoder_num_heads"], decoder_heads=config["decoder_num_heads"],
        class_tokens=config["buffer_size"], norm_eps=1e-5))
    own = model.state_dict()
    model.load_state_dict({key: renamed[key].reshape(value.shape) if value.ndim != renamed[key].ndim
                           else renamed[key] for key, value in own.items()})
    return model.eval(), tensors


@pytest.mark.parametrize("path", [GOLDEN, TINY], ids=["official", "tiny"])
@torch.no_grad()
def test_official_encoder_and_context(path):
    if not path.exists():
        pytest.skip(f"the golden file {path.name} is not here")
    model, tensors = official(path)
    latents, labels, mask = tensors["dequantized"], tensors["labels"], tensors["mask"].bool()
    torch.testing.assert_close(model.encode(latents, labels, mask)[0], tensors["encoder_out"], atol=1e-4,
                               rtol=0)
    torch.testing.assert_close(model(latents, labels, mask), tensors["z"], atol=1e-4, rtol=0)


def test_paper_sizes():
    with torch.device("meta"):
        model = make_backbone(BackboneConfig(tokens=256, classes=1000, width=1024, encoder_blocks=16,
                                             decoder_blocks=16, heads=16, class_tokens=64))
    block = 12 * 1024**2 + 13 * 1024
    vectors = 1001 + 1 + 2 * 320 + 256  # classes and "none", mask token, positions
    # latent_proj, latent_norm, decoder_embed, norms
    rest = (16 + 1) * 1024 + 2 * 1024 + (1024 + 1) * 1024 + 2 * 2 * 1024
    assert sum(p.numel() for p in model.parameters()) == 32 * block + vectors * 1024 + rest
    assert isinstance(model.encoder_blocks[0].norm1, nn.LayerNorm)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_labels_of_any_integer_kind_are_dropped(dtype):
    backbone = make_backbone(BackboneConfig(classes=300, label_dropout=1.0))
    assert backbone.drop_labels(torch.tensor([1, 7], dtype=dtype)).tolist() == [300, 300]
