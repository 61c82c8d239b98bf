"""A part of a recording as it stands in a table or is named on the command line."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from evlora.errors import RecordingError
from evlora.recordings.excerpts import begin_us, behind_us, between, chosen
from evlora.recordings.recording import Recording

BEYOND = 0.1
"""Share of a part that may lie behind the last event or frame: sensors rest when nothing moves."""
TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(s|ms|us|µs|)")
US_OF_UNIT = {"": 1_000_000, "s": 1_000_000, "ms": 1_000, "us": 1, "µs": 1}


@dataclass(frozen=True, slots=True)
class Part:
    """From `start` on, up to and without `end`."""

    start: int = 0
    """Microseconds from the recording's first event, or first frame where there are no events; or
    the number of a frame, from 0."""
    end: int | None = None
    """The same; None is the recording's end."""
    unit: Literal["us", "frame"] = "us"

    def __str__(self) -> str:
        end = "end" if self.end is None else str(self.end)
        return f"{self.start}-{end}{' µs' if self.unit == 'us' else ' frames'}"

    def overlaps(self, other: "Part") -> bool:
        """Whether the two have something in common, as far as that can be seen by numbers."""
        if self.unit != other.unit:
            return True
        ends_before = self.end is not None and self.end <= other.start
        begins_behind = other.end is not None and other.end <= self.start
        return not (ends_before or begins_behind)


def part_faults(start: float, end: float | None) -> str | None:
    """What is wrong with a start and an end in one unit, or None."""
    is_finite = start < float("inf") and (end is None or end < float("inf"))  # not so if NaN
    if not (is_finite and start >= 0):
        return f"expected a start of 0 or more and an end behind it, got {start:g} and {end}"
    if end is not None and end <= start:
        return f"expected an end behind the start, got {start:.12g} to {end:.12g}"
    return None


def microseconds(text: str) -> int:
    """A time such as 1.5s, 300ms or 20us; a number alone is of seconds.

    Raises:
        ValueError: It is none.
    """
    found = TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected a time such as 1.5s, 300ms or 20us, got {text!r}")
    return round(float(found[1]) * US_OF_UNIT[found[2]])


def part_of(recording: Recording, part: Part) -> Recording:
    """This part of a recording.

    A frame belongs to the moment at which its exposure ends. With numbers of frames, the events are
    those from the end of the frame before to the end of the last one.

    Args:
        recording: With events, frames, or both.
        part: Of it.

    Raises:
        RecordingError: It lies outside the recording or holds nothing, or numbers of frames or
            times are asked for that the recording does not have.
    """
    fault = part_faults(part.start, part.end)
    if fault is not None:
        raise RecordingError(f"{_name(recording)}: {fault}")
    found = _by_frames(recording, part) if part.unit == "frame" else _by_time(recording, part)
    if not any(len(one) for one in (found.events, found.frames, found.event_images) if one):
        raise RecordingError(
            f"{_name(recording)}: expected events or frames in the part {part}, found none; check "
            "its start and end"
        )
    return found


def _name(recording: Recording) -> str:
    return str(recording.path or "recording")


def _by_time(recording: Recording, part: Part) -> Recording:
    origin_us, stop_us = begin_us(recording), behind_us(recording)
    length_us = stop_us - origin_us
    end_us = length_us if part.end is None else part.end
    beyond_us = max(BEYOND * (end_us - part.start), _frame_interval_us(recording))
    if part.start >= length_us or end_us - length_us > beyond_us:
        raise RecordingError(
            f"{_name(recording)}: expected a part within the recording's {length_us} µs "
            f"({length_us / 1e6:.3f} s), counted from its first event or frame, got {part}; an "
            "empty end is the recording's"
        )
    # What comes before the first event, such as a frame, is part of the beginning.
    first_us = min(origin_us, _first_frame_us(recording)) if part.start == 0 else origin_us
    return between(recording, first_us + part.start, origin_us + end_us)


def _frame_interval_us(recording: Recording) -> float:
    """How long a frame is shown, the last one too; 0 where no times of frames are known."""
    frames = recording.frames or recording.event_images
    if frames is None or frames.end_us is None or len(frames) < 2:
        return 0
    return float(frames.end_us[-1] - frames.end_us[0]) / (len(frames) - 1)


def _first_frame_us(recording: Recording) -> int:
    frames = recording.frames
    return begin_us(recording) if frames is None or frames.end_us is None else int(frames.end_us[0])


def _by_frames(recording: Recording, part: Part) -> Recording:
    frames = recording.frames or recording.event_images
    if frames is None:
        raise RecordingError(
            f"{_name(recording)}: expected frames to count, the recording has none; give start and "
            "end as times"
        )
    end = len(frames) if part.end is None else part.end
    if end > len(frames) or part.start >= len(frames):
        raise RecordingError(
            f"{_name(recording)}: expected a part within the recording's {len(frames)} frames, "
            f"got {part}; frames are counted from 0"
        )
    places = range(part.start, end)
    events, ends_us = recording.events, frames.end_us
    if events is not None and ends_us is not None:
        from_us = int(ends_us[part.start - 1]) if part.start else begin_us(recording)
        events = events.between(from_us, int(ends_us[end - 1]))
    images = recording.event_images
    return replace(
        recording,
        events=events,
        frames=None if recording.frames is None else chosen(recording.frames, places),
        event_images=None if images is None else chosen(images, places),
    )
