"Quantizer: nearest level for any shape, the paper's levels for any number of them, fits that never break."
import math
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tokenbridge.files import load_tensors, pretrained_folder
from tokenbridge.quantizer import (
    Quantizer,
    _lookup,
    dequantize,
    distortion,
    fit_levels,
    gaussian_levels,
    low_frequency_share,
    midpoints,
    quantize,
    spectral_order,
    uniform_levels,
)

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "tokenbridge-small.safetensors"
shapes = st.tuples(st.integers(0, 2**31), st.integers(1, 7), st.integers(2, 37))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_levels(g, dims, num_levels, dtype=torch.float32):
    "Rows strictly ascending, with gaps of very different sizes."
    gaps = torch.rand(dims, num_levels, generator=g, dtype=dtype).pow(4) + 1e-4
    return gaps.cumsum(-1) - gaps.sum(-1, keepdim=True) / 2


def nearest(latents, levels):
    "The definition: all distances, in exact enough arithmetic, the first of the smallest."
    return (latents.double()[..., None] - levels.double()).abs().argmin(-1)


# ---- quantize and dequantize

@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([(), (5,), (3, 4), (0,), (2, 0)]))
def test_equals_brute_force(sizes, lead):
    seed, dims, num_levels = sizes
    g = seeded(seed)
    levels = random_levels(g, dims, num_levels)
    latents = torch.randn(*lead, dims, generator=g) * levels.abs().max()
    assert torch.equal(quantize(latents, levels), nearest(latents, levels))


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_levels_come_back(sizes):
    seed, dims, num_levels = sizes
    g = seeded(seed)
    levels = random_levels(g, dims, num_levels)
    indices = torch.randint(num_levels, (50, dims), generator=g)
    assert torch.equal(quantize(dequantize(indices, levels), levels), indices)


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_ties_go_to_the_lower_level(sizes):
    seed, dims, num_levels = sizes
    levels = torch.randint(-50, 50, (dims, 1), generator=seeded(seed)) + torch.arange(num_levels) * 2.0
    ties = (levels[:, 1:] + levels[:, :-1]) / 2
    assert torch.equal(quantize(ties.T, levels), torch.arange(num_levels - 1)[:, None].expand(-1, dims))
    assert torch.equal(quantize(ties.T, levels), nearest(ties.T, levels))


@settings(max_examples=30, deadline=None)
@given(shapes)
def test_exact_at_the_borders_and_beside_them(sizes):
    "The floats next to a border, above and below, go where exact arithmetic sends them."
    seed, dims, num_levels = sizes
    levels = random_levels(seeded(seed), dims, num_levels)
    borders = (levels[:, 1:] + levels[:, :-1]) / 2
    for latents in (borders, torch.nextafter(borders, borders + 1), torch.nextafter(borders, borders - 1)):
        assert torch.equal(quantize(latents.T, levels), nearest(latents.T, levels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_borders_are_the_midpoints_rounded_down(dtype):
    "Against exact fractions, in both widths."
    levels = torch.randn(40, 9, generator=seeded(0), dtype=dtype).sort(1).values
    for row, borders in zip(levels.tolist(), midpoints(levels)):
        above = torch.nextafter(borders, borders + 1)
        for low, high, border, next_up in zip(row, row[1:], borders.tolist(), above.tolist()):
            assert Fraction(border) <= (Fraction(low) + Fraction(high)) / 2 < Fraction(next_up)


def test_neighbouring_floats_as_levels():
    one = torch.tensor(1.0)
    levels = torch.stack([one, torch.nextafter(one, one + 1), torch.nextafter(one, one + 1) + 2**-22])[None]
    assert quantize(levels.T, levels).flatten().tolist() == [0, 1, 2]


@settings(max_examples=20, deadline=None)
@given(shapes)
def test_monotone(sizes):
    seed, dims, num_levels = sizes
    g = seeded(seed)
    indices = quantize(torch.randn(200, dims, generator=g).sort(0).values, random_levels(g, dims, num_levels))
    assert bool((indices.diff(dim=0) >= 0).all())
    assert int(indices.min()) >= 0 and int(indices.max()) < num_levels


class Largest(TorchDispatchMode):
    "Numbers in the largest tensor that any operation makes."
    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(made, torch.Tensor):
                self.numbers = max(self.numbers, made.numel())
        return out


def test_no_table_of_all_distances():
    "64 levels must not need 64 numbers for every latent."
    g = seeded(0)
    latents, levels = torch.randn(5000, 3, generator=g), random_levels(g, 3, 64)
    with Largest() as largest:
        indices = quantize(latents, levels)
    assert indices.shape == latents.shape
    assert largest.numbers <= 4 * latents.numel(), "a table of all distances"


@settings(max_examples=20, deadline=None)
@given(shapes)
def test_equals_searchsorted(sizes):
    seed, dims, num_levels = sizes
    g = seeded(seed)
    levels = random_levels(g, dims, num_levels)
    latents = torch.randn(64, dims, generator=g)
    assert torch.equal(quantize(latents, levels),
                       torch.searchsorted(midpoints(levels), latents.T.contiguous()).T)


def test_a_shifted_border_is_noticed():
    "The oracle sees an error of one border: the tests above can fail."
    levels = random_levels(seeded(0), 3, 9)
    latents = torch.randn(5000, 3, generator=seeded(1)) * levels.abs().max()
    broken = levels.clone()
    broken[:, 4] += 0.3 * (levels[:, 5] - levels[:, 4])
    assert not torch.equal(quantize(latents, broken), nearest(latents, levels))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(dtype):
    quantizer = Quantizer.gaussian(5, 64)
    latents = torch.randn(300, 5, generator=seeded(0)).to(dtype)
    indices = quantizer.quantize(latents)
    assert indices.dtype == torch.int64 and torch.equal(indices, nearest(latents, quantizer.levels))
    assert quantizer.dequantize(indices).dtype == torch.float32
    assert torch.equal(quantizer.dequantize(indices.to(torch.int32)), quantizer.dequantize(indices))


def test_double_levels_and_latents_keep_their_precision():
    levels = torch.tensor([[0.0, 1e-12, 2e-12]], dtype=torch.float64)
    latents = torch.tensor([[0.4e-12], [0.6e-12], [1.6e-12]], dtype=torch.float64)
    assert quantize(latents, levels).flatten().tolist() == [0, 1, 2]
    assert dequantize(torch.tensor([[2]]), levels).dtype == torch.float64


def test_any_layout():
    quantizer = Quantizer(random_levels(seeded(0), 6, 11))
    latents = torch.randn(2, 6, 12, generator=seeded(1)).transpose(1, 2)   # (b, n, d), not contiguous
    indices = quantizer.quantize(latents)
    assert torch.equal(indices, quantizer.quantize(latents.contiguous())) and indices.is_contiguous()
    flipped = indices.flip(0).transpose(0, 1)
    assert torch.equal(quantizer.dequantize(flipped), quantizer.dequantize(flipped.contiguous()))


def test_latents_are_left_alone():
    latents = torch.randn(4, 3, generator=seeded(0), requires_grad=True)
    before = latents.detach().clone()
    indices = Quantizer.gaussian(3, 8).quantize(latents)
    assert torch.equal(latents, before) and not indices.requires_grad


PRESETS = {"cifar-tiny": (16, 4), "cifar": (8, 8), "imagenet-b": (16, 16)}   # d, side of the grid


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("num_levels", [4, 16])
def test_a_grid_is_refused_and_told_how_to_become_tokens(preset, num_levels):
    dims, side = PRESETS[preset]
    grid = torch.randn(2, dims, side, side, generator=seeded(0))
    quantizer = Quantizer.gaussian(dims, num_levels)
    line = r"rearrange\({}, 'b d h w -> b \(h w\) d'\)"
    for call in (quantizer.quantize, lambda x: quantize(x, quantizer.levels),
                 lambda x: fit_levels(x, num_levels), lambda x: Quantizer.fit(x, num_levels),
                 lambda x: distortion(x, quantizer.levels)):
        with pytest.raises(ValueError, match=line.format("latents")):
            call(grid)
    for call in (quantizer.dequantize, lambda x: dequantize(x, quantizer.levels)):
        with pytest.raises(ValueError, match=line.format("indices")):
            call(torch.zeros(2, dims, side, side).long())
    tokens = rearrange(grid, "b d h w -> b (h w) d")
    assert torch.equal(quantizer.quantize(tokens), nearest(tokens, quantizer.levels))


def test_methods_trust_their_levels_and_agree_with_the_functions(monkeypatch):
    quantizer, latents = Quantizer.gaussian(3, 8), torch.randn(2, 5, 3, generator=seeded(0))
    indices = quantize(latents, quantizer.levels)
    values = dequantize(indices, quantizer.levels)
    monkeypatch.setattr("tokenbridge.quantizer._ascends", lambda levels: pytest.fail("looked at the levels"))
    assert torch.equal(quantizer.quantize(latents), indices)
    assert torch.equal(quantizer.dequantize(indices), values)
    assert torch.equal(_lookup(indices, quantizer.levels), values)


def test_compiles_as_one_graph():
    quantizer, latents = Quantizer.gaussian(3, 8), torch.randn(2, 5, 3, generator=seeded(0))
    for there_and_back in (lambda x: quantizer.dequantize(quantizer.quantize(x)),
                           lambda x: dequantize(quantize(x, quantizer.levels), quantizer.levels)):
        compiled = torch.compile(there_and_back, fullgraph=True, backend="eager")
        assert torch.equal(compiled(latents), there_and_back(latents))


# ---- the paper's levels and the uniform ones

def paper_levels(num_levels, value_range, sigma_range):
    "Sec. 3.1 with math.erf and statistics.NormalDist only, in double precision."
    cdf = lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2)))
    pdf = lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    inner = [NormalDist().inv_cdf(i / num_levels) for i in range(1, num_levels)]
    ends = [-sigma_range] + [min(max(x, -sigma_range), sigma_range) for x in inner] + [sigma_range]
    means = [(pdf(a) - pdf(b)) / (cdf(b) - cdf(a)) for a, b in zip(ends, ends[1:])]
    return torch.tensor([(g + sigma_range) / (2 * sigma_range) * 2 * value_range - value_range
                         for g in means])


@pytest.mark.parametrize("num_levels", [2, 3, 8, 16, 37, 64, 256])
@pytest.mark.parametrize("ranges", [(5.0, 3.0), (2.0, 3.0), (3.0, 3.0), (4.0, 2.5)])
def test_gaussian_levels_follow_the_equations(num_levels, ranges):
    if NormalDist().cdf(-ranges[1]) < 1 / num_levels:
        torch.testing.assert_close(gaussian_levels(num_levels, *ranges), paper_levels(num_levels, *ranges),
                                   rtol=0, atol=1e-4)


def official_values(num_levels, r=3.0, value_range=5.0):
    "Step by step in single precision, as published."
    probability = torch.linspace(0, 1, num_levels + 1, dtype=torch.float32).tolist()   # in 32 bits: not i / k
    b = torch.tensor([-r] + [NormalDist().inv_cdf(p) for p in probability[1:-1]] + [r],
                     dtype=torch.float64).clamp(-r, r).float()
    density, below = torch.exp(-b**2 / 2) / math.sqrt(2 * math.pi), 0.5 * (1 + torch.erf(b / math.sqrt(2)))
    means = (density[:-1] - density[1:]) / (below[1:] - below[:-1])
    return (means + r) / (2 * r) * (2 * value_range) - value_range


def test_gaussian_levels_equal_the_official_values_wherever_those_ascend():
    for num_levels in [*range(2, 70), 100, 128, 200, 256, 400, 512, 700, 739, 740]:
        official = official_values(num_levels)
        assert bool((official.diff() > 0).all())
        torch.testing.assert_close(gaussian_levels(num_levels), official, rtol=0, atol=0)
    assert not bool((official_values(741).diff() > 0).all())


@pytest.mark.parametrize("ranges", [(5.0, 3.0), (5.0, 1.0), (1.0, 0.2), (5.0, 6.0)])
def test_gaussian_levels_ascend_for_every_number(ranges):
    value_range, _ = ranges
    for num_levels in [*range(2, 80), *range(730, 760), 1000, 2048, 3001, 4095, 4096, 8192, 65536]:
        levels = gaussian_levels(num_levels, *ranges)
        assert levels.shape == (num_levels,) and levels.dtype == torch.float32
        assert bool((levels.diff() > 0).all()) and bool(levels.abs().max() < value_range * 1.02)


def test_gaussian_levels_of_the_fallback_are_means_of_equally_probable_regions():
    "By sampling: N(0, 1) restricted to [-3, 3], cut into 1000 parts of equal probability."
    normal, num_levels = NormalDist(), 1000
    low = normal.cdf(-3)
    grid = torch.tensor([normal.inv_cdf(low + (1 - 2 * low) * (i + 0.5) / 100_000) for i in range(100_000)],
                        dtype=torch.float64)
    means = grid.reshape(num_levels, 100).mean(1) * 5 / 3
    torch.testing.assert_close(gaussian_levels(num_levels).double(), means, rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_levels", [3, 16, 1000])
def test_range_map_is_a_scale(num_levels):
    torch.testing.assert_close(gaussian_levels(num_levels, 5.0, 3.0),
                               gaussian_levels(num_levels, 3.0, 3.0) * 5 / 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 300), st.floats(0.1, 20))
def test_uniform_levels(num_levels, value_range):
    levels = uniform_levels(num_levels, value_range)
    width = 2 * value_range / num_levels
    torch.testing.assert_close(levels.diff(), torch.full((num_levels - 1,), width), rtol=1e-3, atol=0)
    torch.testing.assert_close(levels, -levels.flip(0))
    assert abs(float(levels[-1]) + width / 2 - value_range) < 1e-4 * value_range


# ---- fitted levels

def test_fit_finds_the_known_optimum():
    "Max (1960): least distortion of a unit Gaussian at 2, 4, 8 and 16 levels."
    quantiles = torch.special.ndtri((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)[:, None]
    for num_levels, known in ((2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497)):
        assert float(distortion(quantiles, fit_levels(quantiles, num_levels))) == pytest.approx(known,
            rel=0.005)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 20))
def test_fit_is_a_fixed_point_and_better_than_the_others(seed, dims, num_levels):
    g = seeded(seed)
    latents = torch.randn(2000, dims, generator=g) * torch.exp(torch.randn(2000, dims, generator=g) / 2)
    levels = fit_levels(latents, num_levels, iterations=600)
    indices = quantize(latents, levels)
    for dim in range(dims):
        for level in indices[:, dim].unique().tolist():
            mean = latents[indices[:, dim] == level, dim].mean()
            assert abs(float(mean - levels[dim, level])) < 1e-3 * float(latents.abs().max())
    best = distortion(latents, levels)
    assert bool((best <= distortion(latents, uniform_levels(num_levels).repeat(dims, 1)) + 1e-6).all())
    assert bool((best <= distortion(latents, gaussian_levels(num_levels).repeat(dims, 1)) + 1e-6).all())


def test_dimensions_do_not_touch_each_other():
    latents = torch.randn(500, 3, generator=seeded(0)) * torch.tensor([1.0, 1e-3, 1e4])
    alone = torch.cat([fit_levels(latents[:, i:i + 1], 9) for i in range(3)])
    torch.testing.assert_close(fit_levels(latents, 9), alone)
    scaled = fit_levels(latents * 8, 9)
    torch.testing.assert_close(scaled, alone * 8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60), st.integers(2, 40))
def test_fit_never_breaks(values, num_levels):
    "Whatever the data: rows that ascend strictly, and no error larger than one level would make."
    latents = torch.tensor(values).repeat(40 // len(values) + 1)[:, None]
    levels = fit_levels(latents, num_levels)
    assert bool((levels.diff(dim=-1) > 0).all())
    one_level = float(latents.double().var(correction=0))
    assert float(distortion(latents, levels)) <= one_level * 1.001 + 1e-6 * float(latents.abs().max()) ** 2


def test_repeated_values():
    constant = torch.full((100, 1), 3.0)
    few = torch.randint(5, (100, 1), generator=seeded(0)).float()
    mostly_zero = torch.where(torch.rand(5000, 1, generator=seeded(1)) < 0.9, 0.0,
                              torch.randn(5000, 1, generator=seeded(2)))
    for latents, worst in ((constant, 0.0), (torch.zeros(100, 1), 0.0), (few, 1e-9), (mostly_zero, 0.0015)):
        levels = fit_levels(latents, 16)
        assert bool((levels.diff(dim=-1) > 0).all()) and float(distortion(latents, levels)) <= worst


def test_two_far_clusters_get_levels_by_need():
    "A start may leave levels without values; they move to where the error is."
    g = seeded(0)
    latents = torch.cat([torch.randn(5000, 1, generator=g), torch.randn(10, 1, generator=g) + 1e4])
    assert float(distortion(latents[:5000], fit_levels(latents, 16))) < 0.02


# ---- the order of the dimensions

def test_low_frequencies_end_at_a_quarter():
    x = torch.arange(8.0)
    waves = torch.stack([torch.cos(2 * math.pi * f * x)[None].expand(8, 8) for f in (1 / 8, 2 / 8, 3 / 8)])
    assert torch.allclose(low_frequency_share(waves[None]), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)


def test_spectral_order_of_waves_with_known_frequency():
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    waves = [torch.cos(2 * math.pi * f * x / 8) for f in (4, 1)]
    mixed = waves[0] + waves[1]
    latents = torch.stack([waves[0], waves[1], mixed])[None] + torch.zeros(3, 1, 1, 1)
    share = low_frequency_share(latents)
    # at the highest frequency the cosine's energy is not halved: 64 against 32 a wave
    torch.testing.assert_close(share, torch.tensor([0.0, 1.0, 1 / 3]), rtol=0, atol=1e-5)
    assert spectral_order(latents).tolist() == [1, 2, 0]
    assert spectral_order(latents.transpose(2, 3)).tolist() == [1, 2, 0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 5), st.integers(1, 6))
def test_spectral_order_is_a_permutation_that_ignores_scale(seed, dims, height, width):
    latents = torch.randn(3, dims, height, width, generator=seeded(seed))
    order = spectral_order(latents)
    assert sorted(order.tolist()) == list(range(dims))
    assert torch.equal(order, spectral_order(latents * 4))
    assert torch.equal(spectral_order(torch.zeros(2, dims, height, width)), torch.arange(dims))


# ---- the module

def test_one_buffer_saved_and_loaded():
    quantizer = Quantizer.fit(torch.randn(2, 50, 5, generator=seeded(0)), 7)
    assert (quantizer.dims, quantizer.num_levels, quantizer.kind) == (5, 7, "fitted")
    assert list(quantizer.state_dict()) == ["levels"] and not list(quantizer.parameters())
    other = Quantizer.uniform(5, 7)
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other.levels, quantizer.levels)


def test_a_batch_of_tokens_is_fitted_like_its_rows():
    latents = torch.randn(4, 25, 3, generator=seeded(0))
    assert torch.equal(fit_levels(latents, 6), fit_levels(latents.flatten(0, 1), 6))


def test_fingerprint_knows_levels_and_their_order():
    quantizer = Quantizer.gaussian(4, 16)
    other = Quantizer(torch.cat([quantizer.levels[:1] + 1e-6, quantizer.levels[1:]]))
    assert quantizer.fingerprint() == Quantizer.gaussian(4, 16).bfloat16().fingerprint()
    assert quantizer.fingerprint() != other.fingerprint()
    assert Quantizer(other.levels.flip(0)).fingerprint() != other.fingerprint()
    tensors, _ = load_tensors(pretrained_folder("cifar-tiny") / "model.safetensors")
    assert Quantizer(tensors["quantizer.levels"]).fingerprint() == "34816909cd2d7dbf"


def test_kinds():
    assert [q.kind for q in (Quantizer.gaussian(2, 4), Quantizer.uniform(2, 4),
                             Quantizer(torch.tensor([[0.0, 1.0]])))] == \
        ["gaussian", "uniform", "given"]
    assert torch.equal(Quantizer.gaussian(3, 16).levels, gaussian_levels(16).expand(3, -1))


def test_levels_stay_in_32_bits():
    quantizer = Quantizer.gaussian(2, 1024)
    before = quantizer.levels.clone()
    holder = torch.nn.Sequential(quantizer, torch.nn.Linear(2, 2)).bfloat16()
    assert holder[1].weight.dtype == torch.bfloat16 and torch.equal(holder[0].levels, before)
    assert quantizer.double().levels.dtype == quantizer.half().levels.dtype == torch.float32
    assert quantizer.to("meta").levels.is_meta and quantizer.to_empty(device="cpu").levels.shape == (2, 1024)


# ---- parity with the official model

@pytest.mark.skipif(not GOLDEN.exists(),
                    reason="the golden file tokenbridge-small.safetensors is not at hand")
def test_golden_indices_and_values():
    golden, _ = load_tensors(GOLDEN)
    quantizer = Quantizer.gaussian(16, golden["model.reconstruction_values"].numel())
    indices = quantizer.quantize(golden["latents"].flatten(2).transpose(1, 2))
    assert torch.equal(indices, golden["indices"])
    assert torch.equal(quantizer.dequantize(indices), golden["dequantized"])
