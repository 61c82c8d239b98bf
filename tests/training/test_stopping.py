"""A run that is asked to stop writes a checkpoint, ends with its signal's code, and resumes."""

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

import evlora
from evlora.bundle import load_bundle
from evlora.cli import main
from evlora.training import run as running
from evlora.training.stopping import RunStopped, StopSignals


class SendBefore(Callback):
    """Sends this process a signal when a step begins."""

    def __init__(self, number: int, *, step: int) -> None:
        self.number = number
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


def sending(monkeypatch: pytest.MonkeyPatch, number: int, *, step: int) -> None:
    make = running.Trainer

    def trainer(*, callbacks: list[Callback], **options: Any) -> Any:
        return make(callbacks=[SendBefore(number, step=step), *callbacks], **options)

    monkeypatch.setattr(running, "Trainer", trainer)


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGTERM, 3), (signal.SIGUSR1, 2)],
    ids=["inside an epoch", "at its end"],
)
def test_a_signal_writes_a_checkpoint_from_which_the_run_ends_as_an_undisturbed_one(
    number: signal.Signals,
    step: int,
    calm_run: Path,
    own_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, folder = own_settings, Path(own_settings["run.dir"])
    before = signal.getsignal(number)
    monkeypatch.chdir(folder.parent)
    lines: list[str] = []
    with monkeypatch.context() as patch:
        sending(patch, number, step=step)
        with pytest.raises(RunStopped) as stopped:
            evlora.train("nano_photographs", overrides=settings, report=lines.append)
    assert stopped.value.code == 143
    assert f"stopped by {number.name}: last.ckpt is" in lines[-1]
    assert signal.getsignal(number) == before
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == step + 1
    run = evlora.train("nano_photographs", overrides=settings, resume=True)
    calm, ended = load_bundle(calm_run / "bundle"), load_bundle(run.bundle)
    assert all(torch.equal(a, b) for a, b in both(calm.state_dict(), ended.state_dict()))


def both(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[Any, Any]]:
    assert one.keys() == other.keys()
    return [(one[name], other[name]) for name in one]


def test_ctrl_c_while_training_is_an_interruption(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(monkeypatch, signal.SIGINT, step=3)
    with pytest.raises(KeyboardInterrupt):
        evlora.train("nano_photographs", overrides=own_settings)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_signal_outside_training_ends_the_run_at_once() -> None:
    lines: list[str] = []
    with pytest.raises(RunStopped), StopSignals(lines.append):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError
    assert lines == [
        "stopped by SIGTERM: nothing was written since the last checkpoint; "
        "the same command with --resume continues"
    ]


def test_slurm_queues_the_job_again_for_sigusr1_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "scontrol"
    command.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/calls\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    lines: list[str] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        with pytest.raises(RunStopped), StopSignals(lines.append):
            os.kill(os.getpid(), number)
    assert (tmp_path / "calls").read_text() == "requeue 41\n"
    assert lines[-1] == "job 41 is queued again"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command with --resume continues\n"),
        (
            OSError(errno.ENOSPC, "No space left", "run/x"),
            2,
            "error: run/x: No space left; make room on this disk, or write to another one\n",
        ),
        (RunStopped(), 143, ""),
    ],
    ids=["Ctrl-C", "a full disk", "SIGTERM"],
)
def test_the_command_ends_with_a_line_and_the_code_of_what_ended_it(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def end(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(running, "train", end)
    monkeypatch.setattr("evlora.training.folder.require_places", lambda recipe: None)
    monkeypatch.setattr(main, "_show_only_our_warnings", lambda: None)
    monkeypatch.setattr(sys, "argv", ["evlora", "train", "demo"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == code
    assert capsys.readouterr().err == line
