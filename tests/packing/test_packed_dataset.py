"""Clips from shards are those from the recordings, and nothing but packed clips is read."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from packed_form import pack
from slow import slow_but
from torch.utils.data import DataLoader

from evlora.clips import ClipConfig, collate
from evlora.clips.transforms import Augmentation
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.datasets.storage import write_manifest
from evlora.errors import DatasetError, RecordingError
from evlora.packing import PackedDataset, clip_dataset

CONFIG = ClipConfig(frames=2, size=32, augmentation=Augmentation(event_drop=0))


@pytest.fixture(scope="module")
def source(tiny_dataset):
    return read_manifest(tiny_dataset)


@pytest.fixture(scope="module")
def packed_folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "dataset"
    pack(source, CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def packed(packed_folder):
    return read_manifest(packed_folder)


@pytest.fixture
def damaged(packed_folder, tmp_path):
    """A packed dataset of its own, for the test to damage."""
    return shutil.copytree(packed_folder, tmp_path / "packed")


def batches(dataset, workers):
    loader = DataLoader(
        dataset,
        batch_size=7,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    for epoch in range(2):
        dataset.set_epoch(epoch)
        yield from loader


def require_equal(first, second):
    pairs = list(zip(first, second, strict=True))
    assert pairs
    for one, other in pairs:
        assert torch.equal(one.rgb, other.rgb)
        assert torch.equal(one.events, other.events)
        assert torch.equal(one.labels, other.labels)
        assert one.samples == other.samples


@pytest.mark.parametrize("workers", slow_but([0, 2], quick=(0).__eq__))
@pytest.mark.parametrize("is_training", [True, False])
def test_batches_are_those_of_the_recordings(source, packed, is_training, workers):
    made = ClipDataset(source, "train", CONFIG, seed=3, is_training=is_training)
    read = clip_dataset(packed, "train", CONFIG, seed=3, is_training=is_training)
    assert isinstance(read, PackedDataset)
    require_equal(batches(made, 0), batches(read, workers))


def test_samples_held_out_of_train_are_found_in_its_shards(source, tmp_path):
    # Few classes, so that each can spare a sample.
    samples = tuple(
        replace(sample, label=sample.label[0]) for sample in source.samples if sample.split != "val"
    )
    whole = replace(source, labels=tuple("0123456789"), samples=samples)
    pack(whole, CONFIG, tmp_path / "packed")
    made_of = whole.with_validation(0.25, seed=0)
    read_from = read_manifest(tmp_path / "packed").with_validation(0.25, seed=0)
    for split, count in (("train", 30), ("val", 10), ("test", 40)):
        made, read = ClipDataset(made_of, split, CONFIG), PackedDataset(read_from, split, CONFIG)
        assert len(made) == len(read) == sum(read.chunk_sizes) == count
        for index in range(count):
            assert torch.equal(made[index].events, read[index].events)


@pytest.mark.slow
def test_the_paired_nmnist_set_gives_the_same_clips_packed(data_root, tmp_path):
    prepare("csv", data_root / "nmnist_paired", tmp_path / "source")
    whole = read_manifest(tmp_path / "source")
    source = replace(whole, samples=whole.samples[:40] + whole.samples[-20:])
    # One frame each, so eight windows: they are fixed, and moving their edges is off.
    config = ClipConfig(frames=8, size=48, jitter=False, augmentation=Augmentation(event_drop=0))
    pack(source, config, tmp_path / "packed")
    packed = read_manifest(tmp_path / "packed")
    for split in source.splits:
        for is_training in (False, True):
            made = ClipDataset(source, split, config, is_training=is_training)
            read = PackedDataset(packed, split, config, is_training=is_training)
            require_equal(batches(made, 0), batches(read, 0))


def test_a_configuration_that_was_not_packed_is_refused(packed):
    asked = {
        "frames": 3,
        "representation": "polarity_counts",
        "window": "exposure",
    }
    for key, value in asked.items():
        config = CONFIG.model_copy(update={key: value})
        with pytest.raises(DatasetError, match=rf"clip\.{key} was .*, is {value}; set these keys"):
            PackedDataset(packed, "train", config)


def test_one_modality_of_two_can_be_read(source, packed):
    config = CONFIG.model_copy(update={"modalities": ("event",)})
    made, read = ClipDataset(source, "test", config), PackedDataset(packed, "test", config)
    assert read[4].rgb is None
    assert torch.equal(made[4].events, read[4].events)


def test_a_modality_that_was_not_packed_is_refused(source, tmp_path):
    pack(source, CONFIG.model_copy(update={"modalities": ("rgb",)}), tmp_path / "packed")
    with pytest.raises(DatasetError, match=r"clip\.modalities was rgb, is rgb, event"):
        PackedDataset(read_manifest(tmp_path / "packed"), "train", CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index["config"]["data_format"].__setitem__(2, "pickle"), "pickled objects"),
        (lambda index: index["config"].update(data_spec="[1, {}]"), "evlora reads nothing else"),
        (lambda index: index["config"].update(compression="zstd"), "config.compression"),
        (lambda index: index["chunks"][0].update(filename="../../x.bin"), "chunks.0.filename"),
        (lambda index: index["chunks"].pop(), "the manifest states, the shards hold 35"),
        (lambda index: index["chunks"][0].update(chunk_bytes=5), "expected 5 bytes as the index"),
        (lambda index: index["chunks"][0].update(chunk_size=6), "the shards hold 39"),
    ],
)
def test_an_index_from_elsewhere_is_refused(damaged, change, message):
    path = damaged / "train" / "index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=message):
        PackedDataset(read_manifest(damaged), "train", CONFIG)[0]


@pytest.mark.parametrize("place", [0, 4, 36, 40, 56, 62, 72, 200])
def test_damage_is_reported_with_its_place(damaged, place):
    """In the chunk's count and offsets, and in the first clip's sizes, name, label and pictures."""
    chunk = damaged / "train" / "chunk-0-0.bin"
    data = bytearray(chunk.read_bytes())
    data[place : place + 4] = bytes(value ^ 0xFF for value in data[place : place + 4])
    chunk.write_bytes(data)
    dataset = PackedDataset(read_manifest(damaged), "train", CONFIG)
    with pytest.raises((DatasetError, RecordingError), match="sample train/00000: ") as caught:
        dataset[0]
    assert "packed/train" in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.parametrize("length", [0, 100])
def test_a_chunk_cut_short_is_reported(damaged, length):
    chunk = damaged / "train" / "chunk-0-0.bin"
    chunk.write_bytes(chunk.read_bytes()[:length])
    dataset = PackedDataset(read_manifest(damaged), "train", CONFIG)
    with pytest.raises(DatasetError, match=rf"chunk-0-0\.bin: expected \d+ bytes.*, got {length}"):
        dataset[0]


@pytest.mark.parametrize("name", ["chunk-0-0.bin", "index.json"])
def test_a_file_that_is_missing_is_reported(damaged, name):
    (damaged / "train" / name).unlink()
    with pytest.raises(DatasetError, match=f"{name}: no such file"):
        PackedDataset(read_manifest(damaged), "train", CONFIG)[0]


def test_shards_of_another_packing_are_noticed(damaged, packed):
    manifest = read_manifest(damaged)
    first, second, *rest = manifest.samples
    write_manifest(
        replace(manifest, source=damaged, samples=(second, first, *rest)),
        damaged,
    )
    with pytest.raises(DatasetError, match="not of one packing"):
        PackedDataset(read_manifest(damaged), "train", CONFIG)[0]
