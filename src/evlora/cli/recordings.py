"""The verbs that look at recordings, change their format, and make them from video."""

import json
import sys
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from evlora.cli.arguments import AsJson
from evlora.cli.printing import echo
from evlora.cli.summary import print_summary
from evlora.errors import RecordingError, RecordingWarning

if TYPE_CHECKING:
    from evlora.recordings import Recording
    from evlora.recordings.alignment import Offset
    from evlora.recordings.converting import Found
    from evlora.recordings.parts import Part as Excerpt
    from evlora.recordings.simulator import SensorModel
    from evlora.recordings.survey import Part, Survey

RecordingPath = Annotated[
    Path, typer.Argument(metavar="RECORDING", help="A file or folder of any known format.")
]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="Its format, where its suffix does not show it.")
]
WidthOption = Annotated[
    int | None,
    typer.Option("--width", min=1, help="Columns of the sensor, if no header states them."),
]
HeightOption = Annotated[
    int | None,
    typer.Option("--height", min=1, help="Rows of the sensor, if no header states them."),
]

ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="A table's columns in order, such as t,x,y,p (any other word passes over one), or "
        "their names, such as t=stamps,x=col,y=row,p=on.",
    ),
]
UnitOption = Annotated[
    str | None, typer.Option("--unit", help="Of a table's times: s, ms, us or ns.")
]

FramesOption = Annotated[
    Path | None, typer.Option("--frames", help="Images or a video that belong to the events.")
]
TopicsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--topics", help="A topic of a ROS bag to read; once for events, once for frames."
    ),
]

T = TypeVar("T")

FRAMES_OF_A_SHORT_LOOK = 24
"""Half a second of work, for an offset within 2 ms of that of 60 frames."""


def register(app: typer.Typer) -> None:
    """Give the command its verbs `inspect` and `simulate`."""
    app.command()(inspect)
    app.command()(simulate)


def inspect(
    recording: RecordingPath,
    *,
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option(help="Draw rate, events and frames into this image.")
    ] = None,
    animate: Annotated[
        Path | None, typer.Option(help="Show it in motion in this GIF or MP4.")
    ] = None,
    format: FormatOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    columns: ColumnsOption = None,
    unit: UnitOption = None,
    topics: TopicsOption = None,
    frames: FramesOption = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Read all of a long file, as --json does.")
    ] = False,
) -> None:
    """Show what a recording or a folder of them holds.

    Format, sensor, rate over time, polarities, frames, gaps, and what is wrong with the file.
    """
    _refuse_run(recording)
    from evlora.recordings import Recording
    from evlora.recordings.inspection import summarize
    from evlora.recordings.readers import reader_for
    from evlora.recordings.survey import Survey

    if out is not None or animate is not None:
        from evlora.recordings.rendering import require_kinds

        require_kinds(out, animate)
    size = {"width": width, "height": height}
    table: dict[str, Any] = {**size, "columns": columns, "unit": unit, "topics": topics}
    is_of_many = recording.is_dir() and reader_for(recording, format).name == "images"
    if is_of_many and (below := _below(recording)).recordings:
        if out is not None or animate is not None or frames is not None:
            raise RecordingError(
                f"{recording}: expected one recording for --out, --animate and --frames, found a "
                f"folder of {len(below.recordings)}; name one of them, such as "
                f"{below.recordings[0]}"
            )
        note_others(below)
        _inspect_each(below.recordings, as_json=as_json, format=format, **table)
        return
    is_part_enough = not (whole or as_json)
    with working(f"reading {recording}"), warnings.catch_warnings():
        # What is wrong with the file is part of what is printed below.
        warnings.simplefilter("ignore", RecordingWarning)
        if frames is None and animate is None:
            opened, part = _surveyed(recording, format, table, is_part_enough=is_part_enough)
        else:
            opened, part = _read(recording, format, {**table, "frames": frames}), None
    summary = opened.summary if isinstance(opened, Survey) else summarize(opened)
    step = None if isinstance(opened, Survey) else _step_between_clocks(opened)
    if as_json:
        late = {} if step is None else {"events_late_us": step.events_late_us}
        echo(json.dumps({**asdict(summary), **late}, ensure_ascii=False))
    else:
        print_summary(summary, part)
        if step is not None and step.is_out_of_step:
            late_ms = step.events_late_us / 1e3
            side = "after" if late_ms > 0 else "before"
            echo(
                f"caution    events come {abs(late_ms):.1f} ms {side} "
                "what the frames show; `evlora convert --align` corrects it"
            )
    if out is not None:
        _draw(opened, out, part)
    if animate is not None and isinstance(opened, Recording):
        from evlora.recordings.rendering import animate as pictures_of
        from evlora.recordings.rendering import save_animation

        save_animation(counted(pictures_of(opened), "pictures"), animate)
        echo(f"animation: {animate}", err=True)


def _surveyed(
    path: Path, format: str | None, options: dict[str, Any], *, is_part_enough: bool
) -> "tuple[Recording | Survey, Part | None]":
    """A recording, of a long file its survey, and the part of the file that was looked at."""
    from evlora.recordings.survey import beginning_of_video, survey_long_file

    survey = survey_long_file(path, is_part_enough=is_part_enough, format=format, **options)
    if survey is not None:
        return survey, survey.part
    size = {side: options[side] for side in ("width", "height")}
    beginning = beginning_of_video(path, format=format, **size) if is_part_enough else None
    return beginning or (_read(path, format, options), None)


def _read(path: Path, format: str | None, options: dict[str, Any]) -> "Recording":
    from evlora.recordings import open_recording

    return open_recording(path, format=format, **options)


def _draw(opened: "Recording | Survey", out: Path, part: "Part | None") -> None:
    """Draw what a recording holds into a picture, and name that on standard error."""
    from evlora.recordings.figure import save_figure, save_survey_figure
    from evlora.recordings.survey import Survey

    with working(f"drawing {out}"):
        if isinstance(opened, Survey):
            save_survey_figure(opened, out)
        else:
            save_figure(opened, out, part)
    echo(f"picture: {out}", err=True)


def note_others(found: "Found") -> None:
    """Name the text files of a folder that were taken for no recordings, on standard error."""
    from evlora.messages import listed

    if found.notes:
        names = listed(map(str, found.notes), at_most=5, none="")
        echo(f"passed over text without events: {names}", err=True)


def _refuse_run(folder: Path) -> None:
    """Name the verbs that look at what training makes, whose tables are no recordings."""
    for name, what in (("recipe.yaml", "run"), ("adapters", "bundle")):
        if (folder / name).exists() and (what == "run" or (folder / "config.json").is_file()):
            raise RecordingError(
                f"{folder}: expected a recording or a folder of recordings, got the {what} of a "
                f"training; evlora report {folder} shows what it has learned"
                + ("; evlora runs lists runs side by side" if what == "run" else "")
            )


def _below(folder: Path) -> "Found":
    from evlora.recordings.converting import recordings_below  # what a single file need not load

    return recordings_below(folder)


def _step_between_clocks(recording: "Recording") -> "Offset | None":
    """By how much events are late, by a short look; None where that cannot be seen."""
    if recording.events is None or recording.frames is None:
        return None
    from evlora.recordings.alignment import find_offset

    return find_offset(recording, most_frames=FRAMES_OF_A_SHORT_LOOK)


def _inspect_each(paths: list[Path], *, as_json: bool, **options: Any) -> None:
    """A line for each recording of a folder; one that cannot be read does not stop the rest."""
    from evlora.recordings import open_recording
    from evlora.recordings.inspection import summarize
    from evlora.recordings.survey import survey_long_file

    failed = 0
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordingWarning)
            try:
                survey = survey_long_file(path, **options)
                summary = survey.summary if survey else summarize(open_recording(path, **options))
            except RecordingError as error:
                echo(f"error: {error}", err=True)
                failed += 1
                continue
        if as_json:
            row = {"recording": str(path), **asdict(summary)}
            echo(json.dumps(row, ensure_ascii=False))
            continue
        lasts = f", {summary.activity.duration_us / 1e6:.3f} s" if summary.activity else ""
        damage = ", with warnings" if summary.warnings else ""
        echo(
            f"{path}  {summary.format}, {summary.width} × {summary.height} pixels, "
            f"{summary.events:,} events, {summary.frames:,} frames{lasts}{damage}"
        )
    echo(f"{len(paths) - failed} of {len(paths)} recordings can be read", err=True)
    if failed:
        raise typer.Exit(2)


def simulate(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="Any video that PyAV reads.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The recording to write.")],
    sensor: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="What the sensor is like, such as positive_threshold=0.3 refractory_us=0; "
            "docs/simulator.md lists the keys.",
        ),
    ] = None,
    *,
    seed: Annotated[int, typer.Option(min=0, help="Of thresholds and noise.")] = 0,
    to: Annotated[
        str | None, typer.Option(help="Format of OUT, where its suffix does not show it.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Columns of the sensor; else the video's.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(min=1, help="Rows of the sensor; else the video's.")
    ] = None,
) -> None:
    """Make events from a video.

    Those that an event camera would have sent of the same scene, frame by frame.
    """
    from evlora.recordings import Recording
    from evlora.recordings.video_events import join_streams, simulate_video
    from evlora.recordings.writers import write_recording

    model = _sensor_model(sensor or [])
    streams = simulate_video(video, width=width, height=height, sensor=model, seed=seed)
    events = join_streams(counted(streams, "frames"))
    with working(f"writing {out}"):
        write_recording(Recording(events, None, "simulated", video), out, format=to)
    echo(f"{out}: {len(events):,} events", err=True)


def _sensor_model(pairs: list[str]) -> "SensorModel":
    from pydantic import ValidationError

    from evlora.messages import explain
    from evlora.recordings.simulator import SensorModel

    values: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or key not in SensorModel.model_fields:
            known = ", ".join(SensorModel.model_fields)
            raise RecordingError(f"sensor: expected key=value with a key of {known}; got {pair!r}")
        values[key] = value
    try:
        return SensorModel.model_validate(values)
    except ValidationError as error:
        raise RecordingError(f"sensor: {explain(error, SensorModel)}") from error


@contextmanager
def working(what: str) -> Generator[None]:
    """A sign of life on standard error while something of unknown length is done."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def counted(items: Iterable[T], what: str) -> Iterator[T]:
    """The items, counted on standard error as they pass."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} " + what), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        for item in items:
            progress.advance(task)
            yield item


def microseconds_of(option: str, text: str) -> int:
    """The time that an option names.

    Raises:
        RecordingError: It is none.
    """
    from evlora.recordings.parts import microseconds

    try:
        return microseconds(text)
    except ValueError as error:
        raise RecordingError(f"{option}: {error}") from error


def part_between(start: str | None, end: str | None) -> "Excerpt | None":
    """The part of a recording that --from and --to name; None without them.

    Raises:
        RecordingError: One is no time, or they are the wrong way round.
    """
    if start is None and end is None:
        return None
    from evlora.recordings.parts import Part, part_faults

    start_us = 0 if start is None else microseconds_of("--from", start)
    end_us = None if end is None else microseconds_of("--to", end)
    fault = part_faults(start_us, end_us)
    if fault is not None:
        raise RecordingError(f"--from and --to, in µs: {fault}")
    return Part(start_us, end_us)
