"""Events as arrays: T windows of a stream become (T, C, H, W), by pure functions.

Every function takes the events and `windows_us`, half-open intervals [start, end) in µs of shape
(T, 2), and gives one slice per window. An event at a border belongs to the window that starts
there, so that with windows that touch, such as those of `equal_windows`, every event counts once.
The polarity axis is OFF, ON: the number of a channel is the value of the polarity.

The event image is VELoRA's input (arXiv 2412.20064); the voxel grid is that of Zhu et al., CVPR
2019; the time surface is that of Lagorce et al. (HOTS), PAMI 2017, with one decay for all pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import ShapeError
from evlora.messages import suggestion
from evlora.recordings.events import EventStream

WindowArray = NDArray[np.int64]
Representation = Callable[[EventStream, WindowArray], NDArray[Any]]

WHITE = 255
ON_COLOUR = (220, 30, 30)
OFF_COLOUR = (30, 30, 200)

VOXEL_BINS = 5
RGB_BINS = 3
"""A voxel grid for an RGB backbone has as many bins as the backbone has channels."""
DECAY_US = 30_000

EVENTS_AT_ONCE = 1 << 16
"""The number of events whose indices stay in the cache while they are painted."""


def equal_windows(events: EventStream, count: int) -> WindowArray:
    """The stream cut into `count` windows of equal length, to the microsecond.

    Args:
        events: The first window starts with its first event, the last one ends after its last.
        count: Windows, T, at least 1.

    Returns:
        Half-open intervals in µs, shape (T, 2); each starts where the one before it ends. A
        stream without events gives windows of no length.

    Raises:
        ShapeError: `count` is less than 1.
    """
    if count < 1:
        raise ShapeError(f"windows: expected a count of at least 1, got {count}")
    start_us, end_us = (events.first_us, events.last_us + 1) if len(events) else (0, 0)
    edges = start_us + np.arange(count + 1, dtype=np.int64) * (end_us - start_us) // count
    return np.stack([edges[:-1], edges[1:]], axis=1)


def event_image(events: EventStream, windows_us: WindowArray) -> NDArray[np.uint8]:
    """The events painted on white, ON red and OFF blue; OFF covers ON.

    Args:
        events: Any number of events.
        windows_us: Half-open intervals in µs, shape (T, 2).

    Returns:
        uint8 RGB, shape (T, 3, H, W).
    """
    seen = np.zeros((len(windows_us), 2, events.height, events.width), np.bool_)
    for plane, _, part in _parts(events, windows_us):
        seen[plane].reshape(-1)[_index(part, by_polarity=True)] = True
    is_off, is_on = seen[:, 0], seen[:, 1]
    is_on &= ~is_off
    images = np.empty((len(windows_us), 3, events.height, events.width), np.uint8)
    for channel, (on, off) in enumerate(zip(ON_COLOUR, OFF_COLOUR, strict=True)):
        # A product with a mask is several times faster than choosing among three colours.
        images[:, channel] = WHITE - is_on * np.uint8(WHITE - on) - is_off * np.uint8(WHITE - off)
    return images


def polarity_counts(events: EventStream, windows_us: WindowArray) -> NDArray[np.int32]:
    """How many events each pixel sent, by polarity.

    Args:
        events: Any number of events.
        windows_us: Half-open intervals in µs, shape (T, 2).

    Returns:
        int32, shape (T, 2, H, W), OFF before ON. With the windows of `equal_windows` the sum of
        all slices is the number of events.
    """
    counts = np.zeros((len(windows_us), 2, events.height, events.width), np.int32)
    for plane, _, part in _parts(events, windows_us):
        np.add.at(counts[plane].reshape(-1), _index(part, by_polarity=True), np.int32(1))
    return counts


def voxel_grid(
    events: EventStream, windows_us: WindowArray, *, bins: int = VOXEL_BINS
) -> NDArray[np.float32]:
    """The polarities of each window's events, shared between the two nearest of `bins` moments.

    Bin b stands for the moment start + b·(end − start)/(bins − 1). An event gives its polarity,
    +1 or −1, to the bins before and after it, in proportion to its nearness.

    Args:
        events: Any number of events.
        windows_us: Half-open intervals in µs, shape (T, 2).
        bins: Moments per window, C, at least 1.

    Returns:
        float32, shape (T, bins, H, W). The two weights of an event sum to 1: ON events alone sum
        to their number, OFF events alone to its negative, and both together to the difference,
        because opposite polarities at one pixel and moment cancel.

    Raises:
        ShapeError: `bins` is less than 1.
    """
    if bins < 1:
        raise ShapeError(f"voxel grid: expected at least 1 bin, got {bins}")
    windows, steps = _checked(windows_us), max(bins - 1, 1)
    grid = np.zeros((len(windows), bins, events.height, events.width), np.float32)
    lengths_us = windows[:, 1:] - windows[:, :1]
    # Whole microseconds from which on an event lies behind each bin, and how far behind it is.
    since_us = -(-lengths_us * np.arange(steps + 1) // steps)
    bins_per_us = (bins - 1) / np.maximum(lengths_us, 1)
    behind = (since_us * bins_per_us - np.arange(steps + 1)).astype(np.float32)
    edges_us = windows[:, :1] + since_us
    between_bins = np.stack([edges_us[:, :-1], edges_us[:, 1:]], axis=-1).reshape(-1, 2)
    for number, (start_us, _), part in _parts(events, between_bins):
        plane, before = divmod(number, steps)
        share_after = (part.t_us - start_us).astype(np.float32)
        share_after *= np.float32(bins_per_us[plane, 0])
        share_after += behind[plane, before]
        sign = (part.polarity * np.int8(2) - np.int8(1)).astype(np.float32)
        share_after *= sign
        sign -= share_after
        index = _index(part)
        np.add.at(grid[plane, before].reshape(-1), index, sign)
        # With one bin there is none after: the shares are 0, and the bin itself takes them.
        np.add.at(grid[plane, min(before + 1, bins - 1)].reshape(-1), index, share_after)
    return grid


def time_surface(
    events: EventStream, windows_us: WindowArray, *, decay_us: float = DECAY_US
) -> NDArray[np.float32]:
    """How lately each pixel sent an event of each polarity: exp(−(end − t)/decay), 0 for never.

    Args:
        events: Any number of events.
        windows_us: Half-open intervals in µs, shape (T, 2); t is the last event in the window.
        decay_us: After so long the value has fallen to 1/e; above 0.

    Returns:
        float32 in [0, 1), shape (T, 2, H, W), OFF before ON.

    Raises:
        ShapeError: `decay_us` is not above 0.
    """
    if not decay_us > 0:
        raise ShapeError(f"time surface: expected a decay above 0 µs, got {decay_us}")
    surface = np.zeros((len(windows_us), 2, events.height, events.width), np.float32)
    for plane, (_, end_us), part in _parts(events, windows_us):
        recency = np.exp((part.t_us - end_us).astype(np.float32) / np.float32(decay_us))
        np.maximum.at(surface[plane].reshape(-1), _index(part, by_polarity=True), recency)
    return surface


def as_rgb_images(
    events: EventStream, windows_us: WindowArray, *, representation: str = "event_image"
) -> NDArray[np.uint8]:
    """A representation as pictures that an RGB backbone takes.

    `event_image` is one already. `polarity_counts` shows ON in red and OFF in blue on black, n
    events as 255·n/(n + 1). `voxel_grid` shows three moments of the window in the three channels,
    grey where nothing happened, a sum v as 255·(1 + v/(1 + |v|))/2. `time_surface` shows ON in red
    and OFF in blue on black, 255 for now. None of them looks at other windows: a picture does not
    depend on what else is in the recording.

    Args:
        events: Any number of events.
        windows_us: Half-open intervals in µs, shape (T, 2).
        representation: A name in `REPRESENTATIONS`.

    Returns:
        uint8, shape (T, 3, H, W).

    Raises:
        ShapeError: No representation has this name.
    """
    if representation not in _RGB_IMAGES:
        nearest = suggestion(representation, _RGB_IMAGES)
        raise ShapeError(f"no representation is called {representation!r}; {nearest}")
    return _RGB_IMAGES[representation](events, windows_us)


def _counts_as_rgb(events: EventStream, windows_us: WindowArray) -> NDArray[np.uint8]:
    counts = polarity_counts(events, windows_us)
    return _red_and_blue((255 * counts.astype(np.int64) // (counts + 1)).astype(np.uint8))


def _voxels_as_rgb(events: EventStream, windows_us: WindowArray) -> NDArray[np.uint8]:
    grid = voxel_grid(events, windows_us, bins=RGB_BINS)
    return np.rint(127.5 * (1 + grid / (1 + np.abs(grid)))).astype(np.uint8)


def _surface_as_rgb(events: EventStream, windows_us: WindowArray) -> NDArray[np.uint8]:
    return _red_and_blue(np.rint(255 * time_surface(events, windows_us)).astype(np.uint8))


def _red_and_blue(polarities: NDArray[np.uint8]) -> NDArray[np.uint8]:
    is_off, is_on = polarities[:, 0], polarities[:, 1]
    return np.stack([is_on, np.zeros_like(is_on), is_off], axis=1)


REPRESENTATIONS: Mapping[str, Representation] = MappingProxyType(
    {
        "event_image": event_image,
        "polarity_counts": polarity_counts,
        "voxel_grid": voxel_grid,
        "time_surface": time_surface,
    }
)
"""Name → function. A new representation is its function, one row here and one below."""

_RGB_IMAGES: Mapping[str, Callable[[EventStream, WindowArray], NDArray[np.uint8]]] = {
    "event_image": event_image,
    "polarity_counts": _counts_as_rgb,
    "voxel_grid": _voxels_as_rgb,
    "time_surface": _surface_as_rgb,
}


def _checked(windows_us: WindowArray) -> WindowArray:
    windows = np.asarray(windows_us)
    if windows.ndim != 2 or windows.shape[1] != 2 or windows.dtype.kind not in "iu":
        raise ShapeError(
            "windows: expected whole microseconds of shape (T, 2), "
            f"got {windows.dtype} of shape {windows.shape}"
        )
    if (windows[:, 1] < windows[:, 0]).any():
        at = int(np.argmax(windows[:, 1] < windows[:, 0]))
        raise ShapeError(
            f"windows: expected each end ≥ its start, got {windows[at].tolist()} at window {at}"
        )
    return windows.astype(np.int64, copy=False)


def _parts(
    events: EventStream, windows_us: WindowArray
) -> Iterator[tuple[int, tuple[int, int], EventStream]]:
    """The number and interval of each window, with its events, `EVENTS_AT_ONCE` at a time."""
    windows = _checked(windows_us)
    bounds = np.searchsorted(events.t_us, windows, side="left").tolist()
    for number, (first, stop) in enumerate(bounds):
        interval = (int(windows[number, 0]), int(windows[number, 1]))
        for at in range(first, stop, EVENTS_AT_ONCE):
            yield number, interval, events.part(slice(at, min(at + EVENTS_AT_ONCE, stop)))


def _index(part: EventStream, *, by_polarity: bool = False) -> NDArray[np.intp]:
    """Where each event lies in a flattened (H, W), or in (2, H, W) by its polarity."""
    # Half the width is faster, even with the conversion that numpy would make at every use.
    fits = 2 * part.height * part.width <= np.iinfo(np.int32).max
    index = (part.polarity if by_polarity else part.y).astype(np.int32 if fits else np.int64)
    if by_polarity:
        index *= part.height
        index += part.y
    index *= part.width
    index += part.x
    return index.astype(np.intp, copy=False)
