"""A stream of moments: threads take in what comes, and only the newest moment waits."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Condition, Event, Thread
from typing import NamedTuple, Protocol

from evlora.errors import RecordingError
from evlora.recordings.live.arrival import ArrivalClock
from evlora.recordings.live.cutting import Cutter, LiveMoment
from evlora.recordings.live.decoding import Piece

LOOK_S = 0.05
"""How often a stream without news is looked after: Ctrl-C, and frames whose events do not come."""
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 2.0
"""Time to the first attempt to open a lost source again; it doubles up to the longest."""


class Source(Protocol):
    """What events and frames come from."""

    name: str
    is_retried: bool

    def open(self) -> None:
        """Begin, or begin again.

        Raises:
            OSError: Nothing is there.
            RecordingError: What is there cannot be read.
        """
        ...

    def pieces(self) -> Iterator[Piece]:
        """What comes; it ends when nothing more will.

        Raises:
            OSError: It broke off.
        """
        ...

    def close(self) -> None:
        """End it; may be called twice."""
        ...


class Feed(NamedTuple):
    """A source, and what of it is used."""

    source: Source
    gives_events: bool
    gives_frames: bool


class LiveStream:
    """The moments of a camera, as an iterator and a context manager.

    Only the newest complete moment waits to be taken; one that is replaced before is counted in
    `LiveMoment.dropped`. So the memory stays the same, and what is taken is never old.

    Args:
        feeds: One or two sources, each opened.
        cutter: Cuts what they give into moments.
        stopping: Set at the end; sources that wait look at it.
        keeps_all: Let the sources wait rather than skip a moment, for what is no camera.
        report: Takes a line about a connection that was lost or came back.
    """

    def __init__(
        self,
        feeds: list[Feed],
        cutter: Cutter,
        *,
        stopping: Event,
        keeps_all: bool,
        report: Callable[[str], None],
    ) -> None:
        self.keeps_all = keeps_all
        self.reconnections = 0
        """How often a source was lost and came back."""
        self._cutter = cutter
        self._stopping = stopping
        self._report = report
        self._clock = ArrivalClock()
        self._changed = Condition()
        self._newest: LiveMoment | None = None
        self._dropped = 0
        self._running = len(feeds)
        self._failure: BaseException | None = None
        self._feeds = feeds
        self._threads = [Thread(target=self._take_in, args=(f,), daemon=True) for f in feeds]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[LiveMoment]:
        return self

    def __next__(self) -> LiveMoment:
        """The newest complete moment, as soon as there is one.

        Raises:
            RecordingError: A source cannot be read.
            StopIteration: Nothing more comes.
        """
        with self._changed:
            while self._newest is None:
                if self._failure is not None:
                    raise self._failure
                if not self._running:
                    raise StopIteration
                self._changed.wait(LOOK_S)
                self._offer(self._cutter.overdue(time.monotonic()))
            moment, self._newest = self._newest, None
            moment = replace(moment, dropped=self._dropped)
            self._dropped = 0
            self._changed.notify_all()
            return moment

    def __enter__(self) -> "LiveStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def late_events(self) -> int:
        """Events that came when their moment was over, and were skipped."""
        return self._cutter.late

    def close(self) -> None:
        """End the threads and the connections."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread, feed in zip(self._threads, self._feeds, strict=True):
            thread.join(timeout=1.0)
            if not thread.is_alive():  # one that waits for standard input ends with the process
                feed.source.close()

    def _take_in(self, feed: Feed) -> None:
        try:
            while True:
                try:
                    self._read_through(feed)
                    break
                except OSError as error:
                    if self._stopping.is_set():
                        break
                    if not feed.source.is_retried:
                        raise RecordingError(f"{feed.source.name}: {error}") from error
                    self._reopen(feed, error)
            self._finish()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _read_through(self, feed: Feed) -> None:
        for piece in feed.source.pieces():
            if self._stopping.is_set():
                return
            now = time.monotonic()
            with self._changed:
                events, frame = piece
                if events is not None and feed.gives_events:
                    self._clock.seen(events.last_us, now)
                    self._offer(self._cutter.add_events(events))
                if frame is not None and feed.gives_frames:
                    self._clock.seen(frame.end_us, now)
                    self._offer(self._cutter.add_frame(frame, now))

    def _reopen(self, feed: Feed, error: OSError) -> None:
        source = feed.source
        source.close()
        self._report(f"{source.name}: lost ({error}); trying again")
        wait_s = FIRST_RETRY_S
        while not self._stopping.wait(wait_s):
            try:
                source.open()
            except OSError:
                source.close()
                wait_s = min(2 * wait_s, LONGEST_RETRY_S)
                continue
            self.reconnections += 1
            self._report(f"{source.name}: connected again")
            return

    def _finish(self) -> None:
        with self._changed:
            if self._running == 1 and not self._stopping.is_set():
                self._offer(self._cutter.rest())
            self._running -= 1
            self._changed.notify_all()

    def _offer(self, moments: Iterator[LiveMoment]) -> None:
        """Put moments where they are taken; called with the lock, which waiting gives away."""
        for moment in moments:
            if moment.is_after_leap:
                self._clock.forget()
                self._clock.seen(moment.window_us[1], time.monotonic())
            due = self._clock.due(moment.window_us[1])
            while self.keeps_all and self._newest is not None and not self._stopping.is_set():
                self._changed.wait(LOOK_S)
            has_leapt = moment.is_after_leap
            if self._newest is not None:
                self._dropped += 1
                has_leapt = has_leapt or self._newest.is_after_leap
            self._newest = replace(moment, due=due, is_after_leap=has_leapt)
            self._changed.notify_all()
