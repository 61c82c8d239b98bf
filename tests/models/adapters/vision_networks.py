"""Tiny vision transformers of timm and transformers, as they come, for the tests of our tuners."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

WIDTHS: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 16,
}


@dataclass(frozen=True)
class Network:
    """How a network is built, called, and where its sites are: the ends of its layers' names."""

    build: Callable[[], nn.Module]
    ffn: tuple[str, ...]
    attention_input: tuple[str, ...]
    attention_output: str
    blocks: int = 2
    frames: int | None = None

    def make(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return self.build().eval()

    def images(self, seed: int = 0) -> Tensor:
        shape = (2, 3, 32, 32) if self.frames is None else (2, self.frames, 3, 32, 32)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def answer(model: nn.Module, images: Tensor) -> Tensor:
    """The output as one tensor, from models of timm and of transformers."""
    output = model(images)
    return output if isinstance(output, Tensor) else output.last_hidden_state


def timm_model(name: str, **options: Any) -> nn.Module:
    from timm import create_model

    usual = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2}
    return create_model(name, **{**usual, "num_classes": 0, **options})


def transformers_model(kind: str, **options: Any) -> nn.Module:
    import transformers

    config_class = getattr(transformers, f"{kind}Config")
    return getattr(transformers, f"{kind}Model")(config_class(**options))


NETWORKS: dict[str, Network] = {
    "timm ViT": Network(
        lambda: timm_model("vit_tiny_patch16_224", init_values=0.1),
        ffn=("mlp.fc1", "mlp.fc2"),
        attention_input=("attn.qkv",),
        attention_output="attn.proj",
    ),
    "timm EVA-02": Network(
        lambda: timm_model("eva02_tiny_patch14_224"),
        ffn=("mlp.fc1", "mlp.fc2"),
        attention_input=("attn.qkv",),
        attention_output="attn.proj",
    ),
    "timm EVA-02 with SwiGLU": Network(
        lambda: timm_model("eva02_base_patch14_224"),
        ffn=("mlp.fc1_g", "mlp.fc1_x", "mlp.fc2"),
        attention_input=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        attention_output="attn.proj",
    ),
    "CLIP": Network(
        lambda: transformers_model("CLIPVision", **WIDTHS),
        ffn=("mlp.fc1", "mlp.fc2"),
        attention_input=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_output="self_attn.out_proj",
    ),
    "ViT": Network(
        lambda: transformers_model("ViT", **WIDTHS),
        ffn=("mlp.fc1", "mlp.fc2"),
        attention_input=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        attention_output="attention.o_proj",
    ),
    "DINOv2": Network(
        lambda: transformers_model("Dinov2", **{**WIDTHS, "layerscale_value": 0.1}),
        ffn=("mlp.fc1", "mlp.fc2"),
        attention_input=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        attention_output="attention.o_proj",
    ),
    "DINOv2 with SwiGLU": Network(
        lambda: transformers_model("Dinov2", **WIDTHS, use_swiglu_ffn=True),
        ffn=("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
        attention_input=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        attention_output="attention.o_proj",
    ),
    "Swin": Network(
        lambda: transformers_model(
            "Swin",
            image_size=32,
            patch_size=4,
            embed_dim=16,
            depths=[1, 1],
            num_heads=[2, 2],
            window_size=4,
        ),
        ffn=("mlp.fc1", "mlp.fc2"),
        attention_input=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        attention_output="attention.o_proj",
    ),
    "VideoMAE": Network(
        lambda: transformers_model("VideoMAE", **WIDTHS, num_frames=4, tubelet_size=2),
        ffn=("intermediate.dense", "output.dense"),
        attention_input=(
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
        ),
        attention_output="attention.output.dense",
        frames=4,
    ),
}

COMPILED = ("timm ViT", "timm EVA-02 with SwiGLU", "CLIP", "Swin", "VideoMAE")
"""What tuners are compiled on, which takes seconds each: one network of each build of blocks."""
