"""The demo: every row trained, a page with the results, and nothing trained twice."""

from pathlib import Path

import pytest

from evlora import demo
from evlora.demo import MORE_ROWS, RECIPE, ROWS, run_demo
from evlora.recipe import build, load_recipe


def test_each_row_stands_in_the_recipe() -> None:
    assert {*ROWS, *MORE_ROWS} <= set(load_recipe(RECIPE).comparison)


def test_the_demo_differs_from_the_measured_recipe_in_what_makes_it_short_alone() -> None:
    quick, measured = (load_recipe(name).model_dump() for name in (RECIPE, "demo"))
    for recipe in (quick, measured):
        for key in ("epochs", "warmup_epochs", "fast"):
            del recipe["training"][key]
        for key in ("sites", "target_modules"):  # less of the stem
            del recipe["model"]["adapter"][key]
    assert quick == measured


def test_the_demo_adapts_the_last_quarter_of_the_stem() -> None:
    network = build(RECIPE, num_classes=20).network
    adapted = {
        name.split("patch_embed.")[1]
        for name, _ in network.named_parameters()
        if "lora_A" in name and "patch_embed" in name
    }
    assert {name.removesuffix(".lora_A.default.weight") for name in adapted} == {
        "proj.11",
        "proj.14.first",
        "proj.14.second",
        "proj.15",
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_trains_its_rows_and_resumes_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer rows: what each of them builds is tested where recipes are.
    rows = {name: ROWS[name] for name in ("velora_events", "velora")}
    more_rows = {"linear_probe": MORE_ROWS["linear_probe"]}
    monkeypatch.setattr(demo, "ROWS", rows)
    monkeypatch.setattr(demo, "MORE_ROWS", more_rows)

    def run(*, all_rows: bool) -> tuple[Path, list[str]]:
        lines: list[str] = []
        options = {"epochs": 1, "clips": 24, "test_clips": 20, "all_rows": all_rows}
        return run_demo(tmp_path / "demo", report=lines.append, **options), lines

    path, lines = run(all_rows=False)
    require_results(path, lines, rows)
    assert finished(lines) == 0
    of_best = part_on_the_best_row(path)
    path, lines = run(all_rows=True)
    require_results(path, lines, {**rows, **more_rows})
    assert finished(lines) == len(rows)  # only the others are trained
    assert part_on_the_best_row(path) == of_best


def part_on_the_best_row(path: Path) -> str:
    """What follows the table of rows, and does not depend on how many there are."""
    return path.read_text(encoding="utf-8").partition("<h2>Clips</h2>")[2]


def finished(lines: list[str]) -> int:
    return sum("holds a finished run" in line for line in lines)


def require_results(path: Path, lines: list[str], rows: dict[str, str]) -> None:
    page = path.read_text(encoding="utf-8")
    table = "\n".join(lines)
    for name in rows.values():
        assert f"<div>{name}</div></td>" in page
        assert f"\n{name} " in table
    for part in ("Rows", "Clips", "Confusion", "Relevance", "Training", "Cost"):
        assert f"<h2>{part}</h2>" in page
    assert "true label" in lines[-1]
