"Attention against PyTorch's own layers, the masks, the cache, and the steered block."
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tokenbridge.transformer import (
    AdaLNBlock,
    Attention,
    Block,
    KVCache,
    Mlp,
    Modulation,
    attention,
    init_weights,
)


def rand(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def reference(queries, keys, values, allowed=None):
    "Every query by itself, in Python."
    out = torch.zeros(*queries.shape[:3], values.shape[-1], dtype=queries.dtype)
    b, heads, n, c = queries.shape
    allowed = torch.ones(b, heads, n, keys.shape[2],
                         dtype=torch.bool) if allowed is None else allowed.expand(b, heads, n, -1)
    for image, head, query in [(i, j, k) for i in range(b) for j in range(heads) for k in range(n)]:
        scores = [math.exp(float((queries[image, head, query] @ key).detach()) / math.sqrt(c))
                  for key in keys[image, head]]
        scores = [score if may else 0.0 for score, may in zip(scores, allowed[image, head, query].tolist())]
        if sum(scores):
            out[image, head, query] = sum(score / sum(scores) * value for score,
                                          value in zip(scores, values[image, head]))
    return out


@given(b=st.integers(1, 2), heads=st.integers(1, 3), n=st.integers(1, 5), cached=st.integers(0, 4),
       c=st.integers(1, 7),
       masked=st.booleans(), causal=st.booleans(), seed=st.integers(0, 99))
def test_attention_equals_the_loop(b, heads, n, cached, c, masked, causal, seed):
    queries, keys, values = rand(b, heads, n, c, seed=seed), rand(b, heads, n + cached, c,
        seed=seed + 1), rand(b, heads, n + cached, c + 2, seed=seed + 2)
    mask = rand(b, n + cached, seed=seed) > -0.5 if masked else None
    allowed = torch.ones(1, 1, n, n + cached, dtype=torch.bool)
    if masked:
        allowed = allowed & mask[:, None, None]
    if causal:
        allowed = allowed & (torch.arange(n + cached) <= cached + torch.arange(n)[:, None])
    expected = reference(queries, keys, values, allowed)
    for choice in (True, False, None):
        torch.testing.assert_close(attention(queries, keys, values, mask, causal, written_out=choice),
                                   expected)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_both_programs_have_the_same_gradient(masked, causal):
    inputs = [rand(2, 3, 6, 5, seed=i).requires_grad_() for i in range(3)]
    mask = torch.tensor([[True] * 6, [False, True, True, False, True, False]]) if masked else None
    gradients = [torch.autograd.grad(attention(*inputs, mask, causal, written_out=choice).square().sum(),
                                     inputs) for choice in (True, False)]
    torch.testing.assert_close(*gradients)


def test_who_may_look_at_nobody_gets_zeros_and_no_nan():
    inputs = [rand(2, 3, 4, 5, seed=i, dtype=torch.float32).requires_grad_() for i in range(3)]
    mask = torch.tensor([[False] * 4, [True] * 4])
    for choice in (True, False):
        out = attention(*inputs, mask, written_out=choice)
        assert not out[0].any() and out[1].all()
        assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), inputs))


@pytest.mark.parametrize("dtype, masked", [(torch.float32, False), (torch.bfloat16, False),
                                           (torch.bfloat16, True)])
def test_the_faster_program_is_chosen(monkeypatch, dtype, masked):
    from tokenbridge import transformer
    longest = {torch.float32: 32, torch.bfloat16: 192}[dtype]
    calls = []
    monkeypatch.setattr(transformer, "_written_out", lambda q, k, v, *rest: calls.append(k.shape[2]) or q)
    for num in (longest, longest + 1):
        x = rand(1, 1, num, 4, dtype=dtype).requires_grad_()
        attention(x, x, x, torch.ones(1, num, dtype=torch.bool) if masked else None)
    with torch.no_grad():
        attention(x * 1, x, x)
    assert calls == [longest]


def test_a_key_mask_in_fp32_is_the_fused_kernels(monkeypatch):
    from tokenbridge import transformer
    monkeypatch.setattr(transformer, "_written_out", None)
    x = rand(1, 1, 8, 4, dtype=torch.float32).requires_grad_()
    attention(x, x, x, torch.ones(1, 8, dtype=torch.bool)).sum().backward()
    assert x.grad is not None


def test_attention_dropout_keeps_the_mean():
    torch.manual_seed(0)
    queries, values = torch.zeros(1, 1, 2000, 4), torch.ones(1, 1, 2000, 4)
    out = attention(queries, queries, values, dropout=0.25, written_out=True)
    assert 0.01 < out.std() < 0.03 and abs(out.mean() - 1) < 0.005


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_stays_close(dtype):
    inputs = [rand(2, 3, 6, 8, seed=i, dtype=torch.float32) for i in range(3)]
    for choice in (True, False):
        out = attention(*(t.to(dtype) for t in inputs), torch.ones(2, 6, dtype=torch.bool), True,
                        written_out=choice)
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), attention(*inputs, causal=True), atol=0.03, rtol=0)


# ---------------------------------------------------------------------- layers against PyTorch's
@pytest.mark.parametrize("width, heads", [(24, 4), (20, 1), (6, 6)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_layer_equals_multihead_attention(width, heads, causal):
    torch.manual_seed(0)
    layer, oracle = Attention(width, heads), nn.MultiheadAttention(width, heads, batch_first=True)
    oracle.load_state_dict({"in_proj_weight": layer.qkv.weight, "in_proj_bias": layer.qkv.bias,
                            "out_proj.weight": layer.proj.weight, "out_proj.bias": layer.proj.bias})
    x, mask = torch.randn(3, 7, width), torch.rand(3, 7) < 0.7
    mask[:, 0] = True
    forbidden = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
    expected, _ = oracle(x, x, x, key_padding_mask=~mask, attn_mask=forbidden)
    torch.testing.assert_close(layer(x, mask, causal), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ratio, eps", [(4.0, 1e-6), (2.5, 1e-2)])
def test_block_equals_encoder_layer(ratio, eps):
    torch.manual_seed(0)
    block = Block(16, 4, ratio, norm_eps=eps)
    oracle = nn.TransformerEncoderLayer(16, 4, int(16 * ratio), 0.0, "gelu", eps, batch_first=True,
                                        norm_first=True)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    pairs = [(oracle.norm1, block.norm1), (oracle.norm2, block.norm2), (oracle.linear1, block.mlp.fc1),
             (oracle.linear2, block.mlp.fc2), (oracle.self_attn.out_proj, block.attn.proj)]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    oracle.self_attn.load_state_dict({"in_proj_weight": block.attn.qkv.weight,
                                      "in_proj_bias": block.attn.qkv.bias}, strict=False)
    x, mask = torch.randn(2, 9, 16), torch.tensor([[True] * 9, [True] * 5 + [False] * 4])
    causal = torch.ones(9, 9, dtype=torch.bool).triu(1)
    torch.testing.assert_close(block(x), oracle(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(block(x, mask), oracle(x, src_key_padding_mask=~mask), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(block(x, causal=True), oracle(x, src_mask=causal), atol=1e-5, rtol=1e-4)


def test_mlp_is_two_matrices_and_a_gelu():
    mlp = Mlp(6, 1.5).double()
    x = rand(2, 3, 6)
    hidden = x @ mlp.fc1.weight.T + mlp.fc1.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(mlp(x), hidden @ mlp.fc2.weight.T + mlp.fc2.bias)
    assert mlp.fc1.out_features == 9


def test_dropout_only_in_training():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16)
    for block in (Block(16, 2, dropout=0.5), Block(16, 2, attention_dropout=0.5)):
        assert not torch.equal(block(x), block(x))
        block.eval()
        assert torch.equal(block(x), block(x))


# ---------------------------------------------------------------------- the steered block
def steered(width: int = 12, heads: int = 3, **options) -> AdaLNBlock:
    torch.manual_seed(0)
    block = AdaLNBlock(width, heads, **options)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    return block.double()


def layer_norm(x, norm):
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    return x * norm.weight + norm.bias


@pytest.mark.parametrize("qk_norm", [True, False])
def test_steered_block_is_its_formula(qk_norm):
    block, x, condition = steered(qk_norm=qk_norm, norm_eps=1e-3), rand(2, 5, 12), rand(2, 5, 12, seed=1)
    out = condition * condition.sigmoid() @ block.modulation.weight.T + block.modulation.bias
    shift1, scale1, gate1, shift2, scale2, gate2 = out.reshape(2, 5, 6, 12).unbind(2)
    qkv = (layer_norm(x, block.norm1) * (1 + scale1) + shift1) @ block.attn.qkv.weight.T + block.attn.qkv.bias
    queries, keys, values = qkv.reshape(2, 5, 3, 3, 4).permute(2, 0, 3, 1, 4)
    if qk_norm:
        queries, keys = layer_norm(queries, block.attn.q_norm), layer_norm(keys, block.attn.k_norm)
    answers = reference(queries, keys, values, torch.ones(5, 5, dtype=torch.bool).tril()).transpose(1,
        2).reshape(2, 5, 12)
    expected = x + gate1 * block.attn.proj(answers)
    expected = expected + gate2 * block.mlp(layer_norm(expected, block.norm2) * (1 + scale2) + shift2)
    torch.testing.assert_close(block(x, block.modulation(condition)), expected)


def test_steered_block_starts_as_the_identity_and_learns_from_there():
    block, x, condition = AdaLNBlock(12, 3), rand(2, 5, 12, dtype=torch.float32), rand(2, 5, 12, seed=1,
        dtype=torch.float32)
    out = block(x, block.modulation(condition))
    assert torch.equal(out, x)
    (out * x).sum().backward()
    gates = block.modulation.weight.grad.reshape(6, 12, 12).abs().sum((1, 2))
    assert gates[2] > 0 and gates[5] > 0 and not gates[[0, 1, 3, 4]].any()  # the gates open first


@given(n=st.integers(1, 6), data=st.data())
def test_steered_block_in_steps_equals_the_whole(n, data):
    block, x, condition = steered(), rand(2, n, 12), rand(2, n, 12, seed=1)
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=3))) if n > 1 else []
    modulation, cache, parts = block.modulation(condition), KVCache(n), []
    with torch.no_grad():
        for begin, end in zip([0, *cuts], [*cuts, n]):
            parts.append(block(x[:, begin:end], [part[:, begin:end] for part in modulation], cache))
        torch.testing.assert_close(torch.cat(parts, 1), block(x, modulation), atol=1e-10, rtol=1e-10)


@given(n=st.integers(2, 7), seed=st.integers(0, 50))
def test_causal_blocks_do_not_see_later_tokens(n, seed):
    plain, ada = Block(12, 3).double(), steered()
    x, modulation = rand(2, n, 12, seed=seed), ada.modulation(rand(2, n, 12, seed=seed + 1))
    cut = seed % (n - 1) + 1
    other = x.clone()
    other[:, cut:] += 5 * rand(2, n - cut, 12, seed=seed + 2)
    for run in (lambda t: plain(t, causal=True), lambda t: ada(t, modulation)):
        torch.testing.assert_close(run(x)[:, :cut], run(other)[:, :cut])
        assert not torch.allclose(run(x)[:, cut:], run(other)[:, cut:])


def test_key_mask_hides_values():
    block, x = Block(12, 3), rand(2, 6, 12, dtype=torch.float32)
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    other = x.clone()
    other[1, 3:] = 1e4
    torch.testing.assert_close(block(x, mask)[:, :3], block(other, mask)[:, :3])
    # padding changes nothing
    torch.testing.assert_close(block(x, mask)[1:, :3], block(x[1:, :3]), atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------- the cache
def test_cache_is_allocated_once_and_reused():
    cache = KVCache(4)
    keys = [rand(2, 3, 1, 5, seed=i, dtype=torch.float32) for i in range(4)]
    cache.append(keys[0], -keys[0])
    place = cache.keys.data_ptr()
    for key in keys[1:]:
        seen, values = cache.append(key, -key)
    assert cache.keys.data_ptr() == place == seen.data_ptr() and cache.length == 4
    assert tuple(cache.keys.shape) == (2, 3, 4, 5)
    assert torch.equal(seen, torch.cat(keys, 2)) and torch.equal(values, -seen)
    cache.reset()
    seen, _ = cache.append(keys[2], keys[2])
    assert cache.length == 1 and torch.equal(seen, keys[2]) and cache.keys.data_ptr() == place


def test_cache_takes_the_precision_of_what_comes():
    cache = KVCache(3)
    cache.append(*torch.zeros(2, 1, 1, 2, 4, dtype=torch.bfloat16))
    assert cache.keys.dtype == torch.bfloat16


def test_causal_block_with_cache_under_autocast():
    block, x = Block(16, 2), rand(2, 4, 16, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        cache = KVCache(4)
        parts = [block(x[:, i:i + 1], causal=True, cache=cache) for i in range(4)]
    torch.testing.assert_close(torch.cat(parts, 1).float(), block(x, causal=True), atol=0.1, rtol=0.1)


# ---------------------------------------------------------------------- initialisation
def test_init_weights():
    model = nn.ModuleList([Block(64, 2), AdaLNBlock(64, 2)])
    nn.init.normal_(model[1].modulation.weight)
    init_weights(model)
    bound = math.sqrt(6 / (64 + 3 * 64))
    assert 0.95 * bound < model[0].attn.qkv.weight.abs().max() <= bound
    assert not any(part.bias.any() for part in model.modules() if isinstance(part, nn.Linear))
    assert not model[1].modulation.weight.any() and model[1].attn.q_norm.weight.eq(1).all()


def test_parameter_names_and_shapes():
    shapes = {name: tuple(value.shape) for name,
              value in AdaLNBlock(12, 3).state_dict().items() if name.endswith("weight")}
    assert shapes == {"norm1.weight": (12,), "norm2.weight": (12,), "attn.qkv.weight": (36, 12),
                      "attn.proj.weight": (12, 12),
                      "attn.q_norm.weight": (4,), "attn.k_norm.weight": (4,), "mlp.fc1.weight": (48, 12),
                      "mlp.fc2.weight": (12, 48),
                      "modulation.weight": (72, 12)}
    assert len(Modulation(8, 2)(torch.zeros(3, 8))) == 2


@pytest.mark.parametrize("mask", [None, torch.ones(0, 5, dtype=torch.bool)])
@pytest.mark.parametrize("causal", [False, True])
def test_no_images_are_no_error(mask, causal):
    queries = torch.randn(0, 2, 5, 4, requires_grad=True)
    for written_out in (True, False):
        assert attention(queries, queries, queries, mask, causal, written_out=written_out).shape == (0, 2, 5,
            4)
