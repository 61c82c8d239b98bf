"""The embedded default: generate, train, evaluate, predict, show; offline, on any machine.

What is finished is kept: after an interruption the demo resumes where it was. Rows are trained in
processes beside each other, one thread each.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from evlora.bundle import load_bundle
from evlora.datasets import Manifest, prepare, read_manifest
from evlora.datasets.storage import is_prepared
from evlora.errors import RecordingWarning
from evlora.evaluation import Evaluation, evaluate
from evlora.prediction import predict
from evlora.processes import cores, process_context, start_processes
from evlora.recipe import load_recipe
from evlora.recognizer import Recognizer
from evlora.recordings import open_recording
from evlora.report.findings import Wanted, find, read_subject
from evlora.report.page import Cell, Section, joined, paragraph, table
from evlora.report.sections import whole_share
from evlora.report.writing import PAGE, write_findings
from evlora.training.folder import BUNDLE
from evlora.training.run import Run, train

RECIPE = "demo_quick"
ROWS = {
    "velora_rgb": "RGB alone",
    "velora_events": "events alone",
    "lora": "both, plain LoRA",
    "velora": "both, VELoRA",
}
"""What is trained by default: rows of the recipe's comparison, each with its name for a reader."""
MORE_ROWS = {
    "random_backbone": "random frozen backbone",
    "linear_probe": "linear probe",
    "lv_adapter": "Lv-Adapter",
    "full_fine_tuning": "full fine-tuning",
}
"""What is trained as well on request."""
NAMES = {**ROWS, **MORE_ROWS}
BEST = "velora"
"""The row whose predictions are shown."""
DIGITS = 5
DATASET = "dataset"
"""Name of the folder that holds the clips."""
CLIPS_IN_A_TEST = 64
"""Clips in one call of a network."""
MOST_PROCESSES = 4
"""More of them need more memory than the demo is worth."""
SECONDS_BETWEEN_LINES = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """How well one recognizer of the demo did on the test split."""

    row: str
    name: str
    evaluation: Evaluation
    metrics: Mapping[str, float]
    """Those of its run."""

    @property
    def interval(self) -> str:
        """The top-1 accuracy in per cent, with its 95 % interval (Wilson, 1927)."""
        low, high = whole_share(self.evaluation).interval
        return f"{self.evaluation.top1:.1%} ({100 * low:.1f} to {100 * high:.1f})"


def run_demo(
    folder: Path,
    *,
    report: Callable[[str], None],
    epochs: int | None = None,
    clips: int = 600,
    test_clips: int = 2000,
    all_rows: bool = False,
) -> Path:
    """Make the data, train each row, and write a page of results.

    Args:
        folder: Where everything is put.
        report: Takes a line per step.
        epochs: Epochs of every training; None takes those of the recipe.
        clips: Clips to train with.
        test_clips: Clips to measure with.
        all_rows: Whether the rows of `MORE_ROWS` are trained as well.

    Returns:
        The page, to open in a browser.

    Raises:
        RunError: The folder holds a demo that was begun with other settings.
    """
    manifest = _generate(folder, report, train=clips, test=test_clips)
    wanted = {**MORE_ROWS, **ROWS} if all_rows else ROWS
    changes = {} if epochs is None else {"training.epochs": epochs}
    found = _all_results(folder, list(wanted), changes, report)
    results = {row: found[row] for row in wanted}
    _report_results(results.values(), report)
    best = load_bundle(folder / BEST / BUNDLE)
    _predict_one(folder, manifest, best, report)
    return _write_page(folder, manifest, results)


def _all_results(
    folder: Path, rows: list[str], changes: Mapping[str, Any], report: Callable[[str], None]
) -> dict[str, Result]:
    """The result of each row, made in processes beside each other."""
    count = min(len(rows), cores(), MOST_PROCESSES)
    report(f"training {len(rows)} rows, {count} at a time")
    others = set(active_children())
    results: dict[str, Result] = {}
    pool = start_processes(count, preload=__name__)
    with pool, process_context().Manager() as manager:
        lines = manager.Queue()
        waiting: set[Future[tuple[str, Run] | Result]] = set()
        try:
            # The last rows take longest: they come first, so that none of them ends alone. Tests
            # are short and fill the end.
            for row in reversed(rows):
                waiting.add(pool.submit(_train_row, folder, row, changes, lines))
            while waiting:
                done, waiting = wait(waiting, timeout=SECONDS_BETWEEN_LINES)
                while not lines.empty():
                    report(lines.get())
                for found in (each.result() for each in done):
                    if isinstance(found, Result):
                        results[found.row] = found
                    else:
                        waiting.add(pool.submit(_test_row, folder, *found, lines))
        except BaseException:
            # They would train to the end. What they have finished is kept.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - others:
                process.terminate()
            raise
        while not lines.empty():
            report(lines.get())
    return results


def _train_row(folder: Path, row: str, changes: Mapping[str, Any], lines: Any) -> tuple[str, Run]:
    """A row and its run; what there is to report goes to the queue `lines`."""
    warnings.simplefilter("ignore")  # as in the command; this process does nothing but the demo
    warnings.simplefilter("always", RecordingWarning)
    overrides = {
        **load_recipe(RECIPE).comparison[row],
        **changes,
        "data.root": str(folder / DATASET),
        "run.dir": str(folder / row),
    }
    return row, train(RECIPE, overrides=overrides, resume=True, report=_report_of(row, lines))


def _test_row(folder: Path, row: str, run: Run, lines: Any) -> Result:
    """The result of a run; what there is to report goes to the queue `lines`."""
    manifest = read_manifest(folder / DATASET)
    evaluation = evaluate(load_bundle(run.bundle), manifest, batch_size=CLIPS_IN_A_TEST)
    result = Result(row, NAMES[row], evaluation, run.metrics)
    _report_of(row, lines)(f"test: {result.interval}")
    return result


def _report_of(row: str, lines: Any) -> Callable[[str], None]:
    """Puts lines with the row's name before them into a queue."""
    return lambda line: lines.put(f"{NAMES[row]}: {line}")


def _generate(folder: Path, report: Callable[[str], None], *, train: int, test: int) -> Manifest:
    dataset = folder / DATASET
    if not is_prepared(dataset):
        sizes = {"train": train, "val": 0, "test": test}
        report(f"generating {sum(sizes.values()):,} clips of digits in motion")
        options = {**sizes, "digits": DIGITS, "workers": cores()}
        prepare("generated", None, dataset, options=options)
    return read_manifest(dataset)


def _report_results(results: Iterable[Result], report: Callable[[str], None]) -> None:
    report(f"\n{'':<24}{'test top-1 (95 % interval)':>28}{'trained':>12}{'of all':>9}{'time':>8}")
    for result in results:
        report(
            f"{result.name:<24}{result.interval:>28}"
            f"{result.metrics['trained_parameters']:>12,.0f}"
            f"{result.metrics['trained_percent']:>8.1f}%{result.metrics['seconds']:>6.0f} s"
        )


def _predict_one(
    folder: Path, manifest: Manifest, best: Recognizer, report: Callable[[str], None]
) -> None:
    sample = manifest.split("test")[0]
    assert sample.events is not None  # a generated sample is one file with frames and events
    path = manifest.source / sample.events
    ranked = predict(best, open_recording(path))[:3]
    answers = ", ".join(f"{answer.label} {answer.probability:.0%}" for answer in ranked)
    report(f"\n{path} (true label {sample.label})\n  → {answers}")


def _write_page(folder: Path, manifest: Manifest, results: Mapping[str, Result]) -> Path:
    """The report of the best row, with a table of all rows before it."""
    found = find(read_subject(folder / BEST), Wanted(evaluation=results[BEST].evaluation))
    rows = [
        (
            result.name,
            Cell(result.interval, result.evaluation.top1),
            Cell(f"{result.evaluation.macro:.1%}", result.evaluation.macro),
            Cell(
                f"{result.metrics['trained_parameters']:,.0f}", result.metrics["trained_parameters"]
            ),
            Cell(f"{result.metrics['trained_percent']:.1f} %", result.metrics["trained_percent"]),
            Cell(f"{result.metrics['seconds']:.0f} s", result.metrics["seconds"]),
        )
        for result in results.values()
    ]
    header = ("", "top-1", "mean of the classes", "trained parameters", "of all", "time")
    best = results[BEST]
    about = ABOUT.format(
        classes=len(manifest.labels),
        epochs=best.metrics["epoch"],
        samples=best.evaluation.samples,
    )
    compared = Section("Rows", joined(paragraph(about), table(header, rows)))
    title = f"Digits in motion: {ROWS[BEST]}"
    return write_findings(found, folder / PAGE, first=[compared], title=title)


ABOUT = """A small ViT, evlora-nano, was pre-trained on figures drawn by formulas and has seen
neither a digit nor a camera. Each row learned {classes} classes of digit and motion with it in
{epochs:.0f} epochs, from frames, from events, or from both. Measured on {samples:,} clips whose
handwritten digits were not seen before; in brackets the 95 % interval of as many clips, for one
training each. Times are those of trainings beside each other, as many as there are cores. All that
follows is of the last row of the default ones, VELoRA with both modalities."""
