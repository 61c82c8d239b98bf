"""What the three Prophesee RAW formats share: opening the file, and reading its words in blocks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventChunk,
    EventFile,
    Findings,
    sensor_size,
)
from evlora.recordings.readers.prophesee_header import (
    ENCODINGS,
    SIZE_FIELDS,
    PropheseeHeader,
    read_header,
)
from evlora.recordings.triggers import FALLING, RISING

WordDecoder = Callable[[Iterator[tuple[int, NDArray[Any]]], Findings, int], Iterator[EventChunk]]
"""Blocks of words with their place in the file, findings, time base → chunks of events."""


def open_words(
    path: Path,
    encoding: str,
    dtype: str,
    decode: WordDecoder,
    *,
    width: int | None,
    height: int | None,
) -> EventFile:
    """The RAW file, opened, its header checked against the encoding.

    Raises:
        RecordingError: The header names another encoding, or no sensor size is known.
    """
    header = read_header(path)
    if path.stat().st_size == 0:
        raise RecordingError(f"{path}: expected Prophesee RAW data, got an empty file")
    if header.encoding not in (None, encoding):
        is_read = header.encoding in ENCODINGS
        cure = "read it as that format" if is_read else "which is not read here"
        raise RecordingError(
            f"{path}: expected {encoding}, the header states {header.encoding}; {cure}"
        )
    is_size_borrowed = header.is_of_expelliarmus and width is not None
    width, height = sensor_size(
        path,
        None if is_size_borrowed else header.size,
        width=width,
        height=height,
        hint="its header has neither geometry nor a known camera; Gen3 is 640×480, Gen4 1280×720",
        may_be_swapped=True,
    )
    findings = Findings(path)
    is_by_model = header.size is not None and not (is_size_borrowed or _states_size(header))
    if is_by_model:
        findings.remark(f"sensor of {width}×{height} by the camera's model in the header")
    if header.is_of_expelliarmus:
        _note_expelliarmus(encoding, findings)
    blocks = words(path, header.data_byte, np.dtype(dtype), findings)
    note_time_base(header, findings)
    chunks = decode(blocks, findings, header.time_base_us)
    return EventFile(encoding, width, height, chunks, findings)


def _note_expelliarmus(encoding: str, findings: Findings) -> None:
    """Note what is known to be wrong with its files."""
    faults = "names the same camera whatever the sensor, give the true width and height"
    if encoding == "evt3":
        faults += "; its EVT3 files keep only the low 12 bits of the times: write EVT2 or DAT"
    findings.remark(f"written by expelliarmus, which {faults}")


def note_time_base(header: PropheseeHeader, findings: Findings) -> None:
    """Note what the header adds to all times."""
    if header.time_base_us:
        findings.remark(f"{header.time_base_us} µs were added to the times, as the header states")


def words(
    path: Path, start: int, dtype: np.dtype[Any], findings: Findings
) -> Iterator[tuple[int, NDArray[Any]]]:
    """The words from byte `start` on, in blocks, each with the byte at which it begins."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(start)
        while True:
            block = np.fromfile(stream, dtype, CHUNK_EVENTS)
            if len(block):
                yield start, block
                start += len(block) * dtype.itemsize
            if len(block) < CHUNK_EVENTS:
                break
            if findings.ends_at(start / size):
                return
    findings.read_share = 1.0
    rest = size - start
    if rest > 0:
        findings.warn(
            f"{rest} bytes at its end (byte {start}) make no whole word of {dtype.itemsize} bytes; "
            "all before them was read"
        )


class UnknownWords:
    """Counts the words of a type that the format reserves: in a sound file there are none."""

    def __init__(self, known: tuple[int, ...], findings: Findings) -> None:
        """A counter; `known` are the types that the format defines."""
        self._unknown = [kind for kind in range(16) if kind not in known]
        self._findings = findings
        self._count = 0
        self._first = 0

    def look_at(self, kinds: NDArray[Any], start: int, word_bytes: int) -> None:
        """Count those of a block that begins at byte `start`."""
        # To compare with each is faster than to look each word up.
        is_unknown = np.zeros(kinds.shape, np.bool_)
        for kind in self._unknown:
            is_unknown |= kinds == kind
        unknown = np.flatnonzero(is_unknown)
        if len(unknown) and not self._count:
            self._first = start + int(unknown[0]) * word_bytes
        self._count += len(unknown)

    def report(self) -> None:
        """Warn if there were any."""
        if self._count:
            self._findings.warn(
                f"{self._count} words are of types that the format does not have, first at byte "
                f"{self._first}; they were passed over, and events near them may be wrong"
            )


def keep_triggers(
    words: NDArray[Any],
    places: NDArray[Any],
    time_places: NDArray[Any],
    highs: NDArray[np.int64],
    findings: Findings,
) -> None:
    """Keep the external triggers of EVT 2.0 words, or of the upper halves of EVT 2.1's.

    Args:
        words: Trigger words, shape (N,): low 6 bits of the time, 5 bits of input, 1 bit of level.
        places: Where each stands, shape (N,).
        time_places: Where the time words stand, shape (M,).
        highs: The time's high part before them, −1 where there is none yet, and by each of them,
            in µs, shape (M + 1,).
        findings: Where triggers are kept.
    """
    times = highs.take(np.searchsorted(time_places, places))
    is_timed = times >= 0
    words = words[is_timed]
    t_us = times[is_timed] + (words >> 22 & 0x3F).astype(np.int64)
    findings.add_triggers(t_us, words >> 8 & 0x1F, edges_of(words))


def set_bits(masks: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.uint16]:
    """The numbers of the set bits of all masks, one mask after the other, the lowest bit first.

    Args:
        masks: Unsigned, of 16 or 32 bits, shape (N,).
        counts: How many bits of each are set, shape (N,).

    Returns:
        As many as all counts make.
    """
    # The lowest bit of each is found at once; only masks with more are worth unpacking.
    rest = masks & (masks - masks.dtype.type(1))
    present = counts > 0
    lowest = np.bitwise_count((masks ^ rest) - masks.dtype.type(1))[present].astype(np.uint16)
    more = np.flatnonzero(rest)
    if not len(more):
        return lowest
    numbers = np.empty(int(counts.sum(dtype=np.int64)), np.uint16)
    ends = np.cumsum(counts, dtype=np.int64)
    is_lowest = np.zeros(len(numbers), np.bool_)
    is_lowest[(ends - counts)[present]] = True
    numbers[is_lowest] = lowest
    bits = np.unpackbits(rest[more].view(np.uint8), bitorder="little").view(np.bool_)
    numbers[~is_lowest] = np.flatnonzero(bits) & (8 * masks.itemsize - 1)
    return numbers


def edges_of(words: NDArray[Any]) -> NDArray[np.int8]:
    """The polarity of triggers whose lowest bit is the level behind the edge."""
    return np.where(words & 1, RISING, FALLING).astype(np.int8)


def report_untimed(count: int, findings: Findings) -> None:
    """Warn of events that come before the file has given any time, if there were any."""
    if count:
        findings.warn(f"{count} events stand before the first time word; they were skipped")


def _states_size(header: PropheseeHeader) -> bool:
    return not {*SIZE_FIELDS}.isdisjoint(header.fields) or {"width", "height"} <= {
        *header.option,
        *header.fields,
    }
