"""DoRA (Liu et al., ICML 2024): LoRA's sum of weights, normed, times a trained magnitude."""

from dataclasses import replace

from evlora.models.adapters.from_peft import lora

METHOD = replace(
    lora.METHOD, options=lora.lora_options(), fixed={"use_dora": True}, afterwards=None
)
