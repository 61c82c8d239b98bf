"""A folder that one process at a time may write to."""

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from evlora.errors import EvloraError

_held: set[Path] = set()
"""Locks of this process: the system lets a process take its own lock a second time."""


@contextmanager
def holding(lock: Path, *, refusal: EvloraError) -> Generator[None]:
    """Hold a lock file; the lock ends with the process, however that ends, the file may stay.

    Args:
        lock: The file; its folder is made, and removed again if it is still empty at the end.
        refusal: What is raised where another process holds it, with who it is added.

    Raises:
        EvloraError: Another process, or another thread of this one, holds it.
    """
    lock = lock.resolve()
    made = [folder for folder in lock.parents if not folder.exists()]
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = None if lock in _held else _take(lock)
    if descriptor is None:
        with suppress(OSError):
            refusal = type(refusal)(f"{refusal} ({lock.read_text(encoding='utf-8').strip()})")
        raise refusal
    _held.add(lock)
    try:
        yield
    finally:
        _held.discard(lock)
        lock.unlink(missing_ok=True)
        os.close(descriptor)
        for folder in made:
            with suppress(OSError):  # something lies there
                folder.rmdir()


def _take(lock: Path) -> int | None:
    """A descriptor that holds the lock, or None if another process does."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(lock.stat(), os.fstat(descriptor)):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        os.close(descriptor)  # whoever held it has removed the file meanwhile


def _lock(descriptor: int) -> None:
    """Lock the file for this process alone, children excluded.

    Raises:
        BlockingIOError: Another process holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
        return
    import fcntl

    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:  # what some systems say for a lock that is held
        raise BlockingIOError from error
