"""Bullying10K (Dong et al., NeurIPS 2023): ten actions, DAVIS346, ten archives of `.npy` files.

As published on Figshare (19160663), each `.npy` file is a pickled list of packets of events, which
its authors' loader opens with `allow_pickle=True` (Brain-Cog-Lab/Bullying10K at 71d58fc,
`readdata.py`). A pickle can run any code, so evlora opens none: convert the files to `.npz` with
the arrays t, x, y and p, as fangwei123456/spikingjelly at afb1322 (`datasets/bullying10k.py`) does,
or take `.aedat4` recordings in the same folders. Folders below a class are of no meaning here.
The authors' split is every fifth file in the order in which the operating system lists them, which
differs from machine to machine: there is no split that can be repeated, and one is chosen evenly.
"""

from pathlib import Path, PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.recording_files import recordings_below
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder
from evlora.datasets.manifest import Manifest
from evlora.errors import DatasetError

Options = declared.Options
CLASSES = (
    *("fingerguess", "greeting", "hairgrabs", "handshake", "kicking"),
    *("punching", "pushing", "slapping", "strangling", "walking"),
)


def _class(path: PurePosixPath) -> str | None:
    return next((part for part in path.parts if part in CLASSES), None)


RELEASE = declared.Release(
    layout="bullying10k",
    dataset="Bullying10K",
    expected_tree="""\
handshake/             (or Bullying10k_final/handshake/)
  01/
    0001.npz           (converted from .npy; or .aedat4)
    …
kicking/
  …""",
    suffixes=(".npz", ".aedat4"),
    advice="name the folder that holds the ten folders of classes, with files of .npz or .aedat4",
    sensor_px=(346, 260),
    class_of=_class,
)


def collect(
    source: Path | None, folder: Path, options: declared.Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The files are pickles, or the folder is not laid out so.
    """
    pickled = recordings_below(require_folder(source), (".npy",))
    if pickled:
        raise DatasetError(
            f"{source}: expected .npz or .aedat4 files, found {len(pickled)} .npy files, such as "
            f"{pickled[0]}, which hold pickled objects; a pickle can run any code, so evlora opens "
            "none: write each as .npz with the arrays t, x, y and p, where you trust the files, "
            "and move the .npy files away"
        )
    return RELEASE.collect(source, folder, options, progress)
