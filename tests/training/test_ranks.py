"""Several devices: the same batches, exact figures, one voice. Real ranks run in the slow tests."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import evlora
from evlora.bundle import load_bundle
from evlora.clips import Batch, ClipConfig
from evlora.datasets import ClipDataset, read_manifest
from evlora.errors import RunError
from evlora.evaluation import evaluate
from evlora.training.checkpoints import read_checkpoint
from evlora.training.module import first_of
from evlora.training.ordering import EpochSampler, SplitPart

RANKS = int(os.environ.get("EVLORA_RANKS", "2"))
"""Ranks of the slow tests; 4 in a long run."""
CLIP = ClipConfig(frames=1, size=32, modalities=("rgb",))


def test_ranks_see_together_what_one_process_with_all_their_clips_sees(few_pictures: Path) -> None:
    clips = ClipDataset(read_manifest(few_pictures), "train", CLIP)
    one = list(EpochSampler(clips, world_size=1, rank=0, seed=3, batch_size=6))
    ranks = [
        list(EpochSampler(clips, world_size=3, rank=rank, seed=3, batch_size=2))
        for rank in range(3)
    ]
    steps = zip(*([mine[at : at + 2] for at in (0, 2)] for mine in ranks), strict=True)
    assert [number for step in steps for part in step for number in part] == one


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7])
def test_ranks_take_as_many_clips_of_a_split_and_count_each_once(
    world_size: int, few_pictures: Path
) -> None:
    clips = ClipDataset(read_manifest(few_pictures), "val", CLIP)
    parts = [SplitPart(clips, world_size=world_size, rank=rank) for rank in range(world_size)]
    assert len({len(list(part)) for part in parts}) == 1
    assert [number for part in parts for number in list(part)[: part.counted]] == [0, 1, 2, 3, 4]


def test_the_first_clips_of_a_batch_are_a_batch() -> None:
    batch = Batch(torch.arange(3), None, torch.tensor([4, 5, 6]), ["a", "b", "c"])
    first = first_of(batch, 2)
    assert isinstance(first, Batch)
    assert first.events is None
    assert (first.samples, first.labels.tolist(), first.rgb.tolist()) == (
        ["a", "b"],
        [4, 5],
        [0, 1],
    )


EVEN = {
    # No draw differs between one process and several: what remains is the sum of gradients.
    "clip.augmentation": {"crop": 1.0, "colour": 0.0, "flip": False, "erase": 0.0},
    "model.adapter": {"method": "lora", "dropout": 0.0},
    "model.head": "linear",  # a batch norm has statistics of each rank
    "training.keep": "last",
    "training.mixup": 0.0,
}


def command(verb: str, settings: dict[str, Any], *options: str) -> list[str]:
    keys = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return [sys.executable, "-m", "evlora", verb, "nano_photographs", *keys, *options]


def losses(folder: Path) -> list[float]:
    """The training loss of each epoch, over all starts of the run."""
    by_epoch: dict[str, float] = {}
    for path in sorted((folder / "logs" / "csv").glob("version_*/metrics.csv")):
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["train/loss"]]
        by_epoch |= {row["epoch"]: float(row["train/loss"]) for row in rows}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


@pytest.fixture(scope="module")
def even_settings(short_settings: dict[str, Any]) -> dict[str, Any]:
    size = 12 // RANKS // 2  # two steps an epoch, whatever the ranks
    return {**short_settings, **EVEN, "training.batch_size": size, "training.devices": RANKS}


@pytest.fixture(scope="module")
def run_of_ranks(
    even_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A new run of several ranks, and what it printed."""
    folder = tmp_path_factory.mktemp("ranks") / "run"
    done = subprocess.run(
        command("train", {**even_settings, "run.dir": str(folder)}),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder.parent,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
    return folder, done.stdout


@pytest.mark.slow
def test_a_new_run_of_ranks_has_one_voice_and_the_numbers_of_one_process(
    run_of_ranks: tuple[Path, str], even_settings: dict[str, Any], tmp_path: Path
) -> None:
    folder, printed = run_of_ranks
    lines = printed.splitlines()
    step = str(RANKS * even_settings["training.batch_size"])
    begins = [line.split()[0] for line in lines]
    assert begins == ["12", step, "epoch", "epoch", "kept", "measured", "bundle:", "report:"]
    one = {**even_settings, "training.devices": 1, "run.dir": str(tmp_path / "one")}
    one["training.batch_size"] *= RANKS
    calm = evlora.train("nano_photographs", overrides=one)
    assert losses(folder) == pytest.approx(losses(calm.dir), abs=1e-5)
    metrics = json.loads((folder / "metrics.json").read_text())
    result = evaluate(load_bundle(folder / "bundle"), read_manifest(one["data.root"]), split="val")
    assert metrics["val_top1"] == pytest.approx(result.top1, abs=1e-6)  # k of 5, not of 6
    assert f"{result.top1:.4f}" in (folder / "bundle" / "README.md").read_text()


@pytest.mark.slow
def test_between_epochs_a_run_of_ranks_is_resumed_by_one_process(
    run_of_ranks: tuple[Path, str], even_settings: dict[str, Any], tmp_path: Path
) -> None:
    folder, _ = run_of_ranks
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "metrics.json").unlink()
    (moved / "checkpoints" / "last.ckpt").unlink()
    before = read_checkpoint(moved / "checkpoints" / "previous.ckpt")
    assert (before["epoch"], before["global_step"]) == (0, 2)
    one = {**even_settings, "training.devices": 1, "run.dir": str(moved)}  # the batches are smaller
    evlora.train("nano_photographs", overrides=one, resume=True)
    after = read_checkpoint(moved / "checkpoints" / "last.ckpt")
    assert after["global_step"] == 4 * RANKS
    assert after["lr_schedulers"][0]["_last_lr"][0] == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_sigterm_stops_all_ranks_and_the_run_resumes(
    even_settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    settings = {**even_settings, "run.dir": str(folder), "training.epochs": 200}
    start = command("train", settings, "--resume")
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (folder / "checkpoints" / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.05)
    with pytest.raises(RunError, match="another process trains there"):
        evlora.train("nano_photographs", overrides={**settings, "training.devices": 1}, resume=True)
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert printed.count("stopped by SIGTERM") == 1
    assert "Traceback" not in errors
    assert not (folder / ".lock").exists()
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] < 199


@pytest.mark.slow
def test_a_rank_that_stands_still_ends_the_run(
    even_settings: dict[str, Any], tmp_path: Path, project_root: Path
) -> None:
    keys = tmp_path / "keys.json"
    settings = {**even_settings, "training.devices": 2, "run.dir": str(tmp_path / "run")}
    keys.write_text(json.dumps({**settings, "training.standing_minutes": 0.1}))
    done = subprocess.run(
        [sys.executable, project_root / "tests" / "support" / "standing_rank.py", keys],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    # Whichever waits for the other notices first.
    message = r"OneRankError: rank [01]: another process of the run answers no more"
    assert re.search(message, done.stdout), done.stderr
    assert "after at most 0.1 minutes (training.standing_minutes)" in done.stdout


def test_several_machines_need_a_launcher(own_settings: dict[str, Any]) -> None:
    with pytest.raises(
        RunError, match=r"training\.nodes: expected processes on 2 machines"
    ) as error:
        evlora.train("nano_photographs", overrides={**own_settings, "training.nodes": 2})
    assert "torchrun --nnodes=2" in str(error.value)
    assert not Path(own_settings["run.dir"]).exists()
