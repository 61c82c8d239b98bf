"""The Python of the page on the hub and plain peft."""

from pathlib import Path
from typing import Any

import pytest
from code_blocks import code_blocks, run_python


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_the_python_of_the_page_runs(project_root: Path) -> None:
    page = project_root / "docs" / "hub.md"
    names: dict[str, Any] = {}
    for block in code_blocks(page, "python"):
        run_python(block, page, names)
    assert names["recognizer"].labels == ("left", "right", "up")
