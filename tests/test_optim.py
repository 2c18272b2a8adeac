"What moves the weights: schedule, averages, groups of parameters, Muon."
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests import training_runs
from tests.training_runs import same
from tokenbridge.optim import (
    Muon,
    TrainConfig,
    ema_decay_at,
    ema_init,
    ema_update_,
    flat_until,
    for_epochs,
    learning_rate,
    make_optimizers,
    orthogonalize,
    shortened,
    split_parameters,
    weights_swapped,
)

# ---- schedule

@given(st.integers(1, 400), st.integers(0, 100), st.floats(0, 1),
       st.sampled_from(["cosine", "constant", "trapezoid"]), st.floats(0, 1))
def test_schedule(steps, warmup, final, schedule, cooldown):
    config = TrainConfig(steps, warmup=warmup, lr=2.0, final_lr=2 * final, schedule=schedule,
                         cooldown=cooldown)
    rates = [learning_rate(step, config) for step in range(steps)]
    assert all(0 < rate <= 2 for rate in rates[:-1])
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == pytest.approx([2 * (i + 1) / warmup for i in range(len(rising))])
    assert falling == sorted(falling, reverse=True)
    assert not falling or falling[0] == 2.0
    if schedule == "constant":
        assert set(falling) <= {2.0}
    if schedule == "trapezoid":
        level = flat_until(config)
        assert set(rates[warmup:level]) <= {2.0} and steps - level == min(round(cooldown * steps),
            max(0, steps - warmup))
    longer = [learning_rate(step, replace(config, steps=2 * steps)) for step in range(flat_until(config))]
    assert longer == rates[:flat_until(config)]


def test_cosine_at_known_places():
    config = TrainConfig(110, warmup=10, lr=1.0, final_lr=0.2)
    assert [learning_rate(step, config)
            for step in (0, 9, 10, 60, 110, 500)] == pytest.approx([0.1, 1, 1, 0.6, 0.2, 0.2])


def test_trapezoid_at_known_places():
    config = TrainConfig(100, warmup=10, lr=1.0, final_lr=0.2, schedule="trapezoid", cooldown=0.4)
    assert flat_until(config) == 60
    assert [learning_rate(step, config)
            for step in (0, 9, 10, 60, 80, 100, 500)] == pytest.approx([0.1, 1, 1, 1, 0.6, 0.2, 0.2])


@given(st.integers(1, 400), st.integers(0, 100), st.integers(1, 4000))
def test_shortened_warm_ups_fit_and_never_grow(steps, warmup, wanted):
    config = TrainConfig(steps, warmup=warmup, lr=2.0, schedule="trapezoid")
    other = shortened(config, wanted)
    assert replace(other, steps=steps, warmup=warmup) == config and other.steps == wanted
    assert other.warmup <= warmup and other.warmup <= max(wanted // 10, wanted * warmup / steps)
    if wanted >= steps:
        assert other.warmup == warmup
    if 10 * warmup <= wanted:
        assert other.warmup == warmup, "long enough: a run may be made longer"


# ---- averaged weights

def test_ema_is_the_written_out_recurrence():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, 3, 4, generator=generator)
    ema, expected = ema_init({"a": values[0]}), values[0].double()
    for step in range(1, 50):
        decay = min(0.9, step / (19 + step))
        assert ema_decay_at(step - 1, 0.9) == decay
        ema_update_(ema, {"a": values[step]}, decay)
        expected = decay * expected + (1 - decay) * values[step].double()
    torch.testing.assert_close(ema["a"].double(), expected, atol=1e-6, rtol=0)


def test_an_average_of_16_bit_weights_moves():
    parameter = {"w": torch.ones(3, dtype=torch.bfloat16)}
    ema = ema_init(parameter)
    for _ in range(2000):
        ema_update_(ema, {"w": torch.full((3,), 1.5, dtype=torch.bfloat16)}, 0.999)
    assert ema["w"].dtype == torch.float32 and torch.allclose(ema["w"],
        torch.tensor(1.5 - 0.5 * 0.999 ** 2000), atol=1e-3)


def test_swapped_weights_come_back_after_an_error():
    module = nn.Linear(3, 2)
    before = ema_init(module.state_dict())
    with pytest.raises(KeyError), weights_swapped(module, {"weight": torch.zeros(2, 3)}) as inside:
        assert not inside.weight.any() and not inside.training
        raise KeyError
    assert same(before, module.state_dict()) and module.training


def test_swapping_leaves_every_part_in_its_mode():
    module = training_runs.Tied().train()
    module.quiet.eval()
    with weights_swapped(module, {"first.weight": torch.zeros(3, 3)}):
        assert not module.first.training
    assert module.training and module.first.training and not module.quiet.training


# ---- settings and groups of parameters

def test_a_list_of_betas_is_the_same_settings():
    listed, paired = TrainConfig(1, betas=[0.8, 0.9]), TrainConfig(1, betas=(0.8, 0.9))
    assert listed == paired and hash(listed) == hash(paired)


def test_parameters_are_sorted():
    groups = split_parameters(training_runs.TinyTokens())
    assert groups["blocks"] == [f"blocks.{i}.{name}.weight" for i in range(2) for name in ("qkv", "proj")]
    assert groups["decayed"] == ["out.weight"]
    assert {"embed.weight", "position", "out.bias", "blocks.0.norm.weight",
            "blocks.0.norm.bias"} <= set(groups["plain"])
    assert sorted(sum(groups.values(), [])) == sorted(name for name,
        _ in training_runs.TinyTokens().named_parameters())
    assert "enter.weight" in split_parameters(training_runs.TinyImages())["decayed"]


# ---- Muon

SHAPES = [(24, 24), (48, 16), (16, 48), (1, 5), (7, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    before, values = (torch.linalg.svdvals(m).flatten() for m in (matrices, orthogonalize(matrices)))
    large = before > 0.03 * before.max()  # of a square matrix the smallest ones need more iterations
    assert values.max() < 1.3 and values[large].min() > 0.5 and large.float().mean() > 0.9
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    cosine = (orthogonalize(matrices) * (left @ right)).sum((1,
        2)) / (orthogonalize(matrices).norm(dim=(1, 2)) * (left @ right).norm(dim=(1, 2)))
    assert cosine.min() > 0.9, "the directions of the singular vectors stay"


def test_a_zero_gradient_stays_zero():
    assert not orthogonalize(torch.zeros(2, 4, 4)).any()


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_muon_moves_like_torch(shape):
    generator = torch.Generator().manual_seed(1)
    ours, theirs = (nn.Parameter(torch.ones(shape)) for _ in range(2))
    optimizers = [Muon([ours], 0.02, weight_decay=0.1), torch.optim.Muon([theirs], 0.02, weight_decay=0.1)]
    for _ in range(4):
        ours.grad = theirs.grad = torch.randn(shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()
    moved = [p.detach() - (1 - 0.002) ** 4 for p in (ours, theirs)]
    assert (moved[0] - moved[1]).norm() < 0.03 * moved[1].norm(), "torch iterates in bf16"


def test_the_number_format_of_the_products_is_a_choice():
    "bf16 moves a matrix as fp32 does, up to its rounding; what comes back has the format of the matrix."
    matrices = torch.randn(3, 24, 16, generator=torch.Generator().manual_seed(5))
    exact, rounded = orthogonalize(matrices), orthogonalize(matrices, dtype=torch.bfloat16)
    assert rounded.dtype == torch.float32 and 1e-4 < (exact - rounded).norm() / exact.norm() < 0.05
    moved = []
    for precision in ("fp32", "bf16"):
        module = nn.ModuleDict({"parts": nn.ModuleList([nn.Linear(16, 24, bias=False)])})
        module["parts"][0].weight.data.zero_()
        module["parts"][0].weight.grad = matrices[0].clone()
        config = TrainConfig(1, optimizer="muon", muon_lr=1.0, weight_decay=0.0, precision=precision)
        make_optimizers(module, config)[-1].step()
        moved.append(module["parts"][0].weight.detach())
    assert 1e-4 < (moved[0] - moved[1]).norm() / moved[0].norm() < 0.05


def test_parts_are_orthogonalized_one_by_one():
    generator = torch.Generator().manual_seed(2)
    whole = nn.Parameter(torch.zeros(24, 8))
    single = [nn.Parameter(torch.zeros(8, 8)) for _ in range(3)]
    grad = torch.randn(24, 8, generator=generator)
    whole.grad = grad
    for p, piece in zip(single, grad.chunk(3)):
        p.grad = piece
    Muon([whole], parts={whole: 3}).step()
    Muon(single).step()
    torch.testing.assert_close(whole.detach(), torch.cat([p.detach() for p in single]))


class Telling(nn.Linear):
    "A layer that says that its matrix is three."

    def muon_pieces(self) -> dict[str, int]:
        return {"weight": 3}


def moved(layer: type[nn.Linear]) -> torch.Tensor:
    "Where a step of Muon takes the (24, 8) matrix of a repeated layer."
    generator = torch.Generator().manual_seed(3)
    module = nn.ModuleDict({"parts": nn.ModuleList([layer(8, 24)]), "out": nn.Linear(24, 2)})
    for p in module.parameters():
        p.data.zero_()
        p.grad = torch.randn(p.shape, generator=generator)
    adamw, muon = make_optimizers(module, TrainConfig(1, optimizer="muon", muon_lr=1.0, weight_decay=0.0))
    assert [p.shape for group in muon.param_groups for p in group["params"]] == [(24, 8)]
    assert sum(len(group["params"]) for group in adamw.param_groups) == 3
    muon.step()
    return module["parts"][0].weight.detach()


def test_a_layer_tells_its_square_pieces():
    told, plain = moved(Telling), moved(nn.Linear)
    assert not torch.allclose(told, plain, atol=1e-2)
    for piece in told.chunk(3):   # each is orthogonal by itself
        assert torch.linalg.svdvals(piece).max() < 1.3 and torch.linalg.svdvals(piece).median() > 0.6


def test_a_layer_that_tells_nothing_is_trained_whole():
    values = torch.linalg.svdvals(moved(nn.Linear)) / 3 ** 0.5   # scaled by sqrt(rows / columns)
    assert values.max() < 1.3 and values.min() > 0.6


def test_blocks_are_the_layers_of_a_module_list():
    model = training_runs.make("generator")["module"]
    names = split_parameters(model)["blocks"]
    assert names == [name for name, p in model.named_parameters() if p.ndim == 2 and "blocks." in name
                     and name.endswith("weight")]
    muon = make_optimizers(model, TrainConfig(1, optimizer="muon"))[-1]
    named = {p: name for name, p in model.named_parameters()}
    pieces = {named[p]: number for p, number in muon.parts.items()}
    assert pieces == {name: 3 if ".qkv." in name else 6 for name in names
                      if ".qkv." in name or ".modulation." in name}


def test_what_decays_the_official_way():
    "All but vectors and biases: embeddings, positions, and the classifiers that lie in one tensor."
    from tests.tools.tiny import tiny_model
    model = tiny_model()
    ours, theirs = split_parameters(model), split_parameters(model, "matrices")
    moved = set(theirs["decayed"]) - set(ours["decayed"])
    assert moved == {"backbone.class_embed.weight", "backbone.encoder_positions",
                     "backbone.decoder_positions", "backbone.output_positions", "head.dim_embed",
                     "head.step_embed", "head.token_embed", "head.out_weight"}
    assert ours["blocks"] == theirs["blocks"] and set(theirs["plain"]) == set(ours["plain"]) - moved
    assert {"head.out_bias", "backbone.mask_token"} <= set(theirs["plain"])
    config = TrainConfig(1, weight_decay=0.5, decaying="matrices")
    (optimizer,) = make_optimizers(model, config)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert id(model.head.out_weight) in decayed and id(model.head.out_bias) not in decayed


def test_a_constant_average_and_epochs():
    assert ema_decay_at(0, 0.9999, False) == 0.9999 > ema_decay_at(0, 0.9999)
    config = TrainConfig(1000, batch_size=32, warmup=250)
    assert for_epochs(config, 2, 320) == replace(config, steps=20, warmup=5)
    assert for_epochs(config, 0.01, 10).steps == 1
