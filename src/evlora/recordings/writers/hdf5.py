"""HDF5 in DSEC's layout: `events/t x y p`, `t_offset` and `ms_to_idx`, plus the sensor's size.

`t_offset` in µs is to be added to the times; entry m of `ms_to_idx` is the first event that is m
milliseconds or more behind it (https://dsec.ifi.uzh.ch/data-format/). Frames lie in `frames`,
with their times beside them; triggers, of which DSEC has none, in `triggers/t_us channel polarity`.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.recording import Recording

CHUNK_EVENTS = 1 << 17
CHUNK_FRAMES = 16
COMPRESSION: dict[str, Any] = {"compression": 1, "shuffle": True}
"""Fast, and every HDF5 library has it."""
LONGEST_INDEX_MS = 2 * 3_600_000
"""Longer recordings get no index by the millisecond: it would outgrow their events."""


def write(recording: Recording, path: Path) -> None:
    """Write events and frames, the frames a few at a time.

    Raises:
        OSError: The disk takes no more.
    """
    import h5py

    with _PatientFile(path, "w+") as written:
        with h5py.File(written, "w") as file:
            _write_all(file, recording)
        if written.error is not None:
            raise written.error


class _PatientFile(io.FileIO):
    """A file that keeps its first error to itself: HDF5 crashes the process after one."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of it, or nothing more once that has failed."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while self.error is None and left:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Give it this size, in bytes; unless a write has failed or this does."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0


def _write_all(file: Any, recording: Recording) -> None:
    if recording.events is not None:
        _write_events(file, recording.events)
    if recording.frames is not None:
        _write_frames(file, recording.frames)
    if recording.triggers is not None:
        file["triggers/t_us"] = recording.triggers.t_us
        file["triggers/channel"] = recording.triggers.channel
        file["triggers/polarity"] = recording.triggers.polarity


def _write_events(file: Any, events: EventStream) -> None:
    file.attrs["width"], file.attrs["height"] = events.width, events.height
    offset_us = events.first_us if len(events) else 0
    t_us = events.t_us - offset_us
    file["t_offset"] = np.int64(offset_us)
    fields = {"t": t_us, "x": events.x, "y": events.y, "p": events.polarity.view(np.uint8)}
    for name, values in fields.items():
        packing: dict[str, Any] = {}
        if len(values):
            packing = {"chunks": (min(CHUNK_EVENTS, len(values)),), **COMPRESSION}
        file.create_dataset(f"events/{name}", data=values, **packing)
    duration_ms = int(t_us[-1]) // 1000 if len(t_us) else 0
    if duration_ms < LONGEST_INDEX_MS:
        milliseconds = np.arange(duration_ms + 1, dtype=np.int64) * 1000
        index = np.searchsorted(t_us, milliseconds)
        file.create_dataset("ms_to_idx", data=index, **COMPRESSION)


def _write_frames(file: Any, frames: FrameSequence) -> None:
    shape = (len(frames), frames.height, frames.width, 3)
    data = file.create_dataset("frames", shape, np.uint8, chunks=(1, *shape[1:]), compression=1)
    for start in range(0, len(frames), CHUNK_FRAMES):
        stop = min(start + CHUNK_FRAMES, len(frames))
        data[start:stop] = frames.take(range(start, stop))
    if frames.start_us is not None and frames.end_us is not None:
        file["frame_start_us"], file["frame_end_us"] = frames.start_us, frames.end_us
