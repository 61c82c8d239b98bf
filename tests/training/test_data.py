"""The order of an epoch: fixed by seed and epoch, cut evenly over ranks, chunk by chunk."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from packed_form import pack
from torch.utils.data import DistributedSampler

from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, read_manifest
from evlora.datasets.loading import loader_options
from evlora.datasets.storage import write_manifest
from evlora.errors import RunError
from evlora.packing import PackedDataset
from evlora.recipe.schema import DataConfig
from evlora.training import ordering
from evlora.training.data import ClipDataModule
from evlora.training.ordering import EpochSampler, ResumableLoader, shuffled

CONFIG = ClipConfig(frames=2, size=32)


@pytest.fixture(scope="module")
def packed(tiny_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "dataset"
    pack(read_manifest(tiny_dataset), CONFIG, folder)
    return PackedDataset(read_manifest(folder), "train", CONFIG)


def test_an_order_holds_every_clip_once_and_changes_with_seed_and_epoch():
    sizes = [5] * 70 + [3]
    order = shuffled(sizes, seed=1, epoch=2)
    assert order.sort().values.tolist() == list(range(353))
    assert torch.equal(order, shuffled(sizes, seed=1, epoch=2))
    assert not torch.equal(order, shuffled(sizes, seed=1, epoch=3))
    assert not torch.equal(order, shuffled(sizes, seed=2, epoch=2))


def test_few_chunks_are_shuffled_as_if_they_were_one():
    assert torch.equal(shuffled([5] * 32, seed=1, epoch=2), shuffled([160], seed=1, epoch=2))


def test_at_any_time_an_order_needs_few_chunks():
    order = shuffled([5] * 100, seed=0, epoch=0)
    chunks = [set((part // 5).tolist()) for part in order.split(5 * 32)]
    assert [len(needed) for needed in chunks] == [32, 32, 32, 4]
    assert len(set.union(*chunks)) == 100  # each is needed once
    # Neighbours do not come from one chunk: the group is shuffled as a whole.
    assert len(set((order[:32] // 5).tolist())) > 10


@pytest.mark.parametrize("world_size", [1, 2, 3, 64])
def test_ranks_share_the_clips_evenly(packed, world_size, monkeypatch):
    monkeypatch.setattr(ordering, "SHUFFLED_CHUNKS", 2)
    samplers = [
        EpochSampler(packed, world_size=world_size, rank=r, seed=0, batch_size=8)
        for r in range(world_size)
    ]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    read = Counter(index for share in shares for index in share)
    assert set(read) == set(range(40))
    repeated = sum(read.values()) - 40
    assert repeated == -40 % world_size


def test_the_order_of_recordings_is_torchs_own(tiny_dataset):
    dataset = ClipDataset(read_manifest(tiny_dataset), "train", CONFIG)
    sampler = EpochSampler(dataset, world_size=1, rank=0, seed=3, batch_size=8)
    own = DistributedSampler(dataset, num_replicas=1, rank=0, seed=3)
    for epoch in (0, 4):
        sampler.set_epoch(epoch)
        own.set_epoch(epoch)
        assert list(sampler) == list(own)


def loader_of(dataset, workers=0, rank=0, world_size=1):
    sampler = EpochSampler(dataset, world_size=world_size, rank=rank, seed=0, batch_size=8)
    return ResumableLoader(
        dataset, sampler=sampler, **loader_options(batch_size=8, workers=workers)
    )


def names(loader, epoch, count=None):
    loader.sampler.set_epoch(epoch)
    batches = iter(loader)
    found = [next(batches).samples for _ in range(len(loader) if count is None else count)]
    batches.close()
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_where_another_stopped(packed, workers):
    whole = loader_of(packed)
    epochs = [names(whole, epoch) for epoch in range(3)]
    for taken in (0, 2, 5):
        stopped = loader_of(packed, workers)
        assert names(stopped, 1, taken) == epochs[1][:taken]
        resumed = loader_of(packed, workers)
        if taken:
            resumed.load_state_dict(stopped.state_dict())
        rest = 5 - taken
        assert names(resumed, 1, rest) == epochs[1][taken:]
        assert resumed.state_dict()["batches"] == (5 if rest else 0)
        assert names(resumed, 2) == epochs[2]


def test_a_loader_that_stops_twice_remembers_both_parts(packed):
    whole = names(loader_of(packed), 0)
    first = loader_of(packed)
    names(first, 0, 1)
    second = loader_of(packed)
    second.load_state_dict(first.state_dict())
    names(second, 0, 2)
    third = loader_of(packed)
    third.load_state_dict(second.state_dict())
    assert names(third, 0, 2) == whole[3:]


def test_between_epochs_the_number_of_ranks_may_change(packed):
    loader = loader_of(packed)
    names(loader, 0)
    other = loader_of(packed, world_size=2)
    other.load_state_dict(loader.state_dict())
    assert len(names(other, 1)) == 3
    names(loader, 1, 2)
    with pytest.raises(RunError, match="1 processes divided into 5 batches each, now 2 processes"):
        loader_of(packed, world_size=2).load_state_dict(loader.state_dict())


def test_augmentation_that_packed_clips_cannot_have_is_reported(packed, tiny_dataset):
    recipe = DataConfig(root=str(packed._shards.where).removesuffix("/train"))
    module = ClipDataModule(recipe, CONFIG, batch_size=8, seed=0)
    assert module.notes == (
        "packed event images stay as they were drawn, without clip.augmentation.event_drop",
    )
    made = ClipDataModule(DataConfig(root=str(tiny_dataset)), CONFIG, batch_size=8, seed=0)
    assert made.notes == ()


def test_a_class_without_training_clips_is_noted(tiny_dataset, tmp_path):
    manifest = read_manifest(tiny_dataset)
    kept = tuple(s for s in manifest.samples if s.split != "train" or s.label != manifest.labels[3])
    write_manifest(replace(manifest, samples=kept), tmp_path)
    module = ClipDataModule(DataConfig(root=str(tmp_path)), CONFIG, batch_size=8, seed=0)
    (note,) = module.notes
    assert note.startswith(f"there is no training clip of 1 of 40 classes ({manifest.labels[3]})")
