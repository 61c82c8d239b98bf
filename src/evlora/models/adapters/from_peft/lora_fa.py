"""LoRA-FA (Zhang et al., 2023): LoRA whose A stays as it was drawn."""

from dataclasses import replace

from peft import PeftModel
from peft.tuners.lora import LoraLayer

from evlora.models.adapters.from_peft import lora


def freeze_the_first_factor(model: PeftModel) -> None:
    """Freeze A; peft keeps it frozen when adapters are switched."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.frozen_peft_weight_names = dict.fromkeys(layer.active_adapters, ("lora_A",))
            layer.set_adapter(layer.active_adapters)


METHOD = replace(lora.METHOD, options=lora.lora_options(), afterwards=freeze_the_first_factor)
