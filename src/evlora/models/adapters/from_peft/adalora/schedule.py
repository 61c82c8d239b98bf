"""What AdaLoRA needs while it is trained, since it spends its ranks by a schedule.

AdaLoRA (Zhang et al., ICLR 2023) starts with more rank than it may keep and sets the singular
values that matter least to zero, more and more of them. peft does it; here is when.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.adalora import AdaLoraModel
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.messages import listed

AVERAGES = ("exp_avg_ipt", "exp_avg_unc")
"""peft's running averages, by which it ranks what matters."""
RANKS = {"lora_A": 0, "lora_B": 1, "lora_E": 0}
"""Which side of a tensor counts the ranks."""


def begin_training(module: nn.Module, *, total_steps: int) -> None:
    """Set the number of steps of the run in every adapter of a network that needs it.

    Args:
        module: The network, or a part of it.
        total_steps: Steps of the whole run, those before a resumption included.

    Raises:
        AdapterError: There are too few steps for a schedule.
    """
    for tuner in _adalora_models(module):
        config = _config(tuner)
        if total_steps < 3:
            raise AdapterError(
                f"adalora: expected 3 training steps or more, to start, shrink and settle, "
                f"got {total_steps}; train longer, or choose lora"
            )
        shares = (config.tinit / config.total_step, config.tfinal / config.total_step)
        config.tinit = min(round(shares[0] * total_steps), total_steps - 3)
        config.tfinal = min(max(1, round(shares[1] * total_steps)), total_steps - config.tinit - 2)
        config.total_step = total_steps
        if config.rank_pattern is None:
            config.rank_pattern = _pattern_of(tuner)


def after_step(module: nn.Module, *, step: int) -> None:
    """Show the gradients of a step to every adapter that needs them, before they are cleared.

    Args:
        module: The network, or a part of it.
        step: Which step was just made, counted from 0 over the whole run.
    """
    for tuner in _adalora_models(module):
        tuner.update_and_allocate(step)


def training_state(module: nn.Module) -> dict[str, Tensor]:
    """What adapters remember from step to step beside their weights, for a checkpoint, by name.

    With it, a resumed run chooses the same ranks as one that was not stopped; without it, AdaLoRA's
    averages begin anew and need some ten steps.
    """
    return {
        f"{number}/{kind}/{name}": tensor
        for number, tuner in enumerate(_adalora_models(module))
        for kind in AVERAGES
        for name, tensor in getattr(tuner.rankallocator, kind).items()
    }


def load_training_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take over what `training_state` gave; call it after `begin_training` and the weights."""
    for number, tuner in enumerate(_adalora_models(module)):
        allocator = tuner.rankallocator
        for kind in AVERAGES:
            prefix = f"{number}/{kind}/"
            average = {
                key.removeprefix(prefix): tensor
                for key, tensor in state.items()
                if key.startswith(prefix)
            }
            setattr(allocator, kind, average)
        allocator.ipt = {name: torch.zeros_like(t) for name, t in allocator.exp_avg_ipt.items()}
        _config(tuner).rank_pattern = _pattern_of(tuner)


def before_saving(adapted: PeftModel) -> None:
    """Let the ranks that are saved be those of the weights as they are.

    AdaLoRA's weights may be those of an earlier step than its last allocation (the best epoch's).
    Where a layer is left without any, one is kept: peft takes a tensor without rows for a damaged
    one, and warns.
    """
    for tuner in _adalora_models(adapted):
        pattern = _pattern_of(tuner)
        for used in (pattern or {}).values():
            used[0] = used[0] or not any(used)
        _config(tuner).rank_pattern = pattern


def before_loading(adapted: PeftModel, saved: Mapping[str, Any]) -> None:
    """Give an adapter the ranks of the one that was saved, so that its tensors can be filled.

    Args:
        adapted: As it is made from its settings, untrained.
        saved: The content of `adapter_config.json`.

    Raises:
        ValueError: The ranks that were saved are not those of this network.
    """
    for tuner in _adalora_models(adapted):
        pattern = saved.get("rank_pattern")
        if pattern is None:
            continue
        suffix = f".{tuner.trainable_adapter_name}"
        values = {name.removesuffix(suffix): p for name, p in _singular_values(tuner).items()}
        if not isinstance(pattern, dict) or pattern.keys() != values.keys():
            raise ValueError(f"rank_pattern: expected ranks of {listed(sorted(values))}")
        kept = {}
        for name, used in pattern.items():
            rank = sum(map(bool, used)) if isinstance(used, list) else 0
            if not 1 <= rank <= len(values[name]):
                raise ValueError(f"rank_pattern: {name}: expected 1 to {len(values[name])} ranks")
            kept[name] = [True] * rank + [False] * (len(values[name]) - rank)
        tuner.resize_modules_by_rank_pattern(kept, tuner.trainable_adapter_name)
        _config(tuner).rank_pattern = {name: [True] * sum(used) for name, used in kept.items()}


def fill_kept_ranks(name: str, tensor: Tensor, kept: Tensor) -> bool:
    """Give a tensor of an untrained adapter the ranks that a trained one has kept.

    The others stay as they are at the start, with singular values of 0, so that both compute the
    same: peft divides by the initial rank in either.

    Args:
        name: Of the tensor in the network.
        tensor: Shape (R, in) for A, (out, R) for B, (R, 1) for E; changed in place.
        kept: The same with r ≤ R.

    Returns:
        Whether the two are such tensors.
    """
    place = next((place for part, place in RANKS.items() if f".{part}." in name), None)
    if place is None or tensor.ndim != kept.ndim or kept.shape[place] > tensor.shape[place]:
        return False
    part = tensor.narrow(place, 0, kept.shape[place])
    if part.shape != kept.shape:
        return False
    part.copy_(kept)
    return True


def _adalora_models(module: nn.Module) -> Iterator[AdaLoraModel]:
    yield from (part for part in module.modules() if isinstance(part, AdaLoraModel))


def _config(tuner: AdaLoraModel) -> Any:
    return cast(Any, tuner.peft_config)[tuner.trainable_adapter_name]


def _pattern_of(tuner: AdaLoraModel) -> dict[str, list[bool]] | None:
    """Which singular values are in use, by name; None where none is yet."""
    values = _singular_values(tuner)
    if not any(tensor.any() for tensor in values.values()):
        return None
    return {name: (tensor != 0).flatten().tolist() for name, tensor in values.items()}


def _singular_values(tuner: AdaLoraModel) -> dict[str, Tensor]:
    return {
        name: parameter.detach()
        for name, parameter in tuner.model.named_parameters()
        if name.endswith(f"lora_E.{tuner.trainable_adapter_name}")
    }
