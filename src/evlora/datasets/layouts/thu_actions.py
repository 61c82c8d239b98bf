"""What THU-EACT-50 and its hard variant share: the actions, and lists of files and numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from evlora.datasets.layouts.converting import converted
from evlora.datasets.layouts.official_split import (
    OFFICIAL,
    ListOptions,
    Naming,
    split_officially,
)
from evlora.datasets.layouts.recording_files import recordings_below
from evlora.datasets.layouts.sequences import FoundSequence, Oddities
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.recordings import EventStream

ACTIONS = (
    *("Walking", "Running", "Jump up", "Running in circles", "Falling down", "Waving one hand"),
    *("Waving two hands", "Clap", "Rub hands", "Punch", "Cross arms", "Salute", "Squat down"),
    *("Sit down", "Stand up", "Sit and stand", "Knead face", "Nod head", "Shake head", "Thumb up"),
    *("Calling with phone", "Reading", "Tai chi", "Swing objects", "Throw", "Staggering"),
    *("Headache", "Stomachache", "Back pain", "Vomit", "Fan", "Open umbrella", "Close umbrella"),
    *("Put on glasses", "Take off glasses", "Pick up", "Put on bag", "Take off bag"),
    *("Put object into bag", "Take object out of bag", "Check time", "Drink water", "Wipe face"),
    *("Long jump", "Push up", "Sit up", "Shake hands", "Fighting", "Handing objects"),
    "Lifting chairs",
)
"""A0 to A49, by the README of the release."""


class Options(ListOptions):
    """Where the lists lie."""


def lists_of(train: str, test: str) -> Mapping[str, tuple[str, ...]]:
    """The names of the lists by split."""
    return {"train": (train,), "test": (test,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ThuRelease:
    """One of the two releases; the lists alone state the class of a file."""

    options: ClassVar = Options
    layout: str
    expected_tree: str
    suffixes: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]]
    read: Callable[[Path], EventStream]
    """Reads one file of it."""
    own_folder: str = ""
    """The folder of the authors' machine behind which the paths in the lists begin."""

    def collect(
        self, source: Path | None, folder: Path, options: Options, progress: Progress | None
    ) -> Manifest:
        """Convert the files in the folder `source`, and return their manifest.

        Raises:
            DatasetError: There are no files or no lists, or they contradict each other.
            RecordingError: A file cannot be read.
        """
        source = require_folder(source).resolve()
        found: dict[str, FoundSequence] = {}
        for path in recordings_below(source, self.suffixes):
            name = path.with_suffix("").as_posix()
            found[name] = FoundSequence(Sample(name, path.as_posix(), None, "", ""))
        if not found:
            fault = f"no {' or '.join(self.suffixes)} file"
            advice = "name the folder that holds the lists and the recordings, unpacked"
            raise wrong_tree(source, self.expected_tree, fault, advice)
        if options.split not in (None, OFFICIAL):
            raise DatasetError(
                f"{source}: expected split={OFFICIAL}, since the lists alone state the action of a "
                f"file, got {options.split!r}"
            )
        place = options.lists or source
        lists = [names[0] for names in self.lists.values()]
        missing = [name for name in lists if not (place / name).is_file()]
        if missing:
            raise DatasetError(
                f"{place}: expected {' and '.join(lists)}, which alone state the action of a "
                f"file; not there: {', '.join(missing)}; put it there, or name its folder with "
                "lists="
            )
        oddities = Oddities()
        naming = Naming(
            lists=self.lists,
            sample_of=self._sample_of,
            class_of=lambda sample: _action(sample.label, sample.where),
            number_of=ACTIONS.index,
        )
        manifest = split_officially(
            self.layout,
            source,
            found,
            naming,
            options=options,
            oddities=Oddities(),
            list_folders=(source,),
        )
        manifest = replace(
            converted(manifest, folder, self.read, oddities, progress),
            label_source="numbers in the lists, called as in the README",
        )
        return replace(manifest, notes=(*manifest.notes, *oddities.notes()))

    def _sample_of(self, path: str) -> str:
        below = path.rpartition(self.own_folder)[2] if self.own_folder else path
        return PurePosixPath(below).with_suffix("").as_posix()


def _action(number: int, where: str) -> str:
    if not 0 <= number < len(ACTIONS):
        raise DatasetError(
            f"{where}: expected the number of an action, 0 to {len(ACTIONS) - 1}, got {number}; "
            "get the lists again"
        )
    return ACTIONS[number]
