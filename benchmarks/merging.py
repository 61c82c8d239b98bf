"""What an adapter costs when a network answers: merged, not merged, and the network alone.

All variants are timed side by side, one forward each per round, so that whatever else the machine
does falls on all of them alike. The ratio is the median over rounds of a variant's time to the
network's own in the same round.

    python benchmarks/merging.py --model vit_base_patch16_224 --rounds 30

On a machine with other work, `--clock processor` counts this process's own time on the processor.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from timm import create_model
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters import AdapterConfig, adapt

METHODS = ("lv_adapter", "lora", "adaptformer")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_base_patch16_224", help="a ViT of timm")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="names of the catalogue")
    parser.add_argument("--batch", type=int, default=1, help="images per forward")
    parser.add_argument("--rounds", type=int, default=30, help="forwards of each variant")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--options", nargs="*", default=[], help="timm's, such as depth=2")
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = {key: int(value) for key, _, value in (o.partition("=") for o in arguments.options)}
    base = create_model(arguments.model, num_classes=0, **cast(dict[str, Any], options))
    base = base.requires_grad_(False).eval().to(device)
    images = torch.randn(arguments.batch, *base.pretrained_cfg["input_size"], device=device)
    variants = {"the network alone": base, "the network alone, again": copy.deepcopy(base)}
    for method in arguments.methods:
        variants |= variants_of(base, method)

    outputs = {name: model(images) for name, model in variants.items()}
    clock = CLOCKS[arguments.clock]
    times = interleaved(variants, images, arguments.rounds, clock, synchronise(device))
    print(
        f"{arguments.model}, {arguments.batch} image(s) of {images.shape[-1]} px, {device}, ",
        end="",
    )
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}, median of ", end="")
    print(f"{arguments.rounds} rounds, {arguments.clock} clock\n")
    print("| variant | modules | median ms | time to the network's | largest difference |")
    print("|---|---|---|---|---|")
    alone = times["the network alone"]
    for name, model in variants.items():
        ratio = statistics.median(t / a for t, a in zip(times[name], alone, strict=True))
        milliseconds = 1000 * statistics.median(times[name])
        modules = "the same" if kinds(model) == kinds(base) else "more"
        unmerged = name.replace(", merged", "")
        difference = float((outputs[name] - outputs[unmerged]).abs().max())
        said = f"{difference:.0e} to unmerged" if ", merged" in name else ""
        print(f"| {name} | {modules} | {milliseconds:.1f} | {ratio:.3f} | {said} |")


def variants_of(base: nn.Module, method: str) -> dict[str, nn.Module]:
    """The network with this method, moved away from its start, and with it merged if it can be."""
    config = AdapterConfig(method=method)
    adapted = adapt(copy.deepcopy(base), config, name=method).eval()
    adapted = adapted.to(next(base.parameters()).device)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn_like(parameter))
    variants = {method: adapted.requires_grad_(False)}
    try:
        variants[f"{method}, merged"] = cast(Any, copy.deepcopy(adapted)).merge_and_unload()
    except AdapterError as error:
        print(f"{error}\n")
    return variants


@torch.no_grad()
def interleaved(
    variants: dict[str, nn.Module],
    images: Tensor,
    rounds: int,
    clock: Callable[[], float],
    wait: Callable[[], None],
) -> dict[str, list[float]]:
    """Seconds of each forward, by variant; every round calls all of them, in turning order."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(-2, rounds):  # two rounds to warm up
        start = number % len(names)
        for name in names[start:] + names[:start]:
            wait()
            began = clock()
            variants[name](images)
            wait()
            if number >= 0:
                times[name].append(clock() - began)
    return times


def synchronise(device: str) -> Callable[[], None]:
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in model.modules()]


if __name__ == "__main__":
    with torch.no_grad():
        main()
