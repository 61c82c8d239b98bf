"""A long recording, summed up in pieces: its numbers and what a figure of it needs.

Little grows with the file: events are counted by pixel and by time, in bins that are joined in
pairs when the recording outgrows them, a few excerpts are kept to draw one of them, and of frames
their times and a few pictures.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.inspection import (
    RATE_PARTS,
    SHORTEST_GAP_US,
    Activity,
    FrameTiming,
    Summary,
    activity_of,
    frame_timing,
    lively_part,
    shown_events,
    trigger_summary,
)
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.decoding import EventChunk, EventFile, checked_chunks
from evlora.recordings.readers.table import reader_for
from evlora.recordings.readers.video import read_beginning
from evlora.recordings.recording import Recording, clocks_that_differ
from evlora.recordings.representations import WindowArray

LONG_BYTES = 64 << 20
"""Files below are read at once, which takes a few hundred megabytes at most."""
PART_BYTES, PART_EVENTS = 96 << 20, 1 << 24
"""Where a part is enough: this much of the file or this number of events, whichever comes first.
Decoding and counting them takes one to three seconds of one core, whatever the format."""
MOST_FRAMES = 16
"""Pictures kept of a file whose frames lie among its events."""
TIME_BINS = 1 << 16
MOST_EXCERPTS = 32


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a file was read, from its beginning on."""

    read_bytes: int
    file_bytes: int

    @property
    def shown(self) -> str:
        """The part in words."""
        read_mb, file_mb = self.read_bytes / 1e6, self.file_bytes / 1e6
        share = self.read_bytes / self.file_bytes
        return f"{read_mb:,.0f} of {file_mb:,.0f} MB ({share:.0%})"


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What is known of a long file after one passage, or after its first part."""

    path: Path
    summary: Summary
    windows_us: WindowArray
    """Equal parts of the recording, half open, shape (parts, 2)."""
    rates_hz: NDArray[np.float64]
    """Events per second in each, OFF before ON, shape (parts, 2)."""
    pixel_counts: NDArray[np.uint32]
    """Events of each pixel, OFF before ON, shape (2, H, W)."""
    excerpt: EventStream
    """Events that follow each other where much happens."""
    frames: FrameSequence | None
    """The recording's frames, or some of them."""
    part: Part | None
    """What was looked at; None where that is the whole file."""


def survey_long_file(
    path: Path,
    *,
    is_part_enough: bool = False,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    **options: Any,
) -> Survey | None:
    """The survey of a long file; None where reading it at once is better.

    That is for short files, and for formats that cannot be read in pieces.

    Args:
        path: The file.
        is_part_enough: Whether the file's beginning suffices; see `PART_BYTES`.
        format: The name of its format, where the suffix does not show it.
        width: Columns of the sensor, for formats whose files do not state them.
        height: Rows of the sensor.
        **options: As for `open_recording`: `columns`, `unit`.

    Raises:
        RecordingError: The file is missing, of no known format, or cannot be read.
    """
    if not path.is_file() or path.stat().st_size < LONG_BYTES:
        return None
    row = reader_for(path, format)
    if not row.streams:
        return None
    collected = CollectedFrames(MOST_FRAMES) if row.collects_frames else None
    try:
        file = row.open_events(path, width=width, height=height, frames=collected, **options)
    except RecordingError:  # reading it at once raises the same, or gives frames alone
        return None
    tally = _Tally(file)
    size, events = path.stat().st_size, 0
    # One piece is counted while the next is decoded.
    with ThreadPoolExecutor(1) as counter:
        counting: Future[None] | None = None
        for chunk in checked_chunks(file):
            if counting is not None:
                counting.result()
            counting = counter.submit(tally.add, chunk)
            events += len(chunk.t_us)
            is_long = events >= PART_EVENTS or file.findings.read_share * size >= PART_BYTES
            file.findings.is_enough = is_part_enough and is_long
        if counting is None:
            return None
        counting.result()
    share = file.findings.read_share
    part = Part(int(share * size), size) if file.findings.is_enough and share < 1 else None
    return tally.survey(_frames(tally, collected, is_part=part is not None), part)


def beginning_of_video(
    path: Path, *, format: str | None = None, width: int | None = None, height: int | None = None
) -> tuple[Recording, Part] | None:
    """The frames of a long video's beginning; None where reading it at once is better.

    Args:
        path: The file.
        format: The name of its format, where the suffix does not show it.
        width: Columns of the frames; the video states them, so this may only agree.
        height: Rows of the frames, as for `width`.

    Raises:
        RecordingError: The file is of no known format, or cannot be decoded.
    """
    if not path.is_file() or path.stat().st_size < LONG_BYTES:
        return None
    if reader_for(path, format).name != "video":
        return None
    recording, part_bytes = read_beginning(path, width=width, height=height)
    if part_bytes is None:
        return None
    return recording, Part(part_bytes, path.stat().st_size)


@dataclass(frozen=True, slots=True)
class _Frames:
    """Frames to draw, and how many there are and when."""

    shown: FrameSequence
    count: int
    timing: FrameTiming


def _frames(tally: "_Tally", collected: CollectedFrames | None, *, is_part: bool) -> _Frames | None:
    """The frames of what was read; None where there are none."""
    file = tally.file
    if collected is not None:
        shown = None if file.frames is None else file.frames()
        ends = np.sort(np.asarray(collected.end_us, np.int64))
    elif file.frames is not None:  # which lie apart, to be read when they are drawn
        shown = file.frames()
        if shown is not None and not shown.is_timed and not is_part:
            shown = shown.spread_over(tally.first_us, tally.last_us + 1)
        ends = None if shown is None else shown.end_us
        if is_part and ends is not None:
            ends = ends[ends <= tally.last_us]
    else:
        return None
    if shown is None:
        return None
    if shown.start_us is not None and ends is not None and len(ends):
        exposed_us = (int(shown.start_us[0]), int(ends[-1]))
        file.findings.warnings += clocks_that_differ(
            file.findings.path, exposed_us, (tally.first_us, tally.last_us)
        )
    count = len(shown) if ends is None else len(ends)
    return _Frames(shown, count, frame_timing(shown.width, shown.height, ends))


class _Tally:
    """Counts of the events so far."""

    def __init__(self, file: EventFile) -> None:
        self.file = file
        self.count = 0
        self.first_us = self.last_us = self.last_before_us = 0
        self.backwards = 0
        self.pixels = np.zeros(2 * file.height * file.width, np.uint32)
        self.place_dtype = np.int32 if len(self.pixels) < 1 << 31 else np.int64
        self.bins = np.zeros((2, TIME_BINS), np.int64)
        self.origin_us = 0
        self.shift = 0
        """Of the width of a bin, which is 2 to its power, in µs."""
        self.silences: list[tuple[int, int]] = []
        self.excerpts: list[EventChunk] = []
        self.chunks, self.stride = 0, 1
        self.shown = shown_events(file.width, file.height)

    def add(self, chunk: EventChunk) -> None:
        """Count the events of a chunk, of which there is at least one."""
        t_us = chunk.t_us.astype(np.int64, copy=False)
        if not self.count:
            self.origin_us = self.first_us = int(t_us.min())
            self.last_us = self.last_before_us = int(t_us[0])
        t_us, polarity = self._risen(t_us, chunk.polarity)
        self.first_us = min(self.first_us, int(t_us[0]))
        self.last_us = max(self.last_us, int(t_us[-1]))
        self._note_silences(t_us)
        self._count_times(t_us, polarity)
        self._count_pixels(chunk)
        if self.chunks % self.stride == 0:
            self.excerpts.append(EventChunk(*(values[: self.shown].copy() for values in chunk)))
        if len(self.excerpts) > MOST_EXCERPTS:
            self.excerpts, self.stride = self.excerpts[::2], 2 * self.stride
        self.chunks += 1
        self.count += len(t_us)

    def survey(self, frames: _Frames | None, part: Part | None) -> Survey:
        """What was counted, as numbers and pictures need it."""
        if self.backwards:
            self.file.findings.warn(
                f"time runs backwards {self.backwards} times; reading puts the events in order"
            )
        windows_us, rates_hz = self._rates()
        pixel_counts = self.pixels.reshape(2, self.file.height, self.file.width)
        activity = activity_of(
            self.count,
            self.first_us,
            self.last_us,
            rates_hz=rates_hz,
            pixel_counts=pixel_counts,
            silences_us=self.silences,
        )
        start_us, end_us = windows_us[lively_part(rates_hz)]
        middle_us = (start_us + end_us) / 2
        nearest = min(self.excerpts, key=lambda part: abs(float(part.t_us[0]) - middle_us))
        excerpt = EventStream.from_arrays(
            *nearest, width=self.file.width, height=self.file.height, sort=True
        )
        return Survey(
            self.file.findings.path,
            self._summary(activity, int(self.bins[1].sum()), frames),
            windows_us,
            rates_hz,
            pixel_counts,
            excerpt,
            None if frames is None else frames.shown,
            part,
        )

    def _summary(self, activity: Activity, on: int, frames: _Frames | None) -> Summary:
        findings = self.file.findings
        return Summary(
            format=self.file.format,
            width=self.file.width,
            height=self.file.height,
            events=self.count,
            on=on,
            off=self.count - on,
            t_first_us=self.first_us,
            t_last_us=self.last_us,
            frames=0 if frames is None else frames.count,
            warnings=tuple(findings.warnings),
            remarks=tuple(findings.remarks),
            activity=activity,
            frame_timing=None if frames is None else frames.timing,
            triggers=None if findings.triggers is None else trigger_summary(findings.triggers),
        )

    def _risen(
        self, t_us: NDArray[np.int64], polarity: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The times and polarities of a chunk in the order of time."""
        backwards = int(np.count_nonzero(t_us[1:] < t_us[:-1])) + int(t_us[0] < self.last_us)
        self.backwards += backwards
        if not backwards:
            return t_us, polarity
        order = np.argsort(t_us, kind="stable")
        return t_us[order], polarity[order]

    def _note_silences(self, t_us: NDArray[np.int64]) -> None:
        if int(t_us[0]) - self.last_before_us >= SHORTEST_GAP_US:
            self.silences.append((self.last_before_us, int(t_us[0])))
        if int(t_us[-1]) - int(t_us[0]) >= SHORTEST_GAP_US:
            before = np.flatnonzero(np.diff(t_us) >= SHORTEST_GAP_US)
            self.silences += zip(t_us[before].tolist(), t_us[before + 1].tolist(), strict=True)
        self.last_before_us = max(self.last_before_us, int(t_us[-1]))

    def _count_pixels(self, chunk: EventChunk) -> None:
        # 32 bits hold every place and are half as many bytes to go through; only `add.at` is faster
        # by places of 64.
        width, pixels = self.file.width, self.file.width * self.file.height
        places = chunk.y.astype(self.place_dtype)
        places *= self.place_dtype(width)
        places += chunk.x
        places += chunk.polarity * self.place_dtype(pixels)
        np.add.at(self.pixels, places.astype(np.intp), np.uint32(1))

    def _count_times(self, t_us: NDArray[np.int64], polarity: NDArray[np.bool_]) -> None:
        while (self.last_us - self.origin_us) >> self.shift >= TIME_BINS:
            halves = self.bins.reshape(2, TIME_BINS // 2, 2).sum(axis=2)
            self.bins[:] = 0
            self.bins[:, : TIME_BINS // 2] = halves
            self.shift += 1
        # Times rise here, so the bins of a chunk begin at places that a binary search finds.
        least = max(int(t_us[0]) - self.origin_us, 0) >> self.shift
        past = (max(int(t_us[-1]) - self.origin_us, 0) >> self.shift) + 1
        edges = self.origin_us + (np.arange(least + 1, past, dtype=np.int64) << self.shift)
        cuts = np.concatenate([[0], np.searchsorted(t_us, edges), [len(t_us)]])
        # Counted in 32 bits, which takes less memory to go through.
        on_before = np.concatenate([[0], np.cumsum(polarity, dtype=np.int32)])
        on = np.diff(on_before.take(cuts))
        self.bins[0, least:past] += np.diff(cuts) - on
        self.bins[1, least:past] += on

    def _rates(self) -> tuple[WindowArray, NDArray[np.float64]]:
        """Equal parts of the recording and the rates in them; parts cut bins evenly."""
        parts = min(RATE_PARTS, self.last_us + 1 - self.first_us)
        bounds = self.first_us + np.arange(parts + 1) * (self.last_us + 1 - self.first_us) // parts
        windows_us = np.stack([bounds[:-1], bounds[1:]], 1)
        edges = self.origin_us + (np.arange(TIME_BINS + 1, dtype=np.int64) << self.shift)
        # The last bin ends with the recording, or the end of its last part would miss events.
        edges = np.minimum(edges, self.last_us + 1)
        edges[0] = min(self.first_us, int(edges[0]))
        until = np.concatenate([np.zeros((2, 1)), np.cumsum(self.bins, axis=1)], axis=1)
        counts = np.stack([np.diff(np.interp(bounds, edges, row)) for row in until], 1)
        return windows_us, counts * 1e6 / np.diff(windows_us)
