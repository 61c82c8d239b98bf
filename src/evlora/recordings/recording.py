"""A recording: what one sensor wrote in one go, events and frames."""

from dataclasses import dataclass, replace
from pathlib import Path

from evlora import moved
from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.pairing import paired
from evlora.recordings.triggers import Triggers


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Events, frames, or both; whatever the files do not hold is None.

    `events` is an `EventStream`, `frames` and `event_images` are `FrameSequence`s, all on one clock
    in microseconds. `warnings` and `remarks` hold what was wrong with the file or was detected.
    """

    events: EventStream | None
    frames: FrameSequence | None
    format: str
    """The format it was read from, as `evlora inspect` names it."""
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    """What was wrong with the file but could be borne; each was also warned of when reading."""
    remarks: tuple[str, ...] = ()
    """What was detected rather than declared, such as the unit of its times."""
    event_images: FrameSequence | None = None
    """Event images that somebody drew before, one for each frame where there are frames:
    a clip takes them as they are, and draws none from the events."""
    triggers: Triggers | None = None
    """Signals at the camera's inputs, where the format keeps them and there were some."""

    def __post_init__(self) -> None:
        if self.frames is None or self.event_images is None:
            return
        if len(self.frames) != len(self.event_images):
            raise RecordingError(
                f"{self.path or 'recording'}: expected one event image for each of "
                f"{len(self.frames)} frames, got {len(self.event_images)}; remove those "
                "without a partner"
            )

    def with_frames(self, frames: FrameSequence) -> "Recording":
        """The same recording with these frames; frames without times are spread over the events.

        Raises:
            RecordingError: It has frames of its own already.
        """
        if self.frames is not None:
            raise RecordingError(
                f"{self.path}: expected events alone beside separate frames, got a recording with "
                f"its own (number of frames: {len(self.frames)}); give it alone"
            )
        if self.events is not None and len(self.events) and not frames.is_timed:
            frames = frames.spread_over(self.events.first_us, self.events.last_us + 1)
        warnings_ = (*self.warnings, *self._clocks_that_differ(frames))
        return replace(self, frames=frames, warnings=warnings_)

    def with_event_images(self, event_images: FrameSequence) -> "Recording":
        """The same recording with these `event_images`, one for each frame.

        Frames and pictures without a partner are skipped, and a warning reports them; see
        `evlora.recordings.pairing` for what makes a pair.

        Raises:
            DatasetError: Nothing shows which pictures belong to which frames.
        """
        if self.frames is None:
            return replace(self, event_images=event_images)
        frames, event_images, skipped = paired(self.frames, event_images)
        return replace(
            self,
            frames=frames,
            event_images=event_images,
            warnings=self.warnings if skipped is None else (*self.warnings, skipped),
        )

    def _clocks_that_differ(self, frames: FrameSequence) -> tuple[str, ...]:
        events = self.events
        if events is None or not len(events) or frames.start_us is None or frames.end_us is None:
            return ()
        exposed_us = (int(frames.start_us[0]), int(frames.end_us[-1]))
        return clocks_that_differ(self.path, exposed_us, (events.first_us, events.last_us))


def clocks_that_differ(
    path: Path | None, frames_us: tuple[int, int], events_us: tuple[int, int]
) -> tuple[str, ...]:
    """The warning of frames and events, from first to last in µs, that never meet; else none."""
    if frames_us[0] <= events_us[1] and frames_us[1] >= events_us[0]:
        return ()
    return (
        f"{path}: the frames ({frames_us[0]} to {frames_us[1]} µs) and the events "
        f"({events_us[0]} to {events_us[1]} µs) have no moment in common; their clocks differ",
    )


__getattr__ = moved.names_of("evlora.recordings.recording")
