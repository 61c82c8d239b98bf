"""The figures of an evaluation, against plain arithmetic."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evlora.clips import collate, make_test_views
from evlora.datasets import ClipDataset, read_manifest
from evlora.errors import DatasetError
from evlora.evaluation import evaluate
from evlora.prediction import predict
from evlora.recipe import build
from evlora.recordings import open_recording


@pytest.fixture
def recognizer(tiny_settings: dict[str, Any]) -> Any:
    manifest = read_manifest(tiny_settings["data.root"])
    built = build("demo", num_classes=len(manifest.labels), overrides=tiny_settings)
    built.labels = manifest.labels
    return built.eval()


def test_the_figures_are_those_of_plain_counting(recognizer: Any, tiny_dataset: Path) -> None:
    manifest = read_manifest(tiny_dataset)
    result = evaluate(recognizer, tiny_dataset, split="test", batch_size=7)
    clips = list(ClipDataset(manifest, "test", recognizer.clip_config))
    batch = collate(clips)
    with torch.inference_mode():
        logits = recognizer.recognize(batch.rgb, batch.events).logits
    ranks = (logits.argsort(dim=1, descending=True) == batch.labels[:, None]).int().argmax(dim=1)
    assert result.top1 == pytest.approx(float((ranks == 0).float().mean()))
    assert result.top5 == pytest.approx(float((ranks < 5).float().mean()))
    assert result.samples == 40
    assert sum(map(sum, result.confusion)) == 40
    for clip, rank in zip(clips, ranks, strict=True):
        is_right = result.predicted[clip.sample] == manifest.labels[clip.label]
        assert is_right is bool(rank == 0)
    right = sum(result.confusion[i][i] for i in range(40))
    assert right / 40 == pytest.approx(result.top1)
    assert result.macro == pytest.approx(sum(v for v in result.per_class.values()) / 40)


def test_the_views_of_a_sample_are_averaged_as_probabilities(
    tiny_settings: dict[str, Any], tiny_dataset: Path
) -> None:
    manifest = read_manifest(tiny_dataset)
    views = {"clip.test_views": {"segments": 2, "crops": 3}}
    recognizer = build("demo", num_classes=40, overrides={**tiny_settings, **views}).eval()
    recognizer.labels = manifest.labels
    with torch.no_grad():
        recognizer.network.head.weight.mul_(20)  # so that the views disagree
    result = evaluate(recognizer, manifest, batch_size=12)
    assert (result.views, result.samples) == (6, 40)
    for sample in manifest.split("test")[:5]:
        recording = open_recording(manifest.source / sample.events)
        clips = make_test_views(recording, recognizer.clip_config)
        with torch.inference_mode():
            scores = [
                recognizer.recognize(clip.rgb[None], clip.events[None]).logits.softmax(dim=1)[0]
                for clip in clips
            ]
        expected = torch.stack(scores).mean(dim=0)
        assert not torch.allclose(scores[0], expected, atol=1e-3)
        assert result.predicted[sample.sample] == manifest.labels[int(expected.argmax())]
        ranked = predict(recognizer, recording)
        assert ranked[0].probability == pytest.approx(float(expected.max()), abs=1e-5)
        assert sum(answer.probability for answer in ranked) == pytest.approx(1, abs=1e-4)


def test_an_evaluation_states_where_its_split_came_from(
    recognizer: Any, tiny_dataset: Path
) -> None:
    manifest = replace(read_manifest(tiny_dataset), split_source="test_label.txt")
    assert evaluate(recognizer, manifest).as_dict()["split_source"] == "test_label.txt"


def test_the_calibration_error_of_one_confidence_is_its_gap(
    recognizer: Any, tiny_dataset: Path
) -> None:
    with torch.no_grad():
        recognizer.network.head.weight.zero_()
        recognizer.network.head.bias.zero_()
        recognizer.network.head.bias[3] = 50.0  # sure of class 3, which is 1 sample of 40
    result = evaluate(recognizer, read_manifest(tiny_dataset))
    assert result.top1 == pytest.approx(1 / 40)
    assert result.ece == pytest.approx(1 - 1 / 40, abs=1e-4)


def test_a_dataset_with_other_labels_is_refused(recognizer: Any, tiny_dataset: Path) -> None:
    manifest = read_manifest(tiny_dataset)
    other = replace(manifest, labels=("zebra", *manifest.labels[1:]))
    first = manifest.labels[0]
    with pytest.raises(DatasetError) as caught:
        evaluate(recognizer, other)
    message = str(caught.value)
    assert "expected the 40 labels that the recognizer was trained on, got 40" in message
    assert f"only in the dataset zebra, only in the recognizer {first}" in message
    assert str(manifest.source) in message
    assert message.endswith("or train a recognizer on this one")


def test_the_same_labels_in_another_order_are_refused(recognizer: Any, tiny_dataset: Path) -> None:
    manifest = read_manifest(tiny_dataset)
    one, two, *rest = manifest.labels
    with pytest.raises(DatasetError, match=f"another order: label 0 is {two}, not {one}"):
        evaluate(recognizer, replace(manifest, labels=(two, one, *rest)))


def test_an_empty_split_is_refused(recognizer: Any, tiny_dataset: Path) -> None:
    manifest = read_manifest(tiny_dataset)
    kept = tuple(sample for sample in manifest.samples if sample.split != "test")
    with pytest.raises(DatasetError, match="split 'test': expected one that the dataset has"):
        evaluate(recognizer, replace(manifest, samples=kept))


def test_slices_are_scored_separately(recognizer: Any, tiny_dataset: Path) -> None:
    manifest = read_manifest(tiny_dataset)
    light = {s.sample: "dark" if i % 3 else "bright" for i, s in enumerate(manifest.samples)}
    sliced = replace(
        manifest,
        samples=tuple(replace(s, columns=(("light", light[s.sample]),)) for s in manifest.samples),
    )
    result = evaluate(recognizer, sliced, slices=["light"], resamples=20)
    parts = result.slices["light"]
    assert sum(part.samples for part in parts.values()) == 40
    for value, part in parts.items():
        names = [name for name in result.predicted if light[name] == value]
        true = {s.sample: s.label for s in sliced.split("test")}
        right = sum(result.predicted[name] == true[name] for name in names)
        assert part.samples == len(names)
        assert part.top1 == pytest.approx(right / len(names))


def test_a_column_that_no_sample_has_is_refused(recognizer: Any, tiny_dataset: Path) -> None:
    with pytest.raises(DatasetError, match="no sample of the split test has 'weather'"):
        evaluate(recognizer, tiny_dataset, slices=["weather"])
