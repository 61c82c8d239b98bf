"""A recording: what one sensor wrote in one go, events and frames."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Events, frames, or both; whichever the file does not hold is None."""

    events: EventStream | None
    frames: FrameSequence | None
    format: str
    """The format it was read from, as `evlora inspect` names it."""
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    """What was wrong with the file but could be borne; each was also warned of when reading."""
    remarks: tuple[str, ...] = ()
    """What was detected rather than declared, such as the unit of its times."""

    def with_frames(self, frames: FrameSequence) -> "Recording":
        """The same recording with these frames; frames without times are spread over the events.

        Raises:
            RecordingError: It has frames of its own already.
        """
        if self.frames is not None:
            raise RecordingError(
                f"{self.path}: has {len(self.frames)} frames of its own already; "
                "leave the separate frames out"
            )
        if self.events is not None and len(self.events) and not frames.is_timed:
            frames = frames.spread_over(self.events.first_us, self.events.last_us + 1)
        warnings_ = (*self.warnings, *self._clocks_that_differ(frames))
        return replace(self, frames=frames, warnings=warnings_)

    def _clocks_that_differ(self, frames: FrameSequence) -> tuple[str, ...]:
        events = self.events
        if events is None or not len(events) or frames.start_us is None or frames.end_us is None:
            return ()
        first_us, last_us = int(frames.start_us[0]), int(frames.end_us[-1])
        if first_us <= events.last_us and last_us >= events.first_us:
            return ()
        return (
            f"{self.path}: the frames ({first_us} to {last_us} µs) and the events "
            f"({events.first_us} to {events.last_us} µs) have no moment in common; "
            "their clocks differ",
        )


def open_recording(
    path: str | Path,
    *,
    frames: str | Path | Sequence[str | Path] | None = None,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
) -> Recording:
    """The recording in this file or folder.

    The suffix picks the reader, the header confirms it.

    Args:
        path: A recording of any format in the table of `evlora.recordings.readers`.
        frames: Pictures, a folder of them, or a video that belong to the events in `path`.
        format: The name of a format, where the suffix does not tell.
        width: Columns of the sensor, for formats whose files do not say.
        height: Rows of the sensor, likewise.

    Raises:
        RecordingError: The file is missing, of no known format, or holds nothing readable.

    Warns:
        RecordingWarning: The file is damaged, and what came before the damage is returned; or
            frames and events have no moment in common.
    """
    from evlora.recordings.readers import open_frames, reader_for

    source = Path(path)
    if not source.exists():
        raise RecordingError(f"{source}: no such file or folder; check the path")
    reader = reader_for(source, format)
    recording = reader.read(source, width=width, height=height)
    if frames is not None:
        recording = recording.with_frames(open_frames(frames))
    for warning in recording.warnings:
        warnings.warn(warning, RecordingWarning, stacklevel=2)
    return recording
