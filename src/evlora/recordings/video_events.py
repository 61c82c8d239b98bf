"""The events of a video: decoded, scaled and simulated frame by frame, in constant memory."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings.events import EventStream
from evlora.recordings.readers.table import is_of_events
from evlora.recordings.readers.video import frames_in_order
from evlora.recordings.readers.video_decoding import av_errors, upright
from evlora.recordings.readers.video_index import read_video_index
from evlora.recordings.simulator import EventSimulator, SensorModel


def simulate_video(
    path: str | Path,
    *,
    width: int | None = None,
    height: int | None = None,
    sensor: SensorModel | None = None,
    seed: int = 0,
) -> Iterator[EventStream]:
    """The events of a video, one stream per frame after the first, decoded as they are asked for.

    Args:
        path: Any video that PyAV reads; its own timestamps are the times of the frames.
        width: Columns of the sensor, to which the frames are scaled; those of the video if None.
        height: Rows of the sensor, as for `width`.
        sensor: How the sensor answers; None for the default.
        seed: Of thresholds and noise.

    Yields:
        Events between two frames, in the order of time over all streams.

    Raises:
        RecordingError: No such file, no video in it, or fewer than two frames that can be read.

    Warns:
        RecordingWarning: The video is damaged, or frames that repeat a time were skipped.
    """
    source = Path(path)
    if (width is None) != (height is None):
        raise RecordingError(f"{source}: expected both width and height, or neither")
    simulator, count, repeated, last_us = None, 0, 0, None
    for t_us, luma in _decoded_luma(source, width, height):
        if simulator is None:
            rows, columns = luma.shape
            simulator = EventSimulator(width=columns, height=rows, sensor=sensor, seed=seed)
        if last_us is not None and t_us <= last_us:
            repeated += 1
            continue
        last_us, count = t_us, count + 1
        events = simulator.push(luma, t_us)
        if count > 1:
            yield events
    if repeated:
        message = f"{source}: {repeated} frames do not come after the one before; they were skipped"
        warnings.warn(message, RecordingWarning, stacklevel=2)
    if count < 2:
        raise RecordingError(
            f"{source}: expected at least two frames to find changes between, got {count}"
        )


def join_streams(streams: Iterable[EventStream]) -> EventStream:
    """One stream of streams of one sensor that follow each other in time.

    Raises:
        RecordingError: There is no stream.
    """
    parts = list(streams)
    if not parts:
        raise RecordingError("events: expected at least one stream to join, got none")
    return EventStream(
        np.concatenate([part.t_us for part in parts]),
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.polarity for part in parts]),
        parts[0].width,
        parts[0].height,
    )


def _decoded_luma(
    path: Path, width: int | None, height: int | None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Time in µs and luma, shape (H, W), of each frame of a video."""
    if not path.is_file():
        raise RecordingError(f"{path}: no such video; check the path")
    if is_of_events(path):
        raise RecordingError(
            f"{path}: expected a video, got a recording that holds events already; "
            "evlora convert changes its format"
        )
    index = read_video_index(path)
    for message in index.warnings:
        warnings.warn(message, RecordingWarning, stacklevel=3)
    count = 0
    try:
        with closing(frames_in_order(index)) as frames:
            for number, frame in frames:
                count += 1
                # A phone held upright writes lying frames and how far to turn them.
                is_turned = upright(np.empty((1, 2), np.uint8), frame).shape == (2, 1)
                size = (height, width) if is_turned else (width, height)
                luma = frame.reformat(*size, format="gray").to_ndarray()
                yield int(index.t_us[number]), np.ascontiguousarray(upright(luma, frame))
    except av_errors() as error:
        if count < 2:
            raise RecordingError(f"{path}: expected a video, could not read it: {error}") from error
        damage = str(error)
    else:
        missing = len(index) - count
        damage = f"{missing} frames are missing" if missing and not index.warnings else ""
    if damage:
        warnings.warn(
            f"{path}: damaged after frame {count} ({damage}); the frames before it were used",
            RecordingWarning,
            stacklevel=3,
        )
