"""From a path, or from images, to a recording."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError, RecordingWarning
from evlora.messages import listed
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers import open_frames, reader_for
from evlora.recordings.recording import Recording
from evlora.untrusted import existing

Pictures = str | Path | Sequence[str | Path]
"""A picture, a folder of pictures, a video, or several pictures."""

Input = Recording | EventStream | FrameSequence | str | Path | NDArray[np.uint8]
"""What stands for a recording: itself, its events or frames alone, its path, or frames as an array
of shape (T, H, W, 3) or (T, H, W)."""


def open_recording(
    path: str | Path,
    *,
    frames: Pictures | None = None,
    event_images: Pictures | None = None,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    columns: str | Sequence[str] | None = None,
    unit: str | None = None,
    topics: Sequence[str] | None = None,
) -> Recording:
    """The recording in this file or folder.

    The suffix picks the reader, the header confirms it.

    Args:
        path: A recording of any format in the table of `evlora.recordings.readers`.
        frames: Pictures, a folder of them, or a video that belong to the events in `path`.
        event_images: Event images, drawn before, one for each frame.
        format: The name of a format, where the suffix does not show it.
        width: Columns of the sensor, for formats whose files do not state them.
        height: Rows of the sensor.
        columns: All columns of a table (text, npy, npz, HDF5, MATLAB) in order, such as `t,x,y,p`,
            any other word for a column to pass over; or the names that hold the four fields, such
            as `t=stamps,x=col,y=row,p=on`. For files that do not say which column is which.
        unit: Of a table's times, `s`, `ms`, `us` or `ns`, where nothing states it.
        topics: The topics of a ROS bag to read: one of events, one of pictures, or both; found by
            themselves where they are not named.

    Returns:
        Events with times in microseconds and coordinates in pixels, frames as uint8 RGB of shape
        (T, H, W, 3), read when asked for, or both.

    Raises:
        RecordingError: The file is missing, of no known format, or holds nothing readable.
        DatasetError: Frames and event images do not belong together.

    Warns:
        RecordingWarning: The file is damaged, and what came before the damage is returned;
            frames and events have no moment in common; or frames and event images have no
            partner and were skipped.
    """
    source = existing(Path(path), RecordingError)
    reader = reader_for(source, format)
    recording = reader.read(
        source, width=width, height=height, columns=columns, unit=unit, topics=topics
    )
    recording = _with_pictures(recording, frames, event_images)
    _warn_of(recording.warnings)
    return recording


def as_recording(given: Input) -> Recording:
    """The recording that something stands for; see `Input`.

    Raises:
        RecordingError: It cannot be read, or it stands for none.
    """
    match given:
        case Recording():
            return given
        case EventStream():
            return Recording(given, None, "events")
        case FrameSequence():
            return Recording(None, given, "images")
        case np.ndarray() if given.dtype.names:
            raise RecordingError(
                f"recording: expected frames as an array, got one of the fields "
                f"{listed(given.dtype.names)}; of events make evlora.EventStream(t_us, x, y, "
                "polarity, width, height)"
            )
        case np.ndarray():
            return Recording(None, FrameSequence.from_images(given), "images")
        case str() | Path():
            return open_recording(given)
        case _:
            raise RecordingError(
                "recording: expected a recording, its path, its events or frames, or an array of "
                f"frames, got {type(given).__name__}"
            )


def with_frames_of(recording: Recording, frames: Pictures) -> Recording:
    """A recording that was opened before, with frames that lie apart from it.

    Args:
        recording: Of events alone.
        frames: Pictures, a folder of them, or a video.

    Raises:
        RecordingError: It has frames already, or there is no picture where one should be.

    Warns:
        RecordingWarning: Frames and events have no moment in common.
    """
    joined = _with_pictures(recording, frames, None)
    _warn_of(joined.warnings[len(recording.warnings) :])
    return joined


def require_sensor_size(path: Path, *, width: int | None = None, height: int | None = None) -> None:
    """Check that a recording of events states its sensor, or that the caller does.

    As little of the file is read as its format allows.

    Raises:
        SensorSizeError: Nobody states the sensor, or the file another one than the caller.
        RecordingError: The file cannot be read.
    """
    row = reader_for(path)
    if row.streams:
        row.open_events(path, width=width, height=height)
    else:
        row.read(path, width=width, height=height)


def open_pictures(frames: Pictures | None, event_images: Pictures | None) -> Recording:
    """The recording that consists of frames, of event images, or of both in pairs.

    Raises:
        RecordingError: There is nothing, or no picture where one should be.
        DatasetError: Frames and event images do not belong together.

    Warns:
        RecordingWarning: Some pictures have no partner and were skipped.
    """
    given = event_images if frames is None else frames
    if not given:
        raise RecordingError("recording: expected frames or event images, got neither")
    path = Path(given if isinstance(given, str | Path) else given[0])
    recording = _with_pictures(Recording(None, None, "images", path), frames, event_images)
    _warn_of(recording.warnings)
    return recording


def _with_pictures(
    recording: Recording, frames: Pictures | None, event_images: Pictures | None
) -> Recording:
    if frames is not None:
        recording = recording.with_frames(open_frames(frames))
    if event_images is not None:
        recording = recording.with_event_images(open_frames(event_images))
    return recording


def _warn_of(faults: Sequence[str]) -> None:
    for fault in faults:
        warnings.warn(fault, RecordingWarning, stacklevel=3)
