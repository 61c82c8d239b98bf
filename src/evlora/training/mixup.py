"""Mixup: clips blended with one another, both modalities alike (Zhang et al., ICLR 2018)."""

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot


def mix_clips(
    images: list[Tensor | None], labels: Tensor, *, strength: float, num_classes: int
) -> tuple[list[Tensor | None], Tensor]:
    """Each clip blended with another one of the batch, and what its classes are now.

    Args:
        images: The clips in each modality, floating point, shape (B, T, 3, H, W), or None.
        labels: Numbers of their classes, shape (B,).
        strength: α; the share of a clip in its blend is drawn from Beta(α, α), once for the batch.
        num_classes: K.

    Returns:
        The blended clips, and the share of each class, shape (B, K).
    """
    share = Beta(strength, strength).sample()
    partner = torch.randperm(len(labels))

    def blend(clips: Tensor) -> Tensor:
        return share.to(clips) * clips + (1 - share).to(clips) * clips[partner]

    blended = [None if clips is None else blend(clips) for clips in images]
    return blended, blend(one_hot(labels, num_classes).float())
