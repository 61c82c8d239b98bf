"""What a method costs: memory of a training step by kind, its time, and what inference pays.

Activations are what autograd keeps between the forward and the backward pass, counted tensor by
tensor, so that the figure is the same on every device.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from evlora.profiling import example_batch, measure_ms
from evlora.recipe.schema import TrainingConfig
from evlora.recognizer import Recognizer
from evlora.training.module import RecognizerModule
from evlora.training.optimizing import make_optimizer

MB = 1e6


@dataclass(frozen=True, slots=True)
class StepCost:
    """Memory of one training step in MB of 10⁶ bytes, and its time."""

    weights_mb: float
    """All parameters and buffers; those that views share count once."""
    gradients_and_optimizer_mb: float
    """Gradients and the optimizer's state."""
    activations_mb: float
    """What is kept for the backward pass of one batch."""
    step_ms: float
    """Median time of forward, backward and update."""


def measure_step(
    recognizer: Recognizer, config: TrainingConfig, *, repeats: int, seed: int = 0
) -> StepCost:
    """What a training step with a batch of the recipe's size costs.

    Args:
        recognizer: What is trained; its trained weights are changed.
        config: Optimizer and batch size.
        repeats: Steps to time, after one to warm up.
        seed: Of the clips, which are noise.
    """
    module = RecognizerModule(recognizer, config, seed=seed)
    batch = example_batch(recognizer, config.clips_of_a_batch, seed=seed)
    optimizer = make_optimizer(recognizer, config)
    recognizer.train()
    activations = _activation_bytes(recognizer, lambda: module.loss(batch))

    def step() -> None:
        optimizer.zero_grad()
        module.loss(batch).backward()
        optimizer.step()

    (times_ms,) = measure_ms(step, repeats=repeats)
    gradients = [p.grad for p in recognizer.parameters() if p.grad is not None]
    state = [
        value
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, Tensor)
    ]
    weights = [*recognizer.parameters(), *recognizer.buffers()]
    return StepCost(
        weights_mb=sum(map(_bytes, weights)) / MB,
        gradients_and_optimizer_mb=sum(map(_bytes, [*gradients, *state])) / MB,
        activations_mb=activations / MB,
        step_ms=statistics.median(times_ms),
    )


def inference_ratio(recognizer: Recognizer, base: Recognizer, *, repeats: int) -> float:
    """How many times longer than `base` this recognizer takes for one clip.

    Both are timed in turn, and their medians are compared; on a CPU the clock is the processor time
    of this process, so that what else the machine does counts less.

    Args:
        recognizer: The one in question.
        base: The same network without adapters.
        repeats: Clips to time for each, after one to warm up.
    """
    batch = example_batch(recognizer, 1)
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    calls = [
        partial(network.eval().answer, batch.rgb, batch.events) for network in (recognizer, base)
    ]
    with torch.inference_mode():
        mine, its = map(statistics.median, measure_ms(*calls, repeats=repeats, clock=clock))
    return mine / its


def _activation_bytes(recognizer: Recognizer, forward: Callable[[], Tensor]) -> int:
    weights = {_storage(tensor) for tensor in [*recognizer.parameters(), *recognizer.buffers()]}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        place = _storage(tensor)
        if place not in weights:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss = forward()  # the graph must live while storages are distinguished by address
    total = sum(kept.values())
    del loss
    return total


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of the sample) of some values; a spread of 0 for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
