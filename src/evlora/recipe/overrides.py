"""Keys of a recipe that are changed: as `key=value` texts, or as a mapping."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, cast

import yaml

from evlora.errors import RecipeError
from evlora.messages import shown
from evlora.models.adapters.config import AdapterConfig
from evlora.recipe.typed_yaml import configs_at, read_value
from evlora.untrusted_yaml import fault_in_yaml

ROWS = "comparison"
NETWORK = "model.network"


def split_override(override: str) -> tuple[str, Any]:
    """Key and value of an override such as `training.epochs=3`.

    Raises:
        RecipeError: The text is no override.
    """
    key, equals, value = override.partition("=")
    if not equals or not key or key != key.strip():
        raise RecipeError(
            f"{override!r}: expected key=value, such as training.epochs=3, with no spaces around ="
        )
    try:
        return key, read_value(value, key)
    except yaml.YAMLError as error:
        reason = fault_in_yaml(error, has_place=False)
        raise RecipeError(
            f"{key}: expected a value in YAML, got {shown(value)}: {reason}"
        ) from error


def as_mapping(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Overrides as keys and values.

    Raises:
        RecipeError: A text is no override, or texts come as one.
    """
    if isinstance(overrides, Mapping):
        return dict(overrides)
    if isinstance(overrides, str):
        raise RecipeError(
            f"overrides: expected a list of texts or a mapping of keys, got {overrides!r}; "
            f"write [{overrides!r}]"
        )
    return dict(map(split_override, overrides))


def set_key(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key such as `training.epochs` in a tree of sections, which it changes.

    Of a section that is given as a whole, the keys are set one by one: the others stay. An adapter
    is replaced, and so is a model that names another network, since others have other keys.

    Where `model.network` changes, keys that the other network does not have are removed.

    Raises:
        RecipeError: A key leads into something that is no section.
    """
    if key == NETWORK:
        _remove_keys_of_another_network(tree, value)
    if (
        isinstance(value, Mapping)
        and _is_section(key)
        and not _is_another_network(tree, key, value)
    ):
        for name, inner in cast(Mapping[Any, Any], value).items():
            set_key(tree, f"{key}.{name}", inner)
        if not value:
            _branch(tree, key.split("."), key)
        return
    *parents, leaf = key.split(".")
    _branch(tree, parents, key)[leaf] = deepcopy(value)  # keys that follow may change it


def network_first(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys and values, those of a network behind its name."""
    return dict(sorted(changes.items(), key=lambda one: one[0] != NETWORK))


def _remove_keys_of_another_network(tree: dict[str, Any], network: Any) -> None:
    model = tree.get("model")
    known = [
        config.model_fields
        for config in configs_at("model")
        if config.model_fields["network"].default == network
    ]
    if isinstance(model, dict) and known:
        for name in set(model) - set(known[0]):
            del model[name]


def _is_section(key: str) -> bool:
    configs = configs_at(key)
    return key == ROWS or (bool(configs) and AdapterConfig not in configs)


def _is_another_network(tree: dict[str, Any], key: str, value: Mapping[Any, Any]) -> bool:
    held = tree.get(key)
    before = held.get("network", "velora") if isinstance(held, dict) else "velora"
    return key == "model" and value.get("network", before) != before


def _branch(tree: dict[str, Any], names: list[str], key: str) -> dict[str, Any]:
    branch = tree
    for depth, name in enumerate(names, start=1):
        held = branch.get(name)
        here = ".".join(names[:depth])
        if isinstance(held, str) and AdapterConfig in configs_at(here):
            held = {"method": held}  # a name alone stands for a method with its defaults
        if held is not None and not isinstance(held, dict):
            raise RecipeError(
                f"{key}: expected keys and values as {here}, got {shown(held)}; give {here} "
                "keys, or remove it"
            )
        branch[name] = {} if held is None else held
        branch = cast(dict[str, Any], branch[name])
    return branch
