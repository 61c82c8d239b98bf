"""What a method is: a peft configuration, and what of it a recipe can set.

A method's defaults are those of peft's dataclass, except where its row names another.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, get_type_hints

import pydantic
from peft import PeftConfig, PeftModel
from torch import nn

from evlora.config import Config
from evlora.models.adapters.blocks import exactly
from evlora.models.adapters.site_names import Site
from evlora.models.adapters.sites import TARGETS, named_layers, targets


@dataclass(frozen=True, slots=True)
class Settings:
    """What an adapter is made with: what a recipe sets, and the method's defaults for the rest."""

    sites: Site | Literal["own"] | None
    rank: int
    alpha: float
    dropout: float
    options: Any
    target_modules: tuple[str, ...] | None = None
    """Layers that a recipe names, in place of the sites."""


class NoOptions(Config):
    """For methods without options."""


def options_of(
    config_class: type[PeftConfig],
    *names: str,
    more: type[Config] = NoOptions,
    at_least: Mapping[str, int] | None = None,
    defaults: Mapping[str, Any] | None = None,
    types: Mapping[str, Any] | None = None,
    **renamed: str,
) -> type[Config]:
    """The options of a method, with type, default and description of fields of a peft dataclass.

    Args:
        config_class: The dataclass.
        names: Fields that are options under their own names.
        more: Options that are no fields; `Method.computed` makes fields of them.
        at_least: The smallest value of an option, where peft does not check it.
        defaults: Defaults of options that are not those of the fields.
        types: Types of options that are narrower than those of the fields.
        renamed: Option name → field, for fields with another name in recipes.
    """
    of_fields = get_type_hints(config_class)
    definitions: dict[str, Any] = {
        option: (
            (types or {}).get(option, of_fields[name]),
            pydantic.Field(
                default=(defaults or {}).get(option, _default(config_class, name)),
                ge=(at_least or {}).get(option),
                description=_field(config_class, name).metadata.get("help"),
                serialization_alias=name,
            ),
        )
        for option, name in ({name: name for name in names} | renamed).items()
    }
    title = config_class.__name__.removesuffix("Config") + "Options"
    return pydantic.create_model(title, __base__=more, **definitions)


def at_the_sites(
    module: nn.Module, settings: Settings, patterns: Mapping[Site, str] = TARGETS
) -> str | None:
    """The layers at the sites, as peft's `target_modules`; None where the method finds its own."""
    if settings.target_modules is not None:
        return exactly(named_layers(module, settings.target_modules))
    if settings.sites is None or settings.sites == "own":
        return None
    return targets(module, settings.sites, patterns)


def nothing_held(module: nn.Module, config: PeftConfig) -> AbstractContextManager[None]:
    """What holds while peft adds an adapter that needs nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the catalogue."""

    config: type[PeftConfig] | None = None
    """The peft configuration; None where nothing is added to the network."""
    sites: Site | Literal["own"] | None = None
    """Where it is by default: `own` where that is no site by name, None where sites do not apply.
    """
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Which of rank, alpha and dropout it has, and the fields of `config` that hold them."""
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Defaults of these settings that are not those of `config`."""
    options: type[Config] = NoOptions
    """What only this method has."""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of `config` that make the method what it is."""
    computed: Callable[[Settings], Mapping[str, Any]] | None = None
    """Fields of `config` that follow from several settings."""
    find_targets: Callable[[nn.Module, Settings], str | None] = at_the_sites
    """The layers to adapt, as peft's `target_modules`."""
    while_adapting: Callable[[nn.Module, PeftConfig], AbstractContextManager[None]] = nothing_held
    """Holds while peft adds the adapter to a network, which it takes with the configuration."""
    afterwards: Callable[[PeftModel], None] | None = None
    """What remains to be done on the adapted network."""
    is_foldable: bool = True
    """Whether what it adds can become part of the frozen weights."""
    mixes_images: bool = False
    """Whether what it makes of an image depends on the other images of the batch."""
    adapts_blocks: bool = False
    """Whether it replaces whole blocks, so that a network that is a block needs a container."""
    adapts_convolutions: bool = False
    """Whether it also adapts a patch embedding, which is a convolution or several."""
    stops: str | None = None
    """Field of `config` for the numbers of blocks behind which a network goes on in its own way."""
    trains_backbone: bool = False
    """Whether the backbone's own weights are trained; for a method without `config`."""

    def default_settings(self) -> dict[str, Any]:
        """The settings that the method has, beside its options, with their defaults."""
        of_sites = {} if self.sites is None else {"sites": self.sites}
        return of_sites | {
            name: self.defaults[name] if name in self.defaults else _default(self.config, held_by)
            for name, held_by in self.settings.items()
        }

    def peft_config(self, settings: Settings, module: nn.Module | None = None) -> PeftConfig:
        """The peft configuration with these settings.

        Args:
            settings: Of this method.
            module: The network in which the targets are found; None leaves them open.

        Raises:
            AdapterError: The settings contradict each other, or the module has no target.
            ValueError: peft refuses a setting.
        """
        assert self.config is not None
        options: dict[str, pydantic.fields.FieldInfo] = type(settings.options).model_fields
        values = {held_by: getattr(settings, name) for name, held_by in self.settings.items()}
        values |= {
            option.serialization_alias: getattr(settings.options, name)
            for name, option in options.items()
            if option.serialization_alias is not None
        }
        values |= self.fixed
        if self.computed is not None:
            values |= self.computed(settings)
        if module is not None:
            values["target_modules"] = self.find_targets(module, settings)
        return self.config(**values)


def _field(config_class: Any, name: str) -> Field[Any]:
    return next(found for found in fields(config_class) if found.name == name)


def _default(config_class: Any, name: str) -> Any:
    found = _field(config_class, name)
    if found.default is not MISSING:
        return found.default
    assert found.default_factory is not MISSING
    return found.default_factory()
