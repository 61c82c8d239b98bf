"""VELoRA: low-rank adaptation for RGB-event recognition (arXiv 2412.20064).

Departures from the paper and from its released code are rows in docs/decisions.md.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from evlora.errors import RecipeError, ShapeError
from evlora.models.adapters import adapt, sees_moments, set_moments, train_backbone, unwrapped
from evlora.models.backbone import Backbone, blocks_of, embed_images, pool_tokens, share_weights
from evlora.models.config import Modality, VELoRAConfig
from evlora.models.fast import through, through_all
from evlora.models.fusion import Reconstruction, SharedStage, frame_difference
from evlora.models.network import MomentwiseNetwork, Output, require_pool
from evlora.models.sparsity import most_active, through_blocks
from evlora.models.temporal import TokensOverTime


class VELoRA(MomentwiseNetwork):
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
        backbone: Backbone,
        config: VELoRAConfig,
        *,
        modalities: tuple[Modality, ...] = ("rgb", "event"),
        num_classes: int,
    ) -> None:
        super().__init__(backbone, modalities)
        _require_consistent(config, backbone, modalities)
        self.config = config
        self.mixes_images = config.adapter.mixes_images
        has_both = len(modalities) == 2
        all_blocks = len(backbone.blocks)
        low_blocks = all_blocks - config.high_blocks
        stops = (low_blocks - 1,)  # behind them is the mean over time
        names: list[str] = list(modalities)
        if has_both and config.difference:
            names.insert(0, "difference")  # the order in which φ sees them, [Δ; R; E]
        # The difference speaks through the shared stage; where there is none, to the head itself.
        self.head_views = tuple(modalities if has_both and config.shared_stage else names)
        self.all_views = (
            None
            if config.adapter_per_view
            else adapt(share_weights(backbone), config.adapter, name="all views", stops=stops)
        )
        seen_alone = {
            "event": config.active_patches,
            "difference": config.active_difference_patches or config.active_patches,
        }
        self.views = nn.ModuleDict()
        for name in names:
            adapted = self.all_views
            if adapted is None:
                reaches_head = name in self.head_views
                vit = _as_seen_by(name, backbone, low_blocks=low_blocks, reaches_head=reaches_head)
                adapted = adapt(
                    vit, config.adapter, name=f"{name} view", depth=all_blocks, stops=stops
                )
            depth = low_blocks if name == "difference" else all_blocks
            self.views[name] = View(
                adapted,
                low_blocks=low_blocks,
                depth=depth,
                active_patches=seen_alone.get(name),
                thin_answers=config.thin_answers,
                blank=0.0 if name == "difference" else None,
                over_time=_over_time(backbone, config),
            )
        _require_images_alone(config, self.views)
        self.reconstruction, self.shared_stage = _stages(config, backbone, modalities)
        if config.adapter.method == "full":
            # φ and ρ share blocks with the views, and have frozen or freed them.
            train_backbone(self.vit, config.adapter, name="backbone")
        self.head = nn.Linear(backbone.embed_dim * len(self.head_views), num_classes)
        if self.is_probe:
            for name in self.views:
                self.view(name).embedding.requires_grad_(False)

    @property
    def is_probe(self) -> bool:
        """Whether the head is all that learns: no adapter, and no stage with weights of its own."""
        stages = (self.reconstruction, self.shared_stage)
        has_stages = any(stage is not None for stage in stages) or bool(self.config.beside_mean)
        return self.config.adapter.method == "none" and not has_stages

    @property
    def vit(self) -> Backbone:
        """The first modality's view, which has all blocks."""
        return self.view(self.modalities[0]).vit

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Scores of the K classes, and `reconstruction` where that stage is on.

        Takes and raises what `Network.forward` does.
        """
        return self.conclude(self.encode_once(self.images_by_view(rgb, events)))

    def encode_once(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean over time of each view's low-level tokens, shape (B, 1, N, D).

        Those of all moments, shape (B, T, N, D), where more is kept of them than their mean; and
        what the head gets, shape (B, 1, D), where nothing else learns.
        """
        encoded = self.encode(images)
        if self.is_probe:
            return {
                name: x.unsqueeze(1) for name, x in self.features(self.over_time(encoded)).items()
            }
        if self.config.beside_mean:
            return encoded
        return {name: x.mean(dim=1, keepdim=True) for name, x in encoded.items()}

    def encoding_parts(self) -> list[nn.Module]:
        """The low-level blocks of every view and what makes tokens for them; all of a probe."""
        if self.is_probe:
            return [*self.views.values()]
        return [part for name in self.views for part in self.view(name).low_parts()]

    def encoding_keys(self) -> dict[str, dict[str, Any]]:
        """How many blocks a view's images pass, which patches, and whether moments are kept."""
        return {
            name: {
                "network": "velora",
                "probe": self._probed(name),
                "low_blocks": self.view(name).low_blocks,
                "active_patches": self.view(name).active_patches,
                "thin_answers": self.view(name).thin_answers,
                "keeps_moments": bool(self.config.beside_mean),
            }
            for name in self.views
        }

    def conclude(self, encoded: Mapping[str, Tensor]) -> Output:
        """Reconstruction, fusion, high-level blocks and head; see `MomentwiseNetwork.conclude`."""
        if self.is_probe:
            features = {name: encoded[name].squeeze(1) for name in self.head_views}
            return Output(self.head(concatenated(features)), {}, self.scores_by_view(features))
        tokens = self.over_time(encoded)  # (B, N, D)
        terms: dict[str, Tensor] = {}
        if self.reconstruction is not None:
            terms["reconstruction"] = self.reconstruction(tokens["rgb"], tokens["event"])
        features = self.features(tokens)
        logits = self.head(concatenated(features))
        return Output(logits, terms, self.scores_by_view(features))

    def encode(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The low-level blocks of each view on all of its images, shape (B, T, N, D) each."""
        return {name: self.view(name).low(x) for name, x in images.items()}

    def over_time(self, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tokens of each view over its moments, with its embedding, shape (B, N, D) each."""
        return {
            name: self.view(name).over_time(moments[name]) + self.view(name).embedding
            for name in self.views  # the order in which φ sees them
            if name in moments
        }

    def decide(self, joined: Mapping[str, Tensor]) -> Tensor:
        """Fusion, high-level blocks and head; see `MomentwiseNetwork.decide`."""
        return self.head(concatenated(self.features(joined)))

    def features(self, tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fusion and high-level blocks: what the head gets of each view, shape (B, D) each."""
        shared = {} if self.shared_stage is None else self.shared_stage(tokens)
        return {
            name: self.view(name).high(tokens[name], shared.get(name), pool=self.config.pool)
            for name in self.head_views
            if name in tokens
        }

    def _probed(self, name: str) -> list[Any] | None:
        """What a probe's features depend on beyond those of its low-level blocks."""
        view = self.view(name)
        return [view.depth, self.config.pool, view.embedding.tolist()] if self.is_probe else None

    def scores_by_view(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the head's columns for one view, and its bias, make of that view: (B, K) each."""
        if len(features) < 2:
            return {}
        columns = self.head.weight.chunk(len(features), dim=1)  # (K, D) each
        return {
            name: linear(feature, weight, self.head.bias)
            for (name, feature), weight in zip(features.items(), columns, strict=True)
        }

    def view(self, name: str) -> "View":
        """The view of this name: rgb, event or difference."""
        return cast(View, self.views[name])

    @property
    def least_moments(self) -> int:
        """Two where there is a difference to see."""
        return 2 if "difference" in self.views else 1

    def images_by_view(self, rgb: Tensor | None, events: Tensor | None) -> dict[str, Tensor]:
        """The images of each view; the difference has one less. See `MomentwiseNetwork`."""
        images = self.images_by_modality(rgb, events)
        if "difference" in self.views:
            if images[self.modalities[0]].shape[1] < 2:
                raise ShapeError(
                    "difference: expected at least two moments, got T=1; "
                    "set clip.frames to 2 or more, or model.difference to false"
                )
            images["difference"] = frame_difference(*images.values())
        return images


class View(nn.Module):
    """The backbone as one modality sees it: shared frozen weights with adapters, an embedding.

    Args:
        adapted: The backbone with its adapters.
        low_blocks: How many of its blocks come before the fusion.
        depth: How many of its blocks this view goes through in all; a difference view has no
            high-level part.
        active_patches: How many patches of an image the low-level blocks see by themselves; None
            is all of them.
        thin_answers: Whether that holds outside of training too.
        blank: The value of a pixel where nothing is; None if it differs from image to image.
        over_time: What joins the moments of a clip.
    """

    def __init__(
        self,
        adapted: nn.Module,
        *,
        low_blocks: int,
        depth: int,
        active_patches: int | None,
        thin_answers: bool,
        blank: float | None,
        over_time: TokensOverTime,
    ) -> None:
        super().__init__()
        self.low_blocks = low_blocks
        self.depth = depth
        self.active_patches = active_patches
        self.thin_answers = thin_answers
        self.blank = blank
        self.over_time = over_time
        self.adapted = adapted
        self.sees_moments = sees_moments(adapted)
        self.embedding = nn.Parameter(torch.zeros(self.vit.embed_dim))

    @property
    def vit(self) -> Backbone:
        """The timm model with its adapted layers."""
        return cast(Backbone, unwrapped(self.adapted))

    def low(self, images: Tensor) -> Tensor:
        """The low-level blocks on all B·T images in one call.

        Args:
            images: Normalised, shape (B, T, 3, H, W).

        Returns:
            Shape (B, T, N, D).
        """
        flat = images.flatten(0, 1)  # (B·T, 3, H, W)
        if self.sees_moments:
            set_moments(self.adapted, images.shape[1])
        tokens = embed_images(self.vit, flat)  # (B·T, N, D)
        blocks = blocks_of(self.vit)[: self.low_blocks]
        rows, columns = cast(tuple[int, int], self.vit.patch_embed.grid_size)
        count = self.active_patches if self.training or self.thin_answers else None
        if count is not None and count < rows * columns:
            places = most_active(flat, count=count, grid=(rows, columns), blank=self.blank)
            tokens = through_blocks(self.vit, blocks, tokens, places)
        else:
            tokens = through_all(blocks, tokens)
        return tokens.unflatten(0, images.shape[:2])

    def low_parts(self) -> list[nn.Module]:
        """The modules that `low` uses."""
        return [self.vit.patch_embed, self.vit.norm_pre, *blocks_of(self.vit)[: self.low_blocks]]

    def high(self, tokens: Tensor, shared: Tensor | None, *, pool: str) -> Tensor:
        """The high-level blocks, the shared branch added to each FFN, and one vector per clip.

        Args:
            tokens: Shape (B, N, D).
            shared: What the modality-shared stage shares, shape (B, N, D), or None.
            pool: `token`, `mean` or `map`.

        Returns:
            Shape (B, D).
        """
        if self.sees_moments:
            set_moments(self.adapted, 1)  # what is seen here are means over time
        for block in blocks_of(self.vit)[self.low_blocks : self.depth]:
            seen = through(block, tokens)
            tokens = seen if shared is None else seen + shared
        return pool_tokens(self.vit, tokens, pool)


def concatenated(features: Mapping[str, Tensor]) -> Tensor:
    """The views' vectors, shape (B, D) each, behind each other, shape (B, V·D)."""
    return torch.cat(list(features.values()), dim=-1)


def _as_seen_by(name: str, backbone: Backbone, *, low_blocks: int, reaches_head: bool) -> Backbone:
    """A tree over the backbone's weights without what this view never calls, to be adapted.

    A difference view has no high-level part, and no last norms and no pooling where the head
    does not use it.
    """
    vit = share_weights(backbone)
    if name == "difference":
        del vit.blocks[low_blocks:]
    if not reaches_head:
        vit.norm = vit.fc_norm = nn.Identity()
        vit.attn_pool = None
    return vit


def _stages(
    config: VELoRAConfig, backbone: Backbone, modalities: tuple[Modality, ...]
) -> tuple[Reconstruction | None, SharedStage | None]:
    """What compares and what fuses two modalities, each where it is on."""
    if len(modalities) < 2:
        return None, None
    blocks, first_high = blocks_of(backbone), len(backbone.blocks) - config.high_blocks
    reconstruction = shared_stage = None
    if config.reconstruction:
        last_low = blocks[first_high - 1]
        fixed = config.fixed_targets
        reconstruction = Reconstruction(last_low, config.adapter, has_fixed_targets=fixed)
    if config.shared_stage:
        shared_stage = SharedStage(blocks[first_high], config.shared_adapter, modalities)
    return reconstruction, shared_stage


def _over_time(backbone: Backbone, config: VELoRAConfig) -> TokensOverTime:
    return TokensOverTime(backbone.embed_dim, config.beside_mean, config.beside_mean_rank)


def _require_images_alone(config: VELoRAConfig, views: nn.ModuleDict) -> None:
    if config.active_patches is not None and sees_moments(views):
        raise RecipeError(
            "model.active_patches: expected adapters that see each image alone, got "
            f"{config.adapter.method} with a part over time, which would mix other places of "
            "each image; set model.active_patches to null, or choose another adapter"
        )


def _require_consistent(
    config: VELoRAConfig, backbone: Backbone, modalities: tuple[Modality, ...]
) -> None:
    depth = len(backbone.blocks)
    if not 1 <= config.high_blocks < depth:
        raise RecipeError(
            f"model.high_blocks: expected 1…{depth - 1} of the backbone's {depth} blocks, "
            f"got {config.high_blocks}"
        )
    if config.active_patches is not None and "event" not in modalities:
        raise RecipeError(
            "model.active_patches: expected events, whose images and differences are pruned, "
            f"got clip.modalities: {list(modalities)}; leave the key out, or add event"
        )
    has_difference = config.difference and len(modalities) == 2
    if config.active_difference_patches is not None and not has_difference:
        raise RecipeError(
            "model.active_difference_patches: expected both modalities and their difference, got "
            f"clip.modalities: {list(modalities)}, model.difference: {config.difference}; "
            "leave the key out"
        )
    is_pruned = config.active_patches or config.active_difference_patches
    if not config.thin_answers and not is_pruned:
        raise RecipeError(
            "model.thin_answers: expected a number of patches that training sees, got neither "
            "model.active_patches nor model.active_difference_patches; give one, or leave it out"
        )
    require_pool(config.pool, backbone)
