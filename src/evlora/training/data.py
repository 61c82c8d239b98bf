"""The data module: a manifest's splits as batches, in an order that a seed fixes."""

from functools import partial
from typing import cast

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, DistributedSampler

from evlora.clips import Clip, ClipConfig, ClipDataset, Manifest, collate, read_manifest
from evlora.errors import DatasetError, RecipeError
from evlora.training.config import DataConfig


class EpochSampler(DistributedSampler[Clip]):
    """Shuffles by seed and epoch, divides over ranks, and tells the dataset which epoch it is.

    Lightning calls `set_epoch` before each epoch; the one place where the epoch enters the data.
    """

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the order and of the augmentation."""
        super().set_epoch(epoch)
        cast(ClipDataset, self.dataset).set_epoch(epoch)


class ClipDataModule(LightningDataModule):
    """Training and validation clips of a prepared dataset.

    Raises:
        RecipeError: The recipe names no dataset.
        DatasetError: The dataset is incomplete, or a split is empty.
    """

    def __init__(self, data: DataConfig, clip: ClipConfig, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.manifest = open_dataset(data, seed=seed)
        self.training = ClipDataset(self.manifest, "train", clip, seed=seed, is_training=True)
        self.validation = ClipDataset(self.manifest, "val", clip)
        for split, dataset in (("train", self.training), ("val", self.validation)):
            if not len(dataset):
                raise DatasetError(
                    f"{data.root}: expected samples in the split {split!r}, got none"
                )
        self.seed = seed
        self.loader = partial(make_loader, batch_size=batch_size, workers=data.workers)

    def train_dataloader(self) -> DataLoader[Clip]:
        """The clips to learn from, shuffled anew in each epoch."""
        world_size, rank = (
            (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        )
        sampler = EpochSampler(
            self.training, num_replicas=world_size, rank=rank, shuffle=True, seed=self.seed
        )
        return self.loader(self.training, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Clip]:
        """The clips that choose the best epoch, in the order of the manifest."""
        return self.loader(self.validation)


def open_dataset(data: DataConfig, *, seed: int) -> Manifest:
    """The dataset of a recipe, with a validation split held out where it has none.

    Raises:
        RecipeError: The recipe names no dataset.
        DatasetError: The dataset is incomplete.
    """
    if data.root is None:
        raise RecipeError(
            "data.root: expected the folder that `evlora prepare` made, got nothing; "
            "set data.root=FOLDER"
        )
    manifest = read_manifest(data.root, source=data.source)
    if "val" in manifest.splits:
        return manifest
    return manifest.with_validation(data.validation_fraction, seed=seed)


def make_loader(
    dataset: ClipDataset,
    *,
    batch_size: int,
    workers: int,
    sampler: EpochSampler | None = None,
) -> DataLoader[Clip]:
    """Batches of a dataset, read by so many worker processes."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )
