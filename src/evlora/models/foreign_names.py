"""Checkpoints under other names than timm's: which network in them is the backbone, and its names.

A checkpoint is read as sections: each dictionary of tensors in it, by its place. In a section a
backbone is found by the name of its patch embedding; what stands before that name is its prefix.
Names were read in these repositories, at these commits:

- uzh-rpg/generative_event_pretraining b07c78c, `src/gra.py` and `src/cls.py`: GEP's checkpoints
  hold a DINOv2 with registers under `event_encoder`, or `encoder`, beside an optimizer.
- facebookresearch/dinov2 and facebookresearch/dinov3 583c867, `models/vision_transformer.py`.
- mlfoundations/open_clip e0c8e63: the vision tower under `visual`.
- BIT-Vision/EventPretrain aa311e3, `model/backbone/vit.py`: not a ViT of timm; see `refusal_of`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from timm.models.eva import Eva, EvaAttention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from evlora.errors import BackboneError

Tensors = dict[str, Tensor]

PATCHES, CLIP_PATCHES, CLIP_CLASS = "patch_embed.proj.weight", "conv1.weight", "class_embedding"
AVERAGED = ("state_dict_ema", "model_ema")
"""Sections of a running mean of the weights, which is taken where a file holds both, as in timm."""
CHUNKED_BLOCK = re.compile(r"^blocks\.\d+\.(\d+)\.")
"""DINOv2 numbers blocks through all of its chunks."""
ADAPTER = re.compile(r"(^|\.)(lora_|vera_|ia3_|oft_|boft_|hada_|lokr_|ranknum)")
"""How peft names what it adds."""


class Found(NamedTuple):
    """A backbone in a checkpoint."""

    prefix: str
    """What stands before the names of its tensors, sections included; empty for nothing."""
    tensors: Tensors
    """By their names in it."""


def backbones_in(checkpoint: Mapping[Any, Any]) -> list[Found]:
    """The backbones of known names in a checkpoint, each prefix once."""
    found: dict[str, Found] = {}
    for place, section in _sections(checkpoint):
        tensors = _unwrapped(section)
        for before in _prefixes(tensors):
            prefix = f"{place}.{before}".strip(".")
            own = {
                name.removeprefix(before): tensor
                for name, tensor in tensors.items()
                if name.startswith(before)
            }
            found[prefix] = Found(prefix, own)
    averaged = [one for one in found.values() if one.prefix.startswith(AVERAGED)]
    return averaged or list(found.values())


def in_timms_names(tensors: Tensors, vit: VisionTransformer | Eva) -> Tensors:
    """The tensors under names that timm's own conversion takes.

    Args:
        tensors: Of a backbone, by their names in it.
        vit: What they are for.

    Raises:
        BackboneError: They are of a network that timm cannot compute, hold what `vit` lacks, or
            adapters that are not merged into the weights.
    """
    if fault := refusal_of(tensors):
        raise BackboneError(fault)
    tensors = {
        CHUNKED_BLOCK.sub(r"blocks.\1.", name): tensor
        for name, tensor in _without_idle_adapters(tensors).items()
    }
    if CLIP_CLASS in tensors:
        return {f"visual.{name}": tensor for name, tensor in tensors.items()}
    if "storage_tokens" in tensors:
        return _of_dinov3(tensors, vit)
    if "register_tokens" in tensors:
        return {"mask_token": torch.empty(0), **tensors}  # by which timm knows DINOv2
    return tensors


def refusal_of(tensors: Mapping[str, Tensor]) -> str:
    """Why a network cannot be a backbone, where that is known by its names; else empty."""
    if any(name.startswith("vit_block.") for name in tensors):
        channels = tensors[PATCHES].shape[1] if PATCHES in tensors else "5"
        return (
            f"it is a network of EventPretrain: its patches take {channels} bins of a voxel grid "
            "and pass a norm and a GELU, which no ViT of timm does; evlora cannot compute it"
        )
    return ""


def _sections(content: Mapping[Any, Any], place: str = "") -> Iterator[tuple[str, Tensors]]:
    """The dictionaries of tensors in a checkpoint, by their places."""
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield place, tensors
    for key, value in content.items():
        if isinstance(value, Mapping):
            inner = cast(Mapping[Any, Any], value)
            yield from _sections(inner, f"{place}.{key}" if place else str(key))


def _prefixes(tensors: Tensors) -> Iterator[str]:
    """What stands before each backbone's names in a section; ends with a dot, or is empty."""
    for name in tensors:
        for stem in (PATCHES, CLIP_PATCHES):
            before = name.removesuffix(stem)
            if before == name or (before and not before.endswith(".")):
                continue
            if stem == PATCHES or f"{before}{CLIP_CLASS}" in tensors:
                yield before


def _unwrapped(section: Tensors) -> Tensors:
    """The tensors without the names of what peft wraps around layers."""
    tensors: Tensors = {}
    for name, tensor in section.items():
        if ".original_module." in name:  # its trained copy follows
            continue
        plain = re.sub(r"\.modules_to_save\.[^.]+\.", ".", name.replace(".base_layer.", "."))
        tensors[plain] = tensor
    return tensors


def _without_idle_adapters(tensors: Tensors) -> Tensors:
    """The tensors without adapters that change nothing.

    Raises:
        BackboneError: Adapters are not merged, so that the weights alone would be others.
    """
    adapters = [name for name in tensors if ADAPTER.search(name)]
    for name in adapters:
        # LoRA's second factor is zero before training: then nothing is lost with both.
        if "lora_A." not in name and not ("lora_B." in name and not tensors[name].any()):
            raise BackboneError(
                f"it holds adapters of peft beside the weights, such as {name}; merge them first: "
                "model = model.merge_and_unload(), then save model.state_dict()"
            )
    return {name: tensor for name, tensor in tensors.items() if name not in adapters}


def _of_dinov3(tensors: Tensors, vit: VisionTransformer | Eva) -> Tensors:
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if name.startswith(("mask_token", "local_cls_norm.")) or name.endswith(".bias_mask"):
            continue  # only pre-training uses them, or a bias below
        if name == "rope_embed.periods":
            _require_periods(tensor, vit)
        elif name.endswith(".qkv.bias"):
            masked = name.replace(".bias", ".bias_mask") in tensors
            renamed |= _biases(name, tensor, vit, is_key_masked=masked)
        else:
            scaled = re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", name)
            renamed[scaled.replace("storage_tokens", "reg_token")] = tensor
    return renamed


def _biases(
    name: str, bias: Tensor, vit: VisionTransformer | Eva, *, is_key_masked: bool
) -> Tensors:
    """The biases of queries and values, as timm's `Eva` has them.

    Raises:
        BackboneError: The model has no such biases, or keys have one too, and they are not zero.
    """
    query, key, value = bias.chunk(3)
    if not is_key_masked and key.any():
        raise BackboneError(f"{name}: expected no bias of keys, as DINOv3 has none, got one")
    attention = next(module for module in vit.modules() if isinstance(module, EvaAttention))
    if attention.q_bias is not None:
        layer = name.removesuffix("qkv.bias")
        return {f"{layer}q_bias": query, f"{layer}v_bias": value}
    if query.any() or value.any():
        raise BackboneError(
            f"{name}: is not zero, and this model has no such bias; choose the one of timm whose "
            "name ends with _dinov3_qkvb"
        )
    return {}


def _require_periods(periods: Tensor, vit: VisionTransformer | Eva) -> None:
    """Check that rotary positions turn by the same periods; those of a file may be in bf16."""
    own = getattr(getattr(vit, "rope", None), "periods", None)
    if isinstance(own, Tensor) and (
        own.shape != periods.shape or not torch.allclose(own.float(), periods.float(), rtol=1e-2)
    ):
        raise BackboneError(
            "rope_embed.periods: the rotary positions turn by other periods than the model's; "
            "choose the model of timm that this checkpoint was trained as"
        )
