"""Releases that are folders of classes or lists of files, as declarations of a few lines.

A `Release` states which files are recordings, what their classes are, and which splits were
published; `collect` does the rest, the same way for all of them. A layout's module hands on
`Options` and `RELEASE.collect`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from evlora.datasets.layouts.converting import converted
from evlora.datasets.layouts.naming import class_order
from evlora.datasets.layouts.official_split import ListOptions
from evlora.datasets.layouts.pairing import PictureOptions, paired
from evlora.datasets.layouts.published_splits import NamedSplit, choose_split
from evlora.datasets.layouts.recording_files import recordings_below
from evlora.datasets.layouts.sequences import Oddities
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import release_and_root, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.recordings import EventStream


class Options(ListOptions):
    """Which published split is taken, and what becomes of a release without its lists."""


def by_folder(path: PurePosixPath) -> str | None:
    """The class of a recording that lies in the folder of its class."""
    return path.parent.name or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How the authors of a dataset lay its files out."""

    layout: str
    """Name of its row in the table of layouts."""
    dataset: str
    """What its authors call it."""
    expected_tree: str
    """Lines of the tree, for messages."""
    suffixes: tuple[str, ...]
    """Of the files that are recordings."""
    advice: str
    """What to do about another tree."""
    sensor_px: tuple[int, int] | None = None
    """Width and height, where the files do not state them."""
    roots: tuple[str, ...] = ()
    """Names that the folder of the classes or splits may have."""
    classes: tuple[str, ...] = ()
    """All classes, where they are known; a recording of another one is refused."""
    class_of: Callable[[PurePosixPath], str | None] = by_folder
    """Path below the root → class; None where the path names none."""
    labels_from: str = "names of folders"
    """Where the classes come from, for results."""
    splits: Mapping[str, NamedSplit] = field(default_factory=dict[str, NamedSplit])
    """Published splits by name, the usual one first."""
    columns_of: Callable[[PurePosixPath], tuple[tuple[str, str], ...]] = lambda path: ()
    """Path below the root → what else it states of the sample, for slices."""
    read: Callable[[Path], EventStream] | None = None
    """Reads a file that is no recording yet, which `collect` then writes as one; None where the
    files are read as they are."""

    def collect(
        self, source: Path | None, folder: Path, options: Options, progress: Progress | None
    ) -> Manifest:
        """The manifest of the release in the folder `source`.

        Args:
            source: What the user named.
            folder: Where recordings are written, if the release holds none that can be read.
            options: What the user chose.
            progress: Receives the number of files done, and of all.

        Raises:
            DatasetError: The folder is not laid out so, there is no such split, or its lists
                contradict themselves or the files.
            RecordingError: A file that has to be converted cannot be read.
        """
        source = require_folder(source)
        release, root = release_and_root(source, *self.roots)
        reports = None if self.read is not None else progress
        oddities = Oddities()
        found = recordings_below(root, self.suffixes, oddities=oddities, progress=reports)
        samples = {
            path: self._sample(root, release, path, label)
            for path in found
            if (label := self.class_of(path)) is not None
        }
        self._require_classes(source, found, samples)
        manifest = choose_split(
            Manifest(
                self.layout,
                release,
                class_order({sample.label for sample in samples.values()}),
                (),
                dataset=self.dataset,
                label_source=self.labels_from,
            ),
            samples,
            self.splits,
            options=options,
            wanted=options.split,
            list_folders=(release, root),
            oddities=oddities,
        )
        if isinstance(options, PictureOptions):
            manifest = paired(manifest, options, is_converted=self.read is not None)
        if self.read is not None:
            manifest = converted(manifest, folder, self.read, oddities, progress)
        return replace(manifest, notes=(*manifest.notes, *oddities.notes()))

    def _sample(self, root: Path, release: Path, path: PurePosixPath, label: str) -> Sample:
        return Sample(
            path.with_suffix("").as_posix(),
            (root / path).relative_to(release).as_posix(),
            None,
            label,
            "",
            sensor_px=self.sensor_px,
            columns=self.columns_of(path),
        )

    def _require_classes(
        self,
        source: Path,
        found: list[PurePosixPath],
        samples: Mapping[PurePosixPath, Sample],
    ) -> None:
        """Check that there are recordings, and none of another class."""
        fault = ""
        suffixes = " or ".join(self.suffixes)
        if not found:
            fault = f"no {suffixes} file"
        elif lost := next((path for path in found if path not in samples), None):
            fault = f"{lost} lies in no folder of a class"
        elif self.classes:
            known = set(self.classes)
            other = next((s for s in samples.values() if s.label not in known), None)
            fault = "" if other is None else f"{other.label} is no class of {self.dataset}"
        if fault:
            raise wrong_tree(source, self.expected_tree, fault, self.advice)
