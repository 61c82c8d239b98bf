"""LoRA that starts from what its layers see: EVA (Paischer et al., 2024), at equal ranks.

A is made of the directions in which a layer's inputs vary most, its first principal components; B
is zero, so that the output is unchanged. The inputs are those of a pass over training clips before
the first step. Convolutions keep the random start of A, as peft has it.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils.incremental_pca import IncrementalPCA
from torch import Tensor, nn

from evlora.errors import AdapterError

EVA = "eva"


def models_awaiting_inputs(models: Iterable[nn.Module]) -> list[PeftModel]:
    """Those of the models whose pairs start from the inputs of a pass."""
    return [
        model
        for model in models
        if isinstance(model, PeftModel)
        and cast(Any, model.active_peft_config).__dict__.get("init_lora_weights") == EVA
    ]


@contextmanager
def starting_from_inputs(models: Iterable[PeftModel]) -> Generator[None]:
    """Watch the inputs of the adapted layers, and start A from them at the end.

    Raises:
        AdapterError: A layer saw no input, or fewer tokens in a batch than twice the rank.
    """
    layers = [  # views have layers of the same names
        (name, layer, _components(_pair(layer)))
        for model in models
        for name, layer in model.named_modules()
        if isinstance(layer, LoraLayer) and isinstance(layer.get_base_layer(), nn.Linear)
    ]
    handles = [
        cast(nn.Module, layer).register_forward_pre_hook(partial(_take, name, components))
        for name, layer, components in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    for name, layer, components in layers:
        found = getattr(components, "components_", None)
        if found is None:
            raise AdapterError(f"init: eva: expected clips that pass through {name}, none did")
        with torch.no_grad():
            _pair(layer).weight.copy_(found)


def _pair(layer: Any) -> nn.Linear:
    """A of the active adapter."""
    return cast(nn.Linear, layer.lora_A[layer.active_adapters[0]])


def _components(pair: nn.Linear) -> IncrementalPCA:
    """For as many components as the pair has ranks, found among twice as many, as peft does."""
    rank, features = pair.weight.shape
    return IncrementalPCA(rank, lowrank=True, lowrank_q=min(2 * rank, features), lowrank_seed=0)


def _take(
    name: str, components: IncrementalPCA, module: nn.Module, inputs: tuple[Any, ...]
) -> None:
    seen: Tensor = inputs[0].detach().flatten(0, -2).float()
    needed = components.lowrank_q or 0
    if len(seen) < needed:
        raise AdapterError(
            f"init: eva: expected {needed} tokens or more in a batch for this rank, "
            f"got {len(seen)} in {name}; set a larger training.batch_size, or a lower rank"
        )
    components.partial_fit(seen)
