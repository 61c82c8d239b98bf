"""The data module: a dataset's splits as batches, and what to know of them."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evlora.clips import Clip, ClipConfig
from evlora.config import expanded
from evlora.datasets import ClipDataset
from evlora.datasets.checking import IMBALANCE, same_content
from evlora.datasets.loading import loader_options
from evlora.datasets.samples import Sample
from evlora.errors import RecipeError, RecordingWarning
from evlora.messages import listed
from evlora.packing import clip_dataset
from evlora.recipe.schema import DataConfig
from evlora.recognizer import Recognizer
from evlora.training.features import MEMORY, FeatureDataset
from evlora.training.opening import open_dataset
from evlora.training.ordering import (
    SHUFFLED_CHUNKS,
    Clips,
    EpochSampler,
    ResumableLoader,
    SplitPart,
)

MOST_COMPARED = 20_000
"""Samples up to which a run looks for the same content in two splits; `evlora prepare` always
does."""
CLIPS_TRIED = 8
"""Clips of a split that are looked at before training."""


class ClipDataModule(LightningDataModule):
    """Training and validation clips of a prepared dataset.

    Raises:
        RecipeError: The recipe names no dataset.
        DatasetError: The dataset is incomplete, or a split is empty.
    """

    def __init__(self, data: DataConfig, clip: ClipConfig, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.is_balanced = data.balanced
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
        chunks = len(self.training.chunk_sizes)
        if data.balanced and chunks > SHUFFLED_CHUNKS:
            raise RecipeError(
                f"data.balanced: expected clips that can be read in any order, got {chunks} packed "
                f"shards, of which {SHUFFLED_CHUNKS} at most are at hand at once; set it to false "
                "and training.class_weights=balanced, or pack fewer shards"
            )
        self.seed = seed
        self.options = {"batch_size": batch_size, "workers": data.workers}
        self.counted_in_validation = 0
        """The clips of this rank's part of the val split that no other rank has."""
        self._tried: list[Clip] = []
        self._training_loader: ResumableLoader | None = None
        self._resumed: dict[str, int] | None = None

    @property
    def batch_size(self) -> int:
        """Clips in a batch; Lightning's tuner sets it."""
        return self.options["batch_size"]

    @batch_size.setter
    def batch_size(self, clips: int) -> None:
        self.options["batch_size"] = clips

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
            if isinstance(self.training, ClipDataset):
                step = max(1, len(self.training) // CLIPS_TRIED)
                places = range(0, len(self.training), step)[:CLIPS_TRIED]
                # Without augmentation, which gives even blank images many values.
                plain = clip_dataset(self.manifest, "train", self.training.config)
                self._tried = [plain[index] for index in places]

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
        return (
            *self._idle_augmentation(),
            *self._classes_without_clips(),
            *self._imbalance(),
            *self._constant_modalities(),
            *self._twins(),
        )

    @cached_property
    def same_content(self) -> list[str]:
        """Pairs of samples in different splits with the same content, in datasets of few files."""
        if self.manifest.packed is not None or len(self.manifest.samples) > MOST_COMPARED:
            return []
        return same_content(self.manifest)

    def _twins(self) -> tuple[str, ...]:
        if not self.same_content:
            return ()
        return (
            f"the same content in two splits: {listed(self.same_content)}; validation and test "
            "look better than they are",
        )

    @cached_property
    def class_counts(self) -> Tensor:
        """Training samples of each class, shape (K,)."""
        counts = Counter(sample.label for sample in self.manifest.split("train"))
        return torch.tensor([counts[label] for label in self.manifest.labels])

    def _weights_of_clips(self) -> Tensor:
        """One over the size of each training clip's class, shape (N,)."""
        number = {label: i for i, label in enumerate(self.manifest.labels)}
        classes = [number[sample.label] for sample in self.manifest.split("train")]
        return 1 / self.class_counts[torch.tensor(classes)].double()

    def _imbalance(self) -> tuple[str, ...]:
        largest = int(self.class_counts.max())
        smallest = int(self.class_counts[self.class_counts > 0].min())
        if self.is_balanced or largest < IMBALANCE * smallest:
            return ()
        return (
            f"classes have {smallest} to {largest} training clips; data.balanced=true draws each "
            "class equally often, training.class_weights=balanced weighs rare ones more",
        )

    def _constant_modalities(self) -> tuple[str, ...]:
        """Modalities that show nothing in the clips that were tried."""
        tried = self._tried
        values: dict[str, set[int]] = defaultdict(set)
        for clip in tried:
            for name, images in (("rgb", clip.rgb), ("event", clip.events)):
                if images is not None:
                    values[name] |= {int(images.min()), int(images.max())}
        return tuple(
            f"{name} has the same value {found.copy().pop()} everywhere in {len(tried)} training "
            "clips, so that nothing can be learned from it; check the recordings with "
            "evlora inspect, or drop it from clip.modalities"
            for name, found in values.items()
            if len(found) == 1
        )

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
            weights=self._weights_of_clips() if self.is_balanced else None,
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
