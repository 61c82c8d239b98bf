"""Whether a recognizer is right as often as it is sure: the reliability diagram."""

from pathlib import Path
from typing import NamedTuple

from evlora.evaluation import CALIBRATION_BINS, Scores
from evlora.figures import new_figure, save_figure


class Bin(NamedTuple):
    """The clips whose most probable label has a probability in one part of 0 to 1."""

    low: float
    high: float
    clips: int
    confidence: float
    """Mean probability of their first label; 0 where there are no clips."""
    accuracy: float
    """Share of clips whose first label is right."""


def reliability(scores: Scores) -> list[Bin]:
    """The clips by their confidence, in the bins of the expected calibration error.

    Args:
        scores: Of a split.
    """
    confidence, answers = scores.log_probabilities.exp().max(dim=1)
    is_right = (answers == scores.labels).float()
    place = (confidence * CALIBRATION_BINS).ceil().clamp(1, CALIBRATION_BINS) - 1
    bins: list[Bin] = []
    for number in range(CALIBRATION_BINS):
        inside = place == number
        count = int(inside.sum())
        bins.append(
            Bin(
                number / CALIBRATION_BINS,
                (number + 1) / CALIBRATION_BINS,
                count,
                float(confidence[inside].mean()) if count else 0.0,
                float(is_right[inside].mean()) if count else 0.0,
            )
        )
    return bins


def draw_reliability(scores: Scores, path: Path) -> None:
    """The reliability diagram: accuracy over confidence, with the number of clips below.

    Args:
        scores: Of a split.
        path: The PNG to write.
    """
    bins = reliability(scores)
    lows, width = [one.low for one in bins], 1 / CALIBRATION_BINS
    figure = new_figure((5.2, 5.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.bar(lows, [one.accuracy for one in bins], width, align="edge", edgecolor="white")
    upper.plot((0, 1), (0, 1), "--", color="grey", label="right as often as sure")
    filled = [one for one in bins if one.clips]
    upper.plot([b.confidence for b in filled], [b.accuracy for b in filled], "o", color="C1")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    upper.set_ylabel("share that is right")
    upper.legend(loc="upper left")
    upper.set_title(f"expected calibration error {scores.figures().ece:.3f}", fontsize=10)
    lower.bar(lows, [one.clips for one in bins], width, align="edge", edgecolor="white")
    lower.set_ylabel("clips")
    lower.set_xlabel("probability of the first label")
    save_figure(figure, path)
