"""Accuracies under faults in a folder: each is kept as soon as it is there, so that they resume."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from evlora.answering import Precision
from evlora.datasets import Manifest
from evlora.errors import RunError
from evlora.evaluation.robustness import (
    CLEAN,
    Condition,
    ConditionResult,
    Shown,
    fingerprint_of,
    measure,
)
from evlora.files import writing_file
from evlora.recognizer import Recognizer
from evlora.recordings.corruptions import CORRUPTIONS, STRENGTHS

FORMAT = 1
FILE = "corruptions.json"
SHOWN: tuple[Shown, ...] = get_args(Shown)


def measure_into(
    folder: Path,
    recognizer: Recognizer,
    manifest: Manifest,
    conditions: Sequence[Condition],
    *,
    dataset: str,
    split: str = "test",
    batch_size: int | None = None,
    workers: int = 0,
    precision: Precision = "fp32",
    progress: Callable[[int, int], None] | None = None,
) -> list[ConditionResult]:
    """The accuracies under these conditions, in their order; those of the folder are not repeated.

    Args:
        folder: Where `corruptions.json` lies, or will lie; also holds conditions of earlier calls.
        recognizer: What to score.
        manifest: The dataset.
        conditions: See `conditions_of`.
        dataset: What the folder calls the dataset.
        split: See `measure`, as for the others.
        batch_size: Clips in one call of the network.
        workers: Processes that read clips.
        precision: Of the network's answers.
        progress: Takes the number of conditions measured now, and of all that are missing.

    Raises:
        RunError: The folder holds figures of something else, or damaged ones.
        DatasetError: See `measure`.
        RecordingError: See `measure`.
    """
    about = {
        "format": FORMAT,
        "bundle_sha256": fingerprint_of(recognizer),
        "dataset": dataset,
        "split": split,
        "precision": precision,
        "clip": recognizer.clip_config.model_dump(mode="json"),
    }
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out: expected a folder, {folder} is a file; name another")
    results = _read(folder / FILE, about) if (folder / FILE).is_file() else []
    known = {result.condition for result in results}
    missing = [condition for condition in conditions if condition not in known]
    measuring = measure(
        recognizer,
        manifest,
        missing,
        split=split,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        progress=progress,
    )
    for result in measuring:
        results.append(result)
        _write(folder, about, results)
    found = {result.condition: result for result in results}
    return [found[condition] for condition in conditions]


def as_row(result: ConditionResult) -> dict[str, Any]:
    """The accuracy with its condition, as files have it."""
    return {**result.condition._asdict(), "samples": result.samples, "top1": result.top1}


def read_results(folder: Path, recognizer: Recognizer) -> list[ConditionResult]:
    """The accuracies that a folder of `measure_into` holds.

    Args:
        folder: With `corruptions.json`.
        recognizer: Whose accuracies they must be.

    Raises:
        RunError: There are none, they are damaged, or those of another recognizer.
    """
    if not (folder / FILE).is_file():
        raise RunError(
            f"{folder}: expected {FILE}, which `evlora robustness BUNDLE DATASET --out FOLDER` "
            "writes, found none; name that folder"
        )
    return _read(folder / FILE, {"bundle_sha256": fingerprint_of(recognizer)})


def _read(path: Path, about: dict[str, Any]) -> list[ConditionResult]:
    """What an earlier call has measured, where it is about the same."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [_result(row) for row in content["rows"]]
        differing = [key for key in about if content["about"].get(key) != about[key]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path}: is damaged; name another folder") from error
    if differing:
        raise RunError(
            f"{path}: was measured with another {' and '.join(differing)}; name another folder"
        )
    return rows


def _result(row: dict[str, Any]) -> ConditionResult:
    condition = Condition(row["shown"], row["corruption"], int(row["strength"]))
    is_fault = condition.corruption in CORRUPTIONS and condition.strength in STRENGTHS
    if condition.shown not in SHOWN or not (is_fault or condition[1:] == (CLEAN, 0)):
        raise ValueError(f"there is no condition {condition}")
    return ConditionResult(condition, int(row["samples"]), float(row["top1"]))


def _write(folder: Path, about: dict[str, Any], results: Sequence[ConditionResult]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"about": about, "rows": [as_row(result) for result in results]}
    with writing_file(folder / FILE) as path:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
