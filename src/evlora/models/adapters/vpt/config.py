"""The configuration of VPT."""

from dataclasses import dataclass, field

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class VptConfig(TunerConfig):
    """Prompt tokens that every block attends to, new ones in each, for `get_peft_model`.

    The targets are the attentions of the blocks.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "vpt"

    tokens: int = field(default=10, metadata={"help": "How many prompt tokens each block has."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the prompt tokens."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("tokens", self.tokens >= 1, "1 or more")
        self.require("dropout", 0 <= self.dropout < 1, "0…1")
