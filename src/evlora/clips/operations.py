"""RandAugment (Cubuk et al., NeurIPS 2020) for both modalities of a clip.

The operations and their ranges are those of torchvision's `RandAugment`, which draws from a state
of its own and takes one image. Here a clip draws them once: what moves things is done to frames and
event images alike, what changes colours to frames alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

from evlora.clips.augmentation import HIGHEST_MAGNITUDE, Augmentation
from evlora.clips.settings import Modality

Fill = list[float]
"""Colour of what comes in from beyond the image, one number a channel."""
LARGEST_SHIFT = 150 / 331
"""Of an image, as a share of its side."""


class _Kind(NamedTuple):
    """What an operation does to images, by an amount from -1 to 1, or 0 to 1 without a sign."""

    change: Callable[[Tensor, float, Fill], Tensor]
    moves_things: bool = False
    has_sign: bool = True


class Operation(NamedTuple):
    """A drawn operation."""

    name: str
    amount: float

    def changes(self, modality: Modality) -> bool:
        """Whether images of this modality are changed."""
        return modality == "rgb" or OPERATIONS[self.name].moves_things


def _shifted(
    images: Tensor,
    fill: Fill,
    *,
    across: float = 0.0,
    down: float = 0.0,
    shear: tuple[float, float] = (0.0, 0.0),
    angle: float = 0.0,
) -> Tensor:
    """The images moved by shares of their sides, sheared and turned, in degrees."""
    height, width = images.shape[-2:]
    return F.affine(
        images,
        angle=angle,
        translate=[int(across * width), int(down * height)],
        scale=1.0,
        shear=list(shear),
        interpolation=InterpolationMode.BILINEAR,
        fill=fill,
        center=[0.0, 0.0] if any(shear) else None,
    )


def _slope(amount: float) -> float:
    return math.degrees(math.atan(0.3 * amount))


OPERATIONS: dict[str, _Kind] = {
    "identity": _Kind(lambda x, by, fill: x, moves_things=True),
    "shear_x": _Kind(lambda x, by, fill: _shifted(x, fill, shear=(_slope(by), 0.0)), True),
    "shear_y": _Kind(lambda x, by, fill: _shifted(x, fill, shear=(0.0, _slope(by))), True),
    "translate_x": _Kind(lambda x, by, fill: _shifted(x, fill, across=LARGEST_SHIFT * by), True),
    "translate_y": _Kind(lambda x, by, fill: _shifted(x, fill, down=LARGEST_SHIFT * by), True),
    "rotate": _Kind(lambda x, by, fill: _shifted(x, fill, angle=-30 * by), True),
    "brightness": _Kind(lambda x, by, fill: F.adjust_brightness(x, 1 + 0.9 * by)),
    "colour": _Kind(lambda x, by, fill: F.adjust_saturation(x, 1 + 0.9 * by)),
    "contrast": _Kind(lambda x, by, fill: F.adjust_contrast(x, 1 + 0.9 * by)),
    "sharpness": _Kind(lambda x, by, fill: F.adjust_sharpness(x, 1 + 0.9 * by)),
    "posterize": _Kind(lambda x, by, fill: F.posterize(x, 8 - round(4 * by)), has_sign=False),
    "solarize": _Kind(lambda x, by, fill: F.solarize(x, 255 * (1 - by)), has_sign=False),
    "autocontrast": _Kind(lambda x, by, fill: F.autocontrast(x)),
    "equalize": _Kind(lambda x, by, fill: F.equalize(x)),
}


def draw_operations(
    augmentation: Augmentation, modalities: Sequence[Modality], generator: np.random.Generator
) -> list[Operation]:
    """What a clip gets, in this order; nothing is drawn where the augmentation has none.

    Args:
        augmentation: How many, and how strong.
        modalities: Of the clip; one without frames gets no operation of colours.
        generator: Draws them.
    """
    names = [name for name in OPERATIONS if "rgb" in modalities or OPERATIONS[name].moves_things]
    drawn: list[Operation] = []
    for _ in range(augmentation.randaugment):
        name = names[int(generator.integers(len(names)))]
        amount = augmentation.randaugment_magnitude / HIGHEST_MAGNITUDE
        is_turned = generator.random() < 0.5 and OPERATIONS[name].has_sign
        drawn.append(Operation(name, -amount if is_turned else amount))
    return drawn


def operated(
    images: Tensor, operations: Sequence[Operation], *, modality: Modality, fill: Fill
) -> Tensor:
    """The images after these operations, those of colours skipped where they are event images.

    Args:
        images: uint8, shape (T, 3, H, W).
        operations: In their order.
        modality: What the images are of.
        fill: Colour of what comes in from beyond them.
    """
    video: Tensor = tv_tensors.Video(images)
    for operation in operations:
        if operation.changes(modality):
            video = OPERATIONS[operation.name].change(video, operation.amount, fill)
    return video.as_subclass(Tensor).contiguous()
