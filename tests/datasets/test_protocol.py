"""What a result states of the dataset that it is of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import published_miniatures
import pytest

from evlora.bundle import save_bundle
from evlora.bundle_description import read_origin
from evlora.clips import ClipConfig
from evlora.datasets import prepare, read_manifest
from evlora.datasets.protocol import measured_on, protocol_of
from evlora.errors import DatasetError
from evlora.evaluation import evaluate
from evlora.recipe import build


@pytest.fixture
def est(tmp_path: Path) -> Path:
    published_miniatures.est_ncaltech101(tmp_path / "source")
    return tmp_path / "source"


def test_another_split_of_the_same_files_is_another_protocol(est: Path, tmp_path: Path) -> None:
    clip = ClipConfig(modalities=("event",))
    found = {}
    for name in ("est", "gep"):
        prepare("ncaltech101", est, tmp_path / name, options={"split": name})
        manifest = read_manifest(tmp_path / name)
        found[name] = manifest.counts, protocol_of(manifest, "train", clip)
    assert found["est"][0] == {"train": 6, "val": 2, "test": 4}
    assert found["gep"][0] == {"train": 8, "test": 4}
    first, second = (protocol for _, protocol in found.values())
    assert (first.dataset, second.dataset) == ("N-Caltech101", "N-Caltech101")
    assert (first.samples, second.samples) == (6, 8)
    assert "with validation/ against testing/" in second.split_source
    assert first.sentence == (
        "N-Caltech101, train of the split est, 6 samples; labels: names of folders; "
        "events: drawn from events as event_image"
    )


def test_rows_of_a_table_that_are_of_different_things_are_distinguished(
    tiny_dataset: Path,
) -> None:
    manifest = read_manifest(tiny_dataset)
    both, frames = (
        protocol_of(manifest, "test", ClipConfig(modalities=modalities))
        for modalities in (("rgb", "event"), ("rgb",))
    )
    assert both.line.endswith(f"split by: {manifest.split_source}")
    assert measured_on([("lora", both), ("old", None), ("none", both)]) == [both.line]
    assert measured_on([("lora", both), ("rgb", frames), ("none", both)]) == [
        f"lora, none: {both.line}",
        f"rgb: {frames.line}",
    ]


def test_event_images_of_the_dataset_are_distinguished_from_drawn_ones(tiny_dataset: Path) -> None:
    manifest = read_manifest(tiny_dataset)
    images = tuple(replace(one, event_images="pictures") for one in manifest.samples)
    clip = ClipConfig()
    drawn = protocol_of(manifest, "test", clip)
    assert drawn.event_source == "drawn from events as event_image"
    own = protocol_of(replace(manifest, samples=images), "test", clip)
    assert own.event_source == "event images of the dataset"
    mixed = protocol_of(
        replace(manifest, samples=(*images[:-1], manifest.samples[-1])), "test", clip
    )
    assert mixed.event_source.startswith("event images of the dataset in ")
    assert protocol_of(manifest, "test", ClipConfig(modalities=("rgb",))).event_source == ""


def test_results_bundles_and_their_cards_state_the_protocol(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    manifest = read_manifest(tiny_settings["data.root"])
    recognizer = build("demo", num_classes=len(manifest.labels), overrides=tiny_settings)
    recognizer.labels = manifest.labels
    figures = {}
    for name in ("official", "even"):
        result = evaluate(recognizer, replace(manifest, dataset="Digits", split_name=name))
        figures[name] = result.as_dict()["protocol"]
    assert figures["official"]["split_name"] == "official"
    assert figures["even"]["split_name"] == "even"
    assert figures["even"]["samples"] == len(manifest.split("test"))

    folder = save_bundle(recognizer, tmp_path / "bundle", protocol=figures["even"])
    assert read_origin(folder).protocol == figures["even"]
    assert "Measured on: dataset Digits; split test;" in (folder / "README.md").read_text()


def test_an_unknown_split_is_refused_with_those_that_there_are(est: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"split= as est or gep or even, got 'gap'.*gep"):
        prepare("ncaltech101", est, tmp_path / "out", options={"split": "gap"})
