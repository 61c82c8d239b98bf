"""Recordings as an ideal lens would have given them: events moved, frames resampled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.filters.calibration import Calibration
from evlora.recordings.frames import FrameSequence, FrameSource, ImageArray
from evlora.recordings.recording import Recording


def undistort(recording: Recording, calibration: Calibration) -> Recording:
    """The recording without the lens's distortion, on a sensor of the same size and matrix.

    Each event moves to the pixel that is nearest to its undistorted place, and is dropped where
    that lies outside of the sensor. Frames are interpolated between four pixels, and black where
    the lens saw nothing. Where events and frames are of two sizes, the calibration must state whose
    it is, and the other one is refused.

    Args:
        recording: Events, frames, or both.
        calibration: Of its lens.

    Raises:
        RecordingError: The calibration is of a sensor of another size.
    """
    events, frames, images = recording.events, recording.frames, recording.event_images
    for what in (events, frames, images):
        size = None if what is None else (what.width, what.height)
        if size is not None and calibration.size_px not in (None, size):
            assert calibration.size_px is not None
            raise RecordingError(
                f"{recording.path or 'recording'}: expected {calibration.size_px[0]}×"
                f"{calibration.size_px[1]} pixels, for which the calibration is, got "
                f"{size[0]}×{size[1]}; undistort before cropping and downsampling"
            )
    return replace(
        recording,
        events=None if events is None else undistort_events(events, calibration),
        frames=None if frames is None else _undistorted(frames, calibration),
        event_images=None if images is None else _undistorted(images, calibration),
    )


def undistort_events(events: EventStream, calibration: Calibration) -> EventStream:
    """The events at the pixels nearest to their undistorted places, those on the sensor.

    Args:
        events: Any number of events.
        calibration: Of the lens before the sensor.
    """
    places = calibration.undistort(_pixels(events.width, events.height))
    column, row = (np.floor(places + 0.5).clip(-1, 2**31).astype(np.int64)).T
    is_inside = (column >= 0) & (column < events.width) & (row >= 0) & (row < events.height)
    pixel = events.y.astype(np.int64) * events.width + events.x
    is_kept = is_inside[pixel]
    pixel, kept = pixel[is_kept], events.chosen(is_kept)
    return replace(kept, x=column[pixel].astype(np.uint16), y=row[pixel].astype(np.uint16))


def _undistorted(frames: FrameSequence, calibration: Calibration) -> FrameSequence:
    return replace(frames, source=UndistortedFrames(frames.source, calibration))


@dataclass(frozen=True, slots=True)
class UndistortedFrames:
    """Another source's frames without the lens's distortion."""

    source: FrameSource
    calibration: Calibration

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        images = self.source.read(indices)
        height, width = images.shape[1:3]
        column, row = self.calibration.distort(_pixels(width, height)).T
        return _interpolated(images, column, row).reshape(images.shape)


def _pixels(width: int, height: int) -> NDArray[np.float64]:
    """Columns and rows of all pixels, row by row, shape (height·width, 2)."""
    row, column = np.divmod(np.arange(width * height), width)
    return np.stack([column, row], axis=1).astype(np.float64)


def _interpolated(
    images: ImageArray, column: NDArray[np.float64], row: NDArray[np.float64]
) -> ImageArray:
    """The images' values between pixels, black outside, shape (n, len(column), 3)."""
    height, width = images.shape[1:3]
    # One black pixel around, so that what lies beyond the border fades into it.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(len(images), -1, 3)
    x, y = np.clip(column + 1, 0, width + 0.999), np.clip(row + 1, 0, height + 0.999)
    left, above = x.astype(np.int64), y.astype(np.int64)
    share_x, share_y = (x - left)[:, None], (y - above)[:, None]
    corner = above * (width + 2) + left
    upper = padded[:, corner] * (1 - share_x) + padded[:, corner + 1] * share_x
    corner += width + 2
    lower = padded[:, corner] * (1 - share_x) + padded[:, corner + 1] * share_x
    return (upper * (1 - share_y) + lower * share_y).round().astype(np.uint8)
