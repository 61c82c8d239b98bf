"""A packed dataset in a bucket: its files are fetched when they are needed, and kept in a cache.

The bucket is S3 or anything that speaks its protocol; endpoint, region and credentials come from
the usual variables of the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, …) or from where AWS's
own tools look for them.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evlora.errors import DatasetError
from evlora.files import writing_file
from evlora.limits import limits

PREFIX = "s3://"
CACHE_GB = 10.0
PIECE_BYTES = 2**20
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 20
PATIENCE_S = 60.0
"""For so long a transfer that fails is tried again; the last try may take the timeouts longer."""
OPENING_PATIENCE_S = 10.0
"""The same for the small files that are fetched first, when somebody waits for a first answer."""
LEFT_BEHIND_S = 600.0
"""A half file that did not grow for so long was left behind by a process that was killed."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
"""Between two tries; each wait is twice as long as the one before."""


def is_bucket(root: str | Path) -> bool:
    """Whether this names a place in a bucket, and no folder."""
    return str(root).startswith(PREFIX)


class Bucket:
    """A folder in a bucket, and the cache that its files are fetched into.

    Processes may share a cache: what one fetches the others find, and each file is fetched once.
    """

    def __init__(self, url: str, *, cache: Path | None = None, cache_gb: float = CACHE_GB) -> None:
        """Name the place; nothing is fetched yet.

        Args:
            url: `s3://bucket/folder`.
            cache: Folder to keep files in; None takes a temporary one that ends with this process.
            cache_gb: How large it may grow; the files that were used longest ago give way.

        Raises:
            DatasetError: The URL names no bucket.
        """
        self.url = url.rstrip("/")
        self._bucket, _, self._prefix = self.url.removeprefix(PREFIX).partition("/")
        if not is_bucket(url) or not self._bucket:
            raise DatasetError(f"{url}: expected {PREFIX}BUCKET/FOLDER, got no name of a bucket")
        if cache is None:
            cache = Path(tempfile.mkdtemp(prefix="evlora-cache-"))
            weakref.finalize(self, _remove, cache, os.getpid())
        self.cache = cache
        self.cache_bytes = int(cache_gb * 1e9)
        self.folder = cache / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        """The place of this dataset in the cache."""
        self._client: Any = None

    def fetch(self, name: str) -> Path:
        """A small file of the dataset, fetched anew.

        Raises:
            DatasetError: It is not there, or the bucket cannot be reached.
        """
        path = self.folder / name
        self._download(name, path, size_bytes=None, patience_s=OPENING_PATIENCE_S)
        return path

    def chunk(self, name: str, *, version: str, size_bytes: int) -> Path:
        """A chunk of the dataset, from the cache where it is there.

        Args:
            name: Path below the dataset's folder.
            version: Distinguishes chunks of this name that were written at different times.
            size_bytes: How long it is.

        Raises:
            DatasetError: It is not there or of another size, or the bucket cannot be reached.
        """
        from filelock import FileLock, Timeout

        path = self.folder / version / name
        try:
            if _is_whole(path, size_bytes):
                with suppress(FileNotFoundError):
                    os.utime(path)  # used now
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever holds the lock gives up after its patience; so does who waits for it.
            with FileLock(f"{path}.lock", timeout=PATIENCE_S + 2 * READ_TIMEOUT_S):
                if not _is_whole(path, size_bytes):
                    self._make_room(size_bytes)
                    self._download(name, path, size_bytes=size_bytes, patience_s=PATIENCE_S)
        except Timeout as error:
            raise DatasetError(
                f"{self.url}/{name}: another process has been fetching it for too long; "
                "look whether the bucket can be reached"
            ) from error
        except OSError as error:
            raise self._unkept(name, error) from error
        return path

    def _download(
        self, name: str, path: Path, *, size_bytes: int | None, patience_s: float
    ) -> None:
        from botocore import exceptions as boto

        passing = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)
        begun, wait_s = time.monotonic(), FIRST_WAIT_S
        while True:
            try:
                with writing_file(path) as temporary:
                    self._transfer(name, temporary, size_bytes or limits().index_bytes)
                    received = temporary.stat().st_size
                    if size_bytes is not None and received != size_bytes:
                        raise boto.IncompleteReadError(
                            actual_bytes=received, expected_bytes=size_bytes
                        )
                return
            except boto.ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                why = "{Code}: {Message}".format(**{"Message": "", **error.response["Error"]})
                if status < 500 and status != 429:  # neither its own trouble nor too much at once
                    raise self._refused(name, why) from error
            except passing as error:
                why = str(error)
            except (boto.BotoCoreError, ValueError) as error:  # ValueError: of the endpoint
                raise self._refused(name, str(error)) from error
            except OSError as error:
                raise self._unkept(name, error) from error
            if time.monotonic() + wait_s > begun + patience_s:
                raise DatasetError(
                    f"{self.url}/{name}: could not be fetched in {time.monotonic() - begun:.0f} s, "
                    f"the last try ended with: {why}; look whether the bucket can be reached; "
                    "--resume continues a run from its last checkpoint"
                )
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _transfer(self, name: str, path: Path, most_bytes: int) -> None:
        key = f"{self._prefix}/{name}".lstrip("/")
        response = self._connected().get_object(Bucket=self._bucket, Key=key)
        with closing(response["Body"]) as body, path.open("wb") as file:
            for piece in body.iter_chunks(PIECE_BYTES):
                file.write(piece)
                if file.tell() > most_bytes:
                    raise DatasetError(
                        f"{self.url}/{name}: expected at most {most_bytes:,} bytes, got more; "
                        "look whether the bucket is the one that the dataset was copied to"
                    )

    def _connected(self) -> Any:
        from botocore.config import Config
        from litdata.streaming.client import S3Client

        if self._client is None:  # it makes itself anew in each process
            config = Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": 1},  # `_download` retries, and raises at the end
            )
            self._client = S3Client(storage_options={"config": config})
        return self._client.client

    def _make_room(self, size_bytes: int) -> None:
        """Let the chunks go that were used longest ago, until so much fits."""
        chunks: list[tuple[float, int, Path]] = []
        for path in self.cache.glob("**/*.bin"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            is_arriving = (
                path.name.startswith(".") and time.time() - status.st_mtime < LEFT_BEHIND_S
            )
            if not is_arriving:
                chunks.append((status.st_mtime, status.st_size, path))
        surplus = sum(size for _, size, _ in chunks) + size_bytes - self.cache_bytes
        for _, size, path in sorted(chunks):
            if surplus <= 0:
                return
            path.unlink(missing_ok=True)  # who reads it just now keeps what is open
            surplus -= size

    def _refused(self, name: str, why: str) -> DatasetError:
        return DatasetError(
            f"{self.url}/{name}: could not be fetched: {why}; check the address, and in the "
            "environment endpoint and credentials (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
        )

    def _unkept(self, name: str, error: OSError) -> DatasetError:
        return DatasetError(
            f"{self.url}/{name}: could not be written to the cache {self.cache}: {error}; "
            "name a folder with room in data.cache, or make data.cache_gb smaller"
        )


class FetchingAhead:
    """Fetches chunks in the order in which they will be needed, in a thread, not too far ahead."""

    def __init__(self, bucket: Bucket, chunks: Sequence[dict[str, Any]]) -> None:
        """Name the chunks.

        Args:
            bucket: Whose cache they shall lie in; half of it is filled ahead.
            chunks: Arguments of `Bucket.chunk`, in order, none twice.
        """
        self._bucket = bucket
        self._chunks = chunks
        self._reached = 0
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="fetching ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def reached(self, place: int) -> None:
        """Say that the chunk at this place of the order is being read."""
        if place > self._reached:
            with self._changed:
                self._reached = place
                self._changed.notify()

    def _run(self) -> None:
        ends = list(accumulate(chunk["size_bytes"] for chunk in self._chunks))
        for place, chunk in enumerate(self._chunks):
            with self._changed:
                while not self._is_over and self._is_too_far(place, ends):
                    self._changed.wait()
                if self._is_over:
                    return
            try:
                self._bucket.chunk(**chunk)
            except DatasetError:
                return  # whoever needs this chunk meets the same error, and reports it

    def _is_too_far(self, place: int, ends: Sequence[int]) -> bool:
        return ends[place] - ends[self._reached] > self._bucket.cache_bytes / 2


def _is_whole(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def _remove(cache: Path, owner: int) -> None:
    if os.getpid() == owner:  # a worker that ends must not take the cache with it
        shutil.rmtree(cache, ignore_errors=True)
