"""Where t, x, y and p lie among the arrays of a file: npy, npz, HDF5 and MATLAB hold them alike.

They are one array each, the members of one structured array, or the columns of one plain array of
shape (N, K). A plain array does not state which column is which: the caller does, the file's
attributes do, or the tool is known by what it writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.messages import listed
from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.fields import (
    BY_CALLER,
    FIELDS,
    Columns,
    Declared,
    expected_names,
    named_fields,
)
from evlora.recordings.readers.stated_time import stated_unit

EVENT_ARRAYS = ("events", "event", "event_data", "data")
"""Names that go first where several arrays could hold the events, in any case of letters."""
NAMES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where one field lies."""

    array: str
    member: str | None = None
    """Of a structured array."""
    column: int | None = None
    """Of a plain one."""
    axis: int = 0
    """Along which the events lie; a vector may be a row."""

    def taken(self, values: NDArray[Any]) -> NDArray[Any]:
        """The field of the events in this part of the array, shape (N,)."""
        if self.member is not None:
            values = values[self.member]
        if self.column is not None:
            return values[:, self.column] if self.axis == 0 else values[self.column]
        return values.reshape(-1)

    def part(self, start: int, stop: int) -> tuple[slice, ...]:
        """What to read of the array for these events."""
        events = slice(start, stop)
        return (events,) if self.axis == 0 else (slice(None), events)

    def length(self, array: Any) -> int:
        """How many events this array holds."""
        return int(array.shape[min(self.axis, len(array.shape) - 1)])


@dataclass(frozen=True, slots=True)
class StatedColumns:
    """The columns of a plain array, as its file names them."""

    names: tuple[str, ...]
    stated_by: str
    """What names them, for the remark."""
    unit: str | None = None
    """Of the times, where whoever wrote the file always uses the same."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where the events lie, and what is known of them."""

    places: Mapping[str, Place]
    """Field → place."""
    declared_by: str
    """What states which column is which; empty where names do."""
    unit: str | None = None
    unit_by: str = ""
    others: tuple[str, ...] = ()
    """Arrays that could hold events too."""

    def with_unit(self, unit: str, unit_by: str) -> "Located":
        """The same places, with this unit of the times."""
        return replace(self, unit=unit, unit_by=unit_by)

    def with_stated_unit(self, holders: Iterable[Mapping[str, Any]], *, where: str) -> "Located":
        """The same places, with the unit that the file states apart, where no other is known.

        Raises:
            RecordingError: What is stated is no unit of time; see `stated_unit`.
        """
        if self.unit is not None or (stated := stated_unit(holders, where=where)) is None:
            return self
        return self.with_unit(stated[0], f"by {stated[1]}")

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays that hold the fields, each once."""
        return tuple(dict.fromkeys(place.array for place in self.places.values()))

    def fields(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The four fields, each of shape (N,), from arrays or the same part of each."""
        return {field: place.taken(arrays[place.array]) for field, place in self.places.items()}


def located(
    arrays: Mapping[str, Any],
    declared: Declared,
    *,
    where: str,
    header: Mapping[str, StatedColumns] | None = None,
) -> Located | None:
    """Where the events lie among these arrays; None where nothing names all four fields.

    Args:
        arrays: Name → array or data set, with `shape` and `dtype`.
        declared: What the caller states.
        where: The file, or the part of it, for messages.
        header: Name of a plain array → its columns, where the file names them.

    Raises:
        RecordingError: A field has two names, or what the caller states fits nothing.
    """
    columns = declared.columns
    found = _first(
        [
            *_vectors(arrays, columns, where),
            *_structured(arrays, columns, where),
            *_plain(arrays, columns, where, header or {}),
        ]
    )
    if found is None or declared.unit is None:
        return found
    return found.with_unit(declared.unit, BY_CALLER)


def require_located(
    arrays: Mapping[str, Any], declared: Declared, *, where: str, what: str
) -> Located:
    """The same as `located`; nothing found is an error that names what there is and what to do.

    Raises:
        RecordingError: Nothing holds the four fields.
    """
    found = located(arrays, declared, where=where)
    if found is not None:
        return found
    raise RecordingError(not_found(arrays, declared.columns, where=where, what=what))


def note_columns(found: Located, findings: Findings) -> None:
    """Note what the names of the columns do not say by themselves, and what was not read."""
    if found.declared_by:
        order = " ".join(sorted(FIELDS, key=lambda field: found.places[field].column or 0))
        findings.remark(f"columns {order}, {found.declared_by}")
    if found.others:
        names = ", ".join(found.others)
        verb = "was" if len(found.arrays) == 1 else "were"
        read = f"{', '.join(found.arrays)} {verb} read"
        findings.warn(f"events in {names} too; {read}; {cure_for(found.others[0])}")


def cure_for(name: str) -> str:
    """How to read this one of several recordings in a file."""
    name = name.strip("/")
    return (
        f"name its fields with columns= or --columns, such as t={name}/t (of its members) or "
        f"t={name}/0 (of its columns)"
    )


def not_found(arrays: Mapping[str, Any], columns: Columns | None, *, where: str, what: str) -> str:
    """The message that nothing holds the four fields, and what to do."""
    held = (described(name, array) for name, array in arrays.items())
    seen = listed(held, at_most=NAMES_SHOWN, none="nothing")
    if columns is not None:
        asked = columns.names.values() if columns.names else [f"{columns.count} columns"]
        return f"{where}: expected {', '.join(asked)} as columns= states, got {seen}"
    plain = [name for name, array in arrays.items() if _columns_of(array)]
    cure = "name them with columns= or --columns, such as t=…,x=…,y=…,p=…"
    if plain:
        cure = (
            f"{plain[0]} does not state which column is which: name all columns in order with "
            "columns= or --columns, such as t,x,y,p"
        )
    return (
        f"{where}: expected {what} t, x, y and p (or one of their other names: "
        f"{expected_names()}), got {seen}; {cure}"
    )


def _vectors(arrays: Mapping[str, Any], columns: Columns | None, where: str) -> list[Located]:
    """One array per field."""
    if columns is not None and not columns.names:
        return []
    vectors = [name for name, array in arrays.items() if _length(array) is not None]
    named = named_fields(vectors, columns, where=where)
    if named is None:
        return []
    places = {
        field: Place(name, axis=_long_axis(arrays[name].shape))
        for field, name in named.names.items()
    }
    return [Located(places, "", named.unit, _by_name(named.names, named.unit))]


def _structured(arrays: Mapping[str, Any], columns: Columns | None, where: str) -> list[Located]:
    """The members of one array."""
    candidates: list[Located] = []
    for name in _events_first(arrays):
        members = tuple(arrays[name].dtype.names or ())
        if not members or _length(arrays[name]) is None:
            continue
        if columns is not None and columns.places:
            if len(members) != columns.count:
                continue
            names = {field: members[place] for field, place in columns.places.items()}
            unit = None
        else:
            named = named_fields(members, _within(name, columns), where=f"{where}: {name}")
            if named is None:
                continue
            names, unit = dict(named.names), named.unit
        places = {field: Place(name, member=names[field]) for field in FIELDS}
        candidates.append(Located(places, "", unit, _by_name(names, unit)))
    return candidates


def _plain(
    arrays: Mapping[str, Any],
    columns: Columns | None,
    where: str,
    header: Mapping[str, StatedColumns],
) -> list[Located]:
    """The columns of one array of shape (N, K) or, as MATLAB lays them down, (K, N)."""
    candidates: list[Located] = []
    for name in _events_first(arrays):
        counts = _columns_of(arrays[name])
        if not counts:
            continue
        stated = header.get(name)
        wanted = _within(name, columns)
        unit, unit_by = None, ""
        if columns is not None and columns.places:
            count, order, declared_by = columns.count, dict(columns.places), BY_CALLER
        elif wanted is not None and all(map(str.isdecimal, wanted.names.values())):
            order = {field: int(number) for field, number in wanted.names.items()}
            count, declared_by = min(counts), BY_CALLER
            if max(order.values()) >= count:
                continue
        elif stated is not None:
            named = named_fields(stated.names, wanted, where=f"{where}: {name}")
            if named is None:
                continue
            count, declared_by = len(stated.names), stated.stated_by
            order = {field: stated.names.index(named.names[field]) for field in FIELDS}
            unit = named.unit or stated.unit
            unit_by = _by_name(named.names, named.unit) or stated.stated_by
        else:
            continue
        if count not in counts:
            continue
        axis = counts[count]
        places = {field: Place(name, column=order[field], axis=axis) for field in FIELDS}
        candidates.append(Located(places, declared_by, unit, unit_by))
    return candidates


def _within(name: str, columns: Columns | None) -> Columns | None:
    """The caller's names without that of the array, where all are `ARRAY/MEMBER` of this one."""
    if columns is None or not all(text.startswith(f"{name}/") for text in columns.names.values()):
        return columns
    names = {field: text.removeprefix(f"{name}/") for field, text in columns.names.items()}
    return Columns(columns.places, names, columns.count)


def _first(candidates: Sequence[Located]) -> Located | None:
    if not candidates:
        return None
    chosen, *others = candidates
    return replace(chosen, others=tuple(other.arrays[0] for other in others))


def _events_first(arrays: Mapping[str, Any]) -> list[str]:
    """The names, with those that are usual for events in front."""

    def rank(name: str) -> int:
        last = name.rpartition("/")[2].lower()
        return EVENT_ARRAYS.index(last) if last in EVENT_ARRAYS else len(EVENT_ARRAYS)

    return sorted(arrays, key=rank)


def _length(array: Any) -> int | None:
    """How many values a vector has, in whichever way it lies; None for anything else."""
    shape = array.shape
    if shape is None or not shape or sum(size != 1 for size in shape) > 1:
        return None
    return int(np.prod(shape)) if len(shape) <= 2 else None


def _long_axis(shape: tuple[int, ...]) -> int:
    """1 for a row of events, as MATLAB's vectors come out of HDF5."""
    return 1 if len(shape) == 2 and shape[0] == 1 else 0


def _columns_of(array: Any) -> dict[int, int]:
    """Number of columns → axis of the events, in both readings of a plain array."""
    shape = array.shape
    if shape is None or len(shape) != 2 or array.dtype.kind not in "biuf":
        return {}
    rows, columns = int(shape[0]), int(shape[1])
    return {rows: 1, columns: 0}


def _by_name(names: Mapping[str, str], unit: str | None) -> str:
    return "" if unit is None else f"by the name {names['t']}"


def described(name: str, array: Any) -> str:
    """An array in a message: its name, and its members or its shape where it has some."""
    shape = getattr(array, "shape", None)
    members = getattr(array.dtype, "names", None)
    if members:
        return f"{name} with {', '.join(members)}"
    return name if shape is None or len(shape) < 2 else f"{name} of shape {tuple(shape)}"
