"""The optimizer: which tensors it changes, at which rates."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from evlora.errors import RecipeError
from evlora.models.backbone import blocks_of
from evlora.recipe.schema import TrainingConfig
from evlora.recognizer import Recognizer

SGD_MOMENTUM = 0.9
BLOCK = re.compile(r"\.blocks\.(\d+)\.")
UP = (".lora_B.", ".lv_adapter_up.")
"""In the names of the second half of a low-rank pair, which starts at zero."""
VECTOR = (".lv_adapter_vector.", ".lv_adapter_input_vector.", ".lv_adapter_shift.")
"""In the names of what stands beside a low-rank pair."""
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
    rate = config.peak_rate
    if config.learning_rate_per_256:
        rate *= clips_of_a_step(config, world_size=world_size) / 256
    groups = _groups(recognizer, config, rate)
    if config.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=SGD_MOMENTUM, weight_decay=config.weight_decay)
    is_fused = world_size == 1 and _suits_fused(recognizer, config)
    return AdamW(groups, lr=rate, weight_decay=config.weight_decay, fused=is_fused or None)


def _suits_fused(recognizer: Recognizer, config: TrainingConfig) -> bool:
    """Whether AdamW can take one pass over each tensor in place of several.

    On a processor that is a fifth of the time for an adapter's many small tensors. Lightning does
    not clip gradients for it under mixed precision.
    """
    is_on_processor = all(p.device.type == "cpu" for p in recognizer.parameters())
    return is_on_processor and (config.precision == "32-true" or not config.gradient_clip)


def require_pairs(recognizer: Recognizer, config: TrainingConfig) -> None:
    """Refuse a rate for the halves of low-rank pairs, or for vectors, where there are none.

    Raises:
        RecipeError: The adapter has no pairs, or no vectors.
    """
    names, method = list(recognizer.trained_tensors()), recognizer.config.model.adapter.method
    for key, places, what, others in (
        ("loraplus_ratio", UP, "low-rank pairs", "lora, dora or lv_adapter"),
        ("vector_ratio", VECTOR, "an Lv-Adapter's vectors", "lv_adapter"),
    ):
        if getattr(config, key) != 1 and not any(_is_of(name, places) for name in names):
            raise RecipeError(
                f"training.{key}: expected {what}, the adapter {method} has none; take {others}, "
                "or remove the key"
            )


def clips_of_a_step(config: TrainingConfig, *, world_size: int) -> int:
    """The effective batch: clips whose gradients a step of the optimizer takes the mean of."""
    return config.clips_of_a_batch * config.accumulate * world_size


def _groups(recognizer: Recognizer, config: TrainingConfig, rate: float) -> list[dict[str, Any]]:
    """What is trained, by its learning rate and by whether it decays: matrices alone do."""
    layers = len(blocks_of(recognizer.network.vit)) + 1
    by_rate: dict[tuple[int, float], tuple[list[Tensor], list[Tensor]]]
    by_rate = defaultdict(lambda: ([], []))
    for name, parameter in recognizer.trained_tensors().items():
        layer = layers if config.layer_decay == 1 else _layer_of(name, layers)
        ratio = _ratio_of(name, config)
        by_rate[layer, ratio][parameter.ndim <= 1].append(parameter)
    groups: list[dict[str, Any]] = []
    for (layer, ratio), (matrices, others) in sorted(by_rate.items()):
        own_rate = rate * config.layer_decay ** (layers - layer) * ratio
        groups.append({"params": matrices, "lr": own_rate})
        groups.append({"params": others, "lr": own_rate, "weight_decay": 0.0})
    return groups


def _ratio_of(name: str, config: TrainingConfig) -> float:
    if _is_of(name, UP):
        return config.loraplus_ratio
    return config.vector_ratio if _is_of(name, VECTOR) else 1.0


def _is_of(name: str, places: Sequence[str]) -> bool:
    return any(place in name for place in places)


def _layer_of(name: str, layers: int) -> int:
    """0 below the first block, then the number of the block from 1; `layers` for what is above."""
    found = BLOCK.search(name)
    if found:
        return int(found[1]) + 1
    return 0 if BELOW_BLOCKS.search(name) else layers
