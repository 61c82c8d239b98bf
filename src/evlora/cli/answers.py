"""What `predict` answers: one recording as a table, many as a line each, all of them as a file."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from evlora.cli.printing import echo, table
from evlora.cli.table_files import Kinds, require_file, write_table, write_whole
from evlora.cli.verb import ranks_of_command
from evlora.errors import DatasetError, RecordingError
from evlora.escaping import printable
from evlora.rank_group import Ranks

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
    note: str | None = None
    """What to know of how it was opened."""


class Job(NamedTuple):
    """A recording that is to be predicted."""

    source: Path
    """What the user has named: the recording itself, or a folder."""
    recording: Path
    frames: Path | None
    is_of_folder: bool
    fault: str | None = None
    """Why the folder holds none."""


@dataclass(slots=True)
class Answers:
    """Prints answers as they come and collects them for a file."""

    top: int
    """Labels of each recording that are printed and written."""
    is_one: bool
    """Whether a single recording is asked for."""
    as_json: bool
    rows: list[Row]

    def add(self, row: Row) -> None:
        """Print an answer, or why there is none: the others are answered all the same."""
        self.rows.append(row)
        if row.note is not None:
            echo(row.note, err=True)
        if row.error is not None:
            echo(f"error: {row.error}", err=True)
        elif self.as_json:
            labels = _as_dicts(row.ranked)
            whole = {"recording": row.recording, "ranked": labels}
            echo(json.dumps(labels if self.is_one else whole, ensure_ascii=False))
        elif self.is_one:
            echo(row.recording)
            table(("label", "probability"), [(r.label, f"{r.probability:.1%}") for r in row.ranked])
        else:
            echo(f"{row.ranked[0].probability:6.1%}  {row.ranked[0].label}  {row.recording}")

    @property
    def failures(self) -> int:
        """Recordings without an answer."""
        return sum(row.error is not None for row in self.rows)

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


def predict_all(
    recognizer: "Recognizer",
    given: list[tuple[Path, Path | None]],
    options: dict[str, Any],
    *,
    top: int,
    as_json: bool,
    out: Path | None,
    **how: Any,
) -> None:
    """Predict each recording, write all answers, and end with code 2 if one has none."""
    is_one = len(given) == 1 and not given[0][0].is_dir()
    answers = Answers(top=top, is_one=is_one, as_json=as_json, rows=[])
    ranks = ranks_of_command()
    predict_each(recognizer, given, options, answers=answers, ranks=ranks, **how)
    if ranks.rank > 0:
        return
    if out:
        answers.write(out)
    if answers.failures:
        if not any(path.is_dir() for path, _ in given):
            count = len(answers.rows) - answers.failures
            echo(f"predicted {count} of {len(answers.rows)} recordings", err=True)
        raise typer.Exit(2)


def predict_each(
    recognizer: "Recognizer",
    inputs: Sequence[tuple[Path, Path | None]],
    options: dict[str, Any],
    *,
    part: "Part | None",
    answers: Answers,
    without: "Modality | None",
    precision: "Precision",
    ranks: Ranks,
) -> None:
    """Predict all inputs, each a file or a folder and the frames given for it.

    Of several ranks each predicts every N-th recording; the answers are in rank 0.

    Raises:
        RecordingError: The only recording asked for cannot be read.
        DatasetError: It lacks a modality.
    """
    from evlora.prediction import predict

    config = recognizer.clip_config.hiding(without)
    jobs = list(_jobs_of(inputs, config))

    def answer(job: Job) -> Row:
        note = None
        if job.fault is not None:
            return Row(str(job.recording), (), job.fault)
        try:
            opened, note = _opened_job(job, config, options, part)
            ranked = predict(recognizer, opened, without=without, precision=precision)
        except (DatasetError, RecordingError) as error:
            if answers.is_one:
                raise
            return Row(str(job.recording), (), str(error), note)
        return Row(str(job.recording), ranked[: answers.top], None, note)

    rows = map(answer, jobs) if ranks.size == 1 else _rows_of_all(jobs, answer, ranks)
    for source, of_source in groupby(zip(jobs, rows, strict=True), key=lambda pair: pair[0].source):
        before = answers.failures
        given: list[Job] = []
        for job, row in of_source:
            answers.add(row)
            given.append(job)
        if given[0].is_of_folder and given[0].fault is None:
            count = len(given) - answers.failures + before
            echo(f"{source}: predicted {count} of {len(given)} recordings", err=True)


def _jobs_of(inputs: Iterable[tuple[Path, Path | None]], config: "ClipConfig") -> Iterator[Job]:
    from evlora.prediction import recordings_in

    for path, given in inputs:
        is_folder = given is None and path.is_dir()
        if not is_folder:
            yield Job(path, path, given, is_of_folder=False)
            continue
        try:
            for recording, beside in recordings_in(path, config):
                yield Job(path, recording, beside, is_of_folder=True)
        except RecordingError as error:
            yield Job(path, path, None, is_of_folder=True, fault=str(error))


def _rows_of_all(jobs: Sequence[Job], answer: Callable[[Job], Row], ranks: Ranks) -> list[Row]:
    """The answers of all ranks, in the order of the recordings."""
    from evlora.prediction import Prediction

    def own() -> list[Any]:
        rows = [answer(jobs[place]) for place in ranks.places(len(jobs))]
        return [(r.recording, _as_dicts(r.ranked), r.error, r.note) for r in rows]

    return [
        Row(recording, [Prediction(**one) for one in ranked], error, note)
        for recording, ranked, error, note in ranks.in_order(ranks.gather(own))
    ]


def _opened_job(
    job: Job, config: "ClipConfig", options: dict[str, Any], part: "Part | None"
) -> "tuple[Recording, str | None]":
    """The recording, or a part of it, and what to know of how it was opened."""
    from evlora.recordings.parts import part_of

    note = None
    if job.is_of_folder:
        opened = _opened_among_others(job.recording, job.frames, options)
    else:
        opened, note = _opened(job.recording, job.frames, config, options)
    return opened if part is None else part_of(opened, part), note


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
    for job in _jobs_of(inputs, config):
        if job.fault is not None:
            raise RecordingError(job.fault)
        if job.is_of_folder:
            echo(str(job.recording), err=as_json)
        opened, note = _opened_job(job, config, options, part)
        if note is not None:
            echo(note, err=True)
        yield opened


def _options_for(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Of several kinds in a folder, each takes the options that its format has."""
    from evlora.recordings.readers import reader_for

    taken = {"width", "height", *reader_for(path).options}
    return {name: value for name, value in options.items() if name in taken}


def _opened(
    path: Path, frames: Path | None, config: "ClipConfig", options: dict[str, Any]
) -> "tuple[Recording, str | None]":
    """The recording with its frames: those given, or those of its name beside it."""
    from evlora.prediction import open_with_frames
    from evlora.recordings import open_recording

    if frames is not None:
        return open_recording(path, frames=frames, **options), None
    recording, beside = open_with_frames(path, config, **options)
    if beside is None:
        return recording, None
    return recording, f"{path}: with the frames of {beside} beside it"


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
