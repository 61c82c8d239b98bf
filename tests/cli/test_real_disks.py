"""Every verb that writes, on a disk that can only be read and on one that fills up: one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DISKS = {"read-only": "ro", "full": "size=8k"}
VERBS = ["convert", "prepare", "predict", "train", "export"]


@pytest.fixture
def words(
    tmp_path: Path, source: Path, tiny_dataset: Path, tiny_bundle: Path
) -> dict[str, list[str | Path]]:
    """What each verb is given, the last of it a place on the disk."""
    out = tmp_path / "disk"
    out.mkdir()
    recording = next(source.rglob("*.npz"))
    return {
        "convert": [recording, out / "x.h5"],
        "prepare": ["class_tree", source, out / "dataset"],
        "predict": [tiny_bundle, recording, recording, "--out", out / "answers.csv"],
        "train": ["demo", f"data.root={tiny_dataset}", f"run.dir={out / 'run'}"],
        "export": [tiny_bundle, out / "x.onnx"],
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("disk", DISKS)
def test_a_disk_that_takes_nothing_is_one_line_and_is_left_as_it_was(
    verb: str, disk: str, words: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    out = tmp_path / "disk"
    script = (
        'mount -t tmpfs -o "$1" none "$0" || exit 99; shift; "$@"; code=$?; ls "$0"; exit $code'
    )
    command = [sys.executable, "-m", "evlora", verb, *words[verb]]
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, out, DISKS[disk], *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode in (1, 99) and "error:" not in ran.stderr:
        pytest.skip(f"no mounting here: {ran.stderr}")
    assert ran.returncode == 2, ran.stdout
    assert "Traceback" not in ran.stderr
    (refusal,) = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert str(out) in refusal
    assert {"ro": "Read-only file system", "size=8k": "No space left"}[DISKS[disk]] in refusal
