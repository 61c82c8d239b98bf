"""The recognizer for one modality (images, video, events alone), and the choice of a network.

The protocol, and the head with a norm, are AdaptFormer's (Chen et al., NeurIPS 2022).
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from torch import Tensor, nn

from evlora.errors import RecipeError
from evlora.models.adapters import adapt, set_moments, unwrapped
from evlora.models.backbone import (
    Backbone,
    blocks_of,
    embed_images,
    pool_tokens,
    share_weights,
)
from evlora.models.config import Modality, SingleStreamConfig, Temporal
from evlora.models.fast import through_all
from evlora.models.network import MomentwiseNetwork, Output, require_pool
from evlora.models.temporal import AttentionPooling, TemporalMean, TemporalTransformer


class SingleStream(MomentwiseNetwork):
    """Images of one modality in, class scores out.

    Args:
        backbone: Frozen.
        config: Adapter, temporal part, head.
        modalities: What is seen, one of `rgb` and `event`.
        frames: T, the moments of a clip.
        num_classes: K.

    Raises:
        RecipeError: There are two modalities, or the backbone lacks what is to be pooled.
        AdapterError: The adapter is unknown or matches no layer.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: SingleStreamConfig,
        *,
        modalities: tuple[Modality, ...] = ("rgb",),
        frames: int,
        num_classes: int,
    ) -> None:
        super().__init__(backbone, modalities)
        if len(modalities) > 1:
            raise RecipeError(
                f"clip.modalities: single_stream takes one, got {list(modalities)}; "
                "set clip.modalities to [rgb] or [event], or model.network to velora"
            )
        require_pool(config.pool, backbone)
        self.config = config
        self.mixes_images = config.adapter.mixes_images
        self.frames = frames
        self.backbone = adapt(share_weights(backbone), config.adapter, name="backbone")
        self.temporal = _temporal_part(config.temporal, backbone, frames)
        self.head = _head(config.head, backbone.embed_dim, num_classes)

    @property
    def vit(self) -> Backbone:
        """The timm model with its adapted layers."""
        return cast(Backbone, unwrapped(self.backbone))

    @property
    def least_moments(self) -> int:
        """All where the temporal part knows their places."""
        return self.frames if self.config.temporal == "transformer" else 1

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Scores of the K classes; see `Network.forward`. There are no terms."""
        return self.conclude(self.encode(self.images_by_view(rgb, events)))

    def encoding_parts(self) -> list[nn.Module]:
        """The whole backbone."""
        return [self.backbone]

    def encoding_keys(self) -> dict[str, dict[str, Any]]:
        """The pooling of the one modality; see `MomentwiseNetwork.encoding_keys`."""
        keys = {"network": "single_stream", "pool": self.config.pool}
        return dict.fromkeys(self.modalities, keys)

    def conclude(self, encoded: Mapping[str, Tensor]) -> Output:
        """Temporal part and head; see `MomentwiseNetwork.conclude`."""
        return Output(self.decide(self.over_time(encoded)), {}, {})

    def encode(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One vector for each moment, shape (B, T, D)."""
        ((name, pictures),) = images.items()
        set_moments(self.backbone, pictures.shape[1])
        tokens = embed_images(self.vit, pictures.flatten(0, 1))  # (B·T, N, D)
        tokens = through_all(blocks_of(self.vit), tokens)
        moments = pool_tokens(self.vit, tokens, self.config.pool)  # (B·T, D)
        return {name: moments.unflatten(0, pictures.shape[:2])}

    def over_time(self, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One vector for each clip, shape (B, D)."""
        return {name: self.temporal(vectors) for name, vectors in moments.items()}

    def decide(self, joined: Mapping[str, Tensor]) -> Tensor:
        """The head alone; see `MomentwiseNetwork.decide`."""
        (clips,) = joined.values()
        return self.head(clips)


class FeatureNorm(nn.BatchNorm1d):
    """Batch norm without weights, which takes a batch of one clip by what it has seen before."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        """Shape (B, D) to shape (B, D)."""
        if not self.training or len(input) > 1:
            return super().forward(input)
        assert self.running_mean is not None  # batch norm keeps statistics unless set not to
        assert self.running_var is not None
        return (input - self.running_mean) / (self.running_var + self.eps).sqrt()


def _temporal_part(temporal: Temporal, backbone: Backbone, frames: int) -> nn.Module:
    if temporal == "attention":
        return AttentionPooling(backbone.embed_dim)
    if temporal == "transformer":
        heads = blocks_of(backbone)[0].attn.num_heads
        return TemporalTransformer(backbone.embed_dim, heads=cast(int, heads), frames=frames)
    return TemporalMean()


def _head(kind: Literal["linear", "norm_linear"], width: int, num_classes: int) -> nn.Module:
    linear = nn.Linear(width, num_classes)
    if kind == "linear":
        return linear
    # AdaptFormer's start: features of unit variance need no larger scores than these.
    nn.init.trunc_normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    head = nn.Sequential()
    head.add_module("norm", FeatureNorm(width))
    head.add_module("linear", linear)
    return head
