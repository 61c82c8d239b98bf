"""How good a recognizer is on one split of a dataset."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from evlora.answering import Precision, for_answers
from evlora.clips import Batch, Modality
from evlora.datasets import AllTestViews, Manifest, read_manifest
from evlora.datasets.loading import InOrder, loader_options
from evlora.errors import BundleError, DatasetError
from evlora.messages import listed
from evlora.packing import clip_dataset
from evlora.recognizer import Recognizer

BATCH_SIZE = 16
CALIBRATION_BINS = 15
"""Of confidence, all of the same width."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one split; accuracies are shares of 1."""

    top1: float
    """Share of samples whose label comes first."""
    top5: float
    """Share of samples whose label is among the first five."""
    macro: float
    """Mean over the classes of each class's top-1."""
    samples: int
    split: str
    ece: float
    """Expected calibration error over 15 bins of confidence (Guo et al., ICML 2017)."""
    per_class: dict[str, float | None]
    """Top-1 of each class; None where the split has no sample of it."""
    split_source: str
    """Where the split came from, as the dataset states."""
    views: int
    """Clips of a sample that were averaged over."""
    without: str | None
    """The modality that was hidden."""
    confusion: list[list[int]]
    """Rows are true labels, columns predicted ones, in the order of the labels."""
    predicted: dict[str, str]
    """The predicted label of each sample."""

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, in the order in which they are printed."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a recognizer answers for each sample of a split."""

    log_probabilities: Tensor
    """Logarithms of the probabilities, shape (samples, K)."""
    labels: Tensor
    """Numbers of the true classes, shape (samples,)."""
    samples: tuple[str, ...]
    """Their names, in the order of the manifest."""
    classes: tuple[str, ...]
    """Names of the K classes."""
    split: str
    split_source: str
    views: int
    without: str | None

    def ranked(self, place: int, *, top: int = 5) -> list[tuple[str, float]]:
        """The most probable labels of one sample, each with its probability.

        Args:
            place: Number of the sample.
            top: How many labels.
        """
        best = self.log_probabilities[place].topk(min(top, len(self.classes)))
        return [
            (self.classes[number], score)
            for number, score in zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
        ]

    def figures(self) -> Evaluation:
        """Accuracies, calibration error and confusion."""
        scores, labels, count = self.log_probabilities, self.labels, len(self.classes)
        answers = scores.argmax(dim=1)
        confusion = multiclass_confusion_matrix(answers, labels, num_classes=count)
        totals, right = confusion.sum(dim=1), confusion.diagonal()
        per_class = {
            name: float(right[i] / totals[i]) if totals[i] else None
            for i, name in enumerate(self.classes)
        }
        present = [value for value in per_class.values() if value is not None]
        predicted = [self.classes[i] for i in answers.tolist()]
        micro = partial(multiclass_accuracy, num_classes=count, average="micro")
        return Evaluation(
            top1=float(micro(scores, labels)),
            top5=float(micro(scores, labels, top_k=min(5, count))),
            macro=sum(present) / len(present),
            samples=len(labels),
            split=self.split,
            ece=float(
                multiclass_calibration_error(
                    scores.exp(), labels, num_classes=count, n_bins=CALIBRATION_BINS
                )
            ),
            per_class=per_class,
            split_source=self.split_source,
            views=self.views,
            without=self.without,
            confusion=confusion.tolist(),
            predicted=dict(zip(self.samples, predicted, strict=True)),
        )


def evaluate(
    recognizer: Recognizer,
    manifest: Manifest | str | Path,
    *,
    split: str = "test",
    batch_size: int | None = None,
    workers: int = 0,
    without: Modality | None = None,
    precision: Precision = "fp32",
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

    Returns:
        Accuracies as shares of 1, the calibration error, and the confusion of labels.

    Raises:
        DatasetError: The labels differ, the split is empty, or only the hidden modality is left.
        BundleError: The recognizer answers NaN.
    """
    return score(
        recognizer,
        manifest if isinstance(manifest, Manifest) else read_manifest(manifest),
        split=split,
        batch_size=batch_size,
        workers=workers,
        without=without,
        precision=precision,
    ).figures()


def score(
    recognizer: Recognizer,
    manifest: Manifest,
    *,
    split: str = "test",
    batch_size: int | None = None,
    workers: int = 0,
    without: Modality | None = None,
    precision: Precision = "fp32",
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """The answers of a recognizer to each sample of a split; takes and raises as `evaluate`.

    Args:
        recognizer: What to score.
        manifest: The dataset.
        split: Which part of it.
        batch_size: Clips in one call of the network.
        workers: Processes that read clips.
        without: Of both modalities, one that is hidden.
        precision: See `for_answers`.
        progress: Takes the number of samples scored so far, and of all.
    """
    _require_same_labels(recognizer, manifest)
    config = recognizer.clip_config.hiding(without)
    dataset = clip_dataset(manifest, split, config)
    device = next(recognizer.parameters()).device
    answering = for_answers(recognizer, precision=precision)
    views = config.test_views.count
    if batch_size is None:
        batch_size = 1 if recognizer.network.depends_on_batch else BATCH_SIZE
    loader = DataLoader(
        AllTestViews(dataset),
        sampler=InOrder(dataset),
        **loader_options(batch_size=max(1, batch_size // views), workers=workers),
    )
    scores: list[Tensor] = []
    labels: list[Tensor] = []
    names: list[str] = []
    with torch.inference_mode():
        for batch in cast(Iterable[Batch], loader):
            rgb, events, *_ = batch.to(device)
            scores.append(answering.log_probabilities(rgb, events, views=views).cpu())
            assert batch.labels is not None  # a manifest's samples have labels
            labels.append(batch.labels[::views])
            names.extend(batch.samples[::views])
            if progress is not None:
                progress(len(names), len(dataset))
    all_scores = torch.cat(scores)
    _require_sound(all_scores, names)
    return Scores(
        all_scores,
        torch.cat(labels),
        tuple(names),
        recognizer.labels,
        split=split,
        split_source=manifest.split_source,
        views=views,
        without=config.without,
    )


def _require_sound(scores: Tensor, names: list[str]) -> None:
    unsound = [name for name, its in zip(names, scores, strict=True) if its.isnan().any()]
    if unsound:
        raise BundleError(
            f"expected probabilities, the recognizer answers NaN for {len(unsound)} of "
            f"{len(names)} samples ({listed(unsound)}); try precision fp32, or train it again"
        )


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
