"""The data module: a dataset's splits as batches, in an order that a seed fixes.

The order of an epoch is a function of seed and epoch alone. So a checkpoint in the middle of an
epoch needs to know nothing but how many batches were taken: a run that goes on from there skips
these, and reads neither a clip twice nor too few.

Over several ranks the batches of a step follow one another in that order, so that R ranks with
batches of B clips see in each step what one process with batches of R·B clips sees. Packed data of
many chunks are divided otherwise: each rank has one stretch of the order, and fetches few chunks.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from evlora.clips import ClipConfig
from evlora.config import expanded
from evlora.datasets import ClipDataset, Manifest, read_manifest
from evlora.datasets.loading import loader_options
from evlora.datasets.samples import Sample
from evlora.errors import RecipeError, RecordingWarning, RunError
from evlora.messages import listed
from evlora.packing import clip_dataset
from evlora.recipe.schema import DataConfig
from evlora.recognizer import Recognizer
from evlora.training.features import MEMORY, FeatureDataset

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
    """

    def __init__(
        self, dataset: Clips, *, world_size: int, rank: int, seed: int, batch_size: int
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=seed)
        self._batch_size = batch_size
        self.skipped = 0
        """Clips of this rank that are skipped at the beginning of the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the order and of the augmentation."""
        super().set_epoch(epoch)
        cast(Clips, self.dataset).set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        dataset = cast(Clips, self.dataset)
        order = shuffled(dataset.chunk_sizes, seed=self.seed, epoch=self.epoch)
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


class ClipDataModule(LightningDataModule):
    """Training and validation clips of a prepared dataset.

    Raises:
        RecipeError: The recipe names no dataset.
        DatasetError: The dataset is incomplete, or a split is empty.
    """

    def __init__(self, data: DataConfig, clip: ClipConfig, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.manifest = open_dataset(data, seed=seed)
        memory_mb = data.memory_mb
        self.training: Clips = clip_dataset(
            self.manifest, "train", clip, seed=seed, is_training=True, memory_mb=memory_mb
        )
        has_validation = "val" in self.manifest.splits
        self.validation: Clips | None = (
            clip_dataset(self.manifest, "val", clip, memory_mb=memory_mb)
            if has_validation
            else None
        )
        self.features_folder: Path | None = None
        self.seed = seed
        self.options = {"batch_size": batch_size, "workers": data.workers}
        self.counted_in_validation = 0
        """The clips of this rank's part of the val split that no other rank has."""
        self._training_loader: ResumableLoader | None = None
        self._resumed: dict[str, int] | None = None

    def try_clips(self) -> None:
        """Make a clip of each kind of sample, so that what cannot work is refused at once.

        Samples are of one kind if they have the same modalities, in files of the same suffixes.

        Raises:
            DatasetError: Some samples lack a modality that the recipe asks for.
            RecordingError: One of those tried cannot be read.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordingWarning)  # training warns of them
            for clips in (self.training, self.validation):
                if isinstance(clips, ClipDataset):
                    kinds = {_kind(sample): i for i, sample in enumerate(clips.samples)}
                    for index in kinds.values():
                        clips[index]

    def cache_features(self, place: str, *, variants: int) -> None:
        """Let training go on from features, which `fill_caches` computes.

        Args:
            place: `memory`, or a folder to keep them in.
            variants: Draws of each training clip.
        """
        self.features_folder = None if place == MEMORY else Path(expanded(place))
        assert isinstance(self.training, ClipDataset)
        self.training = FeatureDataset(self.training, variants=variants)
        if isinstance(self.validation, ClipDataset):
            self.validation = FeatureDataset(self.validation, variants=1)

    def fill_caches(
        self, recognizer: Recognizer, precision: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        """Compute what cached features are wanted, with the recognizer on its device.

        Args:
            recognizer: What is trained.
            precision: Gives the context in which the run computes.
        """
        was_training = recognizer.training
        for dataset, is_training in ((self.training, True), (self.validation, False)):
            if isinstance(dataset, FeatureDataset):
                recognizer.train(is_training)  # pruned networks may see all patches in validation
                dataset.fill(
                    recognizer, self.features_folder, precision=precision(), **self.options
                )
        recognizer.train(was_training)

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever trains should know of the data."""
        return (*self._idle_augmentation(), *self._classes_without_clips())

    def _classes_without_clips(self) -> tuple[str, ...]:
        found = {sample.label for sample in self.manifest.samples if sample.split == "train"}
        missing = [label for label in self.manifest.labels if label not in found]
        if not missing:
            return ()
        return (
            f"there is no training clip of {len(missing)} of {len(self.manifest.labels)} classes "
            f"({listed(missing)}), so that they cannot be learned",
        )

    def _idle_augmentation(self) -> tuple[str, ...]:
        augmentation = self.training.config.augmentation
        idle = [
            f"clip.augmentation.{name}"
            for name in ("event_drop", "event_time_jitter_us", "event_polarity_flip")
            if getattr(augmentation, name)
        ]
        if self.manifest.packed is None or not idle:
            return ()
        return (f"packed event images stay as they were drawn, without {', '.join(idle)}",)

    @property
    def batches_of_an_epoch(self) -> int:
        """The steps that each rank takes in an epoch."""
        clips = -(-len(self.training) // self._place_among_ranks()["world_size"])
        return -(-clips // self.options["batch_size"])

    def train_dataloader(self) -> DataLoader[Any]:
        """The clips to learn from, shuffled anew in each epoch."""
        sampler = EpochSampler(
            self.training,
            seed=self.seed,
            batch_size=self.options["batch_size"],
            **self._place_among_ranks(),
        )
        loader = ResumableLoader(self.training, sampler=sampler, **_options(self.training, self))
        if self._resumed is not None:
            loader.load_state_dict(self._resumed)
        self._training_loader = loader
        return loader

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """The clips that choose the best epoch, in the order of the manifest; may be none."""
        if self.validation is None:
            return []
        options = _options(self.validation, self)
        clips = cast(Dataset[Any], self.validation)
        part = SplitPart(self.validation, **self._place_among_ranks())
        self.counted_in_validation = part.counted
        return DataLoader(clips, sampler=part, **options)

    def _place_among_ranks(self) -> dict[str, int]:
        if not self.trainer:
            return {"world_size": 1, "rank": 0}
        return {"world_size": self.trainer.world_size, "rank": self.trainer.global_rank}

    # Lightning would ask the loader itself, but loses its state where the length of an epoch is
    # asked for before, as our schedule of the learning rate does.
    def state_dict(self) -> dict[str, Any]:
        """How far the epoch is, for a checkpoint."""
        return {} if self._training_loader is None else self._training_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there when the loader is made, which is after this."""
        self._resumed = state_dict or None


def _kind(sample: Sample) -> tuple[str | None, ...]:
    """The suffixes of a sample's events, frames and event images; None for what it lacks."""
    parts = (sample.events, sample.frames, sample.event_images)
    first = [part[0] if isinstance(part, tuple) else part for part in parts]
    return tuple(None if path is None else Path(path).suffix.lower() for path in first)


def _options(dataset: Clips, data: ClipDataModule) -> dict[str, Any]:
    if isinstance(dataset, FeatureDataset):
        return dataset.loader_options(**data.options)
    return loader_options(**data.options)


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


def open_dataset(data: DataConfig, *, seed: int) -> Manifest:
    """The dataset of a recipe, with a validation split held out where it has none.

    Validation samples are held out first: `data.shots` are chosen from what is left.

    Raises:
        RecipeError: The recipe names no dataset.
        DatasetError: The dataset is incomplete.
    """
    if data.root is None:
        raise RecipeError(
            "data.root: expected the folder that `evlora prepare` made, or where a packed one lies "
            "in a bucket, got nothing; set data.root=FOLDER or data.root=s3://BUCKET/FOLDER"
        )
    manifest = read_manifest(
        data.root, source=data.source, cache=data.cache, cache_gb=data.cache_gb
    )
    if "val" not in manifest.splits:
        manifest = manifest.with_validation(data.validation_fraction, seed=seed)
    return manifest if data.shots is None else manifest.with_shots(data.shots, seed=seed)
