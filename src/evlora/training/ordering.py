"""In which order clips are read: a seed fixes it.

The order of an epoch is a function of seed and epoch alone. So a checkpoint in the middle of an
epoch needs to know nothing but how many batches were taken: a run that goes on from there skips
these, and reads neither a clip twice nor too few.

Over several ranks the batches of a step follow one another in that order, so that R ranks with
batches of B clips see in each step what one process with batches of R·B clips sees. Packed data of
many chunks are divided otherwise: each rank has one stretch of the order, and fetches few chunks.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from evlora.datasets import ClipDataset
from evlora.errors import RunError
from evlora.training.features import FeatureDataset

Clips = ClipDataset | FeatureDataset
SHUFFLED_CHUNKS = 32
"""Chunks of a packed dataset whose clips are shuffled together: all must be at hand at once."""


class EpochSampler(DistributedSampler[int]):
    """The clips of an epoch, shuffled by seed and epoch, an equal piece of them for each rank.

    Where the clips do not divide evenly, the first ones of the order are read once more, fewer than
    there are ranks. Lightning calls `set_epoch` before each epoch; the one place where the epoch
    enters the data.

    Args:
        dataset: The clips.
        world_size: Ranks that divide them.
        rank: This one.
        seed: Of the run.
        batch_size: Clips of each rank in a step.
        weights: How often each clip is drawn, with repetition, relative to the others, shape (N,);
            None reads each clip once.
    """

    def __init__(
        self,
        dataset: Clips,
        *,
        world_size: int,
        rank: int,
        seed: int,
        batch_size: int,
        weights: Tensor | None = None,
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=seed)
        self._batch_size = batch_size
        self._weights = weights
        self.skipped = 0
        """Clips of this rank that are skipped at the beginning of the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the order and of the augmentation."""
        super().set_epoch(epoch)
        cast(Clips, self.dataset).set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        dataset = cast(Clips, self.dataset)
        if self._weights is None:
            order = shuffled(dataset.chunk_sizes, seed=self.seed, epoch=self.epoch)
        else:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = self._weights.multinomial(len(dataset), True, generator=generator)
        padded = order.repeat(-(-self.total_size // len(order)))[: self.total_size]
        # Few chunks are shuffled as a whole, and all ranks need all of them anyway.
        is_by_step = len(dataset.chunk_sizes) <= SHUFFLED_CHUNKS
        together = self._batch_size * self.num_replicas if is_by_step else self.total_size
        mine = torch.cat([self._own_share(part) for part in padded.split(together)])
        yield from dataset.reading(mine[self.skipped :].tolist())

    def _own_share(self, clips: Tensor) -> Tensor:
        """This rank's part of some clips, whose number the ranks divide evenly."""
        return clips.view(self.num_replicas, -1)[self.rank]


class SplitPart(Sampler[int]):
    """A rank's part of a split, in the order of the manifest.

    All ranks take the same number of clips, since they wait for each other after each batch; a part
    that goes beyond the end of the split repeats the last clip, which must not be counted again.
    """

    def __init__(self, dataset: Clips, *, world_size: int, rank: int) -> None:
        self._dataset = dataset
        self._size = -(-len(dataset) // world_size)
        self._first = rank * self._size
        self.counted = max(0, min(self._size, len(dataset) - self._first))
        """The clips of this part, from its beginning, that no other part has."""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        last = len(self._dataset) - 1
        numbers = range(self._first, self._first + self._size)
        return self._dataset.reading([min(number, last) for number in numbers])


class ResumableLoader(DataLoader[Any]):
    """Training batches, of which Lightning's checkpoints remember how many were taken."""

    def __init__(self, dataset: Clips, *, sampler: EpochSampler, **options: Any) -> None:
        super().__init__(cast(Dataset[Any], dataset), sampler=sampler, **options)
        self._order = sampler
        self._taken = 0
        self._resumed: dict[str, int] | None = None

    def __iter__(self) -> Any:
        # A generator begins at the first batch; Lightning makes it before it sets the epoch.
        state, self._resumed = self._resumed, None
        is_inside = state is not None and state["epoch"] == self._order.epoch
        self._taken = state["batches"] if state is not None and is_inside else 0
        self._order.skipped = self._taken * cast(int, self.batch_size)
        for batch in super().__iter__():
            self._taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """How far the epoch is."""
        return {
            "epoch": self._order.epoch,
            "batches": self._taken,
            "of": len(self),
            "ranks": self._order.num_replicas,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there.

        Raises:
            RunError: In the middle of an epoch, the number of processes or of clips has changed.
        """
        now = {"of": len(self), "ranks": self._order.num_replicas}
        if state["batches"] < state["of"] and any(state[name] != now[name] for name in now):
            raise RunError(
                f"checkpoint: it lies in the middle of an epoch that {state['ranks']} processes "
                f"divided into {state['of']} batches each, now {now['ranks']} processes have "
                f"{now['of']}; resume with as many devices and the same data as before"
            )
        self._resumed = dict(state)


def shuffled(chunk_sizes: Sequence[int], *, seed: int, epoch: int) -> Tensor:
    """The numbers of all clips in the order of an epoch, int64, shape (sum of the sizes,).

    The chunks are shuffled and put together by `SHUFFLED_CHUNKS`; the clips of such a group are
    shuffled among themselves. Clips that lie in no more chunks than that are simply shuffled.

    Args:
        chunk_sizes: Clips in each chunk; their numbers follow one another.
        seed: Of the run.
        epoch: Of the run, from 0.
    """
    generator = torch.Generator().manual_seed(seed + epoch)
    numbers = torch.arange(sum(chunk_sizes)).split(list(chunk_sizes))
    chunks = list(range(len(numbers)))
    if len(chunks) > SHUFFLED_CHUNKS:
        chunks = torch.randperm(len(chunks), generator=generator).tolist()
    order: list[Tensor] = []
    for first in range(0, len(chunks), SHUFFLED_CHUNKS):
        group = torch.cat([numbers[i] for i in sorted(chunks[first : first + SHUFFLED_CHUNKS])])
        order.append(group[torch.randperm(len(group), generator=generator)])
    return torch.cat(order)
