"""N-MNIST and N-Caltech101 records (`.bin`, `.bs2`).

Five bytes an event, big-endian: x, y, then one bit of polarity and 23 bits of time in µs
(Orchard et al., Frontiers in Neuroscience 2015, 9:437). The clock wraps at 2²³ µs. The file does
not say how large the sensor is.
"""

import warnings
from pathlib import Path

import numpy as np

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings.events import EventStream
from evlora.recordings.recording import Recording

NMNIST_SIZE = (34, 34)
NCALTECH_SIZE = (240, 180)
CLOCK_PERIOD_US = 1 << 23
"""The clock has 23 bits; a fall by more than half of it is a wrap, a smaller one is disorder."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events of one record.

    Args:
        path: The file.
        width: Columns of the sensor; 34 if all events fit N-MNIST's 34×34, else required.
        height: Rows of the sensor.

    Raises:
        RecordingError: No event, or events outside the sensor.

    Warns:
        RecordingWarning: Bytes at the end that make no whole event.
    """
    raw = np.fromfile(path, np.uint8)
    count, rest = divmod(len(raw), 5)
    if count == 0:
        raise RecordingError(f"{path}: expected N-MNIST records of 5 bytes, got {len(raw)} bytes")
    notes: list[str] = []
    if rest:
        notes.append(
            f"{path}: {rest} bytes after event {count} (byte {5 * count}) make no whole event; "
            f"the {count} events before them were read"
        )
        warnings.warn(notes[-1], RecordingWarning, stacklevel=3)
    record = raw[: 5 * count].reshape(count, 5).astype(np.int64)
    x, y = record[:, 0], record[:, 1]
    is_on = record[:, 2] >> 7 == 1
    clock = (record[:, 2] & 0x7F) << 16 | record[:, 3] << 8 | record[:, 4]
    t_us = clock + CLOCK_PERIOD_US * np.cumsum(np.diff(clock, prepend=0) < -CLOCK_PERIOD_US // 2)
    width, height = _sensor_size(path, int(x.max()), int(y.max()), width, height)
    events = EventStream.from_arrays(t_us, x, y, is_on, width=width, height=height, sort=True)
    return Recording(events, None, "nmnist", path, tuple(notes))


def _sensor_size(
    path: Path, last_x: int, last_y: int, width: int | None, height: int | None
) -> tuple[int, int]:
    if width is not None and height is not None:
        return width, height
    if last_x < NMNIST_SIZE[0] and last_y < NMNIST_SIZE[1]:
        return NMNIST_SIZE
    if last_x < NCALTECH_SIZE[0] and last_y < NCALTECH_SIZE[1]:
        return NCALTECH_SIZE
    raise RecordingError(
        f"{path}: events reach x = {last_x}, y = {last_y}, beyond N-MNIST (34×34) and "
        "N-Caltech101 (240×180), and the file does not say its sensor; give width and height"
    )
