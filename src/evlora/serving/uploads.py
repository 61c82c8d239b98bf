"""Uploads: bounded in bytes and time, kept in a folder of their own until they are answered.

Names that a client gives to files are never used but for their suffix, which picks the reader.
"""

import asyncio
import contextlib
import errno
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from evlora.limits import limits, raising
from evlora.messages import listed, shown
from evlora.serving.refusals import Refusal
from evlora.serving.uploaded import suffixes

FIELDS = ("recording", "frames")
FULL = (errno.ENOSPC, errno.EDQUOT)
BESIDE_FILES = 1 << 16
"""Bytes of a request that are no file: names and borders of its parts."""
DISCARDED_BYTES, DISCARDED_S = 1 << 24, 5
"""How much is read of what is too large, and for how long."""


class Upload(NamedTuple):
    """A request's files, in a folder of their own."""

    folder: Path
    recording: str
    """Name of the recording in the folder."""
    frames: str | None
    """Name of its frames, if they came as a file of their own."""


@contextlib.contextmanager
def own_folder(place: Path | None) -> Generator[Path]:
    """A folder for one request, which is gone afterwards.

    Raises:
        Refusal: The disk is full.
    """
    try:
        with TemporaryDirectory(prefix="evlora-", dir=place, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise disk_is_full() from error


def disk_is_full() -> Refusal:
    """The refusal of an upload that does not fit on the disk of the service."""
    return Refusal.for_now(507, "the disk of the service is full; try again later")


async def received(request: Request, folder: Path) -> Upload:
    """The files of a request, written into a folder.

    Args:
        request: With a body of multipart/form-data.
        folder: Where the files are written.

    Raises:
        Refusal: There is no recording, too much, too slowly, nothing that is read here, or no room.
    """
    most, allowed_s = limits().upload_bytes, limits().upload_seconds
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > most + BESIDE_FILES:
        if request.headers.get("expect", "").lower() != "100-continue":  # else none is sent yet
            await _discard(request.stream())
        raise _too_large(most)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal(
            415,
            "expected multipart/form-data with a file `recording`, got "
            f"{shown(request.headers.get('content-type', 'no content type'))}; send it as a form "
            "does: curl -F recording=@FILE",
        )
    parser = MultiPartParser(
        request.headers, _bounded(request, most), max_files=len(FIELDS), max_fields=0
    )
    try:
        async with asyncio.timeout(allowed_s):
            form = await parser.parse()
    except TimeoutError as error:
        raise Refusal(
            408,
            f"expected the upload within {allowed_s} s, it takes longer; send less, or "
            f"{raising('upload_seconds')}",
        ) from error
    except MultiPartException as error:
        raise Refusal(
            400, f"expected one file `recording`, and `frames` if they lie apart: {error.message}"
        ) from error
    except ClientDisconnect as error:
        raise Refusal(400, "the connection was cut during the upload") from error
    except OSError as error:
        if error.errno in FULL:
            raise disk_is_full() from error
        raise
    try:
        return await asyncio.to_thread(_written, dict(form.multi_items()), folder)
    finally:
        await form.close()


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes]:
    """The body, until it is more than it may be."""
    count = 0
    stream = request.stream()
    async for chunk in stream:
        count += len(chunk)
        if count > most + BESIDE_FILES:
            await _discard(stream)
            raise _too_large(most)
        yield chunk


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Read what a client still sends, to a bound, before it is refused and its connection closed.

    A connection that is closed with bytes unread is reset, and a client that was sending then
    loses the answer with the reason.
    """
    count = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(DISCARDED_S):
            async for chunk in stream:
                count += len(chunk)
                if count > DISCARDED_BYTES:
                    return


def _too_large(most: int) -> Refusal:
    return Refusal(
        413,
        f"expected an upload of at most {most:,} bytes, got more; upload a shorter part, or "
        f"{raising('upload_bytes')}",
        headers={"Connection": "close"},
    )


def _written(form: Mapping[str, str | UploadFile], folder: Path) -> Upload:
    """Copy the files of a form into a folder, under names of our own."""
    unknown = sorted(form.keys() - set(FIELDS))
    if unknown or "recording" not in form:
        raise Refusal(
            400,
            f"expected one file `recording`, and `frames` if they lie apart, got "
            f"{listed(map(shown, form), none='nothing')}",
        )
    names: dict[str, str | None] = dict.fromkeys(FIELDS)
    for field, file in form.items():
        assert isinstance(file, UploadFile)  # other fields are refused
        names[field] = name = f"{field}{_suffix_of(file)}"
        with (folder / name).open("xb") as copy:
            shutil.copyfileobj(file.file, copy)
        if not (folder / name).stat().st_size:
            raise Refusal(422, f"{name}: expected a recording, got an empty file; send it again")
    assert names["recording"] is not None  # it is in the form
    return Upload(folder, names["recording"], names["frames"])


def _suffix_of(file: UploadFile) -> str:
    """The suffix of a client's name, if a reader claims it."""
    suffix = PurePosixPath(file.filename or "").suffix.lower()
    known = suffixes()
    if suffix not in known:
        raise Refusal(
            415,
            f"expected a file of a format that evlora reads, by its suffix "
            f"{listed(known, at_most=len(known))}, got "
            f"{shown(suffix or 'none')}; rename or convert it",
        )
    return suffix
