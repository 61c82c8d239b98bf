"""Whole runs: what is written, that a seed fixes them, and that a killed one goes on."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import evlora
from evlora.bundle import load_bundle
from evlora.datasets import read_manifest
from evlora.datasets.storage import write_manifest
from evlora.errors import DatasetError, RecipeError, RunError
from evlora.training.run import Run

VARYING = {"seconds"}


def figures(folder: Path) -> dict[str, float]:
    content = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in content.items() if name not in VARYING}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_bundle(folder / "bundle").state_dict()


def logged(folder: Path) -> dict[str, dict[str, str]]:
    """What was logged of each epoch, over all starts of the run."""
    rows: dict[str, dict[str, str]] = {}
    for path in sorted((folder / "logs" / "csv").glob("version_*/metrics.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["epoch"], {}).update({k: v for k, v in row.items() if v})
    return rows


@dataclass(frozen=True)
class Finished:
    """A run that has ended, to read; `copied_to` gives one to change."""

    settings: dict[str, Any]
    run: Run
    lines: list[str]

    def copied_to(self, folder: Path) -> dict[str, Any]:
        """The settings of a copy in this folder."""
        shutil.copytree(self.run.dir, folder)
        return {**self.settings, "run.dir": str(folder)}


@pytest.fixture(scope="module")
def finished(
    tiny_settings_of: Callable[[Path], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("finished") / "run"
    settings = {**tiny_settings_of(folder), "training.keep": "best"}
    lines: list[str] = []
    run = evlora.train("demo", overrides=settings, report=lines.append)
    return Finished(settings, run, lines)


def test_a_run_leaves_recipe_logs_checkpoints_bundle_and_figures(finished: Finished) -> None:
    run, lines = finished.run, finished.lines
    assert sorted(p.name for p in run.dir.iterdir()) == [
        "bundle",
        "checkpoints",
        "logs",
        "metrics.json",
        "recipe.yaml",
    ]
    written = {p.name for p in (run.dir / "checkpoints").iterdir()}
    assert written == {"best.ckpt", "last.ckpt", "previous.ckpt"}
    assert list((run.dir / "logs" / "tensorboard").rglob("events.*"))
    assert len([line for line in lines if line.startswith("epoch")]) == 3
    assert set(logged(run.dir)["2"]) >= {"train/loss", "train/top1", "val/loss", "val/top1"}
    labels = read_manifest(Path(finished.settings["data.root"])).labels
    assert load_bundle(run.bundle).labels == labels


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_whatever_the_workers(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    one = evlora.train("demo", overrides=tiny_settings)
    other = {**tiny_settings, "run.dir": str(tmp_path / "again"), "data.workers": 2}
    two = evlora.train("demo", overrides=other)
    first, second = tensors(one.dir), tensors(two.dir)
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = evlora.train(
        "demo", overrides={**tiny_settings, "run.dir": str(tmp_path / "third"), "run.seed": 1}
    )
    assert any(not torch.equal(first[n], t) for n, t in tensors(third.dir).items())


@pytest.mark.slow
def test_training_learns(tiny_settings: dict[str, Any]) -> None:
    changes = {
        "backbone": {"name": "evlora_nano"},
        "training.epochs": 8,
        "training.batch_size": 4,
        "training.learning_rate": 3e-3,
    }
    settings = {k: v for k, v in tiny_settings.items() if not k.startswith("backbone")}
    run = evlora.train("demo", overrides={**settings, **changes})
    epochs = list(logged(run.dir).values())
    losses = [float(row["train/loss"]) for row in epochs]
    assert losses[-1] < 0.5 * losses[0]
    first, last = (float(epochs[number]["train/top1"]) for number in (0, -1))
    assert first < 0.1  # of 40 clips of 40 classes
    assert last > 0.9


@pytest.mark.parametrize("kills", [(1.5,), (3.0, 5.5)])
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_ends_as_an_undisturbed_one(
    kills: tuple[float, ...], tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    """SIGKILL after these seconds of work, counted from the first sign of life in the folder."""
    settings = {**tiny_settings, "training.epochs": 20}
    undisturbed = evlora.train("demo", overrides={**settings, "run.dir": str(tmp_path / "calm")})
    command = [sys.executable, "-m", "evlora", "train", "demo", "--resume"]
    command += [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    folder = Path(settings["run.dir"])
    was_killed = 0
    for seconds in kills:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not (folder / "recipe.yaml").exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        was_killed += process.returncode == -signal.SIGKILL
        assert not list(folder.glob("**/.bundle-*"))
    assert was_killed, "the run was over before the first kill: make it longer"
    subprocess.run(command, check=True, capture_output=True)
    assert figures(folder) == figures(undisturbed.dir)
    assert logged(folder) == logged(undisturbed.dir)
    calm, killed = tensors(undisturbed.dir), tensors(folder)
    assert all(torch.equal(calm[name], killed[name]) for name in calm)


SINGLE_STREAM = {
    "clip.modalities": ["event"],
    "model": {"network": "single_stream", "temporal": "transformer", "head": "norm_linear"},
    "training.optimizer": "sgd",
    "training.mixup": 0.4,
}


# Enough steps that the ranks it spends depend on what it remembers.
ADALORA = {
    "clip.modalities": ["rgb"],
    "model": {"network": "single_stream", "adapter": {"method": "adalora", "rank": 2}},
    "training.epochs": 8,
    "training.batch_size": 8,
    "training.learning_rate": 1e-2,
}


@pytest.mark.slow  # a signal stops a run in test_stopping.py, in every test run
@pytest.mark.parametrize(
    "changes", [{}, SINGLE_STREAM, ADALORA], ids=["velora", "single_stream", "adalora"]
)
def test_stopping_after_each_epoch_ends_as_an_undisturbed_run(
    changes: dict[str, Any], tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    tiny_settings = {**tiny_settings, **changes}

    class Stop(Exception):  # noqa: N818 - it is no error
        pass

    def stop_at(epoch: int) -> Any:
        def say(line: str) -> None:
            if line.startswith(f"epoch   {epoch}/"):
                raise Stop

        return say

    undisturbed = evlora.train(
        "demo", overrides={**tiny_settings, "run.dir": str(tmp_path / "calm")}
    )
    for epoch in (1, 2):
        with pytest.raises(Stop):
            evlora.train("demo", overrides=tiny_settings, resume=True, report=stop_at(epoch))
    run = evlora.train("demo", overrides=tiny_settings, resume=True)
    assert figures(run.dir) == figures(undisturbed.dir)
    calm, stopped = tensors(undisturbed.dir), tensors(run.dir)
    assert all(torch.equal(calm[name], stopped[name]) for name in calm)


def test_a_finished_run_is_not_run_again(finished: Finished) -> None:
    lines: list[str] = []
    again = evlora.train("demo", overrides=finished.settings, resume=True, report=lines.append)
    assert again == finished.run
    assert lines == [f"{again.dir} holds a finished run; nothing is left to do"]


def test_a_folder_in_use_is_refused(tiny_settings: dict[str, Any]) -> None:
    folder = Path(tiny_settings["run.dir"])
    folder.mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(RunError, match=r"expected an empty or a new folder as run\.dir"):
        evlora.train("demo", overrides=tiny_settings)


def test_resuming_with_another_recipe_is_refused(finished: Finished) -> None:
    with pytest.raises(RunError, match=r"training\.epochs was 3, is 2; .*resume without"):
        evlora.train("demo", overrides={**finished.settings, "training.epochs": 2}, resume=True)


def test_a_run_of_another_evlora_goes_on_if_its_keys_mean_the_same(
    finished: Finished, tmp_path: Path
) -> None:
    """A key that was not there then has its default; one that is not there now is named."""
    settings = finished.copied_to(tmp_path / "run")
    written = tmp_path / "run" / "recipe.yaml"
    recipe = yaml.safe_load(written.read_text(encoding="utf-8"))
    del recipe["training"]["mixup"], recipe["model"]["thin_answers"]
    written.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    again = evlora.train("demo", overrides=settings, resume=True)
    assert again.metrics == finished.run.metrics

    recipe["training"]["warp"] = 9
    written.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(RunError, match=r"training\.warp was 9, is None"):
        evlora.train("demo", overrides=settings, resume=True)


@pytest.mark.parametrize("key", ["data.root", "run.dir"])
def test_a_recipe_without_folders_is_refused(key: str, tiny_settings: dict[str, Any]) -> None:
    del tiny_settings[key]
    with pytest.raises(RecipeError, match=key.replace(".", r"\.")):
        evlora.train("demo", overrides=tiny_settings)


def test_nothing_is_left_when_the_data_are_wrong(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**tiny_settings, "data.root": str(tmp_path / "nowhere")}
    with pytest.raises(DatasetError, match="nowhere"):
        evlora.train("demo", overrides=settings)
    assert not Path(settings["run.dir"]).exists()


@pytest.mark.slow
def test_a_validation_split_is_held_out_where_there_is_none(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    manifest = read_manifest(Path(tiny_settings["data.root"]))
    kept = tuple(
        replace(sample, label=sample.label[0])
        for sample in manifest.samples
        if sample.split != "val"
    )
    labels = tuple("0123456789")
    folder = tmp_path / "no_val"
    folder.mkdir()
    write_manifest(replace(manifest, labels=labels, samples=kept), folder)
    lines: list[str] = []
    evlora.train(
        "demo",
        overrides={**tiny_settings, "data.root": str(folder), "data.validation_fraction": 0.25},
        report=lines.append,
    )
    assert lines[0].startswith("30 training and 10 validation clips of 10 classes")


@pytest.fixture
def nothing_held_out(
    tiny_dataset: Path, tiny_settings: dict[str, Any], tmp_path: Path
) -> dict[str, Any]:
    """Settings with a dataset that has no val split, and none to be made."""
    manifest = read_manifest(tiny_dataset)
    kept = tuple(sample for sample in manifest.samples if sample.split != "val")
    folder = tmp_path / "no_val"
    folder.mkdir()
    write_manifest(replace(manifest, samples=kept), folder)
    return {**tiny_settings, "data.root": str(folder), "data.validation_fraction": 0}


def test_the_last_epoch_is_kept_and_nothing_held_out_where_the_recipe_states_it(
    nothing_held_out: dict[str, Any],
) -> None:
    changes = {"training.keep": "last", "training.epochs": 2}
    lines: list[str] = []
    run = evlora.train("demo", overrides={**nothing_held_out, **changes}, report=lines.append)

    assert run.metrics["epoch"] == 2
    assert "val_top1" not in run.metrics
    assert lines[0].startswith("40 training and 0 validation clips")
    assert not (run.dir / "checkpoints" / "best.ckpt").exists()
    last = torch.load(run.dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    head = load_bundle(run.bundle).state_dict()["network.head.weight"]
    torch.testing.assert_close(head, last["network.head.weight"], rtol=0, atol=0)


def test_the_best_epoch_cannot_be_chosen_without_a_split_to_choose_it_on(
    nothing_held_out: dict[str, Any],
) -> None:
    with pytest.raises(RecipeError, match=r"training\.keep: best needs a val split"):
        evlora.train("demo", overrides={**nothing_held_out, "training.keep": "best"})
