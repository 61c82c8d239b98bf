"""The Python of the page on export."""

from pathlib import Path
from typing import Any

import pytest
from code_blocks import code_blocks, run_python


@pytest.mark.slow
def test_the_python_of_the_page_runs(project_root: Path) -> None:
    page = project_root / "docs" / "export.md"
    names: dict[str, Any] = {}
    for block in code_blocks(page, "python"):
        run_python(block, page, names)
    assert names["made"].check.largest_difference < 1e-4
    assert len(names["ranked"]) == 3
