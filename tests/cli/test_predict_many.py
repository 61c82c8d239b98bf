"""`evlora predict` of several recordings: a line each, and a file of all answers."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command

from evlora.bundle import load_bundle
from evlora.cli import predicting
from evlora.cli.kept_answers import KeptAnswers
from evlora.errors import RunError
from evlora.prediction import Prediction
from evlora.recognizer import Recognizer


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Two recordings, and a file between them that is none."""
    found = sorted((tiny_dataset / "recordings" / "test").glob("*.npz"))[:2]
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, path in zip(("a.npz", "c.npz"), found, strict=True):
        shutil.copy(path, folder / name)
    (folder / "b.npz").write_bytes(b"no archive")
    return folder


def test_each_recording_is_a_line_and_a_bad_file_does_not_stop_the_rest(
    predict: Command, folder: Path
) -> None:
    code, out, err = predict(*sorted(folder.iterdir()))
    assert code == 2
    lines = out.splitlines()
    assert [line.split()[-1] for line in lines] == [str(folder / "a.npz"), str(folder / "c.npz")]
    assert all(line.split()[0].endswith("%") for line in lines)
    assert "b.npz: expected a whole npz archive" in err
    assert "predicted 2 of 3 recordings" in err


def test_answers_and_faults_are_written_to_a_table(
    predict: Command, folder: Path, tmp_path: Path
) -> None:
    code, _, err = predict(folder, "--out", tmp_path / "answers.csv", "--top", "2")
    assert code == 2
    assert "answers of 3 recordings" in err
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "recording",
        "label",
        "probability",
        "label_2",
        "probability_2",
        "error",
    ]
    assert [Path(row["recording"]).name for row in rows] == ["a.npz", "b.npz", "c.npz"]
    assert float(rows[0]["probability"]) >= float(rows[0]["probability_2"]) > 0
    assert rows[1]["label"] == ""
    assert "npz archive" in rows[1]["error"]


@pytest.mark.slow
def test_answers_are_written_as_json_lines_and_as_parquet(
    predict: Command, folder: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    predict(folder / "a.npz", folder / "c.npz", "--out", tmp_path / "answers.jsonl")
    predict(folder / "a.npz", folder / "c.npz", "--out", tmp_path / "answers.parquet")
    lines = (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    ranked = [json.loads(line)["ranked"][0] for line in lines]
    columns = parquet.read_table(tmp_path / "answers.parquet").to_pydict()
    assert columns["label"] == [first["label"] for first in ranked]
    assert columns["probability"] == [first["probability"] for first in ranked]


def test_what_cannot_be_written_is_refused_before_anything_is_predicted(
    predict: Command, folder: Path, tmp_path: Path
) -> None:
    code, out, err = predict(folder, "--out", tmp_path / "answers.xlsx")
    assert (code, out) == (2, "")
    assert "--out: expected a file of .csv, .jsonl, .parquet" in err
    code, out, err = predict(folder, "--out", tmp_path / "recordings.csv" / "..")
    assert (code, out) == (2, "")


def test_an_interrupted_table_is_resumed_without_asking_again(
    predict: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "b.npz").unlink()
    asked: list[int] = []
    answering = predicting.ranked_labels

    def counted(recognizer: Recognizer, samples: Any, **options: Any) -> Any:
        asked.append(len(samples))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answering(recognizer, samples, **options)

    monkeypatch.setattr(predicting, "ranked_labels", counted)
    out, unfinished = tmp_path / "answers.csv", tmp_path / ".answers.csv.unfinished"
    code, first, err = predict(folder, "--out", out)
    assert (code, first.count("\n")) == (130, 1)
    assert "the same command resumes" in err
    assert unfinished.exists()
    assert not out.exists()
    with unfinished.open("a") as file:
        file.write('{"recording": "cut sho')
    code, whole, err = predict(folder, "--out", out)
    assert code == 0
    assert "1 of 2 recordings were answered before; resumed" in err
    assert asked == [1, 1, 1]
    assert whole.startswith(first)
    assert sorted(path.name for path in tmp_path.glob("*answers*")) == ["answers.csv"]
    assert len(out.read_text().splitlines()) == 3


def test_kept_answers_of_another_command_and_of_changed_files_are_dropped(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recognizer = load_bundle(tiny_bundle)
    out = tmp_path / "answers.csv"
    ranked = [Prediction("left", 0.75), Prediction("right", 0.25)]
    with KeptAnswers.beside(out, recognizer, asked="all") as kept:
        kept.add("a.npz", "1", ranked)
        with (
            pytest.raises(RunError, match="another process writes"),
            KeptAnswers.beside(out, recognizer, asked="all"),
        ):
            pass
    with KeptAnswers.beside(out, recognizer, asked="all") as kept:
        assert kept.of("a.npz", "1") == ranked
        assert kept.of("a.npz", "2") is None
    recognizer.temperature = 2.0
    with KeptAnswers.beside(out, recognizer, asked="all") as kept:
        assert kept.of("a.npz", "1") is None
    assert "holds answers to another command" in capsys.readouterr().err


@pytest.mark.slow
def test_several_processes_read_and_give_the_same_table(
    predict: Command, folder: Path, tmp_path: Path
) -> None:
    alone = predict(folder, "--out", tmp_path / "alone.csv")
    several = predict(folder, "--out", tmp_path / "several.csv", "--workers", "2")
    assert (several.returncode, several.stdout) == (alone.returncode, alone.stdout)
    assert (tmp_path / "several.csv").read_text() == (tmp_path / "alone.csv").read_text()
    assert "b.npz: expected a whole npz archive" in several.stderr
    together = predict(folder, "--batch-size", "2")
    assert [line.split()[1:] for line in together.stdout.splitlines()] == [
        line.split()[1:] for line in alone.stdout.splitlines()
    ]


def test_a_recording_without_an_answer_leaves_no_file(
    predict: Command, folder: Path, tmp_path: Path
) -> None:
    code, _, err = predict(folder / "b.npz", "--out", tmp_path / "answers.csv")
    assert (code, "expected a whole npz archive" in err) == (2, True)
    assert list(tmp_path.glob("*answers*")) == []


def test_columns_and_unit_are_those_of_inspect(predict: Command, tmp_path: Path) -> None:
    numbers = np.arange(300)
    table = np.stack([numbers % 32, numbers % 24, numbers / 1000, numbers % 2], axis=1)
    np.savetxt(tmp_path / "events.txt", table, fmt=("%d", "%d", "%.3f", "%d"))
    words = (tmp_path / "events.txt", "--without", "rgb", "--unit", "ms")
    size = ("--width", "32", "--height", "32")
    code, out, _ = predict(*words, *size, "--columns", "x,y,t,p")
    assert code == 0
    assert "events.txt" in out
    code, _, err = predict(*words, *size, "--columns", "x,y,t")
    assert code == 2
    assert "columns: expected t, x, y and p" in err


def test_parts_of_recordings_are_predicted(predict: Command, folder: Path) -> None:
    one = folder / "a.npz"
    whole = predict(one, "--json")
    everything = predict(one, "--from", "0s", "--json")
    part = predict(one, "--from", "10ms", "--to", "50ms", "--json")
    live = predict(one, "--from", "10ms", "--to", "50ms", "--live", "--speed", "0", "--json")
    assert json.loads(everything.stdout) == json.loads(whole.stdout) != json.loads(part.stdout)
    assert json.loads(live.stdout.splitlines()[-1])["elapsed_us"] <= 50_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--from", "50ms", "--to", "10ms"],
            "expected an end behind the start, got 50000 to 10000",
        ),
        (["--from", "soon"], "--from: expected a time such as 1.5s"),
        (["--from", "1h", "--to", "2h"], "--from: expected a time such as 1.5s"),
        (["--from", "9s"], "expected a part within the recording's"),
        (["--to", "9s", "--live"], "expected a part within the recording's"),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    words: list[str], message: str, predict: Command, folder: Path
) -> None:
    refused = predict(folder / "a.npz", *words)
    assert refused.returncode == 2
    assert message in refused.stderr
