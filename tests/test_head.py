"Heads: ways to the same logits, a proper distribution, sampling, orders, the interface, official numbers."
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbridge.files import load_tensors
from tokenbridge.head import (
    DimensionHead,
    Head,
    HeadConfig,
    ParallelHead,
    filter_logits,
    sample_categorical,
)
from tokenbridge.head import make_head as build


def make_head(dims=5, levels=7, width=24, blocks=2, heads=4, context_width=10, order="shuffled", seed=0,
              **options):
    "A head with all gates open: every weight is shaken, so that nothing agrees by being zero."
    torch.manual_seed(seed)
    order = torch.randperm(dims) if isinstance(order, str) else order
    head = DimensionHead(HeadConfig(dims, levels, context_width, width, blocks, heads, **options),
                         order).eval()
    for parameter in head.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return head


def make_input(head, m=9, seed=1):
    generator = torch.Generator().manual_seed(seed)
    c = head.config
    return torch.randn(m, c.context_width, generator=generator), torch.randint(c.num_levels, (m, c.dims),
        generator=generator)


def noise_for(head, m, seed=2):
    return torch.rand(m, head.config.dims, generator=torch.Generator().manual_seed(seed))


# ---- the same logits by every way

@pytest.mark.parametrize("dims, levels, width, heads",
                         [(16, 16, 32, 4), (5, 7, 24, 2), (8, 3, 16, 1), (3, 64, 8, 2), (2, 2, 8, 4),
                          (1, 5, 8, 1)])
@torch.no_grad()
def test_forced_stepwise_and_cached_logits_agree(dims, levels, width, heads):
    head = make_head(dims, levels, width, heads=heads)
    context, indices = make_input(head)
    forced = head(context, indices)
    assert forced.shape == (9, dims, levels) and forced.std() > 0.1
    assert (forced - head.stepwise_logits(context, indices)).abs().max() < 1e-5
    assert (forced - head.cached_logits(context, indices)).abs().max() < 1e-5


@torch.no_grad()
def test_a_step_sees_only_what_comes_before_it_in_the_order():
    head = make_head(6, 5)
    context, indices = make_input(head)
    before = head(context, indices)
    for step, dim in enumerate(head.order.tolist()):
        changed = indices.clone()
        changed[:, dim] = (changed[:, dim] + 1) % 5
        moved = (head(context, changed) - before).abs().amax((0, 2)) > 1e-6
        seen = moved[head.order[:step + 1]]
        assert not seen.any(), f"dimension {dim} is seen by itself or by an earlier step"
        assert moved[head.order[step + 1:]].all(), f"dimension {dim} is not seen by a later step"


@torch.no_grad()
def test_tokens_do_not_see_each_other():
    head = make_head()
    context, indices = make_input(head)
    alone = torch.cat([head(context[i:i + 1], indices[i:i + 1]) for i in range(9)])
    assert torch.allclose(alone, head(context, indices), atol=1e-5)


@torch.no_grad()
def test_every_step_hears_the_context():
    head = make_head()
    context, indices = make_input(head)
    other = head(context + 1, indices)
    assert ((other - head(context, indices)).abs().amax((0, 2)) > 1e-3).all()


@settings(max_examples=10)
@given(st.permutations(range(4)))
@torch.no_grad()
def test_the_order_is_a_permutation_of_the_same_network(order):
    head, plain = make_head(4, 5, order=order), make_head(4, 5, order=None)
    plain.load_state_dict({**head.state_dict(), "order": torch.arange(4)})
    context, indices = make_input(head)
    order = torch.tensor(order)
    assert torch.allclose(head(context, indices)[:, order], plain(context, indices[:, order]), atol=1e-6)
    noise = noise_for(head, 9)
    (tokens, sure), (ordered, also) = head.sample(context, noise), plain.sample(context, noise[:, order])
    assert torch.equal(tokens[:, order], ordered) and torch.allclose(sure, also, atol=1e-5)


def test_the_order_travels_with_the_weights():
    head, other = make_head(order=[4, 2, 0, 1, 3]), make_head(order=None, seed=3)
    other.load_state_dict(head.state_dict())
    context, indices = make_input(head)
    assert other.order.tolist() == [4, 2, 0, 1, 3] and torch.equal(head(context, indices),
        other(context, indices))


# ---- a distribution

@pytest.mark.parametrize("dims, levels", [(3, 4), (2, 9), (4, 2)])
@torch.no_grad()
def test_all_tokens_together_have_probability_one(dims, levels):
    head = make_head(dims, levels)
    every = torch.cartesian_prod(*[torch.arange(levels)] * dims)
    context = torch.randn(1, 10, generator=torch.Generator().manual_seed(4))
    log_prob = head(context.expand(len(every), -1), every).log_softmax(-1).gather(-1,
        every[..., None]).sum((1, 2))
    assert abs(log_prob.exp().sum() - 1) < 1e-4


@torch.no_grad()
def test_samples_follow_the_distribution():
    head = make_head(2, 3, order=[1, 0])
    every, context = torch.cartesian_prod(torch.arange(3), torch.arange(3)), torch.randn(1, 10,
        generator=torch.Generator().manual_seed(5))
    expected = head(context.expand(9, -1), every).log_softmax(-1).gather(-1,
        every[..., None]).sum((1, 2)).exp()
    tokens, _ = head.sample(context.expand(20_000, -1), noise_for(head, 20_000))
    shares = torch.bincount(tokens[:, 0] * 3 + tokens[:, 1], minlength=9) / 20_000
    assert (shares - expected).abs().max() < 0.012   # more than three deviations of the likeliest


@pytest.mark.parametrize("options",
                         [{}, {"temperature": 0.5}, {"temperature": 3.0}, {"top_k": 2}, {"top_p": 0.4},
                          {"temperature": 0}])
@torch.no_grad()
def test_log_prob_is_that_of_the_untempered_distribution(options):
    head = make_head()
    context, _ = make_input(head)
    tokens, log_prob = head.sample(context, noise_for(head, 9), **options)
    expected = head(context, tokens).log_softmax(-1).gather(-1, tokens[..., None]).sum((1, 2))
    assert log_prob.shape == (9,) and torch.allclose(log_prob, expected, atol=1e-5)


# ---- sampling

@torch.no_grad()
def test_greedy_is_argmax_at_every_step_and_top_k_one():
    head = make_head()
    context, _ = make_input(head)
    greedy, _ = head.sample(context, noise_for(head, 9), temperature=0)
    assert torch.equal(greedy, head(context, greedy).argmax(-1))
    assert torch.equal(greedy, head.sample(context, noise_for(head, 9, seed=7), top_k=1)[0])
    assert torch.equal(greedy, head.sample(context, noise_for(head, 9, seed=8), top_p=1e-6)[0])
    assert not torch.equal(greedy, head.sample(context, noise_for(head, 9))[0])


@torch.no_grad()
def test_sampling_is_a_function_of_its_arguments():
    head = make_head()
    context, noise = make_input(head, 12)[0], noise_for(head, 12)
    whole = head.sample(context, noise)[0]
    torch.manual_seed(123)
    assert torch.equal(torch.cat([head.sample(context[i:i + 5], noise[i:i + 5])[0] for i in (0, 5, 10)]),
                       whole)


@torch.no_grad()
def test_no_tokens_at_all():
    head = make_head()
    tokens, log_prob = head.sample(torch.zeros(0, 10), torch.zeros(0, 5))
    assert tokens.shape == (0, 5) and log_prob.shape == (0,) and head(torch.zeros(0, 10), tokens).shape == (0,
        5, 7)


@torch.no_grad()
def test_sampling_recomputes_nothing(monkeypatch):
    "The modulations once for all steps, and every block runs d elements."
    head = make_head(8, 5)
    calls, elements = [], []
    block = head.blocks[0]
    make, run = block.modulation.forward, block.forward
    monkeypatch.setattr(block.modulation, "forward", lambda c: calls.append(c.shape[:2]) or make(c))
    monkeypatch.setattr(block, "forward", lambda x, *rest,
                        **more: elements.append(x.shape[1]) or run(x, *rest, **more))
    head.sample(torch.zeros(3, 10), torch.zeros(3, 8))
    assert calls == [(3, 8)] and elements == [1] * 8


@torch.no_grad()
def test_official_first_step_changes_sampling_but_not_training():
    head, official = make_head(order=None), make_head(order=None, official_first_step=True)
    context, indices = make_input(head)
    assert torch.equal(head(context, indices), official(context, indices))
    assert (official.cached_logits(context, indices) - official(context, indices)).abs().max() > 1e-3
    assert (official.cached_logits(context, indices) - official.stepwise_logits(context,
        indices)).abs().max() < 1e-5


# ---- filter_logits and sample_categorical

def rows(k=6, m=50, seed=0):
    return torch.randn(m, k, generator=torch.Generator().manual_seed(seed)) * 2


@given(st.floats(0.05, 20), st.integers(2, 9))
def test_temperature_divides(temperature, k):
    assert torch.allclose(filter_logits(rows(k), temperature), rows(k) / temperature)


@given(st.integers(1, 9), st.integers(2, 9))
def test_top_k_keeps_the_best(top_k, k):
    logits = rows(k)
    kept = filter_logits(logits, top_k=top_k).isfinite()
    assert (kept.sum(-1) == min(top_k, k)).all()
    assert (logits.masked_fill(~kept, float("inf")).amin(-1) >= logits.masked_fill(kept,
        float("-inf")).amax(-1)).all()


@given(st.floats(0.01, 1), st.integers(2, 9))
def test_top_p_keeps_the_fewest_that_reach_it(top_p, k):
    logits = rows(k)
    kept, p = filter_logits(logits, top_p=top_p).isfinite(), logits.softmax(-1)
    share = (p * kept).sum(-1)
    assert (share >= top_p - 1e-5).all()
    # without the last one it is not reached
    assert (share - p.masked_fill(~kept, 2).amin(-1) < top_p + 1e-5).all()


def test_top_p_of_one_keeps_everything():
    logits = torch.tensor([0.0, -20.0])   # beside the first the second is lost in a sum of 32 bits
    assert torch.equal(filter_logits(logits, top_p=1.0), logits)
    assert filter_logits(logits, top_p=0.99).isfinite().tolist() == [True, False]


def test_top_p_looks_at_what_top_k_has_left_and_stops_exactly():
    kept = lambda p, **options: filter_logits(torch.tensor(p).log(), **options).isfinite().tolist()
    # 4/7 are more than 0.55
    assert kept([0.4, 0.3, 0.2, 0.1], top_k=2, top_p=0.55) == [True, False, False, False]
    assert kept([0.5, 0.25, 0.25], top_p=0.5) == [True, False, False]                      # reached is enough


def test_an_order_may_be_an_array():
    for order in ([2, 0, 1], torch.tensor([2, 0, 1]), torch.tensor([2, 0, 1]).numpy()):
        assert make_head(3, order=order).order.tolist() == [2, 0, 1]


def test_equal_logits_keep_exactly_top_k():
    assert filter_logits(torch.zeros(3, 5),
                         top_k=2).isfinite().tolist() == [[True, True, False, False, False]] * 3
    assert filter_logits(torch.zeros(3, 5), temperature=0).isfinite().sum(-1).tolist() == [1, 1, 1]


def test_filters_work_together_and_in_half_precision():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    # 4/9 is not enough
    assert filter_logits(logits, top_k=3, top_p=0.5).isfinite().tolist() == [True, True, False, False]
    assert filter_logits(logits.bfloat16(), 0.5).dtype == torch.float32


@given(st.integers(2, 70), st.floats(0, 1, exclude_max=True, width=32))
def test_inverse_cdf(k, u):
    logits = rows(k, 1)[0]
    index = int(sample_categorical(logits, torch.tensor(u)))
    below = logits.double().softmax(-1).cumsum(-1)
    assert 0 <= index < k
    assert index == 0 or below[index - 1] <= u + 1e-5
    assert below[index] > u - 1e-5


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-24])
def test_a_ruled_out_level_is_never_drawn(u):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, 64, generator=generator) * 5
    gone = torch.rand(2000, 64, generator=generator) < 0.7
    gone[:, 17] = False
    drawn = sample_categorical(logits.masked_fill(gone, float("-inf")), torch.full((2000,), u))
    assert not gone.gather(1, drawn[:, None]).any()


# ---- training

def test_the_first_loss_is_that_of_guessing():
    for dims, levels in ((16, 16), (5, 64), (3, 4)):
        torch.manual_seed(0)
        head = DimensionHead(HeadConfig(dims=dims, num_levels=levels))
        context, indices = torch.randn(300, 192), torch.randint(levels, (300, dims))
        loss = F.cross_entropy(head(context, indices).flatten(0, 1), indices.flatten())
        assert abs(loss - torch.tensor(float(levels)).log()) < 0.1


def test_every_parameter_learns():
    head = make_head()
    context, indices = make_input(head, 200)
    F.cross_entropy(head(context, indices).flatten(0, 1), indices.flatten()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


def test_it_learns_what_a_parallel_head_cannot():
    "Two equal dimensions: the second costs nothing once the first is known."
    torch.manual_seed(0)
    head = DimensionHead(HeadConfig(dims=2, num_levels=8, context_width=1, width=16, blocks=1, heads=1),
                         order=[1, 0])
    optimizer, one = torch.optim.AdamW(head.parameters(), 1e-2), torch.ones(64, 1)
    for _ in range(60):
        indices = torch.randint(8, (64, 1)).expand(64, 2)
        loss = F.cross_entropy(head(one, indices).flatten(0, 1), indices.flatten())
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    assert loss < 0.6 * torch.tensor(8.0).log()   # a parallel head stays at ln 8
    tokens, _ = head.sample(one, noise_for(head, 64))
    assert (tokens[:, 0] == tokens[:, 1]).float().mean() > 0.95 and len(tokens[:, 0].unique()) > 4


def test_dropout_only_in_training():
    head = make_head(dropout=0.5)
    context, indices = make_input(head)
    assert torch.equal(head(context, indices), head(context, indices))
    head.train()
    assert not torch.equal(head(context, indices), head(context, indices))


def test_autocast():
    head = make_head()
    context, indices = make_input(head)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert (head(context, indices).float() - head.cached_logits(context,
            indices).float()).abs().max() < 0.3
        assert head.sample(context, noise_for(head, 9))[1].dtype == torch.float32


# ---- the interface: costs, noise, sample

def parallel_head(dims=5, levels=7, context_width=10, seed=0, **options):
    torch.manual_seed(seed)
    head = ParallelHead(HeadConfig(dims, levels, context_width, 24, 2, 4, kind="parallel", **options)).eval()
    for parameter in head.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return head


HEADS = {"dimensions": make_head, "parallel": parallel_head}


def test_the_configuration_chooses():
    for kind, cls in (("dimensions", DimensionHead), ("parallel", ParallelHead)):
        head = build(HeadConfig(kind=kind), list(range(15, -1, -1)))
        assert type(head) is cls and isinstance(head, Head)
    assert build(HeadConfig(dims=3), [2, 0, 1]).order.tolist() == [2, 0, 1]


@torch.no_grad()
def test_costs_are_the_cross_entropy_of_the_logits():
    for name, make in HEADS.items():
        head = make()
        context, tokens = make_input(head)
        logits = head(context, tokens) if name == "dimensions" else head(context)
        expected = -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        costs = head.costs(context, tokens.to(torch.uint8))
        assert costs.shape == (9, 5) and torch.allclose(costs, expected, atol=1e-6)
        assert head.costs(context[:0], tokens[:0]).shape == (0, 5)


@pytest.mark.parametrize("kind", HEADS)
def test_the_mean_of_the_costs_trains_as_the_mean_cross_entropy(kind):
    head = HEADS[kind]()
    context, tokens = make_input(head, 300)
    parameters = list(head.parameters())
    logits = head(context, tokens) if kind == "dimensions" else head(context)
    one = F.cross_entropy(logits.flatten(0, 1), tokens.flatten())
    ours = head.costs(context, tokens).mean()
    assert abs(one - ours) < 1e-6
    for old, new in zip(torch.autograd.grad(one, parameters), torch.autograd.grad(ours, parameters)):
        assert torch.equal(old, new)


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_the_score_is_minus_the_sum_of_the_costs(kind):
    head = HEADS[kind]()
    context, _ = make_input(head)
    for options in ({}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.4}, {"temperature": 0}):
        tokens, score = head.sample(context, noise_for(head, 9), **options)
        assert tokens.min() >= 0 and tokens.max() < 7 and tokens.dtype == torch.int64
        assert torch.allclose(score, -head.costs(context, tokens).sum(1), atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_noise_is_uniform_and_follows_the_generator(kind):
    head, seeded = HEADS[kind](), lambda: torch.Generator().manual_seed(3)
    noise = head.noise(40, 25, seeded())
    assert noise.shape == (40, 25, 5) and noise.min() >= 0 and noise.max() < 1
    assert abs(noise.mean() - 0.5) < 0.02
    assert torch.equal(noise, torch.rand(40, 25, 5, generator=seeded()))
    torch.manual_seed(5)
    first = head.noise(2, 3)
    torch.manual_seed(5)
    assert torch.equal(first, head.noise(2, 3)) and head.noise(0, 3).shape == (0, 3, 5)


@torch.no_grad()
def test_the_parallel_head_knows_no_other_dimension():
    head = parallel_head()
    context, tokens = make_input(head)
    before, changed = head.costs(context, tokens), tokens.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 7
    moved = (head.costs(context, changed) - before).abs().amax(0) > 1e-6
    assert moved.tolist() == [False, False, True, False, False]
    noise = noise_for(head, 9)
    other = noise.clone()
    other[:, 2] = (other[:, 2] + 0.5) % 1
    same = head.sample(context, noise)[0] == head.sample(context, other)[0]
    assert same[:, [0, 1, 3, 4]].all() and not same[:, 2].all()


@torch.no_grad()
def test_parallel_samples_follow_the_distribution():
    head = parallel_head(2, 3)
    context = torch.randn(1, 10, generator=torch.Generator().manual_seed(5))
    expected = head(context)[0].softmax(-1)
    tokens, _ = head.sample(context.expand(20_000, -1), noise_for(head, 20_000))
    shares = torch.stack([torch.bincount(column, minlength=3) / 20_000 for column in tokens.T])
    assert (shares - expected).abs().max() < 0.012


def test_the_parallel_head_starts_and_learns_like_the_other():
    torch.manual_seed(0)
    head = ParallelHead(HeadConfig(kind="parallel", dropout=0.1))
    context, tokens = torch.randn(300, 192), torch.randint(16, (300, 16))
    loss = head.costs(context, tokens).mean()
    assert abs(loss - torch.tensor(16.0).log()) < 0.1
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


# ---- the official model

def official_weights(tensors, blocks=2, dims=16):
    "The official names to ours."
    old = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    new = {"dim_embed": old["channel_embed"][0], "step_embed": old["timesteps_embeddings"][0],
           "token_embed": torch.stack([old[f"token_embeddings.{i}.weight"] for i in range(dims - 1)])}
    for kind in ("weight", "bias"):
        new |= {f"condition_proj.{kind}": old[f"condition_proj.{kind}"],
                f"norm.{kind}": old[f"channel_norm.{kind}"],
                f"final_modulation.{kind}": old[f"channel_final.adaLN_modulation.1.{kind}"],
                f"out_{kind}": torch.stack([old[f"channel_heads.{i}.{kind}"] for i in range(dims)])}
    blocks = {name: value for name, value in old.items() if name.startswith("channel_blocks.")}
    return new | {name.replace("channel_blocks", "blocks").replace("adaLN_modulation.1", "modulation"): value
                  for name, value in blocks.items()}


@torch.no_grad()
def test_official_logits_and_loss(golden):
    tensors, metadata = load_tensors(golden / "tokenbridge-small.safetensors")
    order = json.loads(metadata["config"])["channel_order"]
    head = DimensionHead(HeadConfig(16, 16, 64, 64, 2, 4, norm_eps=1e-5), order)
    head.load_state_dict(official_weights(tensors) | {"order": torch.tensor(order)})
    hidden = tensors["mask"].bool()
    context, indices = tensors["z"][hidden], tensors["indices"][hidden]
    logits = head(context, indices)
    # golden logits are in the order of generation
    assert (logits[:, order] - tensors["logits"]).abs().max() < 1e-5
    assert abs(F.cross_entropy(logits.flatten(0, 1), indices.flatten()) - tensors["loss"]) < 1e-5
    assert (head.cached_logits(context, indices) - logits).abs().max() < 2e-5


@pytest.mark.parametrize("temperature", [0, 1e-45, 1e-38, 1e-31])
def test_the_coldest_is_the_most_probable(temperature):
    logits = torch.tensor([[-9.0, 1.0, 6.0, 3.0]])
    assert sample_categorical(filter_logits(logits, temperature), torch.tensor([0.5])).tolist() == [2]


def test_narrow_integers_are_integers():
    head = make_head()
    context, indices = make_input(head)
    for way in (head, head.cached_logits, head.stepwise_logits):
        assert torch.equal(way(context, indices), way(context, indices.to(torch.uint8)))


@pytest.mark.parametrize("kind", ["dimensions", "parallel"])
def test_classifiers_start_small_or_as_officially(kind):
    spread = {}
    for start in ("small", "xavier"):
        torch.manual_seed(0)
        head = build(HeadConfig(dims=5, num_levels=7, context_width=24, width=160, kind=kind, heads=2,
                                    classifiers=start))
        spread[start] = head.out_weight.std().item()
        assert not head.out_bias.any()
    assert abs(spread["small"] - 0.02) < 0.002 and abs(spread["xavier"] - (2 / 167) ** 0.5) < 0.01
