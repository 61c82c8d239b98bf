"""DailyDVS-200 (Wang et al., ECCV 2024, arXiv 2407.05106): 200 actions, DVXplorer Lite 320×240.

As published: `.aedat4` files in folders of days and persons, named after class, person, move and
scene (`C0P3M0S1_20231111_09_11_23.aedat4`), and three lists of relative path and number of the
action.
"""

import re
from pathlib import Path, PurePosixPath

from evlora.companions import is_companion
from evlora.datasets.layouts.label_lists import ListedSample
from evlora.datasets.layouts.official_split import ListOptions, Naming, split_officially
from evlora.datasets.layouts.sequences import FoundSequence, Oddities
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError

EXPECTED_TREE = """\
train.txt, val.txt, test.txt
event_raw/                         (or any folders)
  11_11/
    3/
      C0P3M0S1_20231111_….aedat4
      …"""
LISTS = {"train": ("train.txt",), "val": ("val.txt",), "test": ("test.txt",)}
FILE_NAME = re.compile(r"C(\d+)P\d+M\d+S\d+_.*")


class Options(ListOptions):
    """Where the lists lie, and what is done without them."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, or the lists contradict themselves or the
            files.
    """
    del folder  # nothing is made
    source = require_folder(source).resolve()
    found_files = sorted(source.rglob("*.aedat4"))
    files = [file for file in found_files if not is_companion(str(file.relative_to(source)))]
    if not files:
        raise wrong_tree(
            source, EXPECTED_TREE, "no .aedat4 file", "name the folder that holds the lists"
        )
    found: dict[str, FoundSequence] = {}
    for number, file in enumerate(files, start=1):
        sample = Sample(
            file.stem, file.relative_to(source).as_posix(), None, _class_by_name(file.stem), ""
        )
        other = found.setdefault(file.stem, FoundSequence(sample)).sample
        if other is not sample:
            raise DatasetError(
                f"{source}: expected names of files that differ, found {other.events} and "
                f"{sample.events}; move one of them away"
            )
        if progress is not None:
            progress(number, len(files))
    naming = Naming(lists=LISTS, sample_of=_stem, class_of=_class_by_list)
    return split_officially(
        "dailydvs200",
        source,
        found,
        naming,
        options=options,
        oddities=Oddities(),
        list_folders=(source,),
    )


def _stem(path: str) -> str:
    return PurePosixPath(path).name.removesuffix(".aedat4")


def _class_by_name(stem: str) -> str:
    match = FILE_NAME.fullmatch(stem)
    return _called(int(match[1])) if match is not None else "unknown"


def _class_by_list(sample: ListedSample) -> str:
    return _called(sample.label)


def _called(number: int) -> str:
    return f"action_{number:03d}"
