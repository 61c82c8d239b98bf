"""Folders named after classes: `class/sample`, or `split/class/sample`.

A sample is one of these:

- a recording (`.aedat4`, `.npz`, `.bin`, …), with its own frames or with a picture, a video or a
  folder of pictures of the same name beside it;
- a picture, a video or a folder of pictures alone;
- a folder with `event` (a recording, a folder with one in it, or event images: a folder of them,
  a picture or a video), `rgb` (a picture, a video or a folder of pictures), or both.

With `subfolders=true`, a class may have folders inside, such as one for each session, that hold its
samples; the folder's name is the sample's `session` then. Without folders for splits, a part of
each class becomes the test split, or whole sessions with `apart=session`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from evlora.datasets.layouts.naming import class_order, folders_of_splits, split_name
from evlora.datasets.layouts.official_split import EvenSplit, split_evenly
from evlora.datasets.layouts.sensors import SensorOptions
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import entries, folders, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.messages import listed
from evlora.recordings.readers import is_of_events
from evlora.recordings.readers.table import EVENT_SUFFIXES, FRAME_SUFFIXES

EVENT_NAMES = ("event", "events")
FRAME_NAMES = ("rgb", "frame", "frames")
EXPECTED_TREE = """\
train/                 (or no splits)
  some_class/
    0001.aedat4
    0002.npz
    0003.bin
    0003.png           (frame of 0003.bin)
    0004/
      event/           (or event images)
        events.npz
      rgb/
        000.png
        001.png
test/
  some_class/
    …"""
ADVICE = "lay the folder out like this, or list its samples in a table and use the layout csv"
Kind = Literal["recording", "picture", "pictures", "folder"]
"""What lies in the folder of a class: a picture is a file, pictures are a folder of them, and any
other folder holds the parts of a sample."""
SESSION = "session"
BOTH_SIDES = "sessions of which train and test have samples; apart=session holds out whole ones"
IN_SUBFOLDERS = "; if that folder is a part of its class, such as a session, add subfolders=true"


class Options(EvenSplit, SensorOptions):
    """What becomes of a tree without splits, and the sensor of files that do not state it."""

    subfolders: bool = False
    """Take the samples in folders inside of a class's folder as samples of that class."""
    apart: str | None = None
    """`session`: no folder of this name inside of the classes gives both train and test."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the tree in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out like this; the message shows both trees.
    """
    del folder  # nothing is made
    source = require_folder(source)
    tops = folders(source)
    splits = [top for top in tops if split_name(top.name)]
    if splits and len(splits) < len(tops):
        others = ", ".join(top.name for top in tops if not split_name(top.name))
        raise _wrong(source, f"{others} beside the splits")
    samples: list[Sample] = []
    unknown: list[Path] = []
    empty: list[str] = []
    classes = [(split, folder) for split in splits or [source] for folder in folders(split)]
    for number, (split, class_folder) in enumerate(classes, start=1):
        by_path: dict[Path, dict[Path, Kind]] = {}
        for entry in _entries_of_class(class_folder, goes_deeper=options.subfolders):
            if (kind := _kind(entry)) is not None:
                name = entry.stem if kind in ("recording", "picture") else entry.name
                by_path.setdefault(entry.parent / name, {})[entry] = kind
            else:
                unknown.append(entry)
        label, split_of_it = class_folder.name, split_name(split.name) or "train"
        samples += [
            replace(
                _sample(path, same, source, label=label, split=split_of_it),
                columns=_session(path.relative_to(class_folder)),
            )
            for path, same in by_path.items()
        ]
        if not by_path:
            empty.append(str(class_folder.relative_to(source)))
        if progress is not None:
            progress(number, len(classes))
    if not samples:
        raise _wrong(source, "no sample in a folder of a class")
    notes = tuple(_notes(source, unknown, empty))
    if not splits:
        reason = "no folders for splits"
        place = source.resolve()
        manifest = split_evenly(
            "class_tree", place, samples, options, reason=reason, apart=options.apart
        )
        if mixed := _sessions(manifest, "train") & _sessions(manifest, "test"):
            notes += (f"{listed(sorted(mixed))}: {BOTH_SIDES}",)
        return replace(manifest, notes=(*notes, *manifest.notes))
    if options.apart is not None:
        raise DatasetError(
            f"{source}: expected apart={options.apart} for classes without folders for splits, got "
            f"{listed(split.name for split in splits)}, which are the split; remove apart"
        )
    return Manifest(
        "class_tree",
        source.resolve(),
        class_order(sample.label for sample in samples),
        tuple(samples),
        notes,
        split_source=folders_of_splits(split.name for split in splits),
    )


def _notes(source: Path, unknown: Sequence[Path], empty: Sequence[str]) -> Iterator[str]:
    if unknown:
        yield (
            f"{source}: passed over files of no known format: {len(unknown)}, such as "
            f"{unknown[0].relative_to(source)}"
        )
    if empty:
        yield f"{source}: no sample in {listed(empty)}, which gives no class"


def _entries_of_class(folder: Path, *, goes_deeper: bool) -> Iterator[Path]:
    """What lies in a class's folder and, where asked, in folders in it that are no samples."""
    for entry in entries(folder):
        if goes_deeper and entry.is_dir() and not _is_sample(entry):
            yield from _entries_of_class(entry, goes_deeper=True)
        else:
            yield entry


def _session(place: Path) -> tuple[tuple[str, str], ...]:
    """The column of a sample at this place in its class's folder, if it lies further inside."""
    return ((SESSION, place.parts[0]),) if len(place.parts) > 1 else ()


def _sessions(manifest: Manifest, split: str) -> set[str]:
    of_it = (sample for sample in manifest.samples if sample.split == split)
    return {session for sample in of_it if (session := sample.value_of(SESSION))}


def _is_sample(folder: Path) -> bool:
    names = {part.stem.lower() for part in entries(folder)}
    return _is_frames(folder) or not names.isdisjoint((*EVENT_NAMES, *FRAME_NAMES))


def _kind(entry: Path) -> Kind | None:
    """What an entry is; None for a file of no known format."""
    if entry.is_dir():
        return "pictures" if _is_frames(entry) else "folder"
    if is_of_events(entry):
        return "recording"
    return "picture" if entry.suffix.lower() in FRAME_SUFFIXES else None


def _sample(
    path: Path, same: Mapping[Path, Kind], source: Path, *, label: str, split: str
) -> Sample:
    """The sample of this name, made of the entries that share it."""
    events = [entry for entry, kind in same.items() if kind == "recording"]
    frames = [entry for entry, kind in same.items() if kind in ("picture", "pictures")]
    event_images: list[Path] = []
    for entry in (entry for entry, kind in same.items() if kind == "folder"):
        for part in entries(entry):
            name = part.stem.lower()
            if name in EVENT_NAMES and _is_frames(part):
                event_images.append(part)
            elif name in EVENT_NAMES:
                inside = entries(part) if part.is_dir() else [part]
                events += [file for file in inside if _is_recording(file)]
            elif name in FRAME_NAMES and _is_frames(part):
                frames.append(part)
    where = path.relative_to(source)
    for kind, found in (
        ("recordings", events),
        ("pictures, videos or folders", frames),
        ("sets of event images", event_images),
    ):
        if len(found) > 1:
            raise _wrong(source, f"{len(found)} {kind} for {where}")
    if not events and not frames and not event_images:
        raise _wrong(source, f"no recording and no picture in {where}", ADVICE + IN_SUBFOLDERS)
    events_path, frames_path, event_images_path = (
        found[0].relative_to(source).as_posix() if found else None
        for found in (events, frames, event_images)
    )
    return Sample(where.as_posix(), events_path, frames_path, label, split, event_images_path)


def _is_recording(entry: Path) -> bool:
    return entry.is_file() and is_of_events(entry)


def _is_frames(entry: Path) -> bool:
    """Whether it is a picture, a video or a folder of pictures, and nothing but that."""
    if not entry.is_dir():
        return entry.suffix.lower() in FRAME_SUFFIXES
    parts = entries(entry)
    if any(part.stem.lower() in (*EVENT_NAMES, *FRAME_NAMES) for part in parts):
        return False
    if any(part.suffix.lower() in EVENT_SUFFIXES and _is_recording(part) for part in parts):
        return False
    return any(part.suffix.lower() in FRAME_SUFFIXES for part in parts if part.is_file())


def _wrong(source: Path, found: str, advice: str = ADVICE) -> DatasetError:
    return wrong_tree(source, EXPECTED_TREE, found, advice)
