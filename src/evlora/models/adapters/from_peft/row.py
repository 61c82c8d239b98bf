"""A row of the catalogue for a tuner of peft, made of the fields of its dataclass."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, Literal, cast, get_args, get_type_hints

from peft import PeftConfig
from torch import nn

from evlora.models.adapters.method import Method, Settings, at_the_sites, options_of
from evlora.models.adapters.site_names import Site

NOT_OF_A_RECIPE = frozenset(
    (
        "target_modules",
        "exclude_modules",
        "modules_to_save",
        "layers_to_transform",
        "layers_pattern",
        "fan_in_fan_out",
        "bias",
        "progressbar",
        "save_projection",
        "use_effective_conv2d",
    )
)
"""Fields of many of peft's dataclasses for which a recipe has keys of its own (`sites`, `blocks`),
that would train the backbone's own weights, or that a bundle cannot do without."""


def row_of(
    config_class: type[PeftConfig],
    *,
    sites: Site = "ffn",
    defaults: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    hidden: Collection[str] = (),
    at_least: Mapping[str, int] | None = None,
    find_targets: Callable[[nn.Module, Settings], str | None] = at_the_sites,
    is_foldable: bool = True,
    mixes_images: bool = False,
) -> Method:
    """A method whose settings and options are the fields of a peft dataclass.

    Rank, alpha and dropout are found by peft's names of them. Every other field becomes an option,
    under its name without the method's own: `gralora_k` is `k`.

    Args:
        config_class: The dataclass.
        sites: Where it is by default.
        defaults: Of settings and options, where another value than peft's suits a vision
            transformer.
        fixed: Fields that make the method what it is.
        hidden: Fields that are no options, beside those of `NOT_OF_A_RECIPE`.
        at_least: The smallest value of an option, where peft does not check it.
        find_targets: The layers to adapt.
        is_foldable: Whether it can become part of the frozen weights.
        mixes_images: Whether what it makes of an image depends on the others of the batch.
    """
    key = config_class.__name__.removesuffix("Config").lower()
    fixed, defaults = dict(fixed or {}), dict(defaults or {})
    names = _own_fields(config_class, without={*hidden, *fixed})
    settings = {
        setting: name
        for setting, candidates in _names_of_settings(key).items()
        for name in candidates
        if name in names
    }
    options = {_short(name, key): name for name in names if name not in settings.values()}
    return Method(
        config_class,
        sites=sites,
        settings=settings,
        defaults={name: value for name, value in defaults.items() if name in settings},
        options=options_of(
            config_class,
            at_least=at_least,
            defaults={name: value for name, value in defaults.items() if name in options},
            types=_narrowed(config_class, options),
            **cast(dict[str, Any], options),
        ),
        fixed=fixed,
        find_targets=find_targets,
        is_foldable=is_foldable,
        mixes_images=mixes_images,
    )


def _own_fields(config_class: type[PeftConfig], *, without: Collection[str]) -> list[str]:
    """The fields that this method has beside those of every method, in peft's order."""
    inherited = {field.name for field in fields(PeftConfig)}
    types = get_type_hints(config_class)
    return [
        field.name
        for field in fields(config_class)
        if field.name not in inherited | NOT_OF_A_RECIPE | {*without}
        and not field.name.endswith("_pattern")  # sizes by layer
        and not (field.name == "init_weights" and not _words(types[field.name]))
    ]


def _names_of_settings(key: str) -> dict[str, tuple[str, ...]]:
    return {
        "rank": ("r",),
        "alpha": ("alpha", f"{key}_alpha"),
        "dropout": ("module_dropout", f"{key}_dropout"),
    }


def _short(name: str, key: str) -> str:
    return "init" if name == "init_weights" else name.removeprefix(f"{key}_")


def _narrowed(config_class: type[PeftConfig], options: Mapping[str, str]) -> dict[str, Any]:
    """The type of `init`: peft's own start, or one by name; never a random one for its tests."""
    if "init" not in options:
        return {}
    words = _words(get_type_hints(config_class)[options["init"]])
    return {"init": Literal[(True, *words)]}


def _words(annotation: Any) -> tuple[str, ...]:
    """The strings among the values that a type allows."""
    if isinstance(annotation, str):
        return (annotation,)
    return tuple(word for part in get_args(annotation) for word in _words(part))
