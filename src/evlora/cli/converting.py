"""The verb that changes the format of recordings."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evlora.cli.printing import echo
from evlora.cli.recordings import (
    ColumnsOption,
    FormatOption,
    HeightOption,
    RecordingPath,
    TopicsOption,
    UnitOption,
    WidthOption,
    counted,
    microseconds_of,
    note_others,
    working,
)
from evlora.errors import RecordingError

if TYPE_CHECKING:
    from evlora.recordings.converting import Conversion


def register(app: typer.Typer) -> None:
    """Give the command its verb `convert`."""
    app.command()(convert)


def convert(
    recording: RecordingPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file or the folder to write.")],
    *,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="A time such as 3s, the same as --until; or the format of OUT, where its suffix "
            "does not show it. Both may be given."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Skip what comes before, such as 1.5s or 300ms."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Skip what comes at this time and after, such as 3s.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME[:KEY=VALUE]",
            help="A filter such as hot_pixels or background_activity:window_us=2000; several work "
            "in their order, before --crop. docs/filters.md lists them.",
        ),
    ] = None,
    crop: Annotated[
        str | None, typer.Option(help="Keep these pixels only: x,y,width,height.")
    ] = None,
    downsample: Annotated[
        int, typer.Option(min=1, help="Join blocks of N by N pixels into one.")
    ] = 1,
    shift_ms: Annotated[
        float, typer.Option(help="Make the events later by this time, or earlier: --shift-ms=-12.")
    ] = 0.0,
    align: Annotated[
        bool, typer.Option("--align", help="Shift events to where they agree with the frames.")
    ] = False,
    homography: Annotated[
        Path | None,
        typer.Option(
            help="A 3 × 3 matrix from the events' pixels to the frames' (text, json, npy)."
        ),
    ] = None,
    split_at_triggers: Annotated[
        bool,
        typer.Option("--split-at-triggers", help="Write a file from each trigger to the next."),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", "--jobs", min=1, help="Processes that convert the files of a folder."
        ),
    ] = 1,
    format: FormatOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    columns: ColumnsOption = None,
    unit: UnitOption = None,
    topics: TopicsOption = None,
) -> None:
    """Change the format of a recording or of a folder of them.

    To HDF5, npz, CSV, AEDAT 4, EVT2, EVT2.1, EVT3, DAT, Event Stream or a ROS bag, as the suffix of
    OUT shows; folders need `--to FORMAT`. Times count from the recording's first event.
    """
    from evlora.recordings.converting import Conversion
    from evlora.recordings.converting import convert as convert_file
    from evlora.recordings.parts import TIME

    words = to or []
    ends = [word for word in words if TIME.fullmatch(word.strip())]
    if until is not None:
        ends.append(until)
    to_format = _only("--to as a format", [word for word in words if word not in ends])
    end = _only("--to as a time, or --until", ends)
    conversion = Conversion(
        to=to_format,
        start_us=None if start is None else microseconds_of("--from", start),
        end_us=None if end is None else microseconds_of("--until", end),
        filters=_filters(filters or [], crop, downsample),
        shift_us=round(1000 * shift_ms),
        is_aligned=align,
        homography=homography,
        is_split_at_triggers=split_at_triggers,
        options={
            **{"format": format, "width": width, "height": height},
            **{"columns": columns, "unit": unit, "topics": topics},
        },
    )
    if recording.is_dir() and not out.suffix:
        _convert_folder(recording, out, conversion, workers)
        return
    with working(f"converting {recording}"):
        written, events = convert_file(recording, out, conversion)
    for path in written:
        echo(f"{path}: {events:,} events" if len(written) == 1 else f"{path}", err=True)
    if len(written) > 1:
        echo(f"{len(written):,} files: {events:,} events", err=True)


def _convert_folder(source: Path, out: Path, conversion: "Conversion", workers: int) -> None:
    from evlora.recordings.converting import convert_folder, recordings_below

    note_others(recordings_below(source))
    outcomes = list(counted(convert_folder(source, out, conversion, jobs=workers), "recordings"))
    for outcome in sorted(outcomes, key=lambda outcome: outcome.source):
        for warning in outcome.warnings:
            echo(f"warning: {warning}", err=True)
    failed = sorted((o for o in outcomes if o.error is not None), key=lambda o: o.source)
    files = sum(len(outcome.written) for outcome in outcomes)
    events = sum(outcome.events for outcome in outcomes)
    echo(f"{out}: {files:,} files, {events:,} events", err=True)
    if failed:
        lines = "\n".join(f"  {outcome.error}" for outcome in failed)
        raise RecordingError(
            f"{len(failed)} of {len(outcomes)} recordings were not converted:\n{lines}"
        )


def _only(option: str, values: list[str]) -> str | None:
    if len(values) > 1:
        raise RecordingError(f"{option}: expected one, got {' and '.join(values)}")
    return values[0] if values else None


def _filters(named: list[str], crop: str | None, downsample: int) -> tuple[str, ...]:
    """All that changes the events, in its order; a wrong name or setting is refused at once."""
    from evlora.recordings.filters.table import parse_filter

    for text in named:
        parse_filter(text)
    own = [] if crop is None else [_rectangle(crop)]
    if downsample != 1:
        own.append(f"downsample:factor={downsample}")
    return (*named, *own)


def _rectangle(text: str) -> str:
    """The filter that --crop means."""
    found = re.fullmatch(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", text.replace(" ", ""))
    if found is None:
        raise RecordingError(f"--crop: expected x,y,width,height in pixels, got {text!r}")
    x, y, width, height = map(int, found.groups())
    return f"crop:x={x}:y={y}:width={width}:height={height}"
