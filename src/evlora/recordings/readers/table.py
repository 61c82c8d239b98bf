"""One row per recording format. A new format is its reader module and one row here."""

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from evlora.companions import is_apple_double
from evlora.errors import RecordingError, RecordingWarning
from evlora.messages import suggestion
from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.decoding import EventFile, collect
from evlora.recordings.readers.fields import Columns, Declared
from evlora.recordings.readers.images import IMAGE_SUFFIXES, doubts_of_folder, read_images
from evlora.recordings.readers.signatures import named_by_header
from evlora.recordings.readers.unread import why_not_read
from evlora.recordings.recording import Recording
from evlora.untrusted import is_folder, plain


@dataclass(frozen=True, slots=True)
class Format:
    """A recording format and the module that reads it; the module is imported when first used."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    streams: bool = True
    """Whether its events can be read in pieces; else the whole file is read at once."""
    options: tuple[str, ...] = ()
    """What else its reader lets one choose, such as `columns` and `unit`."""
    collects_frames: bool = False
    """Whether its reader meets frames among the events and collects them where asked."""

    def read(
        self, path: Path, *, width: int | None, height: int | None, **options: Any
    ) -> Recording:
        """The recording in `path`; see the module for what may go wrong."""
        reader = import_module(f"evlora.recordings.readers.{self.module}")
        chosen = self._chosen(path, options)
        with _reading(path):
            if not hasattr(reader, "read"):  # it holds nothing but events
                return collect(reader.open_events(path, width=width, height=height, **chosen))
            return reader.read(path, width=width, height=height, **chosen)

    def open_events(
        self,
        path: Path,
        *,
        width: int | None,
        height: int | None,
        frames: CollectedFrames | None = None,
        **options: Any,
    ) -> EventFile:
        """The events in `path`, to be read in pieces; only where `streams` is true.

        Frames met among them are collected in `frames`; only where `collects_frames` is true.
        """
        reader = import_module(f"evlora.recordings.readers.{self.module}")
        chosen = self._chosen(path, options)
        if frames is not None:
            chosen["frames"] = frames
        with _reading(path):
            return reader.open_events(path, width=width, height=height, **chosen)

    def _chosen(self, path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that the caller gives.

        Raises:
            RecordingError: The reader does not have one of them.
        """
        chosen = {name: value for name, value in options.items() if value is not None}
        for name in chosen:
            if name not in self.options:
                takers = ", ".join(row.name for row in FORMATS if name in row.options)
                raise RecordingError(
                    f"{path}: expected no {name}= or --{name} for the format {self.name}, whose "
                    f"files state it themselves; it is for {takers}"
                )
        if self.options == TABLE_OPTIONS:
            columns = chosen.pop("columns", None)
            given = Columns.parsed(columns) if isinstance(columns, str | list | tuple) else columns
            chosen["declared"] = Declared.by_caller(given, chosen.pop("unit", None))
        return chosen


TABLE_OPTIONS = ("columns", "unit")
"""Of formats that hold a table of events without always saying what its columns are."""

BAG_OPTIONS = ("topics",)
"""Of bags, which may hold several cameras."""

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"),
    *(".mpg", ".mpeg", ".vob", ".wmv", ".flv", ".ts", ".m2ts", ".mts", ".3gp", ".ogv", ".gif"),
    *(".asf", ".y4m"),
)

FORMATS: tuple[Format, ...] = (
    Format("nmnist", (".bin", ".bs2"), "nmnist"),
    Format("npz", (".npz",), "npz", options=TABLE_OPTIONS),
    Format("npy", (".npy",), "npy", options=TABLE_OPTIONS),
    Format("hdf5", (".h5", ".hdf5", ".mat"), "hdf5", options=TABLE_OPTIONS),
    Format("mat", (".mat",), "mat", options=TABLE_OPTIONS),
    Format("aedat4", (".aedat4",), "aedat4", collects_frames=True),
    Format("aedat3", (".aedat",), "aedat3", collects_frames=True),
    Format("aedat2", (".aedat",), "aedat2", collects_frames=True),
    Format("aedat1", (".aedat",), "aedat1"),
    Format("evt2", (".raw",), "evt2"),
    Format("evt2.1", (".raw",), "evt21"),
    Format("evt3", (".raw",), "evt3"),
    Format("dat", (".dat",), "dat"),
    Format("es", (".es",), "event_stream"),
    Format("ros1", (".bag",), "ros", options=BAG_OPTIONS, collects_frames=True),
    Format("ros2", (".db3", ".mcap"), "ros", options=BAG_OPTIONS, collects_frames=True),
    Format("text", (".txt", ".csv", ".tsv"), "text", options=TABLE_OPTIONS),
    Format("images", (*IMAGE_SUFFIXES, ".gif"), "images", streams=False),
    Format("video", VIDEO_SUFFIXES, "video", streams=False),
)


OF_FRAMES = ("images", "video")
"""Formats that never hold events."""
FRAME_SUFFIXES = frozenset(
    suffix for row in FORMATS if row.name in OF_FRAMES for suffix in row.suffixes
)
EVENT_SUFFIXES = frozenset(suffix for row in FORMATS for suffix in row.suffixes) - FRAME_SUFFIXES
TEXT_SUFFIXES = next(row.suffixes for row in FORMATS if row.name == "text")
NAMING = "name its format with format= or --format"
"""What helps where a file does not show its format."""


def is_of_events(path: Path) -> bool:
    """Whether a file among others is a recording of events, by its suffix.

    Text is one if its first lines hold events: notes and lists lie in people's folders too.

    Raises:
        RecordingError: It cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in EVENT_SUFFIXES:
        return False
    if suffix not in TEXT_SUFFIXES:
        plain(path, RecordingError)
        return True
    with _reading(plain(path, RecordingError)):
        from evlora.recordings.readers.text import holds_events

        return holds_events(path)


def reader_for(path: Path, format: str | None = None) -> Format:
    """The row for this file: by the name of a format, else by suffix and header together.

    Raises:
        RecordingError: No such format, a suffix that no format claims, or a header that states
            something else than the suffix.
    """
    if is_folder(path, RecordingError) and format is None:
        format = "ros2" if (path / "metadata.yaml").is_file() else "images"
    if format is not None:
        for row in FORMATS:
            if row.name == format:
                return row
        nearest = suggestion(format, (row.name for row in FORMATS))
        raise RecordingError(f"{path}: no format is called {format!r}; {nearest}")
    rows = [row for row in FORMATS if path.suffix.lower() in row.suffixes]
    with _reading(path):
        if is_apple_double(path):
            raise RecordingError(
                f"{path}: expected a recording, got what macOS keeps beside one; open "
                f"{path.name.removeprefix('._')}, and delete the files named ._*"
            )
        said = named_by_header(path)
    why_not = why_not_read(path, said=said)
    if why_not is not None:
        raise RecordingError(why_not)
    for row in rows or FORMATS:
        if row.name == said:
            return row
    suffix = f"suffix {path.suffix!r}" if path.suffix else "missing suffix"
    if said is not None:
        raise RecordingError(
            f"{path}: its {suffix} stands for {_names(rows)}, its header states {said}; rename the "
            f"file, or {NAMING}"
        )
    if len(rows) == 1:
        return rows[0]
    if rows and not path.stat().st_size:
        raise RecordingError(
            f"{path}: expected {_names(rows)}, got an empty file; copy it again, or delete it"
        )
    if rows:
        raise RecordingError(
            f"{path}: its {suffix} stands for {_names(rows)}, and its header does not state which; "
            f"{NAMING}"
        )
    raise RecordingError(
        f"{path}: no format has its {suffix}, and its header is none that is known; there are: "
        f"{_known()}; {NAMING}"
    )


def open_frames(frames: str | Path | Sequence[str | Path]) -> FrameSequence:
    """The frames in a picture, a folder of pictures, a list of pictures, or a recording.

    Raises:
        RecordingError: Nothing there, or nothing that holds frames.
    """
    if isinstance(frames, str | Path):
        path = plain(Path(frames), RecordingError)
        if path.suffix.lower() in IMAGE_SUFFIXES or path.is_dir():
            with _reading(path):
                pictures = read_images(path)
            for doubt in doubts_of_folder(pictures) if path.is_dir() else ():
                warnings.warn(doubt, RecordingWarning, stacklevel=3)
            return pictures
        if path.suffix.lower() in {suffix for row in FORMATS for suffix in row.suffixes}:
            recording = reader_for(path).read(path, width=None, height=None)
            for warning in recording.warnings:
                warnings.warn(warning, RecordingWarning, stacklevel=3)
            if recording.frames is None:
                raise RecordingError(f"{path}: expected frames, the file holds only events")
            return recording.frames
        return read_images(path)
    return read_images(*(Path(path) for path in frames))


@contextmanager
def _reading(path: Path) -> Generator[None]:
    """Turns what the operating system refuses into the user's error."""
    try:
        yield
    except OSError as error:
        raise RecordingError(f"{path}: could not be read: {error}") from error


def _names(rows: Sequence[Format]) -> str:
    return " or ".join(row.name for row in rows)


def _known() -> str:
    return ", ".join(f"{row.name} ({' '.join(row.suffixes)})" for row in FORMATS)
