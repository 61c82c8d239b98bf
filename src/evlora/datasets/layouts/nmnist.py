"""N-MNIST (Orchard et al., Frontiers in Neuroscience 2015, 9:437): ten digits, `.bin` files, 34×34.

Its folders give the split: 60,000 recordings to train with and 10,000 to test with.
"""

from pathlib import Path

from evlora.config import Config
from evlora.datasets.layouts.naming import class_order, folders_of_splits, split_name
from evlora.datasets.layouts.sequences import Oddities, samples_of_splits
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import folders, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest

EXPECTED_TREE = """\
Train/
  0/
    00002.bin
    00022.bin
  1/
    …
Test/
  0/
    00004.bin
  …"""
SENSOR_PX = (34, 34)
DIGITS = frozenset("0123456789")


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
    named = {each: split_name(each.name) for each in folders(source)}
    splits = {each: split for each, split in named.items() if split is not None}
    oddities = Oddities()
    samples = samples_of_splits(
        splits,
        source,
        suffixes=(".bin",),
        sensor_px=SENSOR_PX,
        oddities=oddities,
        progress=progress,
    )
    labels = class_order(sample.label for sample in samples)
    if {sample.split for sample in samples} < {"train", "test"} or not DIGITS.issuperset(labels):
        others = sorted(set(labels) - DIGITS)
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            f"{others[0]} is no digit" if others else "no .bin file in Train/digit or Test/digit",
            "name the folder that holds Train and Test, unpacked",
        )
    return Manifest(
        "nmnist",
        source.resolve(),
        labels,
        samples,
        oddities.notes(),
        split_source=folders_of_splits(top.name for top in splits),
    )
