"""The configuration of an Lv-Adapter (our reading of the abstract)."""

from dataclasses import dataclass, field
from typing import Literal

from evlora.errors import AdapterError
from evlora.models.adapters.tuners import TunerConfig

SITES = ("attention_input", "attention_output", "attention", "ffn", "both")
ACTIVATIONS = ("none", "relu", "gelu")
INITIALISATIONS = ("kaiming", "normal", "orthogonal")


@dataclass
class LvAdapterConfig(TunerConfig):
    """An Lv-Adapter: `y = v ⊙ (W·x + b) + s·B·A·x` on frozen linear layers, for `get_peft_model`.

    The vector v starts at 1 and B at 0, so an adapted model starts as the model itself. Without
    an activation all of it folds into W and b. The targets are the layers of `sites` in a vision
    transformer of timm or transformers, found by name.

    Raises:
        AdapterError: A setting is out of range, or nothing is left to train.
    """

    method_name = "lv_adapter"

    sites: list[str] | str = field(
        default_factory=lambda: ["attention_output", "ffn"],
        metadata={
            "help": "Where no target_modules are given, which layers of each block: one word or "
            "several of attention_input (query, key and value, or all in one), attention_output, "
            "attention (these two), ffn (all linear layers of it), both (attention and ffn)."
        },
    )
    rank: int = field(
        default=23,
        metadata={
            "help": "Rows of A and columns of B. With the default sites, 23 is 3.0 % of a ViT-B, "
            "27 is 3.5 %."
        },
    )
    vector: bool = field(default=True, metadata={"help": "Whether there is the vector v."})
    pair: bool = field(default=True, metadata={"help": "Whether there is the low-rank pair A, B."})
    activation: Literal["none", "relu", "gelu"] = field(
        default="none",
        metadata={"help": "Between A and B; with one, the adapter cannot be merged."},
    )
    initialisation: Literal["kaiming", "normal", "orthogonal"] = field(
        default="kaiming", metadata={"help": "Of A; kaiming is uniform, as LoRA's."}
    )
    dropout: float = field(default=0.0, metadata={"help": "On the input of A, in training."})
    scale: float = field(default=1.0, metadata={"help": "s, on what the pair adds."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            "sites", all(site in SITES for site in self.site_names), f"some of {', '.join(SITES)}"
        )
        for name, known in (("activation", ACTIVATIONS), ("initialisation", INITIALISATIONS)):
            self.require(name, getattr(self, name) in known, f"one of {', '.join(known)}")
        if not self.site_names and self.target_modules is None:
            raise AdapterError("lv_adapter: no sites; give one of " + ", ".join(SITES))
        if not (self.vector or self.pair):
            raise AdapterError(
                "lv_adapter: vector and pair are both off, so there is nothing to train; "
                "turn one of them on"
            )
        self.require("rank", self.rank >= 1, "1 or more")
        self.require("dropout", 0 <= self.dropout < 1, "0…1")

    @property
    def site_names(self) -> list[str]:
        """The words of `sites`, also where it is a single one."""
        return [self.sites] if isinstance(self.sites, str) else list(self.sites)

    @property
    def is_foldable(self) -> bool:
        """Whether the adapter folds into the layer's own weight and bias."""
        return self.activation == "none" or not self.pair
