"""Which entries are trained: those with the largest gradients over a pass before the first step."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft import PeftModel
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.gps.config import GpsConfig
from evlora.models.adapters.gps.layer import GpsLayer


def models_choosing_entries(models: Iterable[nn.Module]) -> list[PeftModel]:
    """Those of the models whose trained entries are chosen by gradients."""
    return [
        model
        for model in models
        if isinstance(model, PeftModel)
        and isinstance(config := cast(Any, model.active_peft_config), GpsConfig)
        and config.chosen_by == "gradient"
    ]


@contextmanager
def choosing_entries(models: Iterable[PeftModel]) -> Generator[None]:
    """Gather the gradients of all backward passes inside, and choose by them at the end.

    Adapters of views that share a weight see gradients of their own. A layer that gets none keeps
    its largest entries.

    Raises:
        AdapterError: No layer got a gradient.
    """
    layers = [part for model in models for part in model.modules() if isinstance(part, GpsLayer)]
    for layer in layers:
        weight = layer.base_layer.weight
        layer.probe = torch.zeros_like(weight, dtype=torch.float32, requires_grad=True)
    try:
        yield
        gradients = [None if layer.probe is None else layer.probe.grad for layer in layers]
    finally:
        for layer in layers:
            layer.probe = None
    found = False
    for layer, gradient in zip(layers, gradients, strict=True):
        if gradient is not None and gradient.any():
            layer.choose(layer.active_adapters[0], gradient)
            found = True
    if not found:
        raise AdapterError(
            "gps: expected gradients to choose entries by, no layer got any; a batch needs two "
            "clips of one class and one of another: set a larger training.batch_size, or "
            "model.adapter.options.chosen_by=magnitude"
        )
