"""Events in the `.mat` files of PIX2NVS's datasets, whose rows count from the bottom."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings import EventStream, open_recording

SENSOR_PX = (240, 180)
"""Of a DAVIS240C, with which all of them were recorded."""


def upright(*, is_mirrored: bool) -> Callable[[Path], EventStream]:
    """A reader of `ts`, `x`, `y`, `pol` that turns the picture upright.

    Args:
        is_mirrored: Whether columns count from the right as well.
    """
    return partial(_read_upright, is_mirrored=is_mirrored)


def _read_upright(path: Path, *, is_mirrored: bool) -> EventStream:
    width, height = SENSOR_PX
    events = open_recording(path, width=width, height=height).events
    if events is None:
        raise RecordingError(f"{path}: expected events, found none; get the file again")
    last_column, last_row = np.uint16(width - 1), np.uint16(height - 1)
    x = last_column - events.x if is_mirrored else events.x
    return replace(events, x=x, y=last_row - events.y)
