"""The key `adapter` of a recipe: which method is added, where, and how large.

The keys and the method's name are read without torch; what a method has is asked of its row, which
needs peft.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.limits import limits, raising, require_bounded_options
from evlora.messages import explain
from evlora.models.adapters.names import require_method
from evlora.models.adapters.site_names import Site

if TYPE_CHECKING:
    from evlora.models.adapters.method import Method, Settings

LINEAR_TARGETS = "target_modules"
SETTINGS = ("sites", "rank", "alpha", "dropout")

_asks_methods = ContextVar("_asks_methods", default=True)


@contextmanager
def keys_alone() -> Generator[None]:
    """Inside, adapters are checked for keys, types and the method's name, which takes no peft."""
    token = _asks_methods.set(False)
    try:
        yield
    finally:
        _asks_methods.reset(token)


class AdapterConfig(Config):
    """Which adapter is put where. By default, each setting is the method's own.

    A name alone stands for the method with its defaults: `adapter: lora`.
    """

    method: str = "lora"
    """A name of the catalogue; `none` trains the head alone, `full` the whole backbone."""
    sites: Site | None = None
    """Which layers are adapted: ffn, attention or both of a block; all: the patch embedding as
    well; linear: every linear layer there is."""
    target_modules: str | tuple[str, ...] | None = None
    """In place of sites, the linear layers to adapt: their names, of which the ends suffice, or
    regular expressions over whole names."""
    rank: int | None = Field(default=None, gt=0)
    """Rank r of the low-rank pair, or width of the bottleneck."""
    alpha: float | None = None
    """The pair's output is scaled by alpha / rank."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout in the adapter in training."""
    blocks: int | None = Field(default=None, gt=0)
    """Adapt (or, with `full`, train) only this number of the backbone's last blocks, and what
    follows them; all by default."""
    moment_heads: int = Field(default=0, ge=0)
    """Heads of each of these blocks that look at a neighbouring moment of the clip, in turn the one
    before and the one after: no weights, no cost, and foldable as before."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What only this method has, by name; docs/adapters.md lists it."""

    @model_validator(mode="before")
    @classmethod
    def _read_a_name_alone(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    @field_validator("rank")
    @classmethod
    def _is_a_rank(cls, rank: int | None) -> int | None:
        if rank is not None and rank > limits().rank:
            raise ValueError(
                f"expected a rank of at most {limits().rank}, got {rank}; {raising('rank')}"
            )
        return rank

    @field_validator("options")
    @classmethod
    def _are_bounded(cls, options: dict[str, Any]) -> dict[str, Any]:
        require_bounded_options(options)
        return options

    @model_validator(mode="after")
    def _require_what_the_method_has(self) -> "AdapterConfig":
        require_method(self.method)
        if not _asks_methods.get():
            return self
        settings, method = self.settings(), self._row()
        if method.config is not None:
            try:
                method.peft_config(settings)
            except (AdapterError, ValueError, TypeError) as error:
                raise AdapterError(f"adapter: cannot configure {self.method}: {error}") from error
        return self

    def settings(self) -> "Settings":
        """The settings, the method's defaults included.

        Raises:
            AdapterError: The method is unknown, or has no such setting or option.
        """
        from evlora.models.adapters.method import Settings
        from evlora.models.adapters.methods import METHODS

        method = self._row()
        defaults = method.default_settings()
        given = {name: getattr(self, name) for name in SETTINGS if getattr(self, name) is not None}
        for name in given:
            # Older recipes and bundles set a rank for `none` and `full` as well, which is ignored.
            if name not in defaults and method.config is not None:
                options = [f"options.{name}" for name in method.options.model_fields]
                raise AdapterError(
                    f"adapter.{name}: {self.method} has no {name}; remove it (it has "
                    f"{', '.join([*defaults, *options]) or 'nothing to set'}); over a recipe that "
                    f'sets it, write "model.adapter={self.method}"'
                )
        if self.sites == "all" and method.config is not None and not method.adapts_convolutions:
            able = [name for name, row in METHODS.items() if row.adapts_convolutions]
            raise AdapterError(
                f"adapter.sites: {self.method} cannot adapt the patch embedding, which `all` "
                f"includes; set sites to both, or method to one of {', '.join(able)}"
            )
        chosen: dict[str, Any] = {name: (defaults | given).get(name) for name in SETTINGS}
        return Settings(
            **chosen,
            target_modules=self._target_modules(method),
            options=_options(self.method, method, self.options),
        )

    @property
    def mixes_images(self) -> bool:
        """Whether what it makes of an image depends on the others of the batch."""
        return self._row().mixes_images

    def _target_modules(self, method: "Method") -> tuple[str, ...] | None:
        if self.target_modules is None:
            return None
        if method.sites is None:
            raise AdapterError(
                f"adapter.{LINEAR_TARGETS}: {self.method} finds its own places and takes none, got "
                f"{self.target_modules!r}; remove it, or choose a method with sites, such as lora"
            )
        if self.sites is not None:
            raise AdapterError(
                f"adapter.{LINEAR_TARGETS}: expected no sites beside it, got {self.sites}; remove "
                "one of the two (sites=null takes away a recipe's)"
            )
        given = self.target_modules
        names = (given,) if isinstance(given, str) else given
        if not names or not all(names):
            raise AdapterError(f"adapter.{LINEAR_TARGETS}: expected names of layers, got {given!r}")
        return names

    def _row(self) -> "Method":
        from evlora.models.adapters.methods import METHODS

        require_method(self.method)
        return METHODS[self.method]


def _options(name: str, method: "Method", given: dict[str, Any]) -> Config:
    try:
        return method.options.model_validate(given)
    except ValidationError as error:
        raise AdapterError(
            f"adapter.options of {name}: {explain(error, method.options)}"
        ) from error
