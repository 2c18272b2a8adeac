"Bad inputs of `evaluation`, and the message each must give."
import torch
from torch import nn

from tests.tools.tiny import tiny_config
from tokenbridge import evaluation as e
from tokenbridge.model import ARModel
from tokenbridge.pipeline import Tokenizer
from tokenbridge.quantizer import Quantizer
from tokenbridge.vae import VAE, VAEConfig

IMAGES = torch.zeros(2, 3, 16, 16)
NAN = torch.full((2, 3, 16, 16), float("nan"))
LABELS = torch.zeros(2, dtype=torch.int64)
INDICES = torch.zeros(2, 6, 5, dtype=torch.int64)
MODEL = ARModel(tiny_config(), torch.linspace(-1, 1, 7).repeat(5, 1))
ALL = torch.ones(2, 6, dtype=torch.bool)


class Judge(nn.Module):
    def features(self, images):
        return images.mean((2, 3))

    forward = features


JUDGE = Judge()
IMAGE_ROWS = lambda call: [
    (lambda: call(IMAGES, IMAGES[:, :, :12]), ValueError, "others: expected shape (b 3 h w)"),
    (lambda: call(IMAGES[0], IMAGES), ValueError, "images: expected shape (b 3 h w)"),
    (lambda: call(IMAGES, NAN), ValueError, "others: expected finite values"),
    (lambda: call(IMAGES.long(), IMAGES), ValueError, "images: expected float values"),
    (lambda: call(IMAGES[:0], IMAGES[:0]), ValueError, "images: expected at least one image"),
]
HISTOGRAM_ROWS = lambda call: [
    (lambda: call(INDICES[:, :5], INDICES, 7), ValueError,
     "train_indices: expected shape (M n d), n = 6, d = 5"),
    (lambda: call(INDICES + 7, INDICES, 7), ValueError, "train_indices: expected integers in [0, 6], got 7"),
    (lambda: call(INDICES, INDICES - 1, 7), ValueError, "indices: expected integers in [0, 6], got -1"),
    (lambda: call(INDICES, INDICES[:0], 7), ValueError, "indices: expected at least one token"),
    (lambda: call(INDICES, INDICES, 7, ALL[:1]), ValueError, "mask: expected shape (N n)"),
    (lambda: call(INDICES, INDICES, 7, ~ALL), ValueError, "mask: expected at least one True, got none"),
    (lambda: call(INDICES, INDICES, 0), ValueError, "num_levels: expected an integer of at least 1, got 0"),
]


def tokenizer(**changes):
    vae = VAE(VAEConfig(latent_dims=3, width=8))
    return e.evaluate_tokenizer(Tokenizer(vae, Quantizer.uniform(3, 4)),
                                **dict(images=torch.zeros(1, 3, 32, 32)) | changes)


ROWS = {
    "image_psnr": IMAGE_ROWS(e.image_psnr),
    "psnr": IMAGE_ROWS(e.psnr),
    "image_ssim": IMAGE_ROWS(e.image_ssim) + [
        (lambda: e.image_ssim(IMAGES[..., :10], IMAGES[..., :10]), ValueError,
         "images: expected at least 11 x 11 pixels, got 16 x 10")],
    "ssim": IMAGE_ROWS(e.ssim),
    "judge_classes": [
        (lambda: e.judge_classes(JUDGE, NAN), ValueError, "images: expected finite values"),
        (lambda: e.judge_classes(JUDGE, IMAGES, 0), ValueError,
         "chunk_size: expected an integer of at least 1, got 0"),
    ],
    "judge_features": [
        (lambda: e.judge_features(JUDGE, IMAGES[0]), ValueError, "images: expected shape (b 3 h w)"),
        (lambda: e.judge_features(nn.Identity(), IMAGES), ValueError,
         "judge: expected a module with a method features, got Identity"),
    ],
    "class_agreement": [
        (lambda: e.class_agreement(JUDGE, IMAGES, LABELS[:1]), ValueError,
         "labels: expected shape (N), N = 2"),
        (lambda: e.class_agreement(JUDGE, IMAGES, LABELS.float()), ValueError, "labels: expected int values"),
    ],
    "fd_judge": [
        (lambda: e.fd_judge(nn.Identity(), IMAGES, IMAGES), ValueError,
         "judge: expected a module with a method"),
        (lambda: e.fd_judge(JUDGE, IMAGES[:1], IMAGES), ValueError, "features: expected at least two images"),
    ],
    "seam_ratio": [
        (lambda: e.seam_ratio(IMAGES, 1), ValueError, "factor: expected an integer of at least 2, got 1"),
        (lambda: e.seam_ratio(IMAGES, 5), ValueError, "factor: expected a divisor of height and width"),
        (lambda: e.seam_ratio(IMAGES[0], 4), ValueError, "images: expected shape (b 3 h w)"),
    ],
    "level_usage": [
        (lambda: e.level_usage(INDICES + 7, 7), ValueError, "indices: expected integers in [0, 6], got 7"),
        (lambda: e.level_usage(INDICES.float(), 7), ValueError, "indices: expected int values"),
        (lambda: e.level_usage(INDICES[:0], 7), ValueError, "indices: expected at least one, got none"),
        (lambda: e.level_usage(INDICES, 0), ValueError, "num_levels: expected an integer of at least 1"),
    ],
    "perplexity": [
        (lambda: e.perplexity(torch.ones(3)), ValueError,
         "usage: expected shares of at least 0 that sum to 1"),
        (lambda: e.perplexity(torch.tensor([1.5, -0.5])), ValueError, "usage: expected shares of at least 0"),
        (lambda: e.perplexity(torch.tensor([float("nan")])), ValueError, "usage: expected finite"),
    ],
    "uniform_nll": [(lambda: e.uniform_nll(0), ValueError,
                     "num_levels: expected an integer of at least 1, got 0")],
    "dimension_histogram_nll": HISTOGRAM_ROWS(e.dimension_histogram_nll),
    "position_histogram_nll": HISTOGRAM_ROWS(e.position_histogram_nll),
    "hidden_mask": [
        (lambda: e.hidden_mask(0, 6, 0), ValueError, "num: expected an integer of at least 1, got 0"),
        (lambda: e.hidden_mask(2, 6, -1), ValueError,
         "seed: expected an integer in [0, 9223372036854775807], got -1"),
        (lambda: e.hidden_mask(2, 6, 0, 0.0), ValueError, "hidden: expected a number in (0, 1], got 0.0"),
        (lambda: e.hidden_mask(2, 6, 0, 75), ValueError, "hidden: expected a number in (0, 1], got 75"),
    ],
    "nll": [
        (lambda: e.nll(MODEL, INDICES[..., :4], LABELS, 0), ValueError,
         "indices: expected shape (b n d), n = 6, d = 5"),
        (lambda: e.nll(MODEL, INDICES + 7, LABELS, 0), ValueError,
         "indices: expected integers in [0, 6], got 7"),
        (lambda: e.nll(MODEL, INDICES, LABELS + 4, 0), ValueError,
         "labels: expected integers in [0, 3], got 4"),
        (lambda: e.nll(MODEL, INDICES, LABELS[:1], 0), ValueError, "labels: expected shape (N), N = 2"),
        (lambda: e.nll(MODEL, INDICES[:0], LABELS[:0], 0), ValueError,
         "num: expected an integer of at least 1, got 0"),
    ],
    "evaluate_generator": [
        (lambda: e.evaluate_generator(MODEL, INDICES, LABELS, INDICES[:, :2], 0), ValueError,
         "train_indices: expected shape"),
        (lambda: e.evaluate_generator(MODEL, INDICES, LABELS, INDICES, 0, hidden=2), ValueError,
         "hidden: expected a number"),
    ],
    "within_class_variance": [
        (lambda: e.within_class_variance(JUDGE, IMAGES, torch.arange(2)), ValueError,
         "labels: expected a class with at least two images"),
        (lambda: e.within_class_variance(JUDGE, IMAGES, LABELS[:1]), ValueError,
         "labels: expected shape (N), N = 2"),
    ],
    "evaluate_samples": [
        (lambda: e.evaluate_samples(IMAGES, LABELS, JUDGE, IMAGES, LABELS[:1]), ValueError,
         "reference_labels: expected shape (M), M = 2"),
        (lambda: e.evaluate_samples(NAN, LABELS, JUDGE, IMAGES, LABELS), ValueError,
         "images: expected finite values"),
    ],
    "nearest": [
        (lambda: e.nearest(torch.zeros(2, 3), torch.zeros(4, 2)), ValueError,
         "candidates: expected shape (N f), f = 3"),
        (lambda: e.nearest(torch.zeros(2, 3), torch.zeros(4, 3), 5), ValueError,
         "num: expected an integer in [1, 4], got 5"),
        (lambda: e.nearest(torch.zeros(3), torch.zeros(4, 3)), ValueError, "queries: expected shape"),
        (lambda: e.nearest(torch.full((1, 1), float("nan")), torch.zeros(4, 1)), ValueError,
         "queries: expected finite"),
    ],
    "nearest_images": [
        (lambda: e.nearest_images(IMAGES, IMAGES[:, :, :8]), ValueError,
         "train_images: expected shape (N 3 h w), h = 16, w = 16"),
        (lambda: e.nearest_images(IMAGES, IMAGES, num=3), ValueError,
         "num: expected an integer in [1, 2], got 3"),
    ],
    "evaluate_tokenizer": [
        (lambda: tokenizer(images=IMAGES), ValueError, "images: expected shape (b 3 32 32)"),
        (lambda: tokenizer(judge=JUDGE), ValueError,
         "labels: expected the classes of the images for the judge"),
        (lambda: e.evaluate_tokenizer(Quantizer.uniform(3, 4), IMAGES), ValueError,
         "tokenizer: expected a Tokenizer, got Quantizer"),
        (lambda: tokenizer(judge=JUDGE, labels=LABELS), ValueError, "labels: expected shape (N), N = 1"),
        (lambda: tokenizer(chunk_size=0), ValueError, "chunk_size: expected an integer of at least 1, got 0"),
    ],
}
