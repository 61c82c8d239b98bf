"""A recognizer as it answers: adapters folded into the weights, in half precision if asked.

What is trained and saved is the recognizer itself. Answering functions ask here for a copy that
shares all tensors with it but those that differ: the layers with adapters, one copy for each view,
and in half precision all matrices, at half their size.
"""

from dataclasses import dataclass, field
from typing import Literal, cast
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel
from torch import Tensor, nn

from evlora.models.adapters import fold, is_foldable
from evlora.models.backbone import share_weights
from evlora.recognizer import SHARED_STAGE, Recognizer, adapted_parts

Precision = Literal["fp32", "bf16", "auto"]
"""How answers are computed: `auto` is bf16 where the device has products of bf16, else fp32."""

MATRICES = (nn.Linear, nn.Conv2d, nn.Conv3d)
"""Layers whose weights autocast would cast to half precision in every call."""


@dataclass(slots=True)
class _Answering:
    """The copies of a recognizer, and what it was when they were made."""

    places: tuple[tuple[int, int], ...]
    learned: Tensor
    copies: dict[bool, Recognizer] = field(default_factory=dict[bool, Recognizer])


_MADE: WeakKeyDictionary[Recognizer, _Answering] = WeakKeyDictionary()


def for_answers(recognizer: Recognizer, *, precision: Precision = "fp32") -> Recognizer:
    """The recognizer as it answers fastest, in evaluation mode; it is neither trained nor saved.

    Adapters that can be folded into the weights below them are; others stay where they are. The
    copy is kept as long as the recognizer, and made anew when its weights have changed. With LoRA
    on the FFN of a ViT-B each view has 226 MB of its own; layers without adapters stay shared.

    Args:
        recognizer: Put into evaluation mode.
        precision: `fp32`; `bf16`, half the memory and less exact; or `auto`, bf16 where the
            device has products of bf16.

    Returns:
        A copy, or the recognizer itself where there is nothing to fold or cast.

    Raises:
        AdapterError: An adapter cannot be folded after all.
    """
    recognizer.eval()
    if recognizer.only_answers:
        return recognizer
    is_half = precision == "bf16" or (precision == "auto" and has_bf16(recognizer))
    parts = _foldable_parts(recognizer)
    if not parts and not is_half:
        return recognizer
    kept = _MADE.get(recognizer)
    places, learned = _state(recognizer)
    if kept is None or kept.places != places or not torch.equal(kept.learned, learned):
        kept = _MADE[recognizer] = _Answering(places, learned)
    if is_half not in kept.copies:
        copy = _folded(recognizer, parts)
        kept.copies[is_half] = _in_half_precision(copy) if is_half else copy
    copy = kept.copies[is_half].eval()
    copy.temperature = recognizer.temperature
    return copy


def is_wholly_foldable(recognizer: Recognizer) -> bool:
    """Whether no adapter is left beside the weights when this recognizer answers."""
    return len(_foldable_parts(recognizer)) == len(adapted_parts(recognizer))


def has_bf16(recognizer: Recognizer) -> bool:
    """Whether the recognizer's device has instructions for products of bf16."""
    device = next(recognizer.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def _foldable_parts(recognizer: Recognizer) -> list[str]:
    """The names of the parts whose adapters can be folded, in single precision."""
    if recognizer.config.model.network == "published":
        return []  # bit for bit the released network, which also uses the pairs of all views alone
    return [
        name
        for name, part in adapted_parts(recognizer).items()
        if is_foldable(part) and not any(p.dtype.itemsize < 4 for p in part.parameters())
    ]


def _state(recognizer: Recognizer) -> tuple[tuple[tuple[int, int], ...], Tensor]:
    """What shows that a copy is out of date.

    Places and versions of all tensors, and the numbers of those that are learned, unless that is
    the whole backbone.
    """
    places = tuple(
        (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
        for tensor in recognizer.state_dict(keep_vars=True).values()
    )
    if recognizer.config.model.adapter.method == "full":
        return places, torch.empty(0)
    # Whoever writes through `.data` leaves no version behind.
    learned = [tensor.detach().flatten() for tensor in recognizer.trained_tensors().values()]
    return places, torch.cat(learned)


def _folded(recognizer: Recognizer, parts: list[str]) -> Recognizer:
    copy = share_weights(recognizer)
    copy.only_answers = True
    mine = {id(part): name for name, part in adapted_parts(copy).items() if name in parts}
    places = [(path, module) for path, module in copy.named_modules() if id(module) in mine]
    for path, module in places:
        part = cast(PeftModel, module)
        copy.set_submodule(path, fold(part, keeps_pairs=mine[id(part)] == SHARED_STAGE))
    return copy


def _in_half_precision(copy: Recognizer) -> Recognizer:
    """The copy with its matrices in bf16; what several views share is cast once."""
    cast_by_id: dict[int, nn.Parameter] = {}
    for module in copy.modules():
        if type(module) in MATRICES:
            for name, parameter in list(module.named_parameters(recurse=False)):
                half = cast_by_id.get(id(parameter))
                if half is None:
                    values = parameter.detach().to(torch.bfloat16)
                    half = cast_by_id[id(parameter)] = nn.Parameter(values, requires_grad=False)
                module.register_parameter(name, half)
    copy.answer_type = torch.bfloat16
    return copy
