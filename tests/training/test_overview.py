"""Runs side by side."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import evlora
from evlora.errors import RunError
from evlora.training.overview import runs_in


def test_runs_are_listed_with_what_they_reached_and_where_they_differ(
    calm_run: Path, short_settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(calm_run, folder / "run")
    other = folder / "more" / "decayed"
    keys = {"training.layer_decay": 0.5, "training.epochs": 1, "run.dir": str(other)}
    run = evlora.train("nano_photographs", overrides={**short_settings, **keys})
    by_name = {found.name: found for found in runs_in(folder)}
    assert set(by_name) == {"run", "more/decayed"}
    decayed = by_name["more/decayed"]
    assert (decayed.state, decayed.epoch, decayed.epochs) == ("finished", 1, 1)
    assert decayed.val_top1 == run.metrics["val_top1"]
    assert decayed.protocol is not None
    assert (decayed.protocol.split, decayed.protocol) == ("val", by_name["run"].protocol)
    assert decayed.keys == {"training.epochs": 1, "training.layer_decay": 0.5}
    assert by_name["run"].keys == {"training.epochs": 2, "training.layer_decay": 1.0}
    (other / "metrics.json").unlink()
    stopped = next(found for found in runs_in(folder) if found.name == "more/decayed")
    assert (stopped.state, stopped.epoch, stopped.val_top1) == (
        "unfinished",
        1,
        pytest.approx(run.metrics["val_top1"]),
    )
    (other / "recipe.yaml").write_text("{")
    damaged = next(found for found in runs_in(folder) if found.name == "more/decayed")
    assert damaged.state == "damaged"
    assert damaged.keys == {}


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected runs, folders with a recipe\.yaml, found none"):
        runs_in(tmp_path)
