"""The files of a sample: how many, how large, and whether they have changed."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evlora.companions import is_companion


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files that a sample is made of."""

    count: int
    bytes: int
    missing: tuple[str, ...]
    """Paths where nothing lies."""
    fingerprint: str
    """Of their names, sizes and times of change; their content is not read."""


def look_at(paths: Iterable[str], source: Path) -> SourceFiles:
    """The files at these paths, and in the folders there.

    Args:
        paths: Relative to `source`.
        source: The folder of the dataset.
    """
    digest = hashlib.blake2b(digest_size=8)
    count = size = 0
    missing: list[str] = []
    for path in paths:
        found = list(_files(source / path))
        missing += [path] if not found else []
        for name, status in found:
            count, size = count + 1, size + status.st_size
            facts = (path, name, str(status.st_size), str(status.st_mtime_ns))
            digest.update("\0".join((*facts, "")).encode(errors="surrogateescape"))
    return SourceFiles(count, size, tuple(missing), digest.hexdigest())


def _files(
    path: Path, name: str = "", above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, os.stat_result]]:
    """The files at a path, each with its name below it; a link to a folder above ends there."""
    if path.is_dir():
        place = (path.stat().st_dev, path.stat().st_ino)
        if place in above:
            return
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_companion(entry.name):
                    continue
                yield from _files(path / entry.name, f"{name}/{entry.name}", above | {place})
    elif path.exists():
        yield name, path.stat()
