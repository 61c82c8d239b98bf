"""The unit and the offset of the times by the attributes, arrays and variables that state them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.readers.fields import named_unit

UNIT_NAMES = tuple(
    f"{prefix}{name}"
    for prefix in ("", "t_", "ts_", "time_", "timestamp_")
    for name in ("unit", "units")
)
OFFSET_NAME = "t_offset"
"""Microseconds to add to all times, as in DSEC."""


def stated_unit(holders: Iterable[Mapping[str, Any]], *, where: str) -> tuple[str, str] | None:
    """The unit of the times, as `s`, `ms`, `us` or `ns`, and the name that states it.

    Args:
        holders: Name → value, such as a data set's attributes and then its group's; the first
            that states a unit counts.
        where: The file, for messages.

    Raises:
        RecordingError: What such a name states is no unit of time.
    """
    for values in holders:
        for name, value in values.items():
            text = _text(value)
            if name.lower() not in UNIT_NAMES or not text:
                continue
            try:
                return named_unit(text), name
            except RecordingError as error:
                raise RecordingError(
                    f"{where}: {name} states no unit of time that is known: {error}; "
                    "name it with unit= or --unit"
                ) from error
    return None


def stated_offset_us(holders: Iterable[Mapping[str, Any]], *, where: str) -> int:
    """What to add to all times; 0 where nothing states it.

    Raises:
        RecordingError: It is no whole number.
    """
    for values in holders:
        if OFFSET_NAME in values:
            offset: Any = np.asarray(values[OFFSET_NAME])
            if offset.size != 1 or offset.dtype.kind not in "iu":
                raise RecordingError(
                    f"{where}: expected {OFFSET_NAME} as one whole number of µs, got {offset!r}"
                )
            return int(offset.item())
    return 0


def _text(value: Any) -> str:
    values: Any = np.asarray(value).reshape(-1)
    if values.dtype.kind not in "SUO" or values.size != 1:
        return "" if values.dtype.kind not in "SUO" else str(values)
    text = values[0]
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
