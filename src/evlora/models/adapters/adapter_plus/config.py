"""The configuration of Adapter+."""

from dataclasses import dataclass, field
from typing import Literal

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class AdapterPlusConfig(TunerConfig):
    """y + s ⊙ (W_up · GELU(W_down · y)) behind each transformer block, for `get_peft_model`.

    The targets are the blocks.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "adapter_plus"

    rank: int = field(default=8, metadata={"help": "Width of the bottleneck."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout inside the bottleneck."})
    drop_path: float = field(
        default=0.1, metadata={"help": "How often in training an image skips the adapter."}
    )
    init: Literal["zero", "houlsby"] = field(
        default="zero",
        metadata={"help": "zero: W_up starts at 0, unchanged; houlsby: as published, std 0.01."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("rank", self.rank >= 1, "1 or more")
        self.require("init", self.init in ("zero", "houlsby"), "zero or houlsby")
        for name in ("dropout", "drop_path"):
            self.require(name, 0 <= getattr(self, name) < 1, "0…1")
