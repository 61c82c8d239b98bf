"""A temperature makes probabilities as sure as they are right, and is kept in the bundle."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evlora.bundle import copy_bundle, keep_temperature, load_bundle, save_bundle
from evlora.bundle_place import DESCRIPTION
from evlora.datasets import read_manifest
from evlora.errors import BundleError, DatasetError
from evlora.evaluation import evaluate, fit_temperature
from evlora.prediction import predict
from evlora.recipe import build
from evlora.recordings import open_recording


@pytest.fixture
def overconfident(tiny_settings: dict[str, Any]) -> Any:
    manifest = read_manifest(tiny_settings["data.root"])
    built = build("demo", num_classes=len(manifest.labels), overrides=tiny_settings)
    built.labels = manifest.labels
    with torch.no_grad():
        built.network.head.weight.mul_(30)
    return built.eval()


def test_a_temperature_lowers_the_calibration_error_and_changes_no_label(
    overconfident: Any, tiny_dataset: Path
) -> None:
    manifest = read_manifest(tiny_dataset)
    before = evaluate(overconfident, manifest, resamples=0)
    temperature = fit_temperature(overconfident, manifest)
    after = evaluate(overconfident, manifest, resamples=0)
    assert temperature > 1
    assert after.temperature == temperature
    assert after.predicted == before.predicted
    assert after.ece < before.ece
    assert after.nll is not None
    assert after.nll < before.nll


def test_a_bundle_keeps_the_temperature(
    overconfident: Any, tiny_dataset: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(tiny_dataset)
    bundle = save_bundle(overconfident, tmp_path / "bundle")
    assert "temperature" not in (bundle / DESCRIPTION).read_text()
    keep_temperature(bundle, 4.0)
    loaded = load_bundle(bundle)
    assert loaded.temperature == 4.0
    sample = open_recording(manifest.source / manifest.split("test")[0].events)
    (sure, *_), (modest, *_) = predict(overconfident, sample), predict(loaded, sample)
    assert modest.label == sure.label
    assert modest.probability < sure.probability
    assert load_bundle(copy_bundle(bundle, tmp_path / "copy")).temperature == 4.0
    keep_temperature(bundle, 1.0)
    assert predict(load_bundle(bundle), sample)[0].probability == pytest.approx(sure.probability)


def test_a_temperature_that_is_none_is_refused(overconfident: Any, tmp_path: Path) -> None:
    bundle = save_bundle(overconfident, tmp_path / "bundle")
    keep_temperature(bundle, -1.0)
    with pytest.raises(BundleError, match="expected a positive number as temperature, got -1"):
        load_bundle(bundle)


def test_a_split_without_a_wrong_answer_fits_no_temperature(
    overconfident: Any, tiny_dataset: Path
) -> None:
    manifest = read_manifest(tiny_dataset)
    predicted = evaluate(overconfident, manifest, split="val", resamples=0).predicted
    right = tuple(
        replace(sample, label=predicted.get(sample.sample, sample.label))
        for sample in manifest.samples
    )
    with pytest.raises(DatasetError, match="expected some wrong answers"):
        fit_temperature(overconfident, replace(manifest, samples=right))
    assert overconfident.temperature == 1
