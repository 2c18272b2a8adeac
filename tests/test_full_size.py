"Full size as arithmetic: parameters, operations, bytes and hours, beside values that were found another way."
import math
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tokenbridge import full_size
from tokenbridge.backbone import BackboneConfig
from tokenbridge.head import HeadConfig
from tokenbridge.model import PRESETS, ARConfig, ARModel, count_parameters, layers_recomputed, preset

# sizes that differ, so that two exchanged letters do not cancel
CROOKED = ARConfig(
    BackboneConfig(tokens=9, dims=3, classes=5, width=24, decoder_width=20, encoder_blocks=2,
                   decoder_blocks=3, heads=2, decoder_heads=4, class_tokens=2, mlp_ratio=3.0),
    HeadConfig(dims=3, num_levels=7, context_width=20, width=16, blocks=2, heads=4, mlp_ratio=2.0))


def built(config: ARConfig) -> ARModel:
    "A model without memory."
    with torch.device("meta"):
        return ARModel(config, torch.empty(config.head.dims, config.head.num_levels))


@pytest.mark.parametrize("config", [CROOKED, *(each.ar for each in PRESETS.values())],
                         ids=["crooked", *PRESETS])
def test_parameters_part_by_part(config):
    model, parts = built(config), full_size.parameter_parts(config)
    blocks = {"encoder": model.backbone.encoder_blocks, "decoder": model.backbone.decoder_blocks,
              "head": model.head.blocks}
    counted = {part: count_parameters(found) for part, found in blocks.items()}
    assert parts == counted | {"rest": count_parameters(model) - sum(counted.values())}


@pytest.mark.parametrize("hidden", [1, 6, 9])
def test_operations_of_encoder_decoder_and_head(hidden):
    model = ARModel(CROOKED, torch.arange(21.0).view(3, 7)).eval()
    counted = dict.fromkeys(("encoder", "decoder", "head"), 0)

    def watched(part, block):
        "Count what a block does."
        forward = block.forward

        def counting(*given):
            with FlopCounterMode(display=False) as counter:
                result = forward(*given)
            counted[part] += counter.get_total_flops()
            return result
        block.forward = counting

    parts = model.backbone.encoder_blocks, model.backbone.decoder_blocks, model.head.blocks
    for part, blocks in zip(counted, parts):
        for block in blocks:
            watched(part, block)
    mask = torch.arange(9).expand(1, 9) < hidden
    model.loss(torch.zeros(1, 9, 3, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), mask=mask)
    work = full_size.work_parts(CROOKED, hidden)
    assert {part: work[part] for part in counted} == {part: 3 * number for part, number in counted.items()}
    assert work["rest"] > 0


def test_the_mean_number_of_hidden_tokens_stands_for_all():
    from tokenbridge.backbone import mean_hidden
    mean = mean_hidden(CROOKED.backbone)
    assert full_size.work_parts(CROOKED) == full_size.work_parts(CROOKED, mean)
    assert full_size.activation_parts(CROOKED) == full_size.activation_parts(CROOKED, mean)


def kept(config: ARConfig, images: int, hidden: int, recompute: str = "none") -> int:
    "Bytes of the tensors that a forward pass keeps, weights aside; every storage once."
    torch.manual_seed(0)
    model = ARModel(config, torch.arange(1.0 * config.head.dims * config.head.num_levels).view(
        config.head.dims, config.head.num_levels)).train()
    known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    alive = {}

    def note(tensor):
        if (place := tensor.untyped_storage().data_ptr()) not in known:
            alive[place] = tensor
        return tensor

    n, d = config.backbone.tokens, config.head.dims
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda x: x)
    with torch.autocast("cpu", torch.bfloat16), hooks, layers_recomputed(model, recompute):
        model.loss(torch.zeros(images, n, d, dtype=torch.int64), torch.zeros(images, dtype=torch.int64),
                   mask=torch.arange(n).expand(images, n) < hidden)
    return sum(tensor.untyped_storage().nbytes() for tensor in alive.values())


LONG = ARConfig(   # every sequence is longer than 192, so the fused attention runs, as on a GPU
    BackboneConfig(tokens=40, dims=194, classes=5, width=32, decoder_width=48, encoder_blocks=1,
                   decoder_blocks=1, heads=4, decoder_heads=2, class_tokens=193, mlp_ratio=3.0),
    HeadConfig(dims=194, num_levels=6, context_width=48, width=40, blocks=1, heads=5, mlp_ratio=2.0))


@pytest.mark.parametrize("part", ["encoder", "decoder", "head"])
def test_bytes_that_one_more_block_keeps(part):
    more = {"encoder": replace(LONG, backbone=replace(LONG.backbone, encoder_blocks=2)),
            "decoder": replace(LONG, backbone=replace(LONG.backbone, decoder_blocks=2)),
            "head": replace(LONG, head=replace(LONG.head, blocks=2))}[part]
    of_image = lambda config: kept(config, 3, 30) - kept(config, 2, 30)
    assert of_image(more) - of_image(LONG) == full_size.activation_parts(LONG, 30)[part]


@pytest.mark.parametrize("recompute", ["none", "head", "all"])
def test_bytes_of_all_that_is_kept(recompute):
    counted = kept(LONG, 3, 30, recompute) - kept(LONG, 2, 30, recompute)
    computed = sum(full_size.activation_parts(LONG, 30, recompute).values())
    assert math.isclose(computed, counted, rel_tol=0.01)


def test_dropout_keeps_a_byte_where_it_drops():
    dropping = replace(LONG, backbone=replace(LONG.backbone, dropout=0.1),
                       head=replace(LONG.head, dropout=0.1))
    with_masks, without = (full_size.activation_parts(config, 30) for config in (dropping, LONG))
    assert with_masks["decoder"] - without["decoder"] == (193 + 40) * (48 + 3 * 48 + 48)
    assert with_masks["head"] - without["head"] == 30 * 194 * (40 + 2 * 40 + 40)


def test_recomputation_keeps_less_where_it_is_asked_for():
    none, head, everything = (full_size.activation_parts(preset("imagenet-l").ar, recompute=choice)
                              for choice in ("none", "head", "all"))
    assert head["head"] < none["head"] / 4 and everything["head"] == head["head"]
    assert head["encoder"] == none["encoder"] and everything["decoder"] < none["decoder"] / 10


def test_states_are_five_32_bit_numbers_and_a_copy_in_16():
    parts = full_size.state_parts(1000)
    assert parts == {"weights": 4000, "gradients": 4000, "Adam": 8000, "averages": 4000, "bf16": 2000}


def test_hours():
    assert full_size.training_hours(3600, 2e12, 1e12, utilisation=1.0) == 2.0
    assert full_size.training_hours(3600, 2e12, 1e12, gpus=8, utilisation=0.5) == 0.5


def test_a_cache_of_imagenet_has_42_gigabytes():
    assert full_size.cache_bytes(1_281_167, 256, 16) == 1_281_167 * (2 * 2 * 2 * 4096 + 8)
    assert full_size.cache_bytes(7, 3, 5, mirror=False) == 7 * (2 * 2 * 15 + 8)
