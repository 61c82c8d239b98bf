"""Methods side by side: what is trained, measured and written, and that nothing is done twice."""

import csv
from pathlib import Path
from typing import Any

import pytest

from evlora.comparison import compare
from evlora.comparison_over import Over
from evlora.comparison_table import Comparison, Row
from evlora.errors import RecipeError, RunError
from evlora.escaping import markdown as as_markdown
from evlora.recipe import load_recipe
from evlora.recognizer import build_recognizer
from evlora.training.cost import measure_step

RECIPE = """\
clip: {modalities: [rgb]}
model: {network: single_stream}
comparison:
  lora: {training.learning_rate: 2.0e-3}
  wide_lora: {model.adapter: {method: lora, rank: 8}}
  broken: {data.shots: 1000}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def settings(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    return {**tiny_settings, "training.epochs": 1}


def run(recipe: Path, settings: dict[str, Any], *methods: str, **options: Any) -> Comparison:
    return compare(recipe, methods=methods, overrides=settings, repeats=1, **options)


@pytest.mark.slow
def test_every_method_and_seed_is_trained_measured_and_written(
    recipe: Path, settings: dict[str, Any]
) -> None:
    result = run(recipe, settings, "none", "lora", "wide_lora", seeds=2)

    assert [row.name for row in result.rows] == ["none", "lora", "wide_lora"]
    for row in result.rows:
        assert set(row.top1) == {0, 1}
        assert row.cost is not None
        assert row.cost.step_ms > 0
    none, lora, wide = (row.cost for row in result.rows)
    assert none is not None
    assert lora is not None
    assert wide is not None
    assert none.trained < lora.trained < wide.trained
    assert none.activations_mb < lora.activations_mb
    assert none.gradients_and_optimizer_mb < lora.gradients_and_optimizer_mb
    with (result.folder / "comparison.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["seed"]) for line in lines] == [
        (name, str(seed)) for name in ("none", "lora", "wide_lora") for seed in (0, 1)
    ]
    table = (result.folder / "comparison.md").read_text(encoding="utf-8")
    assert f"| wide_lora | {result.rows[2].accuracy} | {wide.trained:,} |" in table
    assert (result.folder / "comparison.png").stat().st_size > 10_000
    (line,) = result.measured_on  # the rows differ in nothing that it states
    assert ", test, " in line
    assert "split by: " in line
    assert f"Measured on {as_markdown(line)}" in table


@pytest.mark.slow
def test_a_row_is_the_run_that_its_recipe_alone_would_be(
    recipe: Path, settings: dict[str, Any]
) -> None:
    result = run(recipe, settings, "lora", seeds=1)
    kept = load_recipe(result.folder / "runs" / "lora" / "seed-0" / "recipe.yaml")

    assert kept.training.learning_rate == 2e-3
    assert kept.model.adapter.method == "lora"
    assert kept.run.seed == 0


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was(recipe: Path, settings: dict[str, Any]) -> None:
    run(recipe, settings, "none", seeds=1)
    first = settings["run.dir"] + "/runs/none/seed-0/bundle/config.json"
    written = Path(first).stat().st_mtime_ns

    result = run(recipe, settings, "none", "lora", seeds=2)

    assert Path(first).stat().st_mtime_ns == written
    assert [len(row.top1) for row in result.rows] == [2, 2]


@pytest.mark.slow
def test_every_row_is_trained_with_each_value_of_a_key_that_is_varied(
    recipe: Path, settings: dict[str, Any]
) -> None:
    over = Over.parse("training.learning_rate=1e-3,1e-2")
    result = run(recipe, settings, "none", "lora", seeds=1, over=over)

    # `lora` sets the rate itself, so it is trained once and stands in both columns.
    assert [row.name for row in result.rows] == [
        "none, training.learning_rate=1e-3",
        "none, training.learning_rate=1e-2",
        "lora",
    ]
    low, high = (
        load_recipe(result.folder / "runs" / setting / "none" / "seed-0" / "recipe.yaml")
        for setting in over.settings
    )
    assert (low.training.learning_rate, high.training.learning_rate) == (1e-3, 1e-2)
    table = (result.folder / "comparison.md").read_text(encoding="utf-8")
    first, second, lora = (row.accuracy for row in result.rows)
    assert "| accuracy, %, at training.learning_rate = | 1e-3 | 1e-2 |" in table
    assert f"| none | {first} | {second} |" in table
    assert f"| lora | {lora} | {lora} |" in table
    with (result.folder / "comparison.csv").open(newline="") as file:
        assert [line["setting"] for line in csv.DictReader(file)] == [*over.settings, ""]
    assert (result.folder / "comparison.png").stat().st_size > 10_000


@pytest.mark.slow
def test_rows_of_another_recipe_are_refused_before_anything_is_trained(
    recipe: Path, settings: dict[str, Any]
) -> None:
    before = run(recipe, settings, "lora", seeds=1)
    table = (before.folder / "comparison.md").read_text(encoding="utf-8")
    for method in ("lora", "none"):
        with pytest.raises(RunError, match=r"training\.epochs was 1, is 2; .* another run\.dir"):
            run(recipe, {**settings, "training.epochs": 2}, method, seeds=1)
    assert (before.folder / "comparison.md").read_text(encoding="utf-8") == table
    assert not (before.folder / "runs" / "none").exists()


@pytest.mark.slow
def test_rows_seeds_and_costs_of_earlier_calls_stay_in_the_table(
    recipe: Path, settings: dict[str, Any]
) -> None:
    (none,) = run(recipe, settings, "none", seeds=2).rows
    over = Over.parse("training.batch_size=8,16")
    result = compare(recipe, methods=["none"], overrides=settings, seeds=1, over=over, repeats=0)

    names = ["none", "none, training.batch_size=8", "none, training.batch_size=16"]
    assert [row.name for row in result.rows] == names
    assert result.rows[0] == none
    table = (result.folder / "comparison.md").read_text(encoding="utf-8")
    assert none.cost is not None
    assert f"| none | {none.accuracy} | {none.cost.trained:,} |" in table
    again = compare(recipe, methods=["none"], overrides=settings, seeds=1, repeats=0)
    assert again.rows == result.rows
    with (result.folder / "comparison.csv").open(newline="") as file:
        assert [line["setting"] for line in csv.DictReader(file)] == ["", "", *over.settings]


@pytest.mark.slow
def test_a_damaged_record_is_refused_and_can_be_made_again(
    recipe: Path, settings: dict[str, Any]
) -> None:
    before = run(recipe, settings, "none", seeds=1)
    record = before.folder / "comparison.json"
    for text in ("{", "[]", '{"recipe": {}, "rows": [1]}'):
        record.write_text(text, encoding="utf-8")
        with pytest.raises(RunError, match=r"comparison\.json: is damaged: .*; remove it"):
            run(recipe, settings, "none", seeds=1)
    record.unlink()
    assert run(recipe, settings, "none", seeds=1).rows == before.rows

    # Another split is evaluated anew, and has files of its own.
    run(recipe, settings, "none", seeds=1, split="val")
    for name, split in (("comparison", "test"), ("comparison_val", "val")):
        table = (before.folder / f"{name}.md").read_text(encoding="utf-8")
        assert f"accuracy on the {split} split" in table


def test_one_run_has_no_spread() -> None:
    assert Row("lora", "", {0: 0.5}, {}, None).accuracy == "50.0"
    assert Row("lora", "", {0: 0.5, 1: 0.5}, {}, None).accuracy == "50.0 ± 0.0"


@pytest.mark.slow
def test_without_costs_the_table_is_of_accuracies_alone(
    recipe: Path, settings: dict[str, Any]
) -> None:
    result = compare(recipe, methods=["none", "lora"], seeds=1, overrides=settings, repeats=0)
    lines = (result.folder / "comparison.md").read_text(encoding="utf-8").splitlines()
    none, lora = (row.accuracy for row in result.rows)
    (measured_on,) = result.measured_on
    assert lines[2:] == [
        f"Measured on {measured_on}",
        "",
        "| method | accuracy, % |",
        "|---|---:|",
        f"| none | {none} |",
        f"| lora | {lora} |",
    ]
    assert "trained" not in (result.folder / "comparison.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["clip.exposure", "=1,2", "clip.exposure=", "clip.exposure=1,,2"])
def test_what_is_no_key_with_values_cannot_be_varied(text: str) -> None:
    with pytest.raises(RecipeError, match="expected a key and its values"):
        Over.parse(text)


@pytest.mark.slow
def test_a_failure_is_reported_and_stops_nothing_else(
    recipe: Path, settings: dict[str, Any]
) -> None:
    lines: list[str] = []
    result = run(recipe, settings, "broken", "none", seeds=1, report=lines.append)

    broken, none = result.rows
    assert "set data.shots to no more than that" in broken.failures[0]
    assert broken.accuracy == "failed"
    assert set(none.top1) == {0}
    assert any("set data.shots to no more than that" in line for line in lines)
    table = (result.folder / "comparison.md").read_text(encoding="utf-8")
    assert "- broken, seed 0: DatasetError" in table


def test_an_unknown_row_is_refused_before_anything_is_trained(
    recipe: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match=r"got 'lara'; did you mean lora\?"):
        run(recipe, settings, "none", "lara")
    assert not Path(settings["run.dir"]).exists()


def test_a_row_that_is_named_like_a_method_must_train_it(
    recipe: Path, settings: dict[str, Any]
) -> None:
    recipe.write_text(RECIPE + "  vpt: {training.epochs: 1}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"comparison\.vpt: .* got lora, the recipe's own; add"):
        run(recipe, settings, "vpt")
    assert not Path(settings["run.dir"]).exists()


def test_memory_is_that_of_the_tensors(recipe: Path, settings: dict[str, Any]) -> None:
    whole = load_recipe(recipe, settings)
    recognizer = build_recognizer(whole.recognizer(), ("a", "b"))
    trained = sum(p.numel() for p in recognizer.trained_tensors().values())

    cost = measure_step(recognizer, whole.training, repeats=1)

    # AdamW keeps two numbers for each gradient, and a step count for each tensor.
    counts = 4 * len(recognizer.trained_tensors())
    assert cost.gradients_and_optimizer_mb == pytest.approx((3 * 4 * trained + counts) / 1e6)
    tensors = [*recognizer.parameters(), *recognizer.buffers()]
    assert cost.weights_mb == pytest.approx(
        sum(t.numel() * t.element_size() for t in tensors) / 1e6
    )
