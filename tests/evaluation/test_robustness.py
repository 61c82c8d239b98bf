"""Accuracy by corruption: which conditions are measured, and what they come to."""

import pytest

from evlora.clips import ClipConfig
from evlora.errors import DatasetError
from evlora.evaluation.robustness import (
    Condition,
    ConditionResult,
    conditions_of,
    shortfalls_of,
    summary_of,
)

NAMES = ("hot_pixels", "frames_lost", "time_offset")


def test_a_fault_is_measured_where_it_can_be_seen():
    found = conditions_of(ClipConfig(), names=NAMES, strengths=(3,))

    assert found == [
        Condition("both", "clean", 0),
        Condition("rgb", "clean", 0),
        Condition("event", "clean", 0),
        Condition("both", "hot_pixels", 3),
        Condition("event", "hot_pixels", 3),
        Condition("both", "frames_lost", 3),
        Condition("rgb", "frames_lost", 3),
        Condition("both", "time_offset", 3),
    ]


def test_one_modality_has_the_faults_of_its_own():
    for config, without in ((ClipConfig(), "event"), (ClipConfig(modalities=("rgb",)), None)):
        found = conditions_of(config, names=NAMES, strengths=(1,), without=without)
        assert found == [Condition("rgb", "clean", 0), Condition("rgb", "frames_lost", 1)]


def test_unknown_names_and_strengths_are_refused():
    with pytest.raises(DatasetError, match="did you mean hot_pixels"):
        conditions_of(ClipConfig(), names=("hot_pixel",))
    with pytest.raises(DatasetError, match="strengths of 1 to 5"):
        conditions_of(ClipConfig(), strengths=(0,))


def test_a_hidden_modalitys_faults_count_as_clean():
    top1 = {
        Condition("both", "clean", 0): 0.8,
        Condition("rgb", "clean", 0): 0.6,
        Condition("event", "clean", 0): 0.5,
        Condition("both", "hot_pixels", 3): 0.4,
        Condition("event", "hot_pixels", 3): 0.1,
    }
    results = [ConditionResult(condition, 10, value) for condition, value in top1.items()]

    found = summary_of(results)

    assert found["both"] == pytest.approx((0.8, 0.4, 0.5))
    assert found["rgb"] == pytest.approx((0.6, 0.6, 1.0))
    assert found["event"] == pytest.approx((0.5, 0.1, 0.2))
    assert shortfalls_of(results) == pytest.approx({("clean", 0): -0.2, ("hot_pixels", 3): 0.2})
