"""Events that lie as one array per field, as npz, npy and HDF5 files hold them: names and units."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import EventChunk, Findings

FIELD_NAMES: Mapping[str, tuple[str, ...]] = {
    "t": ("t", "ts", "t_us", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "x_pos"),
    "y": ("y", "ys", "y_pos"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
"""The names under which the four fields are accepted, in any case of letters."""


def named_fields(names: Iterable[str], findings: Findings, *, where: str) -> dict[str, str]:
    """Which of these names holds t, x, y and p.

    Raises:
        RecordingError: A field has no name, or two.
    """
    present = {name.lower(): name for name in names}
    found = {
        field: [present[name] for name in accepted if name in present]
        for field, accepted in FIELD_NAMES.items()
    }
    missing = [field for field, candidates in found.items() if not candidates]
    if missing:
        raise RecordingError(
            f"{findings.path}: expected {where} t, x, y and p (or one of their other names: "
            f"{', '.join('/'.join(FIELD_NAMES[field]) for field in missing)}), "
            f"got {', '.join(sorted(present.values())) or 'none'}"
        )
    doubled = {field: candidates for field, candidates in found.items() if len(candidates) > 1}
    if doubled:
        raise RecordingError(f"{findings.path}: expected {where} one name per field, got {doubled}")
    return {field: candidates[0] for field, candidates in found.items()}


class FieldDecoder:
    """Turns raw fields into events, chunk by chunk, with one decision on the unit of time."""

    def __init__(self, findings: Findings, *, is_in_seconds: bool | None = None) -> None:
        """A decoder for one file.

        Args:
            findings: Where to note what was detected.
            is_in_seconds: Whether times are seconds; None to tell from the first chunk.
        """
        self.findings = findings
        self.is_in_seconds = is_in_seconds
        self.count = 0

    def decode(
        self, t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any]
    ) -> EventChunk:
        """The events of these fields, each of shape (N,).

        Raises:
            RecordingError: Lengths differ, or a value is not what its field allows.
        """
        shapes = {name: field.shape for name, field in zip("txyp", (t, x, y, p), strict=True)}
        if len(set(shapes.values())) > 1 or t.ndim != 1:
            raise RecordingError(
                f"{self.findings.path}: expected t, x, y and p of one shape (N,), got {shapes}"
            )
        chunk = EventChunk(
            self._times(t), self._coordinates(x, "x"), self._coordinates(y, "y"), self._is_on(p)
        )
        self.count += len(t)
        return chunk

    def _times(self, t: NDArray[Any]) -> NDArray[np.int64]:
        if t.dtype.kind in "iu":
            if t.dtype == np.uint64 and len(t) and int(t.max()) > np.iinfo(np.int64).max:
                raise self._wrong("t", "63 bits of microseconds", int(t.max()))
            if not self.is_in_seconds:
                self.is_in_seconds = False if len(t) else self.is_in_seconds
                return t.astype(np.int64, copy=False)
        if t.dtype.kind not in "iuf":
            raise self._wrong("t", "numbers", t.dtype)
        if not np.isfinite(t).all():
            raise self._wrong("t", "finite times", "one that is not")
        if self.is_in_seconds is None and len(t):
            self.is_in_seconds = bool((t != np.rint(t)).any())
            unit = "seconds (they have fractions)" if self.is_in_seconds else "µs (whole numbers)"
            self.findings.remark(f"times were read as {unit}")
        scaled = t.astype(np.float64) * 1e6 if self.is_in_seconds else t.astype(np.float64)
        if len(scaled) and float(np.abs(scaled).max()) >= 2.0**62:
            raise self._wrong("t", "63 bits of microseconds", float(t[np.abs(scaled).argmax()]))
        return np.rint(scaled).astype(np.int64)

    def _coordinates(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        if values.dtype.kind in "iu":
            return values
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise self._wrong(name, "whole numbers", values.dtype)
        whole = np.rint(values)
        if (whole != values).any() or (len(whole) and float(np.abs(whole).max()) >= 2.0**31):
            raise self._wrong(name, "whole numbers of pixels (not rectified ones)", "others")
        return whole.astype(np.int32)

    def _is_on(self, p: NDArray[Any]) -> NDArray[np.bool_]:
        if p.dtype == np.bool_:
            return p
        if p.dtype.kind not in "iuf":
            raise self._wrong("p", "booleans, 0 and 1, or −1 and 1", p.dtype)
        if len(p):
            low, high = p.min(), p.max()
            is_allowed = low >= -1 and high <= 1  # False where either is not a number
            if not is_allowed or (p.dtype.kind == "f" and not np.isin(p, (-1, 0, 1)).all()):
                raise self._wrong("p", "booleans, 0 and 1, or −1 and 1", f"{low} to {high}")
        return p > 0

    def _wrong(self, name: str, expected: str, got: object) -> RecordingError:
        return RecordingError(
            f"{self.findings.path}: expected {name} as {expected}, got {got} "
            f"at or after event {self.count}"
        )
