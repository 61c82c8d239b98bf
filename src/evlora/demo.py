"""The embedded default: generate, train, evaluate, predict, show; offline, on any machine.

What is finished is kept: after an interruption the demo resumes where it was.
"""

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from evlora.bundle import load_bundle
from evlora.datasets import ClipDataset, Manifest, prepare, read_manifest
from evlora.datasets.storage import is_prepared
from evlora.evaluation import Evaluation, evaluate
from evlora.figures import Answer, draw_clip_strip, draw_confusion
from evlora.files import writing_file
from evlora.prediction import predict
from evlora.recipe import load_recipe
from evlora.recognizer import Recognizer
from evlora.recordings import open_recording
from evlora.training.run import Run, train

RECIPE = "demo"
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
BEST = "velora"
"""The row whose predictions are shown."""
DIGITS = 5
SHOWN_CLIPS = 8


@dataclass(frozen=True, slots=True)
class Result:
    """One trained recognizer of the demo, and how well it did on the test split."""

    name: str
    recognizer: Recognizer
    evaluation: Evaluation
    metrics: Mapping[str, float]
    """Those of its run."""

    @property
    def interval(self) -> str:
        """The top-1 accuracy in per cent, with its 95 % interval (Wilson, 1927)."""
        samples, top1 = self.evaluation.samples, self.evaluation.top1
        proportion = binomtest(round(top1 * samples), samples)
        low, high = proportion.proportion_ci(method="wilson")
        return f"{top1:.1%} ({100 * low:.1f} to {100 * high:.1f})"


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
    results: dict[str, Result] = {}
    for number, (row, name) in enumerate(wanted.items(), start=1):
        report(f"\ntraining {name} ({number} of {len(wanted)})")
        changes = {} if epochs is None else {"training.epochs": epochs}
        run = _train(folder, row, changes, report)
        recognizer = load_bundle(run.bundle)
        results[row] = Result(name, recognizer, evaluate(recognizer, manifest), run.metrics)
        report(f"test: {results[row].interval}")
    _report_results(results.values(), report)
    _predict_one(folder, manifest, results[BEST], report)
    return _write_page(folder, manifest, results)


def _train(
    folder: Path, row: str, changes: Mapping[str, Any], report: Callable[[str], None]
) -> Run:
    overrides = {
        **load_recipe(RECIPE).comparison[row],
        **changes,
        "data.root": str(folder / "dataset"),
        "run.dir": str(folder / row),
    }
    return train(RECIPE, overrides=overrides, resume=True, report=report)


def _generate(folder: Path, report: Callable[[str], None], *, train: int, test: int) -> Manifest:
    dataset = folder / "dataset"
    if not is_prepared(dataset):
        sizes = {"train": train, "val": 0, "test": test}
        report(f"generating {sum(sizes.values()):,} clips of digits in motion")
        prepare("generated", None, dataset, options={**sizes, "digits": DIGITS})
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
    folder: Path, manifest: Manifest, best: Result, report: Callable[[str], None]
) -> None:
    sample = manifest.split("test")[0]
    assert sample.events is not None  # a generated sample is one file with frames and events
    path = manifest.source / sample.events
    ranked = predict(best.recognizer, open_recording(path))[:3]
    answers = ", ".join(f"{answer.label} {answer.probability:.0%}" for answer in ranked)
    report(f"\n{path} (true label {sample.label})\n  → {answers}")


def _write_page(folder: Path, manifest: Manifest, results: Mapping[str, Result]) -> Path:
    best = results[BEST]
    draw_confusion(best.evaluation.confusion, manifest.labels, folder / "confusion.png")
    dataset = ClipDataset(manifest, "test", best.recognizer.clip_config)
    answers = [
        Answer(dataset[i], sample.label, best.evaluation.predicted[sample.sample])
        for i, sample in enumerate(dataset.samples[:SHOWN_CLIPS])
    ]
    draw_clip_strip(answers, folder / "clips.png")
    rows = "".join(
        f"<tr><td>{html.escape(result.name)}</td><td>{result.interval}</td>"
        f"<td>{result.evaluation.macro:.1%}</td>"
        f"<td>{result.metrics['trained_parameters']:,.0f}</td>"
        f"<td>{result.metrics['trained_percent']:.1f} %</td>"
        f"<td>{result.metrics['seconds']:.0f} s</td></tr>\n"
        for result in results.values()
    )
    page = PAGE.format(rows=rows, samples=best.evaluation.samples, classes=len(manifest.labels))
    path = folder / "report.html"
    with writing_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>evlora demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color: #1f2328; background: #fff; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .3rem 1rem; text-align: right; }}
th {{ border-bottom: 2px solid #d0d7de; }} td:first-child, th:first-child {{ text-align: left; }}
img {{ max-width: 100%; height: auto; }}
</style></head><body>
<h1>Digits in motion</h1>
<p>A small ViT, evlora-nano, was pre-trained on figures drawn by formulas and has seen neither a
digit nor a camera. Each row below learned {classes} classes of digit and motion with it, from
frames, from events, or from both. Measured on {samples:,} clips whose handwritten digits were not
seen before; in brackets the 95 % interval of as many clips, for one training each.</p>
<table><tr><th></th><th>top-1</th><th>mean of the classes</th>
<th>trained parameters</th><th>of all</th><th>time</th></tr>
{rows}</table>
<h2>Clips</h2>
<p>Frames on the left, events on the right, time from top to bottom; red is brighter, blue darker.
</p><img src="clips.png" alt="clips with their frames, events, true and predicted labels">
<h2>Confusion, VELoRA with both modalities</h2>
<img src="confusion.png" alt="confusion matrix of the recognizer with both modalities">
</body></html>
"""
