"""Filters by name: what a recipe, a command and an exported file may name, and chains of them.

A filter is written as a name with its settings, such as `background_activity:window_us=2000`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from evlora.errors import RecordingError
from evlora.messages import suggestion
from evlora.recordings.events import EventStream
from evlora.recordings.excerpts import cropped, downsampled
from evlora.recordings.filters.background_activity import BackgroundActivity
from evlora.recordings.filters.calibration import read_calibration
from evlora.recordings.filters.event_rate import EventRateLimit
from evlora.recordings.filters.hot_pixels import find_hot_pixels, mask_of_pixels, mask_pixels
from evlora.recordings.filters.refractory_period import RefractoryPeriod
from evlora.recordings.filters.undistortion import undistort
from evlora.recordings.recording import Recording

Running = Callable[[Recording], Recording]
"""A filter at work: takes a recording, or its pieces one after the other."""


class Filter(Protocol):
    """A row of the table with its settings: frozen, and checked when it is made."""

    name: ClassVar[str]

    def start(self) -> Running:
        """A run of the filter that has seen nothing yet."""
        ...


@dataclass(frozen=True, slots=True)
class BackgroundActivityRow:
    """Drop events that no neighbouring pixel explains."""

    name: ClassVar[str] = "background_activity"
    window_us: int = 5_000

    def __post_init__(self) -> None:
        _at_least(self, "window_us", 1)

    def start(self) -> Running:
        """See `filter_background_activity`."""
        return _of_events(BackgroundActivity(self.window_us).push)


@dataclass(frozen=True, slots=True)
class RefractoryPeriodRow:
    """Drop events of pixels that sent one just before."""

    name: ClassVar[str] = "refractory_period"
    period_us: int = 1_000

    def __post_init__(self) -> None:
        _at_least(self, "period_us", 1)

    def start(self) -> Running:
        """See `filter_refractory_period`."""
        return _of_events(RefractoryPeriod(self.period_us).push)


@dataclass(frozen=True, slots=True)
class HotPixelsRow:
    """Drop all events of hot pixels: those named, or those found in the whole recording."""

    name: ClassVar[str] = "hot_pixels"
    factor: float = 5.0
    least: int = 10
    pixels: str = ""

    def __post_init__(self) -> None:
        _at_least(self, "factor", 1.0)
        _at_least(self, "least", 1)
        self._places()

    def _places(self) -> tuple[tuple[int, int], ...]:
        found = [re.fullmatch(r"(\d{1,5})x(\d{1,5})", word) for word in self.pixels.split("+")]
        places = [(int(one[1]), int(one[2])) for one in found if one is not None]
        if self.pixels and len(places) < len(found):
            raise RecordingError(
                f"filter hot_pixels: expected pixels as COLUMNxROW+COLUMNxROW, such as 12x30+40x7, "
                f"got {self.pixels!r}"
            )
        return tuple(places)

    def start(self) -> Running:
        """See `find_hot_pixels` and `mask_pixels`."""
        if self.pixels:
            return _of_events(self._without_named)
        return _of_events(self._without_found)

    @property
    def needs_whole(self) -> bool:
        """Hot pixels are found by all events of a recording."""
        return not self.pixels

    def _without_named(self, events: EventStream) -> EventStream:
        mask = mask_of_pixels(self._places(), width=events.width, height=events.height)
        return mask_pixels(events, mask)

    def _without_found(self, events: EventStream) -> EventStream:
        return mask_pixels(events, find_hot_pixels(events, factor=self.factor, least=self.least))


@dataclass(frozen=True, slots=True)
class EventRateRow:
    """Drop events beyond a rate."""

    name: ClassVar[str] = "event_rate"
    rate_hz: float
    interval_us: int = 1_000

    def __post_init__(self) -> None:
        _at_least(self, "rate_hz", 1.0)
        _at_least(self, "interval_us", 1)

    def start(self) -> Running:
        """See `limit_event_rate`."""
        return _of_events(EventRateLimit(self.rate_hz, self.interval_us).push)


@dataclass(frozen=True, slots=True)
class FlipPolarityRow:
    """Turn ON into OFF and OFF into ON."""

    name: ClassVar[str] = "flip_polarity"

    def start(self) -> Running:
        """See `flip_polarity`."""
        return _of_events(flip_polarity)


@dataclass(frozen=True, slots=True)
class UndistortRow:
    """Take the lens's distortion out of events and frames."""

    name: ClassVar[str] = "undistort"
    calibration: str

    def start(self) -> Running:
        """See `undistort`."""
        calibration = read_calibration(Path(self.calibration))
        return lambda recording: undistort(recording, calibration)


@dataclass(frozen=True, slots=True)
class CropRow:
    """Keep a rectangle of the sensor's pixels only."""

    name: ClassVar[str] = "crop"
    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        for key, least in (("x", 0), ("y", 0), ("width", 1), ("height", 1)):
            _at_least(self, key, least)

    def start(self) -> Running:
        """See `evlora.recordings.excerpts.cropped`."""
        return lambda whole: cropped(
            whole, x=self.x, y=self.y, width=self.width, height=self.height
        )


@dataclass(frozen=True, slots=True)
class DownsampleRow:
    """Join blocks of pixels into one; all events are kept, frames are averaged."""

    name: ClassVar[str] = "downsample"
    factor: int

    def __post_init__(self) -> None:
        _at_least(self, "factor", 1)

    def start(self) -> Running:
        """See `evlora.recordings.excerpts.downsampled`."""
        return lambda whole: downsampled(whole, self.factor)


FILTERS: dict[str, type[Any]] = {
    row.name: row
    for row in (
        BackgroundActivityRow,
        RefractoryPeriodRow,
        HotPixelsRow,
        EventRateRow,
        FlipPolarityRow,
        UndistortRow,
        CropRow,
        DownsampleRow,
    )
}
"""The filters by name."""


class FilterChain:
    """Filters one after the other over a recording, or over its pieces as they come.

    Args:
        texts: Each as `parse_filter` takes it.
        in_pieces: Whether pieces come one after the other, such as a camera's moments.

    Raises:
        RecordingError: No filter is called so, has such a setting, or works on pieces.
    """

    def __init__(self, texts: Iterable[str], *, in_pieces: bool = False) -> None:
        rows = [parse_filter(text) for text in texts]
        if in_pieces and any(getattr(row, "needs_whole", False) for row in rows):
            raise RecordingError(
                "filter hot_pixels: expected pixels where a recording comes in pieces, got none; "
                "find them before with find_hot_pixels, and name them: "
                "hot_pixels:pixels=12x30+40x7"
            )
        self._running = [row.start() for row in rows]

    def push(self, piece: Recording) -> Recording:
        """The next piece, filtered; the state of each filter goes on from the piece before.

        Raises:
            RecordingError: A filter does not fit the sensor.
        """
        for running in self._running:
            piece = running(piece)
        return piece


def filtered(recording: Recording, texts: Sequence[str]) -> Recording:
    """The recording after these filters, in their order; event images drawn before stay.

    Args:
        recording: Events, frames, or both.
        texts: Each as `parse_filter` takes it; none leaves the recording as it is.

    Raises:
        RecordingError: No filter is called so, has such a setting, or fits the recording.
    """
    return FilterChain(texts).push(recording) if texts else recording


def flip_polarity(events: EventStream) -> EventStream:
    """The events with ON and OFF exchanged, for cameras that name them the other way round."""
    return replace(events, polarity=~events.polarity)


def parse_filter(text: str) -> Filter:
    """The filter that a text names: NAME, or NAME:KEY=VALUE with more settings behind colons.

    Raises:
        RecordingError: No filter is called so, a setting is unknown, missing, or no such value.
    """
    name, *settings = re.split(r":(?=[a-z_]+=)", text.strip())
    row = FILTERS.get(name)
    if row is None:
        raise RecordingError(f"no filter is called {name!r}; {suggestion(name, FILTERS)}")
    known = {field.name: field for field in fields(row)}
    values: dict[str, Any] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in known:
            hint = suggestion(key, known) if known else "it has none"
            raise RecordingError(f"filter {name}: no setting is called {key!r}; {hint}")
        if key in values:
            raise RecordingError(f"filter {name}: {key} is given twice")
        values[key] = _value(name, key, value, known[key].type)
    required = [field.name for field in known.values() if field.default is MISSING]
    missing = [key for key in required if key not in values]
    if missing:
        example = ":".join([name, *(f"{key}=…" for key in required)])
        raise RecordingError(f"filter {name}: expected {' and '.join(missing)}, as in {example}")
    return row(**values)


def _value(name: str, key: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        wanted = "a whole number" if kind is int else "a number"
        raise RecordingError(f"filter {name}: expected {wanted} as {key}, got {text!r}")
    return value


def _at_least(row: Filter, key: str, least: float) -> None:
    if getattr(row, key) < least:
        raise RecordingError(
            f"filter {row.name}: expected {key} of at least {least}, got {getattr(row, key)}"
        )


def _of_events(push: Callable[[EventStream], EventStream]) -> Running:
    def run(recording: Recording) -> Recording:
        events = recording.events
        return recording if events is None else replace(recording, events=push(events))

    return run
