"""How `predict` answers many recordings: read by several processes, answered in batches, kept."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from numpy.typing import NDArray

from evlora.answering import Precision
from evlora.cli.answers import Answers, note_frames, opened_alone, opened_among_others
from evlora.cli.kept_answers import KeptAnswers
from evlora.cli.printing import counting_bar, echo
from evlora.cli.verb import ranks_of_command
from evlora.clips import Clip, ClipConfig, Modality, make_test_views
from evlora.datasets.sources import look_at
from evlora.errors import DatasetError, EvloraError, RecordingError, RecordingWarning
from evlora.prediction import (
    Found,
    Prediction,
    frames_beside,
    ranked_labels,
    recordings_in,
)
from evlora.processes import outcomes_of
from evlora.rank_group import Ranks
from evlora.recognizer import Recognizer
from evlora.recordings.parts import Part, part_of


@dataclass(frozen=True, slots=True)
class How:
    """What is asked of every recording."""

    options: dict[str, Any]
    """To open it with."""
    part: Part | None
    without: Modality | None
    precision: Precision
    workers: int
    """Processes that read."""
    batch_size: int
    """Recordings in one call of the network."""


class Reading(NamedTuple):
    """A recording to be read."""

    path: Path
    frames: Path | None
    is_in_folder: bool
    """Whether its folder was named."""
    config: ClipConfig
    how: How


class Read(NamedTuple):
    """What became of it: its clips, or the reason why there are none."""

    rgb: Sequence[NDArray[Any]] = ()
    """Frames of each test view, uint8, shape (T, 3, H, W)."""
    events: Sequence[NDArray[Any]] = ()
    """Event images, the same way."""
    taken: Path | None = None
    """Frames beside it that were taken."""
    notes: tuple[str, ...] = ()
    """Warnings of the reader."""
    error: EvloraError | None = None


class Turn(NamedTuple):
    """A recording whose turn comes."""

    reading: Reading
    fingerprint: str
    """Of its files and those of its frames, where answers are kept."""
    former: Sequence[Prediction] | None
    """What was answered before an interruption."""


def predict_all(
    recognizer: Recognizer,
    given: Sequence[tuple[Path, Path | None]],
    how: How,
    *,
    top: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """Predict each recording, write all answers, and end with code 2 if one has none.

    Args:
        recognizer: What answers.
        given: Files or folders, and the frames given for each.
        how: What is asked.
        top: Labels of each that are shown.
        as_json: Whether they are printed as JSON.
        out: The file of all answers.

    Raises:
        RecordingError: The only recording asked for cannot be read.
        DatasetError: It lacks a modality.
        RunError: The file cannot be written, or another process is about to.
    """
    is_one = len(given) == 1 and not given[0][0].is_dir()
    answers = Answers(top=top, is_one=is_one, as_json=as_json, rows=[])
    readings, counts = _found(recognizer, given, how, answers)
    ranks = ranks_of_command()
    with ExitStack() as stack:
        kept = None
        if out is not None:
            asked = (how.options, how.part, how.without, how.precision, top)
            own = out if ranks.size == 1 else out.with_name(f"{out.name}.{ranks.rank}")
            kept = stack.enter_context(KeptAnswers.beside(own, recognizer, asked=repr(asked)))
        if ranks.size == 1:
            _predict_each(recognizer, readings, how, answers, kept)
        else:
            _predict_together(recognizer, readings, how, answers, kept, ranks)
        if out is not None and kept is not None:
            ranks.first(lambda: answers.write(out))
            kept.drop()
    if ranks.rank > 0:
        return
    failed = {row.recording for row in answers.rows if row.error is not None}
    for folder, paths in counts.items():
        count = sum(str(path) not in failed for path in paths)
        echo(f"{folder}: predicted {count} of {len(paths)} recordings", err=True)
    if failed:
        if not counts:
            count = len(answers.rows) - len(failed)
            echo(f"predicted {count} of {len(answers.rows)} recordings", err=True)
        raise typer.Exit(2)


def _found(
    recognizer: Recognizer,
    given: Sequence[tuple[Path, Path | None]],
    how: How,
    answers: Answers,
) -> tuple[list[Reading], dict[Path, list[Path]]]:
    """All recordings to read, and which of them lie in each folder that was named."""
    config = recognizer.clip_config.hiding(how.without)
    readings: list[Reading] = []
    folders: dict[Path, list[Path]] = {}
    for path, frames in given:
        is_folder = frames is None and path.is_dir()
        try:
            found = recordings_in(path, config) if is_folder else [Found(path, frames)]
        except RecordingError as error:
            answers.fail(str(path), str(error))
            continue
        readings += [Reading(*one, is_folder, config, how) for one in found]
        if is_folder:
            folders[path] = [one.recording for one in found]
    return readings, folders


def _predict_each(
    recognizer: Recognizer,
    readings: Sequence[Reading],
    how: How,
    answers: Answers,
    kept: KeptAnswers | None,
) -> None:
    """Answer all of them in their order."""
    turns = [_turn(reading, kept) for reading in readings]
    fresh = [turn.reading for turn in turns if turn.former is None]
    if known := len(turns) - len(fresh):
        echo(f"{known} of {len(turns)} recordings were answered before; resumed", err=True)
    workers = 0 if answers.is_one else min(how.workers, len(fresh))
    reads = outcomes_of(read_clips, fresh, workers=workers, killed=_of_killed, preload=__name__)
    with closing(reads), counting_bar("predicting") as progress:
        for batch in _batches(turns, reads, how.batch_size):
            clips = [_clips(turn, read) for turn, read in batch if read is not None]
            samples = [of_one for of_one in clips if of_one]
            ranked = iter(
                ranked_labels(recognizer, samples, precision=how.precision) if samples else ()
            )
            for turn, read in batch:
                if turn.former is not None:
                    answers.add(str(turn.reading.path), turn.former)
                elif read is not None:
                    _answer(turn, read, ranked, answers, kept)
                progress(len(answers.rows), len(turns))


def _predict_together(
    recognizer: Recognizer,
    readings: Sequence[Reading],
    how: How,
    answers: Answers,
    kept: KeptAnswers | None,
    ranks: Ranks,
) -> None:
    """Answer every N-th recording in each of N processes; rank 0 has all answers in their order."""
    own = replace(answers, rows=[], is_printed=False)

    def answer() -> list[Any]:
        mine = [readings[place] for place in ranks.places(len(readings))]
        _predict_each(recognizer, mine, how, own, kept)
        return own.as_plain()

    for row in ranks.in_order(ranks.gather(answer)):
        if ranks.rank == 0:
            answers.add_plain(*row)


def _answer(
    turn: Turn,
    read: Read,
    ranked: Iterator[list[Prediction]],
    answers: Answers,
    kept: KeptAnswers | None,
) -> None:
    """Show the answer for a recording, or why there is none."""
    path = turn.reading.path
    if answers.is_one:
        note_frames(path, read.taken)
    for note in read.notes:
        warnings.warn(note, RecordingWarning, stacklevel=2)
    if read.error is not None:
        if answers.is_one:
            raise read.error
        answers.fail(str(path), str(read.error))
        return
    answers.add(str(path), next(ranked))
    if kept is not None:
        kept.add(str(path), turn.fingerprint, answers.rows[-1].ranked)


def _turn(reading: Reading, kept: KeptAnswers | None) -> Turn:
    if kept is None:
        return Turn(reading, "", None)
    beside = reading.frames
    if beside is None and not reading.is_in_folder:
        beside = frames_beside(reading.path)
    paths = [str(path) for path in (reading.path, beside) if path is not None]
    fingerprint = look_at(paths, Path()).fingerprint
    return Turn(reading, fingerprint, kept.of(str(reading.path), fingerprint))


def _batches(
    turns: Iterable[Turn], reads: Iterator[Read], size: int
) -> Iterator[list[tuple[Turn, Read | None]]]:
    """The recordings in their order, as many at once as make a call of the network."""
    batch: list[tuple[Turn, Read | None]] = []
    count = 0
    for turn in turns:
        read = next(reads) if turn.former is None else None
        batch.append((turn, read))
        count += read is not None and read.error is None
        if count == size or not count:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def read_clips(reading: Reading) -> Read:
    """The test views of a recording, or why there are none."""
    how, taken = reading.how, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecordingWarning)
        try:
            if reading.is_in_folder:
                opened = opened_among_others(reading.path, reading.frames, how.options)
            else:
                opened, taken = opened_alone(
                    reading.path, reading.frames, reading.config, how.options
                )
            if how.part is not None:
                opened = part_of(opened, how.part)
            clips = make_test_views(opened, reading.config, sample=str(reading.path))
        except (DatasetError, RecordingError) as error:
            return Read(taken=taken, notes=_notes(caught), error=error)
    # As arrays, which go from process to process as they are; tensors would need open files.
    return Read(
        [clip.rgb.numpy() for clip in clips if clip.rgb is not None],
        [clip.events.numpy() for clip in clips if clip.events is not None],
        taken,
        _notes(caught),
    )


def _notes(caught: Iterable[warnings.WarningMessage]) -> tuple[str, ...]:
    return tuple(str(one.message) for one in caught if issubclass(one.category, RecordingWarning))


def _clips(turn: Turn, read: Read) -> list[Clip]:
    """The test views that were read; none where they could not be."""
    pairs = zip_longest(read.rgb, read.events)
    return [
        Clip(
            None if rgb is None else torch.from_numpy(rgb),
            None if events is None else torch.from_numpy(events),
            None,
            str(turn.reading.path),
        )
        for rgb, events in pairs
    ]


def _of_killed(reading: Reading) -> Read:
    return Read(
        error=RecordingError(
            f"{reading.path}: the process that read it was killed: it needs too much memory, or "
            "made the library that reads it fail; look at it with evlora inspect"
        )
    )
