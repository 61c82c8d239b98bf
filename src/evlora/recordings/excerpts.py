"""Parts of a recording: of its time, of its sensor, at fewer pixels, and between triggers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence, FrameSource, ImageArray
from evlora.recordings.recording import Recording


@dataclass(frozen=True, slots=True)
class ChosenFrames:
    """Some of another source's frames."""

    source: FrameSource
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        return self.source.read([self.indices[index] for index in indices])


@dataclass(frozen=True, slots=True)
class CroppedFrames:
    """A rectangle of another source's frames."""

    source: FrameSource
    rows: slice
    columns: slice

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        return self.source.read(indices)[:, self.rows, self.columns]


@dataclass(frozen=True, slots=True)
class ReducedFrames:
    """Another source's frames at fewer pixels: each is the mean of a square."""

    source: FrameSource
    factor: int

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        images = self.source.read(indices)
        count, height, width, channels = images.shape
        height, width = height // self.factor, width // self.factor
        squares = images[:, : height * self.factor, : width * self.factor].reshape(
            count, height, self.factor, width, self.factor, channels
        )
        return squares.mean(axis=(2, 4)).round().astype(np.uint8)


def between(recording: Recording, start_us: int, end_us: int) -> Recording:
    """The part of a recording with start_us ≤ t < end_us.

    A frame counts by the end of its exposure.

    Raises:
        RecordingError: The end is not behind the start, or frames have no times.
    """
    if end_us <= start_us:
        raise RecordingError(f"excerpt: expected an end behind {start_us} µs, got {end_us} µs")
    frames, images = recording.frames, recording.event_images
    timed = frames or images
    if timed is not None:
        if timed.end_us is None:
            raise RecordingError(
                f"{recording.path or 'excerpt'}: expected frames with times, these have none"
            )
        first, stop = np.searchsorted(timed.end_us, [start_us, end_us], side="left").tolist()
        frames = None if frames is None else chosen(frames, range(first, stop))
        images = None if images is None else chosen(images, range(first, stop))
    return replace(
        recording,
        events=None if recording.events is None else recording.events.between(start_us, end_us),
        frames=frames,
        event_images=images,
        triggers=None
        if recording.triggers is None
        else recording.triggers.between(start_us, end_us),
    )


def begin_us(recording: Recording) -> int:
    """When a recording begins: with its first event, else its first frame.

    Raises:
        RecordingError: It has no events, and no frames with times.
    """
    if recording.events is not None and len(recording.events):
        return recording.events.first_us
    frames = recording.frames or recording.event_images
    if frames is not None and frames.end_us is not None:
        return int(frames.end_us[0])
    raise RecordingError(
        f"{recording.path or 'recording'}: expected events or frames with times, got neither"
    )


def behind_us(recording: Recording) -> int:
    """A time behind everything in a recording; raises what `begin_us` does."""
    ends = [begin_us(recording)]
    if recording.events is not None and len(recording.events):
        ends.append(recording.events.last_us)
    frames = recording.frames or recording.event_images
    if frames is not None and frames.end_us is not None:
        ends.append(int(frames.end_us[-1]))
    return max(ends) + 1


def cropped(recording: Recording, *, x: int, y: int, width: int, height: int) -> Recording:
    """The part of a recording within a rectangle of its pixels, which becomes the sensor.

    Raises:
        RecordingError: The rectangle reaches beyond the sensor or the frames.
    """
    events = recording.events
    for what in (events, recording.frames, recording.event_images):
        if what is None:
            continue
        fits = 0 <= x < x + width <= what.width and 0 <= y < y + height <= what.height
        if not fits:
            raise RecordingError(
                f"crop: expected a rectangle within {what.width}×{what.height} pixels, got "
                f"{width}×{height} from ({x}, {y}) on"
            )
    if events is not None:
        is_inside = (events.x >= x) & (events.x < x + width)
        is_inside &= (events.y >= y) & (events.y < y + height)
        events = EventStream.from_arrays(
            events.t_us[is_inside],
            events.x[is_inside] - np.uint16(x),
            events.y[is_inside] - np.uint16(y),
            events.polarity[is_inside],
            width=width,
            height=height,
        )

    def part(frames: FrameSequence | None) -> FrameSequence | None:
        if frames is None:
            return None
        source = CroppedFrames(frames.source, slice(y, y + height), slice(x, x + width))
        return replace(frames, source=source, width=width, height=height)

    return replace(
        recording,
        events=events,
        frames=part(recording.frames),
        event_images=part(recording.event_images),
    )


def downsampled(recording: Recording, factor: int) -> Recording:
    """The recording at 1/factor of its columns and rows; all events are kept, frames are averaged.

    Columns and rows that make no whole pixel any more are cut off, with their events.

    Raises:
        RecordingError: The factor is below 1, or leaves no pixel.
    """
    events = recording.events
    sides = [
        side
        for what in (events, recording.frames)
        if what is not None
        for side in (what.width, what.height)
    ]
    if factor < 1 or any(side < factor for side in sides):
        raise RecordingError(f"downsample: expected a factor of 1 to {min(sides)}, got {factor}")
    if events is not None:
        whole = (events.width // factor * factor, events.height // factor * factor)
        inside = cropped(
            Recording(events, None, ""), x=0, y=0, width=whole[0], height=whole[1]
        ).events
        assert inside is not None
        events = EventStream.from_arrays(
            inside.t_us,
            inside.x // np.uint16(factor),
            inside.y // np.uint16(factor),
            inside.polarity,
            width=whole[0] // factor,
            height=whole[1] // factor,
        )

    def reduced(frames: FrameSequence | None) -> FrameSequence | None:
        if frames is None:
            return None
        source = ReducedFrames(frames.source, factor)
        size = {"width": frames.width // factor, "height": frames.height // factor}
        return replace(frames, source=source, **size)

    return replace(
        recording,
        events=events,
        frames=reduced(recording.frames),
        event_images=reduced(recording.event_images),
    )


def split_at_triggers(
    recording: Recording, *, channel: int | None = None, polarity: int | None = None
) -> Iterator[Recording]:
    """The samples of a recording: from each trigger to the next, and from the last one on.

    What came before the first trigger belongs to no sample.

    Args:
        recording: With triggers.
        channel: Only triggers of this input; None takes all.
        polarity: Only rising (1), falling (−1) or other (0) ones; None takes all.

    Raises:
        RecordingError: There is no such trigger.
    """
    triggers = recording.triggers
    wanted = None if triggers is None else triggers.chosen(channel, polarity)
    if wanted is None or not len(wanted):
        held = "none" if triggers is None else f"inputs {np.unique(triggers.channel).tolist()}"
        raise RecordingError(
            f"{recording.path or 'recording'}: expected triggers to split at"
            f" (channel {channel}, polarity {polarity}; None is any), got {held}"
        )
    events, frames = recording.events, recording.frames
    ends = [int(wanted.t_us[-1])]
    if events is not None and len(events):
        ends.append(events.last_us)
    if frames is not None and frames.end_us is not None:
        ends.append(int(frames.end_us[-1]))
    borders = [*np.unique(wanted.t_us).tolist(), max(ends) + 1]
    for start_us, end_us in pairwise(borders):
        yield between(recording, start_us, end_us)


def chosen(frames: FrameSequence, places: range) -> FrameSequence | None:
    """The frames of these numbers; None where there is no number."""
    if not len(places):
        return None
    part = slice(places.start, places.stop)
    return replace(
        frames,
        source=ChosenFrames(frames.source, tuple(places)),
        start_us=None if frames.start_us is None else frames.start_us[part],
        end_us=None if frames.end_us is None else frames.end_us[part],
    )
