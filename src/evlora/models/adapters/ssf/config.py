"""The settings of SSF."""

from dataclasses import dataclass, field
from typing import cast

from peft import PeftConfig
from peft.utils.peft_types import PeftType


@dataclass
class SsfConfig(PeftConfig):
    """γ ⊙ y + β after linear layers, norms and patch embeddings."""

    target_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Which layers; all linear, norm and patch layers if None."}
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Which of them are left out."}
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules that are trained as a whole and saved beside."}
    )
    scale: bool = field(default=True, metadata={"help": "Whether there is a scale γ."})
    shift: bool = field(
        default=True, metadata={"help": "Whether there is a shift β; alone, this is BitFit."}
    )
    init_std: float = field(
        default=0.0,
        metadata={"help": "γ ~ N(1, std), β ~ N(0, std); the paper has 0.02, 0 starts unchanged."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.scale or self.shift):
            raise ValueError("SSF: expected scale or shift or both, got neither")
        self.peft_type = cast(PeftType, "SSF")
