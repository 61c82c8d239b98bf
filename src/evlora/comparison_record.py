"""What a comparison remembers in its folder, so that a later call adds to it.

comparison.json        the recipe that all rows share, the split, and the rows with their costs
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evlora.comparison_table import Cost, Row, stem
from evlora.errors import RunError
from evlora.files import writing_file
from evlora.messages import listed
from evlora.recipe import Recipe
from evlora.training.folder import changes_between


def earlier_rows(folder: Path, base: Recipe, split: str) -> list[Row]:
    """The rows that earlier calls left in the folder; none where there were none.

    Args:
        folder: The comparison's.
        base: The recipe that all rows share.
        split: What accuracy is measured on.

    Raises:
        RunError: Those rows are of another recipe, or the file is damaged.
    """
    path = _path(folder, split)
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        before, rows = content["recipe"], [_row(fields) for fields in content["rows"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: is damaged: {error}; remove it (the runs beside it are kept, and read again)"
        ) from error
    changed = changes_between(before, base)
    if changed:
        raise RunError(
            f"{folder}: its rows were trained with another recipe; {listed(changed)}; compare "
            "without these changes, or in another run.dir"
        )
    return rows


def joined(earlier: Sequence[Row], now: Sequence[Row]) -> list[Row]:
    """All rows, in the order in which they came; what was found now stands over what was."""
    rows = {(row.method, row.setting): row for row in earlier}
    for row in now:
        key = row.method, row.setting
        before = rows.get(key, row)
        known = {seed: top1 for seed, top1 in before.top1.items() if seed not in row.failures}
        failures = {seed: text for seed, text in before.failures.items() if seed not in row.top1}
        rows[key] = replace(
            row,
            top1=dict(sorted({**known, **row.top1}.items())),
            failures=dict(sorted({**failures, **row.failures}.items())),
        )
    return list(rows.values())


def write_record(folder: Path, base: Recipe, split: str, rows: Sequence[Row]) -> None:
    """Write the rows, and the recipe that they share."""
    content = {"recipe": base.model_dump(mode="json"), "rows": [asdict(row) for row in rows]}
    with writing_file(_path(folder, split)) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _path(folder: Path, split: str) -> Path:
    return folder / f"{stem(split)}.json"


def _row(fields: dict[str, Any]) -> Row:
    cost = fields["cost"]
    return Row(
        str(fields["method"]),
        str(fields["setting"]),
        {int(seed): float(top1) for seed, top1 in fields["top1"].items()},
        {int(seed): str(text) for seed, text in fields["failures"].items()},
        None if cost is None else Cost(**cost),
    )
