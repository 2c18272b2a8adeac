"Each measure against a plain definition of it, and the reports against their parts."
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.tools.tiny import tiny_config
from tokenbridge import evaluation, files
from tokenbridge.classifier import JudgeNet
from tokenbridge.model import ARModel
from tokenbridge.pipeline import Tokenizer
from tokenbridge.quantizer import Quantizer
from tokenbridge.vae import VAE, Posterior, VAEConfig, fit_latent_scale_, images_at_a_time, start_at_pca_


def random_images(num=6, h=16, w=16, seed=0):
    return torch.randint(0, 256, (num, 3, h, w), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(seed))


class Judge(nn.Module):
    "Its features are the mean colours; its class is the brightest of them."
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def features(self, images):
        assert not self.training and not torch.is_grad_enabled()
        return images.mean((2, 3)) * self.scale

    def forward(self, images):
        return self.features(images)


# ---------------------------------------------------------------- PSNR
def test_psnr_against_its_definition():
    a, b = random_images(seed=1), random_images(seed=2)
    x, y = a.numpy().astype(float), b.numpy().astype(float)
    want = [10 * np.log10(255 ** 2 / ((p - q) ** 2).mean()) for p, q in zip(x, y)]
    assert np.allclose(evaluation.image_psnr(a, b), want)
    assert evaluation.psnr(a, b) == pytest.approx(np.mean(want), abs=1e-5)


def test_images_are_rounded_to_bytes_before_they_are_compared():
    bytes_ = random_images()
    floats = bytes_.float() / 127.5 - 1
    assert evaluation.psnr(floats + 0.4 / 127.5, bytes_) == math.inf
    assert evaluation.psnr(floats * 1.5, bytes_) == evaluation.psnr((floats * 1.5).clamp(-1, 1), bytes_)
    assert evaluation.ssim(floats + 0.4 / 127.5, bytes_) == pytest.approx(1, abs=1e-6)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_ten_times_the_error_costs_ten_decibels(step, seed):
    a = torch.full((1, 3, 12, 12), 20, dtype=torch.uint8)
    assert evaluation.psnr(a, a + step) == pytest.approx(20 * math.log10(255 / step), abs=1e-4)


# ---------------------------------------------------------------- SSIM
def plain_ssim(a: np.ndarray, b: np.ndarray) -> float:
    "One image (3, h, w): every window by itself, with two-dimensional weights and explicit means."
    grid = np.arange(11) - 5
    weights = np.exp(-(grid[:, None] ** 2 + grid[None, :] ** 2) / (2 * 1.5 ** 2))
    weights /= weights.sum()
    c1, c2, values = 0.01 ** 2 * 255 ** 2, 0.03 ** 2 * 255 ** 2, []
    for x, y in zip(a.astype(float), b.astype(float)):
        for i in range(x.shape[0] - 10):
            for j in range(x.shape[1] - 10):
                p, q = x[i:i + 11, j:j + 11], y[i:i + 11, j:j + 11]
                mp, mq = (weights * p).sum(), (weights * q).sum()
                vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
                cov = (weights * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + c1) * (2 * cov
                                                    + c2) / ((mp ** 2 + mq ** 2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("h, w", [(11, 11), (16, 13), (32, 32)])
def test_ssim_against_a_plain_implementation(h, w):
    a = random_images(3, h, w, seed=1)
    a[1] = torch.arange(w, dtype=torch.uint8) * 5                # a ramp
    b = (a.int() + torch.randint(-30, 31, a.shape, generator=torch.Generator().manual_seed(3))).clamp(0,
        255).to(torch.uint8)
    b[2] = 255 - a[2]                                            # anti-correlated
    want = [plain_ssim(x, y) for x, y in zip(a.numpy(), b.numpy())]
    assert np.allclose(evaluation.image_ssim(a, b), want, atol=2e-5)
    assert want[2] < 0 and evaluation.ssim(a, b) == pytest.approx(np.mean(want), abs=2e-5)


@given(st.integers(0, 10_000), st.integers(0, 60))
def test_ssim_is_symmetric_and_at_most_one(seed, strength):
    a, b = random_images(2, 12, 14, seed), random_images(2, 12, 14, seed + 1)
    b = (a.float() + (b.float() - 128) * strength / 60).clamp(0, 255).to(torch.uint8)
    there, back = evaluation.image_ssim(a, b), evaluation.image_ssim(b, a)
    assert torch.allclose(there, back, atol=1e-6) and bool((there <= 1 + 1e-6).all())
    assert torch.allclose(evaluation.image_ssim(a, a), torch.ones(2), atol=1e-6)


def test_ssim_of_flat_images():
    "Without any contrast, only brightness is left."
    a, b = torch.full((1, 3, 12, 12), 100, dtype=torch.uint8), torch.full((1, 3, 12, 12), 150,
        dtype=torch.uint8)
    c1 = (0.01 * 255) ** 2
    assert evaluation.ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100 ** 2 + 150 ** 2 + c1), abs=1e-4)


# ---------------------------------------------------------------- levels
@pytest.mark.parametrize("d, k", [(1, 2), (5, 7), (16, 64)])
def test_level_usage_counts(d, k):
    indices = torch.randint(0, k, (3, 4, d), generator=torch.Generator().manual_seed(k))
    usage = evaluation.level_usage(indices, k)
    want = np.stack([np.bincount(indices[..., i].flatten().numpy(), minlength=k) / 12 for i in range(d)])
    assert usage.shape == (d, k) and np.allclose(usage, want)
    assert torch.equal(evaluation.level_usage(indices.to(torch.uint8), k), usage)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9).filter(any))
def test_perplexity_lies_between_one_and_the_levels_in_use(counts):
    shares = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    value = float(evaluation.perplexity(shares))
    used = [p for p in shares.tolist() if p]
    assert 1 - 1e-9 <= value <= len(used) + 1e-9
    assert value == pytest.approx(math.exp(-sum(p * math.log(p) for p in used)))


def test_perplexity_takes_each_row_by_itself():
    rows = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    want = torch.tensor([1.0, 2.0, 4.0])
    assert torch.allclose(evaluation.perplexity(rows), want)
    assert torch.allclose(evaluation.perplexity(rows[:, None].expand(3, 2, 4)), want[:, None].expand(3, 2))


# ---------------------------------------------------------------- nats
def plain_histogram_nll(train, test, k, positions, mask=None):
    costs = []
    for i in range(test.shape[0]):
        for t in range(test.shape[1]):
            if mask is None or mask[i, t]:
                for dim in range(test.shape[2]):
                    seen = train[:, t, dim] if positions else train[:, :, dim].flatten()
                    costs.append(-math.log(((seen == test[i, t, dim]).sum().item() + 1) / (seen.numel() + k)))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("n, d, k", [(1, 1, 2), (4, 3, 5), (6, 5, 7)])
def test_histograms_against_a_loop(n, d, k):
    generator = torch.Generator().manual_seed(k)
    train = (torch.rand(9, n, d, generator=generator) ** 2 * k).long()
    test = (torch.rand(5, n, d, generator=generator) ** 2 * k).long()
    mask = evaluation.hidden_mask(5, n, 0, 0.5)
    for m in (None, mask):
        assert evaluation.position_histogram_nll(train, test, k,
                                                 m) == pytest.approx(plain_histogram_nll(train, test, k, True,
                                                                                         m))
        assert evaluation.dimension_histogram_nll(train, test, k,
                                                  m) == pytest.approx(plain_histogram_nll(train, test, k,
                                                                                          False, m))
    assert evaluation.uniform_nll(k) == math.log(k)


def test_a_histogram_without_training_tokens_is_uniform():
    test = torch.randint(0, 7, (4, 3, 2))
    assert evaluation.position_histogram_nll(test[:0], test, 7) == pytest.approx(math.log(7))


def test_counting_in_blocks_is_counting():
    indices = torch.randint(0, 3, (40_001, 2, 1), generator=torch.Generator().manual_seed(0))
    counts = evaluation._counts(indices, 3)
    assert counts.sum().item() == 80_002
    assert counts[1, 0].tolist() == torch.bincount(indices[:, 1, 0], minlength=3).tolist()


@given(st.integers(1, 9), st.integers(1, 20), st.floats(0.01, 1), st.integers(0, 99))
def test_hidden_mask_hides_the_same_number_everywhere(num, tokens, hidden, seed):
    mask = evaluation.hidden_mask(num, tokens, seed, hidden)
    assert mask.shape == (num, tokens) and set(mask.sum(1).tolist()) == {max(1, round(hidden * tokens))}
    assert torch.equal(mask, evaluation.hidden_mask(num, tokens, seed, hidden))


def test_hidden_mask_differs_between_images_and_seeds():
    mask = evaluation.hidden_mask(50, 16, 0)
    assert len({tuple(row) for row in mask.tolist()}) > 40 and set(mask.sum(1).tolist()) == {12}
    assert not torch.equal(mask, evaluation.hidden_mask(50, 16, 1))
    assert (mask.float().mean(0) - 0.75).abs().max() < 0.3


def tokens(num, seed=0):
    return torch.randint(0, 7, (num, 6, 5),
                         generator=torch.Generator().manual_seed(seed)), torch.arange(num) % 3


def test_nll_is_the_mean_cost_of_hidden_tokens(tiny_model):
    indices, labels = tokens(9)
    mask = evaluation.hidden_mask(9, 6, 3, 0.5)
    costs = tiny_model.token_nll(indices, labels, mask).detach()
    want = float(costs[mask].mean())
    tiny_model.train()
    for size in (1, 4, 100):
        assert evaluation.nll(tiny_model, indices, labels, 3, 0.5, size) == pytest.approx(want, abs=1e-5)
    assert tiny_model.training, "the mode is restored"
    assert evaluation.nll(tiny_model, indices, labels, 4, 0.5) != evaluation.nll(tiny_model, indices, labels,
        3, 0.5)


def test_a_model_that_knows_nothing_costs_what_guessing_costs(tiny_model):
    with torch.no_grad():
        for name, parameter in tiny_model.head.named_parameters():
            if name.startswith("out"):
                parameter.zero_()
    indices, labels = tokens(8)
    report = evaluation.evaluate_generator(tiny_model, indices, labels, tokens(50, 1)[0], seed=0)
    assert report["nll"] == pytest.approx(math.log(7), abs=1e-5) and report["uniform"] == math.log(7)


def test_any_head_is_measured():
    "Only costs are asked: the parallel head, and one of somebody else that knows nothing."
    class Guesses(nn.Module):
        def costs(self, context, tokens):
            return torch.full(tokens.shape, math.log(7))

        def noise(self, b, n, generator):
            return torch.zeros(b, n, 5)

        def sample(self, context, noise, temperature=1.0, top_k=None, top_p=None):
            return noise.long(), noise[..., 0]

    (indices, labels), config, levels = tokens(8), tiny_config(), torch.linspace(-2, 2, 7).repeat(5, 1)
    model = ARModel(replace(config, head=replace(config.head, kind="parallel")), levels)
    mask = evaluation.hidden_mask(8, 6, 3)
    want = float(model.eval().token_nll(indices, labels, mask)[mask].detach().mean())
    assert evaluation.nll(model, indices, labels, 3, chunk_size=3) == pytest.approx(want, abs=1e-5)
    foreign = ARModel(replace(config, head=None), levels, head=Guesses())
    report = evaluation.evaluate_generator(foreign, indices, labels, tokens(50, 1)[0], seed=3)
    assert report["nll"] == pytest.approx(report["uniform"], abs=1e-6)


def test_generator_report(tiny_model, tmp_path):
    (indices, labels), train = tokens(8), tokens(50, 1)[0]
    report = evaluation.evaluate_generator(tiny_model, indices, labels, train, seed=5, hidden=0.5,
                                           chunk_size=3)
    mask = evaluation.hidden_mask(8, 6, 5, 0.5)
    assert report["nll"] == pytest.approx(evaluation.nll(tiny_model, indices, labels, 5, 0.5), abs=1e-5)
    assert report["position_histogram"] == evaluation.position_histogram_nll(train, indices, 7, mask)
    assert report["dimension_histogram"] == evaluation.dimension_histogram_nll(train, indices, 7, mask)
    assert report["gain"] == pytest.approx(report["position_histogram"] - report["nll"])
    assert files.read_json(files.write_json(tmp_path / "x.json", report)) == report


# ---------------------------------------------------------------- the judge
def test_class_agreement_and_restored_mode():
    judge = Judge().train()
    images = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    for i, channel in enumerate([0, 1, 2, 0, 1]):
        images[i, channel] = 200
    assert evaluation.judge_classes(judge, images, chunk_size=2).tolist() == [0, 1, 2, 0, 1]
    assert judge.training
    assert evaluation.class_agreement(judge, images, torch.tensor([0, 1, 2, 1, 1])) == pytest.approx(0.8)
    assert evaluation.class_agreement(judge, images.float() / 127.5 - 1, torch.tensor([0, 1, 2, 1, 1]),
                                      chunk_size=1) == pytest.approx(0.8)


@pytest.mark.parametrize("pixels, most", [(32, 500), (64, 125), (256, 7)])
def test_large_images_go_a_few_at_a_time(monkeypatch, pixels, most):
    sizes, judge = [], Judge()
    monkeypatch.setattr(judge, "features", lambda images: (sizes.append(len(images)), images.mean((2, 3)))[1])
    images = torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(most + 1, 3, pixels, pixels)
    assert len(evaluation.judge_classes(judge, images)) == most + 1 and sizes == [most, 1]
    assert images_at_a_time(None, pixels ** 2) == most and images_at_a_time(3, pixels ** 2) == 3


def test_likelihood_is_measured_without_dropout_and_the_mode_comes_back():
    from tests.tools.tiny import tiny_model as make
    model = make(dropout=0.5).train()
    indices, labels = torch.zeros(4, 6, 5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    assert evaluation.nll(model, indices, labels, 0) == evaluation.nll(model, indices, labels,
        0) and model.training


def test_kurtosis_does_not_depend_on_the_mean():
    x = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0)).double() + torch.tensor([0.0, 2.0])
    sums = torch.stack([x.pow(power).sum(0) for power in range(5)])
    z = (x - x.mean(0)) / x.var(0, correction=0).sqrt()
    report = evaluation._latent_report(sums, torch.ones(2, 3))
    assert np.allclose(report["latent_kurtosis"], z.pow(4).mean(0), rtol=1e-8)


def test_an_exact_copy_has_a_hundred_decibels_in_reports(tokenizer, monkeypatch, tmp_path):
    vae, quantizer, images = tokenizer
    monkeypatch.setattr(evaluation, "image_psnr", lambda a, b: torch.full((len(a),), float("inf")))
    report = evaluation.evaluate_tokenizer(Tokenizer(vae, quantizer), images)
    assert report["psnr_quantized"] == 100 and files.write_json(tmp_path / "x.json", report).exists()


def test_many_tokens_go_a_few_at_a_time(tiny_model, monkeypatch):
    sizes, cost = [], tiny_model.token_nll
    monkeypatch.setattr(tiny_model, "token_nll", lambda indices,
                        *rest: (sizes.append(len(indices)), cost(indices, *rest))[1])
    n, d = tiny_model.tokens, tiny_model.dims
    most = 250 * 16 * 16 // (n * d)
    evaluation.nll(tiny_model, torch.zeros(most + 1, n, d, dtype=torch.int64),
                   torch.zeros(most + 1, dtype=torch.int64), 0)
    assert sizes == [most, 1]


def test_within_class_variance_is_the_trace_of_the_covariance():
    images, labels = random_images(20), torch.tensor([0] * 8 + [1] * 11 + [2])
    features = evaluation.judge_features(Judge(), images).double().numpy()
    want = np.mean([np.trace(np.cov(features[labels.numpy() == label].T)) for label in (0, 1)])
    found = evaluation.within_class_variance(Judge(), images, labels, chunk_size=7)
    assert found == pytest.approx(want, rel=1e-5)


def test_collapse_is_seen(tmp_path):
    images, judge = random_images(30), Judge()
    labels = evaluation.judge_classes(judge, images)
    one_each = torch.stack([images[(labels == c).nonzero()[0, 0]] for c in labels.unique()]).repeat(5, 1, 1,
        1)
    report = evaluation.evaluate_samples(one_each, labels.unique().repeat(5), judge, images, labels)
    assert report["agreement"] == 1 and report["variance"] == pytest.approx(0,
        abs=1e-12) and report["variance_ratio"] == pytest.approx(0, abs=1e-9)
    same = evaluation.evaluate_samples(images, labels, judge, images, labels)
    assert same["agreement_ratio"] == same["variance_ratio"] == 1
    assert files.read_json(files.write_json(tmp_path / "x.json", report)) == report


def test_a_reference_without_any_agreement_gives_ratio_zero():
    images, labels = random_images(6), torch.zeros(6, dtype=torch.int64)
    report = evaluation.evaluate_samples(images, labels, Judge(), images, labels + 7)
    assert report["reference_agreement"] == 0 and report["agreement_ratio"] == 0


# ---------------------------------------------------------------- copies
@given(st.integers(1, 7), st.integers(1, 12), st.integers(1, 4), st.integers(1, 13), st.integers(0, 99))
def test_nearest_against_all_distances(b, num_candidates, num, chunk, seed):
    generator = torch.Generator().manual_seed(seed)
    queries, candidates = torch.randn(b, 5, generator=generator), torch.randn(num_candidates, 5,
        generator=generator)
    num = min(num, num_candidates)
    distances, ids = evaluation.nearest(queries, candidates, num, chunk)
    every = (queries[:, None] - candidates[None]).norm(dim=-1)
    want, want_ids = every.sort(1)
    assert torch.allclose(distances, want[:, :num], atol=1e-5) and torch.equal(ids, want_ids[:, :num])


def test_nearest_takes_the_better_view():
    queries = torch.tensor([[[0.0], [10.0]], [[4.0], [5.0]]])
    distances, ids = evaluation.nearest(queries, torch.tensor([[9.0], [4.5], [-3.0]]), 2)
    assert ids.tolist() == [[0, 2], [1, 0]] and torch.allclose(distances,
        torch.tensor([[1.0, 3.0], [0.5, 4.0]]))


def test_nearest_never_holds_all_distances(monkeypatch):
    sizes, real = [], torch.cdist
    monkeypatch.setattr(torch, "cdist", lambda a, b,
                        **how: sizes.append(len(a) * len(b)) or real(a, b, **how))
    evaluation.nearest(torch.randn(10, 3), torch.randn(1000, 3), 2, chunk_size=64)
    assert max(sizes) == 640 and len(sizes) == 16


def test_a_mirrored_copy_is_found_at_distance_zero():
    train = random_images(40, seed=1)
    samples = torch.cat([train[[7, 30]].flip(-1), train[[3]], random_images(1, seed=9)])
    distances, ids = evaluation.nearest_images(samples, train, num=2, chunk_size=11)
    assert ids[:3, 0].tolist() == [7, 30,
                                   3] and (distances[:3, 0] == 0).all() and (distances[:, 1] > 10).all()
    want = (samples[3:].float() - train.float()).square().mean((1, 2, 3)).sqrt()
    mirrored = (samples[3:].flip(-1).float() - train.float()).square().mean((1, 2, 3)).sqrt()
    assert distances[3, 0] == pytest.approx(float(torch.minimum(want, mirrored).min()), rel=1e-5)


def test_nearest_by_the_judge():
    train = random_images(40, seed=1)
    shifted = train[[5, 6]].roll(3, dims=-1)          # far in pixels, equal in mean colour
    assert evaluation.nearest_images(shifted, train, judge=Judge())[1][:, 0].tolist() == [5, 6]


# ---------------------------------------------------------------- the tokenizer
@pytest.fixture(scope="module")
def tokenizer():
    images = random_images(24, 32, 32, seed=4)
    images = (images.float().unfold(2, 5, 1).mean(-1)[:, :, :, :28].repeat(1, 1, 2, 2)[:, :, :32,
        :32]).to(torch.uint8)
    floats = images.float() / 127.5 - 1
    vae = fit_latent_scale_(start_at_pca_(VAE(VAEConfig(latent_dims=5, width=8)), floats), floats).train()
    return vae, Quantizer.fit(vae.encode(floats).mean.detach().flatten(2).mT, 6), images


def test_tokenizer_report_against_its_parts(tokenizer, tmp_path):
    vae, quantizer, images = tokenizer
    judge, labels = Judge(), torch.arange(24) % 3
    report = evaluation.evaluate_tokenizer(Tokenizer(vae, quantizer), images, judge, labels, chunk_size=7)
    assert vae.training
    with torch.inference_mode():
        latents = vae.eval().encode(images.float() / 127.5 - 1).mean
        vae.train()
        indices = quantizer.quantize(latents.flatten(2).mT)
        pictures = {"continuous": vae.decode(latents),
                    "quantized": vae.decode(quantizer.dequantize(indices).mT.unflatten(2, vae.grid))}
    for name, picture in pictures.items():
        assert report[f"psnr_{name}"] == pytest.approx(evaluation.psnr(picture, images), abs=1e-3)
        assert report[f"ssim_{name}"] == pytest.approx(evaluation.ssim(picture, images), abs=1e-4)
        assert report[f"agreement_{name}"] == pytest.approx(evaluation.class_agreement(judge, picture,
            labels), abs=0.05)
    assert report["agreement_real"] == pytest.approx(evaluation.class_agreement(judge, images, labels))
    x = latents.movedim(1, -1).reshape(-1, 5).double().numpy()
    z = (x - x.mean(0)) / x.std(0)
    assert np.allclose(report["latent_mean"], x.mean(0),
                       atol=1e-5) and np.allclose(report["latent_deviation"], x.std(0), atol=1e-5)
    assert np.allclose(report["latent_kurtosis"], (z ** 4).mean(0), rtol=1e-4)
    assert np.allclose(report["level_usage"], evaluation.level_usage(indices, 6), atol=1e-2)
    assert files.read_json(files.write_json(tmp_path / "x.json", report)) == report


def test_tokenizer_report_without_judge(tokenizer):
    vae, quantizer, images = tokenizer
    whole, parts = (evaluation.evaluate_tokenizer(Tokenizer(vae, quantizer), images, chunk_size=size)
                    for size in (100, 5))
    assert not [name for name in whole if name.startswith("agreement")]
    assert whole["psnr_continuous"] == pytest.approx(parts["psnr_continuous"], abs=1e-3)
    assert whole["psnr_quantized"] < whole["psnr_continuous"]


def test_somebody_elses_autoencoder_is_measured():
    "Five things, none of our classes: it copies each block of 8 x 8 pixels' mean colour."
    class Means(nn.Module):
        image_size, latent_dims, grid = 32, 3, (4, 4)

        def encode(self, images):
            means = nn.functional.avg_pool2d(images, 8)
            return Posterior(means, torch.full_like(means, 0.1))

        def decode(self, latents):
            return latents.repeat_interleave(8, -1).repeat_interleave(8, -2)

    images = random_images(5, 32, 32)
    latents = (images.float() / 127.5 - 1).unfold(2, 8, 8).unfold(3, 8, 8).mean((-1, -2)).movedim(1, -1)
    tokenizer = Tokenizer(Means(), Quantizer.fit(latents.flatten(0, 2), 6))
    report = evaluation.evaluate_tokenizer(tokenizer, images)
    assert np.allclose(report["latent_mean"], latents.mean((0, 1, 2)), atol=1e-5)
    assert report["psnr_quantized"] < report["psnr_continuous"] and len(report["level_usage"]) == 3


def test_more_levels_lose_less(tokenizer):
    vae, _, images = tokenizer
    latents = vae.encode(images.float() / 127.5 - 1).mean.detach().flatten(2).mT
    lost = [evaluation.evaluate_tokenizer(Tokenizer(vae, Quantizer.fit(latents, k)), images)["psnr_quantized"]
            for k in (2, 8, 32)]
    assert lost == sorted(lost)


def test_ssim_is_the_same_under_autocast():
    one, other = (torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8,
                                generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = evaluation.image_ssim(one, one // 2 + other // 2)
    assert torch.equal(inside, evaluation.image_ssim(one, one // 2 + other // 2))


def test_nearest_finds_the_exact_copy():
    for seed in range(60):
        query = torch.randint(0, 256, (1, 3072), generator=torch.Generator().manual_seed(seed)).float()
        almost = query.clone()
        almost[0, seed] += 1
        distances, ids = evaluation.nearest(query, torch.cat([almost, query]), num=1)
        assert distances.item() == 0 and ids.item() == 1


def test_a_judge_that_fails_is_left_in_its_mode():
    class Fails(torch.nn.Linear):
        def forward(self, x):
            raise RuntimeError("no")
    judge, kept = Fails(1, 1).train(), None
    try:
        evaluation.judge_classes(judge, torch.zeros(1, 3, 8, 8))
    except RuntimeError as error:
        kept = error
    assert kept is not None and judge.training


def test_features_may_be_trained_on():
    judge = torch.nn.Identity()
    judge.features = lambda images: images.flatten(1)
    found = evaluation.judge_features(judge, torch.zeros(2, 3, 4, 4))
    torch.nn.Linear(48, 1)(found).sum().backward()   # an inference tensor would refuse


def test_fd_judge_is_the_distance_of_two_gaussians():
    """Against the trace formula with a matrix square root of its own; and nothing apart from itself."""
    torch.manual_seed(0)
    judge, images = JudgeNet().eval(), torch.randint(0, 256, (60, 3, 16, 16), dtype=torch.uint8)
    others = (images // 2 + 64).roll(1, 0)
    one, other = (evaluation.judge_features(judge, some).double().numpy() for some in (images, others))
    a, b = np.cov(one.T), np.cov(other.T)
    values = np.linalg.eigvals(a @ b)   # the trace of the root of a product is the sum of its values' roots
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(a + b) - 2 * np.sqrt(
        np.clip(values.real, 0, None)).sum()
    assert evaluation.fd_judge(judge, images, others) == pytest.approx(expected, rel=1e-4)
    assert evaluation.fd_judge(judge, images, images.flip(0)) < 1e-6 * expected


def test_seam_ratio_counts_steps_at_borders():
    """A ramp has none; squares that differ have nothing else; both directions count; a known mixture."""
    ramp = torch.arange(16).repeat(1, 3, 16, 1).to(torch.uint8)
    assert evaluation.seam_ratio(ramp, 4) == 1.0
    assert evaluation.seam_ratio(torch.zeros_like(ramp), 4) == 1.0
    squares = (torch.arange(16) // 4 * 9).to(torch.uint8).repeat(1, 3, 16, 1)
    assert evaluation.seam_ratio(squares, 4) == 1000   # a figure that JSON can hold
    mixed = (ramp.int() + (torch.arange(16) // 4 * 3).int()).to(torch.uint8)   # across 4, beside 1
    assert evaluation.seam_ratio(mixed, 4) == pytest.approx(4)
    assert evaluation.seam_ratio(mixed.transpose(2, 3), 4) == pytest.approx(4)
    assert evaluation.seam_ratio(mixed, 8) == pytest.approx(4)   # the border in the middle is one of them


@pytest.mark.parametrize("factor, words", [(1, "at least 2"), (5, "divisor"),
                                           (16, "two tokens"), (2.5, "factor")])
def test_seam_ratio_refuses(factor, words):
    with pytest.raises(ValueError, match=words):
        evaluation.seam_ratio(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), factor)


def test_a_witness_is_asked_beside_the_judge():
    """Its agreement is that of `class_agreement`; without a judge it is reported all the same."""
    torch.manual_seed(0)
    witness, images = JudgeNet().eval(), torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    labels = evaluation.judge_classes(witness, images).roll(3)
    seen = evaluation.class_agreement(witness, images, labels)
    report = evaluation.evaluate_samples(images, labels, None, images, labels, witness=witness)
    assert report == {"witness": seen, "reference_witness": seen, "images": 20.0,
                      "witness_ratio": 1.0 if seen else 0.0}
    vae = VAE(VAEConfig(kind="residual", image_size=32, latent_dims=4, factor=8)).eval()
    tokenizer = Tokenizer(vae, Quantizer.gaussian(4, 8))
    report = evaluation.evaluate_tokenizer(tokenizer, images, None, labels, witness=witness, chunk_size=7)
    assert report["witness_real"] == pytest.approx(seen) and "agreement_real" not in report
    assert report["seam_ratio_real"] == pytest.approx(evaluation.seam_ratio(images, 8), rel=1e-6)
    quantized = evaluation.seam_ratio(tokenizer.reconstruct(images), 8)
    assert report["seam_ratio_quantized"] == pytest.approx(quantized, rel=1e-6)
