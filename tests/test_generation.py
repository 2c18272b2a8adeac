"The generation loop: every option changes the result as predicted, and nothing else does."
import copy
import dataclasses
import importlib
import math
import pkgutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tokenbridge
from tests.tools.tiny import tiny_config
from tokenbridge import checks
from tokenbridge.backbone import BackboneConfig
from tokenbridge.data import hashed_seed
from tokenbridge.generation import (
    ORDERS,
    Plan,
    SamplingDefaults,
    cosine_schedule,
    draw_plan,
    generate_indices,
    guidance_weights,
    guide,
    hidden_first,
    reveal_steps,
    step_counts,
    surest,
)
from tokenbridge.head import HeadConfig
from tokenbridge.model import ARConfig, ARModel
from tokenbridge.quantizer import dequantize

N, D, K, CLASSES = 6, 5, 7, 3
LABELS = torch.tensor([0, 1, 2, 3, 1])   # 3 means no label


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(config: ARConfig, seed: int = 0) -> ARModel:
    "A model whose weights are far from their zero start, so that every input has an effect."
    d, k = config.backbone.dims, config.head.num_levels
    model, generator = ARModel(config, torch.linspace(-2, 2, k).repeat(d, 1)).eval(), seeded(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


@pytest.fixture(scope="module")
def model() -> ARModel:
    return shaken(tiny_config("masked"))


@pytest.fixture(scope="module")
def causal() -> ARModel:
    return shaken(tiny_config("causal"))


@pytest.fixture(scope="module")
def parallel() -> ARModel:
    config = tiny_config("masked")
    return shaken(ARConfig(config.backbone, dataclasses.replace(config.head, kind="parallel")))


@pytest.fixture(scope="module")
def causal_parallel() -> ARModel:
    config = tiny_config("causal")
    return shaken(ARConfig(config.backbone, dataclasses.replace(config.head, kind="parallel")))


def generate(model: ARModel, seed: int = 0, labels: torch.Tensor = LABELS, **options) -> torch.Tensor:
    return generate_indices(model, labels, generator=seeded(seed), **options)


# ---------------------------------------------------------------------- schedule and weights
def official_counts(num: int, steps: int) -> list[int]:
    "The official rule, written with tensors: how many positions leave the mask at each step."
    hidden, counts = torch.tensor(float(num)), []
    for step in range(steps):
        length = torch.floor(torch.tensor(num * math.cos(math.pi / 2.0 * (step + 1) / steps),
                                          dtype=torch.float64))
        length = torch.maximum(torch.tensor(1.0),
                               torch.minimum(hidden - 1, length)) if step < steps - 1 else torch.tensor(0.0)
        counts.append(int(hidden - length))
        hidden = length
    return counts


@given(st.data())
def test_cosine_schedule_is_the_official_one_and_wastes_no_step(data):
    num = data.draw(st.integers(1, 300))
    steps = data.draw(st.integers(1, num))
    counts = cosine_schedule(num, steps)
    assert len(counts) == steps and sum(counts) == num and min(counts) >= 1
    assert counts == official_counts(num, steps)


def test_cosine_schedule_by_hand():
    assert cosine_schedule(16, 4) == [2, 3, 5, 6]
    assert cosine_schedule(9, 9) == [1] * 9
    assert cosine_schedule(9, 1) == [9]


def test_step_counts_follow_each_images_own_number():
    hidden = torch.arange(16) < torch.tensor([16, 5, 1, 0])[:, None]
    counts = step_counts(hidden, 4)
    assert counts[0].tolist() == cosine_schedule(16, 4) and counts[1].tolist() == cosine_schedule(5, 4)
    assert counts[2].tolist() == [1, 0, 0, 0] and counts[3].tolist() == [0, 0, 0, 0]
    assert step_counts(torch.zeros(2, 4, dtype=torch.bool), 4).shape == (2, 0)


def test_guidance_weights():
    left = torch.tensor([12, 4, 1, 0])
    linear = guidance_weights(3.0, "linear", left, 16)
    # the last step counts one hidden token
    assert torch.allclose(linear, torch.tensor([1.5, 2.5, 2.875, 2.875]))
    assert torch.equal(guidance_weights(3.0, "constant", left, 16), torch.full((4,), 3.0))
    assert torch.equal(guidance_weights(1.0, "linear", left, 16), torch.ones(4))


def test_guide():
    context = torch.randn(4, 3, 8, generator=seeded())
    labelled, unlabelled = context[:2], context[2:]
    assert torch.allclose(guide(context, torch.tensor([1.0, 0.0])), torch.stack([labelled[0], unlabelled[1]]),
                          atol=1e-6)
    assert torch.allclose(guide(context, torch.tensor([2.0, 3.0]))[1], 3 * labelled[1] - 2 * unlabelled[1],
                          atol=1e-5)


@given(st.integers(1, 12), st.integers(0, 1000))
def test_hidden_first_keeps_the_order_among_the_hidden(n, seed):
    generator = seeded(seed)
    order = torch.rand(3, n, generator=generator).argsort(1)
    hidden = torch.rand(3, n, generator=generator) < 0.5
    moved = hidden_first(order, hidden)
    for row, before, mask in zip(moved.tolist(), order.tolist(), hidden.tolist()):
        assert row == [p for p in before if mask[p]] + [p for p in before if not mask[p]]


def test_surest_marks_the_most_probable_and_never_padding():
    log_prob = torch.tensor([[-3.0, -1.0, -2.0], [0.0, -5.0, -9.0]])
    valid = torch.tensor([[True, True, True], [False, True, True]])
    assert surest(log_prob, valid, torch.tensor([2, 1])).tolist() == [[False, True, True],
        [False, True, False]]
    assert not surest(log_prob, valid, torch.tensor([0, 0])).any()


# ---------------------------------------------------------------------- the loop against a naive one
def naive(model: ARModel, labels: torch.Tensor, plan: Plan, cfg_scale: float, schedule: str,
          **sampling) -> torch.Tensor:
    "One image after the other, one token a step, two passes, everything computed anew."
    images = []
    for i in range(len(labels)):
        indices, hidden = torch.zeros(1, N, D, dtype=torch.int64), torch.ones(1, N, dtype=torch.bool)
        for step, p in enumerate(plan.order[i].tolist()):
            latents = dequantize(indices, model.levels)
            with_label, without = (model.backbone(latents, label, hidden)[:, p]
                                   for label in (labels[i:i + 1], torch.tensor([CLASSES])))
            known = (N - max(1, N - step - 1)) / N
            w = 1 + (cfg_scale - 1) * (known if schedule == "linear" else 1)
            tokens = model.head.sample(without + w * (with_label - without), plan.noise[i, p][None],
                                       **sampling)[0]
            indices[:, p], hidden[:, p] = tokens, False
        images.append(indices)
    return torch.cat(images)


@pytest.mark.parametrize("kind", ["model", "causal", "parallel", "causal_parallel"])
@pytest.mark.parametrize("cfg_scale, schedule",
                         [(1.0, "linear"), (3.0, "linear"), (2.5, "constant"), (0.0, "constant")])
def test_equals_the_naive_loop(kind, cfg_scale, schedule, request):
    model = request.getfixturevalue(kind)
    plan = draw_plan(model, torch.ones(len(LABELS), N, dtype=torch.bool), generator=seeded(1))
    with torch.no_grad():
        slow = naive(model, LABELS, plan, cfg_scale, schedule, temperature=0.9, top_k=5)
    fast = generate(model, 1, cfg_scale=cfg_scale, cfg_schedule=schedule, temperature=0.9, top_k=5)
    assert torch.equal(fast, slow)


def test_argmax_is_the_argmax_of_the_teacher_forced_logits(model):
    indices = generate(model, order="raster", temperature=0.0)
    hidden = torch.ones(len(LABELS), N, dtype=torch.bool)
    with torch.no_grad():
        for p in range(N):
            context = model.backbone(dequantize(indices, model.levels), LABELS, hidden)[:, p]
            assert torch.equal(model.head(context, indices[:, p]).argmax(-1), indices[:, p])
            hidden[:, p] = False


# ---------------------------------------------------------------------- sampling options
def test_ways_to_say_argmax(model):
    coldest = generate(model, order="raster", temperature=0.0)
    assert torch.equal(generate(model, 9, order="raster", temperature=0.0), coldest)    # no chance is left
    for option in (dict(top_k=1), dict(top_p=1e-9), dict(top_k=1, temperature=3.0), dict(temperature=1e-4)):
        assert torch.equal(generate(model, order="raster", **option), coldest), option
    assert not torch.equal(generate(model, order="raster"), coldest)


def test_options_that_change_nothing(model):
    plain = generate(model)
    for option in (dict(top_k=K), dict(top_p=1.0), dict(steps=N), dict(temperature=1.0),
                   dict(cfg_schedule="constant")):
        assert torch.equal(generate(model, **option), plain), option


def test_temperature_and_cuts_order_the_log_probability(model):
    labels = torch.arange(60) % 3

    def surprise(**options):
        indices = generate(model, labels=labels, steps=1, **options)
        with torch.no_grad():
            return float(model.token_nll(indices, labels, torch.ones(60, N, dtype=torch.bool)).mean())

    cold, cool, plain, hot = (surprise(temperature=t) for t in (0.0, 0.5, 1.0, 3.0))
    assert cold < cool < plain < hot
    assert surprise(top_k=2) < plain and surprise(top_p=0.5) < plain


def test_top_k_keeps_each_index_among_the_most_probable(model):
    indices = generate(model, order="raster", top_k=2)
    hidden = torch.ones(len(LABELS), N, dtype=torch.bool)
    with torch.no_grad():
        for p in range(N):
            logits = model.head(model.backbone(dequantize(indices, model.levels), LABELS, hidden)[:, p],
                                indices[:, p])
            assert (logits.topk(2).indices == indices[:, p, :, None]).any(-1).all()
            hidden[:, p] = False


# ---------------------------------------------------------------------- guidance
def test_no_doubled_work_without_guidance(model, monkeypatch):
    sizes, predict = [], model.backbone.predict
    monkeypatch.setattr(model.backbone, "predict", lambda state, latents,
                        *rest: sizes.append(len(latents)) or predict(state, latents, *rest))
    generate(model, steps=3)
    assert sizes == [5, 5, 5]
    generate(model, steps=3, cfg_scale=2.0)
    assert sizes[3:] == [10, 10, 10]


def test_guidance_scale_zero_ignores_the_label(model):
    nobody = torch.full_like(LABELS, CLASSES)
    assert torch.equal(generate(model, cfg_scale=0.0, cfg_schedule="constant"),
                       generate(model, labels=nobody))
    assert torch.equal(generate(model, labels=nobody, cfg_scale=5.0), generate(model, labels=nobody))
    assert not torch.equal(generate(model), generate(model, labels=nobody))


def test_linear_and_constant_schedule_differ_where_they_should(model):
    linear, constant = (generate(model, cfg_scale=6.0, cfg_schedule=s, steps=2)
                        for s in ("linear", "constant"))
    assert not torch.equal(linear, constant)
    weight = 1 + 5.0 * (N - 1) / N      # a single step counts one hidden token
    assert torch.equal(generate(model, cfg_scale=6.0, steps=1),
                       generate(model, cfg_scale=weight, cfg_schedule="constant", steps=1))


# ---------------------------------------------------------------------- randomness belongs to the image
CASES = [(kind, order) for kind in ("model", "parallel") for order in (None, *ORDERS)]
CASES += [("causal", None), ("causal_parallel", None)]


def hidden_of(num: int) -> torch.Tensor:
    return torch.ones(num, N, dtype=torch.bool)


def same_plan(one: Plan, other: Plan) -> bool:
    "Noise and order bit for bit."
    return torch.equal(one.noise, other.noise) and torch.equal(one.order, other.order)


@pytest.mark.parametrize("order", [None, *ORDERS])
@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_chunks_change_nothing_and_seeds_do(model, order, cfg_scale):
    options = dict(order=order, steps=3, cfg_scale=cfg_scale)
    whole = generate(model, **options)
    for chunk_size in (2, 99):
        assert torch.equal(generate(model, chunk_size=chunk_size, **options), whole)
    assert not torch.equal(generate(model, 1, **options), whole)


@pytest.mark.parametrize("kind, order", CASES)
@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_the_same_four_whether_four_or_five_are_asked_for(kind, order, cfg_scale, request):
    model = request.getfixturevalue(kind)
    options = dict(order=order, steps=None if "causal" in kind else 3, cfg_scale=cfg_scale, seed=7)
    five = generate_indices(model, LABELS, **options)
    assert torch.equal(generate_indices(model, LABELS[:4], **options), five[:4])
    # other neighbours, other chunks
    others = torch.cat([LABELS[:1], LABELS[1:].flip(0)])
    assert torch.equal(generate_indices(model, others, chunk_size=2, **options)[0], five[0])
    assert not torch.equal(five, generate_indices(model, LABELS, **options | dict(seed=8)))


@pytest.mark.parametrize("kind, order", CASES)
def test_eight_are_twice_four(kind, order, request):
    model, labels = request.getfixturevalue(kind), torch.arange(8) % 4
    options = dict(order=order, cfg_scale=2.0)
    for name, luck in (("seed", lambda: dict(seed=3)), ("generator", lambda: dict(generator=seeded(3)))):
        eight = generate_indices(model, labels, **luck(), **options)
        halves = [generate_indices(model, labels[i:i + 4], first=i, **luck(), **options) for i in (0, 4)]
        assert torch.equal(torch.cat(halves), eight), name
        assert not torch.equal(halves[1], generate_indices(model, labels[4:], **luck(), **options)), name


@pytest.mark.parametrize("kind, order", CASES)
def test_plans_are_the_same_bit_for_bit(kind, order, request):
    model = request.getfixturevalue(kind)
    five, four, last = (draw_plan(model, hidden_of(num), order=order, seed=7, first=first)
                        for num, first in ((5, 0), (4, 0), (2, 3)))
    for part, plan in ((slice(0, 4), four), (slice(3, 5), last)):
        assert same_plan(five.rows(part), plan)
    assert len(five.noise.flatten(1).unique(dim=0)) == 5
    # what else is hidden, and in how many steps, changes no draw
    fewer = hidden_of(5)
    fewer[1:, :3] = False
    if "causal" not in kind:
        assert same_plan(draw_plan(model, fewer, 2, order, seed=7).rows(slice(0, 1)), five.rows(slice(0, 1)))
        assert torch.equal(draw_plan(model, fewer, 2, order, seed=7).noise, five.noise)


def test_an_image_draws_noise_and_order_from_the_stream_of_number_and_place(model):
    plan = draw_plan(model, hidden_of(2), seed=11, first=5)
    for i in range(2):
        stream = torch.Generator().manual_seed(hashed_seed(f"11/{5 + i}"))
        assert torch.equal(plan.noise[i], torch.rand(1, N, D, generator=stream)[0])
        assert torch.equal(plan.order[i], model.backbone.default_order(1, stream)[0])
    number = int(torch.randint(0, 2 ** 63 - 1, (1,), generator=seeded(4)))
    assert same_plan(draw_plan(model, hidden_of(2), generator=seeded(4)),
                     draw_plan(model, hidden_of(2), seed=number))


@pytest.mark.parametrize("kind", ["model", "parallel"])
@pytest.mark.parametrize("order", [None, "random"])
def test_another_default_dtype_changes_no_draw(kind, order, request):
    model, usual = request.getfixturevalue(kind), torch.get_default_dtype()
    plain = draw_plan(model, hidden_of(3), order=order, seed=7)
    torch.set_default_dtype(torch.float64)
    try:
        assert same_plan(draw_plan(model, hidden_of(3), order=order, seed=7), plain)
    finally:
        torch.set_default_dtype(usual)


def test_a_generator_gives_a_number_for_each_call(model):
    generator, after = seeded(), seeded()
    first, second = (generate_indices(model, LABELS, generator=generator) for _ in range(2))
    assert torch.equal(first, generate(model)) and not torch.equal(first, second)
    # one number a call is all that is taken, whatever is asked for
    for _ in range(2):
        torch.randint(0, 2 ** 63 - 1, (1,), generator=after)
    assert torch.equal(generator.get_state(), after.get_state())


def test_without_a_generator_torchs_own_seed_governs(model):
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (5, 5, 6):
            torch.manual_seed(seed)
            drawn += [generate_indices(model, LABELS), generate_indices(model, LABELS)]
        assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
        assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[4])
        before = torch.get_rng_state()
        generate_indices(model, LABELS, seed=1), generate(model)
        assert torch.equal(torch.get_rng_state(), before)      # a seed or a generator leaves it alone


@pytest.mark.parametrize("seed, first", [(0, 0), (2 ** 63 - 1, 0), (1, 2 ** 70)])
def test_the_ends_of_the_range(model, seed, first):
    assert generate_indices(model, LABELS, steps=1, seed=seed, first=first).shape == (5, N, D)


# ---------------------------------------------------------------------- orders and steps
def test_one_step_is_the_same_in_every_order(model):
    results = [generate(model, order=order, steps=1)
               for order in (*ORDERS, torch.arange(N).flip(0).repeat(5, 1))]
    assert all(torch.equal(result, results[0]) for result in results)


def test_a_given_order_is_followed(model):
    order = torch.stack([torch.randperm(N, generator=seeded(i)) for i in range(5)])
    hidden = torch.ones(5, N, dtype=torch.bool)
    plan = draw_plan(model, hidden, steps=4, order=order, generator=seeded())
    states = list(reveal_steps(model, LABELS, torch.zeros(5, N, D, dtype=torch.int64), hidden, plan))
    shown = 0
    for (_, before), (_, after), count in zip(states, states[1:], cosine_schedule(N, 4)):
        for i in range(5):
            assert set((before[i] & ~after[i]).nonzero()[:, 0].tolist()) == set(order[i,
                shown:shown + count].tolist())
        shown += count
    assert torch.equal(states[-1][0], generate(model, steps=4, order=order))
    assert not torch.equal(generate(model, order=order), generate(model, order=order.flip(1)))


def test_named_orders(model):
    hidden = torch.ones(40, N, dtype=torch.bool)
    assert torch.equal(draw_plan(model, hidden, order="raster").order, torch.arange(N).repeat(40, 1))
    for order in (None, "random"):
        drawn = draw_plan(model, hidden, order=order, generator=seeded()).order
        assert torch.equal(drawn.sort(1).values,
                           torch.arange(N).repeat(40, 1)) and len(drawn.unique(dim=0)) > 20


@pytest.mark.parametrize("cfg_scale", [1.0, 2.0])
def test_confidence_commits_to_the_surest(model, cfg_scale):
    hidden = torch.ones(5, N, dtype=torch.bool)
    plan = draw_plan(model, hidden, steps=4, order="confidence", generator=seeded())
    sampling, nobody = SamplingDefaults(cfg_scale=cfg_scale), torch.full_like(LABELS, CLASSES)
    states = list(reveal_steps(model, LABELS, torch.zeros(5, N, D, dtype=torch.int64), hidden, plan,
                               sampling))
    for step, ((indices, before), (_, after)) in enumerate(zip(states, states[1:])):
        with torch.no_grad():
            contexts = [model.backbone(dequantize(indices, model.levels), labels, before)
                        for labels in (LABELS, nobody)]
            context = guide(torch.cat(contexts), guidance_weights(cfg_scale, "linear", plan.left(step), N))
            sure = model.head.sample(context.flatten(0, 1), plan.noise.flatten(0, 1))[1].view(5, N)
        for i in range(5):
            chosen, waiting = before[i] & ~after[i], after[i]
            assert int(chosen.sum()) == cosine_schedule(N, 4)[step]
            assert not waiting.any() or sure[i][chosen].min() >= sure[i][waiting].max() - 1e-5
    assert torch.equal(states[-1][0], generate(model, steps=4, order="confidence", cfg_scale=cfg_scale))


# ---------------------------------------------------------------------- known tokens
@pytest.mark.parametrize("order", [None, *ORDERS])
@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_known_tokens_come_back_bit_for_bit(model, order, cfg_scale):
    indices = torch.randint(K, (5, N, D), generator=seeded(3))
    mask = torch.rand(5, N, generator=seeded(4)) < torch.tensor([0.0, 0.3, 0.5, 0.8, 1.0])[:, None]
    options = dict(known=(indices, mask), order=order, steps=4, cfg_scale=cfg_scale)
    filled = generate(model, **options)
    assert torch.equal(filled[mask], indices[mask])
    # neighbours in the batch do not matter
    assert torch.equal(generate(model, chunk_size=1, **options), filled)
    # values at hidden positions do not matter
    scrambled = torch.where(mask[..., None], indices, (indices + 1) % K)
    assert torch.equal(generate(model, **{**options, "known": (scrambled, mask)}), filled)
    assert not torch.equal(generate(model, 1, **options)[~mask], filled[~mask])


def test_known_tokens_are_seen(model):
    mask = (torch.arange(N) < 3).repeat(5, 1)
    first, second = (generate(model, known=(torch.full((5, N, D), level), mask), temperature=0.0,
                              order="raster") for level in (0, K - 1))
    assert not torch.equal(first[:, 3:], second[:, 3:])


def test_nothing_known_and_all_known(model):
    indices = torch.randint(K, (5, N, D), generator=seeded(3))
    nothing, all_ = torch.zeros(5, N, dtype=torch.bool), torch.ones(5, N, dtype=torch.bool)
    assert torch.equal(generate(model, known=(indices, nothing)), generate(model))
    assert torch.equal(generate(model, known=(indices, all_), progress=print), indices)


def test_no_labels_at_all(model):
    known = torch.randint(K, (5, N, D), generator=seeded(3)), (torch.arange(N) < 2).repeat(5, 1)
    nobody = torch.full_like(LABELS, CLASSES)
    assert torch.equal(generate(model, labels=None, known=known), generate(model, labels=nobody, known=known))


def test_labels_may_be_integers_in_a_list(model):
    assert torch.equal(generate(model, labels=LABELS.tolist()), generate(model))
    assert torch.equal(generate(model, labels=tuple(LABELS.tolist())), generate(model))
    assert torch.equal(generate(model, labels=LABELS.to(torch.uint8)), generate(model))


# ---------------------------------------------------------------------- the causal backbone
@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_causal_cached_equals_uncached(causal, cfg_scale, monkeypatch):
    cached = generate(causal, cfg_scale=cfg_scale)
    assert cached.unique().numel() > 2
    begin = causal.backbone.start
    monkeypatch.setattr(causal.backbone, "start", lambda labels: begin(labels, cached=False))
    assert torch.equal(generate(causal, cfg_scale=cfg_scale), cached)


def test_causal_goes_on_from_a_known_beginning(causal):
    whole = generate(causal, cfg_scale=2.0)
    known = whole, (torch.arange(N) < 4).repeat(5, 1)
    assert torch.equal(generate(causal, cfg_scale=2.0, known=known), whole)   # same noise, same continuation
    assert torch.equal(generate(causal, cfg_scale=2.0, known=known, chunk_size=2), whole)


@pytest.mark.parametrize("options, word", [
    (dict(steps=3), "steps"), (dict(order="random"), "order"), (dict(order="confidence"), "order"),
    (dict(order=torch.arange(N).flip(0).repeat(5, 1)), "order"),
    (dict(known=(torch.zeros(5, N, D, dtype=torch.int64), (torch.arange(N) > 2).repeat(5, 1))), "known")])
def test_causal_refuses_what_it_cannot_do(causal, options, word):
    with pytest.raises(ValueError, match=word):
        generate(causal, **options)


# ---------------------------------------------------------------------- checks stand at the door
@pytest.fixture
def looks(monkeypatch) -> list[tuple[str, str]]:
    "Every call of a check of tensors, as (function, name of the argument), in whatever module it is made."
    made: list[tuple[str, str]] = []
    modules = [importlib.import_module(f"tokenbridge.{each.name}")
               for each in pkgutil.iter_modules(tokenbridge.__path__) if not each.name.startswith("_")]
    for check in ("check_tensor", "check_finite", "check_indices"):
        def counted(name, *rest, check=check, plain=getattr(checks, check), **options):
            made.append((check, name))
            return plain(name, *rest, **options)
        for module in modules:
            if hasattr(module, check):
                monkeypatch.setattr(module, check, counted)
    return made


@pytest.mark.parametrize("head", ["dimensions", "parallel"])
@pytest.mark.parametrize("order", [None, "confidence"])
def test_sixteen_steps_look_at_few_shapes_and_at_no_values(looks, head, order):
    config = tiny_config("masked", tokens=16)
    model = shaken(ARConfig(config.backbone, dataclasses.replace(config.head, kind=head)))
    looks.clear()
    generate_indices(model, torch.arange(16) % 3, steps=16, cfg_scale=3.0, order=order, seed=0)
    shapes = [name for check, name in looks if check == "check_tensor"]
    assert 10 < len(shapes) <= 100, shapes
    # values: the labels at the door, once by us and once by the backbone's start; nothing within the loop
    # but the head's one look for NaN, which asks for details only where it finds one
    assert [pair for pair in looks if pair[0] != "check_tensor"] == 2 * [("check_indices", "labels")]


def test_a_nan_in_the_weights_is_no_ordinary_image(model):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        next(broken.head.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        generate(broken)


# ---------------------------------------------------------------------- manners
def test_progress(model, capsys):
    calls = []
    generate(model, steps=3, chunk_size=2, progress=lambda step, steps: calls.append((step, steps)))
    assert calls == [(step, 9) for step in range(1, 10)]
    generate(model, steps=3, progress=True)
    assert "3/3" in capsys.readouterr().err


def test_dropout_is_off_and_the_modes_are_put_back():
    model = shaken(tiny_config("masked", dropout=0.5))
    calm = generate(model)
    model.train()
    model.head.eval()
    modes = [part.training for part in model.modules()]
    assert torch.equal(generate(model), calm)
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(RuntimeError):
        generate(model, progress=lambda step, steps: (_ for _ in ()).throw(RuntimeError("stop")))
    assert [part.training for part in model.modules()] == modes


def test_the_result_can_be_trained_on(model):
    indices = generate(model, steps=2)
    model.loss(indices, LABELS, seeded()).backward()
    model.zero_grad()
    assert indices.dtype == torch.int64 and not indices.is_inference()


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.parametrize("tokens, dims, levels", [(1, 1, 2), (9, 3, 16), (4, 16, 64), (12, 2, 3)])
def test_other_sizes(kind, tokens, dims, levels):
    backbone = BackboneConfig(kind=kind, tokens=tokens, dims=dims, classes=2, width=16, encoder_blocks=1,
                              decoder_blocks=1, heads=2, class_tokens=1)
    model = shaken(ARConfig(backbone,
                            HeadConfig(dims=dims, num_levels=levels, context_width=16, width=8, blocks=1,
                                       heads=2)))
    indices = generate(model, labels=torch.tensor([0, 1, 2]), cfg_scale=2.0)
    assert indices.shape == (3, tokens, dims) and 0 <= int(indices.min()) and int(indices.max()) < levels
