"""FSDP2: the frozen weights of a backbone that does not fit one device, divided among several.

What is learned is small: it lies on every device, and DDP takes the mean of its gradients. The
frozen weights of a block are gathered while it computes, and let go of again.
"""

from collections import defaultdict
from typing import Any, cast

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from evlora.errors import RecipeError
from evlora.models.backbone import BackboneBlock
from evlora.recipe import Recipe
from evlora.training.features import OFF
from evlora.training.module import RecognizerModule

FSDP = "fsdp"


class ShardedBackbone(DDPStrategy):
    """DDP of what is learned, over blocks whose frozen weights are divided among the devices."""

    def model_to_device(self) -> None:
        """Divide the blocks, which puts one after another on the device, then move the rest."""
        module = cast(RecognizerModule, self.lightning_module)
        _ = module.recognizer.backbone_sha256  # taken of whole weights, and kept
        shard_frozen(module.recognizer, device=self.root_device)
        super().model_to_device()
        names = [name for name, p in module.named_parameters() if isinstance(p, DTensor)]
        ddp: Any = DistributedDataParallel  # whose way to name them begins with an underscore
        ddp._set_params_and_buffers_to_ignore_for_model(module, names)


def require_shardable(recipe: Recipe, *, world_size: int) -> None:
    """Refuse what does not go together with divided weights.

    Raises:
        RecipeError: There is one device, or nothing is frozen, or not all of them would take part.
    """
    where, ddp = "training.strategy: fsdp", "or training.strategy=ddp"
    if world_size == 1:
        raise RecipeError(
            f"{where} divides the backbone among several devices, this run has one; set "
            f"training.devices, {ddp}"
        )
    if recipe.model.adapter.method == "full":
        raise RecipeError(
            f"{where} divides frozen weights, model.adapter.method=full leaves none; choose "
            f"another method, {ddp}"
        )
    if recipe.training.cache_features != OFF:
        raise RecipeError(
            f"{where} expects that all devices compute the same blocks at the same time, cached "
            f"features are computed by each alone; set training.cache_features=off, {ddp}"
        )
    if recipe.training.average_best > 1:
        raise RecipeError(
            f"{where} does not validate a mean of epochs; set training.average_best=1, {ddp}"
        )


def shard_frozen(recognizer: nn.Module, *, device: torch.device) -> None:
    """Divide the frozen weights of each block among all processes, which are connected.

    Views of one backbone go on sharing: each process has one part of each weight.

    Args:
        recognizer: Of which the blocks are divided.
        device: Of this process.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    same: dict[int, list[BackboneBlock]] = defaultdict(list)
    for block in recognizer.modules():
        if isinstance(block, BackboneBlock) and not isinstance(block, FSDPModule):
            frozen = [p for p in block.parameters() if not p.requires_grad]
            if frozen:
                same[id(frozen[0])].append(block)
    for blocks in same.values():
        divided: dict[int, Any] = {}
        whole = [_frozen(block) for block in blocks]  # let go of before the next ones are moved
        for block, frozen in zip(blocks, whole, strict=True):
            learned = {p for p in block.parameters() if p.requires_grad}
            fully_shard(block, mesh=mesh, ignored_params=learned)
            _share(block, frozen, divided)


def _frozen(block: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in block.named_parameters() if not p.requires_grad}


def _share(block: nn.Module, frozen: dict[str, nn.Parameter], divided: dict[int, Any]) -> None:
    """Let the parts of a block's weights be those of the first block that had the same weights."""
    # FSDP divides the weights of each block by itself, as if no other had them.
    group = cast(Any, block)._get_fsdp_state()._fsdp_param_group
    parts = {id(part.sharded_param): part for part in group.fsdp_params}
    now = dict(block.named_parameters())
    for name, parameter in frozen.items():
        part = parts[id(now[name])]
        first = divided.setdefault(id(parameter), part)
        if first is not part:
            part.sharded_param = first.sharded_param
            part._sharded_param_data = first._sharded_param_data
            part._setattr_on_modules(first.sharded_param)
