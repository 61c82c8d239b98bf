"""Every layout of events, from the folder to a training step; and what it does with a wrong one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from miniatures import MINIATURES, Miniature

import evlora
from evlora.clips import ClipConfig, ClipDataset, prepare, read_manifest

CASES = pytest.mark.parametrize("miniature", MINIATURES.values(), ids=MINIATURES.keys())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@CASES
def test_a_miniature_is_read_as_its_authors_mean_it(
    miniature: Miniature, source: Path, out: Path
) -> None:
    miniature.make(source)
    manifest = prepare(miniature.layout, source, out)
    assert read_manifest(out) == replace(manifest, notes=())
    assert manifest.labels == miniature.labels
    assert manifest.counts == miniature.counts
    assert manifest.split_source == miniature.split_source
    config = ClipConfig(frames=3, size=32, modalities=miniature.modalities)
    for split in manifest.splits:
        dataset = ClipDataset(read_manifest(out), split, config)
        for clip in (dataset[index] for index in range(len(dataset))):
            for modality, images in (("rgb", clip.rgb), ("event", clip.events)):
                if modality in miniature.modalities:
                    assert images is not None
                    assert images.shape == (3, 3, 32, 32)
                    assert images.float().std() > 0


@CASES
def test_a_miniature_is_trained_with(
    miniature: Miniature, source: Path, out: Path, tiny_settings: dict[str, Any]
) -> None:
    miniature.make(source)
    prepare(miniature.layout, source, out)
    settings = {
        **tiny_settings,
        "data.root": str(out),
        "data.validation_fraction": 0.3,
        "clip.modalities": list(miniature.modalities),
        "training.epochs": 1,
        "training.batch_size": 4,
    }
    run = evlora.train("demo", overrides=settings)
    assert evlora.load_bundle(run.bundle).labels == miniature.labels
