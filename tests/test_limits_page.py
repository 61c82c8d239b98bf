"""docs/limits.md lists every limit with its default, and names tests that exist."""

import re
from dataclasses import asdict
from pathlib import Path

from evlora.limits import Limits


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
