"""What `predict` answers: one recording as a table, many as a line each, all of them as a file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evlora.cli.printing import echo, table
from evlora.cli.table_files import Kinds, require_file, write_table, write_whole
from evlora.cli.verb import ranks_of_command
from evlora.errors import RecordingError
from evlora.escaping import printable

if TYPE_CHECKING:
    from evlora.clips import ClipConfig
    from evlora.prediction import Prediction
    from evlora.recordings import Recording
    from evlora.recordings.parts import Part

OUT_SUFFIXES = (".csv", ".jsonl", ".parquet")


class Row(NamedTuple):
    """One recording and what was answered, or why nothing was."""

    recording: str
    ranked: "Sequence[Prediction]"
    error: str | None


@dataclass(slots=True)
class Answers:
    """Prints answers as they come and collects them for a file."""

    top: int
    """Labels of each recording that are printed and written."""
    is_one: bool
    """Whether a single recording is asked for."""
    as_json: bool
    rows: list[Row]
    is_printed: bool = True
    """Whether they are printed as they come, and not only collected."""

    def add(self, recording: str, ranked: "Sequence[Prediction]") -> None:
        """Print an answer."""
        row = Row(recording, tuple(ranked[: self.top]), None)
        self.rows.append(row)
        if self.is_printed:
            self._print(row)

    def fail(self, recording: str, error: str) -> None:
        """Report a recording without an answer; the others are answered all the same."""
        self.rows.append(Row(recording, (), error))
        if self.is_printed:
            echo(f"error: {error}", err=True)

    def as_plain(self) -> list[Any]:
        """The rows as lists and texts, to go to another process."""
        return [(row.recording, _as_dicts(row.ranked), row.error) for row in self.rows]

    def add_plain(
        self, recording: str, ranked: Sequence[dict[str, Any]], error: str | None
    ) -> None:
        """Print a row that `as_plain` gave in another process."""
        from evlora.prediction import Prediction

        if error is None:
            self.add(recording, [Prediction(**one) for one in ranked])
        else:
            self.fail(recording, error)

    def _print(self, row: Row) -> None:
        if self.as_json:
            labels = _as_dicts(row.ranked)
            whole = {"recording": row.recording, "ranked": labels}
            echo(json.dumps(labels if self.is_one else whole, ensure_ascii=False))
        elif self.is_one:
            echo(row.recording)
            table(("label", "probability"), [(r.label, f"{r.probability:.1%}") for r in row.ranked])
        else:
            echo(f"{row.ranked[0].probability:6.1%}  {row.ranked[0].label}  {row.recording}")

    def write(self, out: Path) -> None:
        """Write all answers to a file: its suffix picks the format.

        Raises:
            RunError: The file cannot be written.
        """
        write_whole("--out", out, lambda path: self._write(path, out.suffix))
        echo(f"answers of {len(self.rows)} recordings: {out}", err=True)

    def _write(self, path: Path, suffix: str) -> None:
        if suffix == ".jsonl":
            path.write_text(_json_lines(self.rows), encoding="utf-8")
            return
        columns = _columns(self.rows, self.top)
        kinds: Kinds = {name: float if name.startswith("probability") else str for name in columns}
        write_table(columns, path, suffix=suffix, kinds=kinds)


def opened_each(
    inputs: Sequence[tuple[Path, Path | None]],
    config: "ClipConfig",
    options: dict[str, Any],
    *,
    part: "Part | None",
    as_json: bool,
) -> Iterator["Recording"]:
    """All inputs, each a file or a folder and the frames given for it, opened one after another.

    Raises:
        RecordingError: One of them cannot be read.
    """
    from evlora import prediction
    from evlora.recordings.parts import part_of

    for path, given in inputs:
        is_folder = given is None and path.is_dir()
        found = prediction.recordings_in(path, config) if is_folder else [(path, given)]
        for recording, beside in found:
            if is_folder:
                echo(str(recording), err=as_json)
                opened = opened_among_others(recording, beside, options)
            else:
                opened, taken = opened_alone(recording, beside, config, options)
                note_frames(recording, taken)
            yield opened if part is None else part_of(opened, part)


def _options_for(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Of several kinds in a folder, each takes the options that its format has."""
    from evlora.recordings.readers import reader_for

    taken = {"width", "height", *reader_for(path).options}
    return {name: value for name, value in options.items() if name in taken}


def opened_alone(
    path: Path, frames: Path | None, config: "ClipConfig", options: dict[str, Any]
) -> "tuple[Recording, Path | None]":
    """The recording with its frames: those given, or those of its name beside it.

    Returns:
        The recording, and what lies beside it and was taken.
    """
    from evlora.prediction import open_with_frames
    from evlora.recordings import open_recording

    if frames is not None:
        return open_recording(path, frames=frames, **options), None
    return open_with_frames(path, config, **options)


def note_frames(path: Path, taken: Path | None) -> None:
    """Name the frames that were taken for a recording, on standard error."""
    if taken is not None:
        echo(f"{path}: with the frames of {taken} beside it", err=True, of_any_rank=True)


def opened_among_others(path: Path, frames: Path | None, options: dict[str, Any]) -> "Recording":
    """The recording; in a folder, the size is for those that do not state it."""
    from evlora.errors import SensorSizeError
    from evlora.recordings import open_recording

    own = _options_for(path, options)
    try:
        return open_recording(path, frames=frames, **{**own, "width": None, "height": None})
    except SensorSizeError:
        if options["width"] is None or options["height"] is None:
            raise
        return open_recording(path, frames=frames, **own)


def require_out(out: Path | None) -> None:
    """Check, before anything is predicted, that such a file can be written.

    Raises:
        RunError: Its suffix is of no known format, or what writes it is not installed.
    """
    require_file("--out", out, OUT_SUFFIXES)


def require_alone(out: Path | None) -> None:
    """Check that answers which are printed as they come go nowhere else.

    Raises:
        RecordingError: A file is to be written, or several processes divide the work.
    """
    if out is not None or ranks_of_command().size > 1:
        raise RecordingError(
            "--live: expected no --out with it, and one process: it prints as it goes; drop --out, "
            "or start it without torchrun or srun"
        )


def _as_dicts(ranked: "Sequence[Prediction]") -> list[dict[str, Any]]:
    return [{"label": r.label, "probability": r.probability} for r in ranked]


def _json_lines(rows: Sequence[Row]) -> str:
    found = [
        {"recording": row.recording, "error": row.error}
        if row.error is not None
        else {"recording": row.recording, "ranked": _as_dicts(row.ranked)}
        for row in rows
    ]
    return "".join(printable(json.dumps(one, ensure_ascii=False)) + "\n" for one in found)


def _columns(rows: Sequence[Row], top: int) -> dict[str, list[Any]]:
    """The answers as columns: the first label and its probability, further ones, the error."""
    most = max([1, *(len(row.ranked) for row in rows)])
    columns: dict[str, list[Any]] = {"recording": [printable(row.recording) for row in rows]}
    for place in range(min(top, most)):
        end = "" if place == 0 else f"_{place + 1}"
        found = [row.ranked[place] if place < len(row.ranked) else None for row in rows]
        columns[f"label{end}"] = [None if r is None else r.label for r in found]
        columns[f"probability{end}"] = [None if r is None else r.probability for r in found]
    columns["error"] = [None if row.error is None else printable(row.error) for row in rows]
    return columns
