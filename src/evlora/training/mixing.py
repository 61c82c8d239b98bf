"""Mixup and CutMix: clips mixed with one another, both modalities alike.

Mixup blends whole clips (Zhang et al., ICLR 2018); CutMix puts a box of one clip into another one
(Yun et al., ICCV 2019), the same box at each moment.
"""

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot
from torchvision.transforms.v2 import CutMix
from torchvision.tv_tensors import Video

Mixed = tuple[list[Tensor | None], Tensor]
"""The clips, and the share of each class, shape (B, K)."""


def mix_clips(
    images: list[Tensor | None],
    labels: Tensor,
    *,
    mixup: float,
    cutmix: float,
    num_classes: int,
) -> Mixed:
    """Each clip mixed with another one of the batch, and what its classes are now.

    Args:
        images: The clips in each modality, floating point, shape (B, T, 3, H, W), or None.
        labels: Numbers of their classes, shape (B,).
        mixup: α of mixup; 0 for none.
        cutmix: α of CutMix; 0 for none. With both, one of them is drawn for the batch.
        num_classes: K.
    """
    is_cut = bool(cutmix) and (not mixup or bool(torch.rand(()) < 0.5))
    if is_cut:
        return _cut_clips(images, labels, strength=cutmix, num_classes=num_classes)
    return blend_clips(images, labels, strength=mixup, num_classes=num_classes)


def blend_clips(
    images: list[Tensor | None], labels: Tensor, *, strength: float, num_classes: int
) -> Mixed:
    """Each clip blended with another one of the batch.

    Args:
        images: See `mix_clips`.
        labels: Numbers of their classes, shape (B,).
        strength: α; the share of a clip in its blend is drawn from Beta(α, α), once for the batch.
        num_classes: K.
    """
    share = Beta(strength, strength).sample()
    partner = torch.randperm(len(labels))

    def blend(clips: Tensor) -> Tensor:
        return share.to(clips) * clips + (1 - share).to(clips) * clips[partner]

    blended = [None if clips is None else blend(clips) for clips in images]
    return blended, blend(one_hot(labels, num_classes).float())


def _cut_clips(
    images: list[Tensor | None], labels: Tensor, *, strength: float, num_classes: int
) -> Mixed:
    """Each clip with a box of another one of the batch."""
    given = [clips for clips in images if clips is not None]
    together = Video(torch.cat(given, dim=1))  # so that all moments of both have the same box
    cut, shares = CutMix(alpha=strength, num_classes=num_classes)(together, labels)
    parts = iter(cut.as_subclass(Tensor).split([clips.shape[1] for clips in given], dim=1))
    return [None if clips is None else next(parts) for clips in images], shares
