"""How the modalities meet: difference images, cross-modal reconstruction, modality-shared stage.

VELoRA (arXiv 2412.20064), section "Methodology"; the letters are those of its figure: r RGB,
e event, d difference; R, E, Δ their tokens.
"""

from collections.abc import Mapping
from typing import cast

import torch
from timm.layers import GluMlp, Mlp, SwiGLU
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from evlora.models.adapters import (
    AdapterConfig,
    adapt,
    added_by_lora,
    require_low_rank_pair,
    unwrapped,
)
from evlora.models.backbone import BackboneBlock, share_weights
from evlora.models.fast import through


def frame_difference(*modalities: Tensor) -> Tensor:
    """The summed differences of neighbours, d_t = |r_t − r_{t−1}| + |e_t − e_{t−1}|.

    Args:
        *modalities: Normalised images, shape (B, T, 3, H, W) each.

    Returns:
        Shape (B, T−1, 3, H, W).
    """
    steps = [(images[:, 1:] - images[:, :-1]).abs() for images in modalities]
    return torch.stack(steps).sum(dim=0)


class Reconstruction(nn.Module):
    """Each modality's tokens predict the other's: L = mse(ρ(E), R) + mse(ρ(R), E).

    ρ is a block of the backbone, frozen, with an adapter of its own.

    Args:
        block: Of the backbone.
        adapter: That of ρ.
        has_fixed_targets: Whether the tokens that are predicted get no gradient, so that none is
            drawn to what the other modality can predict.
    """

    def __init__(
        self, block: BackboneBlock, adapter: AdapterConfig, *, has_fixed_targets: bool = False
    ) -> None:
        super().__init__()
        self.has_fixed_targets = has_fixed_targets
        self.rho = adapt(share_weights(block), adapter, name="reconstruction block")

    def forward(self, rgb: Tensor, event: Tensor) -> Tensor:
        """The loss term, a scalar, from the tokens of both modalities, shape (B, N, D) each."""
        rho = unwrapped(self.rho)
        seen_rgb, seen_event = (
            (rgb.detach(), event.detach()) if self.has_fixed_targets else (rgb, event)
        )
        return mse_loss(through(rho, event), seen_rgb) + mse_loss(through(rho, rgb), seen_event)


class SharedStage(nn.Module):
    """The modality-shared stage: Z = φ([Δ; R; E]), and what it shares with each modality.

    φ is a block of the backbone, frozen, with the modality-shared LoRA (or Lv-Adapter) on its FFN.

    Raises:
        AdapterError: The adapter has no low-rank pair to share.
    """

    def __init__(
        self, block: BackboneBlock, adapter: AdapterConfig, modalities: tuple[str, ...]
    ) -> None:
        super().__init__()
        require_low_rank_pair(adapter, where="modality-shared stage")
        self.phi = adapt(share_weights(block), adapter, name="modality-shared stage")
        width = cast(nn.LayerNorm, block.norm1).normalized_shape
        self.gates = nn.ParameterDict({name: torch.zeros(width) for name in modalities})

    def forward(self, tokens: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is added to the FFN of each modality's high-level blocks.

        Args:
            tokens: Of every view, in the order in which they are joined, shape (B, N, D) each.

        Returns:
            By modality, γ ⊙ Z_m + S(Z_m), shape (B, N, D).
        """
        joined = torch.cat(list(tokens.values()), dim=1)  # (B, views·N, D)
        joined = through(unwrapped(self.phi), joined)
        lengths = [part.shape[1] for part in tokens.values()]
        parts = dict(zip(tokens, joined.split(lengths, dim=1), strict=True))
        return {
            name: gate * parts[name] + self.low_rank_branch(parts[name])
            for name, gate in self.gates.items()
        }

    def low_rank_branch(self, z: Tensor) -> Tensor:
        """S(z): the shared LoRA of φ's FFN alone, without the frozen layers; shape (B, N, D)."""
        ffn = cast(BackboneBlock, unwrapped(self.phi)).mlp
        return added_by_lora(cast(nn.Module, ffn.fc2), _hidden(ffn, z))


def _hidden(ffn: nn.Module, z: Tensor) -> Tensor:
    """The hidden features of an FFN's low-rank pairs alone, gated where the FFN is."""
    if isinstance(ffn, SwiGLU):
        return ffn.act(added_by_lora(ffn.fc1_g, z)) * added_by_lora(ffn.fc1_x, z)
    if isinstance(ffn, GluMlp):
        first, second = added_by_lora(ffn.fc1, z).chunk(2, dim=-1)
        return first * ffn.act(second) if ffn.gate_last else ffn.act(first) * second
    plain = cast(Mlp, ffn)
    return plain.act(added_by_lora(plain.fc1, z))
