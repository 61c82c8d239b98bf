"""What `predict` answers: one recording as a table, many as a line each, all of them as a file."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evlora.cli.printing import echo, table
from evlora.errors import EvloraError, RunError
from evlora.escaping import cell, printable
from evlora.files import writing_file

if TYPE_CHECKING:
    from evlora.answering import Precision
    from evlora.clips import ClipConfig, Modality
    from evlora.prediction import Prediction
    from evlora.recognizer import Recognizer
    from evlora.recordings import Recording
    from evlora.recordings.parts import Part

OUT_SUFFIXES = (".csv", ".jsonl", ".parquet")


class Row(NamedTuple):
    """One recording and what was answered, or why nothing was."""

    recording: str
    ranked: "Sequence[Prediction]"
    error: str | None
    true: str | None = None
    """The true label, where it is known."""


@dataclass(slots=True)
class Answers:
    """Prints answers as they come and collects them for a file."""

    top: int
    """Labels of each recording that are printed and written."""
    is_one: bool
    """Whether a single recording is asked for."""
    as_json: bool
    rows: list[Row]

    def add(self, path: Path, ranked: "Sequence[Prediction]") -> None:
        """Print an answer."""
        shown = ranked[: self.top]
        self.rows.append(Row(str(path), shown, None))
        if self.as_json:
            labels = _as_dicts(shown)
            whole = {"recording": str(path), "ranked": labels}
            echo(json.dumps(labels if self.is_one else whole, ensure_ascii=False))
        elif self.is_one:
            echo(str(path))
            table(("label", "probability"), [(r.label, f"{r.probability:.1%}") for r in shown])
        else:
            echo(f"{shown[0].probability:6.1%}  {shown[0].label}  {path}")

    def fail(self, path: Path, error: EvloraError) -> None:
        """Report a recording without an answer; the others are answered all the same."""
        self.rows.append(Row(str(path), (), str(error)))
        echo(f"error: {error}", err=True)

    @property
    def failures(self) -> int:
        """Recordings without an answer."""
        return sum(row.error is not None for row in self.rows)

    def write(self, out: Path) -> None:
        """Write all answers to a file: its suffix picks the format.

        Raises:
            RunError: The file cannot be written.
        """
        write_rows(self.rows, out, name="recording", top=self.top)
        echo(f"answers of {len(self.rows)} recordings: {out}", err=True)


def write_rows(rows: Sequence[Row], out: Path, *, name: str, top: int) -> None:
    """Write answers to a file: its suffix picks the format.

    Args:
        rows: What was answered.
        out: The file, with one of `OUT_SUFFIXES`.
        name: What the rows are of, which names the first column.
        top: Labels of each row.

    Raises:
        RunError: The file cannot be written.
    """
    try:
        with writing_file(out) as temporary:
            if out.suffix == ".jsonl":
                temporary.write_text(_json_lines(rows, name), encoding="utf-8")
            elif out.suffix == ".csv":
                _write_csv(_columns(rows, name, top), temporary)
            else:
                _write_parquet(_columns(rows, name, top), temporary)
    except OSError as error:
        raise RunError(f"--out: {out} cannot be written: {error}; name another file") from error


def predict_each(
    recognizer: "Recognizer",
    inputs: Sequence[tuple[Path, Path | None]],
    options: dict[str, Any],
    *,
    part: "Part | None",
    answers: Answers,
    without: "Modality | None",
    precision: "Precision",
) -> None:
    """Predict all inputs, each a file or a folder and the frames given for it.

    Raises:
        RecordingError: The only recording asked for cannot be read.
        DatasetError: It lacks a modality.
    """
    from evlora import prediction
    from evlora.errors import DatasetError, RecordingError
    from evlora.recordings.parts import part_of

    config = recognizer.clip_config.hiding(without)
    for path, given in inputs:
        is_folder = given is None and path.is_dir()
        try:
            found = (
                prediction.recordings_in(path, config)
                if is_folder
                else [prediction.Found(path, given)]
            )
        except RecordingError as error:
            answers.fail(path, error)
            continue
        before = answers.failures
        for recording, beside in found:
            try:
                if is_folder:
                    opened = _opened_among_others(recording, beside, options)
                else:
                    opened = _opened(recording, beside, config, options)
                if part is not None:
                    opened = part_of(opened, part)
                answers.add(
                    recording,
                    prediction.predict(recognizer, opened, without=without, precision=precision),
                )
            except (DatasetError, RecordingError) as error:
                if answers.is_one:
                    raise
                answers.fail(recording, error)
        if is_folder:
            count = len(found) - answers.failures + before
            echo(f"{path}: predicted {count} of {len(found)} recordings", err=True)


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
                opened = _opened_among_others(recording, beside, options)
            else:
                opened = _opened(recording, beside, config, options)
            yield opened if part is None else part_of(opened, part)


def _options_for(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Of several kinds in a folder, each takes the options that its format has."""
    from evlora.recordings.readers import reader_for

    taken = {"width", "height", *reader_for(path).options}
    return {name: value for name, value in options.items() if name in taken}


def _opened(
    path: Path, frames: Path | None, config: "ClipConfig", options: dict[str, Any]
) -> "Recording":
    """The recording with its frames: those given, or those of its name beside it."""
    from evlora.prediction import open_with_frames
    from evlora.recordings import open_recording

    if frames is not None:
        return open_recording(path, frames=frames, **options)
    recording, beside = open_with_frames(path, config, **options)
    if beside is not None:
        echo(f"{path}: with the frames of {beside} beside it", err=True)
    return recording


def _opened_among_others(path: Path, frames: Path | None, options: dict[str, Any]) -> "Recording":
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
    if out is None:
        return
    if out.suffix not in OUT_SUFFIXES:
        raise RunError(f"--out: expected a file of {', '.join(OUT_SUFFIXES)}, got {out}")
    if out.is_dir():
        raise RunError(f"--out: expected a file, got the folder {out}; name a file in it")
    if out.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise RunError(
            f"--out: {out}: parquet is written by pyarrow, which is not installed: "
            'pip install "evlora[parquet]", or name a .csv or .jsonl'
        )


def _as_dicts(ranked: "Sequence[Prediction]") -> list[dict[str, Any]]:
    return [{"label": r.label, "probability": r.probability} for r in ranked]


def _json_lines(rows: Sequence[Row], name: str) -> str:
    found: list[dict[str, Any]] = []
    for row in rows:
        about = {name: row.recording} | ({} if row.true is None else {"true": row.true})
        if row.error is None:
            found.append({**about, "ranked": _as_dicts(row.ranked)})
        else:
            found.append({**about, "error": row.error})
    return "".join(printable(json.dumps(one, ensure_ascii=False)) + "\n" for one in found)


def _columns(rows: Sequence[Row], name: str, top: int) -> dict[str, list[Any]]:
    """The answers as columns: true labels, the first label and its probability, further ones."""
    most = max([1, *(len(row.ranked) for row in rows)])
    columns: dict[str, list[Any]] = {name: [printable(row.recording) for row in rows]}
    if any(row.true is not None for row in rows):
        columns["true"] = [row.true for row in rows]
    for place in range(min(top, most)):
        end = "" if place == 0 else f"_{place + 1}"
        found = [row.ranked[place] if place < len(row.ranked) else None for row in rows]
        columns[f"label{end}"] = [None if r is None else r.label for r in found]
        columns[f"probability{end}"] = [None if r is None else r.probability for r in found]
    if "true" not in columns:  # a sample of a dataset that cannot be read ends the evaluation
        columns["error"] = [None if row.error is None else printable(row.error) for row in rows]
    return columns


def _write_csv(columns: dict[str, list[Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        rows = zip(*columns.values(), strict=True)
        writer.writerows([cell(value) for value in row] for row in rows)


def _write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    import pyarrow  # pyright: ignore[reportMissingImports]
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    kinds = {
        name: pyarrow.float64() if name.startswith("probability") else pyarrow.string()
        for name in columns
    }
    parquet.write_table(pyarrow.table(columns, schema=pyarrow.schema(list(kinds.items()))), path)
