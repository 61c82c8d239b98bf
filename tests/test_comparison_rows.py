"""The rows of a comparison: a key that a user gives holds for each of them, or is refused."""

from pathlib import Path
from typing import Any

import pytest

from evlora.comparison_over import Over
from evlora.comparison_rows import recipes_of
from evlora.errors import RecipeError
from evlora.models.adapters import METHODS
from evlora.recipe import Recipe, load_recipe

RECIPE = """\
model: {network: single_stream}
comparison:
  lora: {training.learning_rate: 2.0e-3}
  wide_lora: {model.adapter: {method: lora, rank: 8}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def rows(
    recipe: Path, *methods: str, over: str | None = None, **changes: Any
) -> tuple[dict[tuple[str, str], Recipe], list[str]]:
    lines: list[str] = []
    given = {key.replace("__", "."): value for key, value in changes.items()}
    varied = None if over is None else Over.parse(over)
    base = load_recipe(recipe, given)
    return recipes_of(recipe, base, methods, changes=given, over=varied, report=lines.append), lines


def test_a_key_that_is_given_holds_for_every_row(recipe: Path) -> None:
    found, lines = rows(
        recipe, "lora", "wide_lora", "dora", "lv_adapter", "full",
        model__adapter__rank=3, training__learning_rate=5e-3,
    )  # fmt: skip
    assert [one.model.adapter.rank for one in found.values()] == [3, 3, 3, 3, None]
    assert [one.model.adapter.method for one in found.values()] == [
        "lora", "lora", "dora", "lv_adapter", "full",
    ]  # fmt: skip
    assert {one.training.learning_rate for one in found.values()} == {5e-3}
    assert lines == [
        "lora: training.learning_rate=0.005 as given, in place of the row's own 0.002",
        "full: trained without model.adapter.rank, which a row that adds no adapter does not have",
    ]


def test_each_value_of_a_key_of_the_adapter_is_another_network(recipe: Path) -> None:
    found, lines = rows(recipe, "dora", "wide_lora", "none", over="model.adapter.rank=2,64")
    assert {key: one.model.adapter.rank for key, one in found.items()} == {
        ("dora", "model.adapter.rank=2"): 2,
        ("dora", "model.adapter.rank=64"): 64,
        ("wide_lora", "model.adapter.rank=2"): 2,
        ("wide_lora", "model.adapter.rank=64"): 64,
        ("none", ""): None,
    }
    assert len(lines) == 1


def test_a_row_that_sets_the_varied_key_itself_is_trained_once_and_named(recipe: Path) -> None:
    found, lines = rows(recipe, "lora", "dora", over="training.learning_rate=1e-3,1e-2")
    assert {key: one.training.learning_rate for key, one in found.items()} == {
        ("lora", ""): 2e-3,
        ("dora", "training.learning_rate=1e-3"): 1e-3,
        ("dora", "training.learning_rate=1e-2"): 1e-2,
    }
    assert lines == ["lora: trained once, since the row sets training.learning_rate itself"]


@pytest.mark.parametrize("row", ["lora", "wide_lora", "dora"])
@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({"model__adapter": "vpt"}, None),
        ({"model__adapter__method": "dora"}, None),
        ({}, "model.adapter=lora,dora"),
    ],
)
def test_a_method_beside_those_that_are_named_is_refused(
    recipe: Path, row: str, changes: dict[str, Any], over: str | None
) -> None:
    with pytest.raises(RecipeError, match=f"beside the row {row}, .* with --methods"):
        rows(recipe, row, over=over, **changes)


def test_a_wrong_key_is_refused(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.epoch: unknown key; did you mean epochs"):
        rows(recipe, "lora", over="training.epoch=1,2")


def test_all_stands_for_every_method() -> None:
    base = load_recipe("nano_photographs")
    rows = recipes_of(
        "nano_photographs", base, ["all", "lora"], changes={}, over=None, report=lambda line: None
    )
    assert [name for name, _ in rows] == list(METHODS)
    assert {recipe.model.adapter.method for recipe in rows.values()} == set(METHODS)


def test_a_row_that_is_called_all_is_that_row() -> None:
    keys = {"comparison": {"all": {"model.adapter.rank": 7}}}
    base = load_recipe("nano_photographs", keys)
    rows = recipes_of(base, base, ["all"], changes={}, over=None, report=lambda line: None)
    assert rows["all", ""].model.adapter.rank == 7
