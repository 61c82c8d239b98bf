"""VELoRA: low-rank adaptation for RGB-event recognition (arXiv 2412.20064).

Departures from the paper and from its released code are rows in docs/decisions.md.
"""

from typing import Literal, NamedTuple, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from evlora.config import Config
from evlora.errors import RecipeError, ShapeError
from evlora.models.adapters import AdapterConfig, adapt, unwrapped
from evlora.models.backbone import (
    blocks_of,
    embed_images,
    image_statistics,
    pool_tokens,
    share_weights,
)
from evlora.models.fusion import Reconstruction, SharedStage, frame_difference
from evlora.tensors import require_shape

Modality = Literal["rgb", "event"]


class VELoRAConfig(Config):
    """The adapters of the network, and which stages it has."""

    adapter: AdapterConfig = AdapterConfig()
    """The modality-specific adapter; every view has its own set."""
    shared_adapter: AdapterConfig = AdapterConfig(rank=8, alpha=16)
    """The LoRA of the modality-shared stage."""
    difference: bool = True
    """Whether the frame difference is a view of its own."""
    reconstruction: bool = True
    """Whether each modality's tokens must foretell the other's."""
    shared_stage: bool = True
    """Whether the views are fused by the modality-shared stage; if not, the head sees them all."""
    high_blocks: int = 1
    """How many of the backbone's last blocks come after the fusion."""
    pool: Literal["token", "mean"] = "token"
    """What stands for an image: its class token, or the mean of its patches."""


class Output(NamedTuple):
    """What a recognizer answers."""

    logits: Tensor
    """Shape (B, K)."""
    terms: dict[str, Tensor]
    """Loss terms by name, scalars, for the objective to weigh."""


class VELoRA(nn.Module):
    """RGB frames and event images in, class scores out.

    Args:
        backbone: Frozen; all views share its weights.
        config: Adapters and stages.
        modalities: What is seen: `rgb`, `event`, or both. With one of them there is nothing to
            compare or fuse: difference, reconstruction and shared stage fall away.
        num_classes: K.

    Raises:
        RecipeError: The configuration contradicts itself or the backbone.
        AdapterError: An adapter is unknown or matches no layer.
    """

    def __init__(
        self,
        backbone: VisionTransformer,
        config: VELoRAConfig,
        *,
        modalities: tuple[Modality, ...] = ("rgb", "event"),
        num_classes: int,
    ) -> None:
        super().__init__()
        _require_consistent(config, backbone, modalities)
        self.config = config
        self.modalities = modalities
        has_both = len(modalities) == 2
        low_blocks = len(backbone.blocks) - config.high_blocks
        names: list[str] = list(modalities)
        if has_both and config.difference:
            names.insert(0, "difference")  # the order in which φ sees them, [Δ; R; E]
        self.views = nn.ModuleDict(
            {
                name: View(backbone, config.adapter, name=name, low_blocks=low_blocks)
                for name in names
            }
        )
        self.reconstruction = (
            Reconstruction(blocks_of(backbone)[low_blocks - 1], config.adapter)
            if has_both and config.reconstruction
            else None
        )
        self.shared_stage = (
            SharedStage(blocks_of(backbone)[low_blocks], config.shared_adapter, modalities)
            if has_both and config.shared_stage
            else None
        )
        # The difference speaks through the shared stage; where there is none, to the head itself.
        self.heard = tuple(modalities if self.shared_stage else names)
        self.head = nn.Linear(backbone.embed_dim * len(self.heard), num_classes)
        mean, std = image_statistics(backbone)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Scores of the K classes, and the loss terms.

        Args:
            rgb: Frames, normalised, shape (B, T, 3, H, W).
            events: Event images of the same moments, normalised, shape (B, T, 3, H, W).

        Returns:
            `logits` of shape (B, K); `terms` with `reconstruction` where that stage is on.

        Raises:
            ShapeError: A modality that the network was built for is missing, or shapes differ.
        """
        images = self._images_by_view(rgb, events)
        tokens = {name: self.view(name).low(images[name]) for name in self.views}  # (B, N, D)
        terms: dict[str, Tensor] = {}
        if self.reconstruction is not None:
            terms["reconstruction"] = self.reconstruction(tokens["rgb"], tokens["event"])
        shared = {} if self.shared_stage is None else self.shared_stage(tokens)
        features = [
            self.view(name).high(tokens[name], shared.get(name), pool=self.config.pool)
            for name in self.heard
        ]
        return Output(self.head(torch.cat(features, dim=-1)), terms)

    def normalize(self, images: Tensor) -> Tensor:
        """The images as the backbone was trained to see them.

        Args:
            images: uint8, shape (B, T, 3, H, W).

        Returns:
            The same shape in float32.
        """
        return (images.float() / 255 - self.mean) / self.std

    def view(self, name: str) -> "View":
        """The view of this name: rgb, event or difference."""
        return cast(View, self.views[name])

    def _images_by_view(self, rgb: Tensor | None, events: Tensor | None) -> dict[str, Tensor]:
        given = {"rgb": rgb, "event": events}
        images: dict[str, Tensor] = {}
        sizes: dict[str, int] = {}
        for name in self.modalities:
            tensor = given[name]
            if tensor is None:
                raise ShapeError(
                    f"{name}: expected images of shape (B, T, 3, H, W), got nothing; this network "
                    f"was built for {' and '.join(self.modalities)}"
                )
            sizes = dict(require_shape(tensor, "B T 3 H W", name=name, **sizes))
            images[name] = tensor
        if "difference" in self.views:
            if sizes["T"] < 2:
                raise ShapeError(
                    "difference: expected at least two moments, got T=1; "
                    "set clip.frames to 2 or more, or model.difference to false"
                )
            images["difference"] = frame_difference(*images.values())
        return images


class View(nn.Module):
    """The backbone as one modality sees it: shared frozen weights, adapters of its own.

    A difference view has no high-level part; its last blocks are never called and carry nothing.
    """

    def __init__(
        self, backbone: VisionTransformer, adapter: AdapterConfig, *, name: str, low_blocks: int
    ) -> None:
        super().__init__()
        vit = share_weights(backbone)
        if name == "difference":
            vit.blocks = nn.Sequential(*blocks_of(vit)[:low_blocks])
        self.low_blocks = low_blocks
        self.adapted = adapt(vit, adapter, name=f"{name} view")
        self.embedding = nn.Parameter(torch.zeros(backbone.embed_dim))

    @property
    def vit(self) -> VisionTransformer:
        """The timm model with its adapted layers."""
        return cast(VisionTransformer, unwrapped(self.adapted))

    def low(self, images: Tensor) -> Tensor:
        """The low-level blocks on all B·T images in one call, their mean over time, an embedding.

        Args:
            images: Normalised, shape (B, T, 3, H, W).

        Returns:
            Shape (B, N, D).
        """
        tokens = embed_images(self.vit, images.flatten(0, 1))  # (B·T, N, D)
        for block in blocks_of(self.vit)[: self.low_blocks]:
            tokens = block(tokens)
        return tokens.unflatten(0, images.shape[:2]).mean(dim=1) + self.embedding  # (B, N, D)

    def high(self, tokens: Tensor, shared: Tensor | None, *, pool: str) -> Tensor:
        """The high-level blocks, the shared branch added to each FFN, and one vector per clip.

        Args:
            tokens: Shape (B, N, D).
            shared: What the modality-shared stage lends, shape (B, N, D), or None.
            pool: `token` or `mean`.

        Returns:
            Shape (B, D).
        """
        for block in blocks_of(self.vit)[self.low_blocks :]:
            tokens = block(tokens) if shared is None else block(tokens) + shared
        return pool_tokens(self.vit, tokens, pool)


def _require_consistent(
    config: VELoRAConfig, backbone: VisionTransformer, modalities: tuple[Modality, ...]
) -> None:
    if not modalities or len(set(modalities)) < len(modalities):
        raise RecipeError(
            f"clip.modalities: expected rgb, event, or both, each once, got {list(modalities)}"
        )
    depth = len(backbone.blocks)
    if not 1 <= config.high_blocks < depth:
        raise RecipeError(
            f"model.high_blocks: expected 1…{depth - 1} of the backbone's {depth} blocks, "
            f"got {config.high_blocks}"
        )
    if config.pool == "token" and not backbone.has_class_token:
        raise RecipeError(
            "model.pool: token needs a backbone with a class token, which this one lacks; "
            "set model.pool to mean"
        )
