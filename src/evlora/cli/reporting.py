"""The verb around reports."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evlora.cli.arguments import (
    DATASET_HELP,
    AnswerPrecision,
    BatchSize,
    Device,
    Source,
    Weights,
    Without,
    Workers,
)
from evlora.cli.early import bundle_that_is_there
from evlora.cli.printing import counting_bar, echo
from evlora.errors import EvloraError

if TYPE_CHECKING:
    from evlora.evaluation import Evaluation


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(report)


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|BUNDLE", help="The folder of a run, or a bundle.")
    ],
    dataset: Annotated[
        Path | None, typer.Argument(help=f"{DATASET_HELP}; by default that of the run.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page, .html, or a folder for the page and its pictures; by default "
            "report.html in the run."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="What is measured: by default test, or else val.")
    ] = None,
    clips: Annotated[int, typer.Option(min=0, help="How many clips to show.")] = 12,
    projection: Annotated[
        Literal["tsne", "pca"], typer.Option(help="How features come into two dimensions.")
    ] = "tsne",
    faults: Annotated[
        Path | None,
        typer.Option(help="Show what `evlora robustness` has written to this folder as well."),
    ] = None,
    source: Source = None,
    batch_size: BatchSize = None,
    workers: Workers = 0,
    without: Without = None,
    precision: AnswerPrecision = "fp32",
    weights: Weights = None,
    device: Device = "auto",
) -> None:
    """Write a page on what a recognizer does and rests on.

    Clips with their answers, confusion, classes, calibration, features, relevance of patches,
    accuracy by condition, training, adapters and cost: one HTML file that needs no other.
    """
    bundle_that_is_there(run)
    from evlora.devices import device_named
    from evlora.report.findings import Wanted, find, read_subject
    from evlora.report.writing import place_for, write_findings

    subject = read_subject(run, weights=weights, device=device_named(device))
    target = place_for(subject, out)
    with counting_bar("measuring") as progress:
        wanted = Wanted(
            dataset=dataset,
            source=source,
            split=split,
            clips=clips,
            projection=projection,
            faults=faults,
            batch_size=batch_size,
            workers=workers,
            without=without,
            precision=precision,
            progress=progress,
        )
        found = find(subject, wanted)
    echo(f"report: {write_findings(found, target)}")


def report_of_run(run: Path) -> None:
    """Write the page of a run that has ended; one that cannot be written does not fail the run."""
    from evlora.report.writing import PAGE, write_report_of_run
    from evlora.training.folder import METRICS_FILE

    page, metrics = run / PAGE, run / METRICS_FILE
    if page.is_file() and page.stat().st_mtime >= metrics.stat().st_mtime:
        return  # the run was finished before
    try:
        echo(f"report: {write_report_of_run(run)}")
    except (EvloraError, OSError) as error:
        echo(f"warning: no report: {error}; `evlora report {run}` tries again", err=True)


def evaluation_with_report(
    bundle: Path,
    report: Path,
    dataset: str,
    *,
    source: Path | None,
    weights: Path | None,
    device: str,
    **options: Any,
) -> "Evaluation":
    """Write a page on what an evaluation finds, and return its figures."""
    from evlora.report.findings import Wanted, find, read_subject
    from evlora.report.writing import place_for, write_findings

    subject = read_subject(bundle, weights=weights, device=device)
    target = place_for(subject, report)
    with counting_bar("scoring") as progress:
        wanted = Wanted(dataset=dataset, source=source, progress=progress, **options)
        found = find(subject, wanted)
    echo(f"report: {write_findings(found, target)}", err=True)
    assert found.measured is not None  # a dataset is named
    return found.measured.evaluation
