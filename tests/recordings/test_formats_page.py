"""docs/formats.md has a row for every reader and for every writer."""

import re
from pathlib import Path

from evlora.recordings.readers import FORMATS
from evlora.recordings.writers.table import WRITERS


def rows_below(page: str, heading: str) -> set[str]:
    section = page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    firsts = re.findall(r"^\| (`[^|]+)\|", section, re.MULTILINE)
    return {name for first in firsts for name in re.findall(r"`([^`]+)`", first)}


def test_every_format_has_its_row(project_root: Path):
    page = (project_root / "docs" / "formats.md").read_text()
    formats, written = {row.name for row in FORMATS}, {row.name for row in WRITERS}

    assert rows_below(page, "What is read") == formats
    assert rows_below(page, "How each format was checked") == formats
    assert rows_below(page, "What is written") == written
