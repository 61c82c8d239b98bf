"""A run that is killed inside an epoch ends as one that was not."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from packed_form import pack

import evlora
from evlora.bundle import load_bundle
from evlora.clips import ClipConfig
from evlora.datasets import read_manifest
from evlora.errors import RunError
from evlora.training import run as running

STOPS = (3, 10, 14)
"""Steps inside the first epoch, at the end of the second, before the last one of the third."""


class Stop(Exception):  # noqa: N818 - it is no error
    pass


class Watch(Callback):
    """Notes the samples and the loss of each step, and stops before a step that it is given."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, tuple[str, ...], float]] = []
        self.stop_before: int | None = None

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.stop_before:
            raise Stop

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        loss = float(outputs["loss"])
        self.steps.append((trainer.global_step, tuple(batch.samples), loss))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    make = running.Trainer

    def trainer(*, callbacks: list[Callback], **options: Any) -> Any:
        # Last: the checkpoint of a step is written when the step is noted.
        return make(callbacks=[*callbacks, watch], **options)

    monkeypatch.setattr(running, "Trainer", trainer)
    return watch


@pytest.fixture
def settings(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    """Five steps an epoch, with a checkpoint after every one."""
    return {**tiny_settings, "training.batch_size": 8, "training.checkpoint_minutes": 0}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_bundle(folder / "bundle").state_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "stops"),
    [
        ({"data.workers": 0}, STOPS),
        ({"data.workers": 2}, STOPS),
        (
            {
                **{"training.ema": 0.9, "training.average_best": 2, "training.keep": "best"},
                **{"training.mixup": 0.8, "clip.augmentation.modality_dropout": 0.5},
            },
            STOPS,
        ),
        (
            {
                **{"training.class_weights": "balanced", "data.balanced": True},
                **{"training.cutmix": 1.0, "training.mixup": 0.4, "training.layer_decay": 0.7},
                "training.patience": 9,
            },
            STOPS,
        ),
        ({"training.accumulate": 2, "training.patience": 9}, (1, 6, 8)),
    ],
    ids=str,
)
def test_a_run_stopped_inside_an_epoch_takes_the_same_steps(
    keys: dict[str, Any],
    stops: tuple[int, ...],
    settings: dict[str, Any],
    watch: Watch,
    tmp_path: Path,
) -> None:
    settings |= keys
    undisturbed = evlora.train("demo", overrides={**settings, "run.dir": str(tmp_path / "calm")})
    steps = watch.steps.copy()
    assert len(steps) == 15

    watch.steps.clear()
    for stop in stops:
        watch.stop_before = stop
        with pytest.raises(Stop):
            evlora.train("demo", overrides=settings, resume=True)
    watch.stop_before = None
    run = evlora.train("demo", overrides=settings, resume=True)

    assert watch.steps == steps
    before, after = tensors(undisturbed.dir), tensors(run.dir)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.metrics["val_top1"] == undisturbed.metrics["val_top1"]


@pytest.mark.slow
def test_an_epoch_divided_otherwise_is_not_resumed(
    settings: dict[str, Any], watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.stop_before = 3
    with pytest.raises(Stop):
        evlora.train("demo", overrides=settings, resume=True)
    path = Path(settings["run.dir"]) / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    loader = state["ClipDataModule"]
    assert loader == {"epoch": 0, "batches": 3, "of": 5, "ranks": 1}
    loader["ranks"] = 2
    torch.save(state, path)
    with pytest.raises(RunError, match="2 processes divided into 5 batches each, now 1 processes"):
        evlora.train("demo", overrides=settings, resume=True)


def test_a_checkpoint_is_written_beside_its_name(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in the middle of writing leaves the checkpoint before it."""
    folder = Path(settings["run.dir"]) / "checkpoints"
    write = Path.write_bytes
    seen: list[str] = []

    def watched(path: Path, content: Any) -> int:
        seen.append(path.name)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", watched)
    changes = {"training.epochs": 1, "training.keep": "best"}
    evlora.train("demo", overrides={**settings, **changes})
    assert seen
    assert all(name.startswith((".last-", ".best-")) for name in seen)
    whole = {"best.ckpt", "last.ckpt", "previous.ckpt"}
    assert {path.name for path in folder.iterdir()} == whole


def noted(folder: Path) -> dict[tuple[int, int, int], list[str]]:
    """The clips of each rank, epoch and step; a step that was repeated must have the same."""
    steps: dict[tuple[int, int, int], list[str]] = {}
    for path in folder.iterdir():
        rank = int(path.name.split("-")[0])
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # whole: the process was killed
                epoch, step, samples = json.loads(line)
                assert steps.setdefault((rank, epoch, step), samples) == samples
    return steps


@pytest.mark.slow
def test_a_streamed_run_of_two_ranks_that_is_killed_reads_each_clip_once(
    settings: dict[str, Any], tiny_dataset: Path, tmp_path: Path
) -> None:
    """Two ranks with two workers each; SIGKILL inside the second epoch."""
    # 39 training clips: the ranks cannot divide them evenly.
    config = ClipConfig(frames=2, size=32)
    manifest = read_manifest(tiny_dataset)
    samples = tuple(sample for sample in manifest.samples if sample.sample != "train/00007")
    pack(replace(manifest, samples=samples), config, tmp_path / "packed")
    settings |= {
        "data.root": str(tmp_path / "packed"),
        "data.workers": 2,
        "training.batch_size": 2,
        "training.accelerator": "cpu",
        "training.devices": 2,
        "training.epochs": 2,
    }

    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(settings))
    script = Path(__file__).parents[1] / "support" / "ranked_run.py"
    done = subprocess.run(
        [sys.executable, script, keys, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    calm, killed = tmp_path / "calm-notes", tmp_path / "killed-notes"

    steps = noted(killed)
    assert steps == noted(calm)
    assert len({path.name for path in killed.iterdir()}) == 4
    everyone = {sample.sample for sample in samples if sample.split == "train"}
    for epoch in range(2):
        read = Counter(
            name for (_, number, _), names in steps.items() if number == epoch for name in names
        )
        assert set(read) == everyone
        assert sum(read.values()) == 40  # one clip twice, to fill the last step
    before, after = tensors(tmp_path / "calm"), tensors(tmp_path / "killed")
    assert all(torch.equal(before[name], after[name]) for name in before)
