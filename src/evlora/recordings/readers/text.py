"""Text (`.txt`, `.csv`): one event a line, its fields apart by blanks, commas or semicolons.

The order of t, x, y and p stands in a line with their names; without one it is t x y p, as in the
Event Camera Dataset and the files of v2e, or x y p t behind the `%geometry:` line of Prophesee's
converter. Times with fractions are seconds, whole ones µs. The sensor's size is a first line of
two numbers (E2VID), `%geometry:width,height`, or a comment that names width and height.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.readers.fields import FIELD_NAMES, FieldDecoder
from evlora.recordings.recording import Recording

BLOCK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 1 << 12
LONGEST_HEADER_LINES = 100
COMMENTS = "#%/"
TRUTH = {"true": "1", "false": "0"}
GAPS = re.compile(r"[\s,;]+")
SIZE = re.compile(r"width\D{1,4}(\d{1,9})\D{1,12}height\D{1,4}(\d{1,9})", re.IGNORECASE)
GEOMETRY = re.compile(r"%\s*geometry\D{1,3}(\d{1,9})\s*[,x]\s*(\d{1,9})", re.IGNORECASE)


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events of the file; see `open_events`."""
    return collect(open_events(path, width=width, height=height))


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where no line says it.
        height: Rows of the sensor, likewise.

    Raises:
        RecordingError: Its first lines are no events, or no sensor size is known.
    """
    findings = Findings(path)
    layout = _layout(path)
    width, height = sensor_size(path, layout.size, width=width, height=height)
    order = " ".join(sorted(layout.order, key=layout.order.__getitem__))
    findings.remark(f"columns {order}, {layout.declared_by}")
    return EventFile("text", width, height, _decoded(path, layout, findings), findings)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the first lines say."""

    order: dict[str, int]
    """Field → column."""
    columns: int
    size: tuple[int, int] | None
    start: int
    """The byte at which the events begin."""
    lines: int
    """Lines before the events."""
    declared_by: str
    delimiter: str | None = None
    """What stands between the columns; None for blanks."""


DEFAULT_ORDER = {"t": 0, "x": 1, "y": 2, "p": 3}
METAVISION_ORDER = {"x": 0, "y": 1, "p": 2, "t": 3}


def _layout(path: Path) -> _Layout:
    layout = _Layout(DEFAULT_ORDER, 4, None, 0, 0, "the usual order as no line declares one")
    raw, line = b"", ""
    words: list[str] = []
    with path.open("rb") as stream:
        for _ in range(LONGEST_HEADER_LINES):
            raw = stream.readline(LONGEST_LINE_BYTES)
            line = raw.decode("utf-8", "replace").strip().removeprefix("\ufeff")
            words = GAPS.split(line.lstrip(COMMENTS + " ").strip(",; "))
            sizes = GEOMETRY.search(line) or SIZE.search(line)
            order = _declared_order(words)
            if sizes:
                layout = replace(layout, size=(int(sizes[1]), int(sizes[2])))
                if GEOMETRY.search(line):
                    declared = "by the line %geometry of Prophesee's converter"
                    layout = replace(layout, order=METAVISION_ORDER, declared_by=declared)
            elif order:
                declared = f"by line {layout.lines + 1}"
                layout = replace(layout, order=order, columns=len(words), declared_by=declared)
            elif not layout.lines and len(words) == 2 and all(map(str.isdecimal, words)):
                layout = replace(layout, size=(int(words[0][:9]), int(words[1][:9])))
            elif line and line[0] not in COMMENTS:
                break
            if not raw:
                break
            layout = replace(layout, start=layout.start + len(raw), lines=layout.lines + 1)
    if len(words) == len(layout.order) != layout.columns:
        # A comment in words names the columns among others: their order is what it says.
        ranked = sorted(layout.order, key=layout.order.__getitem__)
        layout = replace(layout, order={name: n for n, name in enumerate(ranked)}, columns=4)
    if raw and _numbers(line, layout) is None:
        raise RecordingError(
            f"{path}: expected an event of {layout.columns} numbers in line {layout.lines + 1}, "
            f"got {line[:80]!r}; a line with the names of t, x, y and p declares their order"
        )
    delimiter = next((mark for mark in ",;" if mark in line), None)
    layout = replace(layout, delimiter=delimiter)
    if not raw and not layout.start:
        raise RecordingError(f"{path}: expected lines of events, got an empty file")
    return layout


def _declared_order(words: list[str]) -> dict[str, int] | None:
    """The order that a line of names declares; None where it names something else."""
    names = [re.split(r"[\[(]", word.lower())[0] for word in words]
    order = {
        field: next((number for number, name in enumerate(names) if name in accepted), -1)
        for field, accepted in FIELD_NAMES.items()
    }
    return order if min(order.values()) >= 0 else None


class _BadLineError(Exception):
    """A line that is no event, with the events that come before it in its block."""

    def __init__(self, line: int, text: str, before: NDArray[Any]) -> None:
        super().__init__(f"line {line} is no event: {text[:80]!r}")
        self.before = before


def _decoded(path: Path, layout: _Layout, findings: Findings) -> Iterator[EventChunk]:
    decoder = FieldDecoder(findings)
    events, line = 0, layout.lines
    with path.open("rb") as stream:
        stream.seek(layout.start)
        for block in _blocks(stream):
            reason = ""
            try:
                fields = _parsed(block, line, layout)
            except _BadLineError as error:
                fields, reason = error.before, str(error)
            p = fields["p"]
            if len(p) and (p.min() < -1 or p.max() > 1):
                bad = int(np.argmax(np.abs(p.astype(np.float64)) > 1))
                reason = (
                    f"event {events + bad} has a polarity of {p[bad]}, expected 0, 1 or −1; if "
                    "the columns are in another order, declare it in a line with their names"
                )
                if not events + bad:
                    raise RecordingError(f"{path}: {reason}")
                fields = fields[:bad]
            events += len(fields)
            yield decoder.decode(*(fields[field] for field in "txyp"))
            if reason:
                findings.warn(f"{reason}; the {events} events before it were read")
                return
            line += block.count(b"\n")


def _parsed(block: bytes, line: int, layout: _Layout) -> NDArray[Any]:
    """The fields of a block's events, by numpy at once where every line is as it should be."""
    columns = [layout.order[field] for field in "txyp"]
    first = block.split(b"\n", 1)[0]
    try:
        return np.loadtxt(
            io.StringIO(block.decode("ascii")),
            [("t", "f8" if b"." in first else "i8"), ("x", "i4"), ("y", "i4"), ("p", "i1")],
            comments=None,
            delimiter=layout.delimiter,
            usecols=columns,
            ndmin=1,
        )
    except (ValueError, OverflowError):
        return _line_by_line(block, line, layout)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines; the last line gets its end where it has none."""
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block
            if len(rest) > LONGEST_LINE_BYTES:
                break
    if rest.strip():
        yield rest[:LONGEST_LINE_BYTES] + b"\n"


def _line_by_line(block: bytes, line: int, layout: _Layout) -> NDArray[Any]:
    rows: list[tuple[float, ...]] = []
    for raw in block.split(b"\n")[:-1]:
        line += 1
        text = raw.decode("utf-8", "replace").strip()
        if not text or text[0] in COMMENTS:
            continue
        numbers = _numbers(text, layout)
        if numbers is None:
            raise _BadLineError(line, text, _table(rows))
        rows.append(numbers)
    return _table(rows)


def _table(rows: list[tuple[float, ...]]) -> NDArray[Any]:
    # Python's whole numbers are exact; one fraction in a column makes the column floating.
    kinds = [np.array([row[n] for row in rows] or [0]).dtype for n in range(4)]
    return np.array(rows, np.dtype(list(zip("txyp", kinds, strict=True))))


def _numbers(text: str, layout: _Layout) -> tuple[float, ...] | None:
    """t, x, y and p of a line; None where it has other columns or something that is no number."""
    words = GAPS.split(text.strip(" ,;\t"))
    if len(words) != layout.columns:
        return None
    numbers: list[float] = []
    for field in "txyp":
        word = words[layout.order[field]].lower()
        word = TRUTH.get(word, word)
        try:
            number = float(word) if re.search(r"[.e]", word) else int(word)
        except ValueError:
            return None
        if not abs(number) < (2**62 if field == "t" else 2**31):
            return None
        numbers.append(number)
    if any(number != int(number) for number in numbers[1:]):
        return None
    return tuple(numbers)
