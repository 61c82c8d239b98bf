"""THU-EACT-50-CHL (Gao et al., TPAMI 2023): the same 50 actions in hard light, DAVIS346, `.npy`.

Format and lists are those of lujiaxuan0520/THU-EACT-50 at 588bdb7 (`README.md`, `dataset.py`):
plain arrays of x, y, t and p with p 0 or 1, unlike the `.csv` of THU-EACT-50; lists `train.txt` and
`test.txt` of `path number`, in whose paths the release begins behind `DVS-action-data-npy/`. Files
are written anew as `.npz`, since a plain array does not name its columns.
"""

from pathlib import Path

from evlora.datasets.layouts.thu_actions import ThuRelease, lists_of
from evlora.errors import RecordingError
from evlora.recordings import EventStream, open_recording

SENSOR_PX = (346, 260)


def read_npy(path: Path) -> EventStream:
    """The events of a plain array.

    Raises:
        RecordingError: It is no array of four columns, or lies outside of the sensor.
    """
    width, height = SENSOR_PX
    events = open_recording(path, columns="x,y,t,p", width=width, height=height).events
    if events is None:
        raise RecordingError(f"{path}: expected events, found none; get the file again")
    return events


RELEASE = ThuRelease(
    layout="thu_eact50_chl",
    expected_tree="""\
train.txt, test.txt                (lines: path number)
…/                                 (any folders)
  A0P0….npy
  …""",
    suffixes=(".npy",),
    lists=lists_of("train.txt", "test.txt"),
    read=read_npy,
    own_folder="DVS-action-data-npy/",
)
Options = RELEASE.options
collect = RELEASE.collect
