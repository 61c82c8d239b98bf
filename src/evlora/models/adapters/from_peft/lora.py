"""LoRA (Hu et al., ICLR 2022): y + (α/r)·B·A·x."""

from peft import LoraConfig

from evlora.models.adapters.method import Method

METHOD = Method(
    LoraConfig,
    sites="ffn",
    settings={"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    defaults={"rank": 4, "dropout": 0.01},  # the released VELoRA's
    adapts_convolutions=True,
)
