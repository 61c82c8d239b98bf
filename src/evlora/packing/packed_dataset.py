"""The clips of one split of a packed dataset, from a folder or from a bucket.

The shards are litdata's, and litdata takes their items apart. Which item comes when is not left to
its streaming loader: a sampler that knows the order of an epoch can resume inside it exactly, with
any number of workers. Of litdata's serializers only those for text, whole numbers and bytes are
ever used: an index from elsewhere that asks for another, such as pickle, is refused.
"""

import hashlib
import json
import mmap
import os
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveInt

from evlora.clips import ClipConfig
from evlora.datasets.bucket import Bucket, FetchingAhead
from evlora.datasets.dataset import ClipDataset
from evlora.datasets.manifest import Manifest
from evlora.datasets.rendering import Rendering
from evlora.errors import DatasetError
from evlora.files import state_of
from evlora.messages import reason_of
from evlora.packing.codec import decode, name_of
from evlora.recordings import Recording
from evlora.untrusted import parse_json, plain

INDEX_FILE = "index.json"
OPEN_CHUNKS = 64
"""Chunks that a process keeps open, the ones used last."""

ITEM = {
    "sample": "no_header_numpy:4",
    "label": "int",
    "frames": "no_header_numpy:4",
    "event_images": "no_header_numpy:4",
}
"""What an item holds, by litdata's names of types; number 4 is uint8."""


class IndexedChunk(BaseModel):
    """One file of a shard, as litdata's index lists it."""

    filename: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.bin$")
    chunk_bytes: PositiveInt
    chunk_size: PositiveInt
    """Items in it."""


class IndexConfig(BaseModel):
    """What litdata's index holds about the items."""

    data_format: list[str]
    data_spec: str
    compression: None = None
    encryption: None = None


class Index(BaseModel):
    """litdata's index of a folder of shards."""

    chunks: list[IndexedChunk]
    config: IndexConfig


class Shards:
    """The items of one split, by number."""

    def __init__(self, source: Path, split: str, bucket: Bucket | None) -> None:
        """Read the index.

        Args:
            source: Folder of the dataset.
            split: The split.
            bucket: Where the chunks are fetched from; None where they lie in the folder.

        Raises:
            DatasetError: The index is missing, damaged, or describes other items.
        """
        name = f"{split}/{INDEX_FILE}"
        path = source / name if bucket is None else bucket.fetch(name)
        self.where = f"{source if bucket is None else bucket.url}/{split}"
        content, self._chunks = _read_index(path, f"{self.where}/{INDEX_FILE}")
        self.ends = np.cumsum([chunk.chunk_size for chunk in self._chunks])
        """Number of the item behind the last one of each chunk."""
        self._split = split
        self._source = source
        self._bucket = bucket
        self._version = hashlib.sha256(content).hexdigest()[:16]
        self._open: OrderedDict[int, tuple[Path, memoryview]] = OrderedDict()
        self._loader = _item_loader()

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def chunks_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the chunk that each of these items lies in, shape (N,)."""
        return np.searchsorted(self.ends, numbers, side="right")

    def item(self, number: int) -> dict[str, Any]:
        """An item.

        Raises:
            DatasetError: Its chunk is missing, damaged, or cannot be fetched.
        """
        number_of_chunk = int(self.chunks_of(np.asarray(number)))
        chunk = self._chunks[number_of_chunk]
        content = self._content(number_of_chunk)
        place = number - (int(self.ends[number_of_chunk]) - chunk.chunk_size)
        try:
            count, *_ = struct.unpack_from("<I", content)
            start, end = struct.unpack_from("<2I", content, 4 * (1 + place))
            if count != chunk.chunk_size or not 4 * (count + 2) <= start < end <= len(content):
                raise ValueError(f"item {place} of {count} from byte {start} to {end}")
            return self._loader.load_item_from_bytes(content[start:end], number_of_chunk)
        except (struct.error, ValueError) as error:
            raise DatasetError(
                f"{self.where}/{chunk.filename}: expected {chunk.chunk_size} packed clips, got "
                f"damaged data ({error}); {self._remedy}"
            ) from error

    def place_of(self, number: int) -> str:
        """Which file an item lies in, for messages."""
        return f"{self.where}/{self._chunks[int(self.chunks_of(np.asarray(number)))].filename}"

    def states(self) -> list[object]:
        """What differs once a chunk has changed: the index, and the files where they lie here."""
        folder = self._source / self._split
        local = [] if self._bucket else [state_of(folder / one.filename) for one in self._chunks]
        return [self._version, *local]

    def to_fetch(self, number_of_chunk: int) -> dict[str, Any]:
        """What `Bucket.chunk` has to be asked for."""
        chunk = self._chunks[number_of_chunk]
        name = f"{self._split}/{chunk.filename}"
        return {"name": name, "version": self._version, "size_bytes": chunk.chunk_bytes}

    @property
    def _remedy(self) -> str:
        if self._bucket is None:
            return "copy the dataset again, or pack it again"
        return f"empty the cache {self._bucket.cache}; if that is no cure, pack the dataset again"

    def _content(self, number: int) -> memoryview:
        if number not in self._open:
            self._open[number] = self._opened(number)
            if len(self._open) > OPEN_CHUNKS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        path, content = self._open[number]
        if self._bucket is not None:
            with suppress(FileNotFoundError):
                os.utime(path)  # used now
        return content

    def _opened(self, number: int) -> tuple[Path, memoryview]:
        chunk = self._chunks[number]
        path = self._source / self._split / chunk.filename
        while True:
            if self._bucket is not None:
                path = self._bucket.chunk(**self.to_fetch(number))
            try:
                with path.open("rb") as file:
                    size = path.stat().st_size
                    if size != chunk.chunk_bytes:
                        raise DatasetError(
                            f"{path}: expected {chunk.chunk_bytes} bytes as the index states, "
                            f"got {size}; {self._remedy}"
                        )
                    return path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except FileNotFoundError as error:
                if self._bucket is None:
                    raise DatasetError(
                        f"{path}: no such file, though the index names it; {self._remedy}"
                    ) from error
                # Another process made room in the cache between the two lines.


class PackedDataset(ClipDataset):
    """One clip for every sample of a split, from shards; the same clips as from the recordings."""

    def __init__(
        self,
        manifest: Manifest,
        split: str,
        config: ClipConfig,
        *,
        seed: int = 0,
        is_training: bool = False,
    ) -> None:
        """Take the samples of a split; see `ClipDataset`.

        Raises:
            DatasetError: The split holds no samples, the clips were packed for another
                configuration, or the shards contradict the manifest.
        """
        super().__init__(manifest, split, config, seed=seed, is_training=is_training)
        assert manifest.packed is not None  # whoever makes this has looked
        _require_packed_for(config, manifest.packed.rendering, manifest.source)
        self.config = config.model_copy(update={"filters": ()})  # what was packed has passed them
        # Samples held out of train for validation still lie in the shards of train.
        home = split if manifest.packed.items.get(split) else "train"
        numbers = {
            sample.sample: number
            for number, sample in enumerate(
                sample
                for sample in manifest.samples
                if (sample.split if manifest.packed.items.get(sample.split) else "train") == home
            )
        }
        self._numbers = np.array([numbers[sample.sample] for sample in self.samples])
        self._bucket = manifest.bucket
        self._shards = Shards(manifest.source, home, manifest.bucket)
        if len(self._shards) != len(numbers):
            raise DatasetError(
                f"{self._shards.where}: expected {len(numbers)} clips as the manifest states, the "
                f"shards hold {len(self._shards)}; copy the dataset again, or pack it again"
            )

    def states(self) -> list[object]:
        """What differs once a shard has changed."""
        return self._shards.states()

    @property
    def chunk_sizes(self) -> list[int]:
        """Samples of each chunk, in the order of the samples."""
        counts = np.bincount(self._shards.chunks_of(self._numbers))
        return counts[counts > 0].tolist()

    def reading(self, indices: Sequence[int]) -> Iterator[int]:
        """The same numbers, while the chunks they need are fetched ahead."""
        if self._bucket is None:
            yield from indices
            return
        chunks = self._shards.chunks_of(self._numbers[np.asarray(indices, np.int64)]).tolist()
        places = {chunk: place for place, chunk in enumerate(dict.fromkeys(chunks))}
        wanted = [self._shards.to_fetch(chunk) for chunk in places]
        with FetchingAhead(self._bucket, wanted) as ahead:
            for index, chunk in zip(indices, chunks, strict=True):
                ahead.reached(places[chunk])
                yield index

    def _recording(self, index: int) -> Recording:
        number = int(self._numbers[index])
        item = self._shards.item(number)
        sample = self.samples[index]
        expected = (sample.sample, self._number[sample.label])
        found = name_of(item), int(item["label"])
        if found != expected:
            raise DatasetError(
                f"{self._shards.where}: expected the clip of {expected[0]!r} with label "
                f"{expected[1]} as number {number}, got {found[0]!r} with label "
                f"{found[1]}; manifest and shards are not of one packing: pack again"
            )
        return decode(item, where=self._shards.place_of(number))


def clip_dataset(
    manifest: Manifest,
    split: str,
    config: ClipConfig,
    *,
    seed: int = 0,
    is_training: bool = False,
    memory_mb: float = 0,
) -> ClipDataset:
    """The clips of a split, packed or made from the recordings; see `ClipDataset`."""
    if manifest.packed is not None:  # the shards' files are memory enough
        return PackedDataset(manifest, split, config, seed=seed, is_training=is_training)
    return ClipDataset(
        manifest, split, config, seed=seed, is_training=is_training, memory_mb=memory_mb
    )


def _read_index(path: Path, where: str) -> tuple[bytes, list[IndexedChunk]]:
    try:
        content = plain(path, DatasetError).read_bytes()
        index = Index.model_validate_json(content)
        spec = parse_json(index.config.data_spec)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{where}: no such file; the dataset was not copied whole, or packing it was not ended"
        ) from error
    except ValueError as error:  # that of pydantic and that of json are such
        raise DatasetError(
            f"{where}: expected an index of litdata's shards: {reason_of(error)}; copy the "
            "dataset again, or pack it again"
        ) from error
    if index.config.data_format != list(ITEM.values()) or spec != _spec():
        raise DatasetError(
            f"{where}: expected items of {', '.join(ITEM)} as {', '.join(ITEM.values())}, got "
            f"{', '.join(index.config.data_format)}; evlora reads nothing else, least of all "
            "pickled objects: pack the dataset with evlora"
        )
    return content, index.chunks


def _item_loader() -> Any:
    """Litdata's loader, which takes items apart; it holds no way to read anything but `ITEM`."""
    from litdata.streaming.item_loader import PyTreeLoader
    from litdata.streaming.serializers import BytesSerializer, IntegerSerializer, Serializer
    from litdata.utilities._pytree import tree_flatten

    loader = PyTreeLoader()
    serializers: dict[str, Serializer] = {
        "int": IntegerSerializer(),
        "no_header_numpy": BytesSerializer(),  # a view instead of an array: nothing is copied
    }
    config = {"data_format": list(ITEM.values()), "data_spec": tree_flatten(ITEM)[1]}
    loader.setup(config, [], serializers)
    return loader


def _spec() -> Any:
    from litdata.utilities._pytree import tree_flatten, treespec_dumps

    return json.loads(treespec_dumps(tree_flatten(ITEM)[1]))


def _require_packed_for(config: ClipConfig, packed: Rendering, source: Path) -> None:
    wanted = Rendering.of(config)
    differing = [
        f"clip.{key} was {getattr(packed, key)}, is {getattr(wanted, key)}"
        for key in ("frames", "representation", "window", "filters")
        if getattr(packed, key) != getattr(wanted, key)
    ]
    if set(wanted.modalities) - set(packed.modalities):
        differing.append(
            f"clip.modalities was {', '.join(packed.modalities)}, is {', '.join(wanted.modalities)}"
        )
    if packed.shorter_side_px is not None and max(config.size_px) > packed.shorter_side_px:
        differing.append(
            f"pictures were scaled to {packed.shorter_side_px} px, clip.size is {config.size}"
        )
    if packed.max_frames is not None and config.sampling == "dense":
        differing.append(
            f"{packed.max_frames} frames were kept, evenly chosen, and clip.sampling is dense"
        )
    if differing:
        raise DatasetError(
            f"{source}: the clips were packed for another configuration: {'; '.join(differing)}; "
            "set these keys as they were, or pack the dataset again"
        )
