"""Names and texts of others on the terminal and in files, and what other libraries raise."""

import csv
import json
from pathlib import Path

import pytest
from command import Command
from small_recordings import write_recording

from evlora.cli.answers import Answers, Row
from evlora.cli.printing import echo, table
from evlora.prediction import Prediction

CLEARING = "a\x1b[2Jb"
SHOWN = r"a\u001b[2Jb"


def test_names_of_files_are_shown_and_not_obeyed(evlora: Command, tmp_path: Path):
    path = tmp_path / f"{CLEARING}.npz"
    write_recording(path, 1)
    for words in (("inspect", path), ("inspect", path, "--json"), ("inspect", tmp_path)):
        result = evlora(*words)
        assert "\x1b" not in result.stdout + result.stderr
    assert SHOWN in evlora("inspect", path.with_suffix(".missing")).stderr


def test_labels_are_shown_and_not_obeyed(evlora: Command, tmp_path: Path):
    (tmp_path / "source").mkdir()
    for number in range(2):
        write_recording(tmp_path / "source" / f"{number}.npz", number)
    rows = [f"{split},{n}.npz,{CLEARING}{n}" for n, split in enumerate(("train", "test"))]
    (tmp_path / "source" / "index.csv").write_text("\n".join(["split,events,label", *rows]))
    result = evlora("prepare", "csv", tmp_path / "source", tmp_path / "out")

    assert result.returncode == 0
    assert SHOWN in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_a_cell_of_a_table_stays_in_its_line(capsys: pytest.CaptureFixture[str]):
    table(("class", "samples"), [("a\nerror: b", "1")])
    echo("é")

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "class",
        "─" * len(r"a\u000aerror: b"),
        r"a\u000aerror:",
        "é",
    ]


def test_answers_for_a_spreadsheet_hold_no_formula(tmp_path: Path):
    label = "=HYPERLINK(1)"
    row = Row("\udcff.npz", (Prediction(label, 0.5),), None)
    answers = Answers(top=1, is_one=True, as_json=False, rows=[row])
    answers.write(tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open(encoding="utf-8") as file:
        (found,) = csv.DictReader(file)

    assert (found["label"], found["recording"]) == (f"'{label}", r"\udcff.npz")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("9 GiB"), "there is not enough memory: 9 GiB"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), "is not UTF-8"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:1] closed"), "another process of this run"),
    ],
)
def test_what_libraries_raise_for_an_input_is_one_line(
    evlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
):
    def raises(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("evlora.recordings.readers.table.named_by_header", raises)
    write_recording(tmp_path / "a.npz", 1)
    result = evlora("inspect", tmp_path / "a.npz")

    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert reason in result.stderr


def test_a_defect_of_our_own_keeps_its_traceback(
    evlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def raises(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("evlora.recordings.readers.table.named_by_header", raises)
    write_recording(tmp_path / "a.npz", 1)
    with pytest.raises(RuntimeError, match="a defect"):
        evlora("inspect", tmp_path / "a.npz")


def test_json_keeps_its_values(evlora: Command, tmp_path: Path):
    path = tmp_path / "a\x9bb.npz"
    write_recording(path, 1)

    assert json.loads(evlora("inspect", path, "--json").stdout)["events"] > 0
