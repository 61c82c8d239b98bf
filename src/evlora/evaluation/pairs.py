"""Whether one recognizer is better than another one on the same samples."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from evlora.errors import DatasetError
from evlora.evaluation.answers import Answers
from evlora.evaluation.figures import Interval
from evlora.evaluation.uncertainty import RESAMPLES, interval_of_mean


@dataclass(frozen=True, slots=True)
class Pair:
    """Two recognizers, sample by sample."""

    samples: int
    only_first: int
    """Samples that only the first one recognizes."""
    only_second: int
    """Samples that only the second one recognizes."""
    difference: float
    """Top-1 of the first minus that of the second, a share of 1."""
    interval: Interval | None
    """95 % bootstrap interval of the difference, over samples."""
    p_value: float
    """Exact McNemar test (1947): how probable a split of the samples on which they differ is that
    is at least as uneven, if both were equally good."""

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values."""
        return asdict(self)


def pair_of(first: Answers, second: Answers, *, resamples: int = RESAMPLES) -> Pair:
    """The test of two recognizers on the same samples.

    Args:
        first: Answers of the one, such as `Evaluation.answers`.
        second: Answers of the other.
        resamples: For the interval; see `intervals_of`.

    Raises:
        DatasetError: They are answers for other samples.
    """
    if first.names != second.names or first.classes != second.classes:
        raise DatasetError(
            f"expected answers for the same samples and labels, got {len(first.names)} and "
            f"{len(second.names)} samples that differ; evaluate both on one split of one dataset"
        )
    difference = first.is_right.astype(float) - second.is_right
    only_first, only_second = int((difference > 0).sum()), int((difference < 0).sum())
    differing = only_first + only_second
    return Pair(
        samples=len(first.names),
        only_first=only_first,
        only_second=only_second,
        difference=float(np.mean(difference)),
        interval=interval_of_mean(difference, resamples=resamples),
        p_value=float(binomtest(only_first, differing).pvalue) if differing else 1.0,
    )
