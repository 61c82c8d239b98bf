"""The network of VELoRA's released checkpoint (arXiv 2412.20064), with all its oddities.

It is here to read that checkpoint, see `published_checkpoint`; to train, there is `velora`. Where
the two differ, and why, stands in docs/decisions.md; docs/published.md describes this one. Its
modules are named as in the released code, so that the checkpoint's keys fit them.
"""

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from timm.layers import Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from evlora.errors import RecipeError, ShapeError
from evlora.models.adapters import adapt, unwrapped
from evlora.models.backbone import blocks_of, embed_images, share_weights
from evlora.models.config import Modality, PublishedConfig
from evlora.models.fusion import frame_difference
from evlora.models.network import MomentwiseNetwork, Output

TOKENS_READ = 10
"""The number of last tokens that the head reads: patches at the bottom right."""
HALF = 0.5


class PublishedVELoRA(MomentwiseNetwork):
    """RGB frames and event images in, logarithms of the classes' probabilities out.

    Args:
        backbone: CLIP's vision tower, frozen; the three views share its weights.
        config: LoRA and widths.
        modalities: Must be both.
        num_classes: K.

    Raises:
        RecipeError: There is one modality.
    """

    def __init__(
        self,
        backbone: VisionTransformer,
        config: PublishedConfig,
        *,
        modalities: tuple[Modality, ...] = ("rgb", "event"),
        num_classes: int,
    ) -> None:
        super().__init__(backbone, modalities)
        if set(modalities) != {"rgb", "event"}:
            raise RecipeError(
                "clip.modalities: the published network takes both, rgb and event, got "
                f"{list(modalities)}"
            )
        if config.normalization == "half":
            self.mean.fill_(HALF)
            self.std.fill_(HALF)
        width = backbone.embed_dim
        heads = cast(int, blocks_of(backbone)[0].attn.num_heads)
        norm = cast(type[nn.Module], partial(nn.LayerNorm, eps=1e-6))
        self.views = nn.ModuleDict(
            {
                name: adapt(share_weights(backbone), config.adapter, name=f"{name} view")
                for name in ("rgb", "event", "difference")
            }
        )
        self.projection: Tensor
        self.register_buffer("projection", torch.zeros(width, config.projected_width))
        self.visual_embed = nn.Linear(config.projected_width, width)
        self.rgb_embed, self.event_embed, self.frame_embed = (
            nn.Parameter(torch.zeros(1, 1, width)) for _ in range(3)
        )
        self.blocks = nn.Sequential(Block(width, heads, qkv_bias=True, norm_layer=norm))
        self.norm = norm(width)
        self.fuse_blocks = nn.Sequential(Block(width, heads, qkv_bias=True, norm_layer=norm))
        self.self_attention = SelfAttention(width)
        self.fc1 = nn.Linear(TOKENS_READ * width, num_classes)

    @property
    def depends_on_batch(self) -> bool:
        """As released, its fusion attends to the other clips of a call."""
        return True

    @property
    def vit(self) -> VisionTransformer:
        """The tower of the RGB frames, which has all blocks, as every tower."""
        return self._tower("rgb")

    @property
    def least_moments(self) -> int:
        """Two, or there is no difference."""
        return 2

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Logarithms of the K classes' probabilities, and `reconstruction`.

        Takes and raises what `Network.forward` does.
        """
        tokens = self.over_time(self.encode(self.images_by_view(rgb, events)))  # (B, N, D)
        r, e = tokens["rgb"], tokens["event"]
        of_event, of_rgb = self.norm(self.blocks(e)), self.norm(self.blocks(r))
        reconstruction = mse_loss(of_event, r) + mse_loss(of_rgb, e)
        return Output(self.decide(tokens), {"reconstruction": reconstruction}, {})

    def images_by_view(self, rgb: Tensor | None, events: Tensor | None) -> dict[str, Tensor]:
        """Frames, event images and their differences. See `MomentwiseNetwork`."""
        images = self.images_by_modality(rgb, events)
        if images["rgb"].shape[1] < self.least_moments:
            raise ShapeError("difference: expected at least two moments, got T=1; set clip.frames")
        images["difference"] = frame_difference(images["rgb"], images["event"])
        return images

    def encode(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All tokens of each image in CLIP's image embedding, shape (B, T, N, P) each."""
        encoded: dict[str, Tensor] = {}
        for name, pictures in images.items():
            tower = self._tower(name)
            tokens = tower.blocks(embed_images(tower, pictures.flatten(0, 1)))  # (B·T, N, D)
            projected = tower.norm(tokens) @ self.projection  # (B·T, N, P)
            encoded[name] = projected.unflatten(0, pictures.shape[:2])
        return encoded

    def over_time(self, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean tokens of each view in the blocks' width again, shape (B, N, D) each."""
        embeddings = {
            "rgb": self.rgb_embed,
            "event": self.event_embed,
            "difference": self.frame_embed,
        }
        return {
            name: self.visual_embed(projected.mean(dim=1)) + embeddings[name]
            for name, projected in moments.items()
        }

    def decide(self, joined: Mapping[str, Tensor]) -> Tensor:
        """Fusion, last blocks, self-attention and head; see `MomentwiseNetwork.decide`."""
        r, e, d = joined["rgb"], joined["event"], joined["difference"]
        _, z_r, z_e = self.fuse_blocks(torch.cat([d, r, e], dim=1)).chunk(3, dim=1)
        both = torch.cat([self._refine("rgb", r, z_r), self._refine("event", e, z_e)], dim=1)
        of_rgb, of_event = self.self_attention(both).chunk(2, dim=1)
        last = (of_rgb + of_event)[:, -TOKENS_READ:].flatten(1)  # (B, 10·D)
        return self.fc1(last).log_softmax(dim=-1)

    def _tower(self, view: str) -> VisionTransformer:
        return cast(VisionTransformer, unwrapped(self.views[view]))

    def _refine(self, view: str, tokens: Tensor, z: Tensor) -> Tensor:
        """The tower's last block again, on the joined moments, and what the fusion shares with it.

        Args:
            view: Whose tower.
            tokens: The view's tokens, shape (B, N, D).
            z: Its part of the fused tokens, shape (B, N, D).

        Returns:
            Shape (B, N, D).
        """
        block = blocks_of(self._tower(view))[-1]
        # The released block wants (N, B, D) and is given (B, N, D): each token attends to those at
        # its place in the other clips of the batch.
        attended = block.attn(block.norm1(tokens).transpose(0, 1)).transpose(0, 1)
        tokens = tokens + attended
        tokens = tokens + block.mlp(block.norm2(tokens))
        return tokens + z + _low_rank_branch(cast(Mlp, block.mlp), z)


class SelfAttention(nn.Module):
    """Attention of one head, without an output projection and without a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape (B, N, D) to shape (B, N, D)."""
        scores = self.query(tokens) @ self.key(tokens).mT / tokens.shape[-1] ** 0.5  # (B, N, N)
        return scores.softmax(dim=-1) @ self.value(tokens)


def _low_rank_branch(ffn: Mlp, z: Tensor) -> Tensor:
    """B₂A₂·QuickGELU(B₁A₁·z) with the block's own LoRA, left unscaled; shape (B, N, D)."""
    return _low_rank(ffn.fc2, ffn.act(_low_rank(ffn.fc1, z)))


def _low_rank(layer: nn.Module, x: Tensor) -> Tensor:
    down, up = layer.get_submodule("lora_A.default"), layer.get_submodule("lora_B.default")
    return up(down(x))
