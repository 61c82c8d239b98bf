"""The recordings below a folder, whatever lies between, and what a download left unfinished."""

import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from evlora.companions import is_companion
from evlora.datasets.layouts.sequences import ARCHIVES, Oddities
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import UNFINISHED, is_packed_alone, unfinished_download

FOLDERS_PER_REPORT = 100


def recordings_below(
    root: Path,
    suffixes: Collection[str],
    *,
    oddities: Oddities | None = None,
    progress: Progress | None = None,
) -> list[PurePosixPath]:
    """The files with these suffixes at any depth, in the order of their paths.

    Args:
        root: Where to look; links to folders are followed, each folder once.
        suffixes: Small letters, with their dots.
        oddities: Takes archives that nobody unpacked.
        progress: Receives the number of folders looked at, and of those known so far.

    Returns:
        Paths relative to `root`.

    Raises:
        DatasetError: A download was not finished.
    """
    found: list[PurePosixPath] = []
    unfinished: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        status = (root / folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if is_companion(entry.name):
                    continue
                if entry.is_dir():
                    waiting.append(path)
                elif entry.name.lower().endswith(UNFINISHED):
                    unfinished.append(path)
                elif os.path.splitext(entry.name)[1].lower() in suffixes:  # noqa: PTH122
                    found.append(PurePosixPath(path))
                elif oddities is not None and is_packed_alone(root / path):
                    oddities.add(ARCHIVES, path)
        if progress is not None and len(seen) % FOLDERS_PER_REPORT == 0:
            progress(len(seen), len(seen) + len(waiting))
    if unfinished:
        raise unfinished_download(root, unfinished)
    return sorted(found)
