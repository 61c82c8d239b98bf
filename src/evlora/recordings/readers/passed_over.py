"""What files of arrays hold beside what was read, so that a second recording is never silent."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evlora.messages import listed
from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.locating import Located, described

FEW_VALUES = 3
"""An array of so few states something of the others: a size, a unit, a label."""
NAMES_SHOWN = 8
CAMERA = re.compile(r"(cam|camera|sensor|device|source)([_ ]?(id|idx|index|no|nr|number))?", re.I)
"""Names of what may number the cameras of events that lie in one table."""


def note_passed_over(
    arrays: Mapping[str, Any], where: Located | None, taken: Iterable[str], findings: Findings
) -> None:
    """Note the arrays, and the members of those that were read, that were not read.

    Args:
        arrays: Everything in the file, by the names that `where` has.
        where: Where the events lie among them; None where there are none.
        taken: What else was read, or is noted elsewhere.
        findings: Where to note them.
    """
    known = {*taken, *(() if where is None else (*where.arrays, *where.others))}
    others = {name: array for name, array in arrays.items() if name not in known}
    note_names([*large_arrays(others).values(), *_members(arrays, where)], findings)
    length = None if where is None else where.places["t"].length(arrays[where.places["t"].array])
    columns = [name for name, array in others.items() if array.shape == (length,)]
    note_cameras([*columns, *_members(arrays, where)], findings)


def note_names(names: Iterable[str], findings: Findings) -> None:
    """Note what was not read."""
    if shown := listed(names, at_most=NAMES_SHOWN, none=""):
        findings.remark(f"not read: {shown}")


def note_cameras(columns: Iterable[str], findings: Findings) -> None:
    """Warn of a column that may number cameras, whose events lie mixed in one table."""
    for name in columns:
        if CAMERA.fullmatch(name.partition(" of ")[0]):
            findings.warn(
                f"{name} was not read: where it numbers several cameras, their events are mixed "
                "here; save those of one camera as a file of its own"
            )


def large_arrays(arrays: Mapping[str, Any]) -> dict[str, str]:
    """Arrays of many numbers: their names, and how messages name them."""
    return {
        name: described(name, array)
        for name, array in arrays.items()
        if array.dtype.kind in "biufV" and array.size > FEW_VALUES
    }


def _members(arrays: Mapping[str, Any], where: Located | None) -> Iterator[str]:
    """The members of structured arrays that hold no field."""
    if where is None:
        return
    for name in where.arrays:
        read = {place.member for place in where.places.values() if place.array == name}
        members = arrays[name].dtype.names or ()
        yield from (f"{member} of {name}" for member in members if read and member not in read)
