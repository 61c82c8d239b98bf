"""YAML as recipes have it: no key twice, and text and paths as they are typed.

YAML reads `007` as a number, `2026-11-29` as a date and `off` as false. Where a recipe's key holds
text or a path, what was typed counts.
"""

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import yaml
from pydantic import BaseModel

from evlora.recipe.schema import Recipe
from evlora.untrusted_yaml import build_yaml, compose_yaml

_NULL, _TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"


def read_file(text: str) -> Any:
    """What a recipe's file holds.

    Raises:
        yaml.YAMLError: It is no YAML, or names a key twice.
    """
    return _construct(text, [Recipe])


def read_value(text: str, key: str) -> Any:
    """The value of a key such as `run.dir` from the text behind `key=`.

    Raises:
        yaml.YAMLError: It is no YAML, or names a key twice.
    """
    types = types_at(key)
    if not _hold_text(types):
        return _construct(text, types)
    try:
        node = compose_yaml(text) if text.strip() else None
    except yaml.YAMLError:
        return text
    if node is None or node.tag == _NULL:
        return text if text.startswith("#") else None
    is_quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return node.value if is_quoted else text


def types_at(key: str) -> list[Any]:
    """What the recipe's key may hold: types, without the marks of pydantic; none if unknown."""
    types: list[Any] = [Recipe]
    for name in key.split("."):
        types = _of_field(types, name)
    return types


def configs_at(key: str) -> list[type[BaseModel]]:
    """The configurations that a key may hold; none where it holds a value."""
    found = types_at(key)
    return [one for one in found if isinstance(one, type) and issubclass(one, BaseModel)]


def _of_field(types: list[Any], name: str) -> list[Any]:
    fields = [
        one.model_fields[name]
        for one in types
        if isinstance(one, type) and issubclass(one, BaseModel) and name in one.model_fields
    ]
    return [one for field in fields for one in _members(field.annotation)]


def _members(annotation: Any) -> list[Any]:
    """The types of a union, or the type alone."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [one for member in get_args(annotation) for one in _members(member)]
    return [annotation]


def _hold_text(types: list[Any]) -> bool:
    held = [one for one in types if one is not NoneType]
    return bool(held) and all(_is_text(one) for one in held)


def _is_text(one: Any) -> bool:
    if get_origin(one) is Literal:
        return all(isinstance(word, str) for word in get_args(one))
    return one in (str, Path)


def _construct(text: str, types: list[Any]) -> Any:
    return build_yaml(text, lambda node: _prepare(node, types, set()))


def _prepare(node: yaml.Node, types: list[Any], seen: set[int]) -> None:
    """Take text as it is typed, and refuse a doubled key, in a node and in all below it."""
    if id(node) in seen:  # an anchor, which may even stand inside itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.tag != _NULL and _hold_text(types):
            node.tag = _TEXT
        return
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _prepare(item, [], seen)
        return
    places: dict[str, int] = {}
    for key, value in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
        name = str(key.value)
        line = key.start_mark.line + 1 if key.start_mark is not None else 0
        if name in places:
            raise yaml.YAMLError(
                f"the key {name} stands in line {places[name]} and in line {line}; remove one"
            )
        places[name] = line
        inner = types
        for part in name.split("."):  # a file that extends another one has keys such as clip.size
            inner = _of_field(inner, part)
        _prepare(value, inner, seen)
