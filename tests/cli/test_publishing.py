"""The verb for the released checkpoint, and the verbs that use its bundle."""

import json
import sys
from pathlib import Path

import pytest
from published_release import Size, checkpoint, save
from typer.testing import CliRunner

from evlora import evaluate, load_bundle
from evlora.cli.main import app
from evlora.datasets import read_manifest

CLASSES_OF_THE_DATASET = 40


@pytest.fixture
def released(tmp_path: Path) -> Path:
    content = checkpoint(Size(depth=2, classes=CLASSES_OF_THE_DATASET), prefix="module.")
    return save(content, tmp_path / "released.pth")


def evlora(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_a_checkpoint_is_imported_predicts_and_is_evaluated(
    released: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    printed = evlora("import-published", released, bundle, "--labels", tiny_dataset)
    assert printed == f"bundle: {bundle}\n"
    recording = next((tiny_dataset / "recordings" / "test").glob("*.npz"))
    ranked = json.loads(evlora("predict", bundle, recording, "--json", "--top", 40))
    assert {row["label"] for row in ranked} == set(read_manifest(tiny_dataset).labels)
    assert sum(row["probability"] for row in ranked) == pytest.approx(1, abs=1e-4)
    figures = json.loads(evlora("evaluate", bundle, tiny_dataset, "--json"))
    assert figures["samples"] == 40
    sample = f"test/{recording.stem}"
    assert figures["predicted"][sample] == ranked[0]["label"]


@pytest.mark.slow
def test_it_is_evaluated_clip_by_clip_unless_asked_otherwise(
    released: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    evlora("import-published", released, tmp_path / "bundle", "--labels", tiny_dataset)
    recognizer, manifest = load_bundle(tmp_path / "bundle"), read_manifest(tiny_dataset)
    alone = evaluate(recognizer, manifest, batch_size=1).ece
    assert evaluate(recognizer, manifest).ece == alone
    assert evaluate(recognizer, manifest, batch_size=8).ece != alone


def test_labels_may_stand_in_a_text_file(released: Path, tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(CLASSES_OF_THE_DATASET)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n\n")
    evlora("import-published", released, tmp_path / "bundle", "--labels", tmp_path / "names.txt")
    assert load_bundle(tmp_path / "bundle").labels == tuple(names)


def test_it_states_that_classes_have_no_names(released: Path, tmp_path: Path) -> None:
    printed = evlora("import-published", released, tmp_path / "bundle")
    assert "classes are called by their numbers; --labels gives them names" in printed


def test_a_mistake_is_one_message_and_leaves_nothing(
    released: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from evlora.cli.main import run

    words = ["import-published", str(released), str(tmp_path / "bundle"), "--labels", "nowhere"]
    monkeypatch.setattr(sys, "argv", ["evlora", *words])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: --labels: expected a text file of one name a line")
    assert not (tmp_path / "bundle").exists()
