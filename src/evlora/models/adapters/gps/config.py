"""The configuration of GPS."""

from dataclasses import dataclass, field
from typing import Literal

from evlora.models.adapters.tuners import TunerConfig


@dataclass
class GpsConfig(TunerConfig):
    """(W + S)·x + b with a sparse S on frozen linear layers, for `get_peft_model`.

    Each row of W, which is a neuron, has the same number of trained entries. They are the largest
    of the row until `choosing_entries` has seen gradients. S starts at zero, and folds into W. The
    targets are the linear layers of the blocks.

    Raises:
        AdapterError: A setting is out of range.
    """

    method_name = "gps"

    entries: int = field(default=10, metadata={"help": "Trained entries of each row of W."})
    chosen_by: Literal["gradient", "magnitude"] = field(
        default="gradient",
        metadata={
            "help": "gradient: the entries of the largest gradient over training clips, found "
            "before the first step; magnitude: the largest entries."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("entries", self.entries >= 1, "1 or more")
        known = ("gradient", "magnitude")
        self.require("chosen_by", self.chosen_by in known, " or ".join(known))
