"""The configuration of an ST-Adapter."""

from dataclasses import dataclass, field

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class StAdapterConfig(TunerConfig):
    """x + W_up · conv(W_down · x) before each transformer block, for `get_peft_model`.

    The convolution is depth-wise, over the moments of a clip at the same place of the image
    (3 × 1 × 1, as released). The targets are the blocks.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "st_adapter"

    rank: int = field(default=64, metadata={"help": "Width of the bottleneck; published: 384."})
    kernel: int = field(
        default=3,
        metadata={"help": "Moments that the convolution sees, an odd number; 1: only its own."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("rank", self.rank >= 1, "1 or more")
        self.require("kernel", self.kernel >= 1 and self.kernel % 2 == 1, "an odd number")
