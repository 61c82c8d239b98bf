"""THU-EACT-50 (Gao et al., TPAMI 2023): 50 actions of 105 persons, CeleX-V 1280×800, `.csv`.

Format and lists are those of lujiaxuan0520/THU-EACT-50 at 588bdb7 (`README.md`, `dataset.py`): no
header, the columns y, x, brightness, polarity and time, where a polarity of 0 is no event; lists
`train.txt` and `test.txt` of `file,number`, with paths below the release. Which folders lie between
is not stated. The unit of the times is not either: µs is assumed. Files are written anew as `.npz`,
without the rows of polarity 0.
"""

from pathlib import Path

import numpy as np

from evlora.datasets.layouts.thu_actions import ThuRelease, lists_of
from evlora.errors import RecordingError
from evlora.recordings import EventStream
from evlora.untrusted import plain

SENSOR_PX = (1280, 800)
COLUMNS = "y, x, brightness, polarity, time"
CURE = "get the file again"


def read_csv(path: Path) -> EventStream:
    """The events of a file of CeleX-V.

    Raises:
        RecordingError: A row is none of five whole numbers, or lies outside of the sensor.
    """
    try:
        rows = np.loadtxt(
            plain(path, RecordingError), delimiter=",", ndmin=2, dtype=np.float64, comments=None
        )
    except (ValueError, OSError) as error:
        raise RecordingError(f"{path}: expected rows of {COLUMNS}: {error}; {CURE}") from error
    if rows.size and rows.shape[1] != 5:
        raise RecordingError(
            f"{path}: expected five columns, {COLUMNS}, got {rows.shape[1]}; {CURE}"
        )
    y, x, _, polarity, time = rows.reshape(-1, 5).T
    width, height = SENSOR_PX
    is_outside = (x < 0) | (x >= width) | (y < 0) | (y >= height) | (np.abs(polarity) > 1)
    if is_outside.any():
        row = int(np.argmax(is_outside))
        raise RecordingError(
            f"{path} line {row + 1}: expected y below {height}, x below {width} and a polarity of "
            f"−1, 0 or 1, got {y[row]:g}, {x[row]:g} and {polarity[row]:g}; {CURE}"
        )
    is_event = polarity != 0
    order = np.argsort(time[is_event], kind="stable")
    return EventStream.from_arrays(
        time[is_event][order].astype(np.int64),
        x[is_event][order].astype(np.uint16),
        y[is_event][order].astype(np.uint16),
        (polarity[is_event] > 0)[order],
        width=width,
        height=height,
    )


RELEASE = ThuRelease(
    layout="thu_eact50",
    expected_tree="""\
train.txt, test.txt                (lines: file,number)
…/                                 (any folders)
  A0P0….csv
  …""",
    suffixes=(".csv",),
    lists=lists_of("train.txt", "test.txt"),
    read=read_csv,
)
Options = RELEASE.options
collect = RELEASE.collect
