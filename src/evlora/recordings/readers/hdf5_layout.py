"""Where the events lie in an HDF5 file, and what it states of them: columns, unit, sensor, offset.

Files of DSEC, M3ED, MVSEC, v2e, event_utils, pandas, MATLAB 7.3 and this library differ in nothing
else. A group holds one data set per field, one with members, or one of plain columns; columns are
named by an attribute, by pandas beside them, or are known by what their writer always writes.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.readers.fields import Declared
from evlora.recordings.readers.hdf5_attributes import attributes_of, require_sound_heaps
from evlora.recordings.readers.hdf5_items import item_in, items_of
from evlora.recordings.readers.locating import (
    Located,
    StatedColumns,
    located,
    not_found,
)
from evlora.recordings.readers.passed_over import large_arrays
from evlora.recordings.readers.stated_size import stated_size
from evlora.recordings.readers.stated_time import stated_offset_us

READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)
"""What h5py raises on a damaged file, depending on where the damage is."""
DEEPEST_GROUP = 6
COLUMN_ATTRIBUTES = ("columns", "column_names", "fields", "names", "order")
IMAGES_BESIDE = ("image_raw", "frame", "frames")
"""Data sets of pictures from the same sensor as the events, whose shape is its size."""
V2E = StatedColumns(("t", "x", "y", "p"), "as v2e writes them", "us")
MVSEC = StatedColumns(("x", "y", "t", "p"), "as in MVSEC", "s")
ROWS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class EventSets:
    """The data sets that hold the events."""

    group: str
    """Their group, such as `/` or `/events`."""
    located: Located
    size: tuple[int, int] | None
    offset_us: int
    others: tuple[str, ...]
    """Further groups and data sets that could hold events."""
    another: str
    """The first of them, as the caller would name what lies in it."""
    home: str
    """The group in which the times themselves lie."""
    beside: Mapping[str, str]
    """Further data sets of many numbers by their paths, as messages name them."""
    is_dsec: bool

    def path_of(self, name: str) -> str:
        """A data set's path in the file."""
        return f"{self.group.rstrip('/')}/{name}"


def find_events(path: Path, declared: Declared) -> EventSets | None:
    """Where the events are; None where nothing holds all four fields.

    Raises:
        RecordingError: No HDF5 file, damaged in its structure, or two data sets for one field.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Located] = {}
            tree = _Tree()
            for name, group in _groups(file, tree):
                if (where := _in_group(path, group, declared, tree)) is not None:
                    found[name] = where
            if not found and declared.columns is not None and declared.columns.names:
                where = located(_every_set(file, tree), declared, where=str(path))
                if where is not None:
                    found["/"] = _with_unit(path, file, where, tree)
            if not found:
                return None
            return _chosen(path, file, found, tree)
    except READ_ERRORS as error:
        raise RecordingError(
            f"{path}: expected an HDF5 file, could not read it: {error}"
        ) from error


def _chosen(path: Path, file: Any, found: Mapping[str, Located], tree: "_Tree") -> EventSets:
    """The first of the groups that hold events, those of the usual names in front."""
    names = sorted(found, key=lambda name: (name not in ("/events", "/"), name))
    group, chosen = names[0], found[names[0]]
    times = item_in(file, f"{group}/{chosen.places['t'].array}")
    home = str(times.parent.name)
    others = (*chosen.others, *names[1:])
    read = {f"{group}/{name}".strip("/") for name in (*chosen.arrays, *chosen.others)}
    elsewhere = tuple(f"{name.strip('/')}/" for name in names[1:] if name != "/")
    beside = {
        name: item
        for name, item in _every_set(file, tree).items()
        if name not in read and not name.startswith(elsewhere)
    }
    return EventSets(
        group,
        replace(chosen, others=()),
        _size(path, file, home, tree),
        stated_offset_us(_values_beside(times.parent, tree), where=str(path)),
        others,
        _named(others, found, group),
        home,
        large_arrays(beside),
        "ms_to_idx" in file,
    )


def _named(others: Sequence[str], found: Mapping[str, Located], group: str) -> str:
    """The path of the first of these groups and data sets, where there is one."""
    if not others:
        return ""
    where = found.get(others[0])
    if where is None:
        return f"{group}/{others[0]}".strip("/")
    return f"{others[0]}/{where.arrays[0]}" if len(where.arrays) == 1 else others[0]


def _every_set(file: Any, tree: "_Tree") -> dict[str, Any]:
    """All data sets by their paths, without the slash in front."""
    return {
        f"{name.strip('/')}/{key}".strip("/"): item
        for name, group in _groups(file, tree)
        for key, item in tree.sets_of(group).items()
    }


def nothing_found(path: Path, declared: Declared) -> RecordingError:
    """The error that lists what the file holds, and what to do."""
    import h5py

    seen: dict[str, Any] = {}
    try:
        with h5py.File(path, "r") as file:
            tree = _Tree()
            for name, group in _groups(file, tree):
                for key, item in tree.sets_of(group).items():
                    seen[f"{name.rstrip('/')}/{key}"] = item
            what = "in the root, in `events` or in one group data sets or members named"
            return RecordingError(not_found(seen, declared.columns, where=str(path), what=what))
    except READ_ERRORS as error:
        return RecordingError(f"{path}: expected an HDF5 file, could not read it: {error}")


def present_rows(path: Path, data: Any, axis: int) -> int:
    """How many events the file really holds: a damaged length would be read as endless zeros."""
    try:
        shape = tuple(map(int, data.shape))
        axis = min(axis, len(shape) - 1)
        others = [(size, at) for at, size in enumerate(shape) if at != axis]
        if data.chunks is not None:
            beside = math.prod(-(-size // data.chunks[at]) for size, at in others)
            rows = data.id.get_num_chunks() // max(1, beside) * int(data.chunks[axis])
            return min(shape[axis], rows)
        row_bytes = data.dtype.itemsize * math.prod(size for size, _ in others)
        return min(shape[axis], data.id.get_storage_size() // max(1, row_bytes))
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: {data.name} is damaged: {error}") from error


class _Tree:
    """What the groups of an open file hold; each is looked through once, as that takes time."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Any]] = {}

    def items_of(self, group: Any) -> dict[str, Any]:
        """Groups and data sets by their names."""
        name = str(group.name)
        if name not in self._items:
            self._items[name] = items_of(group)
        return self._items[name]

    def sets_of(self, group: Any) -> dict[str, Any]:
        """Data sets by their names, those without values excluded."""
        import h5py

        return {
            key: item
            for key, item in self.items_of(group).items()
            if isinstance(item, h5py.Dataset) and item.shape is not None
        }

    def small_sets_of(self, group: Any) -> dict[str, Any]:
        """Data sets of so few values that they may be the size or the unit of others."""
        small = {key: item for key, item in self.sets_of(group).items() if item.size <= 3}
        if any(item.dtype.hasobject for item in small.values()):
            require_sound_heaps(Path(group.file.filename))
        return small


def _groups(file: Any, tree: _Tree) -> Iterator[tuple[str, Any]]:
    """All groups with their names, from the root down, each once."""
    import h5py

    waiting: list[tuple[str, Any, int]] = [("/", file["/"], 0)]
    seen: set[Any] = {file["/"]}
    while waiting:
        name, group, depth = waiting.pop(0)
        yield name, group
        for key, child in tree.items_of(group).items():
            # Behind # is what MATLAB's own cells point to.
            is_searched = isinstance(child, h5py.Group) and not key.startswith("#")
            if is_searched and depth < DEEPEST_GROUP and child not in seen:
                seen.add(child)
                waiting.append((f"{name.rstrip('/')}/{key}", child, depth + 1))


def _in_group(path: Path, group: Any, declared: Declared, tree: _Tree) -> Located | None:
    sets = tree.sets_of(group)
    header = {
        name: stated
        for name, item in sets.items()
        if (stated := _stated_columns(name, item, sets)) is not None
    }
    where = located(sets, declared, where=f"{path}: {group.name}", header=header)
    if where is None:
        return None
    return _with_unit(path, group, where, tree)


def _with_unit(path: Path, group: Any, where: Located, tree: _Tree) -> Located:
    """The events of this group with the unit that is stated beside their times."""
    times = item_in(group, where.places["t"].array)
    holders = [attributes_of(times), *_values_beside(times.parent, tree)]
    return where.with_stated_unit(holders, where=str(path))


def _values_beside(group: Any, tree: _Tree) -> list[dict[str, Any]]:
    """Attributes and small data sets of the root and of this group, by their names."""
    return [
        attributes_of(holder) | {key: item[()] for key, item in tree.small_sets_of(holder).items()}
        for holder in (group.file, group)
    ]


def _stated_columns(name: str, data: Any, sets: Mapping[str, Any]) -> StatedColumns | None:
    """The names of a plain data set's columns."""
    if len(data.shape) != 2 or data.dtype.kind not in "biuf":
        return None
    count = int(data.shape[1])
    for attribute in COLUMN_ATTRIBUTES:
        if attribute in data.attrs:
            names = _names(attributes_of(data)[attribute])
            return StatedColumns(names, f"by the attribute {attribute}") if names else None
    items = sets.get(f"{name.removesuffix('_values')}_items")
    if items is not None and name.endswith("_values") and items.shape == (count,):
        if items.dtype.hasobject:
            require_sound_heaps(Path(items.file.filename))
        return StatedColumns(_names(items[:]), "by pandas")
    if count != 4 or not len(data):
        return None
    first = np.asarray(data[:ROWS_LOOKED_AT])
    if data.name == "/events" and data.dtype == np.uint32:
        is_v2e = (np.diff(first[:, 0].astype(np.int64)) >= 0).all() and first[:, 3].max() <= 1
        return V2E if is_v2e else None
    if re.search(r"/davis/(left|right)/events$", data.name) and data.dtype.kind == "f":
        is_mvsec = (np.diff(first[:, 2]) >= 0).all() and np.isin(first[:, 3], (-1, 1)).all()
        return MVSEC if is_mvsec else None
    return None


def _names(value: Any) -> tuple[str, ...]:
    """The names in an attribute: several texts, or one that lists them."""
    texts = [_text(text) for text in np.asarray(value).reshape(-1)]
    if len(texts) == 1:
        words = [word for word in re.split(r"[\s,;]+", texts[0]) if word]
        texts = list(words[0]) if len(words) == 1 and sorted(words[0]) == sorted("txyp") else words
    return tuple(texts)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _size(path: Path, file: Any, group: str, tree: _Tree) -> tuple[int, int] | None:
    for holder in (file[group], file):
        size = stated_size(attributes_of(holder), where=str(path))
        if size is not None:
            return size
    resolution = item_in(file, f"{group}/calib/resolution")
    if resolution is not None and resolution.shape == (2,):
        return int(resolution[0]), int(resolution[1])
    for holder in (file[group], file):
        sets = tree.sets_of(holder)
        for name in IMAGES_BESIDE:
            if name in sets and len(sets[name].shape) in (3, 4):
                return int(sets[name].shape[2]), int(sets[name].shape[1])
        scalars = {key: item[()] for key, item in tree.small_sets_of(holder).items()}
        size = stated_size(scalars, where=str(path))
        if size is not None:
            return size
    return None
