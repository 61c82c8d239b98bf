"""Fewer tokens where most of a picture is blank: the most active patches, and one for the rest.

Between two moments little of a scene changes, so that most patches of an event image or of a
difference show next to nothing. The blocks see the K most active patches of each image, in the
order of their places, and behind them one token, the mean of all others. Afterwards every token
goes back to its place, and each of the blank places has what the blocks made of that one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from evlora.models.backbone import Backbone, BackboneBlock
from evlora.models.fast import through_all
from evlora.models.positions import positions_at

LEVELS = 256
"""Differences of normalised values are counted in this part of one, less than a grey level."""


@torch.no_grad()
def most_active(
    images: Tensor, *, count: int, grid: tuple[int, int], blank: float | None = None
) -> Tensor:
    """The places of the patches that differ most from a blank one.

    A patch is as active as its pixels differ from the blank, in sum. That is taken in whole
    numbers, which have the same sum in any order: an image's patches do not depend on what it is
    computed with, and of equally active ones the first is taken.

    Args:
        images: Normalised, shape (B, 3, H, W).
        count: K, how many are kept.
        grid: Rows and columns of patches.
        blank: The value of a pixel where nothing is; None takes the median of each channel of
            each image, which is its background where less than half of it is active.

    Returns:
        Numbers of patches, in ascending order, shape (B, K).
    """
    if blank is None:
        background = _median(images.flatten(2))[:, :, None, None]  # (B, 3, 1, 1)
    else:
        background = torch.full_like(images[:, :, :1, :1], blank)
    levels = (LEVELS * (images - background).abs().float()).round().int()
    rows, columns = grid
    height, width = images.shape[-2] // rows, images.shape[-1] // columns
    patches = levels.unflatten(3, (columns, width)).unflatten(2, (rows, height))
    activity = patches.sum(dim=(1, 3, 5)).flatten(1)  # (B, N)
    ranked = activity.sort(dim=1, descending=True, stable=True).indices
    return ranked[:, :count].sort(dim=1).values


def _median(values: Tensor) -> Tensor:
    """The lower median of the last dimension; torch's own is not deterministic on CUDA."""
    ordered = values.sort(dim=-1, stable=True).values
    return ordered[..., (values.shape[-1] - 1) // 2]


def through_blocks(
    vit: Backbone, blocks: Sequence[BackboneBlock], tokens: Tensor, places: Tensor
) -> Tensor:
    """What the blocks make of the patches at some places and of the mean of the others.

    Args:
        vit: The backbone or view that the blocks are of.
        blocks: One after the other.
        tokens: Of whole images: N patches behind what the backbone puts before them, shape
            (B, N', D).
        places: Of the patches that are seen by themselves, fewer than N, shape (B, K).

    Returns:
        Shape (B, N', D).
    """
    prefix, patches = tokens.tensor_split([vit.num_prefix_tokens], dim=1)
    seen = torch.cat([prefix, *_pruned(patches, places)], dim=1)  # (B, N' − N + K + 1, D)
    positions = positions_at(vit, places)
    seen = through_all(blocks, seen, **positions)
    prefix, kept, rest = seen.tensor_split([prefix.shape[1], -1], dim=1)
    at_places = places.unsqueeze(2).expand_as(kept)
    return torch.cat([prefix, rest.expand_as(patches).scatter(1, at_places, kept)], dim=1)


def _pruned(patches: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """The patches at these places, shape (B, K, D), and the mean of the others, (B, 1, D)."""
    kept = patches.gather(1, places.unsqueeze(2).expand(-1, -1, patches.shape[2]))
    is_kept = torch.zeros_like(patches[:, :, :1], dtype=torch.bool)
    is_kept = is_kept.scatter(1, places.unsqueeze(2), value=True)  # (B, N, 1)
    rest = patches.masked_fill(is_kept, 0).sum(dim=1, keepdim=True)
    return kept, rest / (patches.shape[1] - places.shape[1])
