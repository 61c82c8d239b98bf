"""The configuration of Ladder Side-Tuning."""

from dataclasses import dataclass, field

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class LstConfig(TunerConfig):
    """z + W_up · s, s a narrow transformer that reads each block's output z, for `get_peft_model`.

    The targets are the blocks. The frozen blocks see nothing of the side network, so that no
    gradient goes through them.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "lst"

    rank: int = field(default=48, metadata={"help": "Width of the side network."})
    heads: int = field(default=4, metadata={"help": "Heads of its attention."})
    joins: list[int] = field(
        default_factory=list[int],
        metadata={
            "help": "Numbers of the blocks behind which the side network is added to the backbone "
            "and begins anew, beside the last one."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("rank", self.rank >= 1, "1 or more")
        is_divisor = self.heads >= 1 and self.rank % self.heads == 0
        self.require("heads", is_divisor, f"a divisor of the rank, {self.rank}")
