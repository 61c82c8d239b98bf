"""The optimizer: which tensors it changes, at which rates."""

import re
from collections import defaultdict
from typing import Any

from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from evlora.models.backbone import blocks_of
from evlora.recipe.schema import TrainingConfig
from evlora.recognizer import Recognizer

SGD_MOMENTUM = 0.9
BLOCK = re.compile(r"\.blocks\.(\d+)\.")
BELOW_BLOCKS = re.compile(r"\.(patch_embed|pos_embed|cls_token|reg_token|norm_pre)\b")


def make_optimizer(
    recognizer: Recognizer, config: TrainingConfig, *, world_size: int = 1
) -> Optimizer:
    """The optimizer over what is trained, at its peak learning rate.

    Args:
        recognizer: What is trained.
        config: Which optimizer, and its numbers.
        world_size: Devices that take a step together.
    """
    rate = config.learning_rate
    if config.learning_rate_per_256:
        rate *= clips_of_a_step(config, world_size=world_size) / 256
    groups = _groups(recognizer, config, rate)
    if config.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=SGD_MOMENTUM, weight_decay=config.weight_decay)
    return AdamW(groups, lr=rate, weight_decay=config.weight_decay)


def clips_of_a_step(config: TrainingConfig, *, world_size: int) -> int:
    """The effective batch: clips whose gradients a step of the optimizer takes the mean of."""
    return config.batch_size * config.accumulate * world_size


def _groups(recognizer: Recognizer, config: TrainingConfig, rate: float) -> list[dict[str, Any]]:
    """What is trained, by its learning rate and by whether it decays: matrices alone do."""
    layers = len(blocks_of(recognizer.network.vit)) + 1
    by_layer: dict[int, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for name, parameter in recognizer.trained_tensors().items():
        layer = layers if config.layer_decay == 1 else _layer_of(name, layers)
        by_layer[layer][parameter.ndim <= 1].append(parameter)
    groups: list[dict[str, Any]] = []
    for layer, (matrices, others) in sorted(by_layer.items()):
        own_rate = rate * config.layer_decay ** (layers - layer)
        groups.append({"params": matrices, "lr": own_rate})
        groups.append({"params": others, "lr": own_rate, "weight_decay": 0.0})
    return groups


def _layer_of(name: str, layers: int) -> int:
    """0 below the first block, then the number of the block from 1; `layers` for what is above."""
    found = BLOCK.search(name)
    if found:
        return int(found[1]) + 1
    return 0 if BELOW_BLOCKS.search(name) else layers
