"""One row per format that can be written. A new one is its writer module and one row here."""

import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from evlora.errors import RecordingError, RecordingWarning
from evlora.files import writing_file
from evlora.messages import suggestion
from evlora.recordings.recording import Recording


@dataclass(frozen=True, slots=True)
class Writer:
    """A format and the module that writes it; the module is imported when first used."""

    name: str
    """As the reader of the same format is called."""
    suffixes: tuple[str, ...]
    module: str
    keeps_frames: bool = False
    keeps_triggers: bool = False

    def write(self, recording: Recording, path: Path) -> None:
        """Write the recording to `path`; see the module for what may go wrong."""
        import_module(f"evlora.recordings.writers.{self.module}").write(recording, path)


WRITERS: tuple[Writer, ...] = (
    Writer("npz", (".npz",), "npz", keeps_frames=True, keeps_triggers=True),
    Writer("hdf5", (".h5", ".hdf5"), "hdf5", keeps_frames=True, keeps_triggers=True),
    Writer("aedat4", (".aedat4",), "aedat4", keeps_frames=True),
    Writer("text", (".csv", ".txt"), "text"),
    Writer("evt2", (".raw",), "evt2"),
    Writer("evt2.1", (".raw",), "evt21"),
    Writer("evt3", (".raw",), "evt3"),
    Writer("dat", (".dat",), "dat"),
    Writer("es", (".es",), "event_stream"),
    Writer("ros1", (".bag",), "ros", keeps_frames=True),
    Writer("ros2", (".mcap",), "ros", keeps_frames=True),
)


def write_recording(recording: Recording, path: str | Path, format: str | None = None) -> None:
    """Write a recording; the file appears under its name when it is complete.

    What is written and read back is equal: events, sensor, and frames where the format has them.

    Args:
        recording: What to write.
        path: The file; its suffix picks the format.
        format: The name of a format, where the suffix does not tell (`.raw` is evt2 or evt3).

    Raises:
        RecordingError: No such format, something that the format cannot hold, or no place to
            write to.

    Warns:
        RecordingWarning: The recording has frames and the format none, or its clock is too short.
    """
    target = Path(path)
    writer = _writer_for(target, format)
    if not writer.keeps_frames:
        if recording.events is None:
            raise RecordingError(
                f"{target}: {writer.name} holds events, the recording has only frames; "
                "write npz or hdf5"
            )
        if recording.frames is not None:
            warnings.warn(
                f"{target}: {writer.name} holds no frames; the recording's "
                f"{len(recording.frames)} were skipped, npz and hdf5 keep them",
                RecordingWarning,
                stacklevel=2,
            )
    if recording.triggers is not None and not writer.keeps_triggers:
        warnings.warn(
            f"{target}: {writer.name} is written without the recording's "
            f"{len(recording.triggers)} triggers; npz and hdf5 keep them",
            RecordingWarning,
            stacklevel=2,
        )
    try:
        with writing_file(target) as temporary:
            writer.write(recording, temporary)
    except OSError as error:
        reason = error.strerror or error
        raise RecordingError(
            f"{target}: could not be written: {reason}; make room there, or name another folder"
        ) from error


def writer_named(format: str, path: Path) -> tuple[Writer, str]:
    """The format of this name, or of a suffix that it alone has; and the suffix of its files.

    Args:
        format: Such as `text`, or `csv`.
        path: What is written or read, for the message.

    Raises:
        RecordingError: There is none.
    """
    suffix = f".{format.lower().removeprefix('.')}"
    for row in WRITERS:
        if row.name == format:
            return row, row.suffixes[0]
    rows = [row for row in WRITERS if suffix in row.suffixes]
    if len(rows) == 1:
        return rows[0], suffix
    nearest = suggestion(format, (row.name for row in rows or WRITERS))
    raise RecordingError(f"{path}: no format called {format!r} can be written; {nearest}")


def _writer_for(path: Path, format: str | None) -> Writer:
    if format is not None:
        return writer_named(format, path)[0]
    rows = [row for row in WRITERS if path.suffix.lower() in row.suffixes]
    if len(rows) == 1:
        return rows[0]
    if rows:
        names = " or ".join(row.name for row in rows)
        raise RecordingError(f"{path}: {path.suffix} may be {names}; name one with format= or --to")
    known = ", ".join(f"{row.name} ({' '.join(row.suffixes)})" for row in WRITERS)
    raise RecordingError(
        f"{path}: no format with suffix {path.suffix!r} can be written; there are: {known}"
    )
