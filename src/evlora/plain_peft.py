"""Adapters that plain peft saved of a plain timm model, as a recognizer for one modality."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from evlora.clips import ClipConfig
from evlora.errors import AdapterError
from evlora.messages import listed
from evlora.models.backbone import PRETRAINED
from evlora.models.config import BackboneConfig, SingleStreamConfig
from evlora.recognizer import Recognizer, RecognizerConfig, adapted_parts, build_recognizer

PREFIX = "base_model.model."
HEADS = ("head.", "classifier.")
"""Where peft keeps a head that was trained beside the adapters (`modules_to_save`)."""
READ_KEYS = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"}
READ_AS_THEY_ARE: dict[str, tuple[object, ...]] = {
    "use_rslora": (False,),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
    "bias": ("none",),
    "layers_to_transform": (None,),
    "exclude_modules": (None,),
    "fan_in_fan_out": (False,),
    "init_lora_weights": (True, False, "gaussian"),
}
"""Keys of peft's LoRA that evlora's has no key for → the values with which it is the same."""


def from_peft(
    folder: str | Path,
    base: str,
    *,
    labels: Sequence[str],
    head: str | Path | Mapping[str, Tensor] | None = None,
    weights: str = PRETRAINED,
    options: Mapping[str, int | float | str | bool] | None = None,
    clip: ClipConfig | None = None,
    pool: str = "token",
) -> Recognizer:
    """The recognizer that peft's LoRA or DoRA adapters make of a plain ViT of timm.

    Args:
        folder: What `PeftModel.save_pretrained` wrote: adapter_config.json and
            adapter_model.safetensors.
        base: The timm model that was adapted.
        labels: Names of the K classes, in the order of the head's outputs.
        head: `weight`, shape (K, D), and `bias`, shape (K,), or a .safetensors of them; by default
            the head that the folder holds, where peft was given `modules_to_save=["head"]`.
        weights: The base's: `pretrained`, or a weight file.
        options: More arguments of timm's constructor.
        clip: How recordings become clips; by default one RGB frame of 224 px.
        pool: `token`, `mean` or `map`, as timm's model pools.

    Returns:
        In evaluation mode; its scores, shape (B, K), are those of the peft model.

    Raises:
        AdapterError: The folder is damaged, or holds adapters of another kind or another model.
        BackboneError: The base does not exist, or its weights do not fit.
    """
    source = Path(folder)
    adapter = _adapter(source / "adapter_config.json")
    tensors = _tensors(source / "adapter_model.safetensors")
    config = RecognizerConfig(
        clip=clip or ClipConfig(frames=1, modalities=("rgb",)),
        backbone=BackboneConfig(name=base, weights=weights, options=dict(options or {})),
        model=SingleStreamConfig.model_validate({"adapter": adapter, "pool": pool}),
    )
    recognizer = build_recognizer(config, tuple(labels))
    (adapted,) = adapted_parts(recognizer).values()
    in_folder, of_adapters = _split(tensors)
    _fill(get_peft_model_state_dict(adapted), of_adapters, where=f"{source}: its adapters")
    given = _tensors(Path(head)) if isinstance(head, str | Path) else head
    found = in_folder if given is None else given
    if not found:
        raise AdapterError(
            f"{source}: expected a head beside the adapters, found none; give head=, or save it "
            'with the adapters: LoraConfig(modules_to_save=["head"])'
        )
    linear = cast(nn.Linear, cast(Any, recognizer.network).head)
    _fill(linear.state_dict(), found, where=f"{source}: its head for {len(labels)} labels")
    return recognizer.eval()


def _adapter(path: Path) -> dict[str, Any]:
    """The adapter as a recipe writes it.

    Raises:
        AdapterError: The file is missing or damaged, or of another method.
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        kind = stated["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"{path}: expected what PeftModel.save_pretrained writes: {error!r}; name its folder"
        ) from error
    if kind != "LORA":
        raise AdapterError(
            f"{path}: expected LoRA or DoRA, got {kind}; convert it to LoRA with peft, or train it "
            "with evlora"
        )
    unread = [
        key
        for key, values in READ_AS_THEY_ARE.items()
        if stated.get(key) is not None and stated[key] not in values
    ]
    if unread:
        raise AdapterError(
            f"{path}: expected a LoRA without {listed(unread)}, which change what it computes; "
            "merge it with peft and give the merged weights as the base"
        )
    targets = stated.get("target_modules")
    return {
        "method": "dora" if stated.get("use_dora") else "lora",
        "sites": None,
        "target_modules": sorted(targets) if isinstance(targets, list) else targets,
        **{ours: stated[theirs] for theirs, ours in READ_KEYS.items() if theirs in stated},
    }


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"{path}: is missing or damaged: {error}; save it again as .safetensors"
        ) from error


def _split(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The head's tensors by their last names, and those of the adapters by peft's."""
    head: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        place = name.removeprefix(PREFIX)
        if place.startswith(HEADS):
            head[place.rpartition(".")[2]] = tensor
        else:
            others[name] = tensor
    return head, others


def _fill(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, where: str) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    differing = [
        name for name in expected if name in found and found[name].shape != expected[name].shape
    ]
    if missing or extra or differing:
        raise AdapterError(
            f"{where}: expected {len(expected)} tensors of this base, got {len(found)}; missing: "
            f"{listed(missing)}; not of it: {listed(extra)}; of another shape: "
            f"{listed(differing)}; name the model that was adapted, and its labels"
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(found[name])
