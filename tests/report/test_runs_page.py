"""Runs side by side as a page."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from evlora.cli.main import app
from evlora.errors import RunError
from evlora.report.runs import write_runs

HOSTILE = "<script>x"


def made_run(folder: Path, rate: float, accuracies: list[float], **metrics: Any) -> None:
    """The folder of a run as `train` leaves it, finished if there are metrics."""
    logs = folder / "logs" / "csv" / "version_0"
    logs.mkdir(parents=True)
    rows = [f"{epoch},{value},{1 - value}" for epoch, value in enumerate(accuracies)]
    (logs / "metrics.csv").write_text("\n".join(["epoch,val/top1,val/loss", *rows]))
    recipe = {"training": {"learning_rate": rate, "epochs": 3}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    if metrics:
        (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    made_run(folder / "slow", 0.001, [0.25, 0.5])
    made_run(folder / HOSTILE, 0.1, [0.5, 0.75], epoch=2, val_top1=0.75, seconds=1234.5)
    return folder


def test_the_page_has_each_run_with_what_it_reached(runs: Path, tmp_path: Path) -> None:
    text = write_runs(runs, tmp_path / "runs.html").read_text(encoding="utf-8")
    assert text.index("&lt;script&gt;x") < text.index("slow")  # the best first
    assert HOSTILE not in text
    for shown in (
        "training.learning_rate",
        "75.0%",
        "50.0%",
        "1,234",
        "2/3",
        "unfinished",
        "0.001",
    ):
        assert shown in text
    assert "data:image/png" in text


def test_a_run_without_logs_has_no_curves(runs: Path, tmp_path: Path) -> None:
    for log in runs.glob("*/logs/csv/*/metrics.csv"):
        log.unlink()
    text = write_runs(runs, tmp_path / "runs.html").read_text(encoding="utf-8")
    assert "unfinished" in text
    assert "data:image/png" not in text


def test_the_command_prints_the_table_and_writes_the_page(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["runs", str(runs), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "slow" in done.output
    assert out.is_file()


def test_a_place_that_is_no_page_is_refused_first(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["runs", str(tmp_path), "--out", "runs.txt"])
    assert isinstance(done.exception, RunError)
    assert "--out: expected a file of .html, .htm, got runs.txt" in str(done.exception)
