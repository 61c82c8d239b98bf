"""How the moments of a clip become one."""

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from evlora.errors import ShapeError
from evlora.models.config import BesideMean


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


class Trend(nn.Module):
    """The slope of tokens over time, which knows the order of the moments: Σ s_t x_t / Σ |s_t|.

    s rises by equal steps from the first moment to the last, and its sum is 0. This is rank pooling
    in its simplest form (Bilen et al., CVPR 2016). One moment has no trend.
    """

    def forward(self, moments: Tensor) -> Tensor:
        """Shape (B, T, N, D) to shape (B, N, D)."""
        count = moments.shape[1]
        slopes = [2 * place - count + 1 for place in range(count)]
        weights = torch.tensor(slopes, dtype=moments.dtype, device=moments.device)
        return torch.einsum("t,btnd->bnd", weights / max(1, weights.numel() ** 2 // 2), moments)


class Change(nn.Module):
    """How much tokens change from one moment to the next, the mean of |x_t − x_{t−1}|."""

    def forward(self, moments: Tensor) -> Tensor:
        """Shape (B, T, N, D) to shape (B, N, D)."""
        if moments.shape[1] == 1:
            return torch.zeros_like(moments[:, 0])
        return (moments[:, 1:] - moments[:, :-1]).abs().mean(dim=1)


STATISTICS: dict[BesideMean, type[nn.Module]] = {"trend": Trend, "change": Change}


class TokensOverTime(nn.Module):
    """The mean of the moments, and what it forgets through pairs of low rank that start at zero.

    Args:
        width: D.
        beside_mean: Which statistics stand beside the mean.
        rank: Of each pair.
    """

    def __init__(self, width: int, beside_mean: tuple[BesideMean, ...], rank: int) -> None:
        super().__init__()
        self.statistics = nn.ModuleDict()
        for name in beside_mean:
            down, up = nn.Linear(width, rank, bias=False), nn.Linear(rank, width, bias=False)
            nn.init.zeros_(up.weight)
            self.statistics[name] = nn.Sequential(STATISTICS[name](), down, up)

    def forward(self, moments: Tensor) -> Tensor:
        """Shape (B, T, N, D) to shape (B, N, D)."""
        joined = moments.mean(dim=1)
        for statistic in self.statistics.values():
            joined = joined + statistic(moments)
        return joined
