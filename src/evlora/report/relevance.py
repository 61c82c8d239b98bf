"""Which patches an answer rests on, in each view and moment.

Attention rollout (Abnar and Zuidema, ACL 2020) multiplies what the blocks attend to, half of it
and half of the path beside it. Weighted by gradients (Chefer et al., ICCV 2021) each head counts
as much as the score of the class in question depends on it, and only what raises it. Both are
followed from the pooled tokens back to the patches: through the high-level blocks, the
modality-shared stage, and the low-level blocks of each moment.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from timm.layers.attention import Attention, AttentionRope
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from evlora.clips import Clip
from evlora.errors import BundleError
from evlora.models import Backbone
from evlora.models.adapters import sees_moments
from evlora.models.adapters.blocks import width_of
from evlora.models.single_stream import SingleStream
from evlora.models.velora import VELoRA, concatenated
from evlora.recognizer import Recognizer

Method = Literal["rollout", "gradient"]
METHODS: tuple[Method, ...] = ("rollout", "gradient")
ATTENTIONS = (Attention, AttentionRope, EvaAttention)
"""timm's layers whose attention can be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Relevance:
    """How much each patch of a clip counts for one class."""

    label: str
    """The class."""
    by_method: dict[Method, dict[str, Tensor]]
    """By method and view, shape (T, rows, columns); T−1 moments of the difference. Not below 0;
    comparable between the moments of a view."""


@dataclass(slots=True)
class _Stages:
    """The attention of a forward pass by stage, shape (B, heads, N, N) each."""

    low: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    shared: list[Tensor] = field(default_factory=list[Tensor])
    high: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])

    def all(self) -> list[Tensor]:
        return [
            *(one for stage in (self.low, self.high) for many in stage.values() for one in many),
            *self.shared,
        ]


def why_not(recognizer: Recognizer) -> str | None:
    """Why the relevance of patches cannot be read from this recognizer; None where it can."""
    network = recognizer.network
    if not isinstance(network, VELoRA | SingleStream):
        return f"the network {recognizer.config.model.network} joins its views in another way"
    if isinstance(network, VELoRA) and any(
        network.view(name).active_patches is not None and network.view(name).thin_answers
        for name in network.views
    ):
        return "its blocks see pruned patches, not those of a grid"
    if not any(isinstance(module, ATTENTIONS) for module in network.modules()):
        return "its backbone's attention is of a kind that cannot be read"
    if sees_moments(network):
        return "its adapters mix the moments of a clip"
    if not _has_attention_of_blocks_alone(network):
        return "its adapters attend to more than the tokens of an image"
    return None


def _has_attention_of_blocks_alone(network: VELoRA | SingleStream) -> bool:
    """Whether each attention is what a block of the backbone calls, with the tokens of an image."""
    width = network.vit.embed_dim
    blocks = [module for module in network.modules() if isinstance(module, Block | EvaBlock)]
    of_blocks = {id(block.attn) for block in blocks if width_of(block) == width}
    return of_blocks == {id(m) for m in network.modules() if isinstance(m, ATTENTIONS)}


def relevance(recognizer: Recognizer, clip: Clip, *, label: str | None = None) -> Relevance:
    """How much each patch of a clip counts for a class, by attention rollout and by gradients.

    Args:
        recognizer: VELoRA or a recognizer of one modality.
        clip: What it sees.
        label: The class; the most probable one by default.

    Raises:
        BundleError: The recognizer's attention cannot be read, or it has no such class.
    """
    reason = why_not(recognizer)
    if reason is not None:
        raise BundleError(f"relevance of patches: expected a network that shows it: {reason}")
    if label is not None and label not in recognizer.labels:
        raise BundleError(f"relevance of patches: the recognizer has no class {label!r}")
    recognizer.eval()
    device = next(recognizer.parameters()).device
    rgb, events = (
        None if images is None else recognizer.normalize(images[None].to(device)).requires_grad_()
        for images in (clip.rgb, clip.events)
    )
    network = cast(VELoRA | SingleStream, recognizer.network)
    with torch.enable_grad():
        stages, logits = _attended(network, network.images_by_view(rgb, events))
        number = int(logits.argmax()) if label is None else recognizer.labels.index(label)
        gradients = torch.autograd.grad(logits[0, number], stages.all(), allow_unused=True)
    weights = dict(zip(map(id, stages.all()), gradients, strict=True))
    rollout, weighted = (_followed(network, stages, method, weights) for method in METHODS)
    # The paths beside the attention lead each token to itself, whatever the picture shows.
    beside = _followed(network, stages, "gradient", dict.fromkeys(weights))
    raised = {name: weighted[name] - beside[name] for name in weighted}
    return Relevance(recognizer.labels[number], {"rollout": rollout, "gradient": raised})


def _attended(
    network: VELoRA | SingleStream, images: Mapping[str, Tensor]
) -> tuple[_Stages, Tensor]:
    """The attention of each stage, and the scores, shape (1, K)."""
    stages = _Stages()
    with _reading_attention(network) as taken:

        def since() -> list[Tensor]:
            found = taken.copy()
            taken.clear()
            return found

        encoded: dict[str, Tensor] = {}
        for name, its in images.items():
            encoded |= network.encode({name: its})
            stages.low[name] = since()
        joined = network.over_time(encoded)
        if isinstance(network, SingleStream):
            return stages, network.decide(joined)
        shared = {} if network.shared_stage is None else network.shared_stage(joined)
        stages.shared = since()
        features: dict[str, Tensor] = {}
        for name in network.head_views:
            features[name] = network.view(name).high(
                joined[name], shared.get(name), pool=network.config.pool
            )
            stages.high[name] = since()
        return stages, network.head(concatenated(features))


@contextmanager
def _reading_attention(network: nn.Module) -> Generator[list[Tensor]]:
    """Collects what every attention attends to, in the order of the calls."""
    taken: list[Tensor] = []

    def take(_: nn.Module, __: Any, attention: Tensor) -> None:
        taken.append(attention)

    layers = [cast(Any, m) for m in network.modules() if isinstance(m, ATTENTIONS)]
    fused = [layer.fused_attn for layer in layers]
    handles = [layer.attn_drop.register_forward_hook(take) for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False  # the fused kernel shows no attention
        yield taken
    finally:
        for layer, was in zip(layers, fused, strict=True):
            layer.fused_attn = was
        for handle in handles:
            handle.remove()


def _followed(
    network: VELoRA | SingleStream,
    stages: _Stages,
    method: Method,
    gradients: Mapping[int, Tensor | None],
) -> dict[str, Tensor]:
    """The relevance of each view's patches, from the pooled tokens back, (T, rows, columns)."""

    def matrices(attended: list[Tensor]) -> list[Tensor]:
        return [_mixing(one, gradients[id(one)], method) for one in attended]

    vit, pool = network.vit, network.config.pool
    found: dict[str, Tensor] = {}
    if isinstance(network, SingleStream):
        rows = {
            name: _pooled(vit, low[0].shape[-1], pool).to(low[0])
            for name, low in stages.low.items()
        }
    else:
        rows = _through_fusion(
            network,
            {name: matrices(high) for name, high in stages.high.items()},
            matrices(stages.shared),
        )
    for name, low in stages.low.items():
        row = rows[name].expand(low[0].shape[0], 1, -1)  # (T, 1, N)
        for mixing in reversed(matrices(low)):
            row = row @ mixing
        patches = row[:, 0, vit.num_prefix_tokens :]
        grid = cast(tuple[int, int], vit.patch_embed.grid_size)
        found[name] = patches.unflatten(1, grid).detach().cpu()
    return found


def _through_fusion(
    network: VELoRA, high: Mapping[str, list[Tensor]], shared: list[Tensor]
) -> dict[str, Tensor]:
    """How much each token of each view counts where the views meet, shape (1, N) each."""
    names, count = list(network.views), next(iter(high.values()))[0].shape[-1]
    rows = {name: high[name][0].new_zeros(1, count) for name in high}
    rows |= {name: next(iter(rows.values())).clone() for name in names if name not in rows}
    of_shared = {name: torch.zeros_like(row) for name, row in rows.items()}
    for name, mixings in high.items():
        row = _pooled(network.vit, count, network.config.pool).to(mixings[0])
        for mixing in reversed(mixings):
            if shared:  # a block's output is what the block made and what the stage shares
                of_shared[name] = of_shared[name] + row / 2
                row = row / 2
            row = row @ mixing[0]
        rows[name] = row
    if shared:
        joined = torch.cat([of_shared[name] for name in names], dim=1)  # (1, views·N)
        for mixing in reversed(shared):
            joined = joined @ mixing[0]
        for name, part in zip(names, joined.chunk(len(names), dim=1), strict=True):
            rows[name] = rows[name] + part
    return rows


def _pooled(vit: Backbone, count: int, pool: str) -> Tensor:
    """The share of each of N tokens in the pooled vector, shape (1, N)."""
    row = torch.zeros(1, count)
    if pool == "token":
        row[0, 0] = 1
    else:  # attention pooling is taken for a mean
        row[0, vit.num_prefix_tokens :] = 1 / (count - vit.num_prefix_tokens)
    return row


def _mixing(attention: Tensor, gradient: Tensor | None, method: Method) -> Tensor:
    """What a block makes of its tokens, by attention and by the path beside it, (B, N, N)."""
    identity = torch.eye(attention.shape[-1], device=attention.device)
    if method == "rollout":
        return (attention.mean(dim=1) + identity) / 2
    if gradient is None:  # the score does not depend on it
        return identity.expand(len(attention), -1, -1)
    return identity + (gradient * attention).clamp(min=0).mean(dim=1)
