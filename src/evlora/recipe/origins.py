"""Where each value of a recipe comes from, and the schema by which editors complete keys."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

from evlora.config import Config
from evlora.recipe.from_data import filled_from_data
from evlora.recipe.overrides import as_mapping
from evlora.recipe.reading import EXTENDS, find_recipe, load_recipe, read_chain, recipes_folder
from evlora.recipe.schema import Recipe

DEFAULT, COMMAND, DATASET = "default", "command line", "dataset"


class Origin(NamedTuple):
    """A key of a recipe with its value and with what has set it."""

    key: str
    value: Any
    origin: str
    """`command line`, a recipe's file or name, `dataset`, or `default`."""


def origins_of(path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> list[Origin]:
    """All keys of a recipe as they would be run.

    Args:
        path: See `load_recipe`.
        overrides: Keys to change; see `load_recipe`.

    Raises:
        RecipeError: The recipe is wrong.
        DatasetError: The dataset decides some keys, and is incomplete.
    """
    written = load_recipe(path, overrides)
    whole = filled_from_data(written)
    # Of `backbone.options.depth`, `backbone` or all of the three may be what was set.
    setters: list[tuple[str, str]] = []
    for file, tree in read_chain(find_recipe(Path(path))):
        setters += [(key, _shown(file)) for key, _ in _leaves(tree)]
    setters += [(key, COMMAND) for key, _ in _leaves(as_mapping(overrides))]
    before = dict(_leaves(written.model_dump(mode="json")))
    found: list[Origin] = []
    for key, value in _leaves(whole.model_dump(mode="json")):
        origin = DEFAULT
        for setter, place in setters:
            if f"{key}.".startswith(f"{setter}.") or f"{setter}.".startswith(f"{key}."):
                origin = place
        if key not in before or before[key] != value:
            origin = DATASET
        found.append(Origin(key, value, origin))
    return found


def json_schema() -> dict[str, Any]:
    """The JSON schema of recipe files: sections, keys such as `training.epochs`, and `extends`."""
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    described = {config.__name__: config for config in _configs(Config)}
    for name, parts in {**definitions, Recipe.__name__: schema}.items():
        for key, sentence in _sentences(described[name]).items():
            if key in parts["properties"]:
                parts["properties"][key]["description"] = sentence
    adapter = {"anyOf": [{"type": "string"}, definitions["AdapterConfig"]]}  # a method's name alone
    definitions["AdapterConfig"] = adapter
    dotted: dict[str, Any] = {}
    for section, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            properties = definitions[field.annotation.__name__]["properties"]
            dotted |= {f"{section}.{key}": content for key, content in properties.items()}
    extends = {"type": "string", "description": "A recipe whose keys this file changes."}
    schema["properties"] = {EXTENDS: extends, **schema["properties"], **dotted}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "evlora recipe",
    }


def _configs(config: type[Config]) -> Iterator[type[Config]]:
    """All kinds of configuration below this one."""
    for kind in config.__subclasses__():
        yield kind
        yield from _configs(kind)


def _sentences(config: type[Config]) -> dict[str, str]:
    """The sentence under each field of a configuration, by the field's name."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            sentence = ast.literal_eval(below.value)
            found[ast.unparse(field.target)] = " ".join(str(sentence).split())
    return found


def _shown(file: Path) -> str:
    """A shipped recipe's name, or another one's path."""
    folder = recipes_folder()
    if file.is_relative_to(folder):
        return file.relative_to(folder).with_suffix("").as_posix()
    return str(file)


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{above}.{key}".lstrip(".")
        if isinstance(value, Mapping) and value:
            yield from _leaves(cast(Mapping[str, Any], value), name)
        else:
            yield name, value
