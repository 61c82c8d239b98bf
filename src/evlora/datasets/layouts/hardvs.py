"""HARDVS (Wang et al., AAAI 2024, arXiv 2211.09648): 300 actions, DVS346, 107,646 recordings.

As published: frames and event images, event images alone, and compact events, an
archive of `.npz` files for each class. The archives are unpacked into the prepared dataset.
"""

import re
import shutil
import zipfile
import zlib
from pathlib import Path

from evlora.companions import is_companion
from evlora.datasets.layouts.official_split import ListOptions, Naming, split_officially
from evlora.datasets.layouts.sequences import (
    FoundSequence,
    Oddities,
    note_other_forms,
    sequences_in,
)
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.layouts.trees import (
    entries,
    folders,
    release_and_root,
    require_folder,
    wrong_tree,
)
from evlora.datasets.manifest import Manifest
from evlora.errors import DatasetError
from evlora.limits import limits, raising
from evlora.untrusted import read_text

EXPECTED_TREE = """\
train_label.txt, val_label.txt, test_label.txt
HARDVS_300_class.txt               (if there)
rawframes/                         (pictures)
  action_001/
    dvSave-2021_…/
      dvSave-2021_…_aps/           (frames; not in
        00000.png                   the event release)
        00005.png
      dvSave-2021_…_dvs/           (events)
        00000.png
        00005.png
or MINI_HARDVS_files/              (events)
  action_001.zip, or action_001/
    dvSave-2021_….npz"""
CLASS_FOLDER = re.compile(r"action_(\d+)")
CLASS_NAMES = "HARDVS_300_class.txt"
CLASS_LINE = re.compile(r"Action\s*(\d+)\s*-?\s*(.*\S)\s*")
FORMS = ("rawframes", "MINI_HARDVS_files")
SENSOR_PX = (346, 260)
SUFFIXES = (".npz", ".aedat4")

LARGEST_EXPANSION = 200
"""An archive that grows by more than this is damaged or a trap: arrays of events shrink by less."""


class Options(ListOptions):
    """Where the lists lie, and what is done without them."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, an archive is damaged, or the lists contradict
            themselves or the folders.
    """
    source = require_folder(source)
    release, root = release_and_root(source, *FORMS)
    archives = [entry for entry in entries(root) if entry.suffix.lower() == ".zip"]
    archives = [archive for archive in archives if CLASS_FOLDER.fullmatch(archive.stem)]
    classes = [entry for entry in folders(root) if CLASS_FOLDER.fullmatch(entry.name)]
    if archives and classes:
        raise DatasetError(
            f"{root}: expected either archives or folders of classes, found {len(archives)} "
            f"archives, such as {archives[0].name}, beside {len(classes)} folders, such as "
            f"{classes[0].name}; unpack the archives, or move the folders away"
        )
    oddities = Oddities()
    note_other_forms(release, root, FORMS, oddities)
    if archives:
        found = _unpacked(archives, folder, oddities, progress)
        base = folder
    else:
        base = release
        found = sequences_in(
            root,
            base,
            suffixes=SUFFIXES,
            sensor_px=SENSOR_PX,
            oddities=oddities,
            progress=progress,
        )
    if not found or not all(CLASS_FOLDER.fullmatch(each.sample.label) for each in found.values()):
        others = {each.sample.label for each in found.values()}
        wrong = sorted(label for label in others if not CLASS_FOLDER.fullmatch(label))
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            f"{wrong[0]} is no action_NNN" if wrong else "no recording in a folder action_NNN",
            "name the folder that holds rawframes or MINI_HARDVS_files, unpacked",
        )
    naming = Naming(number_of=_number, labels=_class_names((release, root)))
    return split_officially(
        "hardvs",
        base,
        found,
        naming,
        options=options,
        oddities=oddities,
        list_folders=(release, root),
    )


def _number(folder: str) -> int | None:
    match = CLASS_FOLDER.fullmatch(folder)
    return None if match is None else int(match[1]) - 1


def _class_names(places: tuple[Path, ...]) -> dict[str, str]:
    """Folder of a class → what it is called in the list of classes, where that is there."""
    path = next((place / CLASS_NAMES for place in places if (place / CLASS_NAMES).is_file()), None)
    if path is None:
        return {}
    lines = read_text(path, DatasetError, encoding="utf-8-sig", errors="replace").splitlines()
    matches = [CLASS_LINE.fullmatch(line.strip()) for line in lines if line.strip()]
    return {f"action_{match[1]}": match[2] for match in matches if match is not None}


def _unpacked(
    archives: list[Path], folder: Path, oddities: Oddities, progress: Progress | None
) -> dict[str, FoundSequence]:
    """The recordings in these archives, unpacked into the prepared dataset."""
    for number, archive in enumerate(archives, start=1):
        target = folder / RECORDINGS_FOLDER / archive.stem
        target.mkdir(parents=True)
        try:
            with zipfile.ZipFile(archive) as opened:
                _unpack(opened, target, oddities)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise DatasetError(
                f"{archive}: expected a whole zip archive, could not unpack it: {error}; "
                "get it again"
            ) from error
        if progress is not None:
            progress(number, len(archives))
    return sequences_in(
        folder / RECORDINGS_FOLDER,
        folder,
        suffixes=SUFFIXES,
        sensor_px=SENSOR_PX,
        oddities=oddities,
    )


def _unpack(archive: zipfile.ZipFile, target: Path, oddities: Oddities) -> None:
    members = archive.infolist()
    if len(members) > limits().archive_members:
        raise zipfile.BadZipFile(f"{len(members)} members; {raising('archive_members')}")
    for member in members:
        # The name alone, whatever folders stand before it: no member can leave the target.
        name = member.filename.replace("\\", "/").rpartition("/")[2]
        if is_companion(member.filename):
            continue
        if member.is_dir() or Path(name).suffix.lower() not in SUFFIXES:
            if name:
                oddities.add("members of archives are no recordings and were passed over", name)
            continue
        if member.file_size > LARGEST_EXPANSION * max(member.compress_size, 1):
            raise zipfile.BadZipFile(
                f"{member.filename} would grow from {member.compress_size:,} to "
                f"{member.file_size:,} bytes"
            )
        with archive.open(member) as packed, (target / name).open("xb") as file:
            shutil.copyfileobj(packed, file)
