"""The embedded default: generate, train, evaluate, predict, show; offline, on any machine.

What is finished is kept: after an interruption the demo goes on where it was.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evlora.bundle import OWN_BACKBONE, Recognizer, load_bundle
from evlora.clips import ClipDataset, Manifest, prepare, read_manifest
from evlora.clips.manifest import is_prepared, write_manifest
from evlora.figures import Answer, draw_clip_strip, draw_confusion
from evlora.files import writing_file
from evlora.prediction import predict
from evlora.recipe import train
from evlora.recordings import open_recording
from evlora.training.evaluation import Evaluation, evaluate
from evlora.training.run import Run

MODALITIES: dict[str, tuple[str, ...]] = {
    "RGB alone": ("rgb",),
    "events alone": ("event",),
    "both": ("rgb", "event"),
}
"""What is compared."""
DIGITS = 5
STILLS_PER_CLIP = 3
SHOWN_CLIPS = 8


@dataclass(frozen=True, slots=True)
class Result:
    """One trained recognizer of the demo, and how well it did on the test split."""

    name: str
    recognizer: Recognizer
    evaluation: Evaluation
    trained: int
    trained_percent: float


def run_demo(
    folder: Path, *, say: Callable[[str], None], epochs: int | None = None, clips: int = 800
) -> Path:
    """Make the data, train, compare, and write a report.

    Args:
        folder: Where everything is put.
        say: Told a line per step.
        epochs: Epochs of every training; None takes those of the recipes.
        clips: Clips to train with; a quarter as many test, an eighth choose the epoch.

    Returns:
        The report, a page to open in a browser.

    Raises:
        RunError: The folder holds a demo that was begun with other settings.
    """
    manifest = _generate(folder, say, clips)
    fewer = {} if epochs is None else {"training.epochs": epochs}
    weights = _pretrain(folder, fewer, say, clips)
    results: list[Result] = []
    for name, modalities in MODALITIES.items():
        say(f"\ntraining adapters with {name}")
        changes = {"backbone.weights": str(weights), "clip.modalities": list(modalities), **fewer}
        run = _train("demo", folder / name.replace(" ", "_"), folder / "dataset", changes, say)
        recognizer = load_bundle(run.bundle)
        evaluation = evaluate(recognizer, manifest)
        say(f"test: {evaluation.top1:.1%}")
        results.append(
            Result(
                name,
                recognizer,
                evaluation,
                int(run.metrics["trained_parameters"]),
                run.metrics["trained_percent"],
            )
        )
    _say_results(results, say)
    _predict_one(folder, manifest, results[-1], say)
    return _write_report(folder, manifest, results)


def _generate(folder: Path, say: Callable[[str], None], clips: int) -> Manifest:
    dataset = folder / "dataset"
    if not is_prepared(dataset):
        sizes = {"train": clips, "val": clips // 8, "test": clips // 4}
        say(f"generating {sum(sizes.values()):,} clips of digits in motion")
        prepare("generated", None, dataset, options={**sizes, "digits": DIGITS})
    return read_manifest(dataset)


def _pretrain(
    folder: Path, changes: Mapping[str, Any], say: Callable[[str], None], clips: int
) -> Path:
    """The demo's own backbone: it has learned digits in still pictures, and nothing of motion.

    The stills come from the handwritten digits of the training split alone: seed and pools are
    those of the clips.
    """
    stills = folder / "stills"
    say("\npre-training a small ViT to tell digits in still pictures; then it is frozen")
    if not is_prepared(stills):
        sizes = {"train": STILLS_PER_CLIP * clips, "val": clips // 8, "test": 10}
        still = {"digits": DIGITS, "frames": 1, "duration_ms": 25}
        manifest = prepare("generated", None, stills, options={**sizes, **still})
        write_manifest(_labelled_by_digit(manifest), stills)
    run = _train("demo_backbone", folder / "backbone", stills, changes, say)
    return run.bundle / OWN_BACKBONE


def _labelled_by_digit(manifest: Manifest) -> Manifest:
    samples = tuple(
        replace(sample, label=sample.label.split("-")[0]) for sample in manifest.samples
    )
    labels = tuple(sorted({sample.label for sample in samples}))
    return replace(manifest, labels=labels, samples=samples)


def _train(
    recipe: str,
    folder: Path,
    dataset: Path,
    changes: Mapping[str, Any],
    say: Callable[[str], None],
) -> Run:
    overrides = {"data.root": str(dataset), "run.dir": str(folder), **changes}
    return train(recipe, overrides=overrides, resume=True, say=say)


def _say_results(results: list[Result], say: Callable[[str], None]) -> None:
    say(f"\n{'trained with':<14}{'test top-1':>12}{'trained':>12}{'of all':>9}")
    for result in results:
        say(
            f"{result.name:<14}{result.evaluation.top1:>12.1%}"
            f"{result.trained:>12,}{result.trained_percent:>8.1f}%"
        )


def _predict_one(
    folder: Path, manifest: Manifest, best: Result, say: Callable[[str], None]
) -> None:
    sample = manifest.split("test")[0]
    assert sample.events is not None  # a generated sample is one file with frames and events
    path = manifest.source / sample.events
    ranked = predict(best.recognizer, open_recording(path))[:3]
    answers = ", ".join(f"{answer.label} {answer.probability:.0%}" for answer in ranked)
    say(f"\n{path} (true label {sample.label})\n  → {answers}")


def _write_report(folder: Path, manifest: Manifest, results: list[Result]) -> Path:
    best = results[-1]
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
        f"<td>{result.trained_percent:.1f} %</td></tr>\n"
        for result in results
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
<p>A small ViT learned to tell digits in still pictures and was frozen. Low-rank adapters then
learned {classes} classes of digit and motion, from RGB frames, from events, and from both.
Measured on {samples} clips whose handwritten digits were not seen before.</p>
<table><tr><th>trained with</th><th>top-1</th><th>mean of the classes</th>
<th>trained parameters</th><th>of all</th></tr>
{rows}</table>
<h2>Clips</h2>
<p>Frames on the left, events on the right, time from top to bottom; red is brighter, blue darker.
</p><img src="clips.png" alt="clips with their frames, events, true and predicted labels">
<h2>Confusion, both modalities</h2>
<img src="confusion.png" alt="confusion matrix of the recognizer with both modalities">
</body></html>
"""
