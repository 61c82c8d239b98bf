"""Damaged checkpoints and folders: never loaded wrong, never lost, and reported in a line."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import evlora
from evlora.bundle import load_bundle
from evlora.errors import RunError
from evlora.training import checkpoints
from evlora.training.checkpoints import read_checkpoint, without_damage

FLIPS = int(os.environ.get("EVLORA_FLIPS", "40"))
"""Bits to flip in each kind of file; 200 in a long run."""


@pytest.fixture
def stopped(calm_run: Path, short_settings: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of a run that was killed before its bundle was written."""
    folder = tmp_path / "run"
    shutil.copytree(calm_run, folder)
    (folder / "metrics.json").unlink()
    shutil.rmtree(folder / "bundle")
    return folder


def resume(folder: Path, settings: dict[str, Any]) -> tuple[evlora.Recognizer, list[str]]:
    lines: list[str] = []
    run = evlora.train(
        "nano_photographs",
        overrides={**settings, "run.dir": str(folder)},
        resume=True,
        report=lines.append,
    )
    return load_bundle(run.bundle), [line for line in lines if line.startswith("warning")]


def are_equal(one: evlora.Recognizer, other: evlora.Recognizer) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def flip(path: Path, place: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[place.randrange(len(content))] ^= 1 << place.randrange(8)
    path.write_bytes(content)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_flipped_bit_in_a_checkpoint_is_found_or_changes_nothing(
    calm_run: Path, tmp_path: Path
) -> None:
    whole = calm_run / "checkpoints" / "last.ckpt"
    content = read_checkpoint(whole)
    place = random.Random(0)
    found = 0
    for _ in range(FLIPS):
        path = tmp_path / "last.ckpt"
        shutil.copy(whole, path)
        flip(path, place)
        try:
            assert same(read_checkpoint(path), content)  # it lay in bytes that nobody reads
        except RunError:
            found += 1
    assert found > FLIPS / 4


@pytest.mark.parametrize(
    ("damage", "warns"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), True),
        (lambda path: path.write_bytes(b""), True),
        (lambda path: torch.save({"state_dict": {}}, path), True),
        (lambda path: path.unlink(), False),
    ],
    ids=["cut", "empty", "of something else", "missing"],
)
def test_a_damaged_last_checkpoint_is_replaced_by_the_one_before(
    damage: Callable[[Path], Any],
    warns: bool,
    stopped: Path,
    calm_run: Path,
    short_settings: dict[str, Any],
) -> None:
    damage(stopped / "checkpoints" / "last.ckpt")
    recognizer, warnings = resume(stopped, short_settings)
    assert are_equal(recognizer, load_bundle(calm_run / "bundle"))
    assert len(warnings) == warns
    assert all("resuming from previous.ckpt, the one before" in line for line in warnings)


def test_two_damaged_checkpoints_end_the_run(stopped: Path, short_settings: dict[str, Any]) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        (stopped / "checkpoints" / name).write_bytes(b"PK")
    with pytest.raises(
        RunError, match=r"last\.ckpt: is missing or damaged.*previous\.ckpt.*delete"
    ):
        resume(stopped, short_settings)


def test_a_damaged_best_checkpoint_warns_when_the_run_is_resumed(
    stopped: Path, short_settings: dict[str, Any]
) -> None:
    (stopped / "checkpoints" / "best.ckpt").write_bytes(b"")
    last = read_checkpoint(stopped / "checkpoints" / "last.ckpt")["state_dict"]
    recognizer, warnings = resume(stopped, short_settings)
    assert "best.ckpt: is missing or damaged" in warnings[0]
    assert warnings[1] == "warning: best.ckpt is lost; last.ckpt is kept instead"
    kept = recognizer.learned_tensors()
    assert all(torch.equal(kept[name], last[name]) for name in last)


def test_weights_that_are_not_finite_are_not_loaded(calm_run: Path, tmp_path: Path) -> None:
    content = read_checkpoint(calm_run / "checkpoints" / "last.ckpt")
    next(iter(content["state_dict"].values())).view(-1)[0] = float("nan")
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(RunError, match="holds infinite numbers or NaN"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_a_folder_without_checkpoints_is_a_new_run(tmp_path: Path) -> None:
    assert without_damage(tmp_path / "checkpoints", pytest.fail) is None


def test_a_run_folder_that_moved_is_resumed(
    stopped: Path,
    calm_run: Path,
    short_settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    stopped.rename(moved)
    monkeypatch.chdir(tmp_path)
    root = os.path.relpath(short_settings["data.root"], tmp_path)
    settings = {**short_settings, "data.root": root, "data.workers": 1}
    recognizer, warnings = resume(Path("elsewhere/run"), settings)
    assert warnings == []
    assert are_equal(recognizer, load_bundle(calm_run / "bundle"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe.yaml", "data: [", r"recipe\.yaml: is damaged: .*delete it"),
        ("recipe.yaml", "", r"recipe\.yaml: expected a recipe, got None"),
        ("metrics.json", "{", r"metrics\.json: is damaged: .*delete .*metrics\.json"),
        ("metrics.json", "[1]", r"metrics\.json: is damaged"),
        ("metrics.json", '{"epoch": 1}', r"metrics\.json: is there, but not the bundle"),
    ],
)
def test_damaged_files_of_a_run_are_reported(
    name: str, content: str, message: str, stopped: Path, short_settings: dict[str, Any]
) -> None:
    (stopped / name).write_text(content)
    with pytest.raises(RunError, match=message):
        resume(stopped, short_settings)


def test_what_killed_runs_left_is_swept(
    stopped: Path, short_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stopped / "checkpoints"
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        checkpoints._keep_as(kept / "previous.ckpt", kept / "last.ckpt")
    assert list(kept.glob(".previous*"))
    (stopped / ".bundle-x1").mkdir()
    (stopped / ".bundle-x1" / "head.safetensors").touch()
    (stopped / "checkpoints" / ".last-x2.ckpt").touch()
    (stopped / ".notes").touch()
    resume(stopped, short_settings)
    hidden = [path.name for path in stopped.rglob(".*")]
    assert hidden == [".notes"]


def test_a_full_disk_leaves_the_checkpoint_before(
    short_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, folder = Path.write_bytes, tmp_path / "run" / "checkpoints"

    def fill(path: Path, content: Any) -> int:
        if (folder / "last.ckpt").exists():
            write(path, bytes(content)[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left"):
        evlora.train(
            "nano_photographs", overrides={**short_settings, "run.dir": str(folder.parent)}
        )
    assert read_checkpoint(folder / "last.ckpt")["epoch"] == 0
    assert not list(folder.glob(".*"))


def test_checkpoints_do_not_need_a_folder_for_temporary_files(
    calm_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = read_checkpoint(calm_run / "checkpoints" / "last.ckpt")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    checkpoints.WholeCheckpoints().save_checkpoint(content, tmp_path / "last.ckpt")
    assert same(read_checkpoint(tmp_path / "last.ckpt"), content)


KILLS = int(os.environ.get("EVLORA_KILLS", "8"))
"""SIGKILLs of one run; 40 in a long run."""


@pytest.mark.slow
@pytest.mark.timeout(max(1200, 150 * KILLS))
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_that_is_killed_at_random_moments_ends_as_an_undisturbed_one(
    ranks: int, short_settings: dict[str, Any], tmp_path: Path, project_root: Path
) -> None:
    """Over training, validation, checkpoints, the bundle and its replacement."""
    settings = {
        **short_settings,
        "run.dir": str(tmp_path / "killed"),
        "training.keep": "best",
        "training.epochs": 2,
        "training.checkpoint_minutes": 0,
        "training.batch_size": 4 // ranks,
        "training.devices": ranks,
    }
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(settings))
    script = project_root / "tests" / "support" / "killed_runs.py"
    done = subprocess.run(
        [sys.executable, script, keys, str(KILLS), "0", str(ranks)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == KILLS
    calm, killed = (load_bundle(tmp_path / name / "bundle") for name in ("calm", "killed"))
    assert are_equal(calm, killed)
    assert not [path for path in (tmp_path / "killed").rglob(".*") if path.name != ".lock"]


def test_a_checkpoint_that_needs_code_is_refused_without_advice_to_run_it(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "other": Path("a")}, path)
    with pytest.raises(
        RunError, match="nothing else is unpickled, since that runs code"
    ) as refused:
        read_checkpoint(path)
    assert "weights_only" not in str(refused.value)
