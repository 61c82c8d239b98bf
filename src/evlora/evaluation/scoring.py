"""How good a recognizer is on one split of a dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evlora.answering import Precision
from evlora.clips import Modality
from evlora.datasets import Manifest, read_manifest
from evlora.datasets.protocol import protocol_of
from evlora.datasets.samples import Sample
from evlora.errors import DatasetError
from evlora.evaluation.answers import (
    Answers,
    answers_of_all,
    samples_of_a_batch,
    scored_batches,
)
from evlora.evaluation.figures import (
    Confusion,
    Evaluation,
    Slice,
    bins_of,
    calibration_error,
    coverage_of,
    per_class_of,
)
from evlora.evaluation.uncertainty import RESAMPLES, interval_of_mean, intervals_of
from evlora.messages import listed, suggestion
from evlora.rank_group import ALONE, Ranks
from evlora.recognizer import Recognizer, require_recognizer

MOST_VALUES = 1000
"""Of a column by which samples are sliced."""
NO_VALUE = "(none)"
"""The slice of samples without a value in the column."""


def evaluate(
    recognizer: Recognizer,
    manifest: Manifest | str | Path,
    *,
    split: str = "test",
    batch_size: int | None = None,
    workers: int = 0,
    without: Modality | None = None,
    precision: Precision = "fp32",
    corruption: str | None = None,
    slices: Sequence[str] = (),
    resamples: int = RESAMPLES,
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Score a recognizer on a split.

    A sample's probabilities are the mean over its test views, as the recognizer's
    `clip.test_views` sets them.

    Args:
        recognizer: What to score.
        manifest: The dataset, or its folder; its labels must be those of the recognizer.
        split: Which part of it.
        batch_size: Clips in one call of the network; if not given 16, or 1 where a network's
            answers depend on the clips beside them.
        workers: Processes that read clips.
        without: Of both modalities, one that is hidden, even where the samples have it.
        precision: See `for_answers`.
        corruption: A sensor's fault in every recording: NAME:STRENGTH, such as hot_pixels:3.
        slices: Columns of the manifest whose values are scored separately.
        resamples: Of the bootstrap that gives intervals; 0 for none.
        progress: Takes the number of samples scored so far, and of all of this rank.
        ranks: Processes that divide the samples; each has the figures of all of them.

    Returns:
        Accuracies as shares of 1 with their intervals, calibration, and the confusion of labels.

    Raises:
        DatasetError: The labels differ, the split is empty, only the hidden modality is left, or
            no sample has a column.
        BundleError: The recognizer answers NaN, or is none.
        RecordingError: There is no such corruption.
    """
    require_recognizer(recognizer)
    if not isinstance(manifest, Manifest):
        manifest = read_manifest(manifest)
    _require_same_labels(recognizer, manifest)
    values = {column: _values(manifest, split, column) for column in slices}
    batches = scored_batches(
        recognizer,
        manifest,
        split=split,
        batch_size=batch_size,
        workers=workers,
        without=without,
        precision=precision,
        corruption=corruption,
        progress=progress,
        ranks=ranks,
    )
    stretch = samples_of_a_batch(recognizer, batch_size)
    answers = answers_of_all(batches, recognizer.labels, ranks, stretch=stretch)
    per_class = per_class_of(answers)
    predicted = answers.ranked[:, 0]
    classes = answers.classes
    config = recognizer.clip_config.hiding(without)
    return Evaluation(
        top1=float(answers.is_right.mean()),
        top5=float(answers.is_among_first.mean()),
        macro=float(np.nanmean(per_class)),
        samples=len(answers.names),
        split=split,
        ece=calibration_error(answers),
        per_class={
            name: None if np.isnan(share) else float(share)
            for name, share in zip(classes, per_class, strict=True)
        },
        split_source=manifest.split_source,
        views=config.test_views.count,
        without=config.without,
        corruption=corruption,
        confusion=Confusion(answers.labels, predicted, classes=len(classes)),
        predicted={
            name: classes[label] for name, label in zip(answers.names, predicted, strict=True)
        },
        nll=float(answers.surprise.mean()),
        temperature=recognizer.temperature,
        intervals=intervals_of(answers, resamples=resamples),
        bins=bins_of(answers),
        coverage=coverage_of(answers),
        slices={column: _slices(answers, values[column], resamples) for column in slices},
        protocol=protocol_of(manifest, split, config),
        answers=answers,
    )


def _values(manifest: Manifest, split: str, column: str) -> dict[str, str]:
    """What each sample of a split has in a column."""
    samples = manifest.split(split)
    found = {sample.sample: sample.value_of(column) for sample in samples}
    given = {value for value in found.values() if value is not None}
    if not given:
        known = sorted({*_columns_of(samples), "label"})
        raise DatasetError(
            f"{manifest.source}: expected a column of the manifest to slice by, no sample of the "
            f"split {split} has {column!r}; {suggestion(column, known)}"
        )
    if len(given) > MOST_VALUES:
        raise DatasetError(
            f"{manifest.source}: expected at most {MOST_VALUES:,} values in the column {column!r}, "
            f"got {len(given):,}; slice by one with fewer"
        )
    return {name: NO_VALUE if value is None else value for name, value in found.items()}


def _columns_of(samples: Sequence[Sample]) -> set[str]:
    return {name for sample in samples for name, _ in sample.columns}


def _slices(answers: Answers, values: dict[str, str], resamples: int) -> dict[str, Slice]:
    """The figures of the samples of each value, in the order of the values."""
    own = np.array([values[name] for name in answers.names])
    found: dict[str, Slice] = {}
    for value in np.unique(own).tolist():
        part = answers.part(own == value)
        found[value] = Slice(
            samples=len(part.names),
            top1=float(part.is_right.mean()),
            top1_interval=interval_of_mean(part.is_right.astype(float), resamples=resamples),
            top5=float(part.is_among_first.mean()),
            macro=float(np.nanmean(per_class_of(part))),
            ece=calibration_error(part),
        )
    return found


def _require_same_labels(recognizer: Recognizer, manifest: Manifest) -> None:
    if recognizer.labels == manifest.labels:
        return
    expected, got = recognizer.labels, manifest.labels
    if set(expected) == set(got):
        place = next(
            i for i, pair in enumerate(zip(expected, got, strict=True)) if len({*pair}) > 1
        )
        found = f"the same in another order: label {place} is {got[place]}, not {expected[place]}"
    else:
        found = (
            f"{len(got)}: only in the dataset {listed(sorted({*got} - {*expected}))}, only in the "
            f"recognizer {listed(sorted({*expected} - {*got}))}"
        )
    raise DatasetError(
        f"dataset with recordings in {manifest.source}: expected the {len(expected)} labels that "
        f"the recognizer was trained on, got {found}; evaluate it on a dataset prepared with the "
        "same classes, or train a recognizer on this one"
    )
