"""A recognizer while the camera runs, and over a recording in the recording's own time."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evlora.answering import Precision, for_answers
from evlora.clips import ClipConfig, Modality
from evlora.clips.moment import draw_moment
from evlora.clips.sampling import Moments, choose_moments
from evlora.errors import DatasetError, RecordingError
from evlora.models.streaming import StreamingNetwork
from evlora.recognizer import Recognizer
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.frames import ImageArray
from evlora.tensors import require_shape

MOST_MOMENTS = 10_000_000
"""The most windows that fit into memory; a recording that gives more has a damaged clock."""
READ_AHEAD = 16
"""Frames that are read together, while those before them are shown."""


class StreamingRecognizer:
    """Answers after every frame as the recognizer answers to the clip of the last T.

    Per new frame it encodes one frame, one event image and one difference, and decides once.

    Args:
        recognizer: Loaded from a bundle; it is put into evaluation mode. What it learns later is
            seen after the next `reset`.
        precision: See `for_answers`.
        stride: Frames from a moment of a clip to the next one. Trained on clips whose moments lay
            further apart than the camera's frames, a recognizer wants them so here as well.
        without: Of both modalities, one that is hidden; only arrays are then taken, no tensors.

    Raises:
        DatasetError: The recognizer has only the hidden modality.
        RecipeError: Its network sees whole clips only.
        ShapeError: The stride is less than 1, or its clips are shorter than its network can answer.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        stride: int = 1,
        precision: Precision = "fp32",
        without: Modality | None = None,
    ) -> None:
        self.recognizer = recognizer.eval()
        self._config = recognizer.clip_config.hiding(without)
        self.stride = stride
        self.precision: Precision = precision
        self.reset()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return self.recognizer.labels

    @property
    def moments(self) -> int:
        """How many moments the last answer rests on, 0…T."""
        return self.stream.moments

    def reset(self) -> None:
        """Forget all frames: what comes next is the first of another recording."""
        self._answering = for_answers(self.recognizer, precision=self.precision)
        frames = self.recognizer.clip_config.frames
        self.stream = StreamingNetwork(self._answering.network, frames=frames, stride=self.stride)

    def push(
        self,
        frame: ImageArray | Tensor | None = None,
        events: EventStream | ImageArray | Tensor | None = None,
        *,
        window_us: tuple[int, int] | None = None,
    ) -> Tensor | None:
        """The scores after one more frame with its events.

        Arrays are what a camera saw, of any size, and get the geometry of a clip. Tensors are
        taken as they are: uint8 or normalised, shape (3, H, W), in the size that the model takes.

        Args:
            frame: uint8 RGB of shape (H, W, 3), grey of shape (H, W), or a tensor.
            events: Those of the frame's window, a picture of them like a frame, or a tensor.
            window_us: Start and end of the window; by default from the first event to the last.

        Returns:
            Shape (K,), in the order of the labels; None while there are fewer moments than the
            network answers to: a difference needs two, and a temporal transformer all T. Fewer
            than T are averaged as they are.

        Raises:
            DatasetError: A modality that the recognizer was trained on is missing.
            ShapeError: A tensor has another shape than (3, H, W).
            RecordingError: An array is no picture.
        """
        with self._answering.in_answer_type():
            return self.stream.push(*self._pictures(frame, events, window_us))

    def _pictures(
        self,
        frame: ImageArray | Tensor | None,
        events: EventStream | ImageArray | Tensor | None,
        window_us: tuple[int, int] | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        config = self._config
        if not isinstance(frame, Tensor) and not isinstance(events, Tensor):
            return draw_moment(config, frame=frame, events=events, window_us=window_us)
        if config.without is not None:
            raise DatasetError(
                f"without {config.without}: expected images as the camera saw them, got tensors; "
                "make the hidden one blank yourself"
            )
        for name, image in (("frame", frame), ("events", events)):
            if image is None:
                continue
            if not isinstance(image, Tensor):
                raise DatasetError(
                    f"{name}: expected a tensor as the other modality, got "
                    f"{type(image).__name__}; give both as the camera saw them, or both as tensors"
                )
            height, width = config.size_px
            require_shape(image, "3 H W", name=name, H=height, W=width)
        return cast(Tensor | None, frame), cast(Tensor | None, events)


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


class Schedule(NamedTuple):
    """When a recording's moments come, and what belongs to each."""

    moments: Moments
    times_us: NDArray[np.int64]
    """When each is complete, shape (n,), never falling."""
    start_us: int
    """When the first of them began."""
    stride: int
    """Moments from one of a clip to the next one."""


def schedule(recording: Recording, config: ClipConfig, *, window_us: int | None) -> Schedule:
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


def predict_live(
    recognizer: Recognizer,
    recording: Recording,
    *,
    speed: float = 1.0,
    window_us: int | None = None,
    precision: Precision = "fp32",
    without: Modality | None = None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LiveAnswer]:
    """The answers to a recording as if it were happening, each as soon as it is there.

    A moment is taken when it is complete. Where another one is complete by then it is skipped
    and counted in the next answer: nothing queues up. The last one is always answered.

    Args:
        recognizer: Loaded from a bundle.
        recording: With the modalities that the recognizer was trained on.
        speed: How many times as fast as it was recorded; 0 is as fast as possible, and skips
            nothing.
        window_us: See `schedule`.
        precision: See `for_answers`.
        without: Of both modalities, one that is hidden, even where the recording has it.
        now: Returns the time in seconds.
        sleep: Waits for a number of seconds.

    Raises:
        DatasetError: The recording lacks a modality.
        RecordingError: A frame cannot be read, or see `schedule`.
        RecipeError: The recognizer's network sees whole clips only.
    """
    config = recognizer.clip_config.hiding(without)
    plan = schedule(recording, config, window_us=window_us)
    stream = StreamingRecognizer(
        recognizer, stride=plan.stride, precision=precision, without=without
    )
    with _Feed(recording, plan.moments, config) as feed:
        stream.push(*feed.at(0), window_us=feed.window_us(0))  # what torch does only once
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
            logits = stream.push(frame, events, window_us=feed.window_us(number))
            if logits is None:
                continue
            probabilities = logits.float().softmax(dim=-1).cpu()
            best = int(probabilities.argmax())
            yield LiveAnswer(
                time_us=int(plan.times_us[number]),
                elapsed_us=int(plan.times_us[number]) - plan.start_us,
                label=recognizer.labels[best],
                confidence=float(probabilities[best]),
                latency_ms=1e3 * (now() - came),
                moments=stream.moments,
                dropped=dropped,
            )
            dropped = 0


class _Feed:
    """What the camera hands over at each moment; frames are read ahead, in a thread."""

    def __init__(self, recording: Recording, moments: Moments, config: ClipConfig) -> None:
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


def _stride(present: int, config: ClipConfig) -> int:
    """How far apart a clip's moments lie in a recording of this number of frames."""
    if config.frames == 1:
        return 1
    if config.sampling == "dense":
        return max(1, min(config.stride, (present - 1) // (config.frames - 1)))
    return max(1, present // config.frames)
