"""How much of the machine a recognizer uses, and what it keeps for the backward pass.

The machine's peak is measured, not taken from a data sheet: the rate of one large matrix product,
and that of copying memory.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from evlora.recognizer import Recognizer

PRODUCT_SIZE = {"cpu": 1024, "cuda": 8192}
COPIED_BYTES = {"cpu": 2**27, "cuda": 2**30}
TRIALS = 5
BUSY = 0.5
"""From this share of the peak on, products are what limits."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a device can do, measured."""

    flops_per_s: float
    """Floating-point operations a second in a large product of float32 matrices."""
    bytes_per_s: float
    """Bytes a second that a copy reads and writes together."""


def measure_machine(device: torch.device) -> Machine:
    """The peak rates of a device: the fastest of a few trials each."""
    size = PRODUCT_SIZE.get(device.type, PRODUCT_SIZE["cpu"])
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    out = torch.empty_like(a)
    source = torch.ones(
        COPIED_BYTES.get(device.type, COPIED_BYTES["cpu"]), dtype=torch.uint8, device=device
    )
    target = torch.empty_like(source)
    product_s: list[float] = []
    copy_s: list[float] = []
    for _ in range(TRIALS + 1):  # the first ones warm up, and are not the fastest
        product_s.append(_seconds(device, lambda: torch.mm(a, b, out=out)))
        copy_s.append(_seconds(device, lambda: target.copy_(source)))
    return Machine(2 * size**3 / min(product_s), 2 * source.numel() / min(copy_s))


def limit(machine: Machine, *, flops: int, weight_bytes: int, seconds: float) -> str:
    """What limits a forward pass, in one line.

    Args:
        machine: Its peaks.
        flops: Operations of the pass.
        weight_bytes: Bytes of the weights, which are read at least once.
        seconds: How long it takes.
    """
    by_products, by_reading = flops / machine.flops_per_s, weight_bytes / machine.bytes_per_s
    share = by_products / seconds
    if share >= BUSY:
        return f"matrix products: {share:.0%} of the measured peak"
    if by_reading > by_products:
        return (
            f"reading weights takes {1e3 * by_reading:.1f} ms, the operations "
            f"{1e3 * by_products:.1f} ms: larger batches cost little more"
        )
    return (
        f"passes over memory and many small operations: products take {share:.0%} of the time at "
        "the measured peak; larger batches, fewer adapters or folding them raise it"
    )


def kept_for_backward(
    recognizer: Recognizer, images: dict[str, Tensor], parts: Iterable[tuple[str, nn.Module]]
) -> dict[str, float]:
    """MB of 10⁶ bytes that a forward pass in training keeps, by part; weights are not counted.

    Args:
        recognizer: Put into training mode, and back into the mode that it was in.
        images: Normalised, as the recognizer takes them.
        parts: Names of parts and their modules; what is kept outside of all is `elsewhere`.
    """
    weights = {_place(t) for t in [*recognizer.parameters(), *recognizer.buffers()]}
    kept: dict[int, tuple[str, int]] = {}
    inside: list[str] = []
    named = {id(module): name for name, top in parts for module in top.modules()}

    def note(tensor: Tensor) -> Tensor:
        place = _place(tensor)
        if place not in weights:
            part = inside[-1] if inside else "elsewhere"
            kept.setdefault(place, (part, tensor.untyped_storage().nbytes()))
        return tensor

    def enter(module: nn.Module, _: object) -> None:
        inside.append(named[id(module)])

    def leave(*_: object) -> None:
        inside.pop()

    was_training = recognizer.training
    recognizer.train()
    with ExitStack() as stack, torch.enable_grad():
        for module in recognizer.modules():
            if id(module) in named:
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave).remove)
        with saved_tensors_hooks(note, lambda tensor: tensor):
            output = recognizer(**images)  # must live while storages are distinguished by address
    recognizer.train(was_training)
    del output
    by_part: dict[str, float] = {}
    for part, size in kept.values():
        by_part[part] = by_part.get(part, 0.0) + size / 1e6
    return by_part


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _seconds(device: torch.device, call: Callable[[], object]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
