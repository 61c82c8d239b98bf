"""Frames and events of two sensors on one clock and one grid of pixels: found, and corrected.

Where something becomes brighter, an event camera sends ON events; where it becomes darker, OFF
events. So what a simulated sensor sends from one frame to the next and what the real one sent in
the same time agree, block of pixels by block, when the two clocks do: the offset is where the
correlation of both is highest. The change of brightness itself would not do: a pixel fires when a
change has reached its threshold, which made the offset 7 to 12 ms too large on simulated pairs.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.recording import Recording
from evlora.recordings.simulator import EventSimulator, SensorModel

BLOCKS = (12, 16)
"""Rows and columns of blocks that both modalities are summed in: so coarse that a shift of some
pixels between the sensors matters little."""
MOST_FRAMES = 60
"""Frames that are looked at, by default."""
FEWEST_FRAMES = 8
REACH_US = 100_000
"""The largest offset that is looked for, either way."""
STEP_US = 500
MOST_PIXELS = 20_000
"""Of a larger frame every second, third, … pixel is looked at, each way."""
THRESHOLDS = (0.05, 1.0)
"""The least and the highest threshold of a pixel that is assumed."""
FIELDS = ("t_us", "x", "y", "polarity")
FIT_STEPS = 12
"""Steps on each side of the highest place that a parabola is fitted to: 6 ms."""
SURE_CORRELATION = 0.3
"""Below, frames and events have too little in common to name an offset."""
SURE_DROP = 0.02
"""How much lower the correlation must be at the far ends, to call its highest place a peak."""
OUT_OF_STEP_US = 4_000
"""From this offset on `inspect` cautions; what is found is within 2 ms on simulated pairs."""

Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the clock of the events is from that of the frames."""

    events_late_us: int
    """By how much the events come later than what the frames show; negative: earlier."""
    correlation: float
    """Of the frames' expected events and those that came, at this offset, 0…1."""

    @property
    def is_out_of_step(self) -> bool:
        """Whether it is more than an estimate may be wrong by."""
        return abs(self.events_late_us) >= OUT_OF_STEP_US


def find_offset(
    recording: Recording, *, reach_us: int = REACH_US, most_frames: int = MOST_FRAMES
) -> Offset | None:
    """The offset between events and frames.

    Args:
        recording: With events and timed frames of about the same field of view.
        reach_us: The largest offset that is looked for, either way.
        most_frames: How many are looked at, from the middle of the recording.

    Returns:
        The offset; None where there is no telling: without both modalities, with fewer than
        `FEWEST_FRAMES` frames, or where too little happens.
    """
    events, frames = recording.events, recording.frames
    if events is None or not len(events) or frames is None or frames.end_us is None:
        return None
    first = max(0, (len(frames) - most_frames) // 2)
    numbers = list(range(first, min(len(frames), first + most_frames)))
    if len(numbers) < FEWEST_FRAMES:
        return None
    middles_us = _middles_us(frames)[numbers]
    if (np.diff(middles_us) <= 0).any():
        return None
    rate = len(events.between(int(middles_us[0]), int(middles_us[-1]))) / _pixels(events)
    simulated = _simulated(frames, numbers, middles_us, rate)
    expected = np.diff(_running_counts(simulated, middles_us), axis=0)
    found = _highest(expected, events, middles_us, reach_us)
    # What was simulated is in step: where it is found is what the way of looking is wrong by.
    itself = _highest(expected, simulated, middles_us, reach_us)
    if found is None or itself is None:
        return None
    return Offset(found.events_late_us - itself.events_late_us, found.correlation)


def shifted(recording: Recording, by_us: int) -> Recording:
    """The same recording with its events, and signals at its inputs, later by a time."""
    events, triggers = recording.events, recording.triggers
    if events is not None:
        events = replace(events, t_us=events.t_us + by_us)
    if triggers is not None:
        triggers = replace(triggers, t_us=triggers.t_us + by_us)
    return replace(recording, events=events, triggers=triggers)


def aligned(recording: Recording) -> tuple[Recording, Offset]:
    """The recording with its events shifted by the offset that was found.

    Raises:
        RecordingError: No offset can be found.
    """
    found = find_offset(recording)
    if found is None:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected events and at least {FEWEST_FRAMES} timed "
            "frames of one moving scene to find an offset, found no agreement of the two; give "
            "the offset with --shift-ms"
        )
    return shifted(recording, -found.events_late_us), found


def read_homography(path: Path) -> NDArray[np.float64]:
    """A 3 × 3 matrix from a file: JSON (a list of rows), .npy, or nine numbers as text.

    Raises:
        RecordingError: It is no such file, or its matrix cannot be inverted.
    """
    try:
        if path.suffix.lower() == ".npy":
            matrix = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".json":
            matrix = json.loads(path.read_text(encoding="utf-8"))
        else:
            matrix = np.loadtxt(path, delimiter=None, ndmin=2)
        matrix = np.asarray(matrix, np.float64).reshape(3, 3)
    except (OSError, ValueError, TypeError) as error:
        raise RecordingError(
            f"{path}: expected a homography of 3 × 3 numbers as text, .json or .npy: {error}"
        ) from error
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise RecordingError(f"{path}: expected a homography that can be inverted, got {matrix}")
    return matrix


def warped(recording: Recording, homography: NDArray[np.float64]) -> Recording:
    """The events on the pixels of the frames; those that fall outside are dropped.

    Args:
        recording: With events; without frames the sensor's size stays.
        homography: From (x, y, 1) of an event to that of the frames, up to a factor; shape (3, 3).

    Raises:
        RecordingError: It has no events, or none falls onto the frames.
    """
    events = recording.events
    if events is None:
        raise RecordingError(f"{recording.path or 'recording'}: expected events to warp, got none")
    size = events if recording.frames is None else recording.frames
    # Each pixel of the sensor once, however many events it sent.
    rows, columns = np.mgrid[: events.height, : events.width]
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    u, v, w = homography @ pixels
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = np.rint(u / w), np.rint(v / w)
    is_inside = (w != 0) & (x >= 0) & (x < size.width) & (y >= 0) & (y < size.height)
    of_event = events.y.astype(np.int64) * events.width + events.x
    kept = is_inside[of_event]
    if len(events) and not kept.any():
        raise RecordingError(
            f"{recording.path or 'recording'}: no event falls onto the frames by this homography; "
            "it may lead from the frames to the events: give its inverse"
        )
    of_event = of_event[kept]
    moved = EventStream.from_arrays(
        events.t_us[kept],
        x[of_event].astype(np.int64),
        y[of_event].astype(np.int64),
        events.polarity[kept],
        width=size.width,
        height=size.height,
    )
    return replace(recording, events=moved)


def _middles_us(frames: FrameSequence) -> NDArray[np.int64]:
    assert frames.start_us is not None  # timed, as the caller saw
    assert frames.end_us is not None
    return (frames.start_us + frames.end_us) // 2


def _simulated(
    frames: FrameSequence, numbers: list[int], times_us: NDArray[np.int64], rate: float
) -> EventStream:
    """What a sensor without noise would send of these frames.

    Args:
        frames: What it sees.
        numbers: Of the frames that are shown to it.
        times_us: Of these frames.
        rate: Events that came per pixel; the threshold is the one that makes about as many.
    """
    step = max(1, math.ceil(math.sqrt(frames.height * frames.width / MOST_PIXELS)))
    images = [frames[number][::step, ::step] for number in numbers]
    usual = SensorModel().positive_threshold
    sent = _sent(images, times_us, usual)
    fitting = float(np.clip(usual * len(sent) / _pixels(sent) / max(rate, 1e-9), *THRESHOLDS))
    return sent if 0.8 < fitting / usual < 1.25 else _sent(images, times_us, fitting)


def _sent(images: list[ImageArray], times_us: NDArray[np.int64], threshold: float) -> EventStream:
    height, width = images[0].shape[:2]
    sensor = SensorModel(
        positive_threshold=threshold,
        negative_threshold=threshold,
        leak_rate_hz=0,
        shot_noise_rate_hz=0,
    )
    simulator = EventSimulator(width=width, height=height, sensor=sensor)
    parts = [simulator.push(*one) for one in zip(images, times_us.tolist(), strict=True)]
    fields = (np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS)
    return EventStream.from_arrays(*fields, width=width, height=height, sort=True)


def _highest(
    expected: Grid, events: EventStream, times_us: NDArray[np.int64], reach_us: int
) -> Offset | None:
    """Where events agree most with what is expected between these times."""
    steps = -(-reach_us // STEP_US)
    offsets_us = STEP_US * np.arange(-steps, steps + 1)
    bins_us = np.arange(times_us[0] - reach_us, times_us[-1] + reach_us + STEP_US, STEP_US)
    counts = _running_counts(events, bins_us)
    correlations = [
        _correlation(expected, np.diff(_at(counts, bins_us, times_us + offset), axis=0))
        for offset in offsets_us
    ]
    return _peak(offsets_us, np.array(correlations))


def _pixels(events: EventStream) -> int:
    return events.width * events.height


def _block_of(events: EventStream) -> NDArray[np.int64]:
    row_of, column_of = _blocks_of(events.height, events.width)
    return row_of[events.y] * BLOCKS[1] + column_of[events.x]


def _blocks_of(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = np.arange(height, dtype=np.int64) * BLOCKS[0] // height
    return rows, np.arange(width, dtype=np.int64) * BLOCKS[1] // width


def _running_counts(events: EventStream, times_us: NDArray[np.int64]) -> Grid:
    """ON minus OFF events of each block from the first time to each, shape (T, blocks)."""
    near = events.between(int(times_us[0]), int(times_us[-1]))
    blocks = BLOCKS[0] * BLOCKS[1]
    place = np.searchsorted(times_us, near.t_us, side="right")
    signs = np.where(near.polarity, 1.0, -1.0)
    flat = np.bincount(place * blocks + _block_of(near), signs, len(times_us) * blocks)
    return flat.reshape(len(times_us), blocks).cumsum(axis=0)


def _at(counts: Grid, bins_us: NDArray[np.int64], times_us: NDArray[np.int64]) -> Grid:
    """The counts at times between the bins."""
    places = np.clip((times_us - bins_us[0]) / STEP_US, 0, len(bins_us) - 1)
    lower = np.minimum(places.astype(np.int64), len(bins_us) - 2)
    share = (places - lower)[:, None]
    return (1 - share) * counts[lower] + share * counts[lower + 1]


def _correlation(expected: Grid, signed_events: Grid) -> float:
    """How much both agree, −1…1."""
    norm = float(np.linalg.norm(expected) * np.linalg.norm(signed_events))
    return float((expected * signed_events).sum()) / norm if norm else 0.0


def _peak(offsets_us: NDArray[np.int64], correlations: NDArray[np.float64]) -> Offset | None:
    """The highest place, between the steps as well; None where it is none."""
    best = int(correlations.argmax())
    highest = float(correlations[best])
    far = float(max(correlations[0], correlations[-1]))
    if highest < SURE_CORRELATION or highest - far < SURE_DROP:
        return None
    reach = min(best, len(correlations) - 1 - best, FIT_STEPS)
    if reach == 0:
        return None
    near = slice(best - reach, best + reach + 1)
    curve = np.polyfit(offsets_us[near] - offsets_us[best], correlations[near], 2)
    between_us = -curve[1] / (2 * curve[0]) if curve[0] < 0 else 0.0
    return Offset(round(float(offsets_us[best]) + float(between_us)), highest)
