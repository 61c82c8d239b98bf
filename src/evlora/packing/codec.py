"""The packed form of a recording: every picture that a clip of it could choose, drawn once.

A packed dataset is a folder with `dataset.json`, whose entry `packed` is a `PackedAbout`,
`manifest.jsonl`, whose samples stand in the order of the shards, and for each split a folder of
litdata shards. An item of a shard is what `encode` gives. Each picture is compressed separately
(see `pictures`), so that a reader decodes only those that a clip chooses.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

from evlora.clips import ClipConfig
from evlora.clips.images import Inputs, MomentImages
from evlora.clips.sampling import choose_moments
from evlora.datasets.rendering import Rendering
from evlora.errors import RecordingError
from evlora.packing.pictures import PictureCompressor, decompress
from evlora.recordings import FrameSequence, Recording
from evlora.recordings.filters.table import filtered
from evlora.recordings.frames import ImageArray

HEADER = struct.Struct("<4I")
"""Moments, pictures, height, width."""
IMAGES_AT_ONCE = 16
"""Number of images drawn in one go: a long recording must not fill the memory."""


def encode(
    recording: Recording,
    config: ClipConfig,
    *,
    sample: str,
    label: int,
    shorter_side_px: int | None = None,
    lossy: str | None = None,
    max_frames: int | None = None,
) -> dict[str, Any]:
    """The packed form of a recording, for a shard.

    A recording with at least `config.frames` frames keeps all of them, or `max_frames` evenly
    chosen ones, each with its event image, so that training may draw its moments from all. One
    with fewer is cut into
    `config.frames` equal windows, and these moments are fixed.

    Args:
        recording: Must hold the modalities that `config` asks for.
        config: Which clips are to be made of it.
        sample: Name of the sample.
        label: Number of its class.
        shorter_side_px: Pictures with a longer shorter side are scaled to it, once and for all.
        lossy: FORMAT:QUALITY of pictures that may lose something; None keeps every pixel.
        max_frames: How many frames are kept at most; None keeps all.

    Returns:
        `label`, and as bytes `sample` (its name in UTF-8), `frames` and `event_images`, empty where
        there are none.

    Raises:
        DatasetError: A modality is missing, or the window asks for what cannot be packed.
        RecordingError: A picture cannot be read, or there is nothing in the recording.
    """
    Rendering.of(config)  # it refuses what cannot be packed
    recording = filtered(recording, config.filters)
    inputs = Inputs.of(recording, config, may_lack=False)
    pictures = recording.frames or recording.event_images or ()
    kept = len(pictures) if max_frames is None else min(len(pictures), max_frames)
    moments = choose_moments(recording, max(kept, config.frames), window=config.window)
    frames, event_images = (
        b""
        if source is None
        else _packed(
            MomentImages(source, moments, representation=config.representation),
            shorter_side_px,
            lossy,
        )
        for source in (inputs.frames, inputs.events)
    )
    return packed_item(sample, label, frames, event_images)


def packed_item(sample: str, label: int, frames: bytes, event_images: bytes) -> dict[str, Any]:
    """The item of a shard that holds these packed pictures."""
    return {
        # As arrays: litdata stores dictionaries of plain bytes in another way where it finds
        # pyarrow, and a text that happens to be the path of a file in another way again; what is
        # packed here must be readable there.
        "sample": np.frombuffer(sample.encode(), np.uint8),
        "label": label,
        "frames": np.frombuffer(frames, np.uint8),
        "event_images": np.frombuffer(event_images, np.uint8),
    }


def name_of(item: Mapping[str, Any]) -> str:
    """The name of the sample that was packed as this item."""
    return bytes(item["sample"]).decode(errors="replace")


def decode(item: Mapping[str, Any], *, where: str | None = None) -> Recording:
    """The recording of a packed item: frames and event images, without the events.

    Nothing is decompressed before a clip asks for it.

    Args:
        item: What `encode` gave, as the shards return it.
        where: What to call it in a message; the sample's name by default.

    Raises:
        RecordingError: The item is damaged.
    """
    sample = where or name_of(item)
    return Recording(
        None,
        _opened(item["frames"], f"{sample}: packed frames"),
        "packed",
        event_images=_opened(item["event_images"], f"{sample}: packed event images"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PackedPictures:
    """Pictures in the packed form, decompressed when they are asked for."""

    numbers: NDArray[np.uint32]
    """Which picture each moment shows, shape (T,)."""
    offsets: NDArray[np.uint64]
    """Where each picture starts in `data`, and the end of the last one."""
    data: memoryview
    height: int
    width: int
    where: str
    """What it is, for messages."""

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The pictures of these moments, shape (len(indices), H, W, 3).

        Raises:
            RecordingError: The data is damaged.
        """
        images = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        rows: dict[int, int] = {}
        for row, index in enumerate(indices):
            number = int(self.numbers[index])
            if number in rows:
                images[row] = images[rows[number]]
            else:
                picture = self._picture(number)
                if picture.shape[2] == 3:
                    images[row] = picture
                else:
                    for channel in range(3):  # numpy takes ten times as long for all at once
                        images[row, ..., channel] = picture[..., 0]
                rows[number] = row
        return images

    def _picture(self, number: int) -> ImageArray:
        """Shape (H, W, 3), or (H, W, 1) where it is grey."""
        compressed = self.data[int(self.offsets[number]) : int(self.offsets[number + 1])]
        try:
            return decompress(compressed, height=self.height, width=self.width)
        except ValueError as error:
            raise _damaged(self.where, f"picture {number}: {error}") from error


def _packed(images: MomentImages, shorter_side_px: int | None, lossy: str | None) -> bytes:
    """The distinct images, behind a header, the number that each moment shows and their offsets."""
    compress = PictureCompressor(lossy)
    pictures: list[bytes] = []
    height = width = 0
    for batch in images.batches(IMAGES_AT_ONCE):
        scaled = batch if shorter_side_px is None else _scaled(batch, shorter_side_px)
        height, width = scaled.shape[1:3]
        pictures += map(compress, scaled)
    offsets = np.cumsum([0, *map(len, pictures)], dtype="<u8")
    header = HEADER.pack(len(images.numbers), len(pictures), height, width)
    return b"".join([header, images.numbers.astype("<u4").tobytes(), offsets.tobytes(), *pictures])


def _scaled(images: ImageArray, shorter_side_px: int) -> ImageArray:
    if min(images.shape[1:3]) <= shorter_side_px:
        return images
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    scaled: torch.Tensor = F.resize(pixels, [shorter_side_px], antialias=True)
    return scaled.permute(0, 2, 3, 1).numpy()


def _opened(packed: Any, where: str) -> FrameSequence | None:
    data = memoryview(packed).cast("B")
    if not len(data):
        return None
    try:
        moments, pictures, height, width = HEADER.unpack_from(data)
        numbers = np.frombuffer(data, "<u4", moments, HEADER.size)
        after_numbers = HEADER.size + numbers.nbytes
        offsets = np.frombuffer(data, "<u8", pictures + 1, after_numbers)
    except (struct.error, ValueError) as error:
        raise _damaged(where, str(error)) from error
    content = data[after_numbers + offsets.nbytes :]
    if (
        not (moments and height and width)
        or int(numbers.max()) >= pictures
        or (offsets[1:] < offsets[:-1]).any()
        or offsets[-1] != len(content)
    ):
        raise _damaged(where, "its header contradicts itself")
    source = PackedPictures(numbers, offsets, content, height, width, where)
    return FrameSequence(source, width, height)


def _damaged(where: str, what: str) -> RecordingError:
    return RecordingError(
        f"{where}: expected what evlora pack writes, got damaged data ({what}); "
        "copy the dataset again, or pack it again"
    )
