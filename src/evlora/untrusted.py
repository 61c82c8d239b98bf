"""The one way to take in what others wrote: plain files only, bounded text and JSON.

Pipes, devices and sockets can be read for ever; text can be larger than memory, nested deeper than
Python's stack, or hold a name that stands for thousands of others. Each becomes a message here.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from evlora.errors import EvloraError
from evlora.limits import limits, raising
from evlora.messages import shown

SPECIAL_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
NAMES_THAT_CANNOT_BE = (errno.ENAMETOOLONG, errno.ELOOP)
SHOWN_OF_A_NAME = 60
SHORT_BYTES = 1 << 20

PathT = TypeVar("PathT", bound=str | os.PathLike[str])
ErrorT = type[EvloraError]


def plain(path: PathT, error: ErrorT) -> PathT:
    """The path, if what lies there is a file or a folder, or nothing at all.

    Args:
        path: What will be opened; whoever opens it reports a missing file.
        error: What is raised.

    Raises:
        EvloraError: Of the kind that was asked for: a pipe, a device or a socket lies there, or
            no file can have this name.
    """
    _mode(path, error)
    return path


def existing(path: Path, error: ErrorT) -> Path:
    """The path, if a file or a folder lies there.

    Raises:
        EvloraError: Of the kind that was asked for: nothing lies there, or what `plain` refuses.
    """
    if not _mode(path, error):
        raise error(f"{path}: no such file or folder; check the path")
    return path


def is_folder(path: Path, error: ErrorT) -> bool:
    """Whether a folder lies there; neither a file nor nothing at all does.

    Raises:
        EvloraError: Of the kind that was asked for: what `plain` refuses.
    """
    return stat.S_ISDIR(_mode(path, error))


def _mode(path: str | os.PathLike[str], error: ErrorT) -> int:
    """The mode of the file or folder that lies there; 0 where nothing does."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - also for paths that are text
    except ValueError:
        raise error(f"{_cut(path)}: expected a path, got one with a zero byte") from None
    except OSError as refused:
        if refused.errno not in NAMES_THAT_CANNOT_BE:
            return 0
        raise error(f"{_cut(path)}: cannot be opened: {refused.strerror}; check the path") from None
    for is_of_kind, name in SPECIAL_KINDS:
        if is_of_kind(mode):
            raise error(
                f"{path}: expected a file or a folder, got {name}; copy its content to a file"
            )
    return mode


def read_text(
    path: Path,
    error: ErrorT,
    *,
    most_bytes: int | None = None,
    limit: str = "index_bytes",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> str:
    """The text in a file.

    Args:
        path: The file.
        error: What is raised.
        most_bytes: How long it may be; the limit by default.
        limit: The name of the limit.
        encoding: As for `open`, such as utf-8-sig for tables that people save.
        errors: As for `open`: what becomes of bytes that are no text.

    Raises:
        EvloraError: Of the kind that was asked for: no file, too long, or in another encoding.
    """
    most = getattr(limits(), limit) if most_bytes is None else most_bytes
    try:
        with plain(path, error).open("rb") as file:
            # Reading sets aside as much memory as is asked for, however short the file is.
            content = file.read(min(most + 1, SHORT_BYTES))
            if len(content) == SHORT_BYTES:
                content += file.read(most + 1 - SHORT_BYTES)
    except OSError as refused:
        raise error(f"{path}: could not be read: {refused.strerror}; check the path") from refused
    if len(content) > most:
        raise error(f"{path}: expected text of at most {most:,} bytes, got more; {raising(limit)}")
    try:
        return content.decode(encoding, errors)
    except UnicodeDecodeError as wrong:
        raise error(
            f"{path}: expected text in UTF-8, got byte {wrong.start} of another encoding; save it "
            "as UTF-8"
        ) from wrong


def parse_json(text: str | bytes) -> Any:
    """What JSON holds.

    Raises:
        ValueError: It is none, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError(str(error).partition("; use ")[0]) from None


def _cut(path: str | os.PathLike[str]) -> str:
    text = str(path)
    return text if len(text) <= SHOWN_OF_A_NAME else f"{text[: SHOWN_OF_A_NAME - 1]}…"


def label_fault(labels: Collection[str]) -> str:
    """What is wrong with the names of classes by their number, length or bytes; else empty."""
    most = limits().labels
    if len(labels) > most:
        return f"expected at most {most:,} labels, got {len(labels):,}; {raising('labels')}"
    return next(name_faults(labels), "")


def name_faults(names: Iterable[str]) -> Iterator[str]:
    """What is wrong with labels, or with names of samples and files."""
    longest = limits().name_chars
    for name in names:
        if len(name) > longest:
            yield (
                f"expected names of at most {longest:,} characters, got one of {len(name):,}, "
                f"{shown(name)}; {raising('name_chars')}"
            )
        elif not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            yield f"expected names in UTF-8, got {shown(name)}; rename it"
