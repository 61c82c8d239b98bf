"""Folders without what systems leave in them, and files and folders written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

LEFT_BY_SYSTEMS = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
)
"""What macOS and Windows leave beside people's files, in small letters; see `is_companion`."""

APPLE_DOUBLE = b"\x00\x05\x16\x07"
"""The first bytes of a file `._NAME`."""


def is_companion(name: str) -> bool:
    """Whether a path in a folder or an archive is no file of its user's.

    Hidden files, among them macOS's `._NAME` and `.DS_Store`, its folder `__MACOSX`, and Windows'
    `Thumbs.db` and `desktop.ini`.
    """
    parts = name.replace("\\", "/").split("/")
    return any(
        part.lower() in LEFT_BY_SYSTEMS or (part.startswith(".") and part not in (".", ".."))
        for part in parts
    )


def is_apple_double(path: Path) -> bool:
    """Whether the file is macOS's companion of another one, whatever its name.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(4) == APPLE_DOUBLE


def visible(folder: Path) -> list[Path]:
    """The files and folders in this folder in the order of their names, without companions.

    Raises:
        OSError: The folder cannot be read.
    """
    return sorted(entry for entry in folder.iterdir() if not is_companion(entry.name))


@contextmanager
def writing_file(path: Path) -> Generator[Path]:
    """A temporary file beside `path` that takes its name at the end, or goes away on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Generator[Path]:
    """A temporary folder beside `path` that replaces it at the end, or goes away on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        for made in (
            temporary,
            *temporary.rglob("*"),
        ):  # some writers make files for one user alone
            made.chmod((0o777 if made.is_dir() else 0o666) & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
