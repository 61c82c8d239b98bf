"""A weight file for a backbone: opened without running code, and every tensor put in its place."""

import difflib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from timm.models import clean_state_dict, eva, vision_transformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from evlora.errors import BackboneError
from evlora.messages import listed, suggestion
from evlora.models.config import PRETRAINED, RANDOM
from evlora.models.foreign_names import PATCHES, Found, backbones_in, in_timms_names
from evlora.untrusted import plain

USUAL_SECTIONS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where timm looks for the weights in a checkpoint, in this order."""
NAMES_SHOWN = 3


def load_weights(vit: VisionTransformer | Eva, path: Path, *, name: str, prefix: str) -> None:
    """Put the weights of a file into a backbone, all of them or none.

    Args:
        vit: The backbone; without a classifier, whose tensors in the file are skipped.
        path: `.safetensors`, or a file of torch that holds tensors, in dictionaries or not.
        name: What messages call the model.
        prefix: What stands before the backbone's names, sections included, where the file holds
            several networks; empty finds the only one.

    Raises:
        BackboneError: There is no such file, it is damaged or would run code, or its tensors are
            not those of this model.
    """
    checkpoint = _read(path, name)
    try:
        tensors = in_timms_names(_chosen(checkpoint, prefix, path).tensors, vit)
        family: Any = eva if isinstance(vit, Eva) else vision_transformer
        keys = vit.load_state_dict(family.checkpoint_filter_fn(dict(tensors), vit), strict=False)
    except (BackboneError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise BackboneError(
            f"backbone.weights: {path} does not fit {name}: {_first_lines(error)}; "
            "give the weight file of this very model, or change backbone.name"
        ) from error
    settings = cast(dict[str, Any], vit.pretrained_cfg)
    classifier = cast(str | tuple[str, ...], settings.get("classifier") or "head")
    unexpected = [key for key in keys.unexpected_keys if not key.startswith(classifier)]
    if keys.missing_keys or unexpected:
        nearest = _nearest(unexpected, keys.missing_keys)
        raise BackboneError(
            f"backbone.weights: {path} does not fit {name}: "
            f"{_some('missing', keys.missing_keys)}{_some('not in the model', nearest)}"
            f"{_about(tensors)}give the weight file of this very model, or change backbone.name"
        )


def _read(path: Path, name: str) -> Mapping[Any, Any]:
    """What the file holds."""
    if not plain(path, BackboneError).is_file():
        raise BackboneError(
            f"backbone.weights: no file {path}; give a weight file of {name}, "
            f"`{PRETRAINED}` for the hub, or `{RANDOM}`"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BackboneError(
            f"backbone.weights: {path} is no file of plain tensors and was not opened, since "
            "unpickling runs code; give .safetensors, or a .pt of tensors alone. If you trust it, "
            'write one: torch.save(torch.load(FILE, weights_only=False)["state_dict"], NEW)'
        ) from error
    except Exception as error:  # a damaged file makes torch raise anything, assertions too
        raise BackboneError(
            f"backbone.weights: {path} cannot be read: {_first_lines(error)}; copy it again"
        ) from error
    if not isinstance(content, Mapping):
        raise BackboneError(
            f"backbone.weights: {path}: expected tensors by their names, got a "
            f"{type(content).__name__}; save the network's state_dict()"
        )
    return cast(Mapping[Any, Any], content)


def _chosen(checkpoint: Mapping[Any, Any], prefix: str, path: Path) -> Found:
    """The backbone with this prefix, or the only one.

    Raises:
        BackboneError: There is none, or several and no prefix.
    """
    found = {one.prefix: one for one in backbones_in(checkpoint)}
    if prefix:
        if prefix not in found:
            raise BackboneError(
                f"backbone.prefix: no network {prefix!r} in it; {suggestion(prefix, found)}"
            )
        return found[prefix]
    if len(found) > 1:
        raise BackboneError(
            f"it holds several networks, {listed(found, at_most=len(found))}; choose one with "
            "backbone.prefix"
        )
    if found:
        return next(iter(found.values()))
    # Under names that timm alone converts, or of nothing that it knows.
    section = next((one for key in USUAL_SECTIONS if (one := checkpoint.get(key))), checkpoint)
    tensors = clean_state_dict(dict(section))
    if not any(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise BackboneError(f"{path} holds no tensors under {', '.join(USUAL_SECTIONS)} or alone")
    return Found("", tensors)


def _nearest(names: Sequence[str], missing: Sequence[str]) -> list[str]:
    """The names, the first ones each with the most similar one that the model lacks."""
    shown = [
        f"{name}, nearest {close[0]}"
        if (close := difflib.get_close_matches(name, missing))
        else name
        for name in names[:NAMES_SHOWN]
    ]
    return [*shown, *names[NAMES_SHOWN:]]


def _some(what: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    return f"{len(keys)} tensors {what} ({listed(keys, at_most=NAMES_SHOWN)}); "


def _about(tensors: Mapping[str, Tensor]) -> str:
    """What the file's network is, by the shapes of its tensors, where they are known."""
    patches = tensors.get(PATCHES)
    if patches is None or patches.ndim != 4:
        return ""
    width, channels, height, _ = patches.shape
    numbers = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    registers = next(
        (tensors[k].shape[1] for k in ("reg_token", "register_tokens") if k in tensors), 0
    )
    return (
        f"the file's network has width {width}, {len(numbers)} blocks, patches of {height} px, "
        f"{channels} channels and {registers} registers; "
    )


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n")[:2]).replace("\t", " ")[:300]
