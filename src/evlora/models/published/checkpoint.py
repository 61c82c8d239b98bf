"""The released checkpoint of VELoRA (arXiv 2412.20064): its keys, its sizes, its tensors.

A pickled dict of four state dicts: three of OpenAI's CLIP, each wrapped by peft, and that of the
rest. Only tensors are read from it; a pickle that would run code is refused.
"""

import math
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from evlora.errors import CheckpointError
from evlora.messages import listed
from evlora.models.network import Network
from evlora.untrusted import plain

Key = tuple[str, str]
"""A section of the checkpoint, and a key in it."""

ADVICE = "give the checkpoint as it was published"

VIEWS = {
    "rgb": "ViT_model_state_dict",
    "event": "Event_ViT_model_state_dict",
    "difference": "frame_ViT_model_state_dict",
}
"""The section of each view's CLIP."""
REST = "model_state_dict"
UNREAD = ("epoch", "optimizer_state_dict")
"""What a checkpoint may hold beside its sections."""

CLIP = "base_model.model."
VISION = CLIP + "visual."
TEXT_TOWER = re.compile(
    re.escape(CLIP)
    + r"(transformer|token_embedding|ln_final)\..+|"
    + re.escape(CLIP)
    + r"(positional_embedding|text_projection|logit_scale)"
)
"""Keys of CLIP's text tower, which the released network carries and never uses."""
UNUSED = re.compile(
    r"(word_embed|weight_layer|remain_weight_layer|bn|cross_model)\..+|tex_embed|CLS_token"
)
"""Keys of parts that the released network makes and never uses."""

OF_THE_TOWER = {
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "conv1.weight": "patch_embed.proj.weight",
    "ln_pre.weight": "norm_pre.weight",
    "ln_pre.bias": "norm_pre.bias",
    "ln_post.weight": "norm.weight",
    "ln_post.bias": "norm.bias",
}
"""CLIP's names of a vision tower's tensors outside its blocks, and timm's."""
OF_A_LAYER = {
    "ln_1": "norm1",
    "attn.out_proj": "attn.proj",
    "ln_2": "norm2",
    "mlp.c_fc.base_layer": "mlp.fc1.base_layer",
    "mlp.c_proj.base_layer": "mlp.fc2.base_layer",
}
"""The same of a block's layers, each of a weight and a bias."""
OF_A_BLOCK = {
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    **{f"{a}.{kind}": f"{b}.{kind}" for a, b in OF_A_LAYER.items() for kind in ("weight", "bias")},
    **{
        f"mlp.{a}.lora_{factor}.default.weight": f"mlp.{b}.lora_{factor}.default.weight"
        for a, b in {"c_fc": "fc1", "c_proj": "fc2"}.items()
        for factor in "AB"
    },
}
"""The same of all of a block's tensors."""
PROJECTION = "proj"
"""CLIP's name of the projection from tokens to image embeddings."""
OF_A_TRANSFORMER_BLOCK = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
OF_THE_REST = (
    "rgb_embed",
    "event_embed",
    "frame_embed",
    *(
        f"{layer}.{kind}"
        for layer in (
            "visual_embed",
            *(f"blocks.0.{layer}" for layer in OF_A_TRANSFORMER_BLOCK),
            "norm",
            *(f"fuse_blocks.0.{layer}" for layer in OF_A_TRANSFORMER_BLOCK),
            *(f"self_attention.{layer}" for layer in ("query", "key", "value")),
            "fc1",
        )
        for kind in ("weight", "bias")
    ),
)
"""The names outside the towers, the same in the released network and in ours."""
HEAD_WIDTH = 64
"""Numbers of a token that one head of any of CLIP's vision transformers sees."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the shapes of a checkpoint's tensors tell."""

    width: int
    """D of the tokens."""
    depth: int
    """Blocks of a tower."""
    patch_px: int
    size_px: int
    """Pixels of an image's side."""
    projected_width: int
    rank: int
    """Of the LoRA."""
    classes: int

    @property
    def heads(self) -> int:
        """Heads of every block's attention."""
        return self.width // HEAD_WIDTH


@dataclass(frozen=True, slots=True, eq=False)
class PublishedCheckpoint:
    """The tensors that the network uses and those that it ignores; mapped from the file."""

    path: Path
    tensors: Mapping[Key, Tensor]
    sizes: Sizes
    epoch: int | None

    def load_into(self, network: Network) -> None:
        """Copy all tensors into the published network, whose views share the frozen ones.

        Raises:
            CheckpointError: A tensor has another shape.
        """
        own = network.state_dict()
        for key, name in _network_names(self.sizes.depth).items():
            tensor = self.tensors[key]
            shape = tuple(own[name].shape)
            # CLIP keeps class token and positions without the axes before them.
            if (1,) * (len(shape) - tensor.ndim) + tuple(tensor.shape) != shape:
                raise CheckpointError(
                    f"{_place(self.path, key)}: expected shape {shape}, got "
                    f"{tuple(tensor.shape)}; {ADVICE}"
                )
            own[name].copy_(tensor.reshape(shape))


def read_published_checkpoint(path: str | Path) -> PublishedCheckpoint:
    """The released checkpoint in this file.

    Args:
        path: What was downloaded, a `.pth`.

    Raises:
        CheckpointError: There is no file, it needs code to be read, or it is not laid out as the
            released checkpoint is.
    """
    source = Path(path)
    content = _load(source)
    missing = sorted({REST, *VIEWS.values()} - content.keys())
    extra = sorted(map(str, content.keys() - {REST, *VIEWS.values(), *UNREAD}))
    if missing or extra:
        raise CheckpointError(
            f"{source}: expected a checkpoint of VELoRA's released code; missing: "
            f"{listed(missing)}; not of it: {listed(extra)}; {ADVICE}"
        )
    tensors: dict[Key, Tensor] = {
        (section, key): tensor
        for section in (REST, *VIEWS.values())
        for key, tensor in _state_dict(source, section, content[section])
        if not (UNUSED if section == REST else TEXT_TOWER).fullmatch(key)
    }
    names = _network_names(_depth(tensors))
    _require_keys(source, expected=names.keys(), found=tensors.keys())
    _require_one_frozen_tower(source, tensors)
    epoch = content.get("epoch")
    return PublishedCheckpoint(
        source, tensors, _sizes(source, tensors), epoch if isinstance(epoch, int) else None
    )


def _load(path: Path) -> dict[str, Any]:
    if not plain(path, CheckpointError).is_file():
        raise CheckpointError(f"{path}: no such file; give the released checkpoint, a .pth")
    try:
        # Mapped tensors are read from the disk when they are copied; the oldest format cannot.
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: is no checkpoint of plain tensors alone, and nothing else is unpickled, "
            f"since that runs code; {ADVICE}"
        ) from error
    except Exception as error:  # a damaged file makes torch raise anything, assertions too
        raise CheckpointError(
            f"{path}: is damaged or no checkpoint: {error or 'it ends too soon'}; fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected a dict of state dicts, got a {type(content).__name__}; {ADVICE}"
        )
    return cast(dict[str, Any], content)


def _state_dict(path: Path, section: str, content: Any) -> Iterator[tuple[str, Tensor]]:
    """The section's tensors, without the prefix that DistributedDataParallel puts before all."""
    pairs = cast(dict[Any, Any], content).items() if isinstance(content, Mapping) else []
    if not pairs or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in pairs):
        raise CheckpointError(f"{path}: {section}: expected tensors by name, got something else")
    is_wrapped = all(key.startswith("module.") for key, _ in pairs)
    for key, tensor in pairs:
        yield key.removeprefix("module.") if is_wrapped else key, tensor


def _depth(tensors: Mapping[Key, Tensor]) -> int:
    """Blocks of a tower: the number that follow one another from the first one on."""
    block = re.compile(re.escape(VISION) + r"transformer\.resblocks\.(\d+)\..+")
    found = {int(match[1]) for _, key in tensors if (match := block.fullmatch(key))}
    return next(number for number in count() if number not in found)


def _network_names(depth: int) -> dict[Key, str]:
    """Where each tensor of a checkpoint goes: its key, and its name in the network."""
    names: dict[Key, str] = {(REST, name): name for name in OF_THE_REST}
    for view, section in VIEWS.items():
        inside = f"views.{view}.base_model.model."
        names |= {(section, VISION + key): inside + name for key, name in OF_THE_TOWER.items()}
        names[section, VISION + PROJECTION] = "projection"
        for number in range(depth):
            block = f"{VISION}transformer.resblocks.{number}."
            names |= {
                (section, block + key): f"{inside}blocks.{number}.{name}"
                for key, name in OF_A_BLOCK.items()
            }
    return names


def _require_keys(path: Path, *, expected: Set[Key], found: Set[Key]) -> None:
    if expected == found:
        return
    missing = [f"{section}: {key}" for section, key in sorted(expected - found)]
    extra = [f"{section}: {key}" for section, key in sorted(found - expected)]
    raise CheckpointError(
        f"{path}: expected the {len(expected)} tensors of the released network; missing: "
        f"{listed(missing)}; not of it: {listed(extra)}; {ADVICE}"
    )


def _require_one_frozen_tower(path: Path, tensors: Mapping[Key, Tensor]) -> None:
    first, *others = VIEWS.values()
    for section, key in tensors:
        if section != first or "lora_" in key:
            continue
        for other in others:
            if not torch.equal(tensors[section, key], tensors[other, key]):
                raise CheckpointError(
                    f"{_place(path, (other, key))}: expected the frozen weights that {first} has, "
                    "got others; the three towers may differ in nothing but their LoRA, since they "
                    "share one copy here"
                )


def _sizes(path: Path, tensors: Mapping[Key, Tensor]) -> Sizes:
    def shape(section: str, key: str, axes: int) -> tuple[int, ...]:
        found = tuple(tensors[section, key].shape)
        if len(found) != axes:
            raise CheckpointError(
                f"{_place(path, (section, key))}: expected {axes} axes, got shape {found}; {ADVICE}"
            )
        return found

    section = VIEWS["rgb"]
    patches = VISION + "conv1.weight"
    width, _, _, patch_px = shape(section, patches, 4)
    if width % HEAD_WIDTH:
        raise CheckpointError(
            f"{_place(path, (section, patches))}: expected a width that CLIP's heads of "
            f"{HEAD_WIDTH} divide, got {width}; {ADVICE}"
        )
    positions, _ = shape(section, VISION + "positional_embedding", 2)
    first_pair = VISION + "transformer.resblocks.0.mlp.c_fc.lora_A.default.weight"
    return Sizes(
        width=width,
        depth=_depth(tensors),
        patch_px=patch_px,
        size_px=patch_px * math.isqrt(positions - 1),
        projected_width=shape(section, VISION + PROJECTION, 2)[1],
        rank=shape(section, first_pair, 2)[0],
        classes=shape(REST, "fc1.weight", 2)[0],
    )


def _place(path: Path, key: Key) -> str:
    return f"{path}: {key[0]}: {key[1]}"
