"""A recognizer while the camera runs, and over a recording in the recording's own time."""

import time
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evlora.answering import Precision, for_answers
from evlora.clips import Modality
from evlora.clips.moment import draw_moment
from evlora.clips.playback import LiveAnswer, answer_of, answers_in_time, schedule
from evlora.errors import DatasetError
from evlora.models.streaming import StreamingNetwork
from evlora.recognizer import Recognizer
from evlora.recordings import EventStream, Recording
from evlora.recordings.filters.table import FilterChain, filtered
from evlora.recordings.frames import ImageArray
from evlora.recordings.live import LiveMoment, LiveStream
from evlora.tensors import require_shape


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
        is_filtered: Whether events and frames have passed the filters of the recognizer's clips
            already; by default they pass them here, from one moment to the next.

    Raises:
        DatasetError: The recognizer has only the hidden modality.
        RecipeError: Its network sees whole clips only.
        RecordingError: A filter needs whole recordings.
        ShapeError: The stride is less than 1, or its clips are shorter than its network can answer.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        stride: int = 1,
        precision: Precision = "fp32",
        without: Modality | None = None,
        is_filtered: bool = False,
    ) -> None:
        self.recognizer = recognizer.eval()
        self._config = recognizer.clip_config.hiding(without)
        self._filters = () if is_filtered else self._config.filters
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
        self._chain = FilterChain(self._filters, in_pieces=True)
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
            return draw_moment(
                config, frame=frame, events=events, window_us=window_us, filters=self._chain
            )
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
    recording = filtered(recording, config.filters)
    plan = schedule(recording, config, window_us=window_us)
    stream = StreamingRecognizer(
        recognizer, stride=plan.stride, precision=precision, without=without, is_filtered=True
    )
    yield from answers_in_time(
        stream,
        recording,
        config,
        plan,
        recognizer.labels,
        probabilities=lambda logits: _probabilities(recognizer, logits),
        speed=speed,
        now=now,
        sleep=sleep,
    )


def predict_stream(
    stream: StreamingRecognizer,
    camera: LiveStream,
    *,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[LiveAnswer]:
    """The answers to what is still being recorded, each as soon as it is there.

    Moments that came while the one before was computed are skipped, but for the newest, and
    counted in the next answer. A latency counts from the end of the moment by the events' own
    time, or from the moment's arrival where nothing is skipped (`keeps_all`).

    Args:
        stream: Of a recognizer for what the camera gives.
        camera: See `evlora.open_stream`.
        now: Returns the time in seconds, by the clock of `time.monotonic`.

    Raises:
        DatasetError: A modality is missing.
        RecordingError: The camera cannot be read.
    """
    begun_us: int | None = None
    dropped = 0
    for moment in camera:
        came = now() if camera.keeps_all else moment.due
        if moment.is_after_leap:
            stream.reset()
            begun_us = None
        begun_us = moment.window_us[0] if begun_us is None else begun_us
        dropped += moment.dropped
        scores = _pushed(stream, moment)
        if scores is None:
            continue
        yield answer_of(
            _probabilities(stream.recognizer, scores),
            stream.labels,
            time_us=moment.window_us[1],
            start_us=begun_us,
            latency_ms=1e3 * (now() - came),
            moments=stream.moments,
            dropped=dropped,
            rate_hz=moment.rate_hz,
        )
        dropped = 0


def _pushed(stream: StreamingRecognizer, moment: LiveMoment) -> Tensor | None:
    modalities = stream.recognizer.clip_config.modalities
    return stream.push(
        moment.frame if "rgb" in modalities else None,
        moment.events if "event" in modalities else None,
        window_us=moment.window_us,
    )


def _probabilities(recognizer: Recognizer, logits: Tensor) -> NDArray[np.float32]:
    return (logits.float() / recognizer.temperature).softmax(dim=-1).cpu().numpy()
