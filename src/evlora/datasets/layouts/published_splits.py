"""Splits that people publish for a dataset, by name: folders, lists of paths, or lists that ship.

The part on which its authors report figures is `test` here, whatever they call it, so that no
checkpoint is chosen on it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path, PurePosixPath

from evlora.datasets.layouts.official_split import (
    EVEN,
    ListOptions,
    require_no_lists_below,
    split_below,
    split_evenly,
)
from evlora.datasets.layouts.sequences import Oddities
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.messages import suggestion
from evlora.untrusted import read_text

Found = Mapping[PurePosixPath, Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSplit:
    """A published split; one of `folders`, `lists` and `shipped` defines it."""

    by: str
    """Who published it and where, for results."""
    folders: Mapping[str, str] = field(default_factory=dict[str, str])
    """Pattern of a folder's name, the first in the path → split."""
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Split → the names that its list of paths may have."""
    shipped: str = ""
    """File of this package that names the samples of test; all others are train."""
    parts: int = 2
    """Last parts of a path by which lists name a sample."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Samples of each split, as published; empty where nobody states them."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A line of a list."""

    split: str
    where: str


def choose_split(
    manifest: Manifest,
    found: Found,
    splits: Mapping[str, NamedSplit],
    *,
    options: ListOptions,
    wanted: str | None,
    list_folders: Sequence[Path],
    oddities: Oddities,
) -> Manifest:
    """The manifest with its samples in a published split, or in one that is chosen evenly.

    Args:
        manifest: Without samples.
        found: Path below the root → sample.
        splits: Published ones, by name.
        options: Where lists lie, and what is done without them.
        wanted: Name of the split; None takes the first whose lists or folders are there.
        list_folders: Where to look for lists, unless `options` names a folder.
        oddities: Takes what is odd.

    Raises:
        DatasetError: There is no such split, its lists or folders are missing, or they contradict
            themselves or the files.
    """
    places = [options.lists] if options.lists is not None else list(list_folders)
    if wanted is not None and wanted != EVEN and wanted not in splits:
        names = [*splits, EVEN]
        raise DatasetError(
            f"{manifest.source}: expected split= as {' or '.join(names)}, got {wanted!r}; "
            f"{suggestion(wanted, names)}"
        )
    for name, split in splits.items():
        if wanted not in (None, name):
            continue
        split_of = _split_of(split, found, places, options, oddities, source=manifest.source)
        if split_of is not None:
            return _in_split(manifest, found, (name, split), split_of, oddities)
        if wanted is not None:
            raise DatasetError(
                f"{manifest.source}: expected {_needs(split)} for split={name} ({split.by}), "
                f"found none in {' or '.join(map(str, places))}; get them, name their folder with "
                f"lists=, or choose another split"
            )
    if wanted is None:
        _require_none_below(splits.values(), found, places, manifest.source)
    needs = " and no ".join(_needs(split) for split in splits.values())
    reason = "split=even" if wanted == EVEN else needs and f"no {needs}"
    evenly = split_evenly(
        manifest.layout,
        manifest.source,
        found.values(),
        options,
        reason=reason or "nobody published one",
    )
    return replace(
        manifest,
        samples=evenly.samples,
        notes=evenly.notes,
        split_name=EVEN,
        split_source=evenly.split_source,
    )


def _require_none_below(
    splits: Collection[NamedSplit], found: Found, places: Sequence[Path], source: Path
) -> None:
    """Check that no lists or folders of a published split lie further down.

    Raises:
        DatasetError: They do.
    """
    names = [name for split in splits for names in split.lists.values() for name in names]
    require_no_lists_below(places, names)
    patterns = [pattern for split in splits for pattern in split.folders]
    for folder in sorted({path.parent for path in found}):
        for depth, name in enumerate(folder.parts):
            if depth and any(re.fullmatch(pattern, name) for pattern in patterns):
                raise split_below(source, "/".join(folder.parts[:depth]), [f"folder {name}"])


def _in_split(
    manifest: Manifest,
    found: Found,
    named: tuple[str, NamedSplit],
    split_of: Mapping[PurePosixPath, str],
    oddities: Oddities,
) -> Manifest:
    name, split = named
    for path in sorted(found.keys() - split_of.keys()):
        oddities.add(f"samples are in no part of the split {name} and were skipped", str(path))
    samples = tuple(replace(found[path], split=part) for path, part in split_of.items())
    made = replace(manifest, samples=samples, split_name=name, split_source=split.by)
    expected = {part: count for part, count in split.counts.items() if count}
    notes = [
        f"the split {name} has {count:,} samples in {part}, found {made.counts.get(part, 0):,}"
        for part, count in expected.items()
        if made.counts.get(part, 0) != count
    ]
    return replace(made, notes=(*made.notes, *notes))


def _split_of(
    split: NamedSplit,
    found: Found,
    places: Sequence[Path],
    options: ListOptions,
    oddities: Oddities,
    *,
    source: Path,
) -> dict[PurePosixPath, str] | None:
    """The split of each sample; None where the folders or lists are not there."""
    if split.folders:
        by_folder = {path: _of_folder(path, split.folders) for path in found}
        present = {path: part for path, part in by_folder.items() if part is not None}
        return present if "test" in present.values() else None
    if split.shipped:
        text = resources.files("evlora.datasets.layouts").joinpath(split.shipped).read_text("utf-8")
        in_test = shipped_names(text)
        named = dict.fromkeys(in_test, _Named("test", split.shipped))
        known = {_key(path.as_posix(), split.parts) for path in found}
        _require_there(named, known, options, oddities, source=source)
        return {
            path: "test" if _key(path.as_posix(), split.parts) in in_test else "train"
            for path in found
        }
    lists = _lists_in(places, split)
    if lists is None:
        return None
    named, repeated = _named_in(lists, split.parts)
    for line in repeated:
        oddities.add("lines repeat a sample of the same list and were skipped", line)
    path_of = {_key(path.as_posix(), split.parts): path for path in found}
    _require_there(named, path_of.keys(), options, oddities, source=source)
    return {path_of[key]: one.split for key, one in named.items() if key in path_of}


def _of_folder(path: PurePosixPath, folders: Mapping[str, str]) -> str | None:
    first = path.parts[0]
    return next((part for name, part in folders.items() if re.fullmatch(name, first)), None)


def _lists_in(places: Sequence[Path], split: NamedSplit) -> dict[str, Path] | None:
    """Split → its list; None where none is there.

    Raises:
        DatasetError: Only some of them are there.
    """
    for place in places:
        there = {
            part: path
            for part, names in split.lists.items()
            if (path := next((place / n for n in names if (place / n).is_file()), None))
        }
        if missing := [split.lists[part][0] for part in split.lists if part not in there]:
            if there:
                raise DatasetError(
                    f"{place}: expected the lists {_needs(split)} together, {', '.join(missing)} "
                    "is not there; get it too"
                )
            continue
        return there
    return None


def _named_in(lists: Mapping[str, Path], parts: int) -> tuple[dict[str, _Named], list[str]]:
    """Key → the line that names it, and lines that repeat one.

    Raises:
        DatasetError: A list is empty or no text, or a sample stands in two of them.
    """
    named: dict[str, _Named] = {}
    repeated: list[str] = []
    for split, path in lists.items():
        lines = read_text(path, DatasetError, encoding="utf-8-sig").splitlines()
        if not any(line.strip() for line in lines):
            raise DatasetError(f"{path}: expected a path a line, the file is empty; get it again")
        for number, line in enumerate(lines, start=1):
            # Behind a tab, EventBind's lists name the picture that belongs to the events.
            name = line.split("\t")[0].strip()
            if not name:
                continue
            key, here = _key(name, parts), _Named(split, f"{path.name} line {number}")
            first = named.setdefault(key, here)
            if first.split != split:
                raise DatasetError(
                    f"{path}: expected every sample in one list, found {key} in {first.where} and "
                    f"in {here.where}; get the lists again, all of one release"
                )
            if first is not here:
                repeated.append(f"{here.where} repeats {key} of {first.where}")
    return named, repeated


def _require_there(
    named: Mapping[str, _Named],
    known: Collection[str],
    options: ListOptions,
    oddities: Oddities,
    *,
    source: Path,
) -> None:
    absent = [key for key in named if key not in known]
    if not absent:
        return
    if options.missing == "refuse" or len(absent) == len(named):
        raise DatasetError(
            f"{source}: expected all {len(named):,} samples that the split names, {len(absent):,} "
            f"are not there\n  {named[absent[0]].where} names: {absent[0]}\n"
            f"  on disk is, for example: {min(known)}\n"
            "unpack what is missing, or go on without it with missing=leave_out"
        )
    for key in absent:
        oddities.add("listed samples are not there and were skipped", f"{named[key].where}: {key}")


def _key(path: str, parts: int) -> str:
    """The last parts of a path, without the suffix."""
    words = path.replace("\\", "/").strip("/").split("/")[-parts:]
    return "/".join([*words[:-1], PurePosixPath(words[-1]).stem])


def shipped_names(text: str) -> set[str]:
    """The samples of a list in this package: a folder, a tab, and the names in it."""
    names: set[str] = set()
    for line in text.splitlines():
        folder, _, inside = line.partition("\t")
        if not line.startswith("#"):
            names.update(f"{folder}/{name}" for name in inside.split())
    return names


def _needs(split: NamedSplit) -> str:
    if split.folders:
        return f"folders {', '.join(split.folders)}"
    return ", ".join(names[0] for names in split.lists.values()) or split.shipped
