"""Commands of four ranks as torchrun starts them, and of two as srun does: exact, in one voice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import evlora
from evlora.bundle import load_bundle
from evlora.datasets import read_manifest
from evlora.evaluation import evaluate
from evlora.training.checkpoints import read_checkpoint

pytestmark = pytest.mark.slow


class Done(NamedTuple):
    """What the ranks of a command have printed, and the codes with which they ended."""

    lines: list[str]
    codes: list[int]


class Session(NamedTuple):
    """The commands that were given one after another."""

    folder: Path
    done: dict[str, Done]
    settings: dict[str, Any]


def words(settings: dict[str, Any], **changes: Any) -> list[str]:
    changed = {**settings, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [f"{key}={json.dumps(value)}" for key, value in changed.items()]


def run_in_ranks(
    size: int, launcher: str, commands: dict[str, list[str]], folder: Path, project_root: Path
) -> dict[str, Done]:
    given = folder / "commands.json"
    given.write_text(json.dumps(list(commands.values())))
    script = project_root / "tests" / "support" / "forked_commands.py"
    ended = subprocess.run(
        [sys.executable, script, str(size), launcher, given],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=280,
        cwd=folder,
    )
    done: dict[str, Done] = {}
    lines: list[str] = []
    names = iter(commands)
    for line in ended.stdout.splitlines():
        if line.startswith("codes "):
            done[next(names)] = Done(lines, json.loads(line.removeprefix("codes ")))
            lines = []
        else:
            lines.append(line)
    assert list(done) == list(commands), ended.stdout
    given.unlink()
    return done


@pytest.fixture(scope="module")
def settings(short_settings: dict[str, Any], few_pictures: Path) -> dict[str, Any]:
    """Three steps of an epoch for four ranks with a clip each; nothing is drawn at random."""
    return {
        **short_settings,
        "clip.augmentation": {"crop": 1.0, "colour": 0.0, "flip": False, "erase": 0.0},
        "model.head": "linear",
        "training.mixup": 0.0,
        "training.keep": "last",
        "training.batch_size": 1,
        "training.epochs": 1,
        "run.report": False,
    }


@pytest.fixture(scope="module")
def session(
    settings: dict[str, Any],
    few_pictures: Path,
    tmp_path_factory: pytest.TempPathFactory,
    project_root: Path,
) -> Session:
    folder = tmp_path_factory.mktemp("four")
    own = {**settings, "training.devices": 4, "model.adapter": {"method": "lora", "dropout": 0.0}}
    train = ["train", "nano_photographs"]
    rows = ["--methods", "none,lora", "--seeds", "1", "--repeats", "0"]
    compared = {**own, "run.dir": "rows"}
    del compared["model.adapter"]
    pictures, dataset = str(few_pictures.with_name("source")), str(few_pictures)
    commands = {
        "train": [*train, *words(own, run__dir="run")],
        "refused": [*train, *words(own, run__dir="run")],
        "resumed": [*train, *words(own, run__dir="run", training__epochs=2), "--resume"],
        "compare": ["compare", "nano_photographs", *words(compared), *rows],
        "evaluate": ["evaluate", "run/bundle", dataset, "--json", "--answers", "answers.csv"],
        "failed": ["evaluate", "nowhere", dataset],
        "predict": ["predict", "run/bundle", f"{pictures}/test/class0", f"{pictures}/val/class1"],
        "prepare": ["prepare", "image_folder", pictures, "prepared", "--check"],
        "pack": ["pack", "prepared", "packed", "clip.frames=1", "clip.modalities=[rgb]"],
    }
    return Session(folder, run_in_ranks(4, "torchrun", commands, folder, project_root), own)


def test_all_commands_end_and_write_one_folder_each(session: Session) -> None:
    codes = {name: done.codes for name, done in session.done.items()}
    assert codes.pop("refused")[0] == codes.pop("failed")[0] == 2
    assert set(map(tuple, codes.values())) == {(0, 0, 0, 0)}
    names = {path.name for path in session.folder.iterdir()}
    assert names == {"run", "rows", "answers.csv", "prepared", "packed"}
    assert not list(session.folder.rglob("failure.txt"))


def test_new_and_resumed_runs_have_one_voice_and_the_numbers_of_one_process(
    session: Session, tmp_path: Path
) -> None:
    begins = [line.split()[0] for line in session.done["train"].lines]
    assert begins == ["12", "4", "epoch", "kept", "measured", "bundle:"]
    refused = [line for line in session.done["refused"].lines if "holds a run" in line]
    assert len(refused) == 1
    state = read_checkpoint(session.folder / "run" / "checkpoints" / "last.ckpt")
    assert (state["epoch"], state["global_step"]) == (1, 6)
    one = {**session.settings, "training.devices": 1, "training.batch_size": 4}
    folder = tmp_path / "one"
    evlora.train("nano_photographs", overrides={**one, "run.dir": str(folder)})
    more = {**one, "run.dir": str(folder), "training.epochs": 2}
    calm = evlora.train("nano_photographs", overrides=more, resume=True)
    weights, others = (
        load_bundle(path).learned_tensors() for path in (calm.bundle, session.folder / "run")
    )
    assert all((weights[name] - others[name]).abs().max() < 1e-4 for name in weights)


def test_figures_and_answers_are_those_of_one_process(session: Session, few_pictures: Path) -> None:
    found = json.loads(session.done["evaluate"].lines[-1])
    alone = evaluate(load_bundle(session.folder / "run"), read_manifest(few_pictures))
    assert found == json.loads(json.dumps(alone.as_dict()))
    answers = (session.folder / "answers.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in answers] == list(alone.predicted)
    assert len(session.done["predict"].lines) == 6 + 2  # of each folder a line with its count
    assert [line for line in session.done["compare"].lines if "table, CSV" in line]


def test_a_failure_that_all_share_is_reported_once(session: Session) -> None:
    errors = [line for line in session.done["failed"].lines if line.startswith("error:")]
    assert len(errors) == 1


def test_datasets_are_prepared_and_packed_as_by_one_process(
    session: Session, few_pictures: Path
) -> None:
    assert "opened 22 samples, 0 cannot be read" in session.done["prepare"].lines
    one, prepared = read_manifest(few_pictures), read_manifest(session.folder / "prepared")
    packed = read_manifest(session.folder / "packed")
    names = [sample.sample for sample in one.samples]
    assert [sample.sample for sample in prepared.samples] == names
    assert {sample.sample for sample in packed.samples} == set(names)


def test_ranks_of_srun_begin_a_run_and_are_refused_together(
    settings: dict[str, Any], few_pictures: Path, tmp_path: Path, project_root: Path
) -> None:
    own = words({**settings, "training.devices": 2}, run__dir="run")
    commands = {
        "train": ["train", "nano_photographs", *own],
        "refused": ["train", "nano_photographs", *own],
        "evaluate": ["evaluate", "run/bundle", str(few_pictures)],
    }
    done = run_in_ranks(2, "slurm", commands, tmp_path, project_root)
    assert [one.codes for one in done.values()] == [[0, 0], [2, 0], [0, 0]]
    assert sum("holds a run; resume it" in line for line in done["refused"].lines) == 1
    assert done["evaluate"].lines[0] == f"5 clips of the test split of {few_pictures}"
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
