"""HMDB51: 51 actions on video, with the three official splits.

A list `<class>_test_split<n>.txt` has a line `<video> <part>` for each video of the class: part 1
is for training, 2 for testing, 0 for neither
(https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/).
"""

from pathlib import Path
from typing import Literal

from evlora.config import Config
from evlora.datasets.layouts.naming import class_order
from evlora.datasets.layouts.releases import disagreement
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import entries, folders, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.recordings.readers.table import VIDEO_SUFFIXES
from evlora.untrusted import read_text

VIDEOS_FOLDER = "hmdb51_org"
SPLITS_FOLDER = "testTrainMulti_7030_splits"
PARTS = {"1": "train", "2": "test"}
UNUSED = "0"
EXPECTED_TREE = """\
hmdb51_org/
  brush_hair/
    April_09_brush_hair_….avi
    …
  …
testTrainMulti_7030_splits/
  brush_hair_test_split1.txt
  …"""
CURE = (
    "unpack hmdb51_org.rar and, inside it, the archive of each class; and "
    "test_train_splits.rar beside it"
)

MEND = "unpack the videos and the lists again; all three splits name every video of a class"


class Options(Config):
    """Which of the official splits."""

    split: Literal[1, 2, 3] = 1
    """Number of the official split; results are usually given as the mean over all three."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, or the lists and the videos disagree.
    """
    del folder, progress  # nothing is made, and reading lists takes no time
    source = require_folder(source)
    for name in (VIDEOS_FOLDER, SPLITS_FOLDER):
        if not (source / name).is_dir():
            raise wrong_tree(source, EXPECTED_TREE, f"no folder {name}", CURE)
    ending = f"_test_split{options.split}.txt"
    lists = {
        path.name.removesuffix(ending): path
        for path in entries(source / SPLITS_FOLDER)
        if path.name.endswith(ending)
    }
    labels = class_order(entry.name for entry in folders(source / VIDEOS_FOLDER))
    lonely = sorted(set(labels) ^ set(lists))
    if lonely or not labels:
        what = "list" if not lonely or lonely[0] in labels else "folder of videos"
        raise wrong_tree(
            source, EXPECTED_TREE, f"no {what} for {lonely[0] if lonely else 'any class'}", CURE
        )
    samples: list[Sample] = []
    faults: list[str] = []
    unused = 0
    for label in labels:
        present = {
            path.name: path.relative_to(source).as_posix()
            for path in entries(source / VIDEOS_FOLDER / label)
            if path.suffix.lower() in VIDEO_SUFFIXES
        }
        for where, video, part in _lines(lists[label]):
            path = present.pop(video, None)
            if part not in (*PARTS, UNUSED):
                faults.append(f"{where}: expected `video part` with part 0, 1 or 2, got {part!r}")
            elif path is None:
                faults.append(f"{where}: {video} is not in {VIDEOS_FOLDER}/{label}, or named twice")
            elif part == UNUSED:
                unused += 1
            else:
                name = f"{label}/{Path(video).stem}"
                samples.append(Sample(name, None, path, label, PARTS[part]))
        faults += [f"{lists[label].name}: {video} is not in the list" for video in present]
    if faults:
        raise disagreement(source, faults, MEND)
    notes = (f"{unused} videos belong to no part of split {options.split}",) if unused else ()
    return Manifest(
        "hmdb51",
        source.resolve(),
        labels,
        tuple(samples),
        notes,
        split_source=f"official split {options.split} ({SPLITS_FOLDER})",
    )


def _lines(path: Path) -> list[tuple[str, str, str]]:
    """Place, video and part of every line that is not empty."""
    found: list[tuple[str, str, str]] = []
    text = read_text(path, DatasetError, errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        video, _, part = line.strip().rpartition(" ")
        if line.strip():
            found.append((f"{path.name} line {number}", video.strip(), part))
    return found
