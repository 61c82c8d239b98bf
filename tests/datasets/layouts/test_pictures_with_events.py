"""Pictures joined by name with the events that were recorded of them."""

from pathlib import Path
from typing import Any

import miniatures
import published_miniatures
import pytest
import recording_samples

from evlora.clips import ClipConfig
from evlora.comparison import compare
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.errors import DatasetError


def caltech101(folder: Path, *, count: int = 5) -> Path:
    """The photographs of the recordings in N-Caltech101's miniature, and one without events."""
    for name in ("accordion", "airplanes"):
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            recording_samples.picture(folder / name / f"image_{number:04d}")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    miniatures.ncaltech101(tmp_path / "data")
    return tmp_path / "data"


def test_events_of_ncaltech101_get_their_photographs(source: Path, tmp_path: Path) -> None:
    pictures = caltech101(tmp_path / "101_ObjectCategories", count=6)
    prepare("ncaltech101", source, tmp_path / "out", options={"pictures": str(pictures)})
    manifest = read_manifest(tmp_path / "out")
    assert len(manifest.samples) == 10
    for sample in manifest.samples:
        assert isinstance(sample.events, str)
        assert isinstance(sample.frames, str)
        assert Path(sample.events).stem == Path(sample.frames).stem
        assert Path(sample.frames).parts[0] == "101_ObjectCategories"
    clip = ClipDataset(manifest, "train", ClipConfig(frames=3, size=32))[0]
    assert clip.rgb is not None
    assert clip.events is not None
    assert clip.rgb.float().std() > 0


def test_samples_without_a_picture_are_refused_or_counted(source: Path, tmp_path: Path) -> None:
    pictures = caltech101(tmp_path / "pictures", count=4)
    options: dict[str, Any] = {"pictures": str(pictures)}
    with pytest.raises(DatasetError, match="of 10 samples, 2 have none: accordion/image_0005"):
        prepare("ncaltech101", source, tmp_path / "out", options=options)
    manifest = prepare(
        "ncaltech101", source, tmp_path / "out", options={**options, "missing": "leave_out"}
    )
    assert len(manifest.samples) == 8
    assert any("2 samples have no picture" in note for note in manifest.notes)


def test_two_pictures_of_one_name_are_refused(source: Path, tmp_path: Path) -> None:
    pictures = caltech101(tmp_path / "pictures")
    (pictures / "again").mkdir()
    (pictures / "accordion").rename(pictures / "again" / "accordion")
    (pictures / "accordion").mkdir()
    recording_samples.picture(pictures / "accordion" / "image_0001")
    with pytest.raises(DatasetError, match="one picture for accordion/image_0001, found"):
        prepare("ncaltech101", source, tmp_path / "out", options={"pictures": str(pictures)})


def test_recordings_that_are_written_anew_are_not_paired(tmp_path: Path) -> None:
    published_miniatures.est_ncaltech101(tmp_path / "est")
    pictures = caltech101(tmp_path / "pictures")
    with pytest.raises(DatasetError, match="is converted; prepare it first"):
        options = {"pictures": str(pictures)}
        prepare("ncaltech101", tmp_path / "est", tmp_path / "out", options=options)


def test_imagenet_and_cifar10_pair_by_their_own_names(tmp_path: Path) -> None:
    published_miniatures.n_imagenet(tmp_path / "events")
    pictures = tmp_path / "pictures"
    for path in (tmp_path / "events").rglob("*.npz"):
        where = pictures / path.parent.parent.name / path.parent.name
        where.mkdir(parents=True, exist_ok=True)
        if path.parent.parent.name == "extracted_train":
            recording_samples.picture(where / path.stem)
    options = {"pictures": str(pictures), "missing": "leave_out"}
    manifest = prepare("n_imagenet", tmp_path / "events", tmp_path / "a", options=options)
    assert len(manifest.samples) == 12

    published_miniatures.cifar10_dvs(tmp_path / "dvs")
    for name in ("airplane", "automobile"):
        (tmp_path / "cifar" / name).mkdir(parents=True)
        for number in range(5):
            recording_samples.picture(tmp_path / "cifar" / name / f"{number:04d}")
    options = {"pictures": str(tmp_path / "cifar")}
    manifest = prepare("cifar10_dvs", tmp_path / "dvs", tmp_path / "b", options=options)
    frames = {sample.events: sample.frames for sample in manifest.samples}
    assert frames["dvs/airplane/cifar10_airplane_3.aedat"] == "cifar/airplane/0003.png"


@pytest.mark.slow
def test_paired_caltech_is_compared_by_rgb_events_and_both(
    source: Path, tmp_path: Path, tiny_settings: dict[str, Any]
) -> None:
    pictures = caltech101(tmp_path / "pictures")
    prepare("ncaltech101", source, tmp_path / "out", options={"pictures": str(pictures)})
    settings = {
        **tiny_settings,
        "data.root": str(tmp_path / "out"),
        "training.epochs": 1,
        "training.batch_size": 4,
        "run.dir": str(tmp_path / "comparison"),
    }
    rows = ("velora_rgb", "velora_events", "velora")
    result = compare("fusion", methods=rows, seeds=1, overrides=settings, repeats=0)
    assert [row.name for row in result.rows] == list(rows)
    assert all(set(row.top1) == {0} and not row.failures for row in result.rows)
