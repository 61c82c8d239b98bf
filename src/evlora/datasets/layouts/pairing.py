"""Pictures and events of the same object, joined by name: a sample of events gets its picture.

For datasets whose events were recorded of pictures that others publish, such as N-Caltech101 of
Caltech101. The index then starts at the folder that both lie in.
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from evlora.config import UserPath
from evlora.datasets.layouts.official_split import ListOptions
from evlora.datasets.layouts.recording_files import recordings_below
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.messages import listed
from evlora.recordings.readers.table import FRAME_SUFFIXES


def by_class_and_name(path: PurePosixPath) -> str:
    """`accordion/image_0001`, of Caltech101 and N-Caltech101."""
    return f"{path.parent.name}/{path.stem}"


def by_name(path: PurePosixPath) -> str:
    """`n01440764_10026`, of ImageNet and N-ImageNet, whose names are unique."""
    return path.stem


def by_class_and_number(path: PurePosixPath) -> str:
    """`airplane/12`, of CIFAR10-DVS and of CIFAR-10's pictures in folders of classes."""
    numbers = re.findall(r"\d+", path.stem)
    return f"{path.parent.name}/{int(numbers[-1]) if numbers else path.stem}"


class PictureOptions(ListOptions):
    """The pictures that the events were recorded of."""

    pictures: UserPath | None = None
    """Folder of the pictures; each sample of events gets the one of its name as its frame."""
    key_of: ClassVar[Callable[[PurePosixPath], str]] = by_class_and_name
    """What a recording and its picture have in common."""


def paired(manifest: Manifest, options: PictureOptions, *, is_converted: bool) -> Manifest:
    """The manifest with the picture of each sample as its frame.

    Args:
        manifest: Of events in files of their own.
        options: The pictures, and what becomes of samples without one.
        is_converted: Whether the recordings were written anew.

    Raises:
        DatasetError: There is no such folder, two pictures have one name, a sample has none, or the
            recordings were written anew and lie elsewhere.
    """
    folder = options.pictures
    if folder is None:
        return manifest
    if not folder.is_dir():
        raise DatasetError(f"pictures={folder}: expected a folder of pictures, found none there")
    if is_converted:
        raise DatasetError(
            f"pictures={folder}: expected recordings that are read where they lie, "
            f"{manifest.dataset or manifest.layout} is converted; prepare it first, then list "
            "both in a table and use the layout csv"
        )
    picture_of = _pictures(folder.resolve(), options)
    source = manifest.source.resolve()
    above = Path(os.path.commonpath([source, folder.resolve()]))
    own, theirs = source.relative_to(above), folder.resolve().relative_to(above)
    samples: list[Sample] = []
    lacking: list[str] = []
    used: set[str] = set()
    for sample in manifest.samples:
        assert sample.events is not None  # the layouts that pair list files of events
        key = type(options).key_of(PurePosixPath(sample.events))
        if key not in picture_of:
            lacking.append(key)
            continue
        used.add(key)
        events, frames = own / sample.events, theirs / picture_of[key]
        samples.append(replace(sample, events=events.as_posix(), frames=frames.as_posix()))
    if lacking and (options.missing == "refuse" or not samples):
        raise DatasetError(
            f"pictures={folder}: expected a picture for each of {len(manifest.samples):,} samples, "
            f"{len(lacking):,} have none: {listed(lacking, at_most=3)}; there are, for example: "
            f"{listed(sorted(picture_of)[:3])}; get them, or skip these with missing=leave_out"
        )
    notes = list(manifest.notes)
    if lacking:
        notes.append(f"{len(lacking):,} samples have no picture and were skipped: {lacking[0]}")
    if alone := sorted(picture_of.keys() - used):
        notes.append(f"{len(alone):,} pictures belong to no sample: {alone[0]}")
    return replace(manifest, source=above, samples=tuple(samples), notes=tuple(notes))


def _pictures(folder: Path, options: PictureOptions) -> dict[str, PurePosixPath]:
    """Key → path of a picture below the folder."""
    found: dict[str, PurePosixPath] = {}
    for path in recordings_below(folder, FRAME_SUFFIXES):
        key = type(options).key_of(path)
        if key in found:
            raise DatasetError(
                f"pictures={folder}: expected one picture for {key}, found {found[key]} and {path}"
                "; move one of them away"
            )
        found[key] = path
    return found
