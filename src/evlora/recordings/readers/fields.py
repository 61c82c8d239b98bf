"""The names of t, x, y and p in text, npy, npz, HDF5 and MATLAB files, and the units they state.

A file names its columns, or the caller does. The name of the times may end with their unit
(`t_ns`, `time [ms]`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evlora.errors import RecordingError

FIELDS = "txyp"
BY_CALLER = "as the caller states"
"""What states columns or a unit, in remarks and errors."""


def _spellings(axis: str) -> tuple[str, ...]:
    """What people call the column (`x`) or the row (`y`) of an event beside its letter."""
    words = ("pos", "coord", "addr", "address", "pixel", "px")
    joined = (f"{axis}pos", f"{axis}coord", f"{axis}addr")
    plural = (f"{axis}_coordinate", f"{axis}_coordinates", f"{axis}_coords")
    return (*(f"{axis}_{word}" for word in words), *(f"{word}_{axis}" for word in words),
            *joined, *plural)  # fmt: skip


FIELD_NAMES: Mapping[str, tuple[str, ...]] = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", *_spellings("x"), "col", "column"),
    "y": ("y", "ys", *_spellings("y"), "row"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on", "is_on"),
}
"""The names under which the four fields are accepted, in any case of letters; the name of the time
may end with its unit."""
PREFIXES = ("event", "events", "dvs")
"""Words before a field's name that add nothing to it, as in `events_x`."""
UNIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"),
    "us": ("us", "µs", "μs", "usec", "usecs", "micros", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"),
}
UNIT_NS: Mapping[str, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Each unit in nanoseconds."""


def field_of(name: str) -> tuple[str, str | None] | None:
    """The field that a name stands for, and the unit it states; None where it is another thing."""
    words = [word for word in re.split(r"[^a-z0-9µμ]+", name.lower()) if word]
    if len(words) > 1 and words[0] in PREFIXES:
        words = words[1:]
    if "_".join(words) in _FIELD_OF_NAME:
        return _FIELD_OF_NAME["_".join(words)], None
    units = [_UNIT_OF_WORD[word] for word in words[1:] if word in _UNIT_OF_WORD]
    if words and _FIELD_OF_NAME.get(words[0]) == "t" and len(units) == 1:
        return "t", units[0]
    # What else stands in brackets explains the name: `polarity (0=off, 1=on)`.
    plain = re.sub(r"[\[(].*", "", name).strip()
    return field_of(plain) if plain and plain != name.strip() else None


def unit_named(word: str) -> str | None:
    """The unit that a word stands for, as `s`, `ms`, `us` or `ns`; None where it is none."""
    return _UNIT_OF_WORD.get(word.strip().strip("[]()").lower())


def named_unit(word: str) -> str:
    """The unit that the caller names, as `s`, `ms`, `us` or `ns`.

    Raises:
        RecordingError: It is no unit of time.
    """
    unit = unit_named(word)
    if unit is None:
        raise RecordingError(f"unit: expected s, ms, us or ns, got {word!r}")
    return unit


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold t, x, y and p, as the caller states."""

    places: Mapping[str, int]
    """Field → place among the columns; empty where the caller gives names."""
    names: Mapping[str, str]
    """Field → name in the file; empty where the caller gives the order."""
    count: int
    """Columns that there must be, where the caller gives the order."""

    @classmethod
    def parsed(cls, given: str | Sequence[str]) -> "Columns":
        """The columns named in order (`t,x,y,p`) or by their names (`t=stamps,x=col,y=row,p=on`).

        In order, every column has a name; those other than t, x, y and p are passed over.

        Raises:
            RecordingError: A field is missing or stands there twice.
        """
        words = given.split(",") if isinstance(given, str) else list(given)
        words = [word.strip() for word in words]
        pairs = [word.partition("=") for word in words]
        fields = [field.strip().lower() for field, _, _ in pairs]
        by_name = any(separator for _, separator, _ in pairs)
        found = [field for field in fields if field in FIELDS]
        is_whole = sorted(found) == sorted(FIELDS)
        if by_name:
            is_whole = is_whole and len(fields) == 4 and all(name.strip() for _, _, name in pairs)
        if not is_whole:
            raise RecordingError(
                "columns: expected t, x, y and p once each, in their order (t,x,y,p; any other "
                "word passes over a column) or with their names (t=stamps,x=col,y=row,p=on), got "
                f"{','.join(words)!r}"
            )
        if by_name:
            names = {field: name.strip() for field, (_, _, name) in zip(fields, pairs, strict=True)}
            return cls({}, names, 0)
        return cls({field: fields.index(field) for field in FIELDS}, {}, len(fields))


@dataclass(frozen=True, slots=True)
class Declared:
    """What the caller states of a file's fields."""

    columns: Columns | None = None
    unit: str | None = None
    """Of the times: `s`, `ms`, `us` or `ns`."""

    @classmethod
    def by_caller(cls, columns: "Columns | None", unit: str | None) -> "Declared":
        """The columns, and the unit by any of its names; see `named_unit`."""
        return cls(columns, None if unit is None else named_unit(unit))

    def unit_or(self, unit: str | None, unit_by: str) -> tuple[str | None, str]:
        """The unit of the times and what states it: the caller, else the file."""
        return (unit, unit_by) if self.unit is None else (self.unit, BY_CALLER)


NOTHING_DECLARED = Declared()


@dataclass(frozen=True, slots=True)
class NamedFields:
    """Which name holds each field, and the unit that the name of the time states."""

    names: Mapping[str, str]
    unit: str | None


def named_fields(
    names: Iterable[str], declared: Columns | None, *, where: str
) -> NamedFields | None:
    """Which of these names holds t, x, y and p; None where one of them is missing.

    Args:
        names: All names.
        declared: The columns by name, as the caller gives them.
        where: What they are names of, for the message.

    Raises:
        RecordingError: A field has two names.
    """
    present = list(names)
    if declared is not None and declared.names:
        wanted = declared.names
        unit = field_of(wanted["t"])
        is_there = set(wanted.values()) <= set(present)
        return NamedFields(wanted, unit[1] if unit else None) if is_there else None
    found: dict[str, list[tuple[str, str | None]]] = {field: [] for field in FIELDS}
    for name in present:
        meant = field_of(name)
        if meant is not None:
            found[meant[0]].append((name, meant[1]))
    if not all(found.values()):
        return None
    doubled = [name for names in found.values() if len(names) > 1 for name, _ in names]
    if doubled:
        raise RecordingError(
            f"{where}: expected one name per field, got {', '.join(doubled)}; say which with "
            "columns= or --columns, such as t=…,x=…,y=…,p=…"
        )
    return NamedFields({field: found[field][0][0] for field in FIELDS}, found["t"][0][1])


def expected_names() -> str:
    """The names of the fields, for a message."""
    return ", ".join("/".join(FIELD_NAMES[field][:5]) + "…" for field in FIELDS)


_FIELD_OF_NAME = {name: field for field, names in FIELD_NAMES.items() for name in names}
_UNIT_OF_WORD = {word: unit for unit, words in UNIT_WORDS.items() for word in words}
