"Bad inputs of `quantizer`, and the message each must give."
import torch

from tokenbridge import quantizer as q
from tokenbridge.quantizer import Quantizer

LEVELS = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0]])
NAN, INF = float("nan"), float("inf")
GIVEN = Quantizer(LEVELS)

ROWS = {
    "midpoints": [
        (lambda: q.midpoints(LEVELS[0]), ValueError, "levels: expected shape (d k), got shape (3,)"),
        (lambda: q.midpoints(LEVELS.long()), ValueError,
         "levels: expected float values of shape (d k), got shape (2, 3) of int64"),
        (lambda: q.midpoints([[0.0, 1.0]]), ValueError, "levels: expected a tensor"),
    ],
    "quantize": [
        (lambda: q.quantize(torch.zeros(4, 3), LEVELS), ValueError,
         "latents: expected shape (... d), d = 2, got shape (4, 3)"),
        (lambda: q.quantize(torch.tensor(0.0), LEVELS), ValueError,
         "latents: expected shape (... d), d = 2, got shape ()"),
        (lambda: q.quantize(torch.zeros(4, 2).long(), LEVELS), ValueError, "latents: expected float values"),
        (lambda: q.quantize(torch.tensor([[0.0, NAN]]), LEVELS), ValueError,
         "latents: expected finite values, got 1 NaN or infinite of 2"),
        (lambda: q.quantize(torch.tensor([[INF, -INF]]), LEVELS), ValueError,
         "latents: expected finite values, got 2"),
        (lambda: q.quantize(torch.zeros(4, 2), LEVELS[0]), ValueError, "levels: expected shape (d k)"),
        (lambda: q.quantize(torch.zeros(4, 2), LEVELS.flip(1)), ValueError,
         "levels: expected ascending rows, got one that falls or holds NaN"),
        (lambda: q.quantize(torch.zeros(4, 2), LEVELS * NAN), ValueError,
         "levels: expected ascending rows, got one that falls or holds NaN"),
    ],
    "dequantize": [
        (lambda: q.dequantize(torch.tensor([[0, 3]]), LEVELS), ValueError,
         "indices: expected integers in [0, 2], got 3"),
        (lambda: q.dequantize(torch.tensor([[-1, 0]]), LEVELS), ValueError,
         "indices: expected integers in [0, 2], got -1"),
        (lambda: q.dequantize(torch.zeros(1, 2), LEVELS), ValueError, "indices: expected int values"),
        (lambda: q.dequantize(torch.zeros(1, 3).long(), LEVELS), ValueError,
         "indices: expected shape (... d), d = 2, got shape (1, 3)"),
        (lambda: q.dequantize(torch.zeros(1, 2).long(), LEVELS[0]), ValueError,
         "levels: expected shape (d k)"),
    ],
    "uniform_levels": [
        (lambda: q.uniform_levels(1), ValueError, "num_levels: expected an integer of at least 2, got 1"),
        (lambda: q.uniform_levels(16.0), ValueError, "num_levels: expected an integer"),
        (lambda: q.uniform_levels(16, 0), ValueError, "value_range: expected a number above 0, got 0"),
        (lambda: q.uniform_levels(16, INF), ValueError, "value_range: expected a number above 0, got inf"),
    ],
    "gaussian_levels": [
        (lambda: q.gaussian_levels(1), ValueError, "num_levels: expected an integer of at least 2, got 1"),
        (lambda: q.gaussian_levels(16, -5.0), ValueError, "value_range: expected a number above 0, got -5.0"),
        (lambda: q.gaussian_levels(16, 5.0, 0.0), ValueError,
         "sigma_range: expected a number above 0, got 0.0"),
        (lambda: q.gaussian_levels(16, 5.0, NAN), ValueError,
         "sigma_range: expected a number above 0, got nan"),
        (lambda: q.gaussian_levels(4096, 5.0, 1e-9), ValueError,
         "num_levels: expected so few that the levels ascend strictly in 32-bit floats, got 4096"),
    ],
    "fit_levels": [
        (lambda: q.fit_levels(torch.zeros(8, 2), 1), ValueError,
         "num_levels: expected an integer of at least 2, got 1"),
        (lambda: q.fit_levels(torch.zeros(8, 2), 9), ValueError,
         "latents: expected at least 9 samples for 9 levels, got 8"),
        (lambda: q.fit_levels(torch.zeros(8, 2, 2), 2), ValueError,
         "latents: expected shape (N d), got shape (8, 2, 2)"),
        (lambda: q.fit_levels(torch.full((8, 2), NAN), 2), ValueError,
         "latents: expected finite values, got 16 NaN"),
        (lambda: q.fit_levels(torch.zeros(8, 2), 2, iterations=-1), ValueError,
         "iterations: expected an integer of at least 0, got -1"),
    ],
    "distortion": [
        (lambda: q.distortion(torch.zeros(4, 3), LEVELS), ValueError,
         "latents: expected shape (... d), d = 2"),
        (lambda: q.distortion(torch.full((4, 2), NAN), LEVELS), ValueError,
         "latents: expected finite values"),
        (lambda: q.distortion(torch.zeros(0, 2), LEVELS), ValueError,
         "latents: expected at least one sample"),
    ],
    "low_frequency_share": [
        (lambda: q.low_frequency_share(torch.zeros(2, 3, 4)), ValueError,
         "latents: expected shape (b d h w)"),
        (lambda: q.low_frequency_share(torch.full((1, 1, 2, 2), INF)), ValueError,
         "latents: expected finite values"),
        (lambda: q.low_frequency_share(torch.zeros(1, 1, 2, 2), -0.1), ValueError,
         "cutoff: expected a number in [0, 1], got -0.1"),
    ],
    "spectral_order": [
        (lambda: q.spectral_order(torch.zeros(2, 3, 4)), ValueError, "latents: expected shape (b d h w)"),
        (lambda: q.spectral_order(torch.full((1, 1, 2, 2), NAN)), ValueError,
         "latents: expected finite values"),
    ],
    "Quantizer": [
        (lambda: Quantizer(LEVELS[0]), ValueError, "levels: expected shape (d k), got shape (3,)"),
        (lambda: Quantizer(LEVELS[:, :1]), ValueError, "levels: expected at least 2 a dimension, got 1"),
        (lambda: Quantizer(LEVELS.flip(1)), ValueError,
         "levels: expected rows that ascend strictly in 32-bit floats"),
        (lambda: Quantizer(torch.tensor([[0.0, 0.0]])), ValueError,
         "levels: expected rows that ascend strictly in 32-bit floats"),
        (lambda: Quantizer(torch.tensor([[1.0, 1 + 1e-12]], dtype=torch.float64)), ValueError,
         "ascend strictly in 32-bit floats"),
        (lambda: Quantizer(torch.tensor([[0.0, NAN]])), ValueError, "levels: expected finite values"),
        (lambda: Quantizer(LEVELS.long()), ValueError, "levels: expected float values"),
        (lambda: Quantizer(LEVELS, 3), ValueError,
         "kind: expected one of 'gaussian', 'uniform', 'fitted', 'given', got 3"),
    ],
    "Quantizer.gaussian": [
        (lambda: Quantizer.gaussian(0, 16), ValueError, "dims: expected an integer of at least 1, got 0"),
        (lambda: Quantizer.gaussian(16, 1), ValueError,
         "num_levels: expected an integer of at least 2, got 1"),
    ],
    "Quantizer.uniform": [
        (lambda: Quantizer.uniform(2.5, 16), ValueError, "dims: expected an integer of at least 1, got 2.5"),
        (lambda: Quantizer.uniform(16, 1), ValueError,
         "num_levels: expected an integer of at least 2, got 1"),
    ],
    "Quantizer.fit": [
        (lambda: Quantizer.fit([0.0, 1.0], 2), ValueError,
         "latents: expected a tensor of shape (... d), got list"),
        (lambda: Quantizer.fit(torch.zeros(3, 2), 16), ValueError,
         "latents: expected at least 16 samples for 16 levels, got 3"),
        (lambda: Quantizer.fit(torch.full((4, 2), NAN), 2), ValueError, "latents: expected finite values"),
    ],
    "Quantizer.quantize": [
        (lambda: GIVEN.quantize(torch.zeros(4, 3)), ValueError,
         "latents: expected shape (... d), d = 2, got shape (4, 3)"),
        (lambda: GIVEN.quantize(torch.tensor([[0.0, NAN]])), ValueError,
         "latents: expected finite values, got 1 NaN"),
    ],
    "Quantizer.dequantize": [
        (lambda: GIVEN.dequantize(torch.tensor([[0, 3]])), ValueError,
         "indices: expected integers in [0, 2], got 3"),
        (lambda: GIVEN.dequantize(torch.zeros(1, 2)), ValueError, "indices: expected int values"),
    ],
}
