"""N-Cars (Sironi et al., CVPR 2018): cars and background, 100 ms each, `.dat` files of an ATIS.

Its folders give the split: 15,422 recordings to train with and 8,607 to test with. The files do not
state their size; no recording is larger than 120×100.
"""

from pathlib import Path

from evlora.config import Config
from evlora.datasets.layouts.naming import class_order, split_name
from evlora.datasets.layouts.sequences import Oddities, samples_of_splits
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import folders, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest

EXPECTED_TREE = """\
n-cars_train/          (or train/)
  background/
    obj_012336_td.dat
  cars/
    obj_004396_td.dat
n-cars_test/           (or test/)
  background/
    …"""
SENSOR_PX = (120, 100)
LABELS = ("background", "cars")


class Options(Config):
    """There is nothing to choose."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so.
    """
    del folder, options  # nothing is made, and nothing to choose
    source = require_folder(source)
    splits = {
        _folder_of_classes(each, split): split
        for each in folders(source)
        if (split := split_name(each.name.removeprefix("n-cars_"))) is not None
    }
    oddities = Oddities()
    samples = samples_of_splits(
        splits,
        source,
        suffixes=(".dat",),
        sensor_px=SENSOR_PX,
        oddities=oddities,
        progress=progress,
    )
    labels = class_order(sample.label for sample in samples)
    if {sample.split for sample in samples} < {"train", "test"} or labels != LABELS:
        others = sorted(set(labels) - set(LABELS))
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            f"{others[0]} is no class of N-Cars"
            if others
            else "no .dat file in some folder of a split and a class",
            "name the folder that holds n-cars_train and n-cars_test, unpacked",
        )
    names = ", ".join(f"{top.relative_to(source).as_posix()}/" for top in splits)
    return Manifest(
        "ncars",
        source.resolve(),
        labels,
        samples,
        oddities.notes(),
        split_source=f"folders {names}",
    )


def _folder_of_classes(top: Path, split: str) -> Path:
    """The folder itself, or the one of the split's name that unpacking left inside it."""
    inside = top / split
    return inside if inside.is_dir() else top
