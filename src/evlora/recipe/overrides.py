"""Keys of a recipe that are changed, as `key=value` texts."""

from typing import Any

import yaml

from evlora.errors import RecipeError


def split_override(override: str) -> tuple[str, Any]:
    """Key and value of an override such as `training.epochs=3`.

    Raises:
        RecipeError: The text is no override.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RecipeError(
            f"{override!r}: expected key=value, such as training.epochs=3, with no spaces around ="
        )
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"{override!r}: the value is not YAML: {error}") from error


def set_key(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key such as `training.epochs` in a tree of sections, which it changes."""
    *parents, leaf = key.split(".")
    branch = tree
    for name in parents:
        if not isinstance(branch.get(name), dict):
            branch[name] = {}
        branch = branch[name]
    branch[leaf] = value
