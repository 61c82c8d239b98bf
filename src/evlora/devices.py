"""The devices that networks run on, by the names that a user types."""

import torch

from evlora.errors import RunError
from evlora.ranks import launched

AUTO = "auto"
WITHOUT_NUMBERS = "meta"
"""Torch's device for the shapes of tensors alone."""


def device_named(name: str = AUTO) -> str:
    """The device of this name; `auto` is a GPU that runs CUDA if there is one, else the CPU.

    Of processes that torchrun or srun has started on one machine, `auto` gives each its own GPU.

    Raises:
        RunError: PyTorch knows no such device, or this machine has none.
    """
    if name == AUTO:
        if not torch.cuda.is_available():
            return "cpu"
        place = launched()
        return "cuda" if place is None else f"cuda:{place.local_rank % torch.cuda.device_count()}"
    expected = (
        "device: expected auto, cpu, cuda or cuda:N, with such a device in this machine, got "
        f"{name}"
    )
    advice = "auto takes what there is"
    try:
        device = torch.device(name)
    except RuntimeError as error:  # torch lists 20 kinds
        raise RunError(f"{expected}; {advice}") from error
    if device.type == WITHOUT_NUMBERS:
        raise RunError(f"{expected}, which holds no numbers; {advice}")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # links to a driver may follow
        raise RunError(f"{expected}: {reason}; {advice}") from error
    return name
