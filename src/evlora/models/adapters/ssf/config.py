"""The configuration of SSF."""

from dataclasses import dataclass, field

from evlora.errors import AdapterError
from evlora.models.adapters.tuners import TunerConfig


@dataclass
class SsfConfig(TunerConfig):
    """γ ⊙ y + β after linear layers, norms and patch embeddings, for `get_peft_model`.

    Raises:
        AdapterError: There is neither γ nor β, or a setting is out of range.
    """

    method_name = "ssf"

    scale: bool = field(default=True, metadata={"help": "Whether there is a scale γ."})
    shift: bool = field(
        default=True, metadata={"help": "Whether there is a shift β; alone, this is BitFit."}
    )
    init_std: float = field(
        default=0.0,
        metadata={
            "help": "Spread of γ around 1 and of β around 0 at the start; the paper has 0.02, "
            "0 starts unchanged."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.scale or self.shift):
            raise AdapterError("ssf: expected scale or shift or both, got neither")
        self.require("init_std", self.init_std >= 0, "0 or more")
