"""The released network a second time, from its description: loops and formulas, no modules.

Every image is encoded by itself, every head and every place in the batch has a loop of its own.
"""

import math
from typing import Any

import torch
from published_release import REST, TOWERS
from torch import Tensor

HEAD = 64
ALPHA_OVER_R = 2.0
Tensors = dict[str, Tensor]


def answer(content: dict[str, Any], rgb: Tensor, events: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of shape (B, K) and the reconstruction loss, from (B, T, 3, H, W) each."""
    rest = {name.removeprefix("module."): tensor for name, tensor in content[REST].items()}
    tokens = {"rgb": [], "event": [], "difference": []}
    for r, e in zip(rgb, events, strict=True):
        images = {
            "rgb": list(r),
            "event": list(e),
            "difference": [abs(r[t - 1] - r[t]) + abs(e[t - 1] - e[t]) for t in range(1, len(r))],
        }
        for view, of_view in images.items():
            encoded = [encode_image(content[TOWERS[view]], image) for image in of_view]
            mean = sum(encoded) / len(encoded)
            tokens[view].append(mean @ rest["visual_embed.weight"].T + rest["visual_embed.bias"])
    r = torch.stack(tokens["rgb"]) + rest["rgb_embed"]
    e = torch.stack(tokens["event"]) + rest["event_embed"]
    d = torch.stack(tokens["difference"]) + rest["frame_embed"]

    def reconstructed(x: Tensor) -> Tensor:
        blocks = [vit_block(rest, "blocks.0.", clip) for clip in x]
        return layer_norm(rest, "norm", torch.stack(blocks), eps=1e-6)

    loss = ((reconstructed(e) - r) ** 2).mean() + ((reconstructed(r) - e) ** 2).mean()

    count = r.shape[1]
    fused = [
        vit_block(rest, "fuse_blocks.0.", torch.cat(parts)) for parts in zip(d, r, e, strict=True)
    ]
    z_r = torch.stack([z[count : 2 * count] for z in fused])
    z_e = torch.stack([z[2 * count :] for z in fused])
    r = last_block_over_the_batch(content[TOWERS["rgb"]], r, z_r)
    e = last_block_over_the_batch(content[TOWERS["event"]], e, z_e)

    answers = []
    for pair in torch.cat([r, e], dim=1):
        q, k, v = (
            linear(rest, f"self_attention.{name}", pair) for name in ("query", "key", "value")
        )
        attended = torch.softmax(q @ k.T / math.sqrt(q.shape[-1]), dim=-1) @ v
        last = (attended[:count] + attended[count:])[-10:].reshape(-1)
        scores = linear(rest, "fc1", last)
        answers.append(scores - torch.logsumexp(scores, dim=0))
    return torch.stack(answers), loss


def encode_image(tower: Tensors, image: Tensor) -> Tensor:
    """CLIP's embedding of each token of one image, shape (N, P)."""
    visual = "base_model.model.visual."
    kernel = tower[visual + "conv1.weight"]
    patch = kernel.shape[-1]
    patches = [
        (kernel * image[:, y : y + patch, x : x + patch]).sum(dim=(1, 2, 3))
        for y in range(0, image.shape[1], patch)
        for x in range(0, image.shape[2], patch)
    ]
    tokens = torch.stack([tower[visual + "class_embedding"], *patches])
    tokens = tokens + tower[visual + "positional_embedding"]
    tokens = layer_norm(tower, visual + "ln_pre", tokens)
    number = 0
    while f"{visual}transformer.resblocks.{number}.ln_1.weight" in tower:
        block = f"{visual}transformer.resblocks.{number}."
        tokens = tokens + clip_attention(tower, block, layer_norm(tower, block + "ln_1", tokens))
        tokens = tokens + clip_ffn(tower, block, layer_norm(tower, block + "ln_2", tokens))
        number += 1
    return layer_norm(tower, visual + "ln_post", tokens) @ tower[visual + "proj"]


def last_block_over_the_batch(tower: Tensors, tokens: Tensor, z: Tensor) -> Tensor:
    """CLIP's last block with (B, N, D) for (N, B, D), and what the shared branch adds."""
    names = [name for name in tower if ".visual.transformer.resblocks." in name]
    last = max(int(name.split(".resblocks.")[1].split(".")[0]) for name in names)
    block = f"base_model.model.visual.transformer.resblocks.{last}."
    normed = layer_norm(tower, block + "ln_1", tokens)
    attended = torch.empty_like(tokens)
    for place in range(tokens.shape[1]):
        attended[:, place] = clip_attention(tower, block, normed[:, place])
    tokens = tokens + attended
    tokens = tokens + clip_ffn(tower, block, layer_norm(tower, block + "ln_2", tokens))

    def pair(name: str, x: Tensor) -> Tensor:
        a, b = (tower[f"{block}mlp.{name}.lora_{factor}.default.weight"] for factor in "AB")
        return x @ a.T @ b.T

    return tokens + z + pair("c_proj", quick_gelu(pair("c_fc", z)))


def clip_attention(tower: Tensors, block: str, x: Tensor) -> Tensor:
    qkv = x @ tower[block + "attn.in_proj_weight"].T + tower[block + "attn.in_proj_bias"]
    return linear(tower, block + "attn.out_proj", heads_of(qkv))


def heads_of(qkv: Tensor) -> Tensor:
    """Every head's attention over the rows of (L, 3·D), side by side."""
    q, k, v = qkv.split(qkv.shape[-1] // 3, dim=-1)
    heads = []
    for start in range(0, q.shape[-1], HEAD):
        at = slice(start, start + HEAD)
        scores = q[:, at] @ k[:, at].T / math.sqrt(HEAD)
        heads.append(torch.softmax(scores, dim=-1) @ v[:, at])
    return torch.cat(heads, dim=-1)


def clip_ffn(tower: Tensors, block: str, x: Tensor) -> Tensor:
    def adapted(name: str, x: Tensor) -> Tensor:
        a, b = (tower[f"{block}mlp.{name}.lora_{factor}.default.weight"] for factor in "AB")
        return linear(tower, f"{block}mlp.{name}.base_layer", x) + ALPHA_OVER_R * (x @ a.T @ b.T)

    return adapted("c_proj", quick_gelu(adapted("c_fc", x)))


def vit_block(rest: Tensors, block: str, x: Tensor) -> Tensor:
    """A standard pre-norm block with exact GELU."""
    qkv = linear(rest, block + "attn.qkv", layer_norm(rest, block + "norm1", x, eps=1e-6))
    x = x + linear(rest, block + "attn.proj", heads_of(qkv))
    hidden = linear(rest, block + "mlp.fc1", layer_norm(rest, block + "norm2", x, eps=1e-6))
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return x + linear(rest, block + "mlp.fc2", hidden)


def linear(tensors: Tensors, name: str, x: Tensor) -> Tensor:
    return x @ tensors[name + ".weight"].T + tensors[name + ".bias"]


def layer_norm(tensors: Tensors, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + eps)
    return scaled * tensors[name + ".weight"] + tensors[name + ".bias"]


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))
