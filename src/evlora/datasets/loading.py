"""A dataset's clips in order, as batches."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import SequentialSampler

from evlora.clips import collate


class InOrder(SequentialSampler):
    """The clips of a split in the order of the manifest.

    Args:
        dataset: The clips.
        indices: Those wanted, in rising order; None is all of them.
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | None = None) -> None:
        super().__init__(dataset)
        self.dataset = dataset
        self._indices = range(len(dataset)) if indices is None else indices

    def __iter__(self) -> Iterator[int]:
        yield from self.dataset.reading(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


def loader_options(*, batch_size: int, workers: int) -> dict[str, Any]:
    """What every loader of clips is made with."""
    return {
        "batch_size": batch_size,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "collate_fn": collate,
        "pin_memory": torch.cuda.is_available(),
    }
