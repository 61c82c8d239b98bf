"""The configuration of an Lv-Adapter (our reading of the abstract)."""

from dataclasses import dataclass, field
from typing import Literal

from peft import PeftConfig
from peft.utils.peft_types import PeftType

from evlora.errors import AdapterError

SITES = ("attention_input", "attention_output", "attention", "ffn", "both")
ACTIVATIONS = ("none", "relu", "gelu")
INITIALISATIONS = ("kaiming", "normal", "orthogonal")


@dataclass
class LvAdapterConfig(PeftConfig):
    """An Lv-Adapter: `y = v ⊙ (W·x + b) + s·B·A·x` on frozen linear layers, for `get_peft_model`.

    The vector v starts at 1 and B at 0, so an adapted model starts as the model itself. Without
    an activation all of it folds into W and b.

    Args:
        target_modules: Names of linear layers (their ends suffice) or a regular expression over
            whole names. None: the layers of `sites` in a vision transformer of timm or
            transformers, found by name.
        exclude_modules: Names or a regular expression of layers to leave out.
        modules_to_save: Names of modules to train whole and to save beside the adapter, such as
            a new classifier.
        sites: Where `target_modules` is None, which layers of each block: one word or several of
            `attention_input` (query, key and value, or all in one), `attention_output`,
            `attention` (these two), `ffn` (all linear layers of it), `both` (attention and ffn).
        rank: Rows of A and columns of B. The default makes 3.0 % of a ViT-B with the default
            sites; 27 makes 3.5 %.
        vector: Whether there is a v.
        pair: Whether there are A and B.
        activation: Between A and B: `none`, `relu` or `gelu`. With one of the latter the pair is
            a bottleneck beside the layer, which cannot be merged.
        initialisation: Of A: `kaiming` (uniform), `normal` or `orthogonal`.
        dropout: On the input of A, in training.
        scale: s.

    Raises:
        AdapterError: A setting is not one of those above.
    """

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    sites: list[str] | str = field(default_factory=lambda: ["attention_output", "ffn"])
    rank: int = 23
    vector: bool = True
    pair: bool = True
    activation: Literal["none", "relu", "gelu"] = "none"
    initialisation: Literal["kaiming", "normal", "orthogonal"] = "kaiming"
    dropout: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType("LV_ADAPTER")
        for site in self.site_names:
            _require_one_of("sites", site, SITES)
        _require_one_of("activation", self.activation, ACTIVATIONS)
        _require_one_of("initialisation", self.initialisation, INITIALISATIONS)
        if not self.site_names and self.target_modules is None:
            raise AdapterError("lv_adapter: no sites; give one of " + ", ".join(SITES))
        if not (self.vector or self.pair):
            raise AdapterError(
                "lv_adapter: vector and pair are both off, so there is nothing to train; "
                "turn one of them on"
            )
        if self.rank < 1:
            raise AdapterError(f"lv_adapter: rank: expected 1 or more, got {self.rank}")
        if not 0 <= self.dropout < 1:
            raise AdapterError(f"lv_adapter: dropout: expected 0…1, got {self.dropout}")

    @property
    def site_names(self) -> list[str]:
        """The words of `sites`, also where it is a single one."""
        return [self.sites] if isinstance(self.sites, str) else list(self.sites)

    @property
    def is_foldable(self) -> bool:
        """Whether the adapter folds into the layer's own weight and bias."""
        return self.activation == "none" or not self.pair


def _require_one_of(field_name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise AdapterError(
            f"lv_adapter: {field_name}: expected one of {', '.join(known)}; got {value!r}"
        )
