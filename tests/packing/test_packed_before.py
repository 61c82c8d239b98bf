"""Datasets that commit 69e9e99 wrote open and give the clips that it gave; see tests/data/before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evlora.clips import ClipConfig
from evlora.datasets import read_manifest
from evlora.packing import clip_dataset

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
