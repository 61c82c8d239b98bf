"""A manifest whose lines all are as evlora writes them, with the usual keys alone: by columns.

A million lines are checked as a whole in seconds, and become samples when they are asked for. The
text stays in memory, with a few bytes of numbers for each line. Manifests with other lines are
read line by line (`storage`).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from evlora.datasets.samples import SPLITS, Sample, parse_lines
from evlora.garbage import not_collecting
from evlora.limits import limits

BLOCK_BYTES = 4 << 20
"""Text that is checked together."""
LINES_AT_ONCE = 10_000
"""How many become samples together."""
CHARACTER = rb'[^"\\\x00-\x1f]'
PATH = rb'"(?!/)%s{1,%d}+"'
LINE = (
    rb'^\{"sample": "(%s{1,%d}+)", (?:"events": PATH, "frames": (?:null|PATH)|'
    rb'"events": null, "frames": PATH), "label": "(%s{0,%d}+)", "split": "(train|val|test)"\}\n'
)
"""A line with a path at least; no text is longer than a name may be."""
OUTSIDE = b".."
"""What a relative path that leads out of a folder has somewhere."""

Numbers = NDArray[np.int64]


class PlainSamples(Sequence[Sample]):
    """The samples of a manifest, or of some of its lines, made when they are asked for."""

    def __init__(
        self, content: bytes, ends: Numbers, splits: NDArray[np.uint8], labels: frozenset[str]
    ) -> None:
        """Take lines that were checked.

        Args:
            content: All lines.
            ends: Where each line ends, behind its line break, shape (N,).
            splits: The place of its split in `SPLITS`, shape (N,).
            labels: The dataset's.
        """
        self._content = content
        self._starts = np.append(np.int64(0), ends[:-1])
        self._ends = ends
        self._splits = splits
        self._labels = labels

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "PlainSamples": ...
    def __getitem__(self, index: int | slice) -> "Sample | PlainSamples":
        if isinstance(index, slice):
            return self._some(np.arange(len(self))[index])
        place = range(len(self))[index]  # raises IndexError as a tuple does
        (sample,) = self._parsed(place, place + 1)
        return sample

    def __iter__(self) -> Iterator[Sample]:
        for first in range(0, len(self), LINES_AT_ONCE):
            yield from self._parsed(first, min(first + LINES_AT_ONCE, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlainSamples | tuple | list):
            return NotImplemented
        others: Sequence[Any] = other
        return len(self) == len(others) and all(map(Sample.__eq__, self, others))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Sequence[Sample]) -> tuple[Sample, ...]:
        return (*self, *other)

    def __radd__(self, other: Sequence[Sample]) -> tuple[Sample, ...]:
        return (*other, *self)

    @property
    def counts(self) -> dict[str, int]:
        """Samples in each split that holds some."""
        counts = np.bincount(self._splits, minlength=len(SPLITS)).tolist()
        return {name: count for name, count in zip(SPLITS, counts, strict=True) if count}

    def of_split(self, name: str) -> "PlainSamples":
        """The samples of a split."""
        number = SPLITS.index(name) if name in SPLITS else len(SPLITS)
        return self._some(np.flatnonzero(self._splits == number))

    def _some(self, rows: Numbers) -> "PlainSamples":
        found = PlainSamples(self._content, self._ends[rows], self._splits[rows], self._labels)
        found._starts = self._starts[rows]
        return found

    def _parsed(self, first: int, end: int) -> list[Sample]:
        places = zip(self._starts[first:end].tolist(), self._ends[first:end].tolist(), strict=True)
        lines = [self._content[start:stop].decode() for start, stop in places]
        samples = parse_lines(lines, self._labels)
        assert all(isinstance(sample, Sample) for sample in samples)  # they were checked
        return samples  # pyright: ignore[reportReturnType]


def read_plain(path: Path, labels: Sequence[str]) -> PlainSamples | None:
    """The samples of a manifest, or None where a line must be looked at by itself.

    That is so for a line with other keys or in another order, for escapes, for names that occur
    twice or are too long, for unknown labels, and for paths that may lead out of a folder.

    Args:
        path: Of `manifest.jsonl`.
        labels: The dataset's.
    """
    if path.stat().st_size > limits().index_bytes:
        return None
    content = path.read_bytes()
    content = content if content.endswith(b"\n") else content + b"\n"
    if not _is_text(content):
        return None
    with not_collecting():
        return _read(content, frozenset(labels))


def _is_text(content: bytes) -> bool:
    if content.isascii():
        return True
    try:
        return bool(content.decode())
    except UnicodeDecodeError:
        return False


def _read(content: bytes, labels: frozenset[str]) -> PlainSamples | None:
    line = _pattern()
    known = {label.encode(errors="surrogatepass") for label in labels}
    number_of = {name.encode(): number for number, name in enumerate(SPLITS)}
    hashes: list[Numbers] = []
    splits: list[NDArray[np.uint8]] = []
    ends: list[Numbers] = []
    start = 0
    while start < len(content):
        end = content.find(b"\n", min(start + BLOCK_BYTES, len(content) - 1)) + 1
        columns = _columns(content, start, end, line)
        if columns is None or not known.issuperset(columns[1]):
            return None
        names, _, of_splits = columns
        hashes.append(np.fromiter(map(hash, names), np.int64, len(names)))
        splits.append(np.fromiter(map(number_of.__getitem__, of_splits), np.uint8, len(names)))
        text = np.frombuffer(content, np.uint8, end - start, start)
        ends.append(np.flatnonzero(text == ord("\n")) + (start + 1))
        start = end
    if not hashes:
        return None
    every, of_lines = np.sort(np.concatenate(hashes)), np.concatenate(ends)
    # The same name twice, or by chance; a line that is too long: then looked at closely.
    if (every[1:] == every[:-1]).any() or np.diff(of_lines, prepend=0).max() > limits().line_chars:
        return None
    return PlainSamples(content, of_lines, np.concatenate(splits), labels)


def _columns(
    content: bytes, start: int, end: int, line: re.Pattern[bytes]
) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]] | None:
    """Names, labels and splits of the lines in a part of the text, if all of it is such lines."""
    found = line.findall(content, start, end)
    # Each begins a line and ends one: as many as there are lines are all of them.
    if len(found) != content.count(b"\n", start, end) or content.find(OUTSIDE, start, end) >= 0:
        return None
    names, labels, splits = zip(*found, strict=True)
    return names, labels, splits


def _pattern() -> re.Pattern[bytes]:
    most = limits().name_chars
    path = PATH % (CHARACTER, most)
    line = LINE.replace(b"PATH", b"%s")
    return re.compile(
        line % (CHARACTER, most, path, path, path, CHARACTER, most), flags=re.MULTILINE
    )
