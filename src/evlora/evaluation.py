"""How good a recognizer is on one split of a dataset."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
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
    if not isinstance(manifest, Manifest):
        manifest = read_manifest(manifest)
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
    all_scores = torch.cat(scores)
    if unsound := [
        name for name, score in zip(names, all_scores, strict=True) if score.isnan().any()
    ]:
        raise BundleError(
            f"expected probabilities, the recognizer answers NaN for {len(unsound)} of "
            f"{len(names)} samples ({listed(unsound)}); try precision fp32, or train it again"
        )
    return _score(
        all_scores,
        torch.cat(labels),
        names,
        recognizer.labels,
        split=split,
        split_source=manifest.split_source,
        views=views,
        without=config.without,
    )


def _score(
    scores: Tensor,
    labels: Tensor,
    names: list[str],
    classes: tuple[str, ...],
    *,
    split: str,
    split_source: str,
    views: int,
    without: Modality | None,
) -> Evaluation:
    """The figures from the logarithms of the probabilities, shape (samples, K)."""
    count = len(classes)
    answers = scores.argmax(dim=1)
    confusion = multiclass_confusion_matrix(answers, labels, num_classes=count)
    totals, right = confusion.sum(dim=1), confusion.diagonal()
    per_class = {
        name: float(right[i] / totals[i]) if totals[i] else None for i, name in enumerate(classes)
    }
    present = [value for value in per_class.values() if value is not None]
    predicted = [classes[i] for i in answers.tolist()]
    return Evaluation(
        top1=float(multiclass_accuracy(scores, labels, num_classes=count, average="micro")),
        top5=float(
            multiclass_accuracy(
                scores, labels, num_classes=count, average="micro", top_k=min(5, count)
            )
        ),
        macro=sum(present) / len(present),
        samples=len(labels),
        split=split,
        ece=float(multiclass_calibration_error(scores.exp(), labels, num_classes=count, n_bins=15)),
        per_class=per_class,
        split_source=split_source,
        views=views,
        without=without,
        confusion=confusion.tolist(),
        predicted=dict(zip(names, predicted, strict=True)),
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
