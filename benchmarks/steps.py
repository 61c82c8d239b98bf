"""A training step side by side: the released algorithm, plain peft, full fine-tuning, and evlora.

Every variant of the first table runs in a process of its own, one after the other in every round,
so that peak memory is its own and whatever else the machine does falls on all of them alike. The
second table has every method's step beside full fine-tuning of the same network. Ratios are taken
within a round; the table has their median and spread. benchmarks/costs.py has what sizes and
answers cost.

    python benchmarks/steps.py                                   # short: ViT-S, two moments
    python benchmarks/steps.py --backbone vit_base_patch16_224 --clips 4 --rounds 5
    python benchmarks/steps.py --device cuda --clips 8           # the same on a CUDA card
    python benchmarks/steps.py --tables methods --frames 4 --checkpointing none block \
        --methods lora '{method: lora, sites: both}'

On a CPU the clock is the processor time of the process. The CUDA path has not been run yet.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from typing import Any, cast

import peft
import timm
import torch
from timm import create_model
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy, mse_loss

from evlora.models.adapters import METHODS
from evlora.models.config import Checkpointing
from evlora.recipe import build
from evlora.recognizer import Recognizer

CLASSES = 114
RELEASED = "released algorithm, fp32"
FULL = "full fine-tuning of our network, fp32"
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.01, "target_modules": ["fc1", "fc2"]}
PRUNED = [
    "model.active_patches=98",
    "model.active_difference_patches=12",
    "model.thin_answers=false",
]
VARIANTS: dict[str, tuple[list[str], bool] | bool] = {
    RELEASED: False,
    "plain batched peft, fp32": True,
    FULL: (["model.adapter=full"], False),
    "evlora, fp32": ([], False),
    "evlora as its recipe, bf16": ([], True),
    "evlora with pruned training, bf16": (PRUNED, True),
}
"""Overrides of the recipe and whether it runs in bf16; for the plain ones, whether it batches."""

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


class PlainVELoRA(nn.Module):
    """The released algorithm without its oddities: three copies of the network, two trained blocks.

    Args:
        backbone: A ViT of timm.
        is_batched: Whether all images of a view go through it in one call, or one by one.
    """

    def __init__(self, backbone: str, *, is_batched: bool) -> None:
        super().__init__()
        self.is_batched = is_batched
        vits = [create_model(backbone, num_classes=0).requires_grad_(False) for _ in range(3)]
        width, heads = cast(int, vits[0].embed_dim), cast(Any, vits[0]).blocks[0].attn.num_heads
        adapted = [peft.get_peft_model(cast(Any, vit), peft.LoraConfig(**LORA)) for vit in vits]
        self.views = nn.ModuleList(cast(list[nn.Module], adapted))
        self.rho = Block(width, heads, qkv_bias=True)
        self.phi = Block(width, heads, qkv_bias=True)
        self.head = nn.Linear(2 * width, CLASSES)

    def tokens(self, view: int, images: Tensor) -> Tensor:
        """The mean tokens of a view, from (B, T, 3, H, W) to (B, N, D)."""
        encode = cast(Any, self.views[view]).base_model.model.forward_features
        if self.is_batched:
            return encode(images.flatten(0, 1)).unflatten(0, images.shape[:2]).mean(dim=1)
        clips = [torch.cat([encode(image[None]) for image in clip]).mean(dim=0) for clip in images]
        return torch.stack(clips)

    def forward(self, rgb: Tensor, events: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar."""
        steps = (rgb[:, 1:] - rgb[:, :-1]).abs() + (events[:, 1:] - events[:, :-1]).abs()
        r, e, d = self.tokens(0, rgb), self.tokens(1, events), self.tokens(2, steps)
        reconstruction = mse_loss(self.rho(e), r) + mse_loss(self.rho(r), e)
        _, z_r, z_e = self.phi(torch.cat([d, r, e], dim=1)).chunk(3, dim=1)
        logits = self.head(torch.cat([(z_r + r).mean(dim=1), (z_e + e).mean(dim=1)], dim=-1))
        return cross_entropy(logits, labels) + reconstruction


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vit_small_patch16_224", help="a ViT of timm")
    parser.add_argument("--clips", type=int, default=1, help="B")
    parser.add_argument("--frames", type=int, default=2, help="T")
    parser.add_argument("--size", type=int, default=224, help="px")
    parser.add_argument("--classes", type=int, default=CLASSES, help="K")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument(
        "--methods", nargs="*", default=list(METHODS), help="of the catalogue, or whole adapters"
    )
    parser.add_argument("--checkpointing", nargs="+", default=["none"], help="of the methods")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measured_alone(arguments)))
        return
    require_device(arguments.device)
    print(header(arguments))
    for name in arguments.tables:
        TABLES[name](arguments)


def require_device(device: str) -> None:
    """End with a message where the device is not there."""
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: expected a CUDA card, found none; run with --device cpu")


def header(arguments: argparse.Namespace) -> str:
    """What is measured, where, when and with which versions, in one line."""
    if arguments.device == "cuda":
        where = torch.cuda.get_device_name()
    else:
        where = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return (
        f"{arguments.backbone}, B = {arguments.clips}, T = {arguments.frames}, "
        f"{arguments.size} px, {where}, {versions}, timm {timm.__version__}, "
        f"peft {peft.__version__}, {date.today()}, {arguments.rounds} rounds\n"
    )


def print_variants(arguments: argparse.Namespace) -> None:
    """The first table: each variant in a process of its own, in every round."""
    rounds: list[dict[str, dict[str, float]]] = []
    for _ in range(arguments.rounds):
        results: dict[str, dict[str, float]] = {}
        for name in VARIANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--variant", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[name] = json.loads(done.stdout.splitlines()[-1])
        rounds.append(results)
    print("| variant | s a step | times as fast as released | peak MB above start | kept MB |")
    print("|---|---|---|---|---|")
    for name in VARIANTS:
        faster = [r[RELEASED]["s"] / r[name]["s"] for r in rounds]
        seconds, peak, kept = (
            statistics.median(r[name][key] for r in rounds) for key in ("s", "peak_mb", "kept_mb")
        )
        print(f"| {name} | {seconds:.2f} | {spread(faster)} | {peak:.0f} | {kept:.0f} |")


def print_methods(arguments: argparse.Namespace) -> None:
    """The second table: every method's step as a ratio to full fine-tuning, in this process."""
    print("\n| method, fp32 | checkpointing | time to full fine-tuning | kept bytes to it |")
    print("|---|---|---|---|")
    full = Step(arguments, *built(arguments, ["model.adapter=full"], is_half=False))
    kept_by_full = full.kept_mb()
    for method, checkpointing in itertools.product(arguments.methods, arguments.checkpointing):
        if method == "full":
            continue
        network = built(
            arguments, [f"model.adapter={method}"], is_half=False, checkpointing=checkpointing
        )
        step = Step(arguments, *network)
        kept = step.kept_mb() / kept_by_full
        ratios = [step.seconds() / full.seconds() for _ in range(arguments.rounds)]
        print(f"| {method} | {checkpointing} | {spread(ratios)} | {kept:.3f} |", flush=True)


TABLES = {"variants": print_variants, "methods": print_methods}


class Step:
    """Steps of one network on one batch of noise, the same for all.

    Args:
        arguments: Size of the batch, and the device.
        network: What is trained.
        forward: The loss from frames, event images and labels.
        is_half: Whether it runs in bf16.
    """

    def __init__(
        self, arguments: argparse.Namespace, network: nn.Module, forward: Forward, is_half: bool
    ) -> None:
        device = arguments.device
        self.network = network.train().to(device)
        self.forward = forward
        self.is_half = is_half
        self.device = torch.device(device)
        generator = torch.Generator().manual_seed(0)
        shape = (arguments.clips, arguments.frames, 3, arguments.size, arguments.size)
        images = [torch.randn(shape, generator=generator).to(device) for _ in range(2)]
        labels = torch.arange(arguments.clips, device=device) % arguments.classes
        self.batch = (*images, labels)
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-3)

    def run(self, hooks: AbstractContextManager[Any] | None = None) -> None:
        """Forward, backward and update."""
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_half)
        with autocast, hooks or nullcontext():
            loss = self.forward(*self.batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def seconds(self) -> float:
        """Time of one step: of the processor on a CPU, on the wall on a card."""
        is_card = self.device.type == "cuda"
        clock = time.perf_counter if is_card else time.process_time
        wait = torch.cuda.synchronize if is_card else (lambda: None)
        wait()
        begun = clock()
        self.run()
        wait()
        return clock() - begun

    def kept_mb(self) -> float:
        """Distinct tensors that autograd keeps for the backward pass, without weights, in MB."""
        weights = {p.untyped_storage().data_ptr() for p in self.network.parameters()}
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        self.run(saved_tensors_hooks(note, lambda tensor: tensor))
        return sum(size for place, size in kept.items() if place not in weights) / 1e6


def measured_alone(arguments: argparse.Namespace) -> dict[str, float]:
    """Time, peak memory above the built network, and kept bytes of one variant."""
    torch.manual_seed(0)
    variant = VARIANTS[arguments.variant]
    if isinstance(variant, bool):
        plain = PlainVELoRA(arguments.backbone, is_batched=variant)
        step = Step(arguments, plain, plain, False)
    else:
        step = Step(arguments, *built(arguments, variant[0], is_half=variant[1]))
    before = memory_mb(arguments.device)
    kept = step.kept_mb()  # the first step, which is not timed
    seconds = step.seconds()
    return {"s": seconds, "peak_mb": memory_mb(arguments.device) - before, "kept_mb": kept}


def built(
    arguments: argparse.Namespace,
    overrides: list[str],
    *,
    is_half: bool,
    checkpointing: Checkpointing = "none",
) -> tuple[nn.Module, Forward, bool]:
    """Evlora's network by its recipe, prepared as a run prepares it."""
    keys = [
        f"backbone.name={arguments.backbone}",
        "backbone.weights=random",
        f"clip.frames={arguments.frames}",
        f"clip.size={arguments.size}",
    ]
    recognizer: Recognizer = build(
        "velora_vitb16_clip", num_classes=arguments.classes, overrides=[*keys, *overrides]
    )
    prepare = getattr(recognizer, "prepare_training", None)
    if prepare is not None:
        prepare(precision="bf16-mixed" if is_half else "32-true", checkpointing=checkpointing)

    def forward(rgb: Tensor, events: Tensor, labels: Tensor) -> Tensor:
        output = recognizer(rgb, events)
        loss = cross_entropy(output.logits, labels)
        return loss + sum(output.terms.values(), torch.zeros_like(loss))

    return recognizer, forward, is_half


def memory_mb(device: str) -> float:
    """The most memory that was used so far, in MB of 10⁶ bytes."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def spread(values: list[float]) -> str:
    """Median, and the smallest and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
