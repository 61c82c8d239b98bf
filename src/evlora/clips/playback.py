"""A recording in its own time: which moments come when, what belongs to each, and the answers."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evlora.clips.sampling import Moments, choose_moments
from evlora.clips.settings import ClipSettings
from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.frames import ImageArray

RANKED = 5
"""Labels of an answer that are kept, of all that there are."""
MOST_MOMENTS = 10_000_000
"""The most windows that fit into memory; a recording that gives more has a damaged clock."""
READ_AHEAD = 16
"""Frames that are read together, while those before them are shown."""


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """What a recognizer holds for true at a moment of a recording."""

    time_us: int
    """When the moment was complete, on the recording's clock."""
    elapsed_us: int
    """The same, since the first moment began."""
    label: str
    """The most probable label."""
    confidence: float
    """Its probability."""
    latency_ms: float
    """From the moment's end to this answer: how old the answer is when it comes."""
    moments: int
    """How many moments it rests on, 1…T."""
    dropped: int
    """Moments skipped since the answer before, because newer ones were there already."""
    ranked: tuple[tuple[str, float], ...] = ()
    """The most probable labels with their probabilities, the first one first."""
    rate_hz: float | None = None
    """Events per second in the moment's window; None where it has no events."""


class Schedule(NamedTuple):
    """When a recording's moments come, and what belongs to each."""

    moments: Moments
    times_us: NDArray[np.int64]
    """When each is complete, shape (n,), never falling."""
    start_us: int
    """When the first of them began."""
    stride: int
    """Moments from one of a clip to the next one."""


def schedule(recording: Recording, config: ClipSettings, *, window_us: int | None) -> Schedule:
    """The moments of a recording as a camera would hand them over.

    With at least T frames, every frame is a moment, and those of a clip lie as far apart as in
    training. With fewer, or none, the recording is cut into T equal windows, as a clip is, and
    each takes the frame that is current.

    Args:
        recording: Events, frames, or both.
        config: How clips are made.
        window_us: Cut the recording into windows of this length instead; where nothing states the
            times, the frames come this long after one another.

    Raises:
        RecordingError: There is nothing in it, or no time and no window either, or more windows
            than could be meant.
        DatasetError: The clips' window asks for what the frames do not state.
    """
    frames = recording.frames or recording.event_images
    length_us = _length_us(recording)
    present = 0 if frames is None else len(frames)
    has_events = recording.events is not None and recording.event_images is None
    count = max(present, config.frames) if has_events else present
    stride = _stride(present, config) if count == present else 1
    if window_us is not None and length_us is not None:
        count, stride = max(1, -(-length_us // window_us)), 1
    if count > MOST_MOMENTS:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected at most {MOST_MOMENTS} windows, got "
            f"{count} of {window_us} µs; take a longer window, or mend the recording's clock"
        )
    moments = choose_moments(recording, max(1, count), window=config.window)
    windows_us = moments.windows_us.copy()
    if window_us is not None and moments.frame_indices is None:
        # As a camera would cut them, which knows no end: all of one length, the last as well.
        starts = int(windows_us[0, 0]) + window_us * np.arange(count, dtype=np.int64)
        windows_us = np.stack([starts, starts + window_us], axis=1)
    if config.window == "segment" and stride > 1:
        windows_us[stride:, 0] = windows_us[:-stride, 1]
        windows_us[:stride, 0] = windows_us[0, 0]
    moments = Moments(moments.frame_indices, windows_us)
    if windows_us.any():
        return Schedule(moments, windows_us[:, 1], int(windows_us[0, 0]), stride)
    assert frames is not None  # no events were drawn
    assert moments.frame_indices is not None
    if frames.end_us is not None:
        times_us = frames.end_us[moments.frame_indices]
        return Schedule(moments, times_us, int(times_us[0]), stride)
    if window_us is None:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected the times of its {present} frames, which "
            "nothing states; give the time from one to the next with --window-ms"
        )
    times_us = np.arange(1, len(windows_us) + 1, dtype=np.int64) * window_us
    return Schedule(moments, times_us, 0, stride)


class Stream(Protocol):
    """What answers one moment after the other."""

    @property
    def moments(self) -> int:
        """How many moments the last answer rests on."""
        ...

    def reset(self) -> None:
        """Forget all moments."""
        ...

    def push(
        self,
        frame: ImageArray | None,
        events: EventStream | ImageArray | None,
        *,
        window_us: tuple[int, int] | None,
    ) -> Any:
        """The scores after one more moment, shape (K,); None while there are too few."""
        ...


def answers_in_time(
    stream: Stream,
    recording: Recording,
    config: ClipSettings,
    plan: Schedule,
    labels: Sequence[str],
    *,
    probabilities: Callable[[Any], NDArray[np.float32]],
    speed: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LiveAnswer]:
    """The answers to a recording as if it were happening, each as soon as it is there.

    A moment is taken when it is complete. Where another one is complete by then it is skipped
    and counted in the next answer: nothing queues up. The last one is always answered.

    Args:
        stream: What answers; nothing was pushed yet.
        recording: With the modalities that the configuration names.
        config: How clips are made.
        plan: The recording's moments.
        labels: In the order of the scores.
        probabilities: Makes probabilities of scores, shape (K,).
        speed: How many times as fast as it was recorded; 0 is as fast as possible, and skips
            nothing.
        now: Returns the time in seconds.
        sleep: Waits for a number of seconds.
    """
    with _Feed(recording, plan.moments, config) as feed:
        stream.push(*feed.at(0), window_us=feed.window_us(0))  # what is done only once
        stream.reset()
        begun, dropped = now(), 0

        def due(number: int) -> float:
            return begun + (int(plan.times_us[number]) - plan.start_us) / 1e6 / speed

        for number in range(len(plan.times_us)):
            if speed and number + 1 < len(plan.times_us) and due(number + 1) <= now():
                dropped += 1
                continue
            frame, events = feed.at(number)
            if speed:
                sleep(max(0.0, due(number) - now()))
            came = due(number) if speed else now()
            scores = stream.push(frame, events, window_us=feed.window_us(number))
            if scores is None:
                continue
            window_us = feed.window_us(number)
            yield answer_of(
                probabilities(scores),
                labels,
                time_us=int(plan.times_us[number]),
                start_us=plan.start_us,
                latency_ms=1e3 * (now() - came),
                moments=stream.moments,
                dropped=dropped,
                rate_hz=rate_hz(events, window_us) if isinstance(events, EventStream) else None,
            )
            dropped = 0


def answer_of(
    shares: NDArray[np.float32],
    labels: Sequence[str],
    *,
    time_us: int,
    start_us: int,
    latency_ms: float,
    moments: int,
    dropped: int,
    rate_hz: float | None,
) -> LiveAnswer:
    """The answer by the probabilities of the labels, shape (K,); see `LiveAnswer` for the rest."""
    best: list[int] = np.argsort(-shares, kind="stable")[:RANKED].tolist()
    return LiveAnswer(
        time_us=time_us,
        elapsed_us=time_us - start_us,
        label=labels[best[0]],
        confidence=float(shares[best[0]]),
        latency_ms=latency_ms,
        moments=moments,
        dropped=dropped,
        ranked=tuple((labels[index], float(shares[index])) for index in best),
        rate_hz=rate_hz,
    )


def rate_hz(events: EventStream, window_us: tuple[int, int]) -> float:
    """Events per second in their window."""
    return len(events) * 1e6 / max(window_us[1] - window_us[0], 1)


class _Feed:
    """What the camera hands over at each moment; frames are read ahead, in a thread."""

    def __init__(self, recording: Recording, moments: Moments, config: ClipSettings) -> None:
        wants_rgb, wants_events = ("rgb" in config.modalities), ("event" in config.modalities)
        self.moments = moments
        self.events = recording.events if wants_events else None
        self.frames = self._ahead(recording.frames if wants_rgb else None)
        self.drawn = self._ahead(recording.event_images if wants_events else None)

    def __enter__(self) -> "_Feed":
        return self

    def __exit__(self, *_: object) -> None:
        for ahead in (self.frames, self.drawn):
            if ahead is not None:
                ahead.close()

    def at(self, number: int) -> tuple[ImageArray | None, EventStream | ImageArray | None]:
        """The frame and the events of a moment, or their picture drawn before."""
        frame = None if self.frames is None else self.frames.at(number)
        if self.drawn is not None:
            return frame, self.drawn.at(number)
        return frame, None if self.events is None else self.events.between(*self.window_us(number))

    def window_us(self, number: int) -> tuple[int, int]:
        """The window of a moment."""
        start_us, end_us = self.moments.windows_us[number].tolist()
        return start_us, end_us

    def _ahead(self, sequence: FrameSequence | None) -> "_ReadAhead | None":
        if sequence is None or self.moments.frame_indices is None:
            return None
        return _ReadAhead(sequence, self.moments.frame_indices.tolist())


class _ReadAhead:
    """Frames in the order in which they are asked for; some may be passed over."""

    def __init__(self, sequence: FrameSequence, indices: list[int]) -> None:
        self.sequence = sequence
        self.indices = indices
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.start, self.block, self.following = 0, self._begin(0), self._begin(READ_AHEAD)

    def at(self, number: int) -> ImageArray:
        start = number - number % READ_AHEAD
        if start != self.start:
            is_next = start == self.start + READ_AHEAD
            self.start, self.block = start, self.following if is_next else self._begin(start)
            self.following = self._begin(start + READ_AHEAD)
        return self.block.result()[number - start]

    def close(self) -> None:
        self.thread.shutdown(cancel_futures=True)

    def _begin(self, start: int) -> Future[ImageArray]:
        return self.thread.submit(self.sequence.take, self.indices[start : start + READ_AHEAD])


def _length_us(recording: Recording) -> int | None:
    events, frames = recording.events, recording.frames or recording.event_images
    if events is not None and len(events):
        return events.last_us + 1 - events.first_us
    if frames is None or frames.start_us is None or frames.end_us is None:
        return None
    return max(1, int(frames.end_us[-1] - frames.start_us[0]))


def _stride(present: int, config: ClipSettings) -> int:
    """How far apart a clip's moments lie in a recording of this number of frames."""
    if config.frames == 1:
        return 1
    if config.sampling == "dense":
        return max(1, min(config.stride, (present - 1) // (config.frames - 1)))
    return max(1, present // config.frames)
