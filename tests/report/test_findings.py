"""What a report finds is what an evaluation finds."""

from pathlib import Path

import pytest
import torch

from evlora.bundle import load_bundle
from evlora.clips import collate
from evlora.datasets import ClipDataset, read_manifest
from evlora.errors import DatasetError
from evlora.evaluation import evaluate
from evlora.report.features import collecting_features, features_by_view
from evlora.report.findings import Findings, Wanted, find, read_subject


@pytest.mark.slow
def test_the_figures_are_those_of_an_evaluation(
    findings: Findings, untrained_bundle: Path, tiny_dataset: Path
) -> None:
    assert findings.measured is not None
    expected = evaluate(load_bundle(untrained_bundle), tiny_dataset)
    assert findings.measured.evaluation == expected
    assert len(findings.measured.answers) == 4
    assert list(findings.measured.points) == ["together", "rgb", "event"]
    assert findings.measured.points["event"].shape == (40, 2)
    assert findings.curves == {}


def test_features_are_what_the_head_makes_scores_of(
    untrained_bundle: Path, tiny_dataset: Path
) -> None:
    recognizer = load_bundle(untrained_bundle)
    dataset = ClipDataset(read_manifest(tiny_dataset), "test", recognizer.clip_config)
    batch = collate([dataset[0], dataset[1]])
    with torch.inference_mode(), collecting_features(recognizer) as taken:
        from evlora.answering import for_answers

        logits = for_answers(recognizer).answer(batch.rgb, batch.events)
    features = features_by_view(recognizer, taken, views=1)
    torch.testing.assert_close(recognizer.network.head(features["together"]), logits)
    joined = torch.cat([features["rgb"], features["event"]], dim=1)
    torch.testing.assert_close(joined, features["together"])


def test_a_split_that_is_not_there_is_named(untrained_bundle: Path, tiny_dataset: Path) -> None:
    with pytest.raises(DatasetError, match="'vall'"):
        find(read_subject(untrained_bundle), Wanted(dataset=tiny_dataset, split="vall"))
