"""The settings of Adapter+."""

from dataclasses import dataclass, field
from typing import Literal, cast

from peft import PeftConfig
from peft.utils.peft_types import PeftType


@dataclass
class AdapterPlusConfig(PeftConfig):
    """y + s ⊙ (W_up · GELU(W_down · y)) behind each transformer block."""

    target_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Which transformer blocks; all of them if None."}
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Which of them are left out."}
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules that are trained as a whole and saved beside."}
    )
    rank: int = field(default=8, metadata={"help": "Width of the bottleneck."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout inside the bottleneck."})
    drop_path: float = field(
        default=0.1, metadata={"help": "How often in training an image goes without the adapter."}
    )
    init: Literal["zero", "houlsby"] = field(
        default="zero",
        metadata={"help": "zero: W_up starts at 0, unchanged; houlsby: as published, std 0.01."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise ValueError(f"Adapter+: expected a rank of 1 or more, got {self.rank}")
        if self.init not in ("zero", "houlsby"):
            raise ValueError(f"Adapter+: expected init zero or houlsby, got {self.init!r}")
        self.peft_type = cast(PeftType, "ADAPTER_PLUS")
