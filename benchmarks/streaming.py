"""What a new frame costs while the camera runs, beside encoding its whole clip again.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --models vit_tiny_patch16_224 --rounds 20

VELoRA with random weights and the catalogue's LoRA, one clip of frames and events. Both ways take
turns in one process, and the median is shown; the ratio is the median over the rounds. On a CPU the
clock is the processor time of this process, so that other work counts less; on CUDA it is the
wall's. Neither way computes the reconstruction, which only training needs.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date

import timm
import torch
from torch import Tensor

from evlora.models import BackboneConfig, VELoRA, VELoRAConfig, build_backbone
from evlora.models.streaming import StreamingNetwork

MODELS = ("vit_tiny_patch16_224", "vit_base_patch16_clip_quickgelu_224")
CLASSES = 114


def main() -> None:
    """Measure each model on each device that is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=MODELS, help="ViTs of timm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=8, help="moments of a clip, T")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    options = parser.parse_args()
    cuda = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores", *cuda, sep=", ", end=", "
    )
    print(f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}", end=", ")
    print(f"torch {torch.__version__}, timm {timm.__version__}, T = {options.frames}", end=", ")
    print(f"{options.size} px, float32, median of {options.rounds}\n")
    print("| network | device | whole clip | new frame | encode | decide | cheaper | difference |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for device in ("cpu", *(["cuda"] if cuda else [])):
        for model in options.models:
            print(row(model, device, options), flush=True)


def row(model: str, device: str, options: argparse.Namespace) -> str:
    """One line of the table: milliseconds, their ratio, and how far the scores lie apart."""
    network = built(model, options.size).to(device)
    images = torch.randn(2, options.frames, 3, options.size, options.size, device=device)
    stream = StreamingNetwork(network, frames=options.frames)
    scores = None
    for rgb, events in images.unbind(1):
        scores = stream.push(rgb, events)
    assert scores is not None
    difference = float((scores - whole_clip(network, images)).abs().max())
    newest = images[:, -1].unbind()
    seconds = interleaved(
        {
            "clip": lambda: whole_clip(network, images),
            "encode": lambda: stream.encode(*newest),
            "decide": stream.decide,
        },
        rounds=options.rounds,
        device=device,
    )
    pushes = [sum(parts) for parts in zip(seconds["encode"], seconds["decide"], strict=True)]
    ratios = [clip / push for clip, push in zip(seconds["clip"], pushes, strict=True)]
    times = [seconds["clip"], pushes, seconds["encode"], seconds["decide"]]
    cells = " | ".join(f"{1e3 * statistics.median(values):.1f} ms" for values in times)
    ratio = f"{statistics.median(ratios):.1f} ×"
    return f"| {model} | {device} | {cells} | {ratio} | {difference:.0e} |"


def built(model: str, size: int) -> VELoRA:
    """A VELoRA whose trained numbers have left their start, where low-rank pairs are zero."""
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name=model, weights="random"), size=(size, size))
    network = VELoRA(backbone, VELoRAConfig(), num_classes=CLASSES).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return network


@torch.inference_mode()
def whole_clip(network: VELoRA, images: Tensor) -> Tensor:
    """The scores of a clip, shape (K,), from images of shape (2, T, 3, H, W): frames, events."""
    rgb, events = images.unsqueeze(1)
    seen = network.images_by_view(rgb, events)
    return network.decide(network.over_time(network.encode(seen)))[0]


def interleaved(
    functions: Mapping[str, Callable[[], object]], *, rounds: int, device: str
) -> dict[str, list[float]]:
    """Seconds of each call; every round calls all functions, after one round to warm up."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            wait()
            began = clock()
            function()
            wait()
            if number:
                seconds[name].append(clock() - began)
    return seconds


if __name__ == "__main__":
    main()
