"""Files that are converted when a dataset is prepared, one after another or several at a time."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from evlora.datasets import Manifest, prepare
from evlora.datasets.layouts import converting
from evlora.errors import RecordingError
from evlora.recordings import open_recording

FILES = 6


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(FILES):
        path = tmp_path / "source" / "ab"[number % 2] / f"{number}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, events=5 + number)
    return tmp_path / "source"


def write(path: Path, *, events: int) -> None:
    column = np.arange(events)[:, None]
    savemat(path, {"ts": 100 * column, "x": column, "y": column, "pol": column % 2})


def interrupted_after(files: int, source: Path, out: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total == FILES
        if done == files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("asl_dvs", source, out, progress=stop)


def sizes(manifest: Manifest) -> dict[str, int]:
    found: dict[str, int] = {}
    for sample in manifest.samples:
        events = open_recording(manifest.source / (sample.events or "")).events
        assert events is not None
        found[sample.sample] = len(events)
    return found


def inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.rglob("*.npz")}


def test_what_was_converted_before_an_interruption_is_not_converted_again(
    source: Path, tmp_path: Path
) -> None:
    interrupted_after(4, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    before = inodes(tmp_path)
    manifest = prepare("asl_dvs", source, tmp_path / "out")
    after = inodes(tmp_path / "out")
    assert len(before) == 4
    assert before.items() <= after.items()
    assert sizes(manifest) == {f"{'ab'[n % 2]}/{n}": 5 + n for n in range(FILES)}
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}
    assert not (tmp_path / "out" / converting.CONVERTING_FILE).exists()


def test_a_file_that_has_changed_since_an_interruption_is_converted_again(
    source: Path, tmp_path: Path
) -> None:
    interrupted_after(FILES, source, tmp_path / "out")
    write(source / "a" / "0.mat", events=50)
    (source / "b" / "1.mat").unlink()
    manifest = prepare("asl_dvs", source, tmp_path / "out")
    assert sizes(manifest) == {"a/0": 50, "a/2": 7, "a/4": 9, "b/3": 8, "b/5": 10}
    assert len(inodes(tmp_path / "out")) == FILES - 1


def test_half_a_recording_of_a_killed_process_is_removed(source: Path, tmp_path: Path) -> None:
    interrupted_after(2, source, tmp_path / "out")
    left = next(tmp_path.glob(".out.*.partial"))
    (left / "recordings" / "a" / ".2-x1y2.npz").write_bytes(b"PK")
    prepare("asl_dvs", source, tmp_path / "out")
    assert len(inodes(tmp_path / "out")) == FILES


def test_what_was_converted_from_another_folder_is_not_taken(source: Path, tmp_path: Path) -> None:
    interrupted_after(FILES, source, tmp_path / "out")
    other = shutil.copytree(source, tmp_path / "other")  # with the same times of change
    write(other / "a" / "0.mat", events=50)
    status = (source / "a" / "0.mat").stat()
    os.utime(other / "a" / "0.mat", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sizes(prepare("asl_dvs", other, tmp_path / "out"))["a/0"] == 50
    assert {path.name for path in tmp_path.iterdir()} == {"source", "other", "out"}


def test_a_damaged_file_can_be_mended_without_converting_the_others_again(
    source: Path, tmp_path: Path
) -> None:
    (source / "b" / "3.mat").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"3\.mat"):
        prepare("asl_dvs", source, tmp_path / "out")
    before = inodes(tmp_path)
    write(source / "b" / "3.mat", events=8)
    prepare("asl_dvs", source, tmp_path / "out")
    assert before
    assert before.items() <= inodes(tmp_path / "out").items()


@pytest.mark.slow
def test_several_processes_convert_as_one_does(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = prepare("asl_dvs", source, tmp_path / "alone")
    monkeypatch.setattr(converting, "ALONE_FOR_S", 0)
    monkeypatch.setattr(converting, "cores", lambda: 2)
    together = prepare("asl_dvs", source, tmp_path / "together")
    assert together.samples == alone.samples
    for sample in alone.samples:
        assert sample.events is not None
        first, second = (one.source / sample.events for one in (alone, together))
        assert first.read_bytes() == second.read_bytes()
