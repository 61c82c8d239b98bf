"""The tags of a MATLAB file of version 5, checked before scipy follows them.

scipy has ended the process on damaged files. A variable is a row of elements: a tag of type and
length, then the bytes, filled up to 8; what a matrix holds follows its tag.
"""

from pathlib import Path
from typing import Literal

from evlora.errors import RecordingError

MATRIX, UINT32 = 14, 6
DATA_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18})
"""Whole numbers of 8 to 64 bits, floating ones, and text."""
TAG_BYTES = FLAGS_BYTES = 8
ARRAY_CLASSES = range(4, 16)
SPARSE_CLASS = 5
IS_COMPLEX = 0x800
ELEMENTS_OF_ARRAY = 3
"""Dimensions, name and values; complex ones have two of these."""


class ElementCheck:
    """Follows the tags of one variable, whose bytes come piece by piece."""

    def __init__(self, path: Path, order: Literal["little", "big"]) -> None:
        """A check of one variable of the file.

        Args:
            path: The file, for messages.
            order: Of the bytes.
        """
        self._path = path
        self._order: Literal["little", "big"] = order
        self._held = b""
        self._skip = 0
        self._are_flags_next = False
        self._due = 0
        """Elements that the array begun last still must have."""

    def add(self, data: bytes) -> None:
        """Follow the tags in the next bytes.

        Raises:
            RecordingError: A tag is damaged.
        """
        data, at = self._held + data, 0
        while True:
            passed = min(self._skip, len(data) - at)
            at, self._skip = at + passed, self._skip - passed
            needed = TAG_BYTES + FLAGS_BYTES * self._are_flags_next
            if self._skip or len(data) - at < needed:
                break
            self._follow(data[at : at + needed])
            at += TAG_BYTES
        self._held = data[at:]

    def finish(self) -> None:
        """Require that the last element ended.

        Raises:
            RecordingError: It reaches beyond the variable.
        """
        if self._skip >= TAG_BYTES:
            raise self._damaged(f"an element that reaches {self._skip} bytes beyond its variable")
        self._require_whole_array()

    def _follow(self, tag: bytes) -> None:
        first, length = (int.from_bytes(tag[at : at + 4], self._order) for at in (0, 4))
        if self._are_flags_next:
            self._are_flags_next = False
            if (first, length) != (UINT32, FLAGS_BYTES):
                raise self._damaged(f"a matrix that begins with type {first} of {length} bytes")
            flags = int.from_bytes(tag[TAG_BYTES : TAG_BYTES + 4], self._order)
            kind = flags & 0xFF
            if kind in ARRAY_CLASSES and kind != SPARSE_CLASS:
                self._due = 1 + ELEMENTS_OF_ARRAY + bool(flags & IS_COMPLEX)
        if first >> 16:  # a small element, whose bytes lie in the tag
            kind, length, is_small = first & 0xFFFF, first >> 16, True
        else:
            kind, is_small = first, False
        if kind == MATRIX and not is_small:
            self._require_whole_array()
            self._are_flags_next = length > 0
            return
        if kind not in DATA_TYPES or (is_small and length > 4):
            raise self._damaged(f"an element of type {kind} and {length} bytes")
        self._skip = 0 if is_small else -(-length // 8) * 8
        self._due = max(0, self._due - 1)

    def _require_whole_array(self) -> None:
        if self._due:
            raise self._damaged(f"an array that lacks {self._due} of its elements")

    def _damaged(self, got: str) -> RecordingError:
        return RecordingError(
            f"{self._path}: expected a whole MATLAB file, got {got}; it is damaged: copy it again, "
            "or save it anew"
        )
