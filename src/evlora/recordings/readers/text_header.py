"""What the first lines of a text file state: columns, unit of the times, sensor's size.

A line of names in any order, with more columns than four, quotes, or an index whose name is empty;
a comment that lists the columns among other words; `%geometry:` of Prophesee's converter; `x@640`
of faery; or nothing. What a line states is used, or the file is refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evlora.errors import RecordingError
from evlora.recordings.readers.fields import (
    BY_CALLER,
    FIELDS,
    Columns,
    field_of,
    named_fields,
    unit_named,
)

LONGEST_LINE_BYTES = 1 << 12
LONGEST_HEADER_LINES = 100
COMMENTS = "#%/"
GAPS = re.compile(r"[\s,;]+")
NUMBER = r"\D{1,4}(\d{1,9})"
WIDTH_FIRST = re.compile(rf"width{NUMBER}\D{{1,12}}height{NUMBER}", re.IGNORECASE)
HEIGHT_FIRST = re.compile(rf"height{NUMBER}\D{{1,12}}width{NUMBER}", re.IGNORECASE)
RESOLUTION = re.compile(
    r"(?:resolution|sensor|size|geometry)\W{1,4}(\d{1,9})\s*[x×]\s*(\d{1,9})", re.IGNORECASE
)
RESOLUTION_IN_BRACKETS = re.compile(
    r"(?:resolution|sensor|size|geometry)\W{1,4}[\[(]\s*(\d{2,5})\s*,\s*(\d{2,5})\s*[\])]",
    re.IGNORECASE,
)
RESOLUTION_BEHIND_NAME = re.compile(
    r"(?:resolution|sensor|camera)\b.{1,40}?\b(\d{2,5})\s*[x×]\s*(\d{2,5})\b", re.IGNORECASE
)
SEPARATOR = re.compile(r'\s*"?sep=.?"?\s*', re.IGNORECASE)
"""A line by which spreadsheets state what stands between the cells."""
GEOMETRY = re.compile(r"%\s*geometry\D{1,3}(\d{1,9})\s*[,x]\s*(\d{1,9})", re.IGNORECASE)
SIDE_OF_FAERY = re.compile(r"\b([xy])@(\d{1,9})\b", re.IGNORECASE)
UNIT_LINE = re.compile(r"\b(?:unit|units|timestamps? in|times? in)\W+(\w+)", re.IGNORECASE)
SIZES = (GEOMETRY, WIDTH_FIRST, RESOLUTION, RESOLUTION_IN_BRACKETS, RESOLUTION_BEHIND_NAME)
BRACKETS = re.compile(r"\s*[\[(]([^\])]*)[\])]")
TAB_BEHIND_COMMA = re.compile(r",\s|\s,")
BOM = b"\xef\xbb\xbf"
"""How some systems mark UTF-8 at the beginning of a file."""
DEFAULT_ORDER = {"t": 0, "x": 1, "y": 2, "p": 3}
METAVISION_ORDER = {"x": 0, "y": 1, "p": 2, "t": 3}
CURE = "name all columns in order with columns= or --columns, such as t,x,y,p"


@dataclass(frozen=True, slots=True)
class TextHeader:
    """What the first lines state."""

    order: Mapping[str, int]
    """Field → column."""
    columns: int | None
    """Columns of a line; None until a line of events is seen."""
    declared_by: str
    """What states the order; empty where nothing does and it is the usual one."""
    size: tuple[int, int] | None = None
    unit: str | None = None
    unit_by: str = ""
    start: int = 0
    """The byte at which the events begin."""
    lines: int = 0
    """Lines before the events."""
    is_prose: bool = False
    """Whether the order comes from a comment in words."""
    delimiter: str | None = None
    """What stands between the columns; None for blanks."""
    has_decimal_commas: bool = False
    others: tuple[str, ...] = ()
    """Names of further columns, which nobody reads."""


def read_text_header(path: Path, columns: Columns | None) -> TextHeader:
    """What the first lines of the file state, or the caller does.

    Args:
        path: The file.
        columns: The columns as the caller names them.

    Raises:
        RecordingError: The file is empty or no text, or its lines contradict each other.
    """
    header = TextHeader(DEFAULT_ORDER, None, "")
    names: Sequence[str] = ()
    line = ""
    with path.open("rb") as stream:
        for _ in range(LONGEST_HEADER_LINES):
            raw = stream.readline(LONGEST_LINE_BYTES)
            line = _text(path, raw)
            if not raw or not line.strip():
                if not raw:
                    break
            elif line.lstrip()[0] in COMMENTS:
                header = _with_comment(header, line)
            elif not header.lines and re.fullmatch(r"\s*\d{1,9}[\s,;]+\d{1,9}\s*", line):
                header = replace(header, size=_size(*re.findall(r"\d+", line)))  # E2VID
            elif SEPARATOR.fullmatch(line):
                pass
            elif names and (unit := _unit_below(names, line)) is not None:
                header = _with_unit(header, unit)
            elif _is_names(line):
                names = cells(line)
                header = _with_names(header, names, line, path, columns)
            else:
                break
            header = replace(header, start=header.start + len(raw), lines=header.lines + 1)
        else:
            raw = b""
    if not header.start and raw.startswith(BOM):
        header = replace(header, start=len(BOM))
    if not header.start and not line:
        raise RecordingError(f"{path}: expected lines of events, got an empty file")
    if columns is not None:
        header = _with_columns(header, columns, names, path)
    if not line.strip():
        return header
    return _fitted(header, line, path, may_have_row_names=columns is None)


def _text(path: Path, raw: bytes) -> str:
    """A line's text, whose bytes are UTF-8 or else those of Western European systems.

    Raises:
        RecordingError: It is UTF-16, of which every other byte is 0, or its lines end with
            carriage returns.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw:
        raise RecordingError(f"{path}: expected UTF-8, got UTF-16; save the text as UTF-8")
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError:
        line = raw.decode("latin-1")  # such as `t [µs]` of a spreadsheet
    if "\r" in line.rstrip("\r\n"):
        raise RecordingError(
            f"{path}: expected lines that end with a line feed, got bare carriage returns as of an "
            "old Mac; save the text with the line ends of today"
        )
    return line.removeprefix("\ufeff").rstrip("\r\n")


def cells(line: str) -> list[str]:
    """The cells of a line, without their quotes; an empty name at its start is a cell too."""
    # Brackets explain the cell that they follow: what stands in them divides nothing.
    line = BRACKETS.sub(lambda found: "(" + re.sub(r"[\s,;]+", "_", found[1]) + ")", line)
    delimiter = next((mark for mark in ";,\t" if mark in line), None)
    words = [word.strip().strip("\"'").strip() for word in line.split(delimiter)]
    while words and not words[-1]:
        words.pop()
    return words


def _is_names(line: str) -> bool:
    """Whether the line holds words rather than numbers."""
    words = [word for word in cells(line) if word]
    return (
        bool(words)
        and all(re.match(r"[^\W\d_]|_", word) for word in words)
        and not ({word.lower() for word in words} & {"true", "false", "nan", "inf"})
    )


def _unit_below(names: Sequence[str], line: str) -> str | None:
    """The unit of the times, where the line gives the unit of each column that `names` names."""
    words = cells(line)
    at = [n for n, name in enumerate(names) if (meant := field_of(name)) and meant[0] == "t"]
    return unit_named(words[at[0]]) if at and at[0] < len(words) <= len(names) else None


def _with_comment(header: TextHeader, line: str) -> TextHeader:
    content = line.lstrip(COMMENTS + "! ")
    geometry = GEOMETRY.search(line)
    header = _with_size(header, line)
    if geometry:
        return replace(
            header,
            order=METAVISION_ORDER,
            columns=4,
            declared_by="by the line %geometry of Prophesee's converter",
            is_prose=True,
        )
    unit = UNIT_LINE.search(content)
    meant = None if unit is None else field_of(f"t ({unit[1]})")
    if meant is not None and meant[1] is not None:
        header = replace(header, unit=meant[1], unit_by=f"by line {header.lines + 1}")
    words = cells(content)
    meanings = [_meaning(word) for word in words]
    order = _order(meanings)
    count: int | None = len(words)
    if order is None:  # in words, not in cells: they rank the four columns
        words = GAPS.split(BRACKETS.sub(" ", content))
        order, count = _order([field_of(word) for word in words], is_first_enough=True), None
    if order is None:
        return header
    stated = next((meant[1] for meant in meanings if meant and meant[0] == "t"), None)
    header = replace(
        header,
        order=order,
        columns=count,
        declared_by=f"by line {header.lines + 1}",
        is_prose=True,
    )
    return header if stated is None else _with_unit(header, stated)


def _with_names(
    header: TextHeader, names: Sequence[str], line: str, path: Path, columns: Columns | None
) -> TextHeader:
    header = _with_size(header, line)
    if columns is not None:
        return replace(header, columns=len(names))
    plain = [SIDE_OF_FAERY.sub(r"\1", name) for name in names]
    found = named_fields(plain, None, where=f"{path}: line {header.lines + 1}")
    if found is None:
        raise RecordingError(
            f"{path}: expected the names of t, x, y and p in line {header.lines + 1}, "
            f"got {line.strip()[:80]!r}; {CURE}"
        )
    order = {field: plain.index(found.names[field]) for field in FIELDS}
    header = replace(
        header,
        order=order,
        columns=len(plain),
        declared_by=f"by line {header.lines + 1}",
        is_prose=False,
        others=tuple(name for name in plain if name and name not in found.names.values()),
    )
    return header if found.unit is None else _with_unit(header, found.unit)


def _with_unit(header: TextHeader, unit: str) -> TextHeader:
    return replace(header, unit=unit, unit_by=f"by line {header.lines + 1}")


def _with_size(header: TextHeader, line: str) -> TextHeader:
    sides = {side.lower(): size for side, size in SIDE_OF_FAERY.findall(line)}
    if len(sides) == 2:
        return replace(header, size=_size(sides["x"], sides["y"]))
    for pattern in SIZES:
        if found := pattern.search(line):
            return replace(header, size=_size(found[1], found[2]))
    if found := HEIGHT_FIRST.search(line):
        return replace(header, size=_size(found[2], found[1]))
    return header


def _with_columns(
    header: TextHeader, columns: Columns, names: Sequence[str], path: Path
) -> TextHeader:
    """The order that the caller gives, whatever the lines state."""
    if not columns.names:
        order, count = columns.places, columns.count
    else:
        missing = [name for name in columns.names.values() if name not in names]
        if missing:
            raise RecordingError(
                f"{path}: expected columns named {', '.join(missing)} as columns= states, got "
                f"{', '.join(filter(None, names)) or 'no line of names'}"
            )
        order = {field: names.index(name) for field, name in columns.names.items()}
        count = len(names)
    return replace(
        header, order=order, columns=count, declared_by=BY_CALLER, is_prose=False, others=()
    )


def _fitted(header: TextHeader, line: str, path: Path, *, may_have_row_names: bool) -> TextHeader:
    """The header, checked against the first line of events."""
    delimiter = next((mark for mark in ";,\t" if mark in line), None)
    if delimiter == "," and "\t" in line and TAB_BEHIND_COMMA.search(line) is None:
        delimiter = "\t"
    has_decimal_commas = delimiter in (";", "\t") and "," in line
    header = replace(header, delimiter=delimiter, has_decimal_commas=has_decimal_commas)
    if has_decimal_commas:
        line = line.replace(",", ".")
    words = GAPS.split(line.strip(" ,;\t"))
    where, found = f"{path}: line {header.lines + 1}", len(words)
    if header.columns == found:
        return header
    if header.is_prose and found == 4:
        ranked = sorted(header.order, key=header.order.__getitem__)
        return replace(
            header, columns=4, order={field: place for place, field in enumerate(ranked)}
        )
    is_by_names = bool(header.declared_by) and not header.is_prose and may_have_row_names
    if is_by_names and header.columns == found - 1 and words[0].startswith(("'", '"')):
        # R names the rows, and gives the column of their names none.
        order = {field: place + 1 for field, place in header.order.items()}
        return replace(header, columns=found, order=order)
    if header.columns is None and found == 4:
        return replace(header, columns=4)
    expected = header.columns or 4
    by = header.declared_by or "as no line names the columns"
    raise RecordingError(
        f"{where}: expected an event of {expected} numbers {by}, got {line.strip()[:80]!r}; {CURE}"
    )


def _order(
    meanings: Sequence[tuple[str, str | None] | None], *, is_first_enough: bool = False
) -> dict[str, int] | None:
    """Field → place; None where a field is missing or, unless the first is enough, stands twice."""
    places: dict[str, list[int]] = {field: [] for field in FIELDS}
    for place, meant in enumerate(meanings):
        if meant is not None:
            places[meant[0]].append(place)
    counts = {len(found) for found in places.values()}
    if 0 in counts or (counts != {1} and not is_first_enough):
        return None
    return {field: found[0] for field, found in places.items()}


def _meaning(cell: str) -> tuple[str, str | None] | None:
    """The field that a cell of a comment names: alone, or as the first or last of its words."""
    words = cell.split()
    if not words:
        return None
    return field_of(cell) or field_of(words[-1]) or field_of(words[0])


def _size(width: str, height: str) -> tuple[int, int]:
    return int(width), int(height)
