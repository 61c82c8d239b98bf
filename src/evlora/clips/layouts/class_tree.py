"""Folders named after classes: `class/sample`, or `split/class/sample`.

A sample is one of these:

- a recording (`.aedat4`, `.npz`, `.bin`, …), with its own frames or with a picture, a video or a
  folder of pictures of the same name beside it;
- a picture, a video or a folder of pictures alone;
- a folder with `event` (a recording, or a folder with one in it), `rgb` (a picture, a video or a
  folder of pictures), or both.

Without folders for splits, a part of each class becomes the test split.
"""

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from pydantic import Field, NonNegativeInt

from evlora.clips.layouts.naming import class_order, split_name
from evlora.clips.layouts.table import Progress
from evlora.clips.manifest import EVENT_SUFFIXES, FRAME_SUFFIXES, Manifest, Sample, choose_evenly
from evlora.config import Config
from evlora.errors import DatasetError

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
      event/
        events.npz
      rgb/
        000.png
        001.png
test/
  some_class/
    …"""
LINES_SHOWN = 14
ENTRIES_SHOWN = 4


class Options(Config):
    """What becomes of a tree without splits."""

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that becomes the test split, where the tree has no splits."""
    seed: NonNegativeInt = 0
    """Picks that share."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the tree in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out like this; the message shows both trees.
    """
    del folder, progress  # nothing is made, and listing folders takes no time
    if not source.is_dir():
        raise DatasetError(f"{source}: expected a folder of classes, found a file; name a folder")
    tops = _folders(source)
    splits = [top for top in tops if split_name(top.name)]
    if splits and len(splits) < len(tops):
        others = ", ".join(top.name for top in tops if not split_name(top.name))
        raise _wrong_tree(source, f"{others} beside the splits")
    samples: list[Sample] = []
    unknown: list[Path] = []
    for split in splits or [source]:
        for class_folder in _folders(split):
            entries = _entries(class_folder)
            unknown += [entry for entry in entries if not _is_known(entry)]
            by_name = _grouped([entry for entry in entries if _is_known(entry)])
            samples += [
                _sample(class_folder / name, same, source, split_name(split.name) or "train")
                for name, same in by_name.items()
            ]
    if not samples:
        raise _wrong_tree(source, "no sample in a folder of a class")
    notes: list[str] = []
    if unknown:
        notes.append(
            f"{source}: passed over {len(unknown)} files of no known format, "
            f"such as {unknown[0].relative_to(source)}"
        )
    if not splits:
        held_out = choose_evenly(samples, options.test_fraction, seed=options.seed)
        samples = [
            replace(sample, split="test") if sample.sample in held_out else sample
            for sample in samples
        ]
        notes.append(
            f"{source}: no folders for splits; {len(held_out)} of {len(samples)} samples became "
            f"the test split, evenly from the classes (seed {options.seed})"
        )
    labels = class_order(sample.label for sample in samples)
    return Manifest("class_tree", source.resolve(), labels, tuple(samples), tuple(notes))


def _sample(path: Path, entries: list[Path], source: Path, split: str) -> Sample:
    """The sample of this name, made of the entries that share it."""
    events = [entry for entry in entries if _is_recording(entry)]
    frames = [entry for entry in entries if _is_frames(entry)]
    for entry in entries:
        for part in _entries(entry) if entry.is_dir() else []:
            if part.stem.lower() in EVENT_NAMES:
                inside = _entries(part) if part.is_dir() else [part]
                events += [file for file in inside if _is_recording(file)]
            elif part.stem.lower() in FRAME_NAMES and _is_frames(part):
                frames.append(part)
    for kind, found in (("recordings", events), ("pictures, videos or folders", frames)):
        if len(found) > 1:
            raise _wrong_tree(source, f"{len(found)} {kind} for {path.relative_to(source)}")
    if not events and not frames:
        raise _wrong_tree(source, f"no recording and no picture in {path.relative_to(source)}")
    return Sample(
        path.relative_to(source).as_posix(),
        events[0].relative_to(source).as_posix() if events else None,
        frames[0].relative_to(source).as_posix() if frames else None,
        path.parent.name,
        split,
    )


def _grouped(entries: list[Path]) -> dict[str, list[Path]]:
    by_name: dict[str, list[Path]] = {}
    for entry in entries:
        by_name.setdefault(entry.name if entry.is_dir() else entry.stem, []).append(entry)
    return by_name


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _is_known(entry: Path) -> bool:
    return entry.is_dir() or _is_recording(entry) or _is_frames(entry)


def _is_recording(entry: Path) -> bool:
    return entry.is_file() and entry.suffix.lower() in EVENT_SUFFIXES


def _is_frames(entry: Path) -> bool:
    if not entry.is_dir():
        return entry.suffix.lower() in FRAME_SUFFIXES
    parts = _entries(entry)
    has_named_parts = any(part.stem.lower() in (*EVENT_NAMES, *FRAME_NAMES) for part in parts)
    return not has_named_parts and any(_is_frames(part) for part in parts if part.is_file())


def _wrong_tree(source: Path, found: str) -> DatasetError:
    expected, present = EXPECTED_TREE.splitlines(), _listing(source)
    width = max(map(len, expected)) + 3
    rows = [
        f"  {left:{width}}{right}".rstrip()
        for left, right in zip_longest(
            ["expected:", *expected], [f"found in {source.name}/:", *present], fillvalue=""
        )
    ]
    return DatasetError(
        f"{source}: expected folders of classes with recordings or pictures, found {found}\n"
        + "\n".join(rows)
        + "\nlay the folder out like this, or list its samples in a table and use the layout csv"
    )


def _listing(folder: Path, indent: str = "") -> list[str]:
    """The first lines of the tree below a folder."""
    entries = _entries(folder)
    lines: list[str] = []
    for entry in entries[:ENTRIES_SHOWN]:
        lines.append(indent + entry.name + ("/" if entry.is_dir() else ""))
        if entry.is_dir():
            lines += _listing(entry, indent + "  ")
    if len(entries) > ENTRIES_SHOWN:
        lines.append(f"{indent}… {len(entries) - ENTRIES_SHOWN} more")
    return lines[:LINES_SHOWN]
