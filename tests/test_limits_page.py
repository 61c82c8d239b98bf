"""docs/limits.md lists every limit with its default, and names tests that exist."""

import re
from dataclasses import asdict
from pathlib import Path

from evlora.limits import Limits

BORDERS = ["Recording", "Index", "Recipe", "Bundle", "Checkpoint", "Bucket", "HTTP"]
KINDS = [
    *("size", "depth", "special file", "path", "text", "dtype", "non-finite", "foreign error"),
]


def test_every_limit_stands_there_with_its_default(project_root: Path):
    page = (project_root / "docs" / "limits.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE))

    assert listed == {name: f"{value:,}" for name, value in asdict(Limits()).items()}


def test_every_test_that_is_named_exists(project_root: Path):
    page = (project_root / "docs" / "limits.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)

    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (project_root / file).read_text(), f"{file}::{test}"


def test_every_border_has_a_test_or_a_reason_for_each_kind(project_root: Path):
    page = (project_root / "docs" / "limits.md").read_text()
    tables = page.split("## Which test holds what")[1].split("\n### ")[1:]

    borders = [table.split("\n")[0] for table in tables]
    assert [border.split()[0].strip(",") for border in borders] == BORDERS
    for table in tables:
        cells = dict(re.findall(r"^\| ([\w -]+) \| (.+) \|$", table, re.MULTILINE))
        del cells["what may be wrong"]
        assert list(cells) == KINDS
        assert all(len(cell) > 10 for cell in cells.values())
