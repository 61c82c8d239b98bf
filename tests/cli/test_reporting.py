"""The verb `report`, and the pages and scores that `train` and `evaluate` write."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command


@pytest.mark.slow
def test_a_bundle_is_reported_on_a_dataset(
    evlora: Command, bundle: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = evlora("report", bundle, tiny_dataset, "--out", page, "--clips", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"report: {page}\n"
    assert "<h2>Confusion</h2>" in page.read_text(encoding="utf-8")
    assert evlora("report", bundle).returncode == 2


@pytest.mark.slow
def test_an_evaluation_writes_its_answers_and_its_page(
    evlora: Command, bundle: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    lines, folder = tmp_path / "answers.jsonl", tmp_path / "pages"
    words = ("evaluate", bundle, tiny_dataset, "--json", "--answers", lines, "--report", folder)
    done = evlora(*words)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (folder / "report.html").is_file()
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert {row["sample"]: row["predicted"] for row in rows} == result["predicted"]
    assert sum(row["is_right"] for row in rows) / len(rows) == pytest.approx(result["top1"])
    several = evlora("evaluate", bundle, bundle.parent, tiny_dataset, "--report", folder)
    assert several.returncode == 2
    assert "--report: expected one bundle" in several.stderr


@pytest.mark.slow
def test_a_run_ends_with_its_page_unless_its_recipe_turns_it_off(
    evlora: Command, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    one_epoch = {**tiny_settings, "training.epochs": 1}
    settings = [f"{key}={json.dumps(value)}" for key, value in one_epoch.items()]
    done = evlora("train", "demo", *settings, f"run.dir={tmp_path / 'without'}", "run.report=false")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "without" / "report.html").exists()
    # The tiny dataset has a split val, on which the page is measured.
    done = evlora("train", "demo", *settings, f"run.dir={tmp_path / 'with'}")
    page = tmp_path / "with" / "report.html"
    assert done.stdout.endswith(f"report: {page}\n")
    text = page.read_text(encoding="utf-8")
    assert "Measured on the split val" in text
    assert "<h2>Training</h2>" in text
    written = page.stat().st_mtime_ns
    again = evlora("train", "demo", *settings, f"run.dir={tmp_path / 'with'}", "--resume")
    assert again.returncode == 0, again.stderr
    assert page.stat().st_mtime_ns == written
    # A page of the test split takes its place when it is asked for.
    assert evlora("report", tmp_path / "with", "--projection", "pca").returncode == 0
    assert "Measured on the split test" in page.read_text(encoding="utf-8")
