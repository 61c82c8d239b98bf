"""The configuration of an AdaptFormer."""

from dataclasses import dataclass
from typing import Literal

from peft import PeftConfig
from peft.utils.peft_types import PeftType

from evlora.errors import AdapterError


@dataclass
class AdaptFormerConfig(PeftConfig):
    """An AdaptFormer: `s·W_up(ReLU(W_down·x))` beside each frozen FFN, for `get_peft_model`.

    x is the residual stream before the norm that precedes the FFN. The defaults are the paper's:
    1,189,632 numbers on a ViT-B.

    Args:
        target_modules: Names of FFNs (their ends suffice) or a regular expression over whole
            names. None: every FFN of a vision transformer of timm or transformers.
        exclude_modules: Names or a regular expression of FFNs to leave out.
        modules_to_save: Names of modules to train whole and to save beside the adapter, such as
            a new classifier.
        bottleneck: Rows of W_down and columns of W_up.
        scale: s.
        dropout: After the ReLU, in training.
        reads: What x is: `residual`, as published, or `ffn`, the FFN's own input, for networks
            without such a norm.
        norm: Name of the norm beside the FFN whose input is the residual stream; None: the one
            that timm and transformers put there.

    Raises:
        AdapterError: A setting is not one of those above.
    """

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    bottleneck: int = 64
    scale: float = 0.1
    dropout: float = 0.1
    reads: Literal["residual", "ffn"] = "residual"
    norm: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType("ADAPTFORMER")
        if self.reads not in ("residual", "ffn"):
            raise AdapterError(
                f"adaptformer: reads: expected one of residual, ffn; got {self.reads!r}"
            )
        if self.bottleneck < 1:
            raise AdapterError(
                f"adaptformer: bottleneck: expected 1 or more, got {self.bottleneck}"
            )
        if not 0 <= self.dropout < 1:
            raise AdapterError(f"adaptformer: dropout: expected 0…1, got {self.dropout}")
