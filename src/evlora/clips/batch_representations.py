"""The representations of `evlora.recordings.representations` for a whole batch, on any device.

The events of B clips travel as flat tensors, some ten bytes an event, and become pictures on the
GPU. The results are those of the numpy functions of the same names: exact where they are whole
numbers, to float32 rounding where they are not.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evlora.errors import DatasetError, ShapeError
from evlora.recordings import EventStream
from evlora.recordings.representations import (
    DECAY_US,
    OFF_COLOUR,
    ON_COLOUR,
    RGB_BINS,
    VOXEL_BINS,
    WHITE,
    WindowArray,
)


class EventBatch(NamedTuple):
    """The events of B clips of T windows each, one tensor per field of shape (N,)."""

    t_us: Tensor
    """Time since the start of the event's window in microseconds, int64."""
    x: Tensor
    """Column, int32."""
    y: Tensor
    """Row, int32."""
    polarity: Tensor
    """True for ON, False for OFF, bool."""
    window: Tensor
    """Number of the window: sample · T + moment, int64."""
    lengths_us: Tensor
    """Length of every window in microseconds, int64, shape (B, T)."""
    width: int
    """Columns of the sensor."""
    height: int
    """Rows of the sensor."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "EventBatch":
        """The same events on this device."""
        return self._replace(
            **{
                name: value.to(device, non_blocking=non_blocking)
                for name, value in self._asdict().items()
                if isinstance(value, Tensor)
            }
        )


def gather_events(clips: Sequence[tuple[EventStream, WindowArray]]) -> EventBatch:
    """The events of each clip's windows, ready to be sent to a device.

    Args:
        clips: B pairs of a stream and its windows, half-open intervals in µs of shape (T, 2). An
            event that lies in several windows is sent once for each of them.

    Raises:
        DatasetError: There is no clip, or the clips differ in sensor or in the number of windows.
    """
    kinds = {(stream.width, stream.height, len(windows)) for stream, windows in clips}
    if len(kinds) != 1:
        raise DatasetError(
            "batch of events: expected clips of one sensor and one number of windows, got "
            f"{sorted(kinds) or 'no clip'} as (width, height, windows); batch what is alike"
        )
    windows_us = np.stack([windows for _, windows in clips])
    parts = [stream.between(*window) for stream, windows in clips for window in windows.tolist()]
    window = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    since = np.concatenate([part.t_us for part in parts]) - windows_us.reshape(-1, 2)[window, 0]
    width, height, _ = kinds.pop()
    return EventBatch(
        torch.from_numpy(since),
        torch.from_numpy(np.concatenate([part.x for part in parts]).astype(np.int32)),
        torch.from_numpy(np.concatenate([part.y for part in parts]).astype(np.int32)),
        torch.from_numpy(np.concatenate([part.polarity for part in parts])),
        torch.from_numpy(window),
        torch.from_numpy(windows_us[..., 1] - windows_us[..., 0]),
        width,
        height,
    )


def event_image(batch: EventBatch) -> Tensor:
    """The events painted on white, ON red and OFF blue; OFF covers ON.

    Returns:
        uint8 RGB, shape (B, T, 3, H, W).
    """
    seen = _planes(batch, 2, torch.bool)
    seen.view(-1)[_index(batch, batch.polarity, 2)] = True
    is_off, is_on = seen[:, :, 0], seen[:, :, 1]
    is_on = is_on & ~is_off
    channels = [
        WHITE - is_on.to(torch.uint8) * (WHITE - on) - is_off.to(torch.uint8) * (WHITE - off)
        for on, off in zip(ON_COLOUR, OFF_COLOUR, strict=True)
    ]
    return torch.stack(channels, dim=2)


def polarity_counts(batch: EventBatch) -> Tensor:
    """How many events each pixel sent, by polarity.

    Returns:
        int32, shape (B, T, 2, H, W), OFF before ON.
    """
    counts = _planes(batch, 2, torch.int32)
    index = _index(batch, batch.polarity, 2)
    counts.view(-1).scatter_add_(0, index, torch.ones_like(index, dtype=torch.int32))
    return counts


def voxel_grid(batch: EventBatch, *, bins: int = VOXEL_BINS) -> Tensor:
    """The polarities of each window's events, shared between the two nearest of `bins` moments.

    Args:
        batch: The events.
        bins: Moments per window, C, at least 1.

    Returns:
        float32, shape (B, T, bins, H, W).

    Raises:
        ShapeError: `bins` is less than 1.
    """
    if bins < 1:
        raise ShapeError(f"voxel grid: expected at least 1 bin, got {bins}")
    grid = _planes(batch, bins, torch.float32)
    bins_per_us = ((bins - 1) / batch.lengths_us.double()).float().view(-1)
    moment = batch.t_us.float() * bins_per_us[batch.window]
    before = moment.floor().clamp(max=max(bins - 2, 0))
    sign = batch.polarity.float() * 2 - 1
    share_after = (moment - before) * sign
    index = _index(batch, before.long(), bins)
    to_next_bin = batch.height * batch.width if bins > 1 else 0
    flat = grid.view(-1)
    flat.scatter_add_(0, index, sign - share_after)
    flat.scatter_add_(0, index + to_next_bin, share_after)
    return grid


def time_surface(batch: EventBatch, *, decay_us: float = DECAY_US) -> Tensor:
    """How lately each pixel sent an event of each polarity: exp(−(end − t)/decay), 0 for never.

    Args:
        batch: The events.
        decay_us: After so long the value has fallen to 1/e; above 0.

    Returns:
        float32 in [0, 1), shape (B, T, 2, H, W), OFF before ON.

    Raises:
        ShapeError: `decay_us` is not above 0.
    """
    if not decay_us > 0:
        raise ShapeError(f"time surface: expected a decay above 0 µs, got {decay_us}")
    surface = _planes(batch, 2, torch.float32)
    before_end_us = batch.lengths_us.view(-1)[batch.window] - batch.t_us
    recency = torch.exp(-before_end_us.float() / decay_us)
    index = _index(batch, batch.polarity, 2)
    surface.view(-1).scatter_reduce_(0, index, recency, "amax")
    return surface


def as_rgb_images(batch: EventBatch, *, representation: str = "event_image") -> Tensor:
    """A representation as pictures that an RGB backbone takes, as the numpy function makes them.

    Args:
        batch: The events.
        representation: A name in `BATCH_REPRESENTATIONS`.

    Returns:
        uint8, shape (B, T, 3, H, W).

    Raises:
        ShapeError: No representation has this name.
    """
    if representation not in _RGB_IMAGES:
        known = ", ".join(_RGB_IMAGES)
        raise ShapeError(f"no representation is called {representation!r}; there are: {known}")
    return _RGB_IMAGES[representation](batch)


def _counts_as_rgb(batch: EventBatch) -> Tensor:
    counts = polarity_counts(batch).long()
    return _red_and_blue((255 * counts // (counts + 1)).to(torch.uint8))


def _voxels_as_rgb(batch: EventBatch) -> Tensor:
    grid = voxel_grid(batch, bins=RGB_BINS)
    return torch.round(127.5 * (1 + grid / (1 + grid.abs()))).to(torch.uint8)


def _surface_as_rgb(batch: EventBatch) -> Tensor:
    return _red_and_blue(torch.round(255 * time_surface(batch)).to(torch.uint8))


def _red_and_blue(polarities: Tensor) -> Tensor:
    is_off, is_on = polarities.unbind(dim=2)
    return torch.stack([is_on, torch.zeros_like(is_on), is_off], dim=2)


BATCH_REPRESENTATIONS: Mapping[str, Callable[[EventBatch], Tensor]] = MappingProxyType(
    {
        "event_image": event_image,
        "polarity_counts": polarity_counts,
        "voxel_grid": voxel_grid,
        "time_surface": time_surface,
    }
)
"""Name → function, by the names of `evlora.recordings.representations.REPRESENTATIONS`."""

_RGB_IMAGES: Mapping[str, Callable[[EventBatch], Tensor]] = {
    "event_image": event_image,
    "polarity_counts": _counts_as_rgb,
    "voxel_grid": _voxels_as_rgb,
    "time_surface": _surface_as_rgb,
}


def _planes(batch: EventBatch, planes: int, dtype: torch.dtype) -> Tensor:
    shape = (*batch.lengths_us.shape, planes, batch.height, batch.width)
    return torch.zeros(shape, dtype=dtype, device=batch.t_us.device)


def _index(batch: EventBatch, plane: Tensor, planes: int) -> Tensor:
    """Where each event lies in a flattened (B, T, planes, H, W), int64."""
    return ((batch.window * planes + plane) * batch.height + batch.y) * batch.width + batch.x
