"""Whether a recognizer is right as often as it is sure: the reliability diagram."""

from collections.abc import Sequence
from pathlib import Path

from evlora.evaluation import Bin
from evlora.figures import new_figure, save_figure


def draw_reliability(bins: Sequence[Bin], ece: float, path: Path) -> None:
    """The reliability diagram: accuracy over confidence, with the number of clips below.

    Args:
        bins: Of an evaluation.
        ece: Its calibration error.
        path: The PNG to write.
    """
    lows, width = [one.low for one in bins], 1 / len(bins)
    filled = [(b.confidence, b.accuracy) for b in bins if b.confidence is not None]
    figure = new_figure((5.2, 5.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.bar(lows, [one.accuracy or 0 for one in bins], width, align="edge", edgecolor="white")
    upper.plot((0, 1), (0, 1), "--", color="grey", label="right as often as sure")
    upper.plot(*zip(*filled, strict=True), "o", color="C1")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    upper.set_ylabel("share that is right")
    figure.legend(loc="outside lower center")  # any place inside covers the bars of some
    upper.set_title(f"expected calibration error {ece:.3f}", fontsize=10)
    lower.bar(lows, [one.samples for one in bins], width, align="edge", edgecolor="white")
    lower.set_ylabel("clips")
    lower.set_xlabel("probability of the first label")
    save_figure(figure, path)
