"""The clip, and the batch that several of them make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from evlora.errors import DatasetError


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """T moments of one recording; a modality that was not asked for is None."""

    rgb: Tensor | None
    """Frames, uint8, shape (T, 3, H, W)."""
    events: Tensor | None
    """Event images, uint8, shape (T, 3, H, W)."""
    label: int | None
    """Number of the class, where it is known."""
    sample: str
    """Which sample of the dataset it is."""


class Batch(NamedTuple):
    """B clips; a modality that was not asked for is None."""

    rgb: Tensor | None
    """Frames, uint8, shape (B, T, 3, H, W)."""
    events: Tensor | None
    """Event images, uint8, shape (B, T, 3, H, W)."""
    labels: Tensor | None
    """Numbers of the classes, int64, shape (B,); None where any is unknown."""
    samples: list[str]
    """Which samples of the dataset they are."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""
        # Pinned memory is copied while the device works; back to the CPU all must have arrived.
        is_to_gpu = torch.device(device).type == "cuda"
        moved = {
            name: None if part is None else part.to(device, non_blocking=is_to_gpu)
            for name, part in (("rgb", self.rgb), ("events", self.events), ("labels", self.labels))
        }
        return self._replace(**moved)


def collate(clips: Sequence[Clip | Sequence[Clip]]) -> Batch:
    """The batch of these clips; several clips of one sample come one after the other.

    Raises:
        DatasetError: There is none, or they differ in modalities or shape.
    """
    flat = [clip for each in clips for clip in ([each] if isinstance(each, Clip) else each)]
    if not flat:
        raise DatasetError("batch: expected at least one clip, got none")
    labels = [clip.label for clip in flat if clip.label is not None]
    return Batch(
        _stack([clip.rgb for clip in flat], flat, "rgb"),
        _stack([clip.events for clip in flat], flat, "events"),
        torch.tensor(labels, dtype=torch.int64) if len(labels) == len(flat) else None,
        [clip.sample for clip in flat],
    )


def _stack(images: Sequence[Tensor | None], clips: Sequence[Clip], name: str) -> Tensor | None:
    present = [image for image in images if image is not None]
    if not present:
        return None
    shapes = [None if image is None else tuple(image.shape) for image in images]
    for clip, shape in zip(clips, shapes, strict=True):
        if shape != shapes[0]:
            raise DatasetError(
                f"batch: expected {name} of one shape, got {shapes[0]} of {clips[0].sample!r} and "
                f"{shape} of {clip.sample!r}; make all clips with one configuration"
            )
    return torch.stack(present)
