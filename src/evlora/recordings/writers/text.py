"""CSV: a comment with the sensor's size, the names of the columns, one event a line in µs."""

from pathlib import Path

import numpy as np

from evlora.recordings.recording import Recording

CHUNK_EVENTS = 1 << 16


def write(recording: Recording, path: Path) -> None:
    """Write the events."""
    events = recording.events
    assert events is not None
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(f"# width={events.width} height={events.height}\nt_us,x,y,p\n")
        for start in range(0, len(events), CHUNK_EVENTS):
            part = events.part(slice(start, start + CHUNK_EVENTS))
            rows = np.stack([part.t_us, part.x, part.y, part.polarity], axis=1, dtype=np.int64)
            file.write("%d,%d,%d,%d\n" * len(part) % tuple(rows.ravel().tolist()))
