"""Rows of a comparison: what each of them changes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from evlora.errors import RecipeError
from evlora.models.adapters import METHODS
from evlora.recipe import Recipe, load_recipe, recipes_folder, shipped_recipes

EXPECTED: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("rows_of_shipped_recipes.yaml").read_text(encoding="utf-8")
)


def written(tmp_path: Path, rows: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(f"comparison:\n{rows}", encoding="utf-8")
    return path


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            keys |= flat(value, f"{prefix}{key}.")
        else:
            keys[f"{prefix}{key}"] = value
    return keys


def values(recipe: Recipe) -> dict[str, Any]:
    return flat(recipe.model_dump(mode="json", exclude={"comparison"}))


@pytest.mark.parametrize(
    ("recipe", "row"), [(recipe, row) for recipe, rows in EXPECTED.items() for row in rows]
)
def test_a_row_of_a_shipped_recipe_changes_what_its_figures_were_measured_with(
    recipe: str, row: str
) -> None:
    base = load_recipe(recipe)
    before, now = values(base), values(load_recipe(recipe, base.comparison[row]))
    assert {key: value for key, value in now.items() if before[key] != value} == EXPECTED[recipe][
        row
    ]


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_row_of_a_shipped_recipe_that_is_named_like_a_method_trains_it(name: str) -> None:
    rows = load_recipe(name).comparison
    for row in rows.keys() & METHODS.keys():
        assert load_recipe(name, rows[row]).model.adapter.method == row


def test_shipped_recipes_need_no_anchors() -> None:
    for path in recipes_folder().rglob("*.yaml"):
        tokens = list(yaml.scan(path.read_text(encoding="utf-8")))
        assert not any(isinstance(t, (yaml.AnchorToken, yaml.AliasToken)) for t in tokens), path


def test_a_row_starts_from_the_row_that_it_is_like(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "  a: {model.adapter: {method: lora, rank: 2}, training.epochs: 3}\n"
        "  b: {like: a, training.epochs: 4}\n"
        "  c: {like: b, model.adapter.rank: 8}\n",
    )
    row = load_recipe(path, load_recipe(path).comparison["c"])
    assert (row.model.adapter.method, row.model.adapter.rank, row.training.epochs) == ("lora", 8, 4)


def test_a_whole_section_replaces_the_single_keys_of_the_other_row(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "  a: {model.adapter: {method: lora}, model.adapter.rank: 2}\n"
        "  b: {like: a, model.adapter: {method: lora, rank: 16}}\n",
    )
    assert load_recipe(path, load_recipe(path).comparison["b"]).model.adapter.rank == 16


def test_a_recipe_that_extends_another_changes_a_row_and_those_that_are_like_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: demo\ncomparison.lora: {training.epochs: 9}\n", encoding="utf-8")
    assert load_recipe(path).comparison["random_lora"] == {
        "training.epochs": 9,
        "backbone.weights": "random",
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "  a: {like: lorra}\n  lora: {}\n",
            r"a: like: no row is called 'lorra'; did you mean lora",
        ),
        ("  a: {like: b}\n  b: {like: a}\n", r"like: expected another row, got a → b → a"),
        ("  a: {like: a}\n", r"a: like: expected another row, got a → a"),
    ],
)
def test_a_row_is_like_another_one(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, rows))
