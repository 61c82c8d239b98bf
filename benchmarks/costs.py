"""What a step costs over moments, size, rank, classes, batch and backbone; and what answers cost.

    python benchmarks/costs.py
    python benchmarks/costs.py --backbone vit_small_patch16_224 --rounds 5
    python benchmarks/costs.py --device cuda

Every row of the first table takes turns with the first one, and its ratio is the median over the
rounds. The second has the 50th and 99th percentile of a clip's answer and of a live push, all
variants in turn. The clock is the processor time of this process, on a card that of the wall.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from evlora.answering import for_answers
from evlora.models.streaming import StreamingNetwork
from evlora.recognizer import Recognizer
from steps import CLASSES, Step, built, header, require_device, spread

COSTS: dict[str, dict[str, Any]] = {
    "4 moments": {"frames": 4},
    "8 moments": {"frames": 8},
    "112 px": {"size": 112},
    "rank 16": {"overrides": ["model.adapter.rank=16", "model.shared_adapter.rank=16"]},
    "rank 64": {"overrides": ["model.adapter.rank=64", "model.shared_adapter.rank=64"]},
    "1,000 classes": {"classes": 1_000},
    "10,000 classes": {"classes": 10_000},
    "4 clips": {"clips": 4},
    "vit_small_patch16_224": {"backbone": "vit_small_patch16_224"},
}
"""What differs from the first row."""
ADAPTED, WITHOUT = "adapters beside the layers", "without adapters"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--backbone", default="vit_tiny_patch16_224", help="a ViT of timm")
    parser.add_argument("--clips", type=int, default=1, help="B")
    parser.add_argument("--frames", type=int, default=2, help="T")
    parser.add_argument("--size", type=int, default=224, help="px")
    parser.add_argument("--classes", type=int, default=CLASSES, help="K")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answers", type=int, default=60, help="answers of each kind")
    parser.add_argument("--only", nargs="*", default=list(COSTS), help="rows of the first table")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    require_device(arguments.device)
    print(header(arguments))
    print_costs(arguments)
    print_latencies(arguments)


def print_costs(arguments: argparse.Namespace) -> None:
    """The first table: LoRA on the FFN, fp32."""
    first = stepping(arguments, {})
    first.seconds()
    print("| a step of VELoRA | time to the first row | kept MB |\n|---|---:|---:|")
    print(f"| the sizes above | {first.seconds():.2f} s | {first.kept_mb():.0f} |", flush=True)
    for name in arguments.only:
        step = stepping(arguments, COSTS[name])
        kept = step.kept_mb()
        ratios = [step.seconds() / first.seconds() for _ in range(arguments.rounds)]
        print(f"| {name} | {spread(ratios)} | {kept:.0f} |", flush=True)


def stepping(arguments: argparse.Namespace, changes: dict[str, Any]) -> Step:
    """Steps of a network that differs in one way."""
    overrides = changes.get("overrides", [])
    changed = argparse.Namespace(**{**vars(arguments), **changes})
    return Step(changed, *built(changed, overrides, is_half=False))


def print_latencies(arguments: argparse.Namespace) -> None:
    """The second table: a clip's answer, and a live push."""
    adapted, without = (
        answering(arguments, overrides) for overrides in ([], ["model.adapter={method: none}"])
    )
    variants = {
        ADAPTED: adapted,
        # What folds keeps a copy for each recognizer: the one above must not become it.
        "folded": for_answers(copy.deepcopy(adapted)),
        "folded, bf16": for_answers(copy.deepcopy(adapted), precision="bf16"),
        WITHOUT: for_answers(without),
    }
    shape = (1, arguments.frames, 3, arguments.size, arguments.size)
    images = [torch.randint(256, shape, dtype=torch.uint8).to(arguments.device) for _ in range(2)]
    for what, calls in (
        ("a clip", {name: clip_of(r, images) for name, r in variants.items()}),
        ("a live push", {name: push_of(r, images, arguments) for name, r in variants.items()}),
    ):
        times = in_turn(calls, arguments)
        print(f"\n| {what} | p50 ms | p99 ms | time to {WITHOUT} |\n|---|---:|---:|---|")
        for name, seconds in times.items():
            p50, p99 = (1e3 * torch.tensor(seconds).quantile(torch.tensor([0.5, 0.99]))).tolist()
            ratios = [one / other for one, other in zip(seconds, times[WITHOUT], strict=True)]
            print(f"| {name} | {p50:.1f} | {p99:.1f} | {statistics.median(ratios):.2f} |")


def answering(arguments: argparse.Namespace, overrides: list[str]) -> Recognizer:
    """A recognizer off its start, where low-rank pairs are zero."""
    torch.manual_seed(0)
    recognizer, _, _ = built(arguments, overrides, is_half=False)
    assert isinstance(recognizer, Recognizer)
    with torch.no_grad():
        for parameter in recognizer.trained_tensors().values():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return recognizer.eval().to(arguments.device)


def clip_of(recognizer: Recognizer, images: list[Tensor]) -> Callable[[], Tensor]:
    """A call that answers to a whole clip."""
    return lambda: recognizer.answer(*images)


def push_of(
    recognizer: Recognizer, images: list[Tensor], arguments: argparse.Namespace
) -> Callable[[], Tensor | None]:
    """A call that takes a new moment and answers to the clip that ends with it."""
    stream = StreamingNetwork(recognizer.network, frames=arguments.frames)
    newest = [recognizer.normalize(x)[0, -1] for x in images]

    def push() -> Tensor | None:
        with torch.inference_mode(), recognizer.in_answer_type():
            return stream.push(*newest)

    for _ in range(arguments.frames):
        push()
    return push


def in_turn(
    calls: dict[str, Callable[[], Tensor | None]], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each call; every round makes all of them, after one to warm up."""
    is_card = arguments.device == "cuda"
    clock = time.perf_counter if is_card else time.process_time
    wait = torch.cuda.synchronize if is_card else (lambda: None)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(arguments.answers + 1):
        for name, call in calls.items():
            wait()
            begun = clock()
            with torch.inference_mode():
                call()
            wait()
            if number:
                seconds[name].append(clock() - begun)
    return seconds


if __name__ == "__main__":
    main()
