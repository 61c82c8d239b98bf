"""What is learned from the views: glyph, mask, facts, and which views show the same figure.

All heads are linear, so that whatever they tell has to lie open in the features; they are thrown
away in the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    binary_cross_entropy_with_logits,
    cross_entropy,
    normalize,
    smooth_l1_loss,
)

from evlora.pretraining.figures import GLYPH_PX
from evlora.pretraining.scenes import FACTS

MASK_CELL_PX = 2
"""Rows and columns of a mask that are predicted as one."""
MATCH_WIDTH = 64
TEMPERATURE = 0.15
WEIGHTS = {"glyph": 1.0, "mask": 1.0, "facts": 1.0, "match": 0.2}
"""What each term counts."""


class ViewBatch(NamedTuple):
    """B figures in V views each."""

    images: Tensor
    """uint8, shape (B, V, H, W, 3)."""
    glyphs: Tensor
    """uint8, shape (B, GLYPH_PX, GLYPH_PX)."""
    masks: Tensor
    """uint8, shape (B, V, H, W)."""
    facts: Tensor
    """Shape (B, V, len(FACTS)); not a number where a view does not tell."""


class Objective(nn.Module):
    """The heads, and the losses of what they say."""

    def __init__(self, width: int, *, patch_px: int) -> None:
        """Build the heads.

        Args:
            width: Of the tokens.
            patch_px: Rows and columns of a patch.
        """
        super().__init__()
        self._cells = patch_px // MASK_CELL_PX
        self.glyph = nn.Linear(width, GLYPH_PX**2)
        self.mask = nn.Linear(width, self._cells**2)
        self.facts = nn.Linear(width, len(FACTS))
        self.match = nn.Linear(width, MATCH_WIDTH, bias=False)

    def forward(self, tokens: Tensor, batch: ViewBatch) -> dict[str, Tensor]:
        """The loss terms.

        Args:
            tokens: The patches of all views after the final norm, shape (B·V, N, D).
            batch: What they show.
        """
        views = batch.images.shape[1]
        pooled = tokens.mean(dim=1)  # (B·V, D)
        glyphs = batch.glyphs.flatten(1).repeat_interleave(views, dim=0) / 255
        facts = batch.facts.flatten(0, 1)
        is_known = ~facts.isnan()
        return {
            "glyph": binary_cross_entropy_with_logits(self.glyph(pooled).float(), glyphs),
            "mask": binary_cross_entropy_with_logits(
                self.mask(tokens).float(), self._cells_of(batch.masks)
            ),
            "facts": smooth_l1_loss(self.facts(pooled).float()[is_known], facts[is_known]),
            "match": match_loss(self.match(pooled).float(), views=views),
        }

    def _cells_of(self, masks: Tensor) -> Tensor:
        """The masks by patch and cell, shape (B·V, N, cells²), in [0, 1]."""
        covered = avg_pool2d(masks.flatten(0, 1).float() / 255, MASK_CELL_PX)
        rows, columns = (side // self._cells for side in covered.shape[1:])
        grid = covered.unflatten(2, (columns, self._cells)).unflatten(1, (rows, self._cells))
        return grid.permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)


def match_loss(embeddings: Tensor, *, views: int) -> Tensor:
    """How badly the other views of a figure are found among all views of the batch (InfoNCE).

    Args:
        embeddings: Shape (B·V, K), the views of a figure one after the other.
        views: V.
    """
    embeddings = normalize(embeddings, dim=1)
    count = len(embeddings)
    figure = torch.arange(count, device=embeddings.device) // views
    is_self = torch.eye(count, dtype=torch.bool, device=embeddings.device)
    is_other_view = (figure[:, None] == figure) & ~is_self
    wanted = is_other_view / (views - 1)
    likeness = embeddings @ embeddings.T / TEMPERATURE
    return cross_entropy(likeness.masked_fill(is_self, -1e4), wanted)
