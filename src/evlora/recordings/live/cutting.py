"""What came so far, cut into moments: each is handed out once, as soon as it is complete."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from evlora.recordings.events import EventStream
from evlora.recordings.frames import ImageArray
from evlora.recordings.live.decoding import LiveFrame

MOST_EVENTS = 8_000_000
"""Events that wait for the end of their moment; beyond, the oldest are skipped and counted."""
MOST_FRAMES = 64
"""Frames that wait for their events."""
LEAP_US = 10_000_000
"""A clock that moves by more than 10 s at once was set, or its camera was started again."""
MOST_LATE_US = 1_000_000
"""Events older than this, against the latest, belong to a clock that was set back."""
FIELDS = ("t_us", "x", "y", "polarity")
LATEST_FRAME_S = 0.05
"""How long a frame waits for events up to its end, where none may come: nothing moves."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveMoment:
    """A moment as a camera hands it over; give its fields to `StreamingRecognizer.push`."""

    frame: ImageArray | None
    """uint8 RGB, shape (H, W, 3); None for a camera of events alone."""
    events: EventStream | None
    """Those of the window; None where nothing sends events."""
    window_us: tuple[int, int]
    """Start and end of the window, on the camera's clock; half-open."""
    is_after_leap: bool = False
    """Whether the camera's clock leapt before it: the moments before belong to another time."""
    due: float = 0.0
    """When its end was, on the clock of `time.monotonic`; see `ArrivalClock`."""
    dropped: int = 0
    """Moments skipped since the one before, because this one was there already."""

    @property
    def rate_hz(self) -> float | None:
        """Events per second in its window; None without events."""
        length_us = self.window_us[1] - self.window_us[0]
        return None if self.events is None else len(self.events) * 1e6 / max(length_us, 1)


class Cutter(Protocol):
    """Takes what comes and hands out complete moments."""

    @property
    def late(self) -> int:
        """Events that came when their moment was over; they were skipped."""
        ...

    def add_events(self, events: EventStream) -> Iterator[LiveMoment]:
        """Take events, in the order of time, and hand out what they complete."""
        ...

    def add_frame(self, frame: LiveFrame, now: float) -> Iterator[LiveMoment]:
        """Take a frame, and hand out what it completes."""
        ...

    def overdue(self, now: float) -> Iterator[LiveMoment]:
        """Hand out what has waited long enough."""
        ...

    def rest(self) -> Iterator[LiveMoment]:
        """Hand out what is there at the end."""
        ...


class WaitingEvents:
    """Events whose moment is not over, in the order of time, of a bounded number."""

    def __init__(self) -> None:
        self._parts: deque[EventStream] = deque()
        self._count = 0
        self._taken_us: int | None = None
        self.latest_us: int | None = None
        self.late = 0

    def add(self, events: EventStream) -> bool:
        """Take events; whether the clock leapt before them, and all others were dropped."""
        first_us, last_us = events.first_us, events.last_us
        latest_us = self.latest_us
        is_leap = latest_us is not None and (
            first_us - latest_us > LEAP_US or last_us < latest_us - MOST_LATE_US
        )
        if is_leap:
            self.clear()
        if self._taken_us is not None and first_us < self._taken_us:
            in_time = int(np.searchsorted(events.t_us, self._taken_us))
            self.late += in_time
            events = events.part(slice(in_time, None))
        if len(events):
            self._parts.append(events)
            self._count += len(events)
            self.latest_us = max(self.latest_us or last_us, last_us)
        while self._count > MOST_EVENTS:
            oldest = self._parts.popleft()
            self._count -= len(oldest)
            self.late += len(oldest)
        return is_leap

    def take(self, start_us: int, end_us: int) -> EventStream | None:
        """Those of a window; older ones are forgotten, and so are these."""
        found: list[EventStream] = []
        for _ in range(len(self._parts)):
            part = self._parts.popleft()
            stop = int(np.searchsorted(part.t_us, end_us))
            if stop < len(part):
                self._parts.append(part.part(slice(stop, None)))
            found.append(part.between(start_us, end_us))
        self._count = sum(map(len, self._parts))
        self._taken_us = end_us
        return _joined(found) if found else None

    def clear(self) -> None:
        """Forget all."""
        self._parts.clear()
        self._count, self._taken_us, self.latest_us = 0, None, None


class WindowCutter:
    """Windows of one length, from the first event on; each takes the frame that is current."""

    def __init__(self, window_us: int, *, size: tuple[int, int] | None) -> None:
        self._length_us = window_us
        self._waiting = WaitingEvents()
        self._size = size
        self._start_us: int | None = None
        self._frames: deque[LiveFrame] = deque(maxlen=MOST_FRAMES)
        self._has_leapt = False

    @property
    def late(self) -> int:
        """See `Cutter`."""
        return self._waiting.late

    def add_events(self, events: EventStream) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        if self._waiting.add(events):
            self._start_us, self._has_leapt = None, True
        if self._start_us is None:
            self._start_us = events.first_us
        latest_us = self._waiting.latest_us
        while latest_us is not None and latest_us >= self._start_us + self._length_us:
            yield self._next()

    def add_frame(self, frame: LiveFrame, now: float) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        del now
        self._frames.append(frame)
        return iter(())

    def overdue(self, now: float) -> Iterator[LiveMoment]:
        """See `Cutter`: windows end by their events."""
        del now
        return iter(())

    def rest(self) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        if self._start_us is not None:
            yield self._next()

    def _next(self) -> LiveMoment:
        assert self._start_us is not None  # there were events
        window_us = (self._start_us, self._start_us + self._length_us)
        self._start_us = window_us[1]
        events = self._waiting.take(*window_us)
        while len(self._frames) > 1 and self._frames[1].start_us < window_us[1]:
            self._frames.popleft()
        has_leapt, self._has_leapt = self._has_leapt, False
        return LiveMoment(
            frame=self._frames[0].image if self._frames else None,
            events=_or_empty(events, self._size),
            window_us=window_us,
            is_after_leap=has_leapt,
        )


class FrameCutter:
    """Each frame is a moment, with the events of its window.

    The first frame is handed out with the second one, which shows how long a window is.

    Args:
        window: See `choose_moments`: `frame`, `exposure` or `segment`.
        stride: Frames from a moment of a clip to the next one, for `segment`.
        size: Width and height of the sensor of the events; None where there are none.
    """

    def __init__(
        self,
        *,
        window: Literal["frame", "exposure", "segment"],
        stride: int,
        size: tuple[int, int] | None,
    ) -> None:
        self._window = window
        self._size = size
        self._waiting = WaitingEvents()
        self._frames: deque[tuple[LiveFrame, float]] = deque()
        self._ends_us: deque[int] = deque(maxlen=stride if window == "segment" else 1)
        self._kept: deque[EventStream] = deque(maxlen=stride if window == "segment" else 1)
        self._latest_us: int | None = None
        self._has_leapt = False
        self._skipped = 0

    @property
    def late(self) -> int:
        """See `Cutter`."""
        return self._waiting.late

    def add_events(self, events: EventStream) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        if self._waiting.add(events):
            self._has_leapt = True
        yield from self._complete()

    def add_frame(self, frame: LiveFrame, now: float) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        if self._latest_us is not None and not 0 <= frame.end_us - self._latest_us <= LEAP_US:
            self._ends_us.clear()
            self._kept.clear()
            self._frames.clear()
            self._has_leapt = True
        self._latest_us = frame.end_us
        self._frames.append((frame, now))
        if len(self._frames) > MOST_FRAMES:
            self._frames.popleft()
        yield from self._complete()

    def overdue(self, now: float) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        while self._is_window_known() and now - self._frames[0][1] > LATEST_FRAME_S:
            yield self._next()

    def rest(self) -> Iterator[LiveMoment]:
        """See `Cutter`."""
        while self._frames:
            yield self._next()

    def _complete(self) -> Iterator[LiveMoment]:
        while self._is_window_known() and self._has_events_until(self._frames[0][0].end_us):
            yield self._next()

    def _is_window_known(self) -> bool:
        return bool(self._frames) and (bool(self._ends_us) or len(self._frames) > 1)

    def _has_events_until(self, end_us: int) -> bool:
        latest_us = self._waiting.latest_us
        return self._size is None or (latest_us is not None and latest_us >= end_us)

    def _next(self) -> LiveMoment:
        frame, _ = self._frames.popleft()
        if not self._ends_us:
            following = self._frames[0][0].end_us if self._frames else frame.end_us
            self._ends_us.append(2 * frame.end_us - following)
        start_us, end_us = self._ends_us[0], frame.end_us
        if self._window == "exposure":
            start_us = frame.start_us
        events = self._waiting.take(start_us, end_us)
        self._ends_us.append(end_us)
        if self._window == "segment" and events is not None:
            self._kept.append(events)
            events = _joined(list(self._kept)).between(start_us, end_us)
        has_leapt, self._has_leapt = self._has_leapt, False
        return LiveMoment(
            frame=frame.image,
            events=_or_empty(events, self._size),
            window_us=(start_us, end_us),
            is_after_leap=has_leapt,
        )


def _joined(parts: list[EventStream]) -> EventStream:
    if len(parts) == 1:
        return parts[0]
    fields = (np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS)
    return EventStream.from_arrays(*fields, width=parts[0].width, height=parts[0].height, sort=True)


def _or_empty(events: EventStream | None, size: tuple[int, int] | None) -> EventStream | None:
    if events is None and size is not None:
        return EventStream.empty(width=size[0], height=size[1])
    return events
