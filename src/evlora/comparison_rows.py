"""The rows of a comparison: which keys of the recipe each of them is trained with.

A key that a user gives holds for every row, also where the row sets it itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evlora.comparison_over import Over
from evlora.errors import RecipeError
from evlora.messages import suggestion
from evlora.models.adapters.names import method_names
from evlora.recipe import Recipe, as_mapping, recipe_of

ADAPTER = "model.adapter"
ALL = "all"
"""What stands for all methods of the catalogue."""
OF_METHOD = (ADAPTER, f"{ADAPTER}.method")
"""The keys that name a method."""
WITHOUT_ADAPTER = ("none", "full")
"""The methods that add nothing to the network."""


def require_rows(methods: Sequence[str], comparison: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each name is one of a row or a method, which takes no peft.

    Raises:
        RecipeError: One is not.
    """
    for name in _each(methods, comparison):
        _keys_of(name, comparison)


def recipes_of(
    recipe: str | Path | Recipe,
    base: Recipe,
    methods: Sequence[str],
    *,
    changes: Mapping[str, Any],
    over: Over | None,
    report: Callable[[str], None],
) -> dict[tuple[str, str], Recipe]:
    """The recipe of each row and setting.

    Args:
        recipe: A recipe, its file, or a recipe's name.
        base: The same with `changes`.
        methods: Names of rows or methods.
        changes: The keys that are changed for all rows.
        over: The key that is varied.
        report: Takes a line where a key has no effect on a row, or changes what the row sets.

    Raises:
        RecipeError: A name is unknown, or a key cannot hold for a row.
    """
    recipes: dict[tuple[str, str], Recipe] = {}
    for name in dict.fromkeys(_each(methods, base.comparison)):
        row = _keys_of(name, base.comparison)
        settings, notes = _settings_of(name, row, changes, over)
        for note in notes:
            report(f"{name}: {note}")
        for setting in settings:
            varied = as_mapping([setting] if setting else ())
            recipes[name, setting] = recipe_of(recipe, _keys_with(row, changes, varied))
            _require_its_method(name, recipes[name, setting])
    return recipes


def _each(methods: Sequence[str], comparison: Mapping[str, Any]) -> Iterator[str]:
    """The names, with those of all methods in place of `all`, unless a row is called so."""
    for name in methods:
        if name == ALL and ALL not in comparison:
            yield from method_names()
        else:
            yield name


def _keys_of(name: str, comparison: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The keys that make a recipe the row of this name: the recipe's own row, or a bare method."""
    if name in comparison:
        return dict(comparison[name])
    if name in method_names():
        return {ADAPTER: {"method": name}}
    known = [*comparison, *method_names(), ALL]
    raise RecipeError(
        f"--methods: expected a method or a row of the recipe's `comparison`, got {name!r}; "
        f"{suggestion(name, known, listing='evlora compare --list')}"
    )


def _settings_of(
    name: str, row: Mapping[str, Any], changes: Mapping[str, Any], over: Over | None
) -> tuple[list[str], list[str]]:
    """The settings `key=value` that a row is trained with, and notes on keys for who watches.

    An empty setting stands where the row is trained once.
    """
    varied = [] if over is None else [over.key]
    for key in [*changes, *varied]:
        if key in OF_METHOD and (name in method_names() or any(one in OF_METHOD for one in row)):
            raise RecipeError(
                f"{key}: expected no method beside the row {name}, which has its own; name "
                "the methods with --methods"
            )
    notes = [
        f"{key}={changes[key]} as given, in place of the row's own {row[key]}"
        for key in changes
        if key in row and changes[key] != row[key]
    ]
    notes += [
        f"trained without {key}, which a row that adds no adapter does not have"
        for key in [*changes, *varied]
        if _is_idle(row, key)
    ]
    if over is None:
        return [""], notes
    if over.key in row or _is_idle(row, over.key):
        if over.key in row:
            notes.append(f"trained once, since the row sets {over.key} itself")
        return [""], notes
    return over.settings, notes


def _keys_with(
    row: Mapping[str, Any], changes: Mapping[str, Any], setting: Mapping[str, Any]
) -> dict[str, Any]:
    """A row's keys with those that a user gives set over them, in this order."""
    given = {key: value for key, value in {**changes, **setting}.items() if not _is_idle(row, key)}
    return {key: value for key, value in row.items() if key not in given} | given


def _is_idle(row: Mapping[str, Any], key: str) -> bool:
    """Whether a key is about the adapter of a row that adds none."""
    adapter = row.get(ADAPTER)
    method = adapter.get("method") if isinstance(adapter, Mapping) else adapter
    return method in WITHOUT_ADAPTER and key.startswith(f"{ADAPTER}.") and key not in OF_METHOD


def _require_its_method(name: str, recipe: Recipe) -> None:
    """Check that a row which is named like a method trains that method."""
    method = recipe.model.adapter.method
    if name in method_names() and method != name:
        raise RecipeError(
            f"comparison.{name}: expected a row that is named like a method to train it, got "
            f"{method}, the recipe's own; add model.adapter: {{method: {name}}} to the row, or "
            "give it another name"
        )
