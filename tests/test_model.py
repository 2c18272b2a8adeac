"The model: loss over hidden tokens, own parts, what a token may see, presets, the official model's numbers."
import dataclasses
import importlib
import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from tests import training_runs
from tests.test_head import official_weights
from tests.tools.tiny import tiny_config
from tokenbridge.backbone import Backbone, BackboneConfig, make_backbone, mean_hidden
from tokenbridge.benchmark import count_operations
from tokenbridge.checks import config_from_dict
from tokenbridge.files import load_tensors
from tokenbridge.generation import generate_indices
from tokenbridge.head import HeadConfig, ParallelHead
from tokenbridge.model import (
    PRESETS,
    ARConfig,
    ARModel,
    count_parameters,
    layers_recomputed,
    preset,
    training_flops,
)
from tokenbridge.training import layers_compiled, train

N, D, K, CLASSES = 6, 5, 7, 3


def seeded(seed):
    return torch.Generator().manual_seed(seed)


LEVELS = torch.linspace(-2, 2, K).expand(D, K)


def config(kind="masked", head="dimensions", **changes):
    backbone = dict(kind=kind, tokens=N, dims=D, classes=CLASSES, width=24, encoder_blocks=1,
                    decoder_blocks=1, heads=3, class_tokens=2)
    sizes = dict(dims=D, num_levels=K, context_width=24, width=16, blocks=1, heads=2)
    return ARConfig(BackboneConfig(**backbone | changes), HeadConfig(**sizes, kind=head))


def make_model(kind="masked", shake=0.2, **changes):
    torch.manual_seed(0)
    model = ARModel(config(kind, **changes), LEVELS, [3, 0, 4, 1, 2])
    for parameter in model.parameters():
        parameter.data += shake * torch.randn_like(parameter)
    return model.eval()


def batch(b=4, seed=1):
    return torch.randint(K, (b, N, D), generator=seeded(seed)), torch.randint(CLASSES, (b,),
        generator=seeded(seed + 1))


MASK = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]],
                    dtype=torch.bool)


# ---- the loss

@torch.no_grad()
def test_the_loss_is_the_mean_over_hidden_tokens_of_backbone_and_head():
    model, (indices, labels) = make_model(), batch()
    context = model.backbone(model.levels[torch.arange(D), indices], labels, MASK)
    log_prob = model.head(context.flatten(0, 1), indices.flatten(0, 1)).log_softmax(-1).unflatten(0, (4, N))
    costs = -log_prob.gather(-1, indices[..., None])[..., 0]
    assert torch.allclose(model.loss(indices, labels, mask=MASK), costs[MASK].mean(), atol=1e-5)
    assert torch.allclose(model.token_nll(indices, labels, MASK)[MASK], costs[MASK], atol=1e-5)
    assert (model.token_nll(indices, labels, MASK)[~MASK] == 0).all()


def test_the_head_runs_on_hidden_tokens_only(monkeypatch):
    model, (indices, labels) = make_model(), batch()
    rows, run = [], model.head.costs
    monkeypatch.setattr(model.head, "costs",
                        lambda context, tokens: rows.append(len(context)) or run(context, tokens))
    model.loss(indices, labels, mask=MASK)
    assert rows == [int(MASK.sum())]


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("dims, levels, tokens", [(5, 7, 6), (16, 16, 16), (3, 64, 9), (1, 2, 4)])
def test_the_first_loss_is_that_of_guessing(kind, dims, levels, tokens):
    torch.manual_seed(0)
    sizes = ARConfig(BackboneConfig(kind=kind, tokens=tokens, dims=dims, classes=4, width=32,
                                    encoder_blocks=1, decoder_blocks=1, heads=2),
                     HeadConfig(dims=dims, num_levels=levels, context_width=32, width=32, blocks=1))
    model = ARModel(sizes, torch.linspace(-2, 2, levels).expand(dims, levels))
    indices = torch.randint(levels, (16, tokens, dims))
    assert abs(model.loss(indices, torch.arange(16) % 4).item() - math.log(levels)) < 0.1


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_a_seed_fixes_mask_and_dropped_labels(kind):
    model, (indices, labels) = make_model(kind, label_dropout=0.5).train(), batch()
    first = model.loss(indices, labels, seeded(3))
    torch.manual_seed(99)
    assert torch.equal(first, model.loss(indices, labels, seeded(3)))
    assert len({model.loss(indices, labels, seeded(seed)).item() for seed in range(5)}) > 1


def test_labels_are_dropped_in_training_only():
    model, (indices, labels) = make_model(label_dropout=1.0), batch()
    free = model.loss(indices, None, mask=MASK)
    assert not torch.allclose(model.loss(indices, labels, mask=MASK), free)
    assert torch.allclose(model.train().loss(indices, labels, mask=MASK), free)


def test_labels_matter_and_none_means_no_label():
    model, (indices, labels) = make_model(), batch()
    nobody = torch.full((4,), CLASSES)
    assert torch.equal(model.loss(indices, None, mask=MASK), model.loss(indices, nobody, mask=MASK))
    assert not torch.allclose(model.loss(indices, labels, mask=MASK),
                              model.loss(indices, (labels + 1) % CLASSES, mask=MASK))


def test_values_go_into_the_backbone():
    "Other levels, another loss: indices alone do not say what is visible."
    model, (indices, labels) = make_model(), batch()
    before = model.loss(indices, labels, mask=MASK)
    model.levels.mul_(2)
    assert not torch.allclose(before, model.loss(indices, labels, mask=MASK))


def test_narrow_integers_do_as_well():
    model, (indices, labels) = make_model(), batch()
    assert torch.equal(model.loss(indices.to(torch.uint8), labels, mask=MASK),
                       model.loss(indices, labels, mask=MASK))


def test_every_parameter_learns():
    for kind in ("masked", "causal"):
        model, (indices, labels) = make_model(kind).train(), batch()
        model.loss(indices, labels, seeded(0), MASK if kind == "masked" else None).backward()
        without = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
        assert without == []


def test_indices_are_looked_at_once(monkeypatch):
    looks = []
    for name in ("model", "backbone", "head", "quantizer"):
        there = importlib.import_module(f"tokenbridge.{name}")
        monkeypatch.setattr(there, "check_indices", lambda name, *rest, **more: looks.append(name))
    model, (indices, labels) = make_model().train(), batch()
    model.loss(indices, labels)
    assert looks == ["indices"]


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("head", ["dimensions", "parallel"])
def test_a_training_step_waits_for_no_device(kind, head):
    "Tensors of the meta device have no values: whoever looks at one, raises."
    with torch.device("meta"):
        model = ARModel(config(kind, head), torch.empty(D, K)).train()
        indices, labels = torch.empty(4, N, D, dtype=torch.uint8), torch.empty(4, dtype=torch.int64)
    loss = model.loss(indices, labels, seeded(0))
    assert loss.is_meta and loss.shape == ()
    loss.backward()


# ---- parts

@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_a_dimension_beats_a_parallel_head_where_dimensions_hang_together(kind):
    "Every dimension of a token has the same index, which any level can be."
    labels, costs = torch.arange(24) % CLASSES, {}
    test = torch.randint(K, (24, N, 1), generator=seeded(77)).expand(-1, -1, D)
    for head in ("dimensions", "parallel"):
        torch.manual_seed(0)
        model, draws = ARModel(config(kind, head), LEVELS), seeded(1)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        for _ in range(60):
            indices = torch.randint(K, (24, N, 1), generator=draws).expand(-1, -1, D)
            loss = model.loss(indices, labels, draws)
            optimizer.zero_grad(), loss.backward(), optimizer.step()
        with torch.no_grad():
            costs[head] = model.eval().token_nll(test, labels, torch.ones(24, N, dtype=torch.bool)).mean()
        steps = None if kind == "causal" else 3
        drawn = generate_indices(model, torch.arange(CLASSES), steps=steps, generator=seeded(3))
        assert drawn.shape == (CLASSES, N, D) and drawn.min() >= 0 and drawn.max() < K
    assert costs["parallel"] > 0.9 * math.log(K), "nothing but the marginals can be known"
    assert costs["dimensions"] < 0.6 * math.log(K)


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("head", ["dimensions", "parallel"])
def test_weights_of_any_head_are_stored_and_loaded(kind, head):
    first, second = make_model(kind, head=head), ARModel(config(kind, head), LEVELS).eval()
    indices, labels = batch()
    mask = MASK if kind == "masked" else torch.ones(4, N, dtype=torch.bool)
    assert not torch.equal(first.token_nll(indices, labels, mask), second.token_nll(indices, labels, mask))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.token_nll(indices, labels, mask), second.token_nll(indices, labels, mask))


class Histograms(torch.nn.Module):
    "A head of ten lines that derives from nothing of ours."
    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.randn(D, K, generator=seeded(0)))

    def costs(self, context, tokens):
        return -self.scores.log_softmax(-1)[torch.arange(D), tokens]

    def noise(self, b, n, generator=None):
        return torch.rand(b, n, D, generator=generator)

    def sample(self, context, noise, temperature=1.0, top_k=None, top_p=None):
        tokens = (self.scores.softmax(-1).cumsum(-1) <= noise[..., None]).sum(-1).clamp(max=K - 1)
        return tokens, -self.costs(context, tokens).sum(1)


class Plain(Backbone):
    "A backbone of its own: every hidden place gets a vector, whatever is visible."
    def __init__(self, config):
        super().__init__(config)
        self.places = torch.nn.Parameter(torch.randn(N, 24, generator=seeded(1)))

    def forward(self, latents, labels, mask, visible=None):
        return self.places.expand(len(latents), -1, -1)

    def training_mask(self, batch, generator=None, device=None):
        return torch.rand(batch, N, generator=generator).argsort(1).to(device) < 2, None

    def default_order(self, batch, generator=None, device=None):
        return torch.arange(N, device=device).expand(batch, N)


def test_parts_of_your_own():
    sizes, (indices, labels) = ARConfig(config().backbone), batch()
    own = ARModel(sizes, LEVELS, backbone=Plain(sizes.backbone), head=Histograms())
    assert own.loss(indices, labels, seeded(0)).isfinite()
    expected = -own.head.scores.log_softmax(-1).gather(1, indices.flatten(0, 1).T).T.unflatten(0, (4, N))
    assert torch.allclose(own.token_nll(indices, labels, MASK), expected * MASK[..., None])
    drawn = generate_indices(own.eval(), labels, steps=3, generator=seeded(0))
    assert drawn.shape == (4, N, D) and drawn.max() < K
    assert {"backbone.places", "head.scores"} < set(own.state_dict())
    half = ARModel(sizes, LEVELS, head=Histograms())
    assert type(half.backbone) is type(make_backbone(sizes.backbone))
    assert half.loss(indices, labels).isfinite()
    other = ARModel(config(), LEVELS, backbone=Plain(sizes.backbone),
                    head=ParallelHead(config(head="parallel").head))
    assert other.loss(indices, labels).isfinite()


def test_a_model_knows_its_sizes():
    for model in (make_model(), ARModel(ARConfig(config().backbone), LEVELS, head=Histograms())):
        sizes = model.tokens, model.dims, model.num_levels, model.classes, model.context_width
        assert sizes == (N, D, K, CLASSES, 24)


def test_costs_of_a_wrong_shape_are_noticed():
    head = Histograms()
    head.costs = lambda context, tokens: torch.zeros(len(tokens))
    with pytest.raises(ValueError, match="costs of the head: expected shape"):
        ARModel(ARConfig(config().backbone), LEVELS, head=head).loss(*batch())


# ---- who sees whom

@torch.no_grad()
def noticed(model, mask):
    "(n, n): does the cost of token `column` move when token `row` is changed?"
    indices, labels = batch(4)
    before, moved = model.token_nll(indices, labels, mask), []
    for j in range(N):
        changed = indices.clone()
        changed[:, j] = (changed[:, j] + 3) % K
        moved.append((model.token_nll(changed, labels, mask) - before).abs().amax((0, 2)) > 1e-5)
    return torch.stack(moved)


def test_masked_backbone_hidden_tokens_see_visible_ones_and_themselves():
    hidden = torch.tensor([0, 1, 0, 1, 1, 0], dtype=torch.bool)
    assert torch.equal(noticed(make_model(), hidden.expand(4, N)),
                       hidden & (~hidden[:, None] | torch.eye(N, dtype=torch.bool)))


def test_causal_backbone_tokens_see_those_before_them_and_themselves():
    seen = noticed(make_model("causal"), torch.ones(4, N, dtype=torch.bool))
    wanted = torch.ones(N, N).triu().bool()
    assert torch.equal(seen, wanted), "a token's cost must move with itself and earlier tokens, with no other"


# ---- learning

@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_it_learns_a_batch_by_heart(kind):
    torch.manual_seed(0)
    model, (indices, _) = ARModel(config(kind, label_dropout=0.0),
                                  torch.linspace(-2, 2, K).expand(D, K)), batch(3)
    optimizer, generator, labels = torch.optim.AdamW(model.parameters(), 1e-2), seeded(0), torch.arange(3)
    for _ in range(40):
        loss = model.loss(indices, labels, generator)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    assert loss < 0.6 * math.log(K)


# ---- what is stored

def test_levels_travel_but_are_not_stored():
    model = make_model()
    assert "levels" not in model.state_dict() and "levels" in dict(model.named_buffers())
    levels = torch.linspace(-2, 2, K).expand(D, K)
    other = ARModel(config(), levels, None)
    other.load_state_dict(model.state_dict())
    indices, labels = batch()
    assert torch.equal(other.eval().loss(indices, labels, mask=MASK), model.loss(indices, labels, mask=MASK))
    assert other.levels.is_contiguous() and other.levels.data_ptr() != levels.data_ptr()


def test_config_through_json():
    for sizes in [config(), *(each.ar for each in PRESETS.values())]:
        assert config_from_dict(ARConfig, json.loads(json.dumps(dataclasses.asdict(sizes))),
                                "config.json") == sizes


# ---- sizes

def skeleton(name):
    ar = preset(name).ar
    with torch.device("meta"):
        return ARModel(ar, torch.empty(ar.head.dims, ar.head.num_levels), preset(name).order)


@pytest.mark.parametrize("name, count", [("imagenet-b", 218_024_704), ("imagenet-l", 486_889_472)])
def test_the_paper_s_sizes(name, count):
    assert count_parameters(skeleton(name)) == count


def test_the_huge_model():
    assert round(count_parameters(skeleton("imagenet-h")) / 1e6) == 910


def test_count_parameters():
    assert count_parameters(torch.nn.Linear(3, 4)) == 16
    assert count_parameters(make_model()) == sum(t.numel() for name,
        t in make_model().state_dict().items() if name != "head.order")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_together(name):
    each = preset(name)
    assert each.name == name and each.ar.head.num_levels == each.num_levels
    assert (each.vae.image_size // each.vae.factor) ** 2 == each.ar.backbone.tokens
    assert each.vae.latent_dims == each.ar.head.dims
    with pytest.raises(dataclasses.FrozenInstanceError):
        each.num_levels = 3


def test_the_paper_s_presets():
    for name, width, blocks, heads, head in (("imagenet-b", 768, 12, 12, (768, 4, 8)),
                                             ("imagenet-l", 1024, 16, 16, (1024, 4, 8)),
                                             ("imagenet-h", 1280, 20, 16, (1024, 6, 8))):
        ar = preset(name).ar
        assert (ar.backbone.width, ar.backbone.encoder_blocks, ar.backbone.decoder_blocks,
                ar.backbone.heads) == (width, blocks, blocks, heads)
        assert (ar.backbone.class_tokens, ar.backbone.dropout, ar.backbone.attention_dropout,
                ar.backbone.label_dropout) == (64, 0.1, 0.1, 0.1)
        assert (ar.head.width, ar.head.blocks,
                ar.head.heads) == head and sorted(preset(name).order) == list(range(16))


# ---- the official model

@torch.no_grad()
def test_official_context_and_loss(golden):
    "From indices to the loss: backbone, levels, mask and head together."
    tensors, metadata = load_tensors(golden / "tokenbridge-small.safetensors")
    order = json.loads(metadata["config"])["channel_order"]
    old = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    sizes = ARConfig(BackboneConfig(width=64, encoder_blocks=2, decoder_blocks=2, heads=4, class_tokens=8,
                                    norm_eps=1e-5),
                     HeadConfig(16, 16, 64, 64, 2, 4, norm_eps=1e-5))
    levels = ((old["reconstruction_values"] + 3) / 6 * 10 - 5).expand(16, 16)
    model = ARModel(sizes, levels, order).eval()
    names = {"z_proj": "latent_proj", "z_proj_ln": "latent_norm",
             "encoder_pos_embed_learned": "encoder_positions",
             "decoder_pos_embed_learned": "decoder_positions", "output_pos_embed": "output_positions"}
    new = {"head." + name: value for name,
           value in (official_weights(tensors) | {"order": torch.tensor(order)}).items()}
    for name, value in old.items():
        first, _, rest = name.partition(".")
        if first in names or first.startswith(("encoder_", "decoder_", "mask_token")):
            new["backbone." + names.get(first, first)
                + (f".{rest}" if rest else "")] = value.squeeze(0).squeeze(0) if not rest else value
    new["backbone.class_embed.weight"] = torch.cat([old["class_emb.weight"], old["fake_latent"]])
    model.load_state_dict(new)
    hidden, indices, labels = tensors["mask"].bool(), tensors["indices"], tensors["labels"]
    context = model.backbone(levels[torch.arange(16), indices], labels, hidden)
    assert (context - tensors["z"])[hidden].abs().max() < 1e-4
    assert abs(model.loss(indices, labels, mask=hidden) - tensors["loss"]) < 1e-5
    costs = F.cross_entropy(tensors["logits"].flatten(0, 1), indices[hidden][:, order].flatten(),
                            reduction="none").view(-1, 16)
    assert (model.token_nll(indices, labels, hidden)[hidden][:, order] - costs).abs().max() < 1e-4


# ---- operations of a training image

@pytest.mark.parametrize("hidden", [1, 4, N])
@pytest.mark.parametrize("kind, head, sizes", [
    ("masked", "dimensions", dict(decoder_width=20, decoder_heads=2, mlp_ratio=2.6)),
    ("masked", "parallel", {}), ("causal", "dimensions", dict(mlp_ratio=1.3)), ("causal", "parallel", {})])
def test_training_flops_are_what_torch_counts(kind, head, sizes, hidden):
    backbone = dataclasses.replace(config(kind).backbone, **sizes)
    shape = ARConfig(backbone, HeadConfig(dims=D, num_levels=K, context_width=backbone.context_width,
                                          width=16, blocks=2, heads=2, mlp_ratio=3.3, kind=head))
    model, (indices, labels) = ARModel(shape, LEVELS), batch()
    mask = (torch.arange(N) < hidden).expand(4, N)
    if kind == "causal":   # its backbone looks at no mask; all its tokens are hidden in training
        mask, hidden = torch.ones_like(mask), N
    loss, forward = count_operations(lambda: model.loss(indices, labels, mask=mask))
    _, backward = count_operations(loss.backward)
    values = N - 1 if kind == "causal" else N - hidden   # no gradient is needed for what comes from the data
    assert 4 * training_flops(shape, hidden) == 3 * forward
    assert backward == 2 * forward - 4 * 2 * values * D * shape.backbone.width


def test_training_flops_of_a_preset_take_the_mean_number_of_hidden_tokens():
    shape = preset("imagenet-l").ar
    assert training_flops(shape) == training_flops(shape, mean_hidden(shape.backbone))
    assert training_flops(shape, 256) > training_flops(shape) > training_flops(shape, 180)
    assert 2.1e12 < training_flops(shape) < 2.3e12   # 69 images a second are 15 % of 989 TFLOP/s


# ---- activations that are computed twice

def wet_model(kind="masked", own_head=None):
    "A model in training mode with dropout wherever there can be some."
    config = tiny_config(kind, dropout=0.1, attention_dropout=0.1, label_dropout=0.3)
    config = replace(config, head=replace(config.head, dropout=0.1, blocks=3))
    torch.manual_seed(0)
    model = ARModel(config, torch.linspace(-2, 2, 7).repeat(5, 1), head=own_head)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.train()


def step_of(model, precision=torch.float32, kept=None):
    "Gradients of a step whose random numbers are always the same; counts bytes put aside in `kept`."
    draw = torch.Generator().manual_seed(3)
    indices, labels = torch.randint(0, 7, (4, 6, 5), generator=draw), torch.arange(4) % 3
    seen = {}

    def put_aside(tensor):
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage
        return tensor

    with torch.random.fork_rng():
        torch.manual_seed(1)
        model.zero_grad()
        with saved_tensors_hooks(put_aside, lambda tensor: tensor), \
                torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            loss = model.loss(indices, labels, draw)
        loss.backward()
    if kept is not None:
        kept.append(sum(storage.nbytes() for storage in seen.values()))
    return [loss.detach(), torch.get_rng_state(), *(p.grad.clone() for p in model.parameters())]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_recomputed_gradients_are_the_same_bits(kind, precision):
    model, kept = wet_model(kind), []
    plain = step_of(model, precision, kept)
    assert not torch.equal(plain[-1], torch.zeros_like(plain[-1]))
    for which in ("none", "head", "all"):
        with layers_recomputed(model, which):
            assert all(map(torch.equal, step_of(model, precision, kept), plain)), which
    whole, none, head, everything = kept
    assert whole == none > head > everything
    assert all(layer._compiled_call_impl is None for layer in model.modules())
    with layers_recomputed(model), torch.no_grad():   # generating inside is possible, and the same
        assert torch.equal(model.eval().head.cached_logits(torch.ones(2, 24), torch.zeros(2, 5).long()),
                           wet_model(kind).eval().head.cached_logits(torch.ones(2, 24),
                                                                     torch.zeros(2, 5).long()))


def test_recomputed_layers_may_be_compiled():
    "Checkpoints stand around translations: a layer is translated once, and its translation runs twice."
    model = wet_model()
    with layers_compiled(model, backend="aot_eager"):
        plain = step_of(model)
        with layers_recomputed(model):
            assert all(map(torch.equal, step_of(model), plain))


def test_a_head_of_your_own_is_recomputed_where_it_repeats_layers():
    model = wet_model(own_head=wet_model().head)
    plain = step_of(model)
    with layers_recomputed(model, "head"):
        assert all(map(torch.equal, step_of(model), plain))
    model.head = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="^recompute: expected repeated layers .* for 'head', got a ARModel"):
        with layers_recomputed(model, "head"):
            pass
    with pytest.raises(ValueError, match="^recompute: expected one of"):
        with layers_recomputed(model, "half"):
            pass
    with pytest.raises(ZeroDivisionError), layers_recomputed(wet_model()):
        1 / 0


def test_a_run_may_change_what_it_recomputes(tmp_path):
    seen, config = [], replace(training_runs.CONFIG, steps=4, save_every=2, eval_every=2)

    def look(module, step):
        seen.extend(layer._compiled_call_impl for layer in module.head.blocks)
        return {"checked": 1.0}

    task = lambda: training_runs.make("generator", config) | dict(evaluate=look)
    whole = train(**task())
    train(**task(), folder=tmp_path, recompute="all", on_step=lambda step, _: step == 2)
    again = train(**task(), folder=tmp_path, resume=True, recompute="head")
    assert training_runs.same(whole.ema, again.ema) and again.steps == 4 and set(seen) == {None}
