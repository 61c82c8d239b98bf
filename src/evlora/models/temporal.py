"""How the moments of a clip become one vector."""

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from evlora.errors import ShapeError


class TemporalMean(nn.Module):
    """The mean of the moments."""

    def forward(self, moments: Tensor) -> Tensor:
        """Shape (B, T, D) to shape (B, D)."""
        return moments.mean(dim=1)


class AttentionPooling(nn.Module):
    """The moments weighed by a learned query q: Σ softmax(q·norm(x) / √D) x; q = 0 is the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, moments: Tensor) -> Tensor:
        """Shape (B, T, D) to shape (B, D)."""
        scores = self.norm(moments) @ self.query / moments.shape[-1] ** 0.5  # (B, T)
        return (scores.softmax(dim=1).unsqueeze(-1) * moments).sum(dim=1)


class TemporalTransformer(nn.Module):
    """One transformer block over a class query and the moments, which carry their place in time.

    Args:
        width: D.
        heads: Heads of its attention.
        frames: T, the number of places.
    """

    def __init__(self, width: int, *, heads: int, frames: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width, elementwise_affine=False)
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))
        # As large as what is seen: places of 0.02, as patches have, hardly count beside it.
        self.positions = nn.Parameter(torch.randn(1, frames, width))
        self.block = Block(width, heads, qkv_bias=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, moments: Tensor) -> Tensor:
        """Shape (B, T, D) to shape (B, D).

        Raises:
            ShapeError: T is not the number of moments that the network was built for.
        """
        batch, frames, _ = moments.shape
        if frames != self.positions.shape[1]:
            raise ShapeError(
                f"clip: expected the T={self.positions.shape[1]} moments that the temporal "
                f"transformer was built for, got T={frames}; set clip.frames"
            )
        placed = self.norm_in(moments) + self.positions
        tokens = torch.cat([self.query.expand(batch, -1, -1), placed], dim=1)  # (B, 1 + T, D)
        return self.norm(self.block(tokens))[:, 0]
