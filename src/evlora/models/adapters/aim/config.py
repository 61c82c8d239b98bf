"""The configuration of AIM."""

from dataclasses import dataclass, field

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class AimConfig(TunerConfig):
    """Three bottlenecks for each block, one behind its attention over time, for `get_peft_model`.

    x ← x + T(attention over time(x)); x ← x + a + S(a), a = attention(x); x ← x + FFN(x) + s·J(x).
    The frozen attention is used twice. The targets are the blocks.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "aim"

    rank: int = field(
        default=16, metadata={"help": "Width of the bottlenecks; published: a quarter of D."}
    )
    scale: float = field(default=0.5, metadata={"help": "s, of the bottleneck beside the FFN."})
    moments: int = field(
        default=32, metadata={"help": "Moments of a clip that have a position, at most."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("rank", self.rank >= 1, "1 or more")
        self.require("moments", self.moments >= 1, "1 or more")
