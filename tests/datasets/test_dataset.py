"""The clips of a split, one after the other or from several workers."""

import numpy as np
import pytest
import torch
from PIL import Image
from slow import slow_but
from torch.utils.data import DataLoader

from evlora.clips import ClipConfig, collate
from evlora.clips.config import TestViews
from evlora.clips.transforms import Augmentation
from evlora.datasets import AllTestViews, ClipDataset, Manifest, prepare, read_manifest
from evlora.datasets.layouts.generated_videos import write_video
from evlora.datasets.manifest import Sample
from evlora.datasets.memory import bytes_of
from evlora.datasets.opening import open_sample
from evlora.errors import DatasetError, RecordingError, RecordingWarning
from evlora.recordings import open_recording

CONFIG = ClipConfig(frames=4, size=16)
EVERYTHING_RANDOM = ClipConfig(
    frames=4,
    size=16,
    augmentation=Augmentation(
        crop=0.5,
        aspect=1.3,
        flip=True,
        event_drop=0.3,
        event_time_jitter_us=20,
        event_polarity_flip=0.3,
        erase=0.2,
    ),
)


@pytest.fixture
def manifest(tmp_path):
    """Six recordings of 10×12 with a frame each, in two classes."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(6):
        np.savez(
            tmp_path / f"{number}.npz",
            t=np.sort(generator.integers(0, 1000, 50)),
            x=generator.integers(0, 12, 50),
            y=generator.integers(0, 10, 50),
            p=generator.integers(0, 2, 50),
            width=12,
            height=10,
        )
        pixels = generator.integers(0, 256, (10, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        samples.append(
            Sample(f"s{number}", f"{number}.npz", f"{number}.png", "ab"[number % 2], "train")
        )
    return Manifest("test", tmp_path, ("a", "b"), tuple(samples))


def same(first, second):
    return (
        torch.equal(first.rgb, second.rgb)
        and torch.equal(first.events, second.events)
        and torch.equal(first.labels, second.labels)
        and first.samples == second.samples
    )


def test_a_clip_carries_its_label_and_name(manifest):
    clip = ClipDataset(manifest, "train", CONFIG)[3]
    assert (clip.label, clip.sample) == (1, "s3")
    assert clip.rgb.shape == clip.events.shape == (4, 3, 16, 16)


def test_a_training_clip_changes_with_the_epoch_the_seed_and_nothing_else(manifest):
    def clip(epoch, seed=0):
        dataset = ClipDataset(manifest, "train", CONFIG, seed=seed, is_training=True)
        dataset[5]  # what was drawn before does not matter
        dataset.set_epoch(epoch)
        return dataset[0].events

    assert torch.equal(clip(2), clip(2))
    assert not torch.equal(clip(2), clip(3))
    assert not torch.equal(clip(2), clip(2, seed=1))


def test_samples_of_one_epoch_are_changed_differently(manifest):
    twins = Manifest(
        "test",
        manifest.source,
        ("a",),
        tuple(Sample(name, "0.npz", "0.png", "a", "train") for name in ("first", "second")),
    )
    dataset = ClipDataset(twins, "train", CONFIG, is_training=True)
    assert not torch.equal(dataset[0].events, dataset[1].events)


def test_evaluation_does_not_depend_on_the_epoch(manifest):
    dataset = ClipDataset(manifest, "train", CONFIG)
    before = dataset[0].rgb
    dataset.set_epoch(7)
    assert torch.equal(before, dataset[0].rgb)


@pytest.mark.parametrize("context", slow_but(["fork", "spawn"], quick="fork".__eq__))
def test_workers_that_live_on_give_the_batches_of_a_single_process(manifest, context):
    def batches(workers):
        dataset = ClipDataset(manifest, "train", EVERYTHING_RANDOM, is_training=True)
        loader = DataLoader(
            dataset,
            batch_size=2,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=context if workers else None,
        )
        for epoch in range(3):
            dataset.set_epoch(epoch)
            yield from loader

    alone, together = list(batches(0)), list(batches(2))
    assert len(alone) == 9
    assert all(same(first, second) for first, second in zip(alone, together, strict=True))
    assert not torch.equal(alone[0].events, alone[3].events)


def test_all_views_of_a_sample_follow_each_other_in_a_batch(manifest):
    config = CONFIG.model_copy(update={"test_views": TestViews(segments=2, crops=3)})
    dataset = ClipDataset(manifest, "train", config)
    views = AllTestViews(dataset)
    assert len(views) == len(dataset) == 6
    for workers in (0, 2):
        loader = DataLoader(views, batch_size=2, collate_fn=collate, num_workers=workers)
        batch = next(iter(loader))
        assert batch.samples == ["s0"] * 6 + ["s1"] * 6
        assert batch.labels.tolist() == [0] * 6 + [1] * 6
        assert batch.rgb.shape == batch.events.shape == (12, 4, 3, 16, 16)
        assert not torch.equal(batch.events[0], batch.events[1])


def test_a_single_view_is_the_clip_of_evaluation(manifest):
    dataset = ClipDataset(manifest, "train", CONFIG)
    (view,) = AllTestViews(dataset)[4]
    assert torch.equal(view.rgb, dataset[4].rgb)
    assert torch.equal(view.events, dataset[4].events)


def test_frames_alone_and_several_pictures_are_samples_too(manifest):
    several = Sample("several", None, ("0.png", "1.png", "2.png", "3.png"), "a", "train")
    one = Sample("one", None, "1.png", "a", "train")
    config = CONFIG.model_copy(update={"modalities": ("rgb",)})
    dataset = ClipDataset(
        Manifest("test", manifest.source, ("a",), (several, one)), "train", config
    )
    assert dataset[0].events is None
    assert torch.equal(dataset[0].rgb[1], dataset[1].rgb[0])


def test_event_images_drawn_before_are_samples_too(manifest):
    """As HARDVS and PokerEvent come: two folders of pictures for each recording."""
    for folder, step in (("aps", 5), ("dvs", 5)):
        (manifest.source / folder).mkdir()
        for number in range(6 if folder == "aps" else 5):
            image = Image.new("RGB", (12, 10), (number, 0, 0))
            image.save(manifest.source / folder / f"{step * number:08d}.png")
    both = Sample("both", None, "aps", "a", "train", event_images="dvs")
    alone = Sample("alone", None, None, "a", "train", event_images=("dvs/00000005.png",))
    whole = Manifest("test", manifest.source, ("a",), (both, alone))
    with pytest.warns(RecordingWarning, match="5 of 6 frames"):
        clip = ClipDataset(whole, "train", ClipConfig(frames=5, size=(10, 12)))[0]
    assert clip.rgb[:, 0, 0, 0].tolist() == clip.events[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    config = ClipConfig(frames=2, size=(10, 12), modalities=("event",))
    assert (ClipDataset(whole, "train", config)[1].events[:, 0] == 1).all()


def test_an_error_names_the_sample_and_the_file(manifest):
    (manifest.source / "2.png").write_bytes(b"\x89PNG cut short")
    dataset = ClipDataset(manifest, "train", CONFIG)
    for read in (dataset.__getitem__, dataset.test_views):
        with pytest.raises(RecordingError, match=r"sample s2: .*2\.png"):
            read(2)


def test_a_recording_that_cannot_be_read_is_named_with_its_sample(manifest):
    (manifest.source / "3.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(RecordingError, match=r"sample s3: .*3\.npz.*expected"):
        ClipDataset(manifest, "train", CONFIG)[3]


def test_a_frame_that_went_missing_is_named_with_its_sample(manifest):
    several = Sample("several", None, ("0.png", "1.png"), "a", "train")
    config = CONFIG.model_copy(update={"modalities": ("rgb",)})
    dataset = ClipDataset(Manifest("test", manifest.source, ("a",), (several,)), "train", config)
    (manifest.source / "1.png").unlink()
    with pytest.raises(RecordingError, match=r"sample several: .*1\.png: no such picture"):
        dataset[0]


def test_a_frame_of_another_size_is_named_with_its_sample(manifest):
    Image.new("RGB", (5, 5)).save(manifest.source / "1.png")
    several = Sample("several", None, ("0.png", "1.png"), "a", "train")
    config = CONFIG.model_copy(update={"modalities": ("rgb",)})
    dataset = ClipDataset(Manifest("test", manifest.source, ("a",), (several,)), "train", config)
    with pytest.raises(RecordingError, match=r"sample several: .*1\.png: expected .*12×10.* 5×5"):
        dataset[0]


def test_a_gap_in_a_folder_of_frames_is_reported_and_the_clip_is_made(manifest):
    (manifest.source / "aps").mkdir()
    for number in (0, 5, 10, 15, 25, 30, 35, 40):
        Image.new("RGB", (12, 10)).save(manifest.source / "aps" / f"{number:08d}.png")
    folder = Sample("folder", "0.npz", "aps", "a", "train")
    dataset = ClipDataset(Manifest("test", manifest.source, ("a",), (folder,)), "train", CONFIG)
    with pytest.warns(RecordingWarning, match=r"aps: .*1 missing, the first after 00000015\.png"):
        assert dataset[0].rgb.shape == (4, 3, 16, 16)


def test_a_missing_modality_is_reported_with_the_sample(manifest):
    frames_only = Sample("frames only", None, "0.png", "a", "train")
    dataset = ClipDataset(
        Manifest("test", manifest.source, ("a",), (frames_only,)), "train", CONFIG
    )
    with pytest.raises(DatasetError, match=r"sample frames only: .*0\.png: .*found no events"):
        dataset[0]


def test_a_split_without_samples_is_refused_at_once(manifest):
    with pytest.raises(DatasetError, match="it has 6 in train; name one of these"):
        ClipDataset(manifest, "test", CONFIG)


def test_the_paired_nmnist_set_becomes_clips(data_root, tmp_path):
    prepare("csv", data_root / "nmnist_paired", tmp_path / "out")
    manifest = read_manifest(tmp_path / "out").with_validation(0.1, seed=0)
    assert manifest.counts == {"train": 900, "val": 100, "test": 100}
    assert manifest.labels == tuple("0123456789")
    dataset = ClipDataset(manifest, "test", ClipConfig(size=112))
    batch = collate([dataset[index] for index in range(4)])
    assert batch.rgb.shape == batch.events.shape == (4, 8, 3, 112, 112)
    assert (batch.events < 255).flatten(2).any(dim=2).all()
    assert [manifest.labels[label] for label in batch.labels] == [
        sample.label for sample in dataset.samples[:4]
    ]


def opened_files(monkeypatch):
    """The names of the samples that are read from disk from now on."""
    read = []

    def noted(sample, source):
        read.append(sample.sample)
        return open_sample(sample, source)

    monkeypatch.setattr("evlora.datasets.dataset.open_sample", noted)
    return read


def test_what_fits_in_memory_is_read_once_and_gives_the_same_clips(manifest, monkeypatch):
    plain = ClipDataset(manifest, "train", EVERYTHING_RANDOM, is_training=True)
    keeping = ClipDataset(manifest, "train", EVERYTHING_RANDOM, is_training=True, memory_mb=1)
    read = opened_files(monkeypatch)
    for epoch in range(3):
        plain.set_epoch(epoch)
        keeping.set_epoch(epoch)
        for index in (3, 1, 3):
            read.clear()
            assert same(collate([plain[index]]), collate([keeping[index]]))
            first_time = epoch == 0 and read.count(f"s{index}") == 2
            assert read == ([f"s{index}"] * 2 if first_time else [f"s{index}"])


def test_memory_takes_what_fits_and_reads_the_rest_each_time(manifest, monkeypatch):
    read = opened_files(monkeypatch)
    one = bytes_of(open_sample(manifest.samples[0], manifest.source))
    clips = ClipDataset(manifest, "train", CONFIG, memory_mb=2.5 * one / 1_000_000)
    for index in [0, 1, 2, 3, 0, 1, 2, 3]:
        clips[index]
    assert read == ["s0", "s1", "s2", "s3", "s2", "s3"]


def test_a_file_that_is_replaced_changes_the_states(manifest):
    clips = ClipDataset(manifest, "train", CONFIG)
    before = clips.states()
    assert clips.states() == before
    recording = manifest.source / "3.npz"
    content = recording.read_bytes()
    recording.unlink()
    recording.write_bytes(content)  # of the same size
    assert [one == other for one, other in zip(before, clips.states(), strict=True)] == (
        [True] * 6 + [False] + [True] * 5
    )


def test_of_a_video_its_index_is_kept_and_its_pixels_are_not(tmp_path, monkeypatch):
    """An AVI does not say where its frames are, so all of them are decoded to index it."""
    pixels = np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), np.uint8)
    write_video(tmp_path / "a.avi", pixels)
    assert 0 < bytes_of(open_recording(tmp_path / "a.avi")) < 1_000 < pixels.nbytes
    manifest = Manifest("test", tmp_path, ("a",), (Sample("a", None, "a.avi", "a", "train"),))
    config = ClipConfig(frames=4, size=16, modalities=("rgb",))
    plain = ClipDataset(manifest, "train", config, is_training=True)
    keeping = ClipDataset(manifest, "train", config, is_training=True, memory_mb=1)
    read = opened_files(monkeypatch)
    for epoch in range(3):
        plain.set_epoch(epoch)
        keeping.set_epoch(epoch)
        assert torch.equal(plain[0].rgb, keeping[0].rgb)
    assert read == ["a"] * 4
