"""DVS-Gesture (Amir et al., CVPR 2017): 11 gestures of 29 persons, DVS128, AEDAT 3.1.

A recording holds a person's gestures one after the other; a table beside it lists when each begins
and ends. Every gesture becomes a recording of its own in the prepared dataset. Which recordings
train and which test stands in two lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evlora.datasets.layouts.csv_rows import rows_of
from evlora.datasets.layouts.official_split import (
    EVEN,
    OFFICIAL,
    NamedSplitOptions,
    split_evenly,
    takes_official,
)
from evlora.datasets.layouts.sequences import Oddities
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.layouts.trees import entries, release_and_root, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError, RecordingError
from evlora.recordings import EventStream, Recording, open_recording, write_recording
from evlora.untrusted import read_text

EXPECTED_TREE = """\
trials_to_train.txt, trials_to_test.txt
gesture_mapping.csv                (if there)
user01_fluorescent.aedat
user01_fluorescent_labels.csv
user01_led.aedat
…"""
LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
COLUMNS = ["class", "startTime_usec", "endTime_usec"]
MAPPING = "gesture_mapping.csv"
GESTURES = (
    *("hand_clapping", "right_hand_wave", "left_hand_wave", "right_arm_clockwise"),
    *("right_arm_counter_clockwise", "left_arm_clockwise", "left_arm_counter_clockwise"),
    *("arm_roll", "air_drums", "air_guitar", "other_gestures"),
)
"""The gestures 1 to 11, by the dataset's README."""


class Options(NamedSplitOptions):
    """Which split is taken, and what is done without the lists of trials."""


@dataclass(frozen=True, slots=True)
class _Gesture:
    """A row of a table of labels."""

    number: int
    start_us: int
    end_us: int
    where: str


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """Cut the recordings in the folder `source` into gestures, and return their manifest.

    Raises:
        DatasetError: The folder is not laid out so, or lists, tables and recordings contradict each
            other.
        RecordingError: A recording cannot be read.
    """
    source = require_folder(source)
    release, root = release_and_root(source, "DvsGesture")
    trials = {file.name: file for file in entries(root) if file.suffix.lower() == ".aedat"}
    if not trials:
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            "no .aedat file",
            "name the folder that holds the .aedat files, unpacked",
        )
    names = _gesture_names((root, release))
    official = ", ".join(LISTS.values())
    split_of = _splits(root, trials)
    if not takes_official(options.split, is_there=bool(split_of), needs=official, where=root):
        split_of = {}
    gestures = {name: _gestures(trials[name], len(names)) for name in split_of or sorted(trials)}
    total = sum(map(len, gestures.values()))
    oddities = Oddities()
    for name in sorted(trials.keys() - gestures.keys()):
        oddities.add("recordings that no list names were skipped", name)
    samples: list[Sample] = []
    done = 0
    for name, rows in gestures.items():
        events = _events(trials[name])
        for place, gesture in enumerate(rows):
            sample = f"{trials[name].stem}/{place:02d}"
            part = events.between(gesture.start_us, gesture.end_us)
            done += 1
            if len(part):
                path = Path(RECORDINGS_FOLDER) / f"{sample}.npz"
                write_recording(Recording(part, None, "npz"), folder / path)
                label = names[gesture.number - 1]
                samples.append(Sample(sample, path.as_posix(), None, label, split_of.get(name, "")))
            else:
                oddities.add("gestures without an event were skipped", gesture.where)
            if progress is not None:
                progress(done, total)
    if split_of:
        made = Manifest("dvs_gesture", folder, names, tuple(samples), split_source=official)
        made = replace(made, split_name=OFFICIAL)
    else:
        nowhere = f"neither {' nor '.join(LISTS.values())} in {root}"
        reason = nowhere if options.split is None else f"split={EVEN}"
        made = split_evenly("dvs_gesture", folder, samples, options, reason=reason)
    return replace(made, labels=names, notes=(*made.notes, *oddities.notes()))


def _splits(root: Path, trials: dict[str, Path]) -> dict[str, str]:
    """Name of a recording → its split, by the lists; empty where there is neither list."""
    split_of: dict[str, str] = {}
    lists = {split: root / name for split, name in LISTS.items()}
    there = [path for path in lists.values() if path.is_file()]
    if not there:
        return {}
    if len(there) < len(lists):
        raise DatasetError(
            f"{root}: expected {' and '.join(LISTS.values())}, found only {there[0].name}; "
            "add the other one, or move this one away to have the split chosen evenly"
        )
    for split, path in lists.items():
        for number, line in enumerate(_text(path).splitlines(), start=1):
            name = line.strip()
            if name and name not in trials:
                raise DatasetError(
                    f"{path} line {number}: expected a recording in {root}, there is no {name}; "
                    "unpack it, or take it out of the list"
                )
            if name and split_of.setdefault(name, split) != split:
                raise DatasetError(
                    f"{path} line {number}: expected every recording in one list, {name} is in "
                    f"{LISTS['train']} too; take it out of one of them"
                )
    return split_of


def _gestures(trial: Path, count: int) -> list[_Gesture]:
    """The rows of the table beside a recording."""
    path = trial.with_name(f"{trial.stem}_labels.csv")
    if not path.is_file():
        raise DatasetError(
            f"{trial}: expected {path.name} beside it, with the columns {','.join(COLUMNS)}; "
            "unpack it too"
        )
    rows = list(rows_of(path, delimiter=","))
    if not rows or [cell.strip() for cell in rows[0]] != COLUMNS:
        raise DatasetError(
            f"{path}: expected the first line {','.join(COLUMNS)}, got "
            f"{','.join(rows[0]) if rows else 'an empty file'}; get the file again"
        )
    return [
        _gesture(row, f"{path.name} line {n}", path, count)
        for n, row in enumerate(rows, 1)
        if n > 1 and row
    ]


def _gesture(row: Sequence[str], where: str, path: Path, count: int) -> _Gesture:
    try:
        number, start_us, end_us = map(int, row)
    except ValueError:
        number = start_us = end_us = 0
    if not 1 <= number <= count or not start_us < end_us:
        raise DatasetError(
            f"{path.parent / where}: expected a class of 1 to {count} and a start before the end, "
            f"got {','.join(row)}; get the file again"
        )
    return _Gesture(number, start_us, end_us, where)


def _gesture_names(places: Sequence[Path]) -> tuple[str, ...]:
    """The names of the gestures in the order of their numbers, from 1 on."""
    path = next((place / MAPPING for place in places if (place / MAPPING).is_file()), None)
    if path is None:
        return GESTURES
    rows = [[cell.strip() for cell in row] for row in rows_of(path, delimiter=",")]
    name_of = {int(row[1]): row[0] for row in rows if len(row) == 2 and row[1].isdecimal()}
    names = tuple(name_of.get(number, "") for number in range(1, len(name_of) + 1))
    if not names or not all(names) or len(set(names)) < len(names):
        raise DatasetError(
            f"{path}: expected lines `name,number` with different names and the numbers from 1 on, "
            f"got the numbers {', '.join(map(str, sorted(name_of))) or 'none'}; get the file "
            "again, or move it away to use the published names"
        )
    return names


def _events(trial: Path) -> EventStream:
    events = open_recording(trial).events
    if events is None:
        raise RecordingError(f"{trial}: expected events, found none; get the file again")
    return events


def _text(path: Path) -> str:
    return read_text(path, DatasetError, encoding="utf-8-sig", errors="replace")
