"""The verb that measures recognizers under faults of sensors: robustness."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evlora.cli.arguments import (
    DATASET_HELP,
    AnswerPrecision,
    AsJson,
    BatchSize,
    Bundle,
    Device,
    Source,
    Split,
    Weights,
    Without,
    Workers,
)
from evlora.cli.printing import counting_bar, echo, table
from evlora.cli.table_files import write_table

if TYPE_CHECKING:
    from evlora.evaluation.robustness import ConditionResult

NAMES = {"both": "both", "rgb": "RGB alone", "event": "events alone"}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(robustness)


def robustness(
    bundle: Bundle,
    dataset: Annotated[str, typer.Argument(help=f"{DATASET_HELP}.")],
    out: Annotated[
        Path,
        typer.Option(help="The folder for corruptions.json, .csv and .png; named again, resumed."),
    ],
    corruption: Annotated[
        list[str] | None,
        typer.Option("--corruption", metavar="NAME", help="Measure this one; by default all."),
    ] = None,
    strength: Annotated[
        list[int] | None,
        typer.Option("--strength", help="Measure this one, 1 to 5; by default all."),
    ] = None,
    split: Split = "test",
    source: Source = None,
    batch_size: BatchSize = None,
    workers: Workers = 0,
    without: Without = None,
    precision: AnswerPrecision = "fp32",
    weights: Weights = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure accuracy under the faults of sensors.

    By corruption and strength, for both modalities and for each alone. docs/corruptions.md lists
    the corruptions.
    """
    from evlora.bundle import load_bundle
    from evlora.datasets import read_manifest
    from evlora.datasets.protocol import protocol_of
    from evlora.devices import device_named
    from evlora.evaluation.robustness import conditions_of
    from evlora.evaluation.robustness_files import measure_into
    from evlora.recordings.corruptions import STRENGTHS

    recognizer = load_bundle(bundle, weights=weights, device=device_named(device))
    conditions = conditions_of(
        recognizer.clip_config,
        names=tuple(dict.fromkeys(corruption or ())),
        strengths=strength or STRENGTHS,
        without=without,
    )
    manifest = read_manifest(dataset, source=source)
    protocol = protocol_of(manifest, split, recognizer.clip_config)
    with counting_bar("conditions") as progress:
        wanted = measure_into(
            out,
            recognizer,
            manifest,
            conditions,
            dataset=dataset,
            split=split,
            batch_size=batch_size,
            workers=workers,
            precision=precision,
            progress=progress,
        )
    _write_table_and_picture(out, wanted)
    if as_json:
        echo(json.dumps({**_as_dict(wanted), "protocol": protocol.as_dict()}))
    else:
        _show(wanted)
        echo(f"measured on: {protocol.line}")
        echo(f"table and picture: {out}")


def _write_table_and_picture(out: Path, results: "list[ConditionResult]") -> None:
    from evlora.evaluation.robustness_files import as_row
    from evlora.files import writing_file
    from evlora.report.robustness import draw_robustness

    kinds = {"shown": str, "corruption": str, "strength": int, "samples": int, "top1": float}
    rows = [as_row(result) for result in results]
    columns = {name: [row[name] for row in rows] for name in kinds}
    with writing_file(out / "corruptions.csv") as path:
        write_table(columns, path, suffix=".csv", kinds=kinds)
    draw_robustness(results, out / "corruptions.png")


def _as_dict(results: "list[ConditionResult]") -> dict[str, Any]:
    from evlora.evaluation.robustness import shortfalls_of, summary_of
    from evlora.evaluation.robustness_files import as_row

    shortfalls = shortfalls_of(results)
    return {
        "rows": [as_row(result) for result in results],
        "summary": {shown: found._asdict() for shown, found in summary_of(results).items()},
        "largest_shortfall": max(shortfalls.values(), default=None),
    }


def _show(results: "list[ConditionResult]") -> None:
    """Print a row for each corruption and modality, and what they come to."""
    from evlora.evaluation.robustness import CLEAN, shortfalls_of, summary_of

    top1: dict[tuple[str, str], dict[int, float]] = {}
    for result in results:
        shown, name, strength = result.condition
        top1.setdefault((name, shown), {})[strength] = result.top1
    strengths = sorted({s for row in top1.values() for s in row} - {0})
    table(
        ("corruption", "shown", *map(str, strengths)),
        [
            (name, NAMES[shown], *(f"{row[s]:.1%}" if s in row else "" for s in strengths))
            for (name, shown), row in top1.items()
            if name != CLEAN
        ],
    )
    echo("")
    table(
        ("shown", "clean", "mean corrupted", "of clean"),
        [
            (NAMES[shown], f"{found.clean:.1%}", f"{found.mean:.1%}", f"{found.relative:.1%}")
            for shown, found in summary_of(results).items()
        ],
    )
    shortfalls = shortfalls_of(results)
    if shortfalls:
        (name, strength), most = max(shortfalls.items(), key=lambda one: one[1])
        where = name if name == CLEAN else f"{name}:{strength}"
        echo(f"both together against the better one alone: {-100 * most:+.1f} points at {where}")
