"""From a YAML file and changed keys to a recipe, and from a recipe to an untrained recognizer."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from pydantic import ValidationError

from evlora.errors import AdapterError, RecipeError
from evlora.messages import explain, faulty_keys, listed, suggestion
from evlora.models.adapters.config import AdapterConfig, keys_alone
from evlora.recipe.overrides import NETWORK, as_mapping, network_first, set_key
from evlora.recipe.schema import Recipe
from evlora.recipe.typed_yaml import configs_at, read_file
from evlora.untrusted import plain, read_text
from evlora.untrusted_yaml import fault_in_yaml

if TYPE_CHECKING:
    from evlora.recognizer import Recognizer

EXTENDS = "extends"
"""The key by which a recipe file names another one, whose keys it changes."""
FEWEST_CLASSES = 2


def load_recipe(
    path: str | Path,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    report: Callable[[str], None] | None = None,
) -> Recipe:
    """The recipe in this file with these keys changed.

    Args:
        path: A YAML file, or the name of a recipe that ships with evlora.
        overrides: `key=value` texts, such as `training.epochs=3`, or a mapping of such keys. Of a
            section, such as `{"training": {"epochs": 3}}`, the keys that are not named stay.
        report: Takes a line where `model.network` names another network, which does not have all
            keys that the file sets.

    Returns:
        The recipe, checked as a whole.

    Raises:
        RecipeError: The file is missing or no YAML, or a key or a value is wrong.
    """
    tree = _read(find_recipe(Path(path)))
    return _checked(tree, as_mapping(overrides), name=str(path), report=report)


def recipe_of(
    recipe: str | Path | Recipe,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    report: Callable[[str], None] | None = None,
) -> Recipe:
    """A recipe, or the one of a file or a name, with these keys changed; see `load_recipe`."""
    if not isinstance(recipe, Recipe):
        return load_recipe(recipe, overrides, report=report)
    changes = as_mapping(overrides)
    if not changes:
        return recipe
    return _checked(recipe.model_dump(), changes, name="recipe", report=report)


def _checked(
    tree: dict[str, Any],
    changes: Mapping[str, Any],
    *,
    name: str,
    report: Callable[[str], None] | None,
) -> Recipe:
    """The recipe of a tree of keys with others set over them; faults are found in all of them."""
    before = list(tree["model"]) if isinstance(tree.get("model"), dict) else []
    for key, value in network_first(changes).items():
        set_key(tree, key, value)
    if NETWORK in changes and report is not None:
        removed = [f"model.{key}" for key in before if key not in tree["model"]]
        if removed:
            report(
                f"note: without {listed(removed, at_most=len(removed))}, which the network "
                f"{changes[NETWORK]} does not have"
            )
    try:
        with keys_alone():  # a misspelt key is reported before peft is imported
            Recipe.model_validate(tree)
        return Recipe.model_validate(tree)
    except ValidationError as error:
        faults = explain(error, Recipe)
        is_of_changes = all(
            any(f"{key}.".startswith(f"{change}.") for change in changes)
            for key in faulty_keys(error, Recipe)
        )
        # Keys that were typed need no place; those of the file need its name.
        raise RecipeError(faults if is_of_changes else f"{name}: {faults}") from error
    except AdapterError as error:
        raise AdapterError(_in_its_adapter(tree, error)) from error


def _in_its_adapter(tree: dict[str, Any], error: AdapterError) -> str:
    """The message with the whole key of the adapter that it is about."""
    model = tree.get("model")
    for key, value in cast(dict[str, Any], model).items() if isinstance(model, dict) else ():
        if AdapterConfig not in configs_at(f"model.{key}"):
            continue
        try:
            AdapterConfig.model_validate(value)
        except (AdapterError, ValidationError):
            return f"model.{key}{str(error).removeprefix('adapter')}"
    return str(error)


def build(
    recipe: str | Path | Recipe,
    *,
    num_classes: int,
    overrides: Iterable[str] | Mapping[str, Any] = (),
) -> "Recognizer":
    """The untrained recognizer of a recipe, with classes named by their numbers.

    Args:
        recipe: A recipe, its file, or the name of one that ships with evlora.
        num_classes: K, 2 or more.
        overrides: Keys to change; see `load_recipe`.

    Returns:
        In training mode, on the CPU; `recognizer(rgb, events)` takes normalised clips of shape
        (B, T, 3, H, W) and returns logits of shape (B, K).

    Raises:
        RecipeError: The recipe is wrong, or there are fewer than two classes.
        BackboneError: The backbone does not exist, or its weights do not fit.
    """
    from evlora.recognizer import build_recognizer

    if num_classes < FEWEST_CLASSES:
        raise RecipeError(
            f"num_classes: expected {FEWEST_CLASSES} or more, got {num_classes}; a recognizer "
            "distinguishes classes"
        )
    labels = tuple(str(number) for number in range(num_classes))
    return build_recognizer(recipe_of(recipe, overrides).recognizer(), labels)


def recipes_folder() -> Path:
    """Where the recipes that ship with evlora lie, installed or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def _read(source: Path) -> dict[str, Any]:
    """The keys of a recipe file; where it extends another one, set over the keys of that."""
    (_, whole), *others = read_chain(source)
    for _, tree in others:
        for key, value in network_first(tree).items():
            set_key(whole, str(key), value)
    return whole


def read_chain(
    source: Path, extended_by: tuple[Path, ...] = ()
) -> list[tuple[Path, dict[str, Any]]]:
    """The keys of a recipe file and of those that it extends, each alone, the last one first.

    Args:
        source: The file.
        extended_by: Files that led to it.

    Raises:
        RecipeError: A file is missing, no YAML, or leads back to itself.
    """
    try:
        content = read_file(read_text(source, RecipeError, limit="recipe_bytes")) or {}
    except yaml.YAMLError as error:
        reason = fault_in_yaml(error)
        raise RecipeError(f"{source}: expected a recipe in YAML: {reason}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{source}: expected keys and values, got a {type(content).__name__}")
    tree = cast(dict[str, Any], content)
    if EXTENDS not in tree:
        return [(source, tree)]
    base = str(tree.pop(EXTENDS))
    beside = source.parent / base
    try:
        extended = find_recipe(beside if beside.is_file() else Path(base))
    except RecipeError as error:
        raise RecipeError(f"{source}: {EXTENDS}: {error}") from error
    chain = (*extended_by, source.resolve())
    if extended.resolve() in chain:
        raise RecipeError(
            f"{source}: {EXTENDS}: {base} leads back to {extended}; "
            "a recipe may not extend one that extends it"
        )
    return [*read_chain(extended, chain), (source, tree)]


def find_recipe(path: Path) -> Path:
    """The file of a recipe that is named by its path or as one that ships with evlora.

    Raises:
        RecipeError: There is none.
    """
    shipped = recipes_folder() / path.with_suffix(".yaml")
    if plain(path, RecipeError).is_file():
        return path
    if not path.is_absolute() and ".." not in path.parts and shipped.is_file():
        return shipped
    hint = suggestion(str(path), shipped_recipes(), listing="evlora train --list")
    raise RecipeError(f"{path}: no such recipe; give a file, or a recipe's name: {hint}")


def shipped_recipes() -> list[str]:
    """The names of the recipes that ship with evlora; those of ablations come last."""
    folder = recipes_folder()
    paths = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml")]
    return [path.as_posix() for path in sorted(paths, key=lambda p: (len(p.parts), p.parts))]
