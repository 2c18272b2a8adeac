"Bad inputs of `transformer`, and the message each must give."
import torch

from tokenbridge import transformer as t

ZEROS = torch.zeros(2, 3, 4, 5)  # b heads n c
FULL = t.KVCache(4)
FULL.append(ZEROS, ZEROS)

ROWS = {
    "attention": [
        (lambda: t.attention(ZEROS[0], ZEROS[0], ZEROS[0]), ValueError,
         "queries: expected shape (b heads n c), got shape (3, 4, 5)"),
        (lambda: t.attention(ZEROS, ZEROS[..., :4], ZEROS), ValueError,
         "keys: expected shape (b heads keys c), b = 2, heads = 3, c = 5, got shape (2, 3, 4, 4)"),
        (lambda: t.attention(ZEROS, ZEROS[:1], ZEROS[:1]), ValueError,
         "keys: expected shape (b heads keys c), b = 2"),
        (lambda: t.attention(ZEROS, ZEROS, ZEROS[:, :, :3]), ValueError,
         "values: expected shape (b heads keys v), b = 2, heads = 3, keys = 4"),
        (lambda: t.attention(ZEROS, ZEROS, ZEROS, torch.ones(2, 4)), ValueError,
         "mask: expected bool values of shape (b keys)"),
        (lambda: t.attention(ZEROS, ZEROS, ZEROS, torch.ones(2, 5, dtype=torch.bool)), ValueError,
         "mask: expected shape (b keys), b = 2, keys = 4"),
        (lambda: t.attention(ZEROS, ZEROS[:, :, :2], ZEROS[:, :, :2], causal=True), ValueError,
         "queries: expected at most 2 of them"),
    ],
    "KVCache": [
        (lambda: t.KVCache(0), ValueError, "capacity: expected an integer of at least 1, got 0"),
        (lambda: t.KVCache(4.0), ValueError, "capacity: expected an integer of at least 1, got 4.0"),
    ],
    "KVCache.append": [
        (lambda: FULL.append(ZEROS, ZEROS), ValueError,
         "keys: expected at most 0 more tokens in the cache, got 4"),
        (lambda: t.KVCache(3).append(ZEROS, ZEROS), ValueError,
         "keys: expected at most 3 more tokens in the cache, got 4"),
        (lambda: t.KVCache(4).append(ZEROS, ZEROS[:, :, :3]), ValueError,
         "values: expected shape (b heads n c), b = 2, heads = 3, n = 4"),
    ],
    "KVCache.reset": "internal: takes no argument",
    "Attention": [
        (lambda: t.Attention(24, 5), ValueError, "heads: expected a divisor of the width 24, got 5"),
        (lambda: t.Attention(24, 0), ValueError, "heads: expected an integer of at least 1, got 0"),
        (lambda: t.Attention(0, 1), ValueError, "width: expected an integer of at least 1, got 0"),
        (lambda: t.Attention(24, 4, dropout=1.5), ValueError,
         "dropout: expected a number in [0, 1], got 1.5"),
        (lambda: t.Attention(24, 4, attention_dropout=-0.1), ValueError,
         "attention_dropout: expected a number in [0, 1], got -0.1"),
        (lambda: t.Attention(24, 4, norm_eps=0), ValueError, "norm_eps: expected a number above 0, got 0"),
    ],
    "Attention.forward": "internal: the innermost loop, entered through backbones and heads, which check",
    "Mlp": [
        (lambda: t.Mlp(-8), ValueError, "width: expected an integer of at least 1, got -8"),
        (lambda: t.Mlp(8, 0.0), ValueError, "mlp_ratio: expected a number above 0, got 0.0"),
        (lambda: t.Mlp(8, 0.01), ValueError, "mlp_ratio: expected at least one hidden number"),
        (lambda: t.Mlp(8, dropout=2), ValueError, "dropout: expected a number in [0, 1], got 2"),
    ],
    "Block": [
        (lambda: t.Block(24, 7), ValueError, "heads: expected a divisor of the width 24, got 7"),
        (lambda: t.Block(24, 4, mlp_ratio=-4.0), ValueError,
         "mlp_ratio: expected a number above 0, got -4.0"),
        (lambda: t.Block(24, 4, norm_eps=float("nan")), ValueError,
         "norm_eps: expected a number above 0, got nan"),
    ],
    "Block.forward": "internal: the innermost loop, entered through backbones, which check what comes in",
    "Modulation": [
        (lambda: t.Modulation(0), ValueError, "width: expected an integer of at least 1, got 0"),
        (lambda: t.Modulation(8, 0), ValueError, "parts: expected an integer of at least 1, got 0"),
    ],
    "AdaLNBlock": [
        (lambda: t.AdaLNBlock(24, 7), ValueError, "heads: expected a divisor of the width 24, got 7"),
        (lambda: t.AdaLNBlock(24, 4, dropout=-1), ValueError, "dropout: expected a number in [0, 1], got -1"),
    ],
    "AdaLNBlock.forward": "internal: the innermost loop, entered through the head, which checks",
    "init_weights": "internal: called by the constructors of backbones and heads on themselves",
}
