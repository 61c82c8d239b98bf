"""The embedded default: generate, train, evaluate, predict, show; offline, on any machine.

What is finished is kept: after an interruption the demo goes on where it was.
"""

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

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
from evlora.training.run import train

RECIPE = "demo"
ROWS = (
    "random_backbone",
    "linear_probe",
    "lora",
    "lv_adapter",
    "velora_rgb",
    "velora_events",
    "velora",
    "full_fine_tuning",
)
"""What is trained, by the names in the recipe's comparison."""
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
    trained: int
    trained_percent: float
    seconds: float


def run_demo(
    folder: Path, *, report: Callable[[str], None], epochs: int | None = None, clips: int = 600
) -> Path:
    """Make the data, train each row of `ROWS`, and write a report.

    Args:
        folder: Where everything is put.
        report: Takes a line per step.
        epochs: Epochs of every training; None takes those of the recipe.
        clips: Clips to train with; a third as many test.

    Returns:
        The report, a page to open in a browser.

    Raises:
        RunError: The folder holds a demo that was begun with other settings.
    """
    manifest = _generate(folder, report, clips)
    rows = load_recipe(RECIPE).comparison
    results: dict[str, Result] = {}
    for number, name in enumerate(ROWS, start=1):
        report(f"\ntraining {name.replace('_', ' ')} ({number} of {len(ROWS)})")
        overrides = {
            **rows[name],
            **({} if epochs is None else {"training.epochs": epochs}),
            "data.root": str(folder / "dataset"),
            "run.dir": str(folder / name),
        }
        run = train(RECIPE, overrides=overrides, resume=True, report=report)
        recognizer = load_bundle(run.bundle)
        evaluation = evaluate(recognizer, manifest)
        report(f"test: {evaluation.top1:.1%}")
        results[name] = Result(
            name.replace("_", " "),
            recognizer,
            evaluation,
            int(run.metrics["trained_parameters"]),
            run.metrics["trained_percent"],
            run.metrics["seconds"],
        )
    _report_results(results.values(), report)
    _predict_one(folder, manifest, results[BEST], report)
    return _write_report(folder, manifest, results)


def _generate(folder: Path, report: Callable[[str], None], clips: int) -> Manifest:
    dataset = folder / "dataset"
    if not is_prepared(dataset):
        sizes = {"train": clips, "val": 0, "test": clips // 3}
        report(f"generating {sum(sizes.values()):,} clips of digits in motion")
        prepare("generated", None, dataset, options={**sizes, "digits": DIGITS})
    return read_manifest(dataset)


def _report_results(results: Iterable[Result], report: Callable[[str], None]) -> None:
    report(f"\n{'':<24}{'test top-1':>12}{'trained':>12}{'of all':>9}{'time':>8}")
    for result in results:
        report(
            f"{result.name:<24}{result.evaluation.top1:>12.1%}{result.trained:>12,}"
            f"{result.trained_percent:>8.1f}%{result.seconds:>6.0f} s"
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


def _write_report(folder: Path, manifest: Manifest, results: Mapping[str, Result]) -> Path:
    best = results[BEST]
    draw_confusion(best.evaluation.confusion, manifest.labels, folder / "confusion.png")
    dataset = ClipDataset(manifest, "test", best.recognizer.clip_config)
    answers = [
        Answer(dataset[i], sample.label, best.evaluation.predicted[sample.sample])
        for i, sample in enumerate(dataset.samples[:SHOWN_CLIPS])
    ]
    draw_clip_strip(answers, folder / "clips.png")
    rows = "".join(
        f"<tr><td>{html.escape(result.name)}</td><td>{result.evaluation.top1:.1%}</td>"
        f"<td>{result.evaluation.macro:.1%}</td><td>{result.trained:,}</td>"
        f"<td>{result.trained_percent:.1f} %</td><td>{result.seconds:.0f} s</td></tr>\n"
        for result in results.values()
    )
    page = PAGE.format(rows=rows, samples=best.evaluation.samples, classes=len(manifest.labels))
    report = folder / "report.html"
    with writing_file(report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return report


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
digit nor a camera. Each row below learned {classes} classes of digit and motion with it: a linear
layer on its frozen features (beside the same on random weights), adapters in it, or all of it.
Measured on {samples} clips whose handwritten digits were not seen before.</p>
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
