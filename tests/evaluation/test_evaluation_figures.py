"""Figures against torchmetrics and plain counting."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evlora.evaluation import Confusion, Evaluation
from evlora.evaluation.figures import bins_of, calibration_error, coverage_of, per_class_of


def test_figures_are_those_of_torchmetrics(draw: Callable[..., Any]) -> None:
    # It imports what it has for text and sound as well.
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_calibration_error,
        multiclass_confusion_matrix,
    )

    answers, scores, labels = draw()
    accuracy = multiclass_accuracy(scores, labels, num_classes=7, average="none")
    assert per_class_of(answers) == pytest.approx(accuracy.numpy())
    top5 = multiclass_accuracy(scores, labels, num_classes=7, average="micro", top_k=5)
    assert answers.is_among_first.mean() == pytest.approx(float(top5))
    ece = multiclass_calibration_error(scores.exp(), labels, num_classes=7, n_bins=15)
    assert calibration_error(answers) == pytest.approx(float(ece), abs=1e-6)
    confusion = Confusion(answers.labels, answers.ranked[:, 0], classes=7)
    expected = multiclass_confusion_matrix(scores, labels, num_classes=7)
    assert [list(row) for row in confusion] == expected.tolist()
    assert [list(confusion[number]) for number in range(7)] == expected.tolist()
    assert np.asarray(confusion).tolist() == expected.tolist()


def test_a_class_without_samples_has_no_accuracy(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    part = answers.part(answers.labels != 3)
    assert np.isnan(per_class_of(part)).tolist() == [number == 3 for number in range(7)]


def test_bins_hold_all_samples_and_their_means(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    bins = bins_of(answers)
    assert sum(one.samples for one in bins) == 400
    confidence = sum(one.samples * (one.confidence or 0) for one in bins) / 400
    assert confidence == pytest.approx(answers.confidence.mean())


def test_accuracy_over_coverage_ends_with_that_of_all_samples(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    points = coverage_of(answers)
    assert [point.coverage for point in points] == pytest.approx(np.arange(1, 11) / 10)
    assert points[-1].accuracy == pytest.approx(answers.is_right.mean())
    surest = answers.confidence >= points[0].confidence
    assert points[0].accuracy == pytest.approx(answers.is_right[surest].mean())
    assert points[0].accuracy > points[-1].accuracy


def test_ten_thousand_labels_take_little_memory_and_little_json() -> None:
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 10_000, (2, 40))
    names = tuple(f"class {number}" for number in range(10_000))
    tracemalloc.start()
    figures: dict[str, Any] = dict.fromkeys(("top1", "top5", "macro", "ece"), 0.0)
    result = Evaluation(
        **figures,
        samples=40,
        split="test",
        per_class=dict.fromkeys(names),
        split_source="",
        views=1,
        without=None,
        confusion=Confusion(labels, predicted, classes=10_000),
        predicted={},
    )
    text = json.dumps(result.as_dict())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text) < 1e6
    assert peak < 20e6
    assert len(json.loads(text)["confused"]) == 40
    assert json.loads(text)["confusion"] is None
    small = replace(result, confusion=[[1, 2], [0, 3]], per_class={"a": 0.3, "b": 1.0})
    assert small.as_dict()["confusion"] == [[1, 2], [0, 3]]
    assert small.as_dict()["confused"] == [{"label": "a", "predicted": "b", "samples": 2}]
