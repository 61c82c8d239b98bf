"""The attributes of HDF5 files, read only where the HDF5 library comes back from it.

Texts of any length lie in heaps (`GCOL`) beside the data. In a damaged heap a free piece may have
no length, and HDF5 2.0 looks at it forever; so all heaps are walked through before the first text.
"""

import mmap
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from evlora.errors import RecordingError

HEAP = b"GCOL\x01\x00\x00\x00"
"""Signature and version of a heap."""
HEAP_HEADER = struct.Struct("<8sQ")
"""Signature and version, and the bytes of the whole heap."""
OBJECT_HEADER = struct.Struct("<HHIQ")
"""Number of an object, references to it, nothing, and its bytes; number 0 is a free piece."""


def attributes_of(holder: Any) -> dict[str, Any]:
    """Name → value of a group's or data set's attributes.

    Raises:
        RecordingError: The heap of its texts is damaged.
    """
    for name in holder.attrs:
        if holder.attrs.get_id(name).dtype.hasobject:
            require_sound_heaps(Path(holder.file.filename))
            break
    return dict(holder.attrs)


def require_sound_heaps(path: Path) -> None:
    """Check the heaps of a file, once as long as it does not change.

    Raises:
        RecordingError: A free piece in one of them has no length.
    """
    state = path.stat()
    damaged_at = _first_damage(path, state.st_size, state.st_mtime_ns)
    if damaged_at is not None:
        raise RecordingError(
            f"{path}: the heap of its texts is damaged at byte {damaged_at}, which HDF5 cannot "
            "read; copy the file again"
        )


@lru_cache(maxsize=8)
def _first_damage(path: Path, size: int, changed_ns: int) -> int | None:
    del changed_ns  # only to look again when the file is another one
    if not size:
        return None
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            damaged_at = _damage_in_heap(data, start)
            if damaged_at is not None:
                return damaged_at
            start = data.find(HEAP, start + 1)
    return None


def _damage_in_heap(data: mmap.mmap, start: int) -> int | None:
    if start + HEAP_HEADER.size > len(data):
        return None
    end = start + HEAP_HEADER.unpack_from(data, start)[1]
    at = start + HEAP_HEADER.size
    while at + OBJECT_HEADER.size <= min(end, len(data)):
        number, _, _, length = OBJECT_HEADER.unpack_from(data, at)
        step = length if number == 0 else OBJECT_HEADER.size + -(-length // 8) * 8
        if step == 0:
            return at
        at += step
    return None
