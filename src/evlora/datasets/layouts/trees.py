"""What every layout of folders shares: listing them, and the message about a wrong tree."""

import os
from collections.abc import Collection
from itertools import zip_longest
from pathlib import Path

from evlora.companions import visible
from evlora.errors import DatasetError
from evlora.messages import listed

PACKED = (".zip", ".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""Endings of archives, whose content is not looked for."""
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".aria2", ".filepart", ".!qb")
"""Endings of files that a browser or a downloader has not completed."""
LINES_SHOWN = 14
ENTRIES_SHOWN = 4


def entries(folder: Path) -> list[Path]:
    """The files and folders in this folder in the order of their names, without companions."""
    return visible(folder)


def folders(folder: Path) -> list[Path]:
    """The folders in this folder in the order of their names, without companions."""
    return [entry for entry in entries(folder) if entry.is_dir()]


def require_folder(source: Path | None) -> Path:
    """The source, which must be a folder.

    Raises:
        DatasetError: It is a file.
    """
    assert source is not None  # `prepare` asks for one
    if not source.is_dir():
        raise DatasetError(f"{source}: expected a folder, found a file; name the folder around it")
    return source


def require_no_circle(root: Path) -> None:
    """Check that no symbolic link below a folder leads to a folder above itself.

    Raises:
        DatasetError: One does; whoever follows links would go round.
    """
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        status = folder.stat()
        place = (status.st_dev, status.st_ino)
        if place in above:
            raise DatasetError(
                f"{folder}: leads back to {folder.resolve()}, which it lies in; remove the link"
            )
        with os.scandir(folder) as found:
            inside = [Path(entry.path) for entry in found if entry.is_dir()]
        waiting += [(path, above | {place}) for path in inside]


def release_and_root(source: Path, *names: str) -> tuple[Path, Path]:
    """The folder of a release, where its lists lie, and the folder of its classes inside it.

    The user may name either. The folder of the classes has one of these names, the first that is
    there; where none is, the classes are taken to lie in the source itself.
    """
    source = source.resolve()
    if source.name in names:
        return source.parent, source
    return source, next((source / name for name in names if (source / name).is_dir()), source)


def unfinished_download(root: Path, names: Collection[str]) -> DatasetError:
    """The error about files below a folder that a download has not completed."""
    return DatasetError(
        f"{root}: expected whole files, found {len(names)} that a download has not finished, such "
        f"as {min(names)}; get them again, or move them away"
    )


def is_packed_alone(path: Path) -> bool:
    """Whether a file is an archive without a folder of its name beside it."""
    ending = next((ending for ending in PACKED if path.name.lower().endswith(ending)), None)
    return ending is not None and not path.with_name(path.name[: -len(ending)]).is_dir()


def wrong_tree(source: Path, expected_tree: str, found: str, advice: str) -> DatasetError:
    """The error that shows the expected tree beside the one that was found.

    Args:
        source: The folder that the user named.
        expected_tree: Lines of the tree, as the layout's documentation has it.
        found: What is wrong, in words.
        advice: What to do.
    """
    packed = [entry.name for entry in entries(source) if entry.name.lower().endswith(PACKED)]
    if packed:
        advice = f"unpack {listed(packed)}; {advice}"
    expected, present = expected_tree.splitlines(), _listing(source)
    width = max(map(len, expected)) + 3
    rows = [
        f"  {left:{width}}{right}".rstrip()
        for left, right in zip_longest(
            ["expected:", *expected], [f"found in {source.name}/:", *present], fillvalue=""
        )
    ]
    shown = "\n".join(rows)
    return DatasetError(f"{source}: not laid out as expected: {found}\n{shown}\n{advice}")


def _listing(folder: Path, indent: str = "") -> list[str]:
    """The first lines of the tree below a folder."""
    present = entries(folder)
    lines: list[str] = []
    for entry in present[:ENTRIES_SHOWN]:
        lines.append(indent + entry.name + ("/" if entry.is_dir() else ""))
        if entry.is_dir():
            lines += _listing(entry, indent + "  ")
    if len(present) > ENTRIES_SHOWN:
        lines.append(f"{indent}… {len(present) - ENTRIES_SHOWN} more")
    return (lines or [f"{indent}(nothing)"])[:LINES_SHOWN]
