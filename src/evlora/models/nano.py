"""evlora-nano: a small ViT of timm's class behind a convolutional stem, pre-trained by evlora.

The stem follows Xiao et al., Early Convolutions Help Transformers See Better (2021): strided 3×3
convolutions in place of one 16×16 patch projection learn sooner and from fewer pictures. Each of
them but the first is followed by a residual pair, since at 64 px there are only sixteen tokens and
much is to be encoded before they are cut.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from timm.layers import PatchEmbed
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn
from torch.nn.functional import gelu

from evlora.errors import BackboneError
from evlora.models.backbone_names import NANO
from evlora.models.fast import through_convolution

WEIGHTS = Path(__file__).with_name("evlora_nano.safetensors")
"""What ships with the package; docs/nano.md shows how it was made."""
WEIGHTS_SHA256 = "d59c8e0200f5b1b98d6ac224782f89b8ace81f7bdcc61fd3639fde6bfb63b863"
STEM_CHANNELS = (24, 48, 96, 128)
"""Output channels of the strided convolutions, each of which halves the picture."""

default_cfgs = generate_default_cfgs(
    {
        NANO: {
            "input_size": (3, 96, 96),
            "num_classes": 0,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "first_conv": "patch_embed.proj.0",
            "classifier": "head",
            "license": "apache-2.0",
        }
    }
)


class ConvolutionalStem(PatchEmbed):
    """Tokens of 16×16 patches by strided convolutions, in place of one projection."""

    def __init__(self, *, embed_dim: int, in_chans: int = 3, **arguments: Any) -> None:
        """Build it.

        Args:
            embed_dim: Width of the tokens.
            in_chans: Channels of the pictures.
            arguments: Those of timm's `PatchEmbed`.
        """
        super().__init__(embed_dim=embed_dim, in_chans=in_chans, **arguments)
        layers: list[nn.Module] = []
        before = in_chans
        for number, channels in enumerate(STEM_CHANNELS):
            halving = nn.Conv2d(before, channels, 3, stride=2, padding=1)
            layers += [halving, nn.GroupNorm(1, channels), nn.GELU()]
            if number > 0:
                layers.append(ResidualPair(channels))
            before = channels
        self.proj = Stem(*layers, nn.Conv2d(before, embed_dim, 1))


class Stem(nn.Sequential):
    """Layers in a row, whose convolutions training may compute with less."""

    def forward(self, input: Tensor) -> Tensor:
        """Pictures of shape (B, 3, H, W) to maps of shape (B, C, H/16, W/16)."""
        # As the libraries' kernels have maps: two thirds of the time on a processor. An exported
        # graph is laid out by whoever runs it.
        if not (torch.compiler.is_compiling() or torch.jit.is_tracing()):
            input = input.contiguous(memory_format=torch.channels_last)
        for layer in self:
            input = through_convolution(layer, input)
        return input


class ResidualPair(nn.Module):
    """Two 3×3 convolutions beside a path that passes what came."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)  # no statistics that fine-tuning would move
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """The maps and what the pair adds, shape (B, C, H, W)."""
        hidden = gelu(through_convolution(self.first, self.norm(maps)))
        return maps + through_convolution(self.second, hidden)


@register_model
def evlora_nano(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """The small ViT: 96 px, patches of 16, five blocks of width 192, no class token.

    Raises:
        ValueError: Patches of another size are asked for, which its stem does not make.
    """
    patch = 2 ** len(STEM_CHANNELS)
    if (asked := options.get("patch_size", patch)) != patch:
        raise ValueError(f"patch_size: expected {patch}, which its stem makes, got {asked}")
    settings: dict[str, Any] = {
        "img_size": 96,
        "patch_size": patch,
        "embed_dim": 192,
        "depth": 5,
        "num_heads": 3,
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,
        "embed_layer": ConvolutionalStem,
    }
    return build_model_with_cfg(
        VisionTransformer,
        NANO,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        **{**settings, **options},
    )


def embedded_weights() -> Path:
    """The weights that ship with evlora, checked byte for byte.

    Raises:
        BackboneError: The file is missing, or is not the one that evlora was published with.
    """
    try:
        found = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    except OSError as error:
        raise BackboneError(
            f"backbone.weights: expected the weights of {NANO} at {WEIGHTS}, got {error}; install "
            "evlora again, or name a file with backbone.weights=FILE"
        ) from error
    if found != WEIGHTS_SHA256:
        raise BackboneError(
            f"backbone.weights: expected SHA-256 {WEIGHTS_SHA256[:16]}… of {WEIGHTS}, got "
            f"{found[:16]}…: the file was changed or damaged; install evlora again, or name a file "
            "of your own with backbone.weights=FILE"
        )
    return WEIGHTS
