"""LoRA that starts from the weights themselves (PiSSA, OLoRA), without a change of the weights.

peft makes the pair of the largest part of W, and takes that part out of W. Here views share W, and
a bundle refers to it, so W stays, and the start is taken out of what the pair adds:
y + s·(B·A − B₀·A₀)·x. Both are the same function and learn the same; an adapter that is saved is
loaded by peft in its own way, with the same answers up to rounding.
"""

import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import linear_layers

FROM_WEIGHTS = ("pissa", "olora")
REFUSED = {
    "corda": "peft makes it of the layers' inputs and changes the frozen weights, which views "
    "share here; eva is made of the inputs too, and changes none",
    "lora_ga": "peft makes it of the gradients of a pass over the training data, and changes the "
    "frozen weights",
    "loftq": "it makes up for weights of 4 bits, which evlora does not have",
}
"""Ways to start that peft has as well, each with the reason why they cannot be chosen."""


@contextmanager
def weights_kept(module: nn.Module, config: Any) -> Generator[None]:
    """Give the layers that peft changes their weights back, in the same memory."""
    if config.init_lora_weights not in FROM_WEIGHTS:
        with (
            warnings.catch_warnings()
        ):  # weights on the meta device, as it advises, are of no use here
            warnings.filterwarnings("ignore", "lora with eva initialization", UserWarning)
            yield
        return
    weights = [
        layer.weight
        for name, layer in linear_layers(module).items()
        if re.fullmatch(config.target_modules, name)
    ]
    before = [(weight, weight.data, weight.data.clone()) for weight in weights]
    try:
        yield
    finally:
        for weight, memory, values in before:
            weight.data = memory.copy_(values)


def take_the_start_out(model: PeftModel) -> None:
    """Subtract what each pair adds at the start, where it starts from the weights.

    Raises:
        AdapterError: DoRA is on as well.
    """
    configs = cast(dict[str, Any], model.peft_config)
    for layer in model.modules():
        if not isinstance(layer, LoraLayer):
            continue
        for name in layer.active_adapters:
            if configs[name].init_lora_weights not in FROM_WEIGHTS or name not in layer.lora_A:
                continue
            if name in layer.lora_variant:
                raise AdapterError(
                    f"init: {configs[name].init_lora_weights} cannot be joined with dora, which "
                    "takes its magnitudes from the frozen weights; set one of the two"
                )
            for part, pairs in (("a", layer.lora_A), ("b", layer.lora_B)):
                start = cast(nn.Linear, pairs[name]).weight.detach().clone()
                cast(nn.Module, layer).register_buffer(_place(part, name), start, persistent=False)
            layer.lora_variant[name] = WithoutItsStart()


class WithoutItsStart(LoraVariant):
    """What a pair adds, less what it added at the start."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        module: Any, active_adapter: str, x: Tensor, result: Tensor, **kwargs: Any
    ) -> Tensor:
        """The frozen layer's output with s·(B·A − B₀·A₀)·x added to it."""
        down, up = (pairs[active_adapter] for pairs in (module.lora_A, module.lora_B))
        seen = module.lora_dropout[active_adapter](x.to(down.weight.dtype))
        first_down, first_up = _start(module, active_adapter)
        start = nn.functional.linear(nn.functional.linear(seen, first_down), first_up)
        return result + (up(down(seen)) - start) * module.scaling[active_adapter]

    @staticmethod
    def merge_safe(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """W + s·(B·A − B₀·A₀)."""
        return orig_weight + _delta(module, active_adapter).to(orig_weight.dtype)

    @staticmethod
    def merge_unsafe(module: Any, active_adapter: str, orig_weight: Tensor) -> None:
        """The same, in place."""
        orig_weight.data += _delta(module, active_adapter).to(orig_weight.dtype)

    @staticmethod
    def unmerge(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """W again."""
        return orig_weight - _delta(module, active_adapter).to(orig_weight.dtype)


def _place(part: str, adapter_name: str) -> str:
    return f"start_{part}_{adapter_name}"


def _start(layer: Any, name: str) -> tuple[Tensor, Tensor]:
    return getattr(layer, _place("a", name)), getattr(layer, _place("b", name))


def _delta(layer: Any, name: str) -> Tensor:
    down, up = _start(layer, name)
    start = layer.scaling[name] * (up @ down)
    return cast(Tensor, layer.get_delta_weight(name)) - start.to(torch.float32)
