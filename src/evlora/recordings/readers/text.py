"""Text (`.txt`, `.csv`): one event a line, its fields apart by blanks, commas or semicolons.

The order of t, x, y and p stands in a line with their names; without one it is t x y p, as in the
Event Camera Dataset and the files of v2e, or x y p t behind the `%geometry:` line of Prophesee's
converter. Times with fractions are seconds, whole ones µs, unless a name states their unit. The
sensor's size is a first line of two numbers (E2VID), `%geometry:width,height`, a comment that names
width and height, or `x@640,y@480` among the names (faery).
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    sensor_size,
)
from evlora.recordings.readers.field_decoder import FieldDecoder
from evlora.recordings.readers.fields import FIELDS, NOTHING_DECLARED, Declared
from evlora.recordings.readers.passed_over import note_cameras, note_names
from evlora.recordings.readers.text_header import (
    COMMENTS,
    CURE,
    GAPS,
    LONGEST_HEADER_LINES,
    LONGEST_LINE_BYTES,
    TextHeader,
    read_text_header,
)

BLOCK_BYTES = 1 << 20
TRUTH = {
    **{"true": "1", "t": "1", "on": "1", "+": "1", "pos": "1", "positive": "1"},
    **{"false": "0", "f": "0", "off": "0", "-": "0", "neg": "0", "negative": "0"},
}
"""Words for a polarity."""
LINES_LOOKED_AT = 20
"""Of a text file, to tell events from anything else that is written down."""
LARGEST_SHARE_BACKWARDS = 0.25
"""Events in the order of a camera seldom go back in time; other columns than times often do."""


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where no line states it.
        height: Rows of the sensor.
        declared: What the caller states of its columns and times, whatever its lines do.

    Raises:
        RecordingError: Its first lines are no events, or no sensor size is known.
    """
    findings = Findings(path)
    header = read_text_header(path, declared.columns)
    width, height = sensor_size(path, header.size, width=width, height=height, may_be_swapped=True)
    order = " ".join(sorted(header.order, key=header.order.__getitem__))
    is_declared = bool(header.declared_by)
    by = header.declared_by or "the usual order as no line declares one"
    findings.remark(f"columns {order}, {by}")
    note_names((f"column {name}" for name in header.others), findings)
    note_cameras(header.others, findings)
    unit, unit_by = declared.unit_or(header.unit, header.unit_by)
    decoder = FieldDecoder(findings, unit=unit, unit_by=unit_by)
    chunks = _decoded(path, header, decoder)
    doubt = "" if is_declared else f"no line names the columns, so t x y p was assumed: {CURE}"
    return EventFile(
        "text", width, height, _in_sensible_order(chunks, path, doubt), findings, doubt=doubt
    )


def _in_sensible_order(
    chunks: Iterator[EventChunk], path: Path, doubt: str
) -> Iterator[EventChunk]:
    """The chunks; where nobody named the columns, times that run to and fro are an error."""
    count = backwards = 0
    for chunk in chunks:
        if doubt:
            count += len(chunk.t_us)
            backwards += int(np.count_nonzero(chunk.t_us[1:] < chunk.t_us[:-1]))
            if backwards > max(1, LARGEST_SHARE_BACKWARDS * count):
                raise RecordingError(
                    f"{path}: the first column runs backwards {backwards} times in {count} lines, "
                    f"expected times; {doubt}"
                )
        yield chunk


def holds_events(path: Path) -> bool:
    """Whether one of the first lines that are no comments begins with four numbers.

    Raises:
        OSError: It cannot be read.
    """
    looked_at = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for _ in range(LONGEST_HEADER_LINES + LINES_LOOKED_AT):
            line = file.readline(LONGEST_LINE_BYTES)
            if looked_at == LINES_LOOKED_AT or not line:
                break
            if line.lstrip()[:1] in COMMENTS:
                continue
            looked_at += 1
            words = [_plain(word) for word in GAPS.split(line.strip(" ,;\t\r\n"))]
            if len(words) >= len(FIELDS) and all(map(_is_number, words[: len(FIELDS)])):
                return True
    return False


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


class _BadLineError(Exception):
    """A line that is no event, with the events that come before it in its block."""

    def __init__(self, line: int, text: str, before: NDArray[Any]) -> None:
        super().__init__(f"line {line} is no event: {text[:80]!r}")
        self.before = before


def _decoded(path: Path, header: TextHeader, decoder: FieldDecoder) -> Iterator[EventChunk]:
    findings = decoder.findings
    events, line, at, size = 0, header.lines, header.start, path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(header.start)
        for block in _blocks(stream):
            reason, cure = "", "mend the line, or cut the file there"
            try:
                fields = _parsed(block, line, header)
            except _BadLineError as error:
                fields, reason = error.before, str(error)
            p = fields["p"]
            if len(p) and (p.min() < -1 or p.max() > 1):
                bad = int(np.argmax(np.abs(p.astype(np.float64)) > 1))
                reason = f"event {events + bad} has a polarity of {p[bad]}, expected 0, 1 or −1"
                cure = "bring the polarities to 0 and 1, or name another column with columns="
                if not events + bad:
                    raise RecordingError(
                        f"{path}: {reason}; if the columns are in another order, declare it in a "
                        f"line with their names, or {CURE}"
                    )
                fields = fields[:bad]
            events += len(fields)
            if reason:
                at += int(len(block) * _share_before(fields, block))
                if at < size / 2:
                    raise RecordingError(
                        f"{path}: {reason}; only {events} events come before it, and most of the "
                        f"file behind it; {cure}"
                    )
            yield decoder.decode({field: fields[field] for field in FIELDS})
            if reason:
                findings.warn(f"{reason}; the {events} events before it were read")
                break
            line += block.count(b"\n")
            at += len(block)
            if findings.ends_at(at / size):
                break
    decoder.report()


def _share_before(fields: NDArray[Any], block: bytes) -> float:
    """The part of a block's lines that came before the one that is no event."""
    return len(fields) / max(1, block.count(b"\n"))


def _parsed(block: bytes, line: int, header: TextHeader) -> NDArray[Any]:
    """The fields of a block's events, by numpy at once where every line is as it should be."""
    if header.has_decimal_commas:
        block = block.replace(b",", b".")
    first = block.split(b"\n", 1)[0]
    try:
        text = block.decode("ascii")
        if header.delimiter is not None:
            # numpy passes over cells beyond those that it is asked for.
            mark = header.delimiter.encode()
            if block.count(mark) != first.count(mark) * block.count(b"\n"):
                return _line_by_line(block, line, header)
        return np.loadtxt(
            io.StringIO(text),
            [
                ("t", "f8" if re.search(rb"[.eE]", first) else "i8"),
                *(("x", "i4"), ("y", "i4"), ("p", "i1")),
            ],
            comments=None,
            delimiter=header.delimiter,
            usecols=[header.order[field] for field in FIELDS],
            quotechar='"' if b'"' in block else None,
            ndmin=1,
        )
    except (ValueError, OverflowError):
        return _line_by_line(block, line, header)


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


def _line_by_line(block: bytes, line: int, header: TextHeader) -> NDArray[Any]:
    rows: list[tuple[float, ...]] = []
    for raw in block.split(b"\n")[:-1]:
        line += 1
        text = raw.decode("utf-8", "replace").strip()
        if not text or text[0] in COMMENTS:
            continue
        numbers = _numbers(text, header)
        if numbers is None:
            raise _BadLineError(line, text, _table(rows))
        rows.append(numbers)
    return _table(rows)


def _plain(word: str) -> str:
    """A cell without quotes, and a word for a polarity as its number."""
    word = word.strip("\"'").lower()
    return TRUTH.get(word, word)


def _table(rows: list[tuple[float, ...]]) -> NDArray[Any]:
    # Python's whole numbers are exact; one fraction in a column makes the column floating.
    kinds = [np.array([row[n] for row in rows] or [0]).dtype for n in range(4)]
    return np.array(rows, np.dtype(list(zip(FIELDS, kinds, strict=True))))


def _numbers(text: str, header: TextHeader) -> tuple[float, ...] | None:
    """t, x, y and p of a line; None where it has other columns or something that is no number."""
    words = GAPS.split(text.strip(" ,;\t"))
    if len(words) != header.columns:
        return None
    numbers: list[float] = []
    for field in FIELDS:
        word = _plain(words[header.order[field]])
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
