"""Checkpoints in the layout of VELoRA's released one, of any size and of random numbers.

The layout is that of the released training code: three of OpenAI's CLIP wrapped by peft, and a
classifier of which many parts are never used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

REST = "model_state_dict"
TOWERS = {
    "rgb": "ViT_model_state_dict",
    "event": "Event_ViT_model_state_dict",
    "difference": "frame_ViT_model_state_dict",
}


@dataclass(frozen=True)
class Size:
    """How large the released network is made; heads are 64 wide, as all of CLIP's."""

    width: int = 128
    depth: int = 3
    patch: int = 16
    grid: int = 4
    projected: int = 48
    rank: int = 4
    classes: int = 6
    text_width: int = 64
    text_depth: int = 2
    words: int = 50

    @property
    def tokens(self) -> int:
        return self.grid**2 + 1

    @property
    def pixels(self) -> int:
        return self.grid * self.patch


SMALL = Size()
RELEASED = Size(
    width=768,
    depth=12,
    grid=14,
    projected=512,
    classes=114,
    text_width=512,
    text_depth=12,
    words=49408,
)


def checkpoint(size: Size = SMALL, *, prefix: str = "", seed: int = 0) -> dict[str, Any]:
    """A checkpoint of this size; `prefix` is what DistributedDataParallel puts before the rest."""
    random = torch.Generator().manual_seed(seed)
    frozen = dict(clip(size, random))
    towers = {
        section: {
            **{name: tensor.clone() for name, tensor in frozen.items()},
            **dict(lora(size, random)),
        }
        for section in TOWERS.values()
    }
    rest = {
        prefix + name: tensor for name, tensor in {**used(size, random), **unused(size)}.items()
    }
    return {
        REST: rest,
        **towers,
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": []},
        "epoch": 37,
    }


def save(content: dict[str, Any], path: Path) -> Path:
    torch.save(content, path)
    return path


def normal(random: torch.Generator, *shape: int, std: float = 0.05) -> Tensor:
    return std * torch.randn(shape, generator=random)


def layer(random: torch.Generator, name: str, outputs: int, inputs: int) -> dict[str, Tensor]:
    weight = normal(random, outputs, inputs, std=inputs**-0.5)
    return {f"{name}.weight": weight, f"{name}.bias": normal(random, outputs)}


def norm(random: torch.Generator, name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.weight": 1 + normal(random, width), f"{name}.bias": normal(random, width)}


def clip(size: Size, random: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """OpenAI's CLIP as peft holds it: both layers of every FFN wrapped, of either tower."""
    root = "base_model.model."
    width, text = size.width, size.text_width
    yield root + "positional_embedding", normal(random, 77, text)
    yield root + "text_projection", normal(random, text, size.projected)
    yield root + "logit_scale", torch.tensor(4.6)
    yield root + "token_embedding.weight", normal(random, size.words, text)
    yield from norm(random, root + "ln_final", text).items()
    yield from resblocks(random, root + "transformer", text, size.text_depth)
    visual = root + "visual."
    yield visual + "class_embedding", normal(random, width)
    yield visual + "positional_embedding", normal(random, size.tokens, width)
    yield visual + "proj", normal(random, width, size.projected, std=width**-0.5)
    yield visual + "conv1.weight", normal(random, width, 3, size.patch, size.patch)
    yield from norm(random, visual + "ln_pre", width).items()
    yield from norm(random, visual + "ln_post", width).items()
    yield from resblocks(random, visual + "transformer", width, size.depth)


def resblocks(
    random: torch.Generator, name: str, width: int, depth: int
) -> Iterator[tuple[str, Tensor]]:
    for number in range(depth):
        block = f"{name}.resblocks.{number}."
        yield block + "attn.in_proj_weight", normal(random, 3 * width, width, std=width**-0.5)
        yield block + "attn.in_proj_bias", normal(random, 3 * width)
        yield from layer(random, block + "attn.out_proj", width, width).items()
        yield from norm(random, block + "ln_1", width).items()
        yield from layer(random, block + "mlp.c_fc.base_layer", 4 * width, width).items()
        yield from layer(random, block + "mlp.c_proj.base_layer", width, 4 * width).items()
        yield from norm(random, block + "ln_2", width).items()


def lora(size: Size, random: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """The pairs of both layers of every FFN, of either tower."""
    rank = size.rank
    towers = {"visual.transformer": (size.width, size.depth)}
    towers |= {"transformer": (size.text_width, size.text_depth)}
    for name, (width, depth) in towers.items():
        for number in range(depth):
            ffn = f"base_model.model.{name}.resblocks.{number}.mlp."
            for part, outputs, inputs in (("c_fc", 4 * width, width), ("c_proj", width, 4 * width)):
                a, b = normal(random, rank, inputs), normal(random, outputs, rank, std=0.2)
                yield f"{ffn}{part}.lora_A.default.weight", a
                yield f"{ffn}{part}.lora_B.default.weight", b


def used(size: Size, random: torch.Generator) -> dict[str, Tensor]:
    """What the classifier computes with; its scores are a few units apart, as a trained one's."""
    width = size.width
    tensors = {
        **layer(random, "visual_embed", width, size.projected),
        **{f"{name}_embed": normal(random, 1, 1, width) for name in ("rgb", "event", "frame")},
        **norm(random, "norm", width),
        "fc1.weight": normal(random, size.classes, 10 * width, std=0.2 * (10 * width) ** -0.5),
        "fc1.bias": normal(random, size.classes),
    }
    for name in ("blocks.0.", "fuse_blocks.0."):
        tensors |= norm(random, name + "norm1", width)
        tensors |= layer(random, name + "attn.qkv", 3 * width, width)
        tensors |= layer(random, name + "attn.proj", width, width)
        tensors |= norm(random, name + "norm2", width)
        tensors |= layer(random, name + "mlp.fc1", 4 * width, width)
        tensors |= layer(random, name + "mlp.fc2", width, 4 * width)
    for name in ("query", "key", "value"):
        tensors |= layer(random, f"self_attention.{name}", width, width)
    return tensors


def unused(size: Size) -> dict[str, Tensor]:
    """What the classifier makes and never calls."""
    width, classes = size.width, size.classes
    tensors = {
        "word_embed.weight": torch.zeros(width, size.projected),
        "word_embed.bias": torch.zeros(width),
        "bn.weight": torch.ones(classes),
        "bn.bias": torch.zeros(classes),
        "bn.running_mean": torch.zeros(classes),
        "bn.running_var": torch.ones(classes),
        "bn.num_batches_tracked": torch.tensor(3),
        "tex_embed": torch.zeros(1, 1, width),
        "CLS_token": torch.zeros(1, 10, width),
    }
    for name, count in (("weight_layer", classes), ("remain_weight_layer", size.tokens)):
        for number in range(count):
            tensors[f"{name}.{number}.weight"] = torch.zeros(1, width)
            tensors[f"{name}.{number}.bias"] = torch.zeros(1)
    for name in ("query", "key", "value"):
        tensors[f"cross_model.{name}.weight"] = torch.zeros(width, width)
    return tensors
