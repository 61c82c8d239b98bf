"""Answers while the camera runs: every moment is encoded once, the last T are decided on."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.clips.geometry import place_evenly
from evlora.clips.images import Inputs
from evlora.clips.playback import LiveAnswer, answers_in_time, schedule
from evlora.clips.sampling import Moments
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.filters.table import FilterChain, filtered
from evlora.recordings.opening import Input, as_recording
from evlora_runtime.drawing import drawn
from evlora_runtime.model import Model, log_probabilities

STEPS = "encoded_difference"


class LiveRunner:
    """Answers after every moment as the recognizer answers to the clip of the last T.

    Args:
        path: NAME.onnx; NAME.encode.onnx and NAME.decide.onnx are opened.
        stride: Moments from one of a clip to the next one.
        threads: Of onnxruntime; 0 is as many as there are cores.
        is_filtered: Whether events and frames have passed the filters of the file's clips already.

    Raises:
        RuntimeFileError: A file is missing, damaged, no file of evlora, or of another version.
        RecordingError: A filter needs whole recordings.
    """

    def __init__(
        self, path: str | Path, *, stride: int = 1, threads: int = 0, is_filtered: bool = False
    ) -> None:
        path = Path(path)
        self._encode = Model(path.with_suffix(".encode.onnx"), part="encode", threads=threads)
        self._decide = Model(path.with_suffix(".decide.onnx"), part="decide", threads=threads)
        self.labels = self._encode.labels
        self._temperature = self._decide.temperature
        self.clips = self._encode.clips
        self.stride = stride
        self._texts = () if is_filtered else self.clips.filters
        self.reset()

    def reset(self) -> None:
        """Forget all moments: what comes next is the first of another recording."""
        frames = self.clips.frames
        self._filters = FilterChain(self._texts, in_pieces=True)
        self._pushed = 0
        self._images: deque[list[NDArray[np.uint8]]] = deque(maxlen=self.stride)
        self._kept: dict[str, deque[NDArray[np.float32]]] = {}
        for name in self._encode.outputs:
            length = frames - 1 if name == STEPS else frames
            self._kept[name] = deque(maxlen=max(1, (length - 1) * self.stride + 1))

    @property
    def moments(self) -> int:
        """How many moments the last answer rests on, 0…T."""
        return min(self.clips.frames, -(-self._pushed // self.stride))

    def push(
        self,
        frame: NDArray[np.uint8] | None = None,
        events: EventStream | NDArray[np.uint8] | None = None,
        *,
        window_us: tuple[int, int] | None = None,
    ) -> NDArray[np.float32] | None:
        """The scores after one more moment.

        Args:
            frame: uint8 RGB of shape (H, W, 3), or grey of shape (H, W).
            events: Those of the moment's window, or an event image like a frame.
            window_us: Start and end of the window; by default from the first event to the last.

        Returns:
            Shape (K,); None while there are fewer moments than the network answers to.

        Raises:
            DatasetError: A modality is missing.
        """
        now = self._drawn(frame, events, window_us)
        has_step = len(self._images) == self.stride
        takes_before = len(self._encode.inputs) > len(now)
        before = self._images[0] if has_step else now
        encoded = self._encode([*now, *before] if takes_before else now)
        for name, moment in zip(self._encode.outputs, encoded, strict=True):
            if name != STEPS or has_step:
                self._kept[name].append(moment)
        self._images.append(now)
        self._pushed += 1
        if self.moments < self._encode.least_moments:
            return None
        clip = [
            np.stack(list(self._kept[name])[:: -self.stride][::-1], axis=1)
            for name in self._decide.inputs
        ]
        return self._decide(clip)[0][0]

    def shares(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The classes' probabilities, shape (K,), from the scores of `push`."""
        return np.exp(log_probabilities(scores / np.float32(self._temperature)))

    def _drawn(
        self,
        frame: NDArray[np.uint8] | None,
        events: EventStream | NDArray[np.uint8] | None,
        window_us: tuple[int, int] | None,
    ) -> list[NDArray[np.uint8]]:
        """The moment's images, uint8, shape (1, 3, H, W) for each modality in order."""
        stream = events if isinstance(events, EventStream) else None
        drawn_before = None if isinstance(events, EventStream) else _single(events)
        recording = Recording(
            stream, _single(frame), "live", path=Path("moment"), event_images=drawn_before
        )
        inputs = Inputs.of(self._filters.push(recording), self.clips)
        if window_us is None:
            window_us = (stream.first_us, stream.last_us + 1) if stream else (0, 0)
        box = place_evenly(*inputs.size_px, size=self.clips.size_px, fit=self.clips.fit)
        moments = Moments(np.zeros(1, np.int64), np.array([window_us], np.int64))
        return drawn(inputs, moments, box, self.clips)


def predict_live(
    path: str | Path,
    recording: Input,
    *,
    speed: float = 1.0,
    window_us: int | None = None,
    threads: int = 0,
) -> Iterator[LiveAnswer]:
    """The answers to a recording as if it were happening, as `evlora predict --live` gives them.

    Args:
        path: NAME.onnx; NAME.encode.onnx and NAME.decide.onnx are opened.
        recording: With the modalities that the recognizer was trained on.
        speed: How many times as fast as it was recorded; 0 is as fast as possible.
        window_us: Cut the recording into windows of this length.
        threads: Of onnxruntime; 0 is as many as there are cores.

    Raises:
        RuntimeFileError: A file is missing or damaged.
        DatasetError: The recording lacks a modality.
        RecordingError: It cannot be read.
    """
    opened = as_recording(recording)
    runner = LiveRunner(path, threads=threads, is_filtered=True)
    opened = filtered(opened, runner.clips.filters)
    plan = schedule(opened, runner.clips, window_us=window_us)
    runner.stride = plan.stride
    runner.reset()
    yield from answers_in_time(
        runner, opened, runner.clips, plan, runner.labels, probabilities=runner.shares, speed=speed
    )


def _single(image: NDArray[np.uint8] | None) -> FrameSequence | None:
    return None if image is None else FrameSequence.from_images(image[None])
