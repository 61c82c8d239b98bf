"""Weights & Biases and MLflow beside a run's own logs, without a network."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger

import evlora
from evlora.errors import RecipeError, RunError
from evlora.recipe import load_recipe
from evlora.training import loggers

RECIPE = "nano_photographs"


def test_a_missing_package_is_named_before_anything_is_written(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r'wandb is not installed; pip install "evlora\[wandb\]"'):
        evlora.train(RECIPE, overrides={**own_settings, "run.loggers": ["wandb"]})
    assert not Path(own_settings["run.dir"]).exists()


def test_another_name_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"run\.loggers.*expected 'wandb' or 'mlflow'"):
        load_recipe("demo", ["run.loggers=[comet]"])


def test_what_cannot_begin_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no such host")

    monkeypatch.setattr(CSVLogger, "log_hyperparams", refuse)
    with pytest.raises(RunError, match="CSVLogger cannot begin: no such host; set what it needs"):
        loggers.begin_logging([CSVLogger(tmp_path)], load_recipe("demo"))


@pytest.mark.slow
def test_weights_and_biases_keeps_an_offline_run(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb: Any = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = evlora.train(RECIPE, overrides={**own_settings, "run.loggers": ["wandb"]})
    assert len(list(run.dir.glob("logs/wandb/offline-run-*/*.wandb"))) == 1
    assert wandb.run is None  # or else the next run would be written into this one


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own use of SQLAlchemy
def test_mlflow_keeps_a_run_in_its_folder(
    own_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    run = evlora.train(RECIPE, overrides={**own_settings, "run.loggers": ["mlflow"]})
    client = mlflow.MlflowClient(f"sqlite:///{run.dir}/logs/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'evlora'")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED"
    assert "val/top1" in logged.data.metrics
    assert logged.data.params["training/epochs"] == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
