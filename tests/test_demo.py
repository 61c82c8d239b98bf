"""The demo: every row trained, a page with the results, and nothing trained twice."""

from pathlib import Path

import pytest

from evlora.demo import MORE_ROWS, ROWS, run_demo
from evlora.recipe import load_recipe


def test_each_row_stands_in_the_recipe() -> None:
    assert {*ROWS, *MORE_ROWS} <= set(load_recipe("demo").comparison)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("all_rows", [False, True])
def test_the_demo_trains_its_rows_and_resumes_where_it_was(all_rows: bool, tmp_path: Path) -> None:
    lines: list[str] = []
    options = {"epochs": 1, "clips": 60, "test_clips": 40, "all_rows": all_rows}
    path = run_demo(tmp_path / "demo", report=lines.append, **options)

    names = [*ROWS.values(), *(MORE_ROWS.values() if all_rows else ())]
    page = path.read_text(encoding="utf-8")
    table = "\n".join(lines)
    for name in names:
        assert f"<td>{name}</td>" in page
        assert f"\n{name} " in table
    for part in ("Rows", "Clips", "Confusion", "Relevance", "Training", "Cost"):
        assert f"<h2>{part}</h2>" in page
    assert "true label" in lines[-1]

    lines.clear()
    assert run_demo(tmp_path / "demo", report=lines.append, **options) == path
    assert sum("holds a finished run" in line for line in lines) == len(names)
    assert path.read_text(encoding="utf-8") == page
