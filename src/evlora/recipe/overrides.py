"""Keys of a recipe that are changed: `key=value` texts, and what a wrong key is answered with."""

import difflib
from typing import Any, get_args

import yaml
from pydantic import BaseModel, Tag, ValidationError

from evlora.errors import RecipeError
from evlora.recipe.schema import Recipe


def split_override(override: str) -> tuple[str, Any]:
    """Key and value of an override such as `training.epochs=3`.

    Raises:
        RecipeError: It is none.
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


def explain(error: ValidationError) -> str:
    """What is wrong with a recipe, by the keys that a user types."""
    faults = [_explain_one(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
    return "; ".join(faults)


def _explain_one(place: tuple[int | str, ...], kind: str, message: str) -> str:
    model, path = _follow(place)
    key = ".".join(path)
    if kind != "extra_forbidden":
        return f"{key}: {message.removeprefix('Value error, ')}"
    known = list(model.model_fields) if model is not None else []
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"
    return f"{key}: unknown key; {hint}"


def _follow(place: tuple[int | str, ...]) -> tuple[type[BaseModel] | None, list[str]]:
    """The configuration that holds the last key of a fault's place, and the keys as one types them.

    Where a key may hold one of several configurations, pydantic adds to the place which one it is.
    """
    model: type[BaseModel] | None = Recipe
    members: dict[str, type[BaseModel]] = {}
    path: list[str] = []
    for number, part in enumerate(place):
        if str(part) in members:
            model, members = members[str(part)], {}
            continue
        path.append(str(part))
        if number < len(place) - 1:
            field = None if model is None else model.model_fields.get(str(part))
            model, members = _configs_of(None if field is None else field.annotation)
    return model, path


def _configs_of(annotation: Any) -> tuple[type[BaseModel] | None, dict[str, type[BaseModel]]]:
    """The configuration of a field, or those it may be, by the tag that pydantic names them by."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, {}
    tagged = [get_args(member) for member in get_args(annotation)]
    return None, {
        mark.tag: member
        for member, *marks in filter(None, tagged)
        for mark in marks
        if isinstance(mark, Tag)
    }
