"""What is infinite or NaN is never learned from, saved or loaded."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evlora.messages import listed
from evlora.ranks import AllRanksError

ADVICE = (
    "lower training.learning_rate, raise training.warmup_epochs, or check the samples; --resume "
    "continues from the last checkpoint, which holds finite weights only"
)


def non_finite_names(content: Any, name: str = "") -> Iterator[str]:
    """Where in nested mappings and sequences of tensors something is infinite or NaN.

    Args:
        content: What to look through.
        name: What it is called.
    """
    if isinstance(content, Tensor):
        if content.is_floating_point() and not bool(content.isfinite().all()):
            yield name
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from non_finite_names(value, f"{name}.{key}".lstrip("."))
    elif isinstance(content, (list, tuple)):
        for place, value in enumerate(content):
            yield from non_finite_names(value, f"{name}.{place}")


def require_finite(content: Any, what: str) -> None:
    """Check that all tensors in this are finite.

    Args:
        content: Nested mappings and sequences of tensors, the same in all ranks.
        what: For the message, such as `weights after step 12`.

    Raises:
        AllRanksError: Something is infinite or NaN.
    """
    names = list(non_finite_names(content))
    if names:
        raise AllRanksError(
            f"{what}: expected finite numbers, {len(names)} tensors hold infinite ones or NaN "
            f"({listed(names)}); {ADVICE}"
        )


class BatchGuard:
    """Looks at the loss and the gradients of each batch before a step is made with them.

    Args:
        skipped: Batches that may be skipped in a run.
    """

    def __init__(self, *, skipped: int) -> None:
        self._may_skip = skipped
        self.skipped = 0
        """Batches that were skipped until now."""

    def is_sound(self, loss: Tensor, gradients: Sequence[Tensor], *, overflows: bool) -> bool:
        """Whether a step may be made; the same in all ranks.

        Args:
            loss: Of this rank's batch, a scalar.
            gradients: The mean over all ranks.
            overflows: Whether a scaler of half precision deals with gradients that are too large.
        """
        found = loss.detach().float()
        if gradients and not overflows:
            found = found + torch.nn.utils.get_total_norm(gradients)
        flag = (~found.isfinite()).float()
        if _has_others():
            torch.distributed.all_reduce(flag)
        return not bool(flag)

    def skip(self, *, loss: Tensor, samples: list[str], step: int, epoch: int, batch: int) -> str:
        """Count a batch that no step is made with, and return what to report of it.

        Args:
            loss: Of this rank's batch.
            samples: In this rank's batch.
            step: Of the run, from 1.
            epoch: From 1.
            batch: Of the epoch, from 1.

        Raises:
            AllRanksError: That was one too many.
        """
        found: list[tuple[float, list[str]]] = [(float(loss), samples)]
        if _has_others():
            found = [found[0]] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(found, (float(loss), samples))
        losses = [value for value, _ in found]
        unsound = [pair for pair in found if not torch.tensor(pair[0]).isfinite()] or found
        names = listed((name for _, part in unsound for name in part), at_most=16)
        what = f"a loss of {losses[0]}" if len(losses) == 1 else f"losses of {losses}"
        message = (
            f"step {step} (epoch {epoch}, batch {batch}): expected a finite loss and gradients, "
            f"got {what} and gradients of it that are not all finite, from the samples {names}"
        )
        self.skipped += 1
        if self.skipped > self._may_skip:
            allowed = f", after {self._may_skip} skipped batches" if self._may_skip else ""
            raise AllRanksError(f"{message}{allowed}; {ADVICE}, or set training.skip_batches")
        return f"{message}; the batch is skipped, {self.skipped} of at most {self._may_skip}"


def _has_others() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
