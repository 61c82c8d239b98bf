"""What `evaluate` writes to files: the figures, and the answer for each sample."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evlora.cli.table_files import Kinds, write_table, write_whole

if TYPE_CHECKING:
    from evlora.evaluation import Evaluation, Pair

FIGURES_SUFFIXES = (".json", ".csv", ".parquet")
ANSWERS_SUFFIXES = (".csv", ".jsonl", ".parquet")
FIGURES: Kinds = {
    **{"bundle": str, "split": str, "column": str, "value": str, "samples": int},
    **{"top1": float, "top1_low": float, "top1_high": float},
    **{"top5": float, "macro": float, "ece": float},
}
"""Columns of the table of figures. A row without `column` is of the whole split; others are of a
slice, or of a class under the column `label`."""
ANSWERS: Kinds = {
    **{"bundle": str, "sample": str, "label": str, "predicted": str, "probability": float},
    **{"is_right": bool, "nll": float},
}


def as_json(results: Mapping[str, "Evaluation"], pairs: Mapping[str, "Pair"]) -> str:
    """The figures of one bundle, or those of several with their pairs, as one JSON object."""
    if len(results) == 1:
        (result,) = results.values()
        return json.dumps(result.as_dict())
    return json.dumps(
        {
            "bundles": {name: result.as_dict() for name, result in results.items()},
            "pairs": {name: pair.as_dict() for name, pair in pairs.items()},
        }
    )


def write_figures(
    out: Path, results: Mapping[str, "Evaluation"], pairs: Mapping[str, "Pair"]
) -> None:
    """Write the figures of all bundles: JSON with everything, or a table of rows.

    Args:
        out: The file, whose suffix picks the format.
        results: By bundle.
        pairs: By the bundle that is tested against the first one; in JSON only.
    """

    def write(path: Path) -> None:
        if out.suffix == ".json":
            path.write_text(as_json(results, pairs) + "\n", encoding="utf-8")
            return
        rows = [row for name, result in results.items() for row in _rows(name, result)]
        columns = {column: [row.get(column) for row in rows] for column in FIGURES}
        write_table(columns, path, suffix=out.suffix, kinds=FIGURES)

    write_whole("--out", out, write)


def write_answers(out: Path, results: Mapping[str, "Evaluation"]) -> None:
    """Write a row for each sample and bundle.

    Args:
        out: The file, whose suffix picks the format.
        results: By bundle.
    """
    columns: dict[str, list[Any]] = {column: [] for column in ANSWERS}
    for name, result in results.items():
        found = result.answers
        assert found is not None  # `evaluate` keeps them
        classes = found.classes
        columns["bundle"] += [name] * len(found.names)
        columns["sample"] += found.names
        columns["label"] += [classes[number] for number in found.labels]
        columns["predicted"] += [classes[number] for number in found.ranked[:, 0]]
        columns["probability"] += found.confidence.tolist()
        columns["is_right"] += found.is_right.tolist()
        columns["nll"] += found.surprise.tolist()

    def write(path: Path) -> None:
        if out.suffix == ".jsonl":
            rows = (
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            )
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            write_table(columns, path, suffix=out.suffix, kinds=ANSWERS)

    write_whole("--answers", out, write)


def _rows(name: str, result: "Evaluation") -> list[dict[str, Any]]:
    """The rows of a bundle: the whole split, its slices, its classes."""
    begin = {"bundle": name, "split": result.split}
    low, high = result.intervals.get("top1", (None, None))
    whole = {key: getattr(result, key) for key in ("samples", "top1", "top5", "macro", "ece")}
    rows = [{**begin, **whole, "top1_low": low, "top1_high": high}]
    for column, slices in result.slices.items():
        for value, part in slices.items():
            low, high = part.top1_interval or (None, None)
            figures = {key: getattr(part, key) for key in whole}
            rows.append(
                {**begin, "column": column, "value": value, **figures}
                | {"top1_low": low, "top1_high": high}
            )
    totals = [0] * len(result.per_class)
    if result.answers is not None:
        for number in result.answers.labels.tolist():
            totals[number] += 1
    rows += [
        {**begin, "column": "label", "value": label, "samples": count, "top1": share}
        for (label, share), count in zip(result.per_class.items(), totals, strict=True)
    ]
    return rows
