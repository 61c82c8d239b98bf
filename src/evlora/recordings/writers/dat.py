"""Prophesee DAT, version 2, as `evlora.recordings.readers.dat` describes it.

The clock has 32 bits: times from 2³² µs on — 71 minutes — are kept by a header line of this
library, as long as the recording itself is shorter.
"""

from pathlib import Path

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.readers.prophesee_header import TIME_BASE_FIELD
from evlora.recordings.recording import Recording

LARGEST_SENSOR_PX = 1 << 14
CLOCK_PERIOD_US = 1 << 32
CD_EVENTS, EVENT_BYTES = 0x0C, 8
CHUNK_EVENTS = 1 << 18


def write(recording: Recording, path: Path) -> None:
    """Write the events.

    Raises:
        RecordingError: The sensor is too large, or a gap between two events longer than half of
            the clock's period, which a reader would take for a turn back.
    """
    events = recording.events
    assert events is not None
    if max(events.width, events.height) > LARGEST_SENSOR_PX:
        raise RecordingError(
            f"a sensor of {events.width}×{events.height} is too large for DAT, whose coordinates "
            f"end at {LARGEST_SENSOR_PX - 1}; write npz, hdf5 or csv"
        )
    longest_us = int(np.diff(events.t_us).max()) if len(events) > 1 else 0
    if longest_us >= CLOCK_PERIOD_US // 2:
        raise RecordingError(
            f"the events have a gap of {longest_us} µs, which the clock of DAT cannot show; write "
            "npz, hdf5 or evt2"
        )
    base_us = events.first_us // CLOCK_PERIOD_US * CLOCK_PERIOD_US if len(events) else 0
    lines = ["Data file containing CD events.", "Version 2"]
    lines += [f"Width {events.width}", f"Height {events.height}"]
    if base_us:
        lines.append(f"{TIME_BASE_FIELD} {base_us}")
    with path.open("wb") as file:
        file.write("".join(f"% {line}\n" for line in lines).encode("ascii"))
        file.write(bytes([CD_EVENTS, EVENT_BYTES]))
        for start in range(0, len(events), CHUNK_EVENTS):
            part = events.part(slice(start, start + CHUNK_EVENTS))
            words = np.empty((len(part), 2), "<u4")
            words[:, 0] = (part.t_us - base_us) % CLOCK_PERIOD_US
            words[:, 1] = part.polarity.astype(np.uint32) << 28 | part.y.astype(np.uint32) << 14
            words[:, 1] |= part.x
            words.tofile(file)
