"""Two recognizers on the same samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evlora.errors import DatasetError
from evlora.evaluation import pair_of


def test_the_better_one_of_a_pair_is_found(draw: Callable[..., Any]) -> None:
    weak, *_ = draw(skill=1.0)
    strong, *_ = draw(skill=2.5)
    pair = pair_of(strong, weak, resamples=200)
    assert pair.difference == pytest.approx(strong.is_right.mean() - weak.is_right.mean())
    assert pair.only_first - pair.only_second == round(400 * pair.difference)
    assert pair.p_value < 1e-6
    assert pair.interval is not None
    low, high = pair.interval
    assert 0 < low < pair.difference < high
    turned = pair_of(weak, strong, resamples=200)
    assert turned.difference == -pair.difference
    assert turned.p_value == pytest.approx(pair.p_value)


def test_a_recognizer_does_not_differ_from_itself(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    pair = pair_of(answers, answers, resamples=20)
    assert (pair.only_first, pair.only_second, pair.p_value) == (0, 0, 1.0)
    assert pair.interval == (0, 0)


def test_the_test_of_a_pair_is_exact(draw: Callable[..., Any]) -> None:
    one, *_ = draw(samples=20)
    right = replace(one, ranked=one.labels[:, None])
    wrong = right.ranked.copy()
    wrong[:6] = (wrong[:6] + 1) % 7
    # Six coins that all fall on one side, or all on the other: 2 / 2⁶.
    assert pair_of(right, replace(one, ranked=wrong)).p_value == pytest.approx(2 / 64)


def test_answers_for_other_samples_are_refused(draw: Callable[..., Any]) -> None:
    answers, *_ = draw()
    with pytest.raises(DatasetError, match="expected answers for the same samples"):
        pair_of(answers, answers.part(answers.labels > 0))
