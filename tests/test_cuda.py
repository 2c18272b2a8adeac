"The same numbers on a GPU; skipped where there is none, so run `pytest tests/test_cuda.py` where one is."
import copy

import pytest
import torch

from tests.tools.tiny import tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


@pytest.fixture(autouse=True)
def _a_process_of_our_own():
    "Accelerate remembers for the life of a process where it trains; other tests train on the CPU."
    from accelerate.state import AcceleratorState
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_tokens(model, num: int):
    "Random indices (num, n, d) and labels (num,) on the CPU."
    indices = torch.randint(0, model.num_levels, (num, model.tokens, model.dims), generator=seeded(1))
    return indices, torch.arange(num) % model.classes


@pytest.fixture(scope="module")
def shipped():
    from tokenbridge import TokenBridge
    return TokenBridge.from_pretrained("cifar-tiny")


@pytest.fixture(scope="module")
def pictures():
    from tokenbridge.data import drawn_rich_images, to_float
    return to_float(drawn_rich_images(64).images)


def test_quantizing_gives_the_same_indices(shipped):
    latents = torch.randn(50, 16, 16, generator=seeded())
    here, there = shipped.quantizer, shipped.quantizer.levels.cuda()
    from tokenbridge.quantizer import dequantize, quantize
    indices = quantize(latents.cuda(), there)
    assert indices.device.type == "cuda" and torch.equal(indices.cpu(), here.quantize(latents))
    assert torch.equal(dequantize(indices, there).cpu(), here.dequantize(here.quantize(latents)))


def test_the_vae_gives_the_same_images_and_nearly_the_same_tokens(shipped, pictures):
    there = copy.deepcopy(shipped).cuda()
    means, images = shipped.vae.encode(pictures).mean, shipped.reconstruct(pictures)
    with torch.no_grad():
        # convolutions round to TF32 there
        assert (there.vae.encode(pictures.cuda()).mean.cpu() - means).abs().max() < 2e-2
    differ = float((there.tokenize(pictures.cuda()).cpu() != shipped.tokenize(pictures)).float().mean())
    print(f"{differ:.2%} of the indices differ")
    assert differ < 0.01
    decoded = there.detokenize(shipped.tokenize(pictures).cuda()).cpu()
    assert (decoded - images).abs().max() < 2e-2


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_loss_and_gradient(kind):
    here, there = tiny_model(kind), tiny_model(kind).cuda()
    indices, labels = some_tokens(here, 24)
    one = here.loss(indices, labels, seeded())
    other = there.loss(indices.cuda(), labels.cuda(), seeded())
    torch.testing.assert_close(other.cpu(), one, rtol=1e-5, atol=1e-5)
    one.backward(), other.backward()
    for (name, a), b in zip(here.named_parameters(), there.parameters()):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            torch.testing.assert_close(b.grad.cpu(), a.grad, rtol=1e-3, atol=1e-5,
                                       msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("options",
                         [{}, {"order": "confidence"}, {"temperature": 0.0}, {"top_k": 3}, {"top_p": 0.8}],
                         ids=str)
def test_generation_gives_the_same_indices(kind, options):
    from tokenbridge.generation import generate_indices
    if kind == "causal" and "order" in options:
        pytest.skip("a causal backbone has one order")
    here, there, labels = tiny_model(kind).double(), tiny_model(kind).double().cuda(), torch.arange(30) % 3
    draw = lambda model, at: generate_indices(model, labels.to(at), cfg_scale=3.0, seed=1, **options).cpu()
    assert torch.equal(draw(there, "cuda"), draw(here, "cpu"))


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_plans_are_the_same_bit_for_bit(kind):
    from tokenbridge.generation import draw_plan
    here, there = tiny_model(kind), tiny_model(kind).cuda()
    hidden = torch.ones(5, here.tokens, dtype=torch.bool)
    for luck in (dict(seed=1), dict(seed=1, first=7)):
        one, other = draw_plan(here, hidden, **luck), draw_plan(there, hidden.cuda(), **luck)
        assert other.noise.device.type == other.order.device.type == "cuda"
        assert torch.equal(other.noise.cpu(), one.noise) and torch.equal(other.order.cpu(), one.order)
    # a generator on the GPU gives the call's number, one after the other
    plans = [draw_plan(there, hidden.cuda(), generator=generator)
             for generator in 2 * [torch.Generator("cuda").manual_seed(0)]]
    assert not torch.equal(plans[0].noise, plans[1].noise)


def test_the_head_by_three_ways():
    head = tiny_model().head.cuda()
    context, indices = torch.randn(40, 24, generator=seeded()).cuda(), torch.randint(0, 7, (40, 5),
        generator=seeded()).cuda()
    with torch.no_grad():
        whole = head(context, indices)
        for other in (head.cached_logits(context, indices), head.stepwise_logits(context, indices)):
            torch.testing.assert_close(other, whole, rtol=1e-5, atol=1e-5)


def test_images_are_generated_in_bf16_and_from_a_generator_on_the_gpu(shipped):
    there = copy.deepcopy(shipped).cuda()
    for generator in (seeded(), torch.Generator("cuda").manual_seed(0)):
        with torch.autocast("cuda", torch.bfloat16):
            images = there.generate(torch.arange(10), steps=8, cfg_scale=3.0, generator=generator,
                                    chunk_size=4)
        assert images.device.type == "cuda" and images.shape == (10, 3, 32, 32) and images.isfinite().all()


def test_parts_on_two_devices_are_named(shipped):
    from tokenbridge import TokenBridge
    with pytest.raises(ValueError, match="^ar: expected it where the VAE lies, on cpu, got cuda"):
        TokenBridge(shipped.vae, shipped.quantizer, copy.deepcopy(shipped.ar).cuda())


def test_figures_do_not_depend_on_the_device(shipped, pictures, monkeypatch):
    from tokenbridge.classifier import load_classifier
    from tokenbridge.evaluation import judge_features, nearest, nll, ssim
    other = (pictures + 0.1 * torch.randn(pictures.shape, generator=seeded())).clamp(-1, 1)
    assert ssim(pictures.cuda(), other.cuda()) == pytest.approx(ssim(pictures, other), abs=1e-6)
    # far from zero: what TF32 would round away is the difference
    candidates = torch.randn(500, 3072, generator=seeded(1)) + 10
    queries = candidates[:20] + 0.3 * torch.randn(20, 3072, generator=seeded())
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    for ours, wanted in zip(nearest(queries.cuda(), candidates.cuda(), 3), nearest(queries, candidates, 3)):
        torch.testing.assert_close(ours.cpu(), wanted, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    judge = load_classifier("judge")
    torch.testing.assert_close(judge_features(copy.deepcopy(judge).cuda(), pictures),
                               judge_features(judge, pictures), rtol=2e-2, atol=2e-2)
    indices, labels = some_tokens(shipped.ar, 50)
    assert nll(copy.deepcopy(shipped.ar).cuda(), indices, labels,
               0) == pytest.approx(nll(shipped.ar, indices, labels, 0), abs=1e-4)


def train_tiny(folder, steps: int, resume: bool = False):
    "Train a tiny generator on random tokens on the GPU in bf16; the result and the model."
    from tokenbridge.optim import TrainConfig
    from tokenbridge.training import train
    model = tiny_model()
    indices, labels = some_tokens(model, 64)
    config = TrainConfig(steps=8, batch_size=16, accumulation=2, optimizer="muon", warmup=2, log_every=1,
                         save_every=2, precision="bf16")
    stop = lambda step, scalars: (_ for _ in ()).throw(KeyboardInterrupt) if step == steps else None
    try:
        return train(model, lambda module, batch, generator: module.loss(*batch, generator),
                     lambda ids, generator: (indices[ids], labels[ids]), 64, config, folder, resume,
                     on_step=stop if steps < 8 else None, progress=False, device="cuda"), model
    except KeyboardInterrupt:
        return None, model


def test_training_runs_in_bf16_and_resumes(tmp_path):
    from tokenbridge.training import choose_precision
    assert choose_precision("cuda") == ("bf16" if torch.cuda.is_bf16_supported(including_emulation=False)
                                        else "fp32")
    whole, model = train_tiny(tmp_path / "whole", 8)
    assert next(model.parameters()).is_cuda
    train_tiny(tmp_path / "halves", 5)
    halves, _ = train_tiny(tmp_path / "halves", 8, resume=True)
    equal = all(torch.equal(halves.ema[name], value) for name, value in whole.ema.items())
    print("resumed weights are", "bit-equal" if equal else "not bit-equal")
    for name, value in whole.ema.items():
        torch.testing.assert_close(halves.ema[name], value, rtol=1e-3, atol=1e-3)
    assert [row["step"] for row in halves.history] == list(range(1, 9))
    assert all(0 < row["peak_memory_gb"] < 200 and row["images_per_second"] > 0 for row in halves.history)


def test_a_section_of_full_size_names_kernels():
    from tokenbridge.experiments import full_size_section
    for section in ("train-32-recompute", "generate-64"):
        found = full_size_section(section, "cifar-tiny", "cuda", 8, 4, kept=False)["results"]
        assert found["peak_gb"] > 0 and len(found["self_ms"]) > 5
        assert not any(name.startswith("aten::") for name in found["self_ms"]), "kernels, not operations"


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_a_compiled_step_is_the_same_step(kind):
    from tokenbridge.benchmark import disagreement, training_step
    model = tiny_model(kind).cuda()
    tokens = [each.cuda() for each in some_tokens(model, 24)]
    plain, compiled = (training_step(model, *tokens, compiled=wanted) for wanted in (False, True))
    assert all(disagreement(compiled(), plain()) < 1e-4 for _ in range(3))


def test_muon_in_16_bits_makes_singular_values_one():
    from tokenbridge.optim import orthogonalize
    matrices = torch.randn(3, 40, 24, generator=seeded()).cuda()
    assert (torch.linalg.svdvals(orthogonalize(matrices)) - 0.95).abs().max() < 0.4


def test_demo_and_commands(tmp_path, monkeypatch):
    from tokenbridge import cli, data
    from tokenbridge.demo import run_demo

    def no_network(*args, **options):
        raise OSError("no network in tests")

    monkeypatch.setattr(data, "download_cifar10", no_network)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENBRIDGE_DATA", raising=False)
    metrics = run_demo("demo", fast=True, device="cuda")
    assert {"tokenizer", "generator", "samples"} <= metrics["results"].keys()
    for words in (["info", "--device", "cuda"],
                  ["generate", "--model", "./demo", "--num", "2", "--out", "made"],
                  ["generate", "--num", "2", "--precision", "bf16"], ["reconstruct", "--out", "rows.png"],
                  ["evaluate", "--num", "100", "--samples", "2", "--out", "metrics.json"],
                  ["train", "--tokenizer", "cifar-tiny", "--finetune", "--num", "200", "--steps", "4",
                   "--out", "runs/more", "--eval-every", "2"],
                  ["train-vae", "--num", "200", "--steps", "4", "--out", "runs/vae"]):
        assert not cli.main(words), words
    assert (tmp_path / "made" / "grid.png").is_file() and (tmp_path / "runs/more/model.safetensors").is_file()
