"""The configuration of an Lv-Adapter (our reading of the abstract)."""

from dataclasses import dataclass, field
from typing import Literal

from peft.utils.other import get_pattern_key

from evlora.errors import AdapterError
from evlora.models.adapters.tuners import TunerConfig

SITES = ("attention_input", "attention_output", "attention", "ffn", "both")
VECTORS = ("output", "input", "both", "none")
ACTIVATIONS = ("none", "relu", "gelu")
INITIALISATIONS = ("kaiming", "normal", "orthogonal")


@dataclass
class LvAdapterConfig(TunerConfig):
    """An Lv-Adapter: `y = v ⊙ (W·(u ⊙ x) + b) + s·B·A·x + c`, for `get_peft_model`.

    W and b are a frozen linear layer. The vectors v and u start at 1, B and c at 0, so an adapted
    model starts as the model itself. Without an activation all of it folds into W and b. The
    targets are the layers of `sites` in a vision transformer of timm or transformers, found by
    name.

    Raises:
        AdapterError: A setting is out of range, or nothing is left to train.
    """

    method_name = "lv_adapter"

    sites: list[str] | str = field(
        default="both",
        metadata={
            "help": "Where no target_modules are given, which layers of each block: one word or "
            "several of attention_input (query, key and value, or all in one), attention_output, "
            "attention (these two), ffn (all linear layers of it), both (attention and ffn)."
        },
    )
    rank: int = field(
        default=16,
        metadata={
            "help": "Rows of A and columns of B. With all else by default, 16 is 2.9 % of a ViT-B, "
            "19 is 3.5 %."
        },
    )
    rank_pattern: dict[str, int] = field(
        default_factory=dict[str, int],
        metadata={
            "help": "Ranks of single layers, by the ends of their names or regular expressions, "
            "such as {mlp.fc1: 8}; with 0 a layer has no pair."
        },
    )
    vector: Literal["output", "input", "both", "none"] | bool = field(
        default="output",
        metadata={
            "help": "Where the vector is: output (v), input (u), both or none. True and false, as "
            "in files of before 30 November 2026, are output and none, with vector_scale=1 and "
            "without shift, which these files lack."
        },
    )
    shift: bool = field(
        default=True,
        metadata={"help": "Whether there is c, a shift of the output where the layer has a bias."},
    )
    pair: bool = field(default=True, metadata={"help": "Whether there is the low-rank pair A, B."})
    activation: Literal["none", "relu", "gelu"] = field(
        default="none",
        metadata={"help": "Between A and B; with one, the adapter cannot be merged."},
    )
    initialisation: Literal["kaiming", "normal", "orthogonal"] = field(
        default="kaiming", metadata={"help": "Of A; kaiming is uniform, as LoRA's."}
    )
    dropout: float = field(default=0.0, metadata={"help": "On the input of A, in training."})
    scale: float = field(default=4.0, metadata={"help": "s, on what the pair adds."})
    vector_scale: float = field(
        default=5.0,
        metadata={
            "help": "t, on what vectors and shift are away from their start: they learn t times as "
            "fast as the pair with an optimizer such as Adam, whose steps do not grow with the "
            "gradient."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.vector, bool):
            self.vector = "output" if self.vector else "none"
            self.vector_scale, self.shift = 1.0, False
        self.require(
            "sites", all(site in SITES for site in self.site_names), f"some of {', '.join(SITES)}"
        )
        for name, known in (
            ("vector", VECTORS),
            ("activation", ACTIVATIONS),
            ("initialisation", INITIALISATIONS),
        ):
            self.require(name, getattr(self, name) in known, f"one of {', '.join(known)}")
        if not self.site_names and self.target_modules is None:
            raise AdapterError("lv_adapter: no sites; give one of " + ", ".join(SITES))
        if not (self.has_output_vector or self.has_input_vector or self.shift or self.pair):
            raise AdapterError(
                "lv_adapter: vector, shift and pair are all off, so there is nothing to train; "
                "turn one of them on"
            )
        self.require("rank", self.rank >= 1, "1 or more")
        are_ranks = all(rank >= 0 for rank in self.rank_pattern.values())
        self.require("rank_pattern", are_ranks, "ranks of 0 or more")
        self.require("dropout", 0 <= self.dropout < 1, "0…1")

    @property
    def site_names(self) -> list[str]:
        """The words of `sites`, also where it is a single one."""
        return [self.sites] if isinstance(self.sites, str) else list(self.sites)

    @property
    def has_output_vector(self) -> bool:
        """Whether there is v, on the output of the frozen layer."""
        return self.vector in ("output", "both")

    @property
    def has_input_vector(self) -> bool:
        """Whether there is u, on its input."""
        return self.vector in ("input", "both")

    def rank_of(self, layer: str) -> int:
        """The rank of the pair of a layer with this name in the network; 0 where it has none."""
        if not self.pair:
            return 0
        return self.rank_pattern.get(get_pattern_key([*self.rank_pattern], layer), self.rank)

    @property
    def is_foldable(self) -> bool:
        """Whether the adapter folds into the layer's own weight and bias."""
        return self.activation == "none" or not self.pair
