"""What one part has packed so far, so that an interrupted packing is resumed from there.

The folder of a part holds `journal.jsonl` with a line for each sample that is done and for each
chunk, `open.bin` with the items that are in no chunk yet, and the chunks. A line is written when
what it lists is on disk: whatever a killed process leaves behind its last whole line is dropped.
"""

import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, ValidationError

from evlora.config import Config
from evlora.errors import DatasetError
from evlora.files import writing_file
from evlora.packing.codec import packed_item

JOURNAL_FILE = "journal.jsonl"
OPEN_FILE = "open.bin"
CHUNK_BYTES = 64 << 20
"""A chunk is closed when its items reach this size."""


class Done(Config):
    """A sample that was packed or rejected."""

    number: NonNegativeInt
    """Its place in the manifest."""
    sample: str
    """Its name."""
    split: str
    """Its split."""
    label: NonNegativeInt
    """Number of its class."""
    source_bytes: NonNegativeInt
    """Size of its files."""
    fingerprint: str
    """Of its files, when they were read."""
    lengths: tuple[NonNegativeInt, NonNegativeInt] | None = None
    """Bytes of its packed frames and event images; null where it was rejected."""
    checksum: NonNegativeInt = 0
    """CRC-32 of these."""
    file: str = ""
    """Which file was the reason for rejecting it."""
    reason: str = ""
    """Why it was rejected."""
    remarks: tuple[str, ...] = ()
    """What was wrong with it but could be borne."""

    @property
    def packed_bytes(self) -> int:
        """Size of its item."""
        return sum(self.lengths or ())


class ClosedChunk(Config):
    """A chunk of a split, as litdata reads it."""

    split: str
    """Its split."""
    file: str
    """Its place in the folder of the part."""
    items: NonNegativeInt
    """Items in it."""
    bytes: NonNegativeInt
    """Its size."""
    config: dict[str, Any]
    """What litdata must know to read it."""


class Journal:
    """The journal of a part, which only grows."""

    def __init__(self, folder: Path) -> None:
        """Open the journal in a folder that exists, or begin one.

        Raises:
            DatasetError: A chunk that it lists is missing or has another size.
        """
        self.done: list[Done] = []
        """The samples that are done, in order."""
        self.chunks: list[ClosedChunk] = []
        """The chunks that are closed, in order."""
        self._folder = folder
        self._open: list[Done] = []
        self._open_bytes = 0
        self._read()
        self._lines = (folder / JOURNAL_FILE).open("a", encoding="utf-8")
        self._items = (folder / OPEN_FILE).open("ab")

    @property
    def open_items(self) -> int:
        """Items that are in no chunk yet."""
        return len(self._open)

    def add(self, done: Done, frames: bytes = b"", event_images: bytes = b"") -> None:
        """Note a sample; where it was packed, keep its item."""
        if self._open and (self._open[-1].split != done.split or self._is_full):
            self.close_chunk()
        if done.lengths is not None:
            self._items.write(frames)
            self._items.write(event_images)
            self._items.flush()
            self._open.append(done)
            self._open_bytes += done.packed_bytes
        self._note(done)
        self.done.append(done)

    def close_chunk(self) -> None:
        """Make a chunk of the items that are in none yet."""
        if not self._open:
            return
        split = self._open[0].split
        number = sum(chunk.split == split for chunk in self.chunks)
        path = self._folder / split / f"chunk-{number:05d}.bin"
        items = [
            packed_item(done.sample, done.label, frames, event_images)
            for done, frames, event_images in self._open_contents()
        ]
        config = write_chunk(items, path)
        chunk = ClosedChunk(
            split=split,
            file=path.relative_to(self._folder).as_posix(),
            items=len(self._open),
            bytes=path.stat().st_size,
            config=config,
        )
        self._note(chunk)
        self.chunks.append(chunk)
        self._open, self._open_bytes = [], 0
        self._items.truncate(0)

    def close(self) -> None:
        """Close the files."""
        for file in (self._lines, self._items):
            with suppress(OSError):  # what could not be written was reported when it was written
                file.close()

    @property
    def _is_full(self) -> bool:
        return self._open_bytes >= CHUNK_BYTES

    def _note(self, record: Done | ClosedChunk) -> None:
        self._lines.write(record.model_dump_json() + "\n")
        self._lines.flush()

    def _read(self) -> None:
        path = self._folder / JOURNAL_FILE
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        for line in lines:
            record = _parse(line)
            if record is None:
                break
            if isinstance(record, ClosedChunk):
                self._require_chunk(record)
                self.chunks.append(record)
                self._open = []
            else:
                self.done.append(record)
                self._open += [record] if record.lengths is not None else []
        sound = self._sound_items()
        if sound < len(self._open):
            first_lost = self.done.index(self._open[sound])
            self.done, self._open = self.done[:first_lost], self._open[:sound]
        kept = lines[: len(self.done) + len(self.chunks)]
        if len(kept) < len(lines):
            with writing_file(path, durable=True) as temporary:
                temporary.write_bytes(b"".join(kept))
        self._open_bytes = sum(done.packed_bytes for done in self._open)
        if (self._folder / OPEN_FILE).exists():
            os.truncate(self._folder / OPEN_FILE, self._open_bytes)

    def _sound_items(self) -> int:
        """How many of the open items are there as they were noted."""
        sound = 0
        for done, frames, event_images in self._open_contents():
            if checksum_of(frames, event_images) != done.checksum:
                break
            sound += 1
        return sound

    def _open_contents(self) -> Iterator[tuple[Done, bytes, bytes]]:
        path = self._folder / OPEN_FILE
        if not path.exists():
            return
        with path.open("rb") as file:
            for done in self._open:
                assert done.lengths is not None  # an open item was packed
                frames_length, event_images_length = done.lengths
                yield done, file.read(frames_length), file.read(event_images_length)

    def _require_chunk(self, chunk: ClosedChunk) -> None:
        path = self._folder / chunk.file
        size = path.stat().st_size if path.exists() else None
        if size != chunk.bytes:
            raise DatasetError(
                f"{path}: expected a chunk of {chunk.bytes:,} bytes as {JOURNAL_FILE} states, "
                f"found {'none' if size is None else f'{size:,} bytes'}; "
                "start anew with --overwrite"
            )


def checksum_of(frames: bytes, event_images: bytes) -> int:
    """The checksum of an item, as its line has it."""
    return zlib.crc32(event_images, zlib.crc32(frames))


def write_chunk(items: Sequence[dict[str, Any]], path: Path) -> dict[str, Any]:
    """Write a chunk under its name, complete or not at all, and return litdata's word for it."""
    from litdata.streaming.writer import BinaryWriter

    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".chunk-", dir=path.parent) as folder:
        writer = BinaryWriter(folder, chunk_size=len(items))
        for number, item in enumerate(items):
            writer[number] = item
        writer.done()
        (written,) = Path(folder).glob("*.bin")
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.replace(path)
        return {**writer.get_config(), "chunk_size": None, "chunk_bytes": CHUNK_BYTES}


def _parse(line: bytes) -> Done | ClosedChunk | None:
    """What a line holds; None where it was not written to its end."""
    if not line.endswith(b"\n"):
        return None
    for kind in (Done, ClosedChunk):
        try:
            return kind.model_validate_json(line)
        except ValidationError:
            continue
    return None
