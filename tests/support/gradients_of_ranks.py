"""Two ranks, one clip each, beside one process with both: prints the largest difference by method.

Takes a folder for the ranks to meet in. The gradients are those of the fast functions under
DistributedDataParallel with gloo, and of the plain blocks.
"""

import os
import sys
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from evlora.models import BackboneConfig, VELoRA, VELoRAConfig, build_backbone
from evlora.models.fast import IDEAS, Settings, set_blocks

METHODS = (
    {"method": "lora", "sites": "both"},
    {"method": "ssf"},
    {"method": "lv_adapter", "rank": 2},
    {"method": "adaptformer"},
)


def network_of(adapter: dict) -> VELoRA:
    """A tiny network off its start, without dropout."""
    torch.manual_seed(0)
    options = {"embed_dim": 24, "depth": 3, "num_heads": 2}
    config = BackboneConfig(name="vit_tiny_patch16_224", weights="random", options=options)
    adapters = {"adapter": adapter, "shared_adapter": {"method": "lora", "dropout": 0}}
    settings = VELoRAConfig.model_validate(adapters)
    network = VELoRA(build_backbone(config, size=(32, 32)), settings, num_classes=3).train()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network


def gradients(network: torch.nn.Module, clips: slice) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    rgb, events = (torch.randn(2, 2, 3, 32, 32, generator=generator)[clips] for _ in range(2))
    logits, terms, _ = network(rgb, events)
    (cross_entropy(logits, torch.tensor([0, 1])[clips]) + sum(terms.values())).backward()
    return [p.grad for p in network.parameters() if p.grad is not None]


def start(rank: int, folder: Path) -> int:
    """Fork a rank, which writes its gradients."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        meeting = f"file://{folder / 'meeting'}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
        found = []
        for adapter in METHODS:
            network = network_of(adapter)
            set_blocks(network, Settings(frozenset(IDEAS), "none"))
            found.append(gradients(DistributedDataParallel(network), slice(rank, rank + 1)))
        torch.save(found, folder / f"{rank}.pt")
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    ranks = [start(rank, folder) for rank in range(2)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]
    assert codes == [0, 0], codes
    both = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for place, adapter in enumerate(METHODS):
        plain = gradients(network_of(adapter), slice(None))
        largest = max(float(g.norm()) for g in plain)
        differences = [
            float((one - expected).norm() / expected.norm().clamp(min=1e-3 * largest))
            for of_rank in both
            for one, expected in zip(of_rank[place], plain, strict=True)
        ]
        print(adapter["method"], max(differences))  # noqa: T201


if __name__ == "__main__":
    main()
