"""How the figures of an evaluation are printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evlora.cli.answers import Row, write_rows
from evlora.cli.printing import echo, table

if TYPE_CHECKING:
    from evlora.evaluation import Evaluation, Scores

FEW_CLASSES = 5
"""With so few, the right label is always among the first five."""
WHOLE_CONFUSION = 12
"""Classes up to which the whole confusion matrix is printed."""
WORST, LABEL_WIDTH = 5, 14
WRITTEN_LABELS = 5
"""The most probable labels of each clip that a file of scores holds."""


def show_evaluation(result: "Evaluation", labels: Sequence[str]) -> None:
    """Print the figures, the confusion of labels, and the classes that fare worst."""
    rows = [("top-1", f"{result.top1:.1%}")]
    if len(labels) > FEW_CLASSES:
        rows.append(("top-5", f"{result.top5:.1%}"))
    rows += [
        ("mean of the classes", f"{result.macro:.1%}"),
        ("calibration error", f"{result.ece:.3f}"),
    ]
    table(("measure", "value"), rows)
    if len(labels) <= WHOLE_CONFUSION:
        short = [label if len(label) <= LABEL_WIDTH else f"{label[:13]}…" for label in labels]
        lines = [(name, *map(str, row)) for name, row in zip(short, result.confusion, strict=True)]
        echo("\nclips by true label (rows) and predicted label (columns)")
        table(("", *short), lines)
        return
    worst = _worst_classes(result, labels)
    if worst:
        echo("\nclasses with the lowest top-1; --json shows all")
        table(("class", "clips", "top-1", "most often taken for"), worst)


def write_scores(scores: "Scores", out: Path) -> None:
    """Write each sample's true label and most probable ones to a file, as `predict` does.

    Raises:
        RunError: The file cannot be written.
    """
    from evlora.prediction import Prediction

    rows = [
        Row(
            name,
            [Prediction(label, probability) for label, probability in scores.ranked(place)],
            None,
            scores.classes[int(scores.labels[place])],
        )
        for place, name in enumerate(scores.samples)
    ]
    write_rows(rows, out, name="sample", top=WRITTEN_LABELS)
    echo(f"scores of {len(rows)} clips: {out}", err=True)


def _worst_classes(result: "Evaluation", labels: Sequence[str]) -> list[tuple[str, str, str, str]]:
    wrong: list[tuple[float, tuple[str, str, str, str]]] = []
    for number, label in enumerate(labels):
        counts = result.confusion[number]
        share = result.per_class[label]
        if share is None or share == 1:
            continue
        others = [0 if place == number else count for place, count in enumerate(counts)]
        most = max(others)
        taken_for = f"{labels[others.index(most)]} ({most})"
        wrong.append((share, (label, str(sum(counts)), f"{share:.1%}", taken_for)))
    return [row for _, row in sorted(wrong, key=lambda one: one[0])[:WORST]]
