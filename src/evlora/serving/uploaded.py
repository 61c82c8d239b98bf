"""Uploaded files as recordings: any format that evlora reads, and single packed clips.

A packed clip is a safetensors file with what `evlora.packing` keeps of a recording: `frames` and
`event_images`, each compressed picture by picture.
"""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from evlora.clips import ClipConfig
from evlora.clips.images import FROM_PYTHON, GIVING_FRAMES, HIDING
from evlora.errors import RecordingError
from evlora.packing.codec import decode, encode
from evlora.recordings import Recording, open_recording
from evlora.recordings.pictures import require_size
from evlora.recordings.readers import FORMATS
from evlora.recordings.readers.decoding import SIZING
from evlora.recordings.readers.table import NAMING
from evlora.untrusted import plain

PACKED = ".safetensors"
PARTS = ("frames", "event_images")
CURES = {
    NAMING: "upload what `evlora convert --format` makes of it",
    SIZING: "upload what `evlora convert --width --height` makes of it",
    GIVING_FRAMES: "upload the frames beside it as `frames`",
    HIDING: "with ?without=",
    FROM_PYTHON: "",
}
"""What a message advises, and what to do instead where no option can be given."""


def suffixes() -> list[str]:
    """The suffixes of what can be uploaded."""
    return sorted({suffix for row in FORMATS for suffix in row.suffixes} | {PACKED})


def open_upload(path: Path, *, frames: Path | None, **options: Any) -> Recording:
    """The recording in an uploaded file.

    Args:
        path: The file, with the suffix of its format.
        frames: A video or a picture that belongs to it.
        options: See `open_recording`.

    Raises:
        RecordingError: It cannot be read.
    """
    if path.suffix != PACKED:
        return open_recording(path, frames=frames, **options)
    if frames is not None:
        raise RecordingError(
            f"{path}: expected a packed clip alone, got frames beside it; it holds its own"
        )
    try:
        content = load_file(plain(path, RecordingError))
    except (SafetensorError, ValueError, KeyError) as error:
        raise RecordingError(
            f"{path}: expected a packed clip, could not read it: {error}; write it with "
            "evlora.serving.uploaded.write_packed_clip"
        ) from error
    if not content.keys() <= set(PARTS) or any(part.dtype != "uint8" for part in content.values()):
        raise RecordingError(
            f"{path}: expected bytes named {' and '.join(PARTS)}, got {sorted(content)[:5]}; write "
            "it with evlora.serving.uploaded.write_packed_clip"
        )
    recording = decode({name: content.get(name, b"") for name in PARTS}, where=str(path))
    sequences = [one for one in (recording.frames, recording.event_images) if one is not None]
    if not sequences:
        raise RecordingError(f"{path}: expected a packed clip with pictures, got none")
    for sequence in sequences:
        require_size(path, sequence.width, sequence.height)
    return recording


def advice_for_uploads(message: str) -> str:
    """A message of a reader that advises what one who uploads can do."""
    for advice, cure in CURES.items():
        message = message.replace(advice, cure)
    return message


def write_packed_clip(recording: Recording, config: ClipConfig, path: str | Path) -> None:
    """Pack what a recognizer needs of a recording into a small file, to upload in its place.

    Args:
        recording: With the modalities that the configuration names.
        config: The recognizer's `clip_config`.
        path: The file to write, .safetensors.

    Raises:
        DatasetError: A modality is missing, or the configuration cannot be packed.
    """
    item = encode(recording, config, sample="", label=0)
    save_file({name: item[name] for name in PARTS if len(item[name])}, path)
