"""What a training step takes when only the K most active patches of events are seen.

    python benchmarks/sparse.py
    python benchmarks/sparse.py --model vit_tiny_patch16_224 --rounds 9

VELoRA with random weights and LoRA of rank 4: forward, backward and update with a batch of noise,
for what is in the pictures changes no shape. All K take turns in one process, and the median is
shown; a ratio is the median over the rounds. On a CPU the clock is the processor time of this
process, so that other work counts less; on CUDA it is the wall's.
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
from torch import Tensor, nn

from evlora.models import Backbone, BackboneConfig, VELoRA, VELoRAConfig, build_backbone

Counts = tuple[int | None, int | None]

CLASSES = 114
RECONSTRUCTION_WEIGHT = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", default="vit_base_patch16_clip_quickgelu_224", help="timm's")
    parser.add_argument(
        "--patches",
        nargs="+",
        type=counts_of,
        default=[(147, 12), (98, 12), (64, 12), (98, 98), (32, 32)],
        help="K, or K of event pictures and of differences: 98,12",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1, help="clips of a step")
    parser.add_argument("--frames", type=int, default=8, help="moments of a clip, T")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    named = [torch.cuda.get_device_name()] if device == "cuda" else []
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores", *named, sep=", ")
    print(f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}", end=", ")
    print(f"torch {torch.__version__}, timm {timm.__version__}, {options.model}", end=", ")
    print(f"{options.batch} clip(s) of {options.frames} × {options.size} px, float32", end=", ")
    print(f"median of {options.rounds}\n")

    size = (options.size, options.size)
    backbone = build_backbone(BackboneConfig(name=options.model, weights="random"), size=size)
    shape = (options.batch, options.frames, 3, *size)
    clips = torch.randn(2, *shape).to(device)
    every = [(None, None), *options.patches]
    steps = {counts: step_of(backbone, counts, clips, device) for counts in every}
    seconds = interleaved(steps, rounds=options.rounds, device=device)
    print("| patches seen of events | of differences | a step | off over this |")
    print("|---|---|---:|---:|")
    for counts, taken in seconds.items():
        ratios = [off / its for off, its in zip(seconds[None, None], taken, strict=True)]
        cells = " | ".join("all" if count is None else str(count) for count in counts)
        milliseconds = 1e3 * statistics.median(taken)
        print(f"| {cells} | {milliseconds:.0f} ms | {statistics.median(ratios):.2f} × |")


def counts_of(text: str) -> Counts:
    """K of event pictures and of differences: one number for both, or two."""
    numbers = [int(number) for number in text.split(",")]
    return numbers[0], numbers[-1]


def step_of(backbone: Backbone, counts: Counts, clips: Tensor, device: str) -> Callable[[], None]:
    """Forward, backward and update of a network that sees so many patches."""
    of_events, of_differences = counts
    config = VELoRAConfig(active_patches=of_events, active_difference_patches=of_differences)
    network = VELoRA(backbone, config, num_classes=CLASSES).to(device)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    labels = torch.arange(clips.shape[1], device=device)
    rgb, events = clips

    def step() -> None:
        logits, terms, _ = network(rgb, events)
        loss = nn.functional.cross_entropy(logits, labels)
        (loss + RECONSTRUCTION_WEIGHT * terms["reconstruction"]).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def interleaved(
    steps: Mapping[Counts, Callable[[], None]], *, rounds: int, device: str
) -> dict[Counts, list[float]]:
    """Seconds of each step; every round takes all of them, after one round to warm up."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds: dict[Counts, list[float]] = {counts: [] for counts in steps}
    for number in range(rounds + 1):
        for counts, step in steps.items():
            wait()
            began = clock()
            step()
            wait()
            if number:
                seconds[counts].append(clock() - began)
    return seconds


if __name__ == "__main__":
    main()
