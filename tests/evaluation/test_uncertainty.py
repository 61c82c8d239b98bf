"""Intervals: they hold what they should hold as often as they should, and repeat."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evlora.evaluation.uncertainty import interval_of_mean, intervals_of


def test_intervals_hold_the_figures_and_repeat(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    found = intervals_of(answers, resamples=200)
    assert list(found) == ["top1", "top5", "macro", "ece"]
    low, high = found["top1"]
    assert low < answers.is_right.mean() < high
    # The normal approximation for a share of 400 samples.
    width = 2 * 1.96 * np.sqrt(answers.is_right.mean() * (1 - answers.is_right.mean()) / 400)
    assert high - low == pytest.approx(width, rel=0.25)
    assert intervals_of(answers, resamples=200) == found


def test_the_interval_of_top_1_is_that_of_the_mean(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    right = answers.is_right.astype(float)
    assert intervals_of(answers, resamples=50)["top1"] == interval_of_mean(right, resamples=50)


def test_a_single_sample_has_no_interval(draw: Callable[..., Any]) -> None:
    answers, *_ = draw(samples=1)
    assert intervals_of(answers) == {}
    assert interval_of_mean(np.ones(1)) is None


def test_the_mean_lies_in_nineteen_of_twenty_intervals() -> None:
    random = np.random.default_rng(1)
    draws = (random.random(100) < 0.7 for _ in range(200))
    intervals = [interval_of_mean(draw.astype(float), resamples=200) for draw in draws]
    assert 180 <= sum(low <= 0.7 <= high for low, high in filter(None, intervals)) <= 198
