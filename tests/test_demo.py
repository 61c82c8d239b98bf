"""The demo: every row trained, a page with the results, and nothing done twice."""

from pathlib import Path

import pytest

from evlora.demo import ROWS, run_demo


@pytest.mark.slow
def test_the_demo_trains_every_row_and_goes_on_where_it_was(tmp_path: Path) -> None:
    said: list[str] = []
    report = run_demo(tmp_path / "demo", report=said.append, epochs=1, clips=60)

    page = report.read_text(encoding="utf-8")
    table = "\n".join(said)
    for name in ROWS:
        assert f"<td>{name.replace('_', ' ')}</td>" in page
        assert f"\n{name.replace('_', ' ')} " in table
    for picture in ("clips.png", "confusion.png"):
        assert (tmp_path / "demo" / picture).stat().st_size > 10_000
        assert f'src="{picture}"' in page
    assert "true label" in said[-1]

    said.clear()
    assert run_demo(tmp_path / "demo", report=said.append, epochs=1, clips=60) == report
    assert sum("holds a finished run" in line for line in said) == len(ROWS)
    assert report.read_text(encoding="utf-8") == page
