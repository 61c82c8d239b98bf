"""What a recognizer costs: parameters by part, operations, memory, latency."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evlora.answering import for_answers, has_bf16
from evlora.clips import Batch
from evlora.recognizer import Recognizer, adapted_parts
from evlora.utilisation import kept_for_backward, limit, measure_machine


@dataclass(frozen=True, slots=True)
class PartCount:
    """The parameters of one part."""

    part: str
    total: int
    """All that the part computes with; the frozen ones of views are one and the same."""
    trained: int
    """Those that are optimised and saved."""


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """The parameters of a recognizer; frozen weights that views share count once."""

    total: int
    trained: int
    trained_percent: float
    adapter_percent: float
    """What is trained in and on the backbone, without head and fusion, in per cent of its size."""
    saved_mb: float
    """Size of the trained numbers as they are saved, in MB of 10⁶ bytes."""
    by_part: list[PartCount]


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How well one clip's answer and training step use the machine."""

    utilisation: float
    """Share of the device's measured peak of float32 products that the forward pass reaches."""
    peak_gflops_per_s: float
    """That peak, in 10⁹ operations a second."""
    limit: str
    """What limits the forward pass, in a line."""
    kept_mb: dict[str, float]
    """What training keeps of a clip for the backward pass, by part, in MB of 10⁶ bytes."""
    bf16_difference: float
    """Largest difference of a class's probability when answers are computed in bf16."""
    has_bf16: bool
    """Whether the device has instructions for products of bf16."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a recognizer costs for a clip."""

    parameters: ParameterCount
    flops: int
    """Floating-point operations of one clip's forward pass, a multiply-add counted as two."""
    memory: dict[str, float] | None
    """Measured, in MB of 10⁶ bytes: weights, and on CUDA the peak of a forward pass."""
    latency: dict[str, float] | None
    """Measured, in ms for one clip: median, fastest, slowest."""
    efficiency: Efficiency | None
    """Measured: how well answers and training use the machine."""

    def as_dict(self) -> dict[str, Any]:
        """The profile as plain values; parts by name."""
        content = asdict(self)
        parts = content["parameters"]["by_part"]
        content["parameters"]["by_part"] = {part.pop("part"): part for part in parts}
        return content


def profile(recognizer: Recognizer, *, repeats: int = 0) -> Profile:
    """Count a recognizer's parameters and operations, and measure it if asked.

    Args:
        recognizer: Trained or not.
        repeats: Forward passes to time after one to warm up; 0 measures nothing.

    Returns:
        Parameters by part, operations of one clip's forward pass, times in ms and memory in MB.

    Raises:
        RuntimeError: The device lacks the memory for a clip.
    """
    flops = _count_flops(recognizer)
    latency = _measure_latency(recognizer, repeats) if repeats else None
    return Profile(
        count_parameters(recognizer),
        flops,
        _weights_mb(recognizer) if repeats else None,
        latency,
        None if latency is None else _efficiency(recognizer, flops, latency["median_ms"] / 1e3),
    )


def _efficiency(recognizer: Recognizer, flops: int, seconds: float) -> Efficiency:
    machine = measure_machine(next(recognizer.parameters()).device)
    weight_bytes = sum(p.numel() * p.element_size() for p in recognizer.parameters())
    batch = example_batch(recognizer, 1)
    kept_mb = kept_for_backward(recognizer, _example(recognizer), _parts(recognizer))
    with torch.inference_mode():
        exact, half = (
            for_answers(recognizer, precision=precision).log_probabilities(batch.rgb, batch.events)
            for precision in ("fp32", "bf16")
        )
    return Efficiency(
        utilisation=flops / seconds / machine.flops_per_s,
        peak_gflops_per_s=machine.flops_per_s / 1e9,
        limit=limit(machine, flops=flops, weight_bytes=weight_bytes, seconds=seconds),
        kept_mb=kept_mb,
        bf16_difference=float((exact.exp() - half.exp()).abs().max()),
        has_bf16=has_bf16(recognizer),
    )


def count_parameters(recognizer: Recognizer) -> ParameterCount:
    """The parameters in all, those trained, and both by view and stage."""
    parameters = list(recognizer.parameters())  # torch yields a shared parameter once
    total = sum(p.numel() for p in parameters)
    trained = [p for p in parameters if p.requires_grad]
    trained_count = sum(p.numel() for p in trained)
    adapted = [recognizer.network.vit, *adapted_parts(recognizer).values()]
    in_adapters = {id(p) for module in adapted for p in module.parameters()}
    adapter_count = sum(p.numel() for p in trained if id(p) in in_adapters)
    return ParameterCount(
        total=total,
        trained=trained_count,
        trained_percent=100 * trained_count / total,
        adapter_percent=100 * adapter_count / recognizer.backbone_parameters,
        saved_mb=sum(p.numel() * p.element_size() for p in trained) / 1e6,
        by_part=[_count_part(name, module) for name, module in _parts(recognizer)],
    )


def _parts(recognizer: Recognizer) -> Iterator[tuple[str, nn.Module]]:
    for name, module in recognizer.network.named_children():
        if isinstance(module, nn.ModuleDict):
            yield from ((f"{view} view", part) for view, part in module.items())
        elif any(True for _ in module.parameters()):  # a mean over time has none
            yield name.replace("_", " "), module


def _count_part(name: str, module: nn.Module) -> PartCount:
    parameters = list(module.parameters())
    return PartCount(
        name,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )


def example_batch(recognizer: Recognizer, size: int, *, seed: int = 0) -> Batch:
    """A batch of noise as the recognizer takes it, on its device.

    Args:
        recognizer: What is to be measured.
        size: Clips in the batch.
        seed: Of the noise.
    """
    config = recognizer.clip_config
    generator = torch.Generator().manual_seed(seed)
    shape = (size, config.frames, 3, *config.size_px)

    def images(modality: str) -> Tensor | None:
        if modality not in config.modalities:
            return None
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    labels = torch.arange(size) % len(recognizer.labels)
    batch = Batch(images("rgb"), images("event"), labels, [str(i) for i in range(size)])
    return batch.to(next(recognizer.parameters()).device)


def measure_ms(
    *calls: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[float], ...]:
    """How long each of these calls takes, in ms, timed in turn after one round to warm up.

    Args:
        calls: What is timed; work on a GPU is waited for.
        repeats: Times of each call that are returned.
        clock: Gives the time in seconds.
    """
    times_ms: tuple[list[float], ...] = tuple([] for _ in calls)
    for _ in range(repeats + 1):
        for times, call in zip(times_ms, calls, strict=True):
            _synchronize()
            begun = clock()
            call()
            _synchronize()
            times.append(1e3 * (clock() - begun))
    return tuple(times[1:] for times in times_ms)


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _example(recognizer: Recognizer) -> dict[str, Tensor]:
    """One clip as the network takes it: normalised, shape (1, T, 3, H, W)."""
    batch = example_batch(recognizer, 1)
    images = {"rgb": batch.rgb, "events": batch.events}
    return {name: recognizer.normalize(x) for name, x in images.items() if x is not None}


def _count_flops(recognizer: Recognizer) -> int:
    example = _example(recognizer)
    # On the meta device nothing is computed: a ViT-B is counted in a second, whatever the machine.
    on_meta = {name: images.to("meta") for name, images in example.items()}
    try:
        return _flops_of(_without_numbers(recognizer.network), on_meta)
    except (NotImplementedError, RuntimeError):  # some adapters look at numbers
        return _flops_of(recognizer, example)


def _flops_of(network: nn.Module, example: dict[str, Tensor]) -> int:
    network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(**example)
    return counter.get_total_flops()


def _without_numbers(network: nn.Module) -> nn.Module:
    """A copy on the meta device, in single precision; what layers share, they share there too."""
    copies: dict[int, Any] = {}
    for tensor in chain(network.parameters(), network.buffers()):
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        empty = tensor.detach().to("meta", dtype)
        is_parameter = isinstance(tensor, nn.Parameter)
        copies[id(tensor)] = nn.Parameter(empty, requires_grad=False) if is_parameter else empty
    return copy.deepcopy(network, copies)


def _weights_mb(recognizer: Recognizer) -> dict[str, float]:
    weights = sum(p.numel() * p.element_size() for p in recognizer.parameters()) / 1e6
    if not torch.cuda.is_available():
        return {"weights_mb": weights}
    device = next(recognizer.parameters()).device
    torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        recognizer.eval()(**_example(recognizer))
    return {"weights_mb": weights, "peak_mb": torch.cuda.max_memory_allocated(device) / 1e6}


def _measure_latency(recognizer: Recognizer, repeats: int) -> dict[str, float]:
    example = _example(recognizer)
    recognizer.eval()
    with torch.inference_mode():
        (times_ms,) = measure_ms(lambda: recognizer(**example), repeats=repeats)
    return {
        "median_ms": statistics.median(times_ms),
        "fastest_ms": min(times_ms),
        "slowest_ms": max(times_ms),
    }
