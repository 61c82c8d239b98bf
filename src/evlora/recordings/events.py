"""The event stream: what an event camera wrote, as one array per field."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evlora.errors import RecordingError

TimeArray = NDArray[np.int64]
CoordinateArray = NDArray[np.uint16]
PolarityArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class EventStream:
    """N events in the order of time, with the size of the sensor that saw them.

    The four arrays have shape (N,) and are read-only: `t_us` in microseconds, never falling; `x`
    and `y`, columns from the left and rows from the top, in pixels; `polarity`, true where it
    became brighter. Make one with `from_arrays`, which checks; the plain constructor is for callers
    whose arrays are known to be right.
    """

    t_us: TimeArray
    """Time of each event in microseconds, never falling."""
    x: CoordinateArray
    """Column, 0 at the left."""
    y: CoordinateArray
    """Row, 0 at the top."""
    polarity: PolarityArray
    """True where it became brighter (ON), False where darker (OFF)."""
    width: int
    """Columns of the sensor."""
    height: int
    """Rows of the sensor."""

    @classmethod
    def from_arrays(
        cls,
        t_us: ArrayLike,
        x: ArrayLike,
        y: ArrayLike,
        polarity: ArrayLike,
        *,
        width: int,
        height: int,
        sort: bool = False,
    ) -> "EventStream":
        """The checked stream of these events; the arguments stay as they are.

        Args:
            t_us: Times in microseconds, shape (N,).
            x: Columns in [0, width), shape (N,).
            y: Rows in [0, height), shape (N,).
            polarity: Shape (N,); booleans, 0 and 1, or −1 and 1.
            width: Columns of the sensor.
            height: Rows of the sensor.
            sort: Put the events in the order of time first; events of equal time keep theirs.

        Raises:
            RecordingError: Lengths differ, a value is not what its field allows, an event lies
                outside the sensor, or time runs backwards and `sort` is off.
        """
        if width < 1 or height < 1:
            raise RecordingError(
                f"event stream: expected a sensor of at least 1×1, got {width}×{height}"
            )
        times = _whole_numbers(t_us, "t_us")
        columns, rows = _whole_numbers(x, "x"), _whole_numbers(y, "y")
        is_on = _polarities(polarity)
        lengths = {"t_us": len(times), "x": len(columns), "y": len(rows), "polarity": len(is_on)}
        if len(set(lengths.values())) > 1:
            raise RecordingError(f"event stream: expected fields of one length, got {lengths}")
        _require_inside(columns, width, "x", f"{width}×{height}")
        _require_inside(rows, height, "y", f"{width}×{height}")
        backwards = np.flatnonzero(times[1:] < times[:-1])
        if len(backwards) and not sort:
            at = int(backwards[0]) + 1
            raise RecordingError(
                f"event stream: time runs backwards {len(backwards)} times, first at event {at} "
                f"({times[at - 1]} → {times[at]} µs); pass sort=True to put the events in order"
            )
        if len(backwards):
            order = np.argsort(times, kind="stable")
            times, columns, rows, is_on = times[order], columns[order], rows[order], is_on[order]
        return cls(
            _read_only(times.astype(np.int64, copy=False)),
            _read_only(columns.astype(np.uint16, copy=False)),
            _read_only(rows.astype(np.uint16, copy=False)),
            _read_only(is_on),
            width,
            height,
        )

    @classmethod
    def empty(cls, *, width: int, height: int) -> "EventStream":
        """A stream without events, of a sensor of `width` columns and `height` rows."""
        return cls.from_arrays([], [], [], [], width=width, height=height)

    def __len__(self) -> int:
        return len(self.t_us)

    @property
    def first_us(self) -> int:
        """Time of the first event. Raises RecordingError when there is none."""
        self._require_events()
        return int(self.t_us[0])

    @property
    def last_us(self) -> int:
        """Time of the last event. Raises RecordingError when there is none."""
        self._require_events()
        return int(self.t_us[-1])

    def between(self, start_us: int, end_us: int) -> "EventStream":
        """The events with start_us ≤ t < end_us: a view, found by binary search."""
        first, stop = np.searchsorted(self.t_us, [start_us, end_us], side="left")
        return self.part(slice(int(first), int(stop)))

    def part(self, index: slice) -> "EventStream":
        """The events of a slice by number, as a view; the step of `index`, if any, is positive."""
        return EventStream(
            self.t_us[index],
            self.x[index],
            self.y[index],
            self.polarity[index],
            self.width,
            self.height,
        )

    def chosen(self, index: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> "EventStream":
        """Some of the events.

        Args:
            index: A mask of shape (N,), or numbers that never fall.
        """
        return EventStream(
            self.t_us[index],
            self.x[index],
            self.y[index],
            self.polarity[index],
            self.width,
            self.height,
        )

    def _require_events(self) -> None:
        if not len(self):
            raise RecordingError("event stream: expected at least one event, got an empty stream")


def _whole_numbers(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise RecordingError(f"event stream: expected {name} of shape (N,), got {array.shape}")
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise RecordingError(
            f"event stream: expected {name} as whole numbers, got {array.dtype}; "
            "times in seconds are converted before, not here"
        )
    return array


def _polarities(values: ArrayLike) -> PolarityArray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise RecordingError(f"event stream: expected polarity of shape (N,), got {array.shape}")
    if array.dtype == np.bool_:
        return array
    is_allowed = not array.size or (array.min() >= -1 and array.max() <= 1)
    if not is_allowed or (array.dtype.kind not in "iu" and not np.isin(array, (-1, 0, 1)).all()):
        raise RecordingError(
            "event stream: expected polarity as booleans, 0 and 1, or −1 and 1, "
            f"got values from {array.min()} to {array.max()}"
        )
    return array > 0


def _require_inside(values: NDArray[Any], size: int, name: str, sensor: str) -> None:
    if not values.size:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= size:
        outside = int(((values < 0) | (values >= size)).sum())
        raise RecordingError(
            f"event stream: expected {name} in 0…{size - 1} for a {sensor} sensor, "
            f"got {low}…{high} ({outside} events outside); give the sensor's true size"
        )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
