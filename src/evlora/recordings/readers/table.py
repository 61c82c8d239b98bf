"""One row per recording format. A new format is its reader module and one row here."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from evlora.errors import RecordingError
from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers.images import IMAGE_SUFFIXES, read_images
from evlora.recordings.recording import Recording


@dataclass(frozen=True, slots=True)
class Format:
    """A recording format and the module that reads it; the module is imported when first used."""

    name: str
    suffixes: tuple[str, ...]
    module: str

    def read(self, path: Path, *, width: int | None, height: int | None) -> Recording:
        """The recording in `path`; see the module for what may go wrong."""
        reader = import_module(f"evlora.recordings.readers.{self.module}")
        return reader.read(path, width=width, height=height)


FORMATS: tuple[Format, ...] = (
    Format("nmnist", (".bin", ".bs2"), "nmnist"),
    Format("npz", (".npz",), "npz"),
    Format("aedat4", (".aedat4",), "aedat4"),
    Format("images", IMAGE_SUFFIXES, "images"),
)


def reader_for(path: Path, format: str | None = None) -> Format:
    """The row for this file, by the name of a format or by the file's suffix.

    Raises:
        RecordingError: No such format, or a suffix that no format claims.
    """
    if format is None and path.is_dir():
        format = "images"
    for row in FORMATS:
        if format == row.name or (format is None and path.suffix.lower() in row.suffixes):
            return row
    known = ", ".join(f"{row.name} ({' '.join(row.suffixes)})" for row in FORMATS)
    if format is not None:
        raise RecordingError(f"{path}: no format is called {format!r}; there are: {known}")
    raise RecordingError(
        f"{path}: no format has the suffix {path.suffix!r}; there are: {known}; "
        "name one with format= or --format"
    )


def open_frames(frames: str | Path | Sequence[str | Path]) -> FrameSequence:
    """The frames in a picture, a folder of pictures, a list of pictures, or a recording.

    Raises:
        RecordingError: Nothing there, or nothing that holds frames.
    """
    if isinstance(frames, str | Path):
        path = Path(frames)
        if path.suffix.lower() in IMAGE_SUFFIXES or path.is_dir():
            return read_images(path)
        if path.suffix.lower() in {suffix for row in FORMATS for suffix in row.suffixes}:
            recording = reader_for(path).read(path, width=None, height=None)
            if recording.frames is None:
                raise RecordingError(f"{path}: expected frames, the file holds only events")
            return recording.frames
        return read_images(path)
    return read_images(*(Path(path) for path in frames))
