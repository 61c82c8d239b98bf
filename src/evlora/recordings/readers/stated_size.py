"""The sensor's size by the attributes, arrays and variables in which files state it."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from evlora.errors import RecordingError

SIDES = (("width", "height"), ("sensor_width", "sensor_height"))
SHORT_SIDES = ("w", "h")
"""As HARDVS names them; letters that may stand for other things as well."""
ROWS_FIRST = ("sensor_resolution",)
"""Pairs of rows and columns, as event_utils and what follows it write them."""
COLUMNS_FIRST = ("sensor_size", "resolution", "geometry")
"""Pairs of columns and rows; a third number is the number of polarities, as in tonic."""


def stated_size(values: Mapping[str, Any], *, where: str) -> tuple[int, int] | None:
    """Width and height of the sensor by these values; None where none of them states it.

    Args:
        values: Name → number, pair of numbers, or text such as `346x260`.
        where: The file, for messages.

    Raises:
        RecordingError: A value of such a name is no size.
    """
    by_name = {name.lower(): value for name, value in values.items()}
    sides: list[Any] = []
    for names in SIDES:
        sides = sides or [by_name[name] for name in names if name in by_name]
    if sides:
        numbers = [number for side in sides for number in _numbers(side)]
        if len(sides) < 2 or len(numbers) != 2:
            raise RecordingError(f"{where}: expected width and height as one whole number each")
        return numbers[0], numbers[1]
    short = [number for name in SHORT_SIDES for number in _numbers(by_name.get(name, ()))]
    if len(short) == 2 and all(name in by_name for name in SHORT_SIDES):
        return short[0], short[1]
    for name in (*ROWS_FIRST, *COLUMNS_FIRST):
        if name not in by_name:
            continue
        numbers = _numbers(by_name[name])
        if len(numbers) == 2 or (len(numbers) == 3 and name == "sensor_size"):
            first, second = numbers[:2]
            return (second, first) if name in ROWS_FIRST else (first, second)
    return None


def _numbers(value: Any) -> list[int]:
    """The whole numbers in a value; none where it holds anything else."""
    values: Any = np.asarray(value).reshape(-1)
    if values.dtype.kind in "SUO" and values.size == 1:
        text = values[0].decode("utf-8", "replace") if values.dtype.kind == "S" else str(values[0])
        if re.fullmatch(r"\s*\(?\s*\d{1,9}\s*([x×, ]\s*\d{1,9}\s*){0,2}\)?\s*", text) is None:
            return []
        return [int(digits) for digits in re.findall(r"\d+", text)]
    if values.dtype.kind not in "iuf" or not 0 < values.size <= 3:
        return []
    if values.dtype.kind == "f" and not (np.abs(values) < 2**31).all():
        return []
    return [int(number) for number in values] if (values == np.rint(values)).all() else []
