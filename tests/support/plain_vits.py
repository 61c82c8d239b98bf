"""Three ViTs written plainly over their authors' names of tensors, for small checkpoints.

They follow the papers, and the names and shapes of tensors in the repositories that
`evlora.models.foreign_names` lists: DINOv2 with registers, OpenAI's CLIP, DINOv3.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

Tensors = dict[str, Tensor]
Turn = Callable[[Tensor], Tensor]
WIDTH, DEPTH, HEADS, REGISTERS = 32, 2, 2, 4
HEAD_WIDTH = WIDTH // HEADS
OPTIONS: dict[str, int | float | str | bool] = {
    "embed_dim": WIDTH,
    "depth": DEPTH,
    "num_heads": HEADS,
}


class Vit(NamedTuple):
    """A model of timm, a small checkpoint of it, and the plain network that it must equal."""

    name: str
    size: tuple[int, int]
    tensors: Tensors
    class_token: Callable[[Tensors, Tensor], Tensor]
    """From tensors and images to the class token after the last norm, shape (B, D)."""


def _random(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    generator = torch.Generator().manual_seed(5)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _affine(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _dino_shapes(patch_px: int) -> dict[str, tuple[int, ...]]:
    """What DINOv2 and DINOv3 have in common."""
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, WIDTH), "mask_token": (1, WIDTH)}
    shapes |= _affine("patch_embed.proj", WIDTH, 3, patch_px, patch_px) | _affine("norm", WIDTH)
    for block in (f"blocks.{number}" for number in range(DEPTH)):
        shapes |= _affine(f"{block}.norm1", WIDTH) | _affine(f"{block}.norm2", WIDTH)
        shapes |= _affine(f"{block}.attn.qkv", 3 * WIDTH, WIDTH)
        shapes |= _affine(f"{block}.attn.proj", WIDTH, WIDTH)
        shapes |= _affine(f"{block}.mlp.fc1", 4 * WIDTH, WIDTH)
        shapes |= _affine(f"{block}.mlp.fc2", WIDTH, 4 * WIDTH)
        shapes |= {f"{block}.ls1.gamma": (WIDTH,), f"{block}.ls2.gamma": (WIDTH,)}
    return shapes


def _dinov2_tensors() -> Tensors:
    positions = {"pos_embed": (1, 5, WIDTH), "register_tokens": (1, REGISTERS, WIDTH)}
    return _random(_dino_shapes(14) | positions)


def _dinov3_tensors() -> Tensors:
    tensors = _random(_dino_shapes(16) | {"storage_tokens": (1, REGISTERS, WIDTH)})
    exponents = 2 * torch.arange(HEAD_WIDTH // 4) / (HEAD_WIDTH // 2)
    tensors["rope_embed.periods"] = 100.0**exponents
    mask = torch.ones(3, WIDTH)
    mask[1] = 0  # keys have no bias
    for number in range(DEPTH):
        tensors[f"blocks.{number}.attn.qkv.bias_mask"] = mask.flatten()
    return tensors


def _clip_tensors() -> Tensors:
    shapes: dict[str, tuple[int, ...]] = {"class_embedding": (WIDTH,), "proj": (WIDTH, 8)}
    shapes |= {"positional_embedding": (5, WIDTH), "conv1.weight": (WIDTH, 3, 16, 16)}
    shapes |= _affine("ln_pre", WIDTH) | _affine("ln_post", WIDTH)
    for block in (f"transformer.resblocks.{number}" for number in range(DEPTH)):
        shapes |= _affine(f"{block}.ln_1", WIDTH) | _affine(f"{block}.ln_2", WIDTH)
        shapes |= {f"{block}.attn.in_proj_weight": (3 * WIDTH, WIDTH)}
        shapes |= {f"{block}.attn.in_proj_bias": (3 * WIDTH,)}
        shapes |= _affine(f"{block}.attn.out_proj", WIDTH, WIDTH)
        shapes |= _affine(f"{block}.mlp.c_fc", 4 * WIDTH, WIDTH)
        shapes |= _affine(f"{block}.mlp.c_proj", WIDTH, 4 * WIDTH)
    return _random(shapes)


def _layer(tensors: Tensors, name: str, x: Tensor) -> Tensor:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _norm(tensors: Tensors, name: str, x: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], epsilon)


def _attention(x: Tensor, weight: Tensor, bias: Tensor, turn: Turn | None = None) -> Tensor:
    """What heads attend to, before the output projection, shape (B, N, D)."""
    parts = (x @ weight.T + bias).chunk(3, dim=-1)
    query, key, value = (part.unflatten(-1, (HEADS, HEAD_WIDTH)).transpose(1, 2) for part in parts)
    if turn is not None:
        query, key = turn(query), turn(key)
    scores = query @ key.transpose(-2, -1) / math.sqrt(HEAD_WIDTH)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


def _patches(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(images, weight, bias, stride=weight.shape[-1]).flatten(2).transpose(1, 2)


def _dino_block(
    tensors: Tensors, block: str, x: Tensor, epsilon: float, turn: Turn | None = None
) -> Tensor:
    bias = tensors[f"{block}.attn.qkv.bias"]
    bias = bias * tensors.get(f"{block}.attn.qkv.bias_mask", torch.ones_like(bias))
    weight = tensors[f"{block}.attn.qkv.weight"]
    attended = _attention(_norm(tensors, f"{block}.norm1", x, epsilon), weight, bias, turn)
    x = x + tensors[f"{block}.ls1.gamma"] * _layer(tensors, f"{block}.attn.proj", attended)
    hidden = _layer(tensors, f"{block}.mlp.fc1", _norm(tensors, f"{block}.norm2", x, epsilon))
    return x + tensors[f"{block}.ls2.gamma"] * _layer(tensors, f"{block}.mlp.fc2", F.gelu(hidden))


def dinov2(tensors: Tensors, images: Tensor) -> Tensor:
    """DINOv2 with registers, which have no positions (arXiv 2309.16588)."""
    count = len(images)
    patches = _patches(images, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"])
    x = torch.cat([tensors["cls_token"].expand(count, -1, -1), patches], dim=1)
    x = x + tensors["pos_embed"]
    x = torch.cat([x[:, :1], tensors["register_tokens"].expand(count, -1, -1), x[:, 1:]], dim=1)
    for number in range(DEPTH):
        x = _dino_block(tensors, f"blocks.{number}", x, 1e-6)
    return _norm(tensors, "norm", x, 1e-6)[:, 0]


def dinov3(tensors: Tensors, images: Tensor) -> Tensor:
    """DINOv3: patches know their places by rotary positions (arXiv 2508.10104)."""
    height, width = images.shape[2] // 16, images.shape[3] // 16
    rows, columns = ((torch.arange(n) + 0.5) / n * 2 - 1 for n in (height, width))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
    angles = 2 * math.pi * places[:, :, None] / tensors["rope_embed.periods"]
    angles = angles.flatten(1).tile(2)

    def turn(part: Tensor) -> Tensor:
        first, patches = part[:, :, : 1 + REGISTERS], part[:, :, 1 + REGISTERS :]
        low, high = patches.chunk(2, dim=-1)
        turned = patches * angles.cos() + torch.cat([-high, low], dim=-1) * angles.sin()
        return torch.cat([first, turned], dim=2)

    count = len(images)
    patches = _patches(images, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"])
    before = [tensors[name].expand(count, -1, -1) for name in ("cls_token", "storage_tokens")]
    x = torch.cat([*before, patches], dim=1)
    for number in range(DEPTH):
        x = _dino_block(tensors, f"blocks.{number}", x, 1e-5, turn)
    return _norm(tensors, "norm", x, 1e-5)[:, 0]


def clip(tensors: Tensors, images: Tensor) -> Tensor:
    """CLIP's vision tower with its sigmoid for a GELU, before the projection (arXiv 2103.00020)."""
    patches = _patches(images, tensors["conv1.weight"], None)
    x = torch.cat([tensors["class_embedding"].expand(len(images), 1, -1), patches], dim=1)
    x = _norm(tensors, "ln_pre", x + tensors["positional_embedding"], 1e-5)
    for block in (f"transformer.resblocks.{number}" for number in range(DEPTH)):
        weight, bias = (tensors[f"{block}.attn.in_proj_{kind}"] for kind in ("weight", "bias"))
        attended = _attention(_norm(tensors, f"{block}.ln_1", x, 1e-5), weight, bias)
        x = x + _layer(tensors, f"{block}.attn.out_proj", attended)
        hidden = _layer(tensors, f"{block}.mlp.c_fc", _norm(tensors, f"{block}.ln_2", x, 1e-5))
        x = x + _layer(tensors, f"{block}.mlp.c_proj", hidden * torch.sigmoid(1.702 * hidden))
    return _norm(tensors, "ln_post", x, 1e-5)[:, 0]


DINOV2 = Vit("vit_small_patch14_reg4_dinov2.lvd142m", (28, 28), _dinov2_tensors(), dinov2)
DINOV3 = Vit("vit_small_patch16_dinov3_qkvb.lvd1689m", (32, 48), _dinov3_tensors(), dinov3)
CLIP = Vit("vit_base_patch16_clip_quickgelu_224.openai", (32, 32), _clip_tensors(), clip)
