"""How far figures would move with other samples: bootstrap intervals (Efron, 1979)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from evlora.evaluation.answers import Answers
from evlora.evaluation.figures import BINS, Interval, bin_numbers

RESAMPLES = 1000
SEED = 0
"""Of the resamples, so that an evaluation gives the same intervals again."""
AT_ONCE = 20
"""Resamples in memory together."""
CONFIDENCE = 0.95


def intervals_of(answers: Answers, *, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """95 % percentile intervals of top1, top5, macro and ece.

    Args:
        answers: Of N samples.
        resamples: Sets of N samples that are drawn from them with replacement; 0 for no intervals.

    Returns:
        None are given of a single sample.
    """
    count, classes = len(answers.names), len(answers.classes)
    if count < 2 or not resamples:
        return {}
    right = answers.is_right.astype(float)
    first = answers.is_among_first.astype(float)
    bins = bin_numbers(answers.confidence)
    gaps = answers.confidence - right

    def figures(drawn: NDArray[np.int64]) -> tuple[float, float, float, float]:
        labels = answers.labels[drawn]
        totals = np.bincount(labels, minlength=classes)
        of_class = np.bincount(labels, weights=right[drawn], minlength=classes)
        present = totals > 0
        gap = np.bincount(bins[drawn], weights=gaps[drawn], minlength=BINS)
        return (
            right[drawn].mean(),
            first[drawn].mean(),
            (of_class[present] / totals[present]).mean(),
            np.abs(gap).sum() / count,
        )

    def statistic(drawn: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        rows = drawn.reshape(-1, drawn.shape[axis])
        found = np.array([figures(row) for row in rows])
        return found.T.reshape(4, *drawn.shape[:-1])

    low, high = _interval(np.arange(count), statistic, resamples)
    names = ("top1", "top5", "macro", "ece")
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}


def interval_of_mean(values: NDArray[np.float64], *, resamples: int = RESAMPLES) -> Interval | None:
    """The 95 % percentile interval of a mean; None of a single value.

    Args:
        values: Of the samples, shape (N,).
        resamples: See `intervals_of`.
    """
    if len(values) < 2 or not resamples:
        return None
    low, high = _interval(values, np.mean, resamples)
    return float(low), float(high)


def _interval(values: NDArray[Any], statistic: Callable[..., Any], resamples: int) -> Any:
    found = bootstrap(
        (values,),
        statistic,
        n_resamples=resamples,
        batch=AT_ONCE,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return found.confidence_interval
