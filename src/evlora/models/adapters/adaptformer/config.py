"""The configuration of an AdaptFormer."""

from dataclasses import dataclass, field
from typing import Literal

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class AdaptFormerConfig(TunerConfig):
    """An AdaptFormer: `s·W_up(ReLU(W_down·x))` beside each frozen FFN, for `get_peft_model`.

    x is the residual stream before the norm that precedes the FFN. The defaults are the paper's:
    1,189,632 numbers on a ViT-B. The targets are the FFNs of a vision transformer of timm or
    transformers.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "adaptformer"

    bottleneck: int = field(default=64, metadata={"help": "Rows of W_down and columns of W_up."})
    scale: float = field(default=0.1, metadata={"help": "s, on what the bottleneck adds."})
    dropout: float = field(default=0.1, metadata={"help": "After the ReLU, in training."})
    reads: Literal["residual", "ffn"] = field(
        default="residual",
        metadata={
            "help": "What x is: the residual stream, as published, or ffn, the FFN's own input, "
            "for networks without a norm before it."
        },
    )
    norm: str | None = field(
        default=None,
        metadata={
            "help": "Name of the norm beside the FFN whose input is the residual stream; None: "
            "the one that timm and transformers put there."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("reads", self.reads in ("residual", "ffn"), "residual or ffn")
        self.require("bottleneck", self.bottleneck >= 1, "1 or more")
        self.require("dropout", 0 <= self.dropout < 1, "0…1")
