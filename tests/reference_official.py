"""The official model once more, plainly and slowly, as an oracle that shares no line with the package.

Weights are a dictionary of tensors under the official names. Nothing is cached, nothing is batched that need
not be, every linear layer is a matrix product in sight. Run as a script, it makes the golden files beside it:

    python tests/reference_official.py
"""
import json
import math
from pathlib import Path

import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def linear(weights: dict, name: str, x: Tensor) -> Tensor:
    "x W^T + bias."
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def layer_norm(x: Tensor, eps: float, weights: dict | None = None, name: str = "") -> Tensor:
    "Zero mean and unit variance over the last axis, then the affine part if there is one."
    x = x - x.mean(-1, keepdim=True)
    x = x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)
    return x if weights is None else x * weights[name + ".weight"] + weights[name + ".bias"]


def gelu(x: Tensor) -> Tensor:
    "x times the probability that a standard normal lies below x."
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def silu(x: Tensor) -> Tensor:
    "x times its sigmoid."
    return x / (1 + torch.exp(-x))


# ---------------------------------------------------------------------- levels
def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def normal_quantile(p: float) -> float:
    "The inverse of the normal distribution function, by bisection."
    low, high = -40.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if normal_cdf(middle) < p else (low, middle)
    return (low + high) / 2


def level_values(num_levels: int, sigma_range: float = 3.0) -> list[float]:
    "Means of a standard normal in equally probable regions whose boundaries are clipped to the range."
    edges = [-sigma_range] + [normal_quantile(i / num_levels) for i in range(1, num_levels)] + [sigma_range]
    edges = [min(max(edge, -sigma_range), sigma_range) for edge in edges]
    density = [math.exp(-edge * edge / 2) / math.sqrt(2 * math.pi) for edge in edges]
    return [(density[i] - density[i + 1]) / (normal_cdf(edges[i + 1]) - normal_cdf(edges[i]))
            for i in range(num_levels)]


def quantize(latents: Tensor, values: list[float], value_range: float = 5.0,
             sigma_range: float = 3.0) -> Tensor:
    "Index of the nearest level of each number, by looking at every level."
    squeezed = (2 * sigma_range * (latents
                                   + value_range) / (2 * value_range) - sigma_range).clamp(-sigma_range,
                                       sigma_range)
    return torch.stack([(squeezed - value).abs() for value in values]).argmin(0)


def dequantize(indices: Tensor, values: list[float], value_range: float = 5.0,
               sigma_range: float = 3.0) -> Tensor:
    "The level of each index, mapped back from the sigma range to the value range."
    levels = torch.tensor(values, dtype=torch.float64)[indices]
    return (levels + sigma_range) / (2 * sigma_range) * 2 * value_range - value_range


# ---------------------------------------------------------------------- backbone
def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    "Attention of one head: q, k, v (n, c)."
    scores = q @ k.T / math.sqrt(q.shape[-1])
    if causal:
        for row in range(len(scores)):
            scores[row, row + 1:] = -math.inf
    return torch.softmax(scores, -1) @ v


def vit_block(weights: dict, name: str, x: Tensor, heads: int, eps: float) -> Tensor:
    "A pre-norm transformer block on one sequence (n, e)."
    q, k, v = linear(weights, name + ".attn.qkv", layer_norm(x, eps, weights, name + ".norm1")).chunk(3, -1)
    c = q.shape[-1] // heads
    mixed = [attention(*(t[:, h * c:(h + 1) * c] for t in (q, k, v))) for h in range(heads)]
    x = x + linear(weights, name + ".attn.proj", torch.cat(mixed, -1))
    hidden = gelu(linear(weights, name + ".mlp.fc1", layer_norm(x, eps, weights, name + ".norm2")))
    return x + linear(weights, name + ".mlp.fc2", hidden)


def encode(weights: dict, config: dict, latents: Tensor, class_vector: Tensor, mask: list[int]) -> Tensor:
    "One image: latents (n, d), mask 1 = hidden. Buffer positions and visible tokens after the encoder."
    buffer = config["buffer_size"]
    tokens = linear(weights, "z_proj", latents)
    x = torch.cat([class_vector.expand(buffer, -1), tokens]) + weights["encoder_pos_embed_learned"][0]
    x = layer_norm(x, 1e-6, weights, "z_proj_ln")
    x = x[[row for row in range(len(x)) if row < buffer or not mask[row - buffer]]]
    for i in range(config["encoder_depth"]):
        x = vit_block(weights, f"encoder_blocks.{i}", x, config["encoder_num_heads"], config["eps"])
    return layer_norm(x, config["eps"], weights, "encoder_norm")


def decode(weights: dict, config: dict, encoded: Tensor, mask: list[int]) -> Tensor:
    "One image: context (n, W) of every position."
    buffer, encoded = config["buffer_size"], linear(weights, "decoder_embed", encoded)
    rows, seen = list(encoded[:buffer]), buffer
    for hidden in mask:
        rows.append(weights["mask_token"][0, 0] if hidden else encoded[seen])
        seen += 0 if hidden else 1
    x = torch.stack(rows) + weights["decoder_pos_embed_learned"][0]
    for i in range(config["decoder_depth"]):
        x = vit_block(weights, f"decoder_blocks.{i}", x, config["decoder_num_heads"], config["eps"])
    return layer_norm(x, config["eps"], weights, "decoder_norm")[buffer:] + weights["output_pos_embed"][0]


# ---------------------------------------------------------------------- head
def head_block(weights: dict, name: str, x: Tensor, conditions: Tensor, heads: int, eps: float) -> Tensor:
    "A causal block on one token's sequence (s, K); conditions (s, K) steer shift, scale and gate."
    shift1, scale1, gate1, shift2, scale2, gate2 = linear(weights, name + ".adaLN_modulation.1",
        silu(conditions)).chunk(6, -1)
    normed = layer_norm(x, eps, weights, name + ".norm1") * (1 + scale1) + shift1
    q, k, v = linear(weights, name + ".attn.qkv", normed).chunk(3, -1)
    c, mixed = q.shape[-1] // heads, []
    for h in range(heads):
        part = slice(h * c, (h + 1) * c)
        mixed.append(attention(layer_norm(q[:, part], eps, weights, name + ".attn.q_norm"),
                               layer_norm(k[:, part], eps, weights, name + ".attn.k_norm"), v[:, part],
                               causal=True))
    x = x + gate1 * linear(weights, name + ".attn.proj", torch.cat(mixed, -1))
    normed = layer_norm(x, eps, weights, name + ".norm2") * (1 + scale2) + shift2
    return x + gate2 * linear(weights, name + ".mlp.fc2", gelu(linear(weights, name + ".mlp.fc1", normed)))


def head(weights: dict, config: dict, context: Tensor, prefix: list[int], official: bool = False) -> Tensor:
    "One token: logits of steps 0 .. len(prefix), (len(prefix) + 1, k), in generation order."
    steps, eps = len(prefix) + 1, config["eps"]
    condition = linear(weights, "condition_proj", context)
    offsets = weights["timesteps_embeddings"][0]
    rows = [condition + offsets[0] if official else condition]
    rows += [weights[f"token_embeddings.{i}.weight"][index] for i, index in enumerate(prefix)]
    x = torch.stack(rows) + weights["channel_embed"][0, :steps]
    conditions = condition + offsets[:steps]
    for i in range(config["channel_depth"]):
        x = head_block(weights, f"channel_blocks.{i}", x, conditions, config["channel_heads"], eps)
    scale, shift = linear(weights, "channel_final.adaLN_modulation.1", silu(conditions)).chunk(2, -1)
    x = layer_norm(layer_norm(x, eps, weights, "channel_norm"), eps) * (1 + scale) + shift
    return torch.stack([linear(weights, f"channel_heads.{i}", x[i]) for i in range(steps)])


# ---------------------------------------------------------------------- whole model
def forward(weights: dict, config: dict, indices: Tensor, labels: Tensor, mask: Tensor) -> dict:
    "Teacher-forced run of (b, n, d) indices: what the encoder, the decoder and the head give, and the loss."
    values, order = level_values(config["quant_levels"]), config["channel_order"]
    out = {"encoder_out": [], "z": [], "logits": []}
    losses = []
    for image, label, hidden in zip(indices, labels.tolist(), mask.int().tolist()):
        encoded = encode(weights, config, dequantize(image, values), weights["class_emb.weight"][label],
                         hidden)
        context = decode(weights, config, encoded, hidden)
        out["encoder_out"].append(encoded)
        out["z"].append(context)
        for token in (t for t in range(len(hidden)) if hidden[t]):
            target = image[token][order].tolist()
            logits = head(weights, config, context[token], target[:-1])
            out["logits"].append(logits)
            losses += [torch.logsumexp(row, 0) - row[index] for row, index in zip(logits, target)]
    return {name: torch.stack(parts) for name, parts in out.items()} | {"loss": torch.stack(losses).mean()}


def greedy(weights: dict, config: dict, labels: Tensor, orders: Tensor, steps: int, cfg: float,
           official: bool) -> Tensor:
    "Indices (b, n, d) by argmax: all masked at first, the end of each order revealed first."
    values, order = level_values(config["quant_levels"]), config["channel_order"]
    images = []
    for label, sequence in zip(labels.tolist(), orders.tolist()):
        num = len(sequence)
        indices = torch.zeros(num, len(order), dtype=torch.int64)
        left = num
        for step in range(steps):
            keep = max(1, min(left - 1, math.floor(num * math.cos(math.pi / 2 * (step + 1) / steps))))
            mask = [0] * num
            for token in sequence[:left]:
                mask[token] = 1
            latents, context = dequantize(indices, values), {}
            for vector in ("class_emb.weight", "fake_latent"):
                embedding = weights[vector][label if vector == "class_emb.weight" else 0]
                context[vector] = decode(weights, config, encode(weights, config, latents, embedding, mask),
                                         mask)
            strength = 1 + (cfg - 1) * (num - keep) / num
            without = context["fake_latent"]
            guided = without + strength * (context["class_emb.weight"] - without)
            last = step == steps - 1
            for token in sequence[0 if last else keep:left]:
                chosen = []
                for _ in order:
                    chosen.append(int(head(weights, config, guided[token], chosen, official)[-1].argmax()))
                indices[token, order] = torch.tensor(chosen)
            left = keep
        images.append(indices)
    return torch.stack(images)


# ---------------------------------------------------------------------- KL-16
def conv(weights: dict, name: str, x: Tensor, stride: int = 1, pad: tuple[int, ...] | None = None) -> Tensor:
    "A convolution as a sum of shifted matrix products: x (c, h, w), pad (left, right, top, bottom)."
    kernel = weights[name + ".weight"]
    size = kernel.shape[-1]
    left, right, top, bottom = (size // 2,) * 4 if pad is None else pad
    padded = x.new_zeros(x.shape[0], x.shape[1] + top + bottom, x.shape[2] + left + right)
    padded[:, top:top + x.shape[1], left:left + x.shape[2]] = x
    rows, cols = (padded.shape[1] - size) // stride + 1, (padded.shape[2] - size) // stride + 1
    out = weights[name + ".bias"][:, None, None].expand(-1, rows, cols)
    for i in range(size):
        for j in range(size):
            shifted = padded[:, i:i + stride * rows:stride, j:j + stride * cols:stride][:, :rows, :cols]
            out = out + torch.einsum("oc,chw->ohw", kernel[:, :, i, j], shifted)
    return out


def group_norm(weights: dict, name: str, x: Tensor, groups: int) -> Tensor:
    "Zero mean and unit variance over each group of channels and all positions, then the affine part."
    parts = []
    for part in x.chunk(groups):
        part = part - part.mean()
        parts.append(part / torch.sqrt((part * part).mean() + 1e-6))
    return torch.cat(parts) * weights[name + ".weight"][:, None, None] + weights[name + ".bias"][:, None,
        None]


def res_block(weights: dict, name: str, x: Tensor, groups: int) -> Tensor:
    y = conv(weights, name + ".conv1", silu(group_norm(weights, name + ".norm1", x, groups)))
    y = conv(weights, name + ".conv2", silu(group_norm(weights, name + ".norm2", y, groups)))
    return y + (conv(weights, name + ".nin_shortcut", x) if name + ".nin_shortcut.weight" in weights else x)


def attn_block(weights: dict, name: str, x: Tensor, groups: int) -> Tensor:
    normed = group_norm(weights, name + ".norm", x, groups)
    q, k, v = (conv(weights, f"{name}.{part}", normed).flatten(1).T for part in "qkv")
    return x + conv(weights, name + ".proj_out", attention(q, k, v).T.reshape(x.shape))


def middle(weights: dict, name: str, x: Tensor, groups: int) -> Tensor:
    x = attn_block(weights, name + ".attn_1", res_block(weights, name + ".block_1", x, groups), groups)
    return res_block(weights, name + ".block_2", x, groups)


def vae_moments(weights: dict, config: dict, image: Tensor) -> Tensor:
    "Moments (2d, h, w) of one image (3, H, W)."
    groups, last = config["groups"], len(config["ch_mult"]) - 1
    x = conv(weights, "encoder.conv_in", image)
    for i in range(last + 1):
        for j in range(config["num_res_blocks"]):
            x = res_block(weights, f"encoder.down.{i}.block.{j}", x, groups)
            x = attn_block(weights, f"encoder.down.{i}.attn.{j}", x, groups) if i == last else x
        x = conv(weights, f"encoder.down.{i}.downsample.conv", x, stride=2,
                 pad=(0, 1, 0, 1)) if i < last else x
    x = group_norm(weights, "encoder.norm_out", middle(weights, "encoder.mid", x, groups), groups)
    return conv(weights, "quant_conv", conv(weights, "encoder.conv_out", silu(x)))


def vae_decode(weights: dict, config: dict, latent: Tensor) -> Tensor:
    "Image (3, H, W) of one latent (d, h, w)."
    groups = config["groups"]
    x = middle(weights, "decoder.mid",
               conv(weights, "decoder.conv_in", conv(weights, "post_quant_conv", latent)), groups)
    for i in reversed(range(len(config["ch_mult"]))):
        for j in range(config["num_res_blocks"] + 1):
            x = res_block(weights, f"decoder.up.{i}.block.{j}", x, groups)
        if i:
            x = conv(weights, f"decoder.up.{i}.upsample.conv",
                     x.repeat_interleave(2, 1).repeat_interleave(2, 2))
    return conv(weights, "decoder.conv_out", silu(group_norm(weights, "decoder.norm_out", x, groups)))


# ---------------------------------------------------------------------- golden files
TINY = {"encoder_embed_dim": 24, "encoder_depth": 2, "encoder_num_heads": 4, "decoder_embed_dim": 32,
        "decoder_depth": 1,
        "decoder_num_heads": 2, "channel_embed_dim": 16, "channel_depth": 2, "channel_heads": 2,
        "quant_levels": 7,
        "vae_embed_dim": 5, "class_num": 6, "buffer_size": 3, "tokens": 9, "channel_order": [3, 0, 4, 1, 2],
        "eps": 1e-5, "steps": 4}
TINY_VAE = {"ch": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 5, "groups": 4}


def model_shapes(c: dict) -> dict[str, tuple[int, ...]]:
    "Official name and shape of every parameter."
    d, w, k = c["encoder_embed_dim"], c["decoder_embed_dim"], c["channel_embed_dim"]
    dims, levels, tokens, buffer = c["vae_embed_dim"], c["quant_levels"], c["tokens"], c["buffer_size"]
    shapes = {"class_emb.weight": (c["class_num"], d), "fake_latent": (1, d), "mask_token": (1, 1, w),
              "encoder_pos_embed_learned": (1, buffer + tokens, d),
              "decoder_pos_embed_learned": (1, buffer + tokens, w),
              "output_pos_embed": (1, tokens, w), "channel_embed": (1, dims, k),
              "timesteps_embeddings": (1, dims, k)}

    def layer(name: str, inputs: int, outputs: int):
        shapes.update({name + ".weight": (outputs, inputs), name + ".bias": (outputs,)})

    def norm(name: str, width: int):
        shapes.update({name + ".weight": (width,), name + ".bias": (width,)})

    def block(name: str, width: int):
        norm(name + ".norm1", width), norm(name + ".norm2", width)
        layer(name + ".attn.qkv", width, 3 * width), layer(name + ".attn.proj", width, width)
        layer(name + ".mlp.fc1", width, 4 * width), layer(name + ".mlp.fc2", 4 * width, width)

    layer("z_proj", dims, d), norm("z_proj_ln", d), norm("encoder_norm", d)
    layer("decoder_embed", d, w), norm("decoder_norm", w), layer("condition_proj", w, k), norm("channel_norm",
        k)
    for side, width in (("encoder", d), ("decoder", w)):
        for i in range(c[side + "_depth"]):
            block(f"{side}_blocks.{i}", width)
    for i in range(c["channel_depth"]):
        block(f"channel_blocks.{i}", k)
        layer(f"channel_blocks.{i}.adaLN_modulation.1", k, 6 * k)
        norm(f"channel_blocks.{i}.attn.q_norm", k // c["channel_heads"])
        norm(f"channel_blocks.{i}.attn.k_norm", k // c["channel_heads"])
    layer("channel_final.adaLN_modulation.1", k, 2 * k)
    for i in range(dims):
        layer(f"channel_heads.{i}", k, levels)
    return shapes | {f"token_embeddings.{i}.weight": (levels, k) for i in range(dims - 1)}


def vae_shapes(c: dict) -> dict[str, tuple[int, ...]]:
    "Official name and shape of every tensor of the autoencoder."
    shapes, widths, d = {}, [c["ch"] * m for m in c["ch_mult"]], c["z_channels"]

    def layer(name: str, inputs: int, outputs: int, size: int = 3):
        shapes.update({name + ".weight": (outputs, inputs, size, size), name + ".bias": (outputs,)})

    def norm(name: str, width: int):
        shapes.update({name + ".weight": (width,), name + ".bias": (width,)})

    def res(name: str, inputs: int, outputs: int):
        norm(name + ".norm1", inputs), layer(name + ".conv1", inputs, outputs)
        norm(name + ".norm2", outputs), layer(name + ".conv2", outputs, outputs)
        if inputs != outputs:
            layer(name + ".nin_shortcut", inputs, outputs, 1)

    def attn(name: str, width: int):
        norm(name + ".norm", width)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.{part}", width, width, 1)

    low = widths[-1]
    for side in ("encoder", "decoder"):
        res(side + ".mid.block_1", low, low), attn(side + ".mid.attn_1", low), res(side + ".mid.block_2", low,
            low)
    layer("encoder.conv_in", 3, c["ch"]), norm("encoder.norm_out", low), layer("encoder.conv_out", low, 2 * d)
    layer("decoder.conv_in", d, low), norm("decoder.norm_out", widths[0]), layer("decoder.conv_out",
        widths[0], 3)
    layer("quant_conv", 2 * d, 2 * d, 1), layer("post_quant_conv", d, d, 1)
    for i, width in enumerate(widths):
        for j in range(c["num_res_blocks"]):
            res(f"encoder.down.{i}.block.{j}", width if j else ([c["ch"]] + widths)[i], width)
            if i == len(widths) - 1:
                attn(f"encoder.down.{i}.attn.{j}", width)
        if i < len(widths) - 1:
            layer(f"encoder.down.{i}.downsample.conv", width, width)
        for j in range(c["num_res_blocks"] + 1):
            res(f"decoder.up.{i}.block.{j}", width if j else (widths + [low])[i + 1], width)
        if i:
            layer(f"decoder.up.{i}.upsample.conv", width, width)
    return shapes


def random_weights(shapes: dict, seed: int, half: bool = False) -> dict[str, Tensor]:
    "Weights large enough that no mistake hides: matrices 1.5 / sqrt(inputs), vectors around 0 or (norms) 1."
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in sorted(shapes.items()):
        value = torch.randn(shape, generator=generator)
        if "norm" in name.split(".")[-2:][0] or "_ln" in name:
            value = 0.2 * value + (1.0 if name.endswith("weight") else 0.0)
        elif len(shape) in (2, 4) and "embeddings" not in name and name != "fake_latent":
            value = value * 1.5 / math.sqrt(math.prod(shape[1:]))
        else:
            value = 0.3 * value
        weights[name] = value.half() if half else value
    return weights


def make_model(path: Path):
    "Write the tiny model with its inputs and outputs."
    from safetensors.torch import save_file
    config, generator = TINY, torch.Generator().manual_seed(1)
    weights = random_weights(model_shapes(config), seed=0)
    exact = {name: value.double() for name, value in weights.items()}
    num, tokens, dims = 3, config["tokens"], config["vae_embed_dim"]
    latents = 1.5 * torch.randn(num, tokens, dims, generator=generator)
    labels = torch.tensor([0, 5, 2])
    orders = torch.stack([torch.randperm(tokens, generator=generator) for _ in range(num)])
    mask = torch.zeros(num, tokens, dtype=torch.bool).scatter(1, orders[:, :7], True)
    values = level_values(config["quant_levels"])
    indices = quantize(latents.double(), values)
    out = {"latents": latents, "labels": labels, "orders": orders, "mask": mask, "indices": indices,
           "dequantized": dequantize(indices, values), **forward(exact, config, indices, labels, mask)}
    for way in ("official", "consistent"):
        for cfg in (1, 3):
            out[f"greedy_{way}_cfg{cfg}"] = greedy(exact, config, labels, orders, config["steps"], cfg,
                                                   way == "official")
    write(path, {f"model.{name}": value for name, value in weights.items()} | out, config, save_file)


def make_vae(path: Path):
    "Write the tiny autoencoder with its inputs and outputs."
    from safetensors.torch import save_file
    config, generator = TINY_VAE, torch.Generator().manual_seed(2)
    weights = random_weights(vae_shapes(config), seed=3, half=True)
    exact = {name: value.double() for name, value in weights.items()}
    images = torch.rand(2, 3, 6, 6, generator=generator) * 2 - 1
    latents = torch.randn(2, config["z_channels"], 3, 3, generator=generator)
    out = {"images": images, "latents": latents,
           "moments": torch.stack([vae_moments(exact, config, image.double()) for image in images]),
           "decoded": torch.stack([vae_decode(exact, config, latent.double()) for latent in latents])}
    write(path, {f"vae.{name}": value for name, value in weights.items()} | out, config, save_file)


def write(path: Path, tensors: dict, config: dict, save_file):
    "Floats as fp32 (half weights as they are), the configuration as JSON in the metadata."
    tensors = {name: value.float() if value.dtype == torch.float64 else value for name,
               value in tensors.items()}
    path.parent.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path,
              {"config": json.dumps(config)})
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    make_model(GOLDEN / "tokenbridge-tiny.safetensors")
    make_vae(GOLDEN / "kl16-tiny.safetensors")
