"""The clips of one split of a dataset, as torch's DataLoader reads them."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Dataset

from evlora.clips import Clip, ClipConfig, make_clip, make_test_views
from evlora.datasets.manifest import Manifest, Sample
from evlora.datasets.memory import RecordingMemory
from evlora.datasets.opening import open_sample
from evlora.errors import DatasetError, RecordingError
from evlora.files import state_of
from evlora.recordings import Recording

FINDS_ALL = "evlora prepare with --check finds all such recordings"


class ClipDataset(Dataset[Clip]):
    """One clip for every sample of a split.

    What is random in a clip depends on the seed, the epoch and the sample's number alone: any
    number of workers gives the same clips.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: str,
        config: ClipConfig,
        *,
        seed: int = 0,
        is_training: bool = False,
        memory_mb: float = 0,
    ) -> None:
        """Take the samples of a split.

        Args:
            manifest: The dataset.
            split: train, val or test.
            config: How clips are made.
            seed: Of everything random.
            is_training: Whether moments and augmentation are drawn anew in every epoch.
            memory_mb: Megabytes of recordings that a process keeps once it has read them.

        Raises:
            DatasetError: The split holds no samples.
        """
        self.samples = manifest.split(split)
        self.labels = manifest.labels
        self.config = config
        self._source = manifest.source
        self._number = {label: number for number, label in enumerate(manifest.labels)}
        self._seed = seed
        self._is_training = is_training
        self._memory = RecordingMemory(memory_mb)
        # Shared memory: workers that live on through several epochs see the new number too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draw as in this epoch from now on, in the workers too."""
        self._epoch.fill_(epoch)

    @property
    def drawn_by(self) -> tuple[str, int, bool]:
        """What a clip depends on beside sample and epoch: folder, seed, and whether it trains."""
        return str(self._source), self._seed, self._is_training

    def states(self) -> list[object]:
        """What differs once a file that the samples are read from has changed."""
        return [state_of(self._source / path) for sample in self.samples for path in sample.paths]

    @property
    def chunk_sizes(self) -> list[int]:
        """Samples that are read together from one place; no order is better than another here."""
        return [len(self)]

    def reading(self, indices: Sequence[int]) -> Iterator[int]:
        """The same numbers; whoever has to fetch their data from afar does so meanwhile."""
        return iter(indices)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Clip:
        """The clip of the sample with this number.

        Raises:
            DatasetError: The sample lacks a modality that the configuration asks for.
            RecordingError: A file of it cannot be read.
        """
        sample = self.samples[index]
        generator = None
        if self._is_training:
            generator = np.random.default_rng([self._seed, int(self._epoch), index])
        with _naming(sample):
            return make_clip(
                self._recording(index),
                self.config,
                sample=sample.sample,
                label=self._number[sample.label],
                generator=generator,
            )

    def test_views(self, index: int) -> list[Clip]:
        """The test views of a sample, which a test averages over; see `AllTestViews`.

        Raises:
            DatasetError: The sample lacks a modality that the configuration asks for.
            RecordingError: A file of it cannot be read.
        """
        sample = self.samples[index]
        with _naming(sample):
            return make_test_views(
                self._recording(index),
                self.config,
                sample=sample.sample,
                label=self._number[sample.label],
            )

    def _recording(self, index: int) -> Recording:
        sample = self.samples[index]
        return self._memory.read(index, lambda: open_sample(sample, self._source))


class AllTestViews(Dataset[list[Clip]]):
    """All test views of every sample of a dataset, for a test that averages over them.

    An item is the list of a sample's V = `config.test_views.count` clips, and `collate` makes
    B·V clips of B items, those of a sample one after the other, each with its name and label. So
    the scores of a batch, of shape (B·V, K), become those of its samples by
    `logits.unflatten(0, (-1, V)).softmax(dim=-1).mean(dim=1)`, and every V-th label and name
    counts. With a single test view an item holds the clip that the dataset gives in evaluation.
    """

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> list[Clip]:
        """The test views of the sample with this number; see `ClipDataset.test_views`."""
        return self.dataset.test_views(index)


@contextmanager
def _naming(sample: Sample) -> Generator[None]:
    """Puts the sample's name before what went wrong with one of its files."""
    try:
        yield
    except RecordingError as error:
        raise type(error)(f"sample {sample.sample}: {error}; {FINDS_ALL}") from error
    except DatasetError as error:
        raise DatasetError(f"sample {sample.sample}: {error}") from error
