"""What a comparison found, as a table, as numbers, and as a picture.

comparison.csv         a line per run: accuracy, parameters, memory, time
comparison.md          a table: mean and spread over the seeds
comparison.png         accuracy over time, the area of a circle is what was trained

Where a key was varied as well, the table begins with accuracies by row and value, and the picture
shows them over the values.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evlora.comparison_over import Over
from evlora.datasets.protocol import Protocol, measured_on
from evlora.escaping import cell
from evlora.escaping import markdown as as_markdown
from evlora.figures import Bubble, draw_bubbles, draw_lines
from evlora.files import writing_file
from evlora.training.cost import mean_and_spread


@dataclass(frozen=True, slots=True)
class Cost:
    """What a row costs, measured on this machine with a batch of noise."""

    trained: int
    """Parameters that are optimised and saved, the head among them."""
    trained_percent: float
    """Their share of all parameters."""
    saved_mb: float
    weights_mb: float
    gradients_and_optimizer_mb: float
    activations_mb: float
    step_ms: float
    inference: float
    """Time for one clip over that of the same network without adapters."""
    inference_merged: float | None
    """The same after folding the adapters in; None where they cannot be folded."""


@dataclass(frozen=True, slots=True)
class Row:
    """A method, or a named variant of one, over all seeds."""

    method: str
    """The name that was asked for."""
    setting: str
    """`key=value` where a key is varied and the row does not set it itself; else empty."""
    top1: dict[int, float]
    """Accuracy on the split by seed, shares of 1."""
    failures: dict[int, str]
    """What went wrong, by seed."""
    cost: Cost | None
    """None where the network could not be built or run."""

    @property
    def name(self) -> str:
        """Method and setting."""
        return f"{self.method}, {self.setting}" if self.setting else self.method

    @property
    def accuracy(self) -> str:
        """Mean ± standard deviation in per cent, or why there is none; no deviation of one run."""
        if not self.top1:
            return "failed"
        mean, spread = mean_and_spread(list(self.top1.values()))
        return f"{100 * mean:.1f}" + (f" ± {100 * spread:.1f}" if len(self.top1) > 1 else "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows in the order in which they were asked for, those of earlier calls first."""

    folder: Path
    heading: str
    """What was compared on what, in one line of Markdown."""
    rows: list[Row]
    over: Over | None = None
    """The key that was varied, if any."""
    asked: tuple[tuple[str, str], ...] = ()
    """Method and setting of each row that this call asked for."""
    split: str = "test"
    """What accuracy was measured on."""
    protocols: Mapping[tuple[str, str], Protocol] = field(default_factory=dict[Any, Protocol])
    """Method and setting of each row that was asked for → what its accuracy is of."""

    @property
    def measured_on(self) -> list[str]:
        """What accuracies are of: a line for all rows, or for those that have it in common."""
        return measured_on((method, protocol) for (method, _), protocol in self.protocols.items())

    @property
    def methods(self) -> list[str]:
        """The names that this call asked for, each once."""
        return list(dict.fromkeys(method for method, _ in self.asked))

    def at(self, method: str, setting: str) -> Row:
        """The row of a method at a setting; one that sets the key itself stands for all of them."""
        key = (method, setting if (method, setting) in self.asked else "")
        return next(row for row in self.rows if (row.method, row.setting) == key)


def stem(split: str) -> str:
    """How the files of a comparison begin: those of a split but test bear its name."""
    return "comparison" if split == "test" else f"comparison_{split}"


def write(result: Comparison) -> None:
    """Put the table, its numbers and its picture into the folder of the comparison."""
    name_of = stem(result.split)
    contents = {f"{name_of}.csv": _csv(result), f"{name_of}.md": markdown(result)}
    for name, text in contents.items():
        with writing_file(result.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    picture = result.folder / f"{name_of}.png"
    if result.over:
        draw_lines(accuracies_over(result, result.over), picture, key=result.over.key)
        return
    bubbles = [
        Bubble(
            row.name,
            row.cost.step_ms,
            mean_and_spread(list(row.top1.values()))[0],
            row.cost.trained,
        )
        for row in result.rows
        if row.top1 and row.cost
    ]
    if bubbles:
        draw_bubbles(bubbles, picture)


def accuracies_over(result: Comparison, over: Over) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and spread of the accuracy, by method and value, where there are any."""
    return {
        method: {
            value: mean_and_spread(list(row.top1.values()))
            for value, setting in zip(over.values, over.settings, strict=True)
            if (row := result.at(method, setting)).top1
        }
        for method in result.methods
    }


def _csv(result: Comparison) -> str:
    has_settings = any(row.setting for row in result.rows)
    lines = [
        {
            "method": row.method,
            **({"setting": row.setting} if has_settings else {}),
            "seed": seed,
            "top1": row.top1.get(seed, ""),
            "failure": row.failures.get(seed, ""),
            **({} if row.cost is None else asdict(row.cost)),
        }
        for row in result.rows
        for seed in sorted({*row.top1, *row.failures})
    ]
    text = io.StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


COLUMNS = (
    "method",
    "accuracy, %",
    "trained",
    "of all, %",
    "saved, MB",
    "weights, MB",
    "gradients + optimizer, MB",
    "activations, MB",
    "step, ms",
    "inference, ×",
    "merged, ×",
)


def columns(result: Comparison) -> tuple[str, ...]:
    """What the table shows of each row: accuracy alone where no cost was measured."""
    return COLUMNS if any(row.cost for row in result.rows) else COLUMNS[:2]


def cells(row: Row) -> list[str]:
    """A row as texts, in the order of `COLUMNS`."""
    cost = row.cost
    if cost is None:
        return [row.name, row.accuracy, *["–"] * (len(COLUMNS) - 2)]
    folded = "–" if cost.inference_merged is None else f"{cost.inference_merged:.2f}"
    return [
        row.name,
        row.accuracy,
        f"{cost.trained:,}",
        f"{cost.trained_percent:.2f}",
        f"{cost.saved_mb:.2f}",
        f"{cost.weights_mb:.1f}",
        f"{cost.gradients_and_optimizer_mb:.1f}",
        f"{cost.activations_mb:.1f}",
        f"{cost.step_ms:.0f}",
        f"{cost.inference:.2f}",
        folded,
    ]


def markdown(result: Comparison) -> str:
    """The table of a comparison, and its failures below."""
    shown = columns(result)
    lines = [result.heading, "", *_paragraphs(result.measured_on)]
    if result.over is not None:
        lines += [*_accuracies(result, result.over), ""]
    if result.over is None or len(shown) > 2 or len(result.rows) > len(result.asked):
        lines += [
            "| " + " | ".join(shown) + " |",
            "|---|" + "---:|" * (len(shown) - 1),
            *(
                "| " + " | ".join(map(as_markdown, cells(row)[: len(shown)])) + " |"
                for row in result.rows
            ),
        ]
    failures = [
        f"- {as_markdown(row.name)}, seed {seed}: {as_markdown(text.splitlines()[0])}"
        for row in result.rows
        for seed, text in row.failures.items()
    ]
    if failures:
        lines += ["", "Failed:", "", *failures]
    return "\n".join(lines) + "\n"


def _paragraphs(lines: Sequence[str]) -> list[str]:
    """Lines of Markdown, each set off by an empty one."""
    return [part for line in lines for part in (f"Measured on {as_markdown(line)}", "")]


def _accuracies(result: Comparison, over: Over) -> list[str]:
    """The table of accuracies, a line for each method and a column for each value."""
    return [
        f"| accuracy, %, at {over.key} = | " + " | ".join(map(as_markdown, over.values)) + " |",
        "|---|" + "---:|" * len(over.values),
        *(
            f"| {as_markdown(method)} | "
            + " | ".join(result.at(method, setting).accuracy for setting in over.settings)
            + " |"
            for method in result.methods
        ),
    ]
