"""A recipe: one run as a YAML file, checked as a whole before anything starts."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, Field, Tag, ValidationError, field_validator

from evlora.bundle import Recognizer, RecognizerConfig, build_recognizer
from evlora.errors import RecipeError
from evlora.models import NetworkConfig
from evlora.training.config import DataConfig, RunConfig, TrainingConfig
from evlora.training.run import Run, train_recipe

EXTENDS = "extends"
"""The key by which a recipe file names another one, whose keys it changes."""


class Recipe(RecognizerConfig):
    """A whole run: data, recognizer, training, and the folder that it fills."""

    data: DataConfig = DataConfig()
    """What is learned from."""
    training: TrainingConfig = TrainingConfig()
    """How it is learned."""
    run: RunConfig = RunConfig()
    """Where the run lives, and its seed."""
    comparison: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """For `evlora compare`: row → keys of the recipe that it changes. A row is a method of the
    catalogue that needs, say, a learning rate of its own, or a variant with a name of its own."""

    @field_validator("model")
    @classmethod
    def _can_be_trained(cls, model: NetworkConfig) -> NetworkConfig:
        if model.network == "published":
            raise ValueError(
                "expected a network to train, got published, the released one with its oddities, "
                "which is there to read its checkpoint (evlora import-published); set "
                "model.network: velora"
            )
        return model

    def recognizer(self) -> RecognizerConfig:
        """The part of the recipe that the recognizer is built from."""
        return RecognizerConfig(clip=self.clip, backbone=self.backbone, model=self.model)


def load_recipe(path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe in this file with these keys changed.

    Args:
        path: A YAML file, or the name of a recipe that comes with evlora.
        overrides: `key=value` texts, such as `training.epochs=3`, or a mapping of such keys.

    Raises:
        RecipeError: The file is missing or no YAML, or a key or a value is wrong.
    """
    source = _find(Path(path))
    tree = _read(source)
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(split_override, overrides)
    for key, value in pairs:
        _set(tree, key, value)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"{source}: {_explain(error)}") from error


def build(
    recipe: str | Path | Recipe,
    *,
    num_classes: int,
    overrides: Iterable[str] | Mapping[str, Any] = (),
) -> Recognizer:
    """The untrained recognizer of a recipe, with classes named by their numbers.

    Raises:
        RecipeError: The recipe is wrong.
        BackboneError: The backbone does not exist, or its weights do not fit.
    """
    whole = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    labels = tuple(str(number) for number in range(num_classes))
    return build_recognizer(whole.recognizer(), labels)


def train(
    recipe: str | Path | Recipe,
    *,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    has_progress_bar: bool = False,
) -> Run:
    """Train what a recipe says, and write its run's folder; see `evlora.training.run`.

    Raises:
        RecipeError: The recipe is wrong.
        DatasetError: The dataset is incomplete.
        RunError: The run's folder holds another run.
    """
    whole = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    return train_recipe(whole, resume=resume, say=say, has_progress_bar=has_progress_bar)


def recipes_folder() -> Path:
    """Where the recipes that come with evlora lie, installed or in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def _read(source: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The keys of a recipe file; where it extends another one, set over the keys of that."""
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{source}: expected a recipe in YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{source}: expected keys and values, got a {type(content).__name__}")
    tree = cast(dict[str, Any], content)
    if EXTENDS not in tree:
        return tree
    base = str(tree.pop(EXTENDS))
    beside = source.parent / base
    try:
        extended = _find(beside if beside.is_file() else Path(base))
    except RecipeError as error:
        raise RecipeError(f"{source}: {EXTENDS}: {error}") from error
    chain = (*extended_by, source.resolve())
    if extended.resolve() in chain:
        raise RecipeError(
            f"{source}: {EXTENDS}: {base} leads back to {extended}; "
            "a recipe may not extend one that extends it"
        )
    whole = _read(extended, chain)
    for key, value in tree.items():
        if "." not in str(key):
            raise RecipeError(
                f"{source}: {key}: expected single keys as on the command line, such as "
                f"training.epochs: 3, since {key} as a whole would drop all that {base} says of it"
            )
        _set(whole, str(key), value)
    return whole


def _find(path: Path) -> Path:
    shipped = recipes_folder() / path.with_suffix(".yaml")
    if path.is_file():
        return path
    if not path.is_absolute() and ".." not in path.parts and shipped.is_file():
        return shipped
    names = ", ".join(shipped_recipes())
    raise RecipeError(f"{path}: no such recipe; give a file, or one that comes along: {names}")


def shipped_recipes() -> list[str]:
    """The names of the recipes that come with evlora; those of ablations come last."""
    folder = recipes_folder()
    paths = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml")]
    return [path.as_posix() for path in sorted(paths, key=lambda p: (len(p.parts), p.parts))]


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


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    branch = tree
    for name in parents:
        if not isinstance(branch.get(name), dict):
            branch[name] = {}
        branch = branch[name]
    branch[leaf] = value


def _explain(error: ValidationError) -> str:
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
