"""Events from the raw values of t, x, y and p, as text, npy, npz, HDF5 and MATLAB files hold them.

Where nothing states the unit of the times, whole ones are µs, times with fractions are seconds, and
whole ones of the size of today's nanoseconds since 1970 are those.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import EventChunk, Findings
from evlora.recordings.readers.fields import FIELDS, UNIT_NS

CLOCK_PERIOD = 1 << 32
"""Of whole times of 32 bits, which begin again when they are full: in µs after 71 minutes."""
EPOCH_NS = (10**18, 4 * 10**18)
"""Nanoseconds since 1970 from 2001 to 2096; as µs they would be 30,000 years and more."""
EPOCH_MS = (10**12, 4 * 10**12)
"""Milliseconds since 1970 of the same years, or µs of a clock that runs for 11 to 46 days."""
LATEST_SECONDS = 10**11
"""Times with fractions beyond 3,000 years are no seconds."""


class FieldDecoder:
    """Turns raw fields into events, chunk by chunk, with one decision on units and polarities."""

    def __init__(
        self,
        findings: Findings,
        *,
        unit: str | None = None,
        unit_by: str = "",
        offset_us: int = 0,
        may_count_from_one: bool = False,
    ) -> None:
        """A decoder for one file.

        Args:
            findings: Where to note what was detected.
            unit: Of the times; None to detect it in the first chunk.
            unit_by: What states the unit, for the remark.
            offset_us: To add to all times.
            may_count_from_one: Whether polarities of 1 and 2 are OFF and ON and columns and rows
                without a 0 begin at 1, as in MATLAB files by the tools of N-MNIST's authors.
        """
        self.findings = findings
        self.unit = unit
        self.count = 0
        self._offset_us = offset_us
        self._may_count_from_one = may_count_from_one
        self._first_polarity = 0
        self._first_pixel = 0
        self._is_whole = False
        self._off: int | None = None
        self._neither = 0
        self._clock = WrappingClock(CLOCK_PERIOD)
        if unit is not None:
            findings.remark(f"times were read as {unit}{', ' if unit_by else ''}{unit_by}")

    def decoded(self, pieces: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[EventChunk]:
        """The events of all pieces, and the report behind them; see `decode`."""
        for piece in pieces:
            yield self.decode(piece)
        self.report()

    def decode(self, fields: Mapping[str, NDArray[Any]]) -> EventChunk:
        """The events of these fields, each of shape (N,).

        Raises:
            RecordingError: Lengths differ, or a value is not what its field allows.
        """
        t, x, y, p = (fields[field] for field in FIELDS)
        if self._may_count_from_one and len(p):
            self._detect_first(p, x, y)
        if self._first_polarity:
            p = p - self._first_polarity
        shapes = {name: field.shape for name, field in zip(FIELDS, (t, x, y, p), strict=True)}
        if len(set(shapes.values())) > 1 or t.ndim != 1:
            raise RecordingError(
                f"{self.findings.path}: expected t, x, y and p of one shape (N,), got {shapes}"
            )
        is_event = self._is_event(p)
        columns, rows = self._coordinates(x, "x"), self._coordinates(y, "y")
        chunk = EventChunk(self._times(t) + self._offset_us, columns, rows, p > 0)
        self.count += len(t)
        if is_event is None:
            return chunk
        self._neither += len(t) - int(np.count_nonzero(is_event))
        return EventChunk(*(values[is_event] for values in chunk))

    def _detect_first(self, p: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> None:
        self._may_count_from_one = False
        if p.dtype.kind not in "iuf" or p.min() != 1 or p.max() != 2:
            return
        self._first_polarity = 1
        self._first_pixel = int(x.min() >= 1 and y.min() >= 1)
        pixels = ", and pixels count from 1" if self._first_pixel else ""
        self.findings.remark(f"polarities of 1 and 2 are OFF and ON{pixels}")

    def report(self) -> None:
        """Note turns of a short clock, and warn of events that are neither ON nor OFF."""
        if self._clock.turns:
            self.findings.remark(
                f"the clock of 32 bits began again {self._clock.turns} times; times go on"
            )
        if self._neither:
            self.findings.warn(
                f"{self._neither} of {self.count} events have a polarity of 0 beside −1 and 1, "
                "which is neither ON nor OFF; they were skipped"
            )

    def _times(self, t: NDArray[Any]) -> NDArray[np.int64]:
        if t.dtype.kind in "mM":
            return self._of_clock(t)
        if t.dtype.kind not in "iuf":
            raise self._wrong("t", "numbers", t.dtype)
        if t.dtype.kind == "f" and not np.isfinite(t).all():
            raise self._wrong("t", "finite times", "one that is not")
        if not len(t):
            return t.astype(np.int64)
        is_open = self.unit is None or self._is_whole
        has_fractions = is_open and t.dtype.kind == "f" and bool((t != np.rint(t)).any())
        if self.unit is None:
            self._detect_unit(t, has_fractions=has_fractions)
        elif self._is_whole and has_fractions:
            raise self._wrong(
                "t",
                f"whole {self.unit} as before; name the unit with unit= or --unit",
                "times with fractions",
            )
        assert self.unit is not None
        if t.dtype.kind in "iu" and t.dtype.itemsize == 4:
            t = self._clock.unwrapped(t)
        return self._in_us(t, UNIT_NS[self.unit])

    def _of_clock(self, t: NDArray[Any]) -> NDArray[np.int64]:
        """Times of numpy's own types, which carry their unit."""
        unit, step = np.datetime_data(t.dtype)
        if unit not in UNIT_NS or step != 1:
            raise self._wrong("t", "times in s, ms, us or ns", t.dtype)
        if np.isnat(t).any():
            raise self._wrong("t", "finite times", "NaT")
        if self.unit not in (None, unit):
            raise self._wrong("t", f"times in {self.unit} as stated", t.dtype)
        if self.unit is None:
            self.findings.remark(f"times were read as {unit}, by their type")
        self.unit = unit
        return self._in_us(t.astype(np.int64), UNIT_NS[unit]) if len(t) else t.astype(np.int64)

    def _detect_unit(self, t: NDArray[Any], *, has_fractions: bool) -> None:
        low, high = t.min(), t.max()
        if has_fractions:
            if high >= LATEST_SECONDS:
                raise self._wrong(
                    "t", "seconds, as they have fractions; name the unit with unit= or --unit", high
                )
            self.unit = "s"
            self.findings.remark("times were read as seconds (they have fractions)")
            return
        self._is_whole = True
        is_epoch_ns = EPOCH_NS[0] <= low and high < EPOCH_NS[1]
        self.unit = "ns" if is_epoch_ns else "us"
        if is_epoch_ns:
            self.findings.remark("times were read as ns since 1970 (by their size)")
        elif EPOCH_MS[0] <= low and high < EPOCH_MS[1]:
            self.findings.remark(
                "times were read as µs; they have the size of ms since 1970: name the unit with "
                "unit=ms or --unit ms if they are"
            )
        elif t.dtype.kind == "f":
            self.findings.remark("times were read as µs (whole numbers)")

    def _in_us(self, t: NDArray[Any], unit_ns: int) -> NDArray[np.int64]:
        low, high = t.min(), t.max()
        largest = max(-float(low), float(high)) * unit_ns / 1000
        is_beyond = t.dtype == np.uint64 and int(high) > np.iinfo(np.int64).max
        if is_beyond or ((t.dtype.kind == "f" or unit_ns > 1000) and largest >= 2.0**62):
            raise self._wrong("t", "63 bits of microseconds", (low, high))
        if t.dtype.kind == "f":
            return np.rint(t.astype(np.float64) * (unit_ns / 1000)).astype(np.int64)
        whole = t.astype(np.int64, copy=False)
        if unit_ns == 1000:
            return whole
        return whole // 1000 if unit_ns == 1 else whole * (unit_ns // 1000)

    def _coordinates(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        if values.dtype.kind in "iu":
            return values.astype(np.int64) - 1 if self._first_pixel else values
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise self._wrong(name, "whole numbers", values.dtype)
        whole = np.rint(values)
        if (whole != values).any() or (len(whole) and float(np.abs(whole).max()) >= 2.0**31):
            raise self._wrong(name, "whole numbers of pixels (not rectified ones)", "others")
        return whole.astype(np.int32) - self._first_pixel

    def _is_event(self, p: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which polarities are ON or OFF; None where all are."""
        if p.dtype == np.bool_ or not len(p):
            return None
        expected = "booleans, 0 and 1, or −1 and 1"
        if p.dtype.kind not in "iuf":
            raise self._wrong("p", expected, p.dtype)
        low, high = p.min(), p.max()
        is_allowed = low >= -1 and high <= 1  # False where either is not a number
        if not is_allowed or (p.dtype.kind == "f" and not np.isin(p, (-1, 0, 1)).all()):
            raise self._wrong(
                "p", f"{expected} (are the columns in another order? see --columns)", (low, high)
            )
        if low < 0 and self._off == 0:
            raise self._wrong("p", "0 and 1 as before", "−1: which of them is OFF is not clear")
        if self._off is None and low < 1:
            self._off = -1 if low < 0 else 0
        return p != 0 if self._off == -1 and not p.all() else None

    def _wrong(self, name: str, expected: str, got: object) -> RecordingError:
        said = f"{got[0]} to {got[1]}" if isinstance(got, tuple) else got
        return RecordingError(
            f"{self.findings.path}: expected {name} as {expected}, got {said} "
            f"at or after event {self.count}"
        )
