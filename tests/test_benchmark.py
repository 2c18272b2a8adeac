"Benchmark: naive versions compute what ours do, counters count, the report is complete; no time is asserted."
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tools import tiny
from tokenbridge import benchmark, transformer
from tokenbridge.benchmark import (
    Duel,
    agree,
    count_operations,
    default_attention,
    disagreement,
    fresh_steps,
    naive_generate,
    naive_quantize,
    naive_sample,
    peak_bytes,
    run,
    run_rounds,
    seconds,
    table,
    training_step,
)
from tokenbridge.generation import generate_indices
from tokenbridge.quantizer import fit_levels, quantize
from tokenbridge.training import _has_mallopt, layers_compiled

CPU = torch.device("cpu")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def shaken(tiny_model):
    "A small model of each kind whose gates are open."
    for number, parameter in enumerate(tiny_model.parameters()):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=seeded(number))
    return tiny_model.eval()


def tokens(model, b):
    n, (d, k) = model.config.backbone.tokens, model.levels.shape
    return torch.randint(k, (b, n, d), generator=seeded(3)), torch.arange(b) % model.config.backbone.classes


@given(st.integers(1, 9), st.integers(2, 40), st.integers(0, 1000))
def test_quantizing_agrees(dims, levels, seed):
    latents = torch.randn(3, 70, dims, generator=seeded(seed))
    table = fit_levels(latents.flatten(0, 1), levels)
    assert disagreement(quantize(latents, table), naive_quantize(latents, table)) < 0.01


def test_sampling_agrees(shaken):
    context, noise = torch.randn(40, shaken.config.head.context_width, generator=seeded(0)), torch.rand(40,
        len(shaken.levels), generator=seeded(1))
    ours = shaken.head.sample(context, noise)[0]
    assert torch.equal(naive_sample(shaken.head, context, noise), ours)
    assert len(ours.unique()) > 2  # they agree on something


@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_generation_agrees(shaken, cfg_scale):
    n = shaken.config.backbone.tokens
    labels = torch.tensor([0, 2, 1])
    for steps in {n, n if shaken.config.backbone.kind == "causal" else 3}:
        ours = generate_indices(shaken, labels, steps, cfg_scale, generator=seeded(5))
        assert torch.equal(naive_generate(shaken, labels, steps, cfg_scale, seeded(5)), ours)


def test_training_steps_agree(shaken):
    before = {name: value.clone() for name, value in shaken.state_dict().items()}
    ours, naive = (training_step(shaken, *tokens(shaken, 4), default=default) for default in (False, True))
    losses = []
    for _ in range(3):
        a, b = ours(), naive()
        assert disagreement(a, b) < 1e-4
        losses.append(float(a[0]))
    assert losses[2] < losses[0]  # it trains
    assert all(torch.equal(value, before[name]) for name, value in shaken.state_dict().items())  # a copy


def test_bf16_is_near(shaken):
    ours, naive = (training_step(shaken, *tokens(shaken, 4), precision=precision)
                   for precision in ("bf16", "fp32"))
    apart = disagreement(ours(), naive())
    assert 0 < apart < 5e-2


def test_default_attention_is_default_and_leaves_no_trace(monkeypatch):
    chosen, asked = transformer.attention, []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(transformer.F, "scaled_dot_product_attention", lambda *a,
                        **k: asked.append(1) or fused(*a, **k))
    layer, x = transformer.Attention(8, 2), torch.randn(2, 3, 8)
    plain = layer(x)
    assert not asked  # short, on a CPU, with a gradient: written out
    with pytest.raises(KeyError), default_attention():
        assert disagreement(layer(x), plain) < 1e-5 and asked
        raise KeyError
    assert transformer.attention is chosen


def test_operations():
    a, b = torch.randn(4, 5, 6), torch.randn(4, 6, 7)
    result, operations = count_operations(lambda: torch.bmm(a, b))
    assert operations == 2 * 4 * 5 * 6 * 7 and torch.equal(result, torch.bmm(a, b))
    assert count_operations(lambda: a + 1)[1] == 0


def test_memory():
    x = torch.ones(100)
    assert peak_bytes(lambda: x.view(10, 10).t()) == 0                      # a view makes nothing
    assert peak_bytes(lambda: x.add_(1)) == 0
    assert peak_bytes(lambda: (x + 1) + 1) == 800                           # both are alive at once
    assert peak_bytes(lambda: [x + 1 for _ in range(3)][0]) == 1200
    assert peak_bytes(lambda: torch.ones(50).expand(9, 50).sum()) == 204    # an expanded tensor costs once


def test_naive_memory_grows_with_the_levels_and_ours_does_not():
    latents = torch.randn(200, 3, generator=seeded(0))
    few, many = (fit_levels(latents, levels) for levels in (8, 64))
    naive, ours = ([peak_bytes(lambda: way(latents, levels)) for levels in (few, many)]
                   for way in (naive_quantize, quantize))
    assert naive[1] > 7 * naive[0] and ours[1] < 2 * ours[0] and ours[1] < naive[1]


def test_disagreement():
    assert disagreement(torch.tensor([1, 2]), torch.tensor([1, 3])) == 0.5
    assert disagreement(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0])) == pytest.approx(0.2)
    assert disagreement(torch.zeros(2), torch.zeros(2)) == 0


def test_unequal_programs_are_refused():
    with pytest.raises(RuntimeError, match="sums: expected a disagreement of at most 0.0001"):
        agree(Duel("sums", "", lambda: torch.ones(2), lambda: 2 * torch.ones(2), 1.0))
    with pytest.raises(RuntimeError, match="got nan"):
        agree(Duel("sums", "", lambda: torch.tensor([float("nan")]), lambda: torch.ones(1), 1.0))


def test_rounds_are_interleaved():
    calls = []
    times = run_rounds({name: lambda name=name: calls.append(name) for name in "ab"}, 3, CPU)
    assert calls == list("ababab") and set(times) == {"a", "b"} and min(times.values()) >= 0


def test_seconds_calls_once():
    calls = []
    assert seconds(lambda: calls.append(1), CPU) >= 0 and calls == [1]


@pytest.fixture
def small(monkeypatch):
    "The preset of this name is as small as a test can use."
    monkeypatch.setattr(benchmark, "_model", lambda name, device: tiny.tiny_model("masked"))
    monkeypatch.setattr(benchmark, "fresh_steps", lambda preset, batch_size,
                        kept: {"ms": 2.0 - kept, "faults": 10.0 - 9 * kept})
    monkeypatch.setattr(benchmark, "product_work", lambda device,
                        precision: ((lambda: torch.ones(9, 9) @ torch.ones(9, 9)), 2.0 * 9**3))


def test_report(small, capsys):
    report = run("cifar-tiny", 2, 1)
    assert [row["name"] for row in report["rows"]] == ["quantize", "head sampling", "generation",
        "training step"]
    assert [row["bar"] for row in report["rows"]] == [10, 4, 1.4, 2]
    for row in report["rows"]:
        assert set(row) == {"name", "sizes", "ours_ms", "naive_ms", "ratio", "floor_ms", "bar", "precision",
                            "disagreement"}
        assert min(row["ours_ms"], row["naive_ms"], row["floor_ms"]) > 0 and row["sizes"]
        assert row["ratio"] == pytest.approx(row["naive_ms"] / row["ours_ms"])
    assert report["memory"]["ratio"] > 1
    kept = report["kept"]
    assert kept is None or [kept[key]
                            for key in ("ours_ms", "naive_ms", "ratio", "ours_faults", "naive_faults")] == [1,
                                2, 2, 1, 10]
    assert {"preset", "batch_size", "rounds", "device", "threads", "product_gflops",
            "copy_gb_per_s"} < set(report)
    printed = capsys.readouterr().out
    assert all(row["name"] in printed for row in report["rows"]) and table(report) in printed


def test_a_fresh_process_keeps_its_memory():
    pytest.importorskip("resource")
    for _ in range(3):   # the heap of a process that gives memory back may by chance have nothing to give
        kept, plain = (fresh_steps("cifar-tiny", 32, kept) for kept in (True, False))
        assert min(kept["ms"], plain["ms"]) > 0 and kept["faults"] >= 0
        if not _has_mallopt() or (fewer := kept["faults"] < 0.5 * plain["faults"]):
            break
    assert not _has_mallopt() or fewer
    with pytest.raises(RuntimeError,
                       match="fresh_steps: the other process failed: ValueError: preset: expected one of"):
        fresh_steps("cifar-giant", 1, True)


def test_silent_on_request(small, capsys):
    run("cifar-tiny", 1, 1, progress=False)
    assert not capsys.readouterr().out


def test_duels_of_a_real_preset():
    duels = benchmark.make_duels("cifar-tiny", 2, CPU)
    assert all(agree(duel)["disagreement"] <= duel.tolerance for duel in duels[:2])
    assert "4 x 256 tokens x 16 dimensions, 64 levels" in duels[0].sizes
    assert "8 tokens x 16 dimensions" in duels[1].sizes


def test_a_compiled_step_has_the_operations_of_the_plain_one(small, monkeypatch):
    graphs = []
    monkeypatch.setattr(benchmark, "layers_compiled",
                        partial(layers_compiled, backend=lambda graph,
                                inputs: (graphs.append(graph), graph.forward)[1]))
    plain, compiled = (benchmark.make_duels("cifar-tiny", 2, CPU, "fp32", wanted)[-1]
                       for wanted in (False, True))
    assert compiled.sizes == f"{plain.sizes}, compiled"
    found = agree(compiled)
    assert found["operations"] == agree(plain)["operations"] and found["disagreement"] < 1e-4 and graphs
