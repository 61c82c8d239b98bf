"""The verbs around learning: demo, train, predict."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evlora.cli.answers import opened_each, require_alone, require_out
from evlora.cli.arguments import (
    AnswerPrecision,
    AsJson,
    Bundle,
    Device,
    Overrides,
    Recipe,
    Weights,
    Without,
    Workers,
)
from evlora.cli.early import require_recipe
from evlora.cli.live import is_still_recorded, show_live, show_stream
from evlora.cli.printing import echo, listing
from evlora.cli.recordings import (
    ColumnsOption,
    FormatOption,
    HeightOption,
    TopicsOption,
    UnitOption,
    WidthOption,
    part_between,
)
from evlora.cli.reporting import report_of_run
from evlora.errors import RecordingError
from evlora.ranks import alike_on_a_machine
from evlora.untrusted import existing


def _list_recipes(is_wanted: bool) -> None:
    if not is_wanted:
        return
    from evlora.recipe import recipes_folder, shipped_recipes

    folder = recipes_folder()
    rows: list[tuple[str, str]] = []
    for name in shipped_recipes():
        comment = (folder / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
        rows.append((name, comment.lstrip("# ")))
    listing(rows)
    raise typer.Exit


def _show_schema(is_wanted: bool) -> None:
    if not is_wanted:
        return
    from evlora.recipe.origins import json_schema

    echo(json.dumps(json_schema(), indent=2))
    raise typer.Exit


def _show_origins(recipe: Path, keys: list[str]) -> None:
    """Print each key with its value and with what has set it."""
    from evlora.recipe.origins import origins_of

    rows = [(key, json.dumps(value), origin) for key, value, origin in origins_of(recipe, keys)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, value, origin in rows:
        echo(f"{key:<{widths[0]}}  {value:<{min(widths[1], 40)}}  {origin}")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (demo, train, predict):
        app.command()(verb)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where data, runs and the report are put.")] = Path(
        "demo"
    ),
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of every training, to try it quickly.")
    ] = None,
    clips: Annotated[int, typer.Option(min=80, help="Clips to train with.")] = 600,
    test_clips: Annotated[int, typer.Option(min=40, help="Clips to measure with.")] = 2000,
    all_rows: Annotated[
        bool,
        typer.Option("--all", help="Train the probes, Lv-Adapter and full fine-tuning as well."),
    ] = False,
) -> None:
    """Train and test on the embedded dataset, offline.

    Digits in motion are generated, and learned from frames, from events, and from both; FOLDER
    gets the runs and report.html. It takes some minutes on two cores; the same command continues
    a demo that was stopped.
    """
    from evlora.processes import begin_to_preload

    begin_to_preload("evlora.demo")  # the processes' imports and those here, beside each other
    from evlora.demo import run_demo

    page = run_demo(
        folder,
        report=echo,
        epochs=epochs,
        clips=clips,
        test_clips=test_clips,
        all_rows=all_rows,
    )
    echo(f"report: {page}")


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in run.dir, or begin it.")
    ] = False,
    with_backbone: Annotated[
        bool,
        typer.Option(
            "--with-backbone",
            help="Include the frozen weights in the bundle, as run.with_backbone=true does.",
        ),
    ] = False,
    lists: Annotated[
        bool,
        typer.Option("--list", callback=_list_recipes, is_eager=True, help="Show the recipes."),
    ] = False,
    prints: Annotated[
        bool,
        typer.Option(
            "--print", help="Show each key, its value and what has set it; train nothing."
        ),
    ] = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            callback=_show_schema,
            is_eager=True,
            help="Print the JSON schema of recipes, by which editors complete keys.",
        ),
    ] = False,
) -> None:
    """Train the run that a recipe describes.

    It needs a prepared dataset and a folder for what it makes:
    `evlora train own_recordings data.root=DATASET run.dir=RUN`. RUN/bundle is the recognizer.
    """
    from evlora.recipe import load_recipe

    keys = [*(overrides or ()), *(["run.with_backbone=true"] if with_backbone else [])]
    if prints:
        _show_origins(recipe, keys)
        return
    require_recipe(recipe, keys)
    from evlora.training.folder import read_protocol

    with alike_on_a_machine():
        whole = load_recipe(recipe, keys, report=echo)
    from evlora.training.run import train as run_training

    run = run_training(
        whole,
        resume=resume,
        report=echo,
        has_progress_bar=sys.stderr.isatty(),
    )
    if not run.is_first_rank:
        return
    accuracy = f": {run.metrics['val_top1']:.1%} top-1" if "val_top1" in run.metrics else ""
    echo(f"kept epoch {run.metrics['epoch']:.0f}{accuracy}")
    if accuracy and (protocol := read_protocol(run.dir)) is not None:
        echo(f"measured on: {protocol.line}")
    echo(f"bundle: {run.bundle}")
    if whole.run.report:
        report_of_run(run.dir)


def predict(
    bundle: Bundle,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Recordings, videos, images, or folders of them; each is predicted separately. "
            "With --live also -, tcp://HOST:PORT, unix:PATH, or camera: for one plugged in.",
        ),
    ],
    frames: Annotated[
        list[str] | None,
        typer.Option(help="Frames that belong to a recording, in the order of the recordings."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 5,
    without: Without = None,
    precision: AnswerPrecision = "fp32",
    weights: Weights = None,
    device: Device = "auto",
    live: Annotated[
        bool, typer.Option("--live", help="Predict after each frame, in the recording's own time.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0, help="With --live: times as fast as recorded; 0 does not wait.")
    ] = 1.0,
    window_ms: Annotated[
        float | None,
        typer.Option(min=0.001, help="With --live: predict after each window of this length."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="With --live: the file is still being written.")
    ] = False,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="With a camera or --follow: moments from one to the next."),
    ] = None,
    format: FormatOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    columns: ColumnsOption = None,
    unit: UnitOption = None,
    topics: TopicsOption = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Predict from this time on, such as 1.5s or 300ms."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Predict up to this time, such as 3s.")
    ] = None,
    workers: Workers = 0,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Recordings in one call of the network.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write all answers to this file as well: .csv, .jsonl or .parquet. After an "
            "interruption the same command keeps those that it had."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank the labels for recordings, videos or images.

    One recording is answered with a table, several with a line each; one that cannot be read does
    not stop the others. --from and --to count from a recording's first event, or first frame.
    """
    require_out(out)
    part = part_between(start, end)
    if frames and len(frames) != len(inputs):
        raise RecordingError(
            f"--frames: expected one for each of {len(inputs)} recordings, got {len(frames)}"
        )
    if not live and (speed != 1 or window_ms is not None):
        raise RecordingError("--speed and --window-ms: expected --live with them; add it")
    stated = (stride, format)
    goes_on = is_still_recorded(inputs, live=live, follows=follow, part=part, stated=stated)
    if len(inputs) == 1 and not goes_on:
        existing(Path(inputs[0]), RecordingError)
    from evlora.deferring import import_torch_to_answer
    from evlora.garbage import importing

    with importing():  # a tenth of the time from start to answer
        import_torch_to_answer()
        from evlora.bundle import load_bundle
        from evlora.devices import device_named

    if live:
        require_alone(out)
    recognizer = load_bundle(bundle, weights=weights, device=device_named(device))
    if goes_on:
        show_stream(
            recognizer,
            inputs[0],
            frames=frames[0] if frames else None,
            speed=speed,
            window_ms=window_ms,
            stride=stride,
            precision=precision,
            without=without,
            format=format,
            size=(width, height),
            as_json=as_json,
        )
        return
    size = {"width": width, "height": height}
    options: dict[str, Any] = {**size, "columns": columns, "unit": unit, "topics": topics}
    beside = [Path(word) for word in frames] if frames else [None] * len(inputs)
    given = list(zip(map(Path, inputs), beside, strict=True))
    if live:
        config = recognizer.clip_config.hiding(without)
        for opened in opened_each(given, config, options, part=part, as_json=as_json):
            show_live(
                recognizer,
                opened,
                speed=speed,
                window_ms=window_ms,
                precision=precision,
                without=without,
                as_json=as_json,
            )
        return
    from evlora.cli.predicting import How, predict_all

    how = How(options, part, without, precision, workers=workers, batch_size=batch_size)
    predict_all(recognizer, given, how, top=top, as_json=as_json, out=out)
