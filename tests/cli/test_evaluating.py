"""What `evlora evaluate` prints beside the figures."""

from pathlib import Path

import pytest
from command import Command

from evlora.cli.evaluating import show_evaluation
from evlora.evaluation import Evaluation


def _evaluation(confusion: list[list[int]], labels: list[str]) -> Evaluation:
    totals = [sum(row) for row in confusion]
    right = [row[number] for number, row in enumerate(confusion)]
    per_class = {
        label: right[number] / totals[number] if totals[number] else None
        for number, label in enumerate(labels)
    }
    return Evaluation(
        top1=sum(right) / sum(totals),
        top5=1.0,
        macro=0.5,
        samples=sum(totals),
        split="test",
        ece=0.1,
        per_class=per_class,
        split_source="",
        views=1,
        without=None,
        confusion=confusion,
        predicted={},
    )


def test_few_classes_are_shown_with_their_confusion_and_without_top_5(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = ["left", "a label of many letters"]
    show_evaluation(_evaluation([[3, 1], [0, 2]], labels), labels)
    out = capsys.readouterr().out
    assert "top-5" not in out
    lines = out.splitlines()
    assert lines[-4].split() == ["left", "a", "label", "of", "ma…"]
    assert lines[-2].split() == ["left", "3", "1"]
    assert lines[-1].split()[-2:] == ["0", "2"]


def test_of_many_classes_the_worst_are_shown_with_what_they_are_taken_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = [f"class {number}" for number in range(20)]
    confusion = [[4 * (row == column) for column in range(20)] for row in range(20)]
    confusion[7] = [0] * 20
    confusion[7][7], confusion[7][3] = 1, 3
    confusion[9] = [0] * 20  # no clip of it
    show_evaluation(_evaluation(confusion, labels), labels)
    out = capsys.readouterr().out
    assert "top-5" in out
    assert "the 1 classes" not in out
    last = out.splitlines()[-1]
    assert "class 7" in last
    assert "25.0%" in last
    assert "class 3 (3)" in last


def test_a_bundle_alone_is_answered_with_what_is_missing(evlora: Command, tmp_path: Path) -> None:
    code, out, err = evlora("evaluate", tmp_path / "bundle")
    assert (code, out) == (2, "")
    assert f"expected BUNDLE DATASET, got {tmp_path / 'bundle'} alone" in err


def test_the_folder_of_a_run_is_no_recording(evlora: Command, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("{}")
    (tmp_path / "metrics.csv").write_text("t,x,y,p\n")
    code, out, err = evlora("inspect", tmp_path)
    assert (code, out) == (2, "")
    assert f"got the run of a training; evlora report {tmp_path}" in err
