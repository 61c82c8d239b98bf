"""The files with which several machines are used, run with stand-ins for the launchers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TWO = {
    "SLURM_JOB_ID": "4107",
    "SLURM_JOB_NAME": "evlora",
    "SLURM_NNODES": "1",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NODELIST": "127.0.0.1",
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs that print their words; `scontrol` writes them down."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in (
        ("srun", "echo srun $@"),
        ("torchrun", "echo torchrun $@"),
        ("scontrol", f"echo $@ >> {tmp_path}/scontrol"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


def launch(file: Path, *words: str, path: Path, **variables: str) -> tuple[int, str]:
    whole = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["bash", file, *words],
        env=whole,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=200,
    )
    return done.returncode, done.stdout


def test_a_slurm_job_passes_its_words_on_and_only_training_gets_keys(
    programs: Path, project_root: Path
) -> None:
    file = project_root / "launch" / "slurm.sbatch"
    code, printed = launch(file, "train", "a b", "x=1", path=programs, **TWO)
    keys = "training.nodes=1 training.devices=2"
    assert (code, printed) == (
        0,
        f"srun --kill-on-bad-exit=1 evlora train a b x=1 {keys} --resume\n",
    )
    assert launch(file, "evaluate", "b", "d", path=programs, **TWO)[1].endswith("evaluate b d\n")


def test_torchrun_gets_the_machines_and_refuses_to_start_without_a_number(
    programs: Path, project_root: Path
) -> None:
    file = project_root / "launch" / "torchrun.sh"
    place = {"MACHINES": "2", "GPUS": "4", "FIRST": "node1:29500"}
    code, printed = launch(file, "compare", "r", path=programs, **place)
    assert code == 0
    assert "--nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d" in printed
    assert printed.endswith("-m evlora compare r training.nodes=2 training.devices=4\n")
    code, printed = launch(file, "train", "r", path=programs)
    assert code != 0
    assert "GPUS: expected the number of GPUs" in printed


@pytest.mark.slow
def test_a_job_whose_time_is_over_is_queued_again_and_then_continues(
    programs: Path, tiny_settings: dict[str, Any], tmp_path: Path, project_root: Path
) -> None:
    (programs / "srun").unlink()
    (programs / "srun").symlink_to(project_root / "tests" / "support" / "srun")
    file = project_root / "launch" / "slurm.sbatch"
    changes = {"training.accelerator": "cpu", "training.batch_size": 1, "run.report": False}
    settings = {**tiny_settings, **changes, "training.epochs": 2}
    words = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    run = Path(settings["run.dir"])
    own = {**TWO, "EVLORA": f"{sys.executable} -m evlora", "OMP_NUM_THREADS": "1"}
    warned = {**own, "WARN_AFTER": str(run / "checkpoints" / "last.ckpt")}
    code, printed = launch(file, "train", "demo", *words, path=programs, **warned)
    assert code == 143, printed
    assert printed.count("job 4107 is queued again") == 1
    assert (tmp_path / "scontrol").read_text() == "requeue 4107\n"
    code, printed = launch(file, "train", "demo", *words, path=programs, **own)
    assert code == 0, printed
    assert json.loads((run / "metrics.json").read_text())["epoch"] <= 2
    assert printed.count("kept epoch") == 1
