"""Corruptions by name, in five strengths each: faults of a sensor as conditions of a test.

One is written as `NAME:STRENGTH`, such as `hot_pixels:3`; 1 is the weakest strength.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from evlora.errors import RecordingError
from evlora.messages import suggestion
from evlora.recordings.corruptions import events as of_events
from evlora.recordings.corruptions import frames as of_frames
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.recording import Recording

Target = Literal["event", "rgb", "both"]
STRENGTHS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Corruption:
    """A row of the table."""

    name: str
    target: Target
    """The modality that is damaged; both where they get out of step."""
    values: tuple[float, ...]
    """Of the strengths 1 to 5."""
    unit: str
    """What the values mean."""
    change: Callable[[Recording, float, np.random.Generator], Recording]


class Chosen(NamedTuple):
    """A corruption at a strength."""

    corruption: Corruption
    strength: int


def corrupted(recording: Recording, text: str, *, sample: str = "", seed: int = 0) -> Recording:
    """The recording as a faulty sensor would have written it.

    The same recording, sample and seed give the same faults; those of samples differ. What is
    damaged must be there in a form that can be: events, not event images drawn before.

    Args:
        recording: Events, frames, or both.
        text: NAME:STRENGTH, as `parse_corruption` takes it.
        sample: Name of the sample.
        seed: Of what is drawn.

    Raises:
        RecordingError: No corruption is called so, or its modality was drawn before.
    """
    chosen = parse_corruption(text)
    target = chosen.corruption.target
    if target != "rgb" and recording.events is None and recording.event_images is not None:
        raise RecordingError(
            f"{recording.path or sample or 'recording'}: expected events for the corruption "
            f"{chosen.corruption.name}, got event images that were drawn before; use the dataset "
            "before it was packed"
        )
    rng = np.random.default_rng([seed, zlib.crc32(f"{sample}/{chosen.corruption.name}".encode())])
    value = chosen.corruption.values[chosen.strength - 1]
    return chosen.corruption.change(recording, value, rng)


def parse_corruption(text: str) -> Chosen:
    """The corruption and the strength that a text names.

    Raises:
        RecordingError: There is no such corruption or strength.
    """
    name, _, strength = text.strip().partition(":")
    row = CORRUPTIONS.get(name)
    if row is None:
        raise RecordingError(f"no corruption is called {name!r}; {suggestion(name, CORRUPTIONS)}")
    if strength not in map(str, STRENGTHS):
        raise RecordingError(
            f"corruption {name}: expected a strength of 1 to 5, such as {name}:3, got {strength!r}"
        )
    return Chosen(row, int(strength))


def offset_in_time(recording: Recording, shift_us: float, rng: np.random.Generator) -> Recording:
    """Events and frames on clocks that differ: events are earlier or later by `shift_us`."""
    events = recording.events
    if events is None or recording.frames is None:
        return recording
    frames = recording.frames
    if not frames.is_timed and len(events):
        # Frames without times are spread over the events: over those that were there.
        frames = frames.spread_over(events.first_us, events.last_us + 1)
    times = events.t_us + round(shift_us) * _sign(rng)
    return replace(recording, events=replace(events, t_us=times), frames=frames)


def offset_in_space(recording: Recording, share: float, rng: np.random.Generator) -> Recording:
    """Events and frames whose pixels do not lie on one another.

    Events are shifted by `share` of the shorter side, at least one pixel, along both axes; those
    that leave the sensor are lost.
    """
    events = recording.events
    if events is None:
        return recording
    shift = max(1, round(share * min(events.width, events.height)))
    x = events.x.astype(np.int64) + shift * _sign(rng)
    y = events.y.astype(np.int64) + shift * _sign(rng)
    is_inside = (x >= 0) & (x < events.width) & (y >= 0) & (y < events.height)
    kept = events.chosen(is_inside)
    x, y = x[is_inside].astype(np.uint16), y[is_inside].astype(np.uint16)
    return replace(recording, events=replace(kept, x=x, y=y))


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _on_events(
    change: Callable[[EventStream, float, np.random.Generator], EventStream],
    recording: Recording,
    value: float,
    rng: np.random.Generator,
) -> Recording:
    events = recording.events
    if events is None or not len(events):
        return recording
    return replace(recording, events=change(events, value, rng))


def _on_frames(
    change: Callable[[FrameSequence, float, np.random.Generator], FrameSequence],
    recording: Recording,
    value: float,
    rng: np.random.Generator,
) -> Recording:
    frames = recording.frames
    return recording if frames is None else replace(recording, frames=change(frames, value, rng))


def _events(name: str, change: Any, values: tuple[float, ...], unit: str) -> Corruption:
    return Corruption(name, "event", values, unit, partial(_on_events, change))


def _frames(name: str, change: Any, values: tuple[float, ...], unit: str) -> Corruption:
    return Corruption(name, "rgb", values, unit, partial(_on_frames, change))


ROWS = (
    _events("hot_pixels", of_events.hot_pixels, (0.002, 0.005, 0.01, 0.02, 0.05), "of the pixels"),
    _events("noise_bursts", of_events.noise_bursts, (2, 5, 10, 20, 50), "events/s of a pixel"),
    _events("dropped_packets", of_events.dropped_packets, (0.1, 0.3, 0.5, 0.7, 0.9), "of them"),
    _events("dead_half", of_events.dead_half, (0.1, 0.2, 0.3, 0.4, 0.5), "of the sensor"),
    _events("time_jitter", of_events.time_jitter, (1e3, 3e3, 1e4, 3e4, 1e5), "µs"),
    _events("threshold_drift", of_events.threshold_drift, (1.5, 2, 3, 5, 10), "times, at the end"),
    _events("flicker", of_events.flicker, (0.01, 0.02, 0.05, 0.1, 0.2), "of the pixels"),
    _frames("frames_lost", of_frames.frames_lost, (0.2, 0.4, 0.6, 0.8, 1.0), "of them"),
    _frames("frames_blurred", of_frames.frames_blurred, (0.01, 0.02, 0.04, 0.06, 0.1), "of a side"),
    _frames("frames_overexposed", of_frames.frames_exposed, (1.5, 2, 3, 5, 10), "times the light"),
    _frames(
        "frames_underexposed", of_frames.frames_exposed, (0.5, 0.2, 0.1, 0.05, 0.02), "of the light"
    ),
    _frames("frames_noisy", of_frames.frames_noisy, (0.08, 0.12, 0.18, 0.26, 0.38), "of white"),
    Corruption("time_offset", "both", (5e3, 1e4, 2e4, 5e4, 1e5), "µs", offset_in_time),
    Corruption("pixel_offset", "both", (0.01, 0.03, 0.06, 0.1, 0.15), "of a side", offset_in_space),
)
CORRUPTIONS = {row.name: row for row in ROWS}
"""The corruptions by name."""
