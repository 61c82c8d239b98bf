"""Which T moments of a recording make a clip, and which events belong to each.

One ordered set of moments serves both modalities: frames and events chosen independently would
destroy the difference between neighbouring moments. All windows are half-open, [start, end) in µs.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.clips.settings import Sampling, WindowKind
from evlora.errors import DatasetError, RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import equal_windows

Numbers = NDArray[np.int64]

EDGE_JITTER = 0.25
"""How far, in windows, training moves an edge between two equal windows, either way."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """T moments of one recording, in the order of time."""

    frame_indices: Numbers | None
    """Number of the frame of each moment, and of the event image drawn before, shape (T,),
    never falling; None without either."""
    windows_us: Numbers
    """Start and end of the events of each moment, half-open, shape (T, 2); no length where there
    are no events and no times."""


class Choice(NamedTuple):
    """One of several even choices of moments, or of boxes: what test views differ in."""

    number: int
    of: int


MIDDLE = Choice(0, of=1)
"""The one choice where there are no others."""


def choose_moments(
    recording: Recording,
    count: int,
    *,
    sampling: Sampling = "segments",
    stride: int = 4,
    window: WindowKind = "frame",
    generator: "np.random.Generator | None" = None,
    choice: Choice = MIDDLE,
) -> Moments:
    """The `count` moments that stand for this recording.

    With at least `count` frames the moments are frames, one from each of `count` equal segments,
    or each `stride` frames after the one before it; their events are those of `window`. With fewer
    frames, or none, the recording is cut into `count` equal windows, and each takes the frame that
    was current at its end: the latest one that had started. Frames whose times are unknown are
    taken as spread evenly over the events.
    Event images that were drawn before stand for the events: they belong to the frames, or
    count as frames where there are none, and the windows have no length.

    Args:
        recording: Events, frames, or both.
        count: Moments, T.
        sampling: `segments` takes frames from the whole recording, `dense` a stretch of it. Where
            the stretch is longer than the recording, the moments are spread evenly from its first
            frame to its last, so that neighbours differ.
        stride: Frames from a moment to the next one, where sampling is dense.
        window: Which events belong to a frame. `frame`: from the end of the frame before it in the
            recording (chosen or not) to its own end, so that an event image shows the motion of
            one frame however far apart the moments are. `exposure`: while it was exposed.
            `segment`: from the end of the frame chosen before it, so that no event up to the last
            moment is dropped.
        generator: Draws the moments inside their segments, or the start of the stretch, for
            training; None takes the middle.
        choice: Which of several even choices, without a generator. Segments are entered at evenly
            spaced places, dense stretches start from the first frame to the last possible one;
            of one choice it is the middle. Equal windows are the same in all of them.

    Raises:
        RecordingError: There are neither events nor frames.
        DatasetError: `window` is `exposure` and the frames have none.
    """
    events = recording.events if recording.events is not None and len(recording.events) else None
    frames = recording.frames if recording.frames is not None and len(recording.frames) else None
    if recording.event_images is not None:
        drawn = frames or recording.event_images
        events, frames = None, replace(drawn, start_us=None, end_us=None)
    if frames is None and events is None:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected events or frames to take moments from, "
            "got none of either; leave this recording out"
        )
    if frames is not None and not frames.is_timed and events is not None:
        frames = frames.spread_over(events.first_us, events.last_us + 1)
    if frames is not None and len(frames) >= count:
        if sampling == "dense":
            indices = _stretch(len(frames), count, stride, generator, choice)
        else:
            indices = _one_of_each_segment(len(frames), count, generator, choice)
        return Moments(indices, _windows_of_frames(frames, indices, window, events))
    if events is not None:
        windows_us = _jittered(equal_windows(events, count), generator)
        return Moments(None if frames is None else _current(frames, windows_us), windows_us)
    assert frames is not None  # one of the two is there
    # Without events the order alone counts: moment i ends when (i + 1) / T of the frames are over.
    indices = (np.arange(1, count + 1, dtype=np.int64) * len(frames) - 1) // count
    return Moments(indices, np.zeros((count, 2), np.int64))


def _one_of_each_segment(
    length: int, count: int, generator: "np.random.Generator | None", choice: Choice
) -> Numbers:
    edges = np.arange(count + 1, dtype=np.int64) * length // count
    if generator is None:
        return edges[:-1] + (np.diff(edges) * (2 * choice.number + 1) - 1) // (2 * choice.of)
    return generator.integers(edges[:-1], edges[1:])


def _stretch(
    length: int, count: int, stride: int, generator: "np.random.Generator | None", choice: Choice
) -> Numbers:
    """Frames `stride` apart, as in the protocol of AdaptFormer (NeurIPS 2022)."""
    steps = np.arange(count, dtype=np.int64)
    room = length - 1 - (count - 1) * stride
    if room < 0:
        return steps * (length - 1) // (count - 1)
    if generator is not None:
        start = int(generator.integers(room + 1))
    else:
        start = room // 2 if choice.of == 1 else room * choice.number // (choice.of - 1)
    return start + steps * stride


def _windows_of_frames(
    frames: FrameSequence, indices: Numbers, window: WindowKind, events: EventStream | None
) -> Numbers:
    starts, ends = frames.start_us, frames.end_us
    if starts is None or ends is None:  # so there are no events either
        return np.zeros((len(indices), 2), np.int64)
    if window == "exposure":
        if (starts[indices] == ends[indices]).all():
            raise DatasetError(
                "expected frames with an exposure interval for window: exposure, got frames whose "
                "start and end are the same; set window: frame"
            )
        return np.stack([starts[indices], ends[indices]], axis=1)
    first_us = int(starts[0])
    if events is not None and len(events):
        first_us = min(first_us, events.first_us)
    if window == "segment":
        return np.stack([np.append(first_us, ends[indices[:-1]]), ends[indices]], axis=1)
    # It is unknown when the first frame's interval began: it is taken to be as long as the others.
    before_first = ends[0] - int(np.median(np.diff(ends))) if len(ends) > 1 else first_us
    previous_ends = np.append(before_first, ends[:-1])
    return np.stack([previous_ends[indices], ends[indices]], axis=1)


def _jittered(windows_us: Numbers, generator: "np.random.Generator | None") -> Numbers:
    """The same windows, which touch, with their inner edges moved."""
    if generator is None:
        return windows_us
    reach = EDGE_JITTER * (windows_us[-1, 1] - windows_us[0, 0]) / len(windows_us)
    moved = generator.uniform(-reach, reach, len(windows_us) - 1).astype(np.int64)
    inner = windows_us[1:, 0] + moved
    starts, ends = np.append(windows_us[0, 0], inner), np.append(inner, windows_us[-1, 1])
    return np.stack([starts, ends], axis=1)


def _current(frames: FrameSequence, windows_us: Numbers) -> Numbers:
    assert frames.start_us is not None  # frames beside events have times
    started = np.searchsorted(frames.start_us, windows_us[:, 1], side="left")
    return np.maximum(started - 1, 0).astype(np.int64)
