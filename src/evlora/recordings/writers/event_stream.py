"""Event Stream 2.0 of DVS events, as `evlora.recordings.readers.event_stream` describes it.

The format has no clock, only the time since the event before. Times up to `LATEST_START_US` are
kept as the first event's; from later ones it is subtracted, with a warning.
"""

import warnings
from pathlib import Path

import numpy as np

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings.readers.event_stream import EVENT_BYTES, KINDS, MAGIC
from evlora.recordings.recording import Recording

VERSION_AND_KIND = bytes([2, 0, 0, 1])
LATEST_START_US = 3_600_000_000
"""An hour before the first event takes 28 MB of waiting."""
MOST_WAITING_BYTES = 1 << 26
CHUNK_EVENTS = 1 << 18


def write(recording: Recording, path: Path) -> None:
    """Write the events.

    Raises:
        RecordingError: The sensor is too large, or the gaps are too long.

    Warns:
        RecordingWarning: The times were moved to begin at zero.
    """
    events = recording.events
    assert events is not None
    if max(events.width, events.height) >= 1 << 16:
        raise RecordingError(f"a sensor of {events.width}×{events.height} is too large for es")
    last_us = 0
    if len(events) and not 0 <= events.first_us <= LATEST_START_US:
        last_us = events.first_us
        warnings.warn(
            f"es has no clock: the times were moved by {-last_us} µs to begin at 0",
            RecordingWarning,
            stacklevel=4,
        )
    kind = KINDS[VERSION_AND_KIND[-1]]
    if len(events) and (events.last_us - last_us) // kind.overflow_us > MOST_WAITING_BYTES:
        raise RecordingError(
            f"the events last {events.last_us - events.first_us} µs, whose waiting would take more "
            f"than {MOST_WAITING_BYTES >> 20} MB in es; write npz or hdf5"
        )
    sizes = events.width.to_bytes(2, "little") + events.height.to_bytes(2, "little")
    with path.open("wb") as file:
        file.write(MAGIC + VERSION_AND_KIND + sizes)
        for start in range(0, len(events), CHUNK_EVENTS):
            part = events.part(slice(start, start + CHUNK_EVENTS))
            waits, steps = np.divmod(np.diff(part.t_us, prepend=last_us), kind.overflow_us)
            last_us = int(part.t_us[-1])
            places = np.arange(len(part)) * EVENT_BYTES + np.cumsum(waits)
            data = np.full(int(places[-1]) + EVENT_BYTES, 0xFF, np.uint8)
            y = part.height - 1 - part.y
            data[places] = steps.astype(np.uint8) << kind.time_shift | part.polarity
            for byte, values in enumerate((part.x, part.x >> 8, y, y >> 8), start=1):
                data[places + byte] = (values & 0xFF).astype(np.uint8)
            data.tofile(file)
