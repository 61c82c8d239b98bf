"""Datasets that commit 69e9e99 wrote give the clips that they gave then; see tests/data/before."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from evlora.clips import ClipConfig
from evlora.datasets import read_manifest
from evlora.errors import DatasetError
from evlora.packing import clip_dataset, pack

CLIP = ClipConfig(frames=2, size=16)


@pytest.fixture
def before(project_root: Path) -> Path:
    return project_root / "tests" / "data" / "before"


@pytest.mark.parametrize("name", ["prepared", "packed"])
def test_a_dataset_written_before_gives_equal_clips(before: Path, name: str) -> None:
    manifest = read_manifest(before / name, source=before / "recordings")
    expected = np.load(before / "clips.npz")
    for split in ("train", "test"):
        dataset = clip_dataset(manifest, split, CLIP)
        assert len(dataset) == 2
        for number in range(2):
            clip = dataset[number]
            for images, modality in ((clip.rgb, "rgb"), (clip.events, "events")):
                assert images is not None
                wanted = torch.from_numpy(expected[f"{clip.sample}/{modality}"])
                assert torch.equal(images, wanted)


def test_the_shards_are_the_bytes_that_they_were(before: Path, tmp_path: Path) -> None:
    dataset = before / "prepared"
    pack(dataset, tmp_path / "out", CLIP, source=before / "recordings", workers=0)
    names = ("train/chunk-00000.bin", "test/chunk-00000.bin", "manifest.jsonl", "train/index.json")
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (before / "packed" / name).read_bytes()


def test_what_was_packed_before_is_known_to_be_of_other_files(before: Path, tmp_path: Path) -> None:
    """The copies of the recordings have another time of change."""
    shutil.copytree(before / "packed", tmp_path / "out")
    with pytest.raises(DatasetError, match="samples whose files have changed since they were pack"):
        pack(before / "prepared", tmp_path / "out", CLIP, source=before / "recordings")


def test_work_that_was_begun_before_is_refused(before: Path, tmp_path: Path) -> None:
    work = tmp_path / "out.packing" / "shard-1-of-1"
    work.mkdir(parents=True)
    options = {"source": before / "recordings", "workers": 0}
    with pytest.raises(DatasetError, match="shard-1-of-1, which an earlier version began"):
        pack(before / "prepared", tmp_path / "out", CLIP, **options)
    assert work.is_dir()
    pack(before / "prepared", tmp_path / "out", CLIP, overwrite=True, **options)
    assert not work.exists()
