"""The one way to write a file or a folder: it appears under its name when it is complete.

What has a name already is replaced in one step: whoever looks, and whenever the process or the
machine stops, finds the old content or the new one. Linux and macOS can exchange two folders in
one step. Where the system or the file system cannot (Windows, NFS), the old folder is set aside
for a moment; readers go through `standing`, which finds it there.
"""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from evlora.errors import EvloraError

_AT_FDCWD = -100 if sys.platform == "linux" else -2
_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux's renameat2, RENAME_SWAP of macOS's renameatx_np."""


@contextmanager
def writing_file(path: Path, *, durable: bool = False) -> Generator[Path]:
    """A temporary file beside `path` that takes its name at the end, or goes away on an error.

    Args:
        path: The file; its parents are made too.
        durable: Whether the content is on the disk before the file has its name, so that not even
            a loss of power leaves an empty file. It costs some milliseconds.

    Raises:
        OSError: The disk takes no file, or no more of it; its `filename` is `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        error.filename = str(path)
        raise
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        is_of_it = error.filename is None or str(error.filename) == name
        if is_of_it and error.errno is not None:  # one without a number is a text of its own
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path, *, durable: bool = False) -> Generator[Path]:
    """A temporary folder beside `path` that replaces it at the end, or goes away on an error.

    Args:
        path: The folder; its parents are made too.
        durable: As for a file: whether all content is on the disk before the folder has its name.

    Raises:
        EvloraError: A file has this name.
    """
    path = path.resolve()  # of a link the folder is replaced that it leads to
    if path.exists() and not path.is_dir():
        raise EvloraError(f"{path}: expected a folder to write to, found a file; name another")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield temporary
        for made in (temporary, *temporary.rglob("*")):
            # Some writers make files for one user alone.
            made.chmod((0o777 if made.is_dir() else 0o666) & ~_umask())
            if durable:
                _sync(made)
        place_folder(temporary, path)
        if durable:
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def place_folder(made: Path, path: Path) -> None:
    """Give a complete folder its name, in one step, and then remove the folder that had it before.

    Args:
        made: The complete folder, on the same file system.
        path: The name it gets.
    """
    former = _former(path)
    if not path.exists() and not former.exists():
        made.rename(path)
        return
    if path.exists() and _exchange(made, path):
        shutil.rmtree(made, ignore_errors=True)
        return
    if path.exists():
        shutil.rmtree(former, ignore_errors=True)
        path.rename(former)
    try:
        made.rename(path)
    except OSError:
        former.rename(path)
        raise
    shutil.rmtree(former, ignore_errors=True)


def state_of(path: Path) -> list[object]:
    """Size and time of change of a file, or of each file in a folder; empty where there is none."""
    try:
        if path.is_dir():
            return [[entry.name, *state_of(entry)] for entry in sorted(path.iterdir())]
        state = path.stat()
    except OSError:  # reading it will fail with a reason
        return []
    return [state.st_size, state.st_mtime_ns]


def standing(path: Path) -> Path:
    """Where the content of this folder stands: at `path`, or aside if a replacement was stopped."""
    former = _former(path)
    return former if former.is_dir() and not path.exists() else path


def _former(path: Path) -> Path:
    return path.with_name(f".{path.name}.former")


def _exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one step; False where that is not possible."""
    library = ctypes.CDLL(None, use_errno=True) if sys.platform in ("linux", "darwin") else None
    rename = getattr(library, "renameat2" if sys.platform == "linux" else "renameatx_np", None)
    if rename is None:
        return False
    names = (os.fsencode(first), os.fsencode(second))
    return rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_EXCHANGE)) == 0


def _sync(path: Path) -> None:
    with suppress(PermissionError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
