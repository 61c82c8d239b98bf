"""CeleX-HAR (Wang et al., arXiv 2408.09764): 150 actions, CeleX-V 1280×800, 124,625 recordings.

As published: event images, one folder for each recording.
"""

import re
from pathlib import Path

from evlora.datasets.layouts.official_split import ListOptions, Naming, split_officially
from evlora.datasets.layouts.sequences import Oddities, sequences_in
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import release_and_root, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest

EXPECTED_TREE = """\
celex_train.txt, celex_test.txt
rawframe/                          (or rawframes)
  action_001_pull_up_weeds/
    action_001_2022…_EI_70M/
      0000.png
      0001.png
  action_002_…/
    …"""
LISTS = {
    "train": ("celex_train.txt", "celex5_train.txt", "train_label.txt"),
    "val": ("celex_val.txt", "celex5_val.txt", "val_label.txt"),
    "test": ("celex_test.txt", "celex5_test.txt", "test_label.txt"),
}
CLASS_FOLDER = re.compile(r"action_(\d+)_?.*")


class Options(ListOptions):
    """Where the lists lie, and what is done without them."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, or the lists contradict themselves or the
            folders.
    """
    del folder  # nothing is made
    source = require_folder(source)
    release, root = release_and_root(source, "rawframe", "rawframes")
    oddities = Oddities()
    found = sequences_in(root, release, oddities=oddities, progress=progress)
    if not found or not all(CLASS_FOLDER.fullmatch(each.sample.label) for each in found.values()):
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            "no pictures in a folder action_NNN_…/sequence, or folders of other names beside them",
            "name the folder that holds rawframe",
        )
    return split_officially(
        "celex_har",
        release,
        found,
        Naming(lists=LISTS, number_of=_number),
        options=options,
        oddities=oddities,
        list_folders=(release, root),
    )


def _number(folder: str) -> int | None:
    match = CLASS_FOLDER.fullmatch(folder)
    return None if match is None else int(match[1]) - 1
