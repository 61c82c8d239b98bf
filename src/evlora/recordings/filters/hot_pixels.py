"""Hot pixels: those that send events without a cause, found by their rate and masked."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.filters.pixels import pixels_of

Mask = NDArray[np.bool_]


def find_hot_pixels(events: EventStream, *, factor: float = 5.0, least: int = 10) -> Mask:
    """The pixels that send far more events than those around them.

    A pixel is hot where it sent at least `least` events, and more than `factor` times the mean of
    its neighbours (of the eight around it, those on the sensor). With a factor of 5, one with two
    neighbours as busy as itself is not hot, as on an edge; two hot ones side by side both are.

    Args:
        events: Of a recording in which things move, or in which nothing does.
        factor: Greater than 1.
        least: Events, at least 1.

    Returns:
        True where a pixel is hot, shape (height, width).
    """
    pixels = events.width * events.height
    counts = np.bincount(pixels_of(events), minlength=pixels).reshape(events.height, events.width)
    padded = np.pad(counts.astype(np.float64), 1, constant_values=np.nan)
    around = sliding_window_view(padded, (3, 3)).reshape(*counts.shape, 9)
    # Only pixels with enough events need the mean of their neighbours.
    busy = np.nonzero(counts >= least)
    neighbours = np.delete(around[busy], 4, axis=-1)
    if not counts.size > 1:
        return np.zeros(counts.shape, np.bool_)
    usual = np.nanmean(neighbours, axis=-1)
    is_hot = np.zeros(counts.shape, np.bool_)
    is_hot[busy] = counts[busy] > factor * usual
    return is_hot


def mask_pixels(events: EventStream, mask: Mask) -> EventStream:
    """The events whose pixels are not masked.

    Args:
        events: Any number of events.
        mask: True where a pixel's events are dropped, shape (height, width).

    Raises:
        RecordingError: The mask has another shape.
    """
    if mask.shape != (events.height, events.width):
        raise RecordingError(
            f"mask: expected the sensor's shape, {(events.height, events.width)}, got {mask.shape}"
        )
    return events.chosen(~mask[events.y, events.x])


def mask_of_pixels(pixels: tuple[tuple[int, int], ...], *, width: int, height: int) -> Mask:
    """A mask of the pixels with these columns and rows.

    Raises:
        RecordingError: One lies outside of the sensor.
    """
    mask = np.zeros((height, width), np.bool_)
    for x, y in pixels:
        if not (0 <= x < width and 0 <= y < height):
            raise RecordingError(
                f"hot_pixels: expected pixels of a {width}×{height} sensor, got {x}x{y}"
            )
        mask[y, x] = True
    return mask
