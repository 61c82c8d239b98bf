"""The page on evaluation and its verb, with two recognizers of a tiny dataset."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from code_blocks import code_blocks, commands, run_evlora, run_python

from evlora.bundle import load_bundle, save_bundle
from evlora.cli.main import run
from evlora.datasets import read_manifest
from evlora.datasets.storage import write_manifest
from evlora.recipe import build


@pytest.fixture
def folder(
    tiny_settings: dict[str, Any],
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """What the page takes for granted: `data` with columns, and the bundles of two runs."""
    manifest = read_manifest(tiny_dataset)
    lights = ("dark", "bright", "dark")
    samples = tuple(
        replace(sample, columns=(("light", lights[i % 3]),))
        for i, sample in enumerate(manifest.samples)
    )
    (tmp_path / "data").mkdir()
    write_manifest(replace(manifest, samples=samples), tmp_path / "data")
    for seed, name in enumerate(("lora", "none")):
        torch.manual_seed(seed)
        recognizer = build("demo", num_classes=40, overrides=tiny_settings)
        recognizer.labels = manifest.labels
        save_bundle(recognizer, tmp_path / "runs" / name / "bundle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_page_runs(
    folder: Path,
    project_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = project_root / "docs" / "evaluation.md"
    shown = [words for block in code_blocks(page, "sh") for words in commands(block)]
    sliced, compared, calibrated = (words for words in shown if "evaluate" in words)
    run_evlora(sliced, monkeypatch)
    printed = capsys.readouterr().out
    assert "40 clips of the test split of data" in printed
    assert "95 % interval" in printed
    assert "bright" in printed
    run_evlora([*compared, "--out", "both.json", "--answers", "answers.csv"], monkeypatch)
    printed = capsys.readouterr().out
    assert "to first" in printed
    assert "runs/none" in printed
    both = json.loads((folder / "both.json").read_text())
    assert list(both["bundles"]) == ["runs/lora", "runs/none"]
    assert 0 < both["pairs"]["runs/none"]["p_value"] <= 1
    with (folder / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    right = sum(row["is_right"] == "True" for row in rows if row["bundle"] == "runs/lora")
    assert both["bundles"]["runs/lora"]["top1"] == pytest.approx(right / 40)
    run_evlora(calibrated, monkeypatch)
    assert load_bundle("runs/lora").temperature != 1
    for block in code_blocks(page, "python"):
        run_python(block, page, {})


@pytest.mark.slow
def test_figures_are_written_as_a_table(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arrow_table: Callable[[Path], dict[str, list[Any]]],
) -> None:
    call = ["evlora", "evaluate", "runs/lora", "data", "--slices", "light", "--out"]
    run_evlora([*call, "figures.csv"], monkeypatch)
    run_evlora([*call, "figures.parquet"], monkeypatch)
    with (folder / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows[:3]] == ["", "bright", "dark"]
    assert sum(int(row["samples"]) for row in rows[1:3]) == 40
    assert float(rows[0]["top1_low"]) <= float(rows[0]["top1"]) <= float(rows[0]["top1_high"])
    assert sum(int(row["samples"]) for row in rows if row["column"] == "label") == 40
    table = arrow_table(folder / "figures.parquet")
    assert [float(row["top1"]) for row in rows if row["top1"]] == pytest.approx(
        [value for value in table["top1"] if value is not None]
    )


@pytest.fixture
def arrow_table() -> Callable[[Path], dict[str, list[Any]]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return lambda path: parquet.read_table(path).to_pydict()


def test_a_file_of_no_known_format_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evlora", "evaluate", "nowhere", "data", "--out", "x.xlsx"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="2"):
        run()
    assert "--out: expected a file of .json, .csv, .parquet, got x.xlsx" in capsys.readouterr().err
