"""The settings of VPT."""

from dataclasses import dataclass, field
from typing import cast

from peft import PeftConfig
from peft.utils.peft_types import PeftType


@dataclass
class VptConfig(PeftConfig):
    """Prompt tokens that every block attends to, new ones in each."""

    target_modules: list[str] | str | None = field(
        default=None, metadata={"help": "The attention of which blocks; of all blocks if None."}
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Which of them are left out."}
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules that are trained as a whole and saved beside."}
    )
    tokens: int = field(default=10, metadata={"help": "How many prompt tokens each block has."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the prompt tokens."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens < 1:
            raise ValueError(f"VPT: expected one prompt token or more, got {self.tokens}")
        self.peft_type = cast(PeftType, "VPT")
