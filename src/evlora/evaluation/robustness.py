"""Accuracy by corruption and strength, for both modalities and for each alone.

A mean corruption accuracy is the mean over all corruptions and strengths, as the mean corruption
error of ImageNet-C (Hendrycks and Dietterich, ICLR 2019) without its weights; relative to clean it
is divided by the accuracy without a fault.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from evlora.answering import Precision
from evlora.clips import ClipConfig, Modality
from evlora.datasets import Manifest
from evlora.errors import DatasetError
from evlora.evaluation.scoring import evaluate
from evlora.messages import suggestion
from evlora.recognizer import Recognizer
from evlora.recordings.corruptions import CORRUPTIONS, STRENGTHS

Shown = Literal["both", "rgb", "event"]
CLEAN = "clean"


class Condition(NamedTuple):
    """What a recognizer is shown, and the fault that its recordings have."""

    shown: Shown
    corruption: str
    """A name of the table, or `clean`."""
    strength: int
    """1 to 5, or 0 for clean."""


class ConditionResult(NamedTuple):
    """The accuracy under a condition."""

    condition: Condition
    samples: int
    top1: float


class Robustness(NamedTuple):
    """What the accuracies of a recognizer with some modalities come to."""

    clean: float
    mean: float
    """Over all corruptions and strengths; those of a hidden modality are as clean."""
    relative: float
    """The mean as a share of clean."""


def conditions_of(
    config: ClipConfig,
    *,
    names: Collection[str] = (),
    strengths: Collection[int] = STRENGTHS,
    without: Modality | None = None,
) -> list[Condition]:
    """The conditions to measure, clean ones first.

    Faults of a modality that is not shown change nothing, and are not measured; nor are modalities
    out of step where one alone is shown.

    Args:
        config: Of the recognizer.
        names: Of corruptions; none for all.
        strengths: Of 1 to 5.
        without: A modality that is never shown; None measures both, and each alone.

    Raises:
        DatasetError: There is no such corruption or strength, or nothing is left to show.
    """
    for name in names:
        if name not in CORRUPTIONS:
            raise DatasetError(f"no corruption is called {name!r}; {suggestion(name, CORRUPTIONS)}")
    if not strengths or set(strengths) - set(STRENGTHS):
        raise DatasetError(f"expected strengths of 1 to 5, got {sorted(strengths)}")
    has_both = len(config.modalities) > 1
    without = config.hiding(without).without  # refuses to hide the only one
    shown: list[Shown] = ["both", "rgb", "event"]
    if without is not None:
        shown = [_other(without)]
    elif not has_both:
        shown = [config.modalities[0]]
    found = [Condition(part, CLEAN, 0) for part in shown]
    for name in names or CORRUPTIONS:
        target = CORRUPTIONS[name].target
        found += [
            Condition(part, name, strength)
            for strength in sorted(set(strengths))
            for part in shown
            if part in (target, "both")
        ]
    return found


def measure(
    recognizer: Recognizer,
    manifest: Manifest,
    conditions: Sequence[Condition],
    *,
    split: str = "test",
    batch_size: int | None = None,
    workers: int = 0,
    precision: Precision = "fp32",
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[ConditionResult]:
    """The accuracies under these conditions, each as soon as it is there.

    Args:
        recognizer: What to score.
        manifest: The dataset.
        conditions: In their order.
        split: Which part of the dataset.
        batch_size: See `evaluate`.
        workers: Processes that read clips.
        precision: See `for_answers`.
        progress: Takes the number of conditions measured, and of all.

    Raises:
        DatasetError: See `evaluate`.
        RecordingError: Events were drawn before, so that their faults cannot be shown.
    """
    for number, condition in enumerate(conditions):
        has_both = len(recognizer.clip_config.modalities) > 1
        hidden = None if condition.shown == "both" or not has_both else _other(condition.shown)
        fault = None if condition.corruption == CLEAN else ":".join(map(str, condition[1:]))
        found = evaluate(
            recognizer,
            manifest,
            split=split,
            batch_size=batch_size,
            workers=workers,
            without=hidden,
            precision=precision,
            corruption=fault,
            resamples=0,
        )
        if progress is not None:
            progress(number + 1, len(conditions))
        yield ConditionResult(condition, found.samples, found.top1)


def summary_of(results: Sequence[ConditionResult]) -> dict[Shown, Robustness]:
    """What the accuracies come to, by what was shown.

    Args:
        results: Of all conditions of `conditions_of`.
    """
    top1 = {result.condition: result.top1 for result in results}
    faults = dict.fromkeys(c[1:] for c in top1 if c.corruption != CLEAN)
    found: dict[Shown, Robustness] = {}
    parts: dict[Shown, None] = dict.fromkeys(condition.shown for condition in top1)
    for shown in parts:
        clean = top1[Condition(shown, CLEAN, 0)]
        each = [top1.get(Condition(shown, *fault), clean) for fault in faults]
        mean = sum(each) / len(each) if each else clean
        found[shown] = Robustness(clean, mean, mean / clean if clean else 0.0)
    return found


def shortfalls_of(results: Sequence[ConditionResult]) -> dict[tuple[str, int], float]:
    """By how much both together are below the better one alone, by corruption and strength.

    Negative where both are better; empty where not all three were measured.
    """
    top1 = {result.condition: result.top1 for result in results}
    clean = {shown: top1.get(Condition(shown, CLEAN, 0)) for shown in ("rgb", "event")}
    if None in clean.values():
        return {}
    found: dict[tuple[str, int], float] = {}
    for condition, both in top1.items():
        if condition.shown != "both":
            continue
        fault = condition.corruption, condition.strength
        alone = [top1.get(Condition(part, *fault), clean[part]) for part in ("rgb", "event")]
        found[fault] = max(one for one in alone if one is not None) - both
    return found


def fingerprint_of(recognizer: Recognizer) -> str:
    """A checksum of all weights, to know whether a table is of this recognizer."""
    found = hashlib.sha256()
    tensors: dict[str, Any] = recognizer.state_dict()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode())
        if hasattr(tensor, "detach"):
            found.update(tensor.detach().cpu().float().numpy().tobytes())
    return found.hexdigest()


def _other(modality: Modality) -> Modality:
    return "event" if modality == "rgb" else "rgb"
