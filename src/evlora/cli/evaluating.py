"""The verb that measures recognizers: evaluate."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evlora.cli.arguments import (
    DATASET_HELP,
    AnswerPrecision,
    AsJson,
    BatchSize,
    Device,
    Source,
    Split,
    Weights,
    Without,
    Workers,
)
from evlora.cli.early import bundle_that_is_there
from evlora.cli.evaluation_files import (
    ANSWERS_SUFFIXES,
    FIGURES_SUFFIXES,
    as_json,
    write_answers,
    write_figures,
)
from evlora.cli.printing import counting_bar, echo, table
from evlora.cli.reporting import evaluation_with_report
from evlora.cli.table_files import require_file
from evlora.cli.verb import REQUIRED, ranks_of_command
from evlora.errors import RunError
from evlora.rank_group import Ranks

if TYPE_CHECKING:
    from evlora.datasets import Manifest
    from evlora.evaluation import Evaluation, Pair
    from evlora.recognizer import Recognizer

FEW_CLASSES = 5
"""With so few, the right label is always among the first five."""
WHOLE_CONFUSION = 12
"""Classes up to which the whole confusion matrix is printed."""
WORST, LABEL_WIDTH = 5, 14


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(evaluate)


def evaluate(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="BUNDLE",
            help=f"Trained recognizers; several are tested against the first.{REQUIRED}",
        ),
    ] = None,
    dataset: Annotated[
        str, typer.Argument(help=f"{DATASET_HELP}, or s3://BUCKET/FOLDER.{REQUIRED}")
    ] = "",
    split: Split = "test",
    source: Source = None,
    batch_size: BatchSize = None,
    workers: Workers = 0,
    without: Without = None,
    precision: AnswerPrecision = "fp32",
    corrupt: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:STRENGTH",
            help="A sensor's fault in every recording, such as hot_pixels:3; `evlora robustness` "
            "measures all of them.",
        ),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slices", metavar="COLUMN", help="Score each value of this column as well."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="First fit a temperature on the val split, kept in the bundle."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the figures: .json, .csv or .parquet.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(help="Write each sample's answer: .csv, .jsonl or .parquet."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page with pictures of one bundle: .html, or a folder."),
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json_: AsJson = False,
) -> None:
    """Score recognizers on a split of a dataset."""
    require_file("--out", out, FIGURES_SUFFIXES)
    require_file("--answers", answers, ANSWERS_SUFFIXES)
    if corrupt is not None:
        from evlora.recordings.corruptions import parse_corruption

        parse_corruption(corrupt)
    named = _bundles_of(bundles, dataset, corrupt=corrupt, report=report)
    from evlora.devices import device_named

    place: dict[str, Any] = {"source": source, "weights": weights, "device": device_named(device)}
    options: dict[str, Any] = {
        "split": split,
        "batch_size": batch_size,
        "workers": workers,
        "without": without,
        "precision": precision,
        "corruption": corrupt,
        "slices": slices or (),
    }
    ranks = ranks_of_command()
    results: dict[str, Evaluation] = {}
    for bundle in named:
        if calibrate:
            ranks.first(partial(_calibrate, bundle, dataset, **place, options=options))
        if report is None:
            results[str(bundle)] = _evaluation(
                bundle, dataset, **place, options=options, ranks=ranks
            )
            continue
        shown = {name: value for name, value in options.items() if name != "corruption"}
        write = partial(evaluation_with_report, bundle, report, dataset, **place, **shown)
        found = ranks.first(write)
        if found is not None:
            results[str(bundle)] = found
    if ranks.rank > 0:
        return
    pairs = _pairs_of(results)
    if out is not None:
        write_figures(out, results, pairs)
    if answers is not None:
        write_answers(answers, results)
    if as_json_:
        echo(as_json(results, pairs))
        return
    first = next(iter(results.values()))
    echo(f"{first.samples} clips of the {split} split of {dataset}")
    _show_conditions(first)
    if len(results) > 1:
        _show_several(results, pairs)
    else:
        show_evaluation(first, tuple(first.per_class))


def _bundles_of(
    bundles: list[Path] | None, dataset: str, *, corrupt: str | None, report: Path | None
) -> list[Path]:
    """The bundles that are named, each once.

    Raises:
        RunError: None is named, or options do not go together.
        BundleError: No bundle lies there.
    """
    if not bundles:  # a single word is taken for the dataset, which comes last
        raise RunError(
            f"evaluate: expected BUNDLE DATASET, got {dataset or 'nothing'} alone; name the bundle "
            "of a run, then the folder that `evlora prepare` has made"
        )
    if report is not None and corrupt is not None:
        raise RunError("--report: is about recordings as they are; drop --corrupt")
    if report is not None and len(bundles) > 1:
        raise RunError(
            f"--report: expected one bundle, which the page is about, got {len(bundles)}; "
            "evaluate them one by one for pages, together without --report"
        )
    for bundle in bundles:
        bundle_that_is_there(bundle)
    return list(dict.fromkeys(bundles))


def _evaluation(
    bundle: Path, dataset: str, *, options: Mapping[str, Any], ranks: Ranks, **place: Any
) -> "Evaluation":
    from evlora.evaluation import evaluate

    recognizer, manifest = _read(bundle, dataset, **place)
    with counting_bar("scoring") as progress:
        return evaluate(recognizer, manifest, progress=progress, ranks=ranks, **options)


def _calibrate(bundle: Path, dataset: str, *, options: Mapping[str, Any], **place: Any) -> None:
    """Fit the temperature of a bundle, and keep it there."""
    from evlora.bundle import keep_temperature
    from evlora.evaluation import fit_temperature

    recognizer, manifest = _read(bundle, dataset, **place)
    own = {name: options[name] for name in ("batch_size", "workers", "precision")}
    temperature = fit_temperature(recognizer, manifest, **own)
    kept = keep_temperature(bundle, temperature)
    echo(f"temperature {temperature:.3f}, fitted on val, kept in {kept}", err=True)


def _read(
    bundle: Path, dataset: str, *, source: Path | None, weights: Path | None, device: str
) -> "tuple[Recognizer, Manifest]":
    from evlora.bundle import load_bundle
    from evlora.datasets import read_manifest

    recognizer = load_bundle(bundle, weights=weights, device=device)
    return recognizer, read_manifest(dataset, source=source)


def _pairs_of(results: Mapping[str, "Evaluation"]) -> dict[str, "Pair"]:
    """Each further bundle against the first one."""
    from evlora.evaluation import pair_of

    (_, first), *others = results.items()
    pairs: dict[str, Pair] = {}
    for name, result in others:
        assert first.answers is not None and result.answers is not None  # noqa: PT018
        pairs[name] = pair_of(result.answers, first.answers)
    return pairs


def _show_conditions(result: "Evaluation") -> None:
    if result.protocol is not None:
        echo(f"dataset: {result.protocol.sentence}")
    if result.split_source:
        echo(f"split by: {result.split_source}")
    if result.views > 1:
        echo(f"each the mean of {result.views} views")
    if result.corruption:
        echo(f"with {result.corruption}: a fault in every recording")
    if result.without:
        echo(f"without {result.without}: hidden from the recognizer")


def _show_several(results: Mapping[str, "Evaluation"], pairs: Mapping[str, "Pair"]) -> None:
    """Print a row for each bundle, and how it compares with the first one."""
    rows: list[tuple[str, ...]] = []
    for name, result in results.items():
        pair = pairs.get(name)
        compared = ("", "", "")
        if pair is not None:
            interval = "" if pair.interval is None else _interval(*pair.interval, signed=True)
            compared = (f"{100 * pair.difference:+.1f}", interval, f"{pair.p_value:.3g}")
        rows.append(
            (
                name,
                f"{result.top1:.1%}",
                _interval(*result.intervals["top1"]) if result.intervals else "",
                f"{result.macro:.1%}",
                f"{result.ece:.3f}",
                *compared,
            )
        )
    header = ("bundle", "top-1", "95 % interval", "classes", "ECE", "to first", "95 %", "p")
    table(header, rows)
    echo("to first: difference of top-1 in points; p: McNemar's exact test, sample by sample")


def _interval(low: float, high: float, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


def show_evaluation(result: "Evaluation", labels: Sequence[str]) -> None:
    """Print the figures, the confusion of labels, and the classes that fare worst."""

    def row(title: str, name: str, text: str) -> tuple[str, str, str]:
        low, high = result.intervals.get(name, (None, None))
        if low is None or high is None:
            return title, text, ""
        interval = f"{low:.3f} to {high:.3f}" if name == "ece" else _interval(low, high)
        return title, text, interval

    rows = [row("top-1", "top1", f"{result.top1:.1%}")]
    if len(labels) > FEW_CLASSES:
        rows.append(row("top-5", "top5", f"{result.top5:.1%}"))
    rows += [
        row("mean of the classes", "macro", f"{result.macro:.1%}"),
        row("calibration error", "ece", f"{result.ece:.3f}"),
    ]
    table(("measure", "value", "95 % interval" if result.intervals else ""), rows)
    if result.temperature != 1:
        echo(f"probabilities at a temperature of {result.temperature:.3f}")
    for column, parts in result.slices.items():
        echo("")
        table(
            (column, "clips", "top-1", "95 % interval", "classes", "ECE"),
            [
                (
                    value,
                    str(part.samples),
                    f"{part.top1:.1%}",
                    "" if part.top1_interval is None else _interval(*part.top1_interval),
                    f"{part.macro:.1%}",
                    f"{part.ece:.3f}",
                )
                for value, part in parts.items()
            ],
        )
    if result.coverage:
        echo("\naccuracy if only the surest clips are answered")
        table(
            ("answered", "top-1", "probability from"),
            [
                (f"{point.coverage:.0%}", f"{point.accuracy:.1%}", f"{point.confidence:.3f}")
                for point in result.coverage[1::2]
            ],
        )
    _show_confusion(result, labels)


def _show_confusion(result: "Evaluation", labels: Sequence[str]) -> None:
    if len(labels) <= WHOLE_CONFUSION:
        short = [label if len(label) <= LABEL_WIDTH else f"{label[:13]}…" for label in labels]
        lines = [(name, *map(str, row)) for name, row in zip(short, result.confusion, strict=True)]
        echo("\nclips by true label (rows) and predicted label (columns)")
        table(("", *short), lines)
        return
    worst = _worst_classes(result, labels)
    if worst:
        echo("\nclasses with the lowest top-1; --json shows all")
        table(("class", "clips", "top-1", "most often taken for"), worst)


def _worst_classes(result: "Evaluation", labels: Sequence[str]) -> list[tuple[str, str, str, str]]:
    wrong: list[tuple[float, tuple[str, str, str, str]]] = []
    for label, counts in zip(labels, result.confusion, strict=True):
        share = result.per_class[label]
        if share is None or share == 1:
            continue
        others = [0 if other == label else n for other, n in zip(labels, counts, strict=True)]
        most = max(others)
        taken_for = f"{labels[others.index(most)]} ({most})"
        wrong.append((share, (label, str(sum(counts)), f"{share:.1%}", taken_for)))
    return [row for _, row in sorted(wrong, key=lambda one: one[0])[:WORST]]
