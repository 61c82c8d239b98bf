"""ROS bags as containers: `.bag` of ROS 1, `.db3`, `.mcap` and folders of ROS 2, through rosbags.

Only messages are taken from rosbags, not their types: for those it would compile code that the
bag's own definitions describe. It unpacks without a bound; its tables of codecs are given bounded
ones here, so that a small file cannot fill the memory.
"""

import bz2
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, NamedTuple

import zstandard

from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.untrusted import read_text
from evlora.untrusted_yaml import parse_yaml

LARGEST_CHUNK_BYTES = 1 << 30
"""Bags are written in chunks of about a megabyte."""
METADATA = "metadata.yaml"
SUFFIXES = {"sqlite3": ".db3", "mcap": ".mcap"}


class Topic(NamedTuple):
    """A topic of a bag."""

    name: str
    type: str
    """The type of its messages, as ROS 1 writes it: without `/msg`."""
    messages: int


class Message(NamedTuple):
    """One message, still serialized."""

    topic: str
    data: bytes
    where: str
    """Its place in the bag, for messages to the user."""
    time_ns: int
    """When it was written."""


class Bag:
    """A bag, open while it is a context."""

    def __init__(self, path: Path) -> None:
        """A bag file, or a folder with `metadata.yaml` beside the bag's files."""
        self.path = path
        self.is_ros1 = False
        self._stack = ExitStack()
        self._readers: list[Any] = []
        self._is_packed = False

    def __enter__(self) -> "Bag":
        """Open the bag.

        Raises:
            RecordingError: The file is no bag or has no index, or rosbags is not installed.
        """
        try:
            import rosbags.rosbag1
            import rosbags.rosbag2
        except ImportError:
            raise RecordingError(
                f'{self.path}: reading ROS bags needs rosbags; pip install "evlora[ros]"'
            ) from None
        _bound_codecs()
        paths = self._files()
        self.is_ros1 = _head(paths[0]).startswith(b"#ROSBAG")
        make = rosbags.rosbag1.Reader if self.is_ros1 else rosbags.rosbag2.Reader
        try:
            for path in paths:
                self._readers.append(self._stack.enter_context(make(_named(path, self._stack))))
        except Exception as error:
            self._stack.close()
            cure = "rosbag reindex" if self.is_ros1 else "ros2 bag reindex, or mcap recover,"
            raise RecordingError(
                f"{self.path}: expected a ROS bag with its index, could not open it: "
                f"{error or type(error).__name__}; where a recording was cut off, `{cure}` makes "
                "the index again"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bag."""
        self._readers.clear()
        self._stack.close()

    @property
    def topics(self) -> list[Topic]:
        """All topics in the order of their names; a topic in several files is listed once."""
        counts: dict[tuple[str, str], int] = {}
        for reader in self._readers:
            for connection in reader.connections:
                key = (connection.topic, connection.msgtype.replace("/msg/", "/"))
                counts[key] = counts.get(key, 0) + int(connection.msgcount)
        return sorted(Topic(*key, count) for key, count in counts.items())

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """The messages of these topics in the order of the bag.

        Raises:
            RecordingError: The bag is damaged, or would unpack to more than it should.
        """
        size = sum(path.stat().st_size for path in self._files())
        most = limits().unpacked(size)
        unpacked = number = 0
        for reader in self._readers:
            connections = [c for c in reader.connections if c.topic in names]
            if not connections:
                continue
            messages = reader.messages(connections)
            while True:
                try:
                    connection, time_ns, data = next(messages)
                    raw = bytes(data if not self._is_packed else _zstd(bytes(data)))
                except StopIteration:
                    break
                except RecordingError as error:
                    raise RecordingError(f"{self.path}: message {number}: {error}") from error
                except Exception as error:
                    raise RecordingError(
                        f"{self.path}: message {number} cannot be read: "
                        f"{error or type(error).__name__}"
                    ) from error
                unpacked += len(raw)
                if unpacked > most:
                    raise RecordingError(
                        f"{self.path}: {size} bytes unpack to more than {most}; the file is "
                        "damaged or was made to fill the memory; "
                        f"{raising('unpacked_bytes')}"
                    )
                where = f"message {number} on {connection.topic}"
                yield Message(connection.topic, raw, where, int(time_ns))
                number += 1

    @property
    def parts(self) -> int:
        """Files of the bag that this file is one of; 1 where it is whole, or nothing states it."""
        if self.path.is_dir() or not (self.path.parent / METADATA).is_file():
            return 1
        try:
            names, _ = _listed_files(self.path.parent)
        except RecordingError:
            return 1
        return len(names) if self.path.name in names else 1

    def _files(self) -> list[Path]:
        """The files of the bag in their order; of a folder, by its metadata."""
        if not self.path.is_dir():
            return [self.path]
        names, mode = _listed_files(self.path)
        if mode == "file":
            raise RecordingError(
                f"{self.path}: the bag's files are compressed as a whole; unpack them with "
                "`zstd -d` and open the .db3 or .mcap file itself"
            )
        self._is_packed = mode == "message"
        paths = [self.path / name for name in names]
        missing = [path.name for path in paths if not path.is_file()]
        if missing or not paths:
            raise RecordingError(
                f"{self.path}: expected the files that {METADATA} lists, missing: "
                f"{', '.join(missing) or 'any'}"
            )
        return paths


def _listed_files(folder: Path) -> tuple[list[str], str]:
    """The names of a bag's files by its metadata, and what of them is packed.

    Raises:
        RecordingError: The metadata are not those of a ROS 2 bag.
    """
    import yaml

    text = read_text(folder / METADATA, RecordingError, limit="recipe_bytes", errors="replace")
    try:
        about: Any = parse_yaml(text)["rosbag2_bagfile_information"]
        names = [PurePath(str(name)).name for name in about["relative_file_paths"]]
        return names, str(about.get("compression_mode", "")).lower()
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError(
            f"{folder / METADATA}: expected the metadata of a ROS 2 bag: {error}"
        ) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _named(path: Path, stack: ExitStack) -> Path:
    """The file under a suffix by which rosbags knows it; a link where its own is another."""
    head = _head(path)
    suffix = next(
        (
            suffix
            for start, suffix in (
                (b"#ROSBAG", ".bag"),
                (b"\x89MCAP", ".mcap"),
                (b"SQLite format 3", ".db3"),
            )
            if head.startswith(start)
        ),
        path.suffix,
    )
    if path.suffix == suffix:
        return path
    import tempfile

    folder = stack.enter_context(tempfile.TemporaryDirectory())
    link = Path(folder) / f"bag{suffix}"
    link.symlink_to(path.resolve())
    return link


def _bound_codecs() -> None:
    """Give rosbags codecs that stop at `LARGEST_CHUNK_BYTES`."""
    import lz4.frame
    from rosbags.rosbag1 import reader
    from rosbags.rosbag2 import storage_mcap

    def lz4_bounded(data: bytes) -> bytes:
        return _at_most(lz4.frame.LZ4FrameDecompressor(), data)

    def bz2_bounded(data: bytes) -> bytes:
        return _at_most(bz2.BZ2Decompressor(), data)

    reader.decompressors.update({"bz2": bz2_bounded, "lz4": lz4_bounded})
    storage_mcap.DECOMPRESSORS.update(
        {"lz4": lambda data, _: lz4_bounded(data), "zstd": lambda data, _: _zstd(data)}
    )


def _at_most(decompressor: Any, data: bytes) -> bytes:
    raw = decompressor.decompress(data, LARGEST_CHUNK_BYTES)
    if not decompressor.eof:
        _refuse_if_larger(len(data), len(raw) + (len(raw) >= LARGEST_CHUNK_BYTES))
        raise RecordingError("a chunk's packed data is cut short")
    return raw


def _zstd(data: bytes) -> bytes:
    try:
        declared = zstandard.frame_content_size(data)
        _refuse_if_larger(len(data), declared)
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=LARGEST_CHUNK_BYTES)
    except zstandard.ZstdError as error:
        raise RecordingError(f"a chunk's packed data is damaged: {error}") from error


def _refuse_if_larger(packed: int, unpacked: int) -> None:
    if unpacked > LARGEST_CHUNK_BYTES:
        raise RecordingError(
            f"{packed} bytes would unpack to more than the {LARGEST_CHUNK_BYTES} bytes that a "
            "chunk may have"
        )
