"""Tiny networks of every kind that adapters must suit, and how each method is put on them.

The contract test loads this file in a second process as well, so that both build the same. What is
of transformers is imported where it is built: it takes seconds, and most tests need a ViT alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from timm import create_model
from torch import Tensor, nn

from evlora.models.adapters import METHODS, AdapterConfig

IMAGE = (4, 3, 32, 32)


class PlainMlp(nn.Module):
    """Three linear layers and nothing that a transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(24, 32), nn.Linear(32, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, 24) to (B, 8)."""
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))


def _vit() -> nn.Module:
    return create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=32, embed_dim=24, depth=2, num_heads=2
    )


def _clip() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return CLIPVisionModel(config)


def _swin() -> nn.Module:
    from transformers import SwinConfig, SwinModel

    config = SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 1],
        num_heads=[1, 2],
        window_size=4,
        drop_path_rate=0.0,
    )
    return SwinModel(config)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "vit": _vit,
    "clip": _clip,
    "swin": _swin,
    "mlp": PlainMlp,
}

SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "full": {},
    "lora": {"sites": "all"},  # linear layers and convolutions
    "dora": {"sites": "all"},
    "adalora": {},
    "lora_fa": {"sites": "all"},
    "vera": {"rank": 16},
    "ia3": {},
    "oft": {"options": {"block_size": 8}},
    "boft": {},
    "hra": {},
    "ln_tuning": {},
    "bitfit": {},
    "lv_adapter": {},
    "adaptformer": {},
    "ssf": {},
    "adapter_plus": {},
    "vpt": {},
    "st_adapter": {},
    "aim": {},
    "lst": {"rank": 8},
    "gps": {"options": {"entries": 4}},
    "adamss": {"rank": 8, "options": {"num_subspaces": 2}},
    "beft": {},
    "c3a": {"options": {"block_size": 8}},
    "deft": {},
    "delora": {},
    "fourierft": {"options": {"n_frequency": 20}},
    "frod": {},
    "glora": {},
    "gralora": {},
    "hira": {},
    "lily": {"rank": 4},
    "loha": {},
    "lokr": {},
    "miss": {"rank": 4},
    "osf": {"options": {"effective_rank": 0.8}},
    "peanut": {"rank": 4},
    "psoft": {"rank": 4},
    "pvera": {"rank": 8},
    "randlora": {"rank": 4},
    "road": {"options": {"group_size": 8}},
    "shira": {"rank": 2},
    "supertuning": {},
    "tinylora": {},
    "unilora": {},
    "vblora": {"options": {"vector_length": 8, "num_vectors": 16}},
    "waveft": {"options": {"n_frequency": 20}},
}
"""One row per method of the catalogue, with what a network of this size needs."""

WITHOUT_PLACE = {
    ("ln_tuning", "mlp"): "has no LayerNorm",
    ("adaptformer", "mlp"): "found no transformer blocks",
    ("adapter_plus", "mlp"): "transformer blocks",
    ("st_adapter", "mlp"): "transformer blocks",
    ("aim", "mlp"): "transformer blocks",
    ("aim", "swin"): "windows",
    ("lst", "mlp"): "transformer blocks",
    ("vpt", "mlp"): "attention of transformer blocks",
    ("vpt", "swin"): "windows",
    ("frod", "swin"): "expected layers of the same name to have the same widths",
}
"""What a method cannot be put on, and words of its refusal."""


def base(name: str) -> nn.Module:
    """The frozen network of this name, always with the same weights, not training."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network = BUILDERS[name]()
        with torch.no_grad():  # so that biases and norms are not all zeros and ones
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return network.requires_grad_(False).eval()


def config(method: str, network: str) -> AdapterConfig:
    """How a method is put on a network."""
    settings = dict(SETTINGS[method])
    if network == "mlp" and METHODS[method].sites is not None:
        settings["sites"] = "linear"
    return AdapterConfig(method=method, **settings)


def inputs(name: str, *, seed: int = 1) -> Tensor:
    """A batch for the network of this name."""
    shape = (4, 24) if name == "mlp" else IMAGE
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def answer(name: str, network: nn.Module, x: Tensor) -> Tensor:
    """What the network makes of a batch, shape (B, D)."""
    output: Any = network(x)
    return output.pooler_output if name in ("clip", "swin") else output


def shake(module: nn.Module, by: float = 0.3) -> None:
    """Move every trained number off its start, as training would."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(by * torch.randn_like(parameter))
