"""The moving average of what is learned over the steps (Polyak and Juditsky, 1992)."""

from collections.abc import Mapping

import torch
from torch import Tensor


class MovingAverage:
    """A second set of what is learned, which follows the first one slowly.

    Args:
        learned: The tensors that the optimizer changes, by name.
        decay: What is kept of the average in a step; the rest is what was just learned.
    """

    def __init__(self, learned: Mapping[str, Tensor], *, decay: float) -> None:
        self._learned = dict(learned)
        self._decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in learned.items()}

    @torch.no_grad()
    def follow(self, *, steps: int) -> None:
        """Take in what a step has learned.

        Args:
            steps: Made so far. In the first of them less is kept, (1 + steps) / (10 + steps), so
                that the start does not linger in short runs.
        """
        new = 1 - min(self._decay, (1 + steps) / (10 + steps))
        for name, tensor in self._learned.items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, new)
            else:  # a count
                self.tensors[name].copy_(tensor)

    @torch.no_grad()
    def exchange(self) -> None:
        """Let the network and the average change places; a second time changes them back."""
        for name, tensor in self._learned.items():
            learned = tensor.detach().clone()
            tensor.copy_(self.tensors[name])
            self.tensors[name].copy_(learned)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from these."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])
