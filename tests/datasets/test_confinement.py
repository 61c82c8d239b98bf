"""Files outside of a dataset's folder: listed, and taken only with consent."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlora.datasets import prepare, read_manifest
from evlora.errors import DatasetError
from evlora.recordings import open_recording


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "clip").mkdir(parents=True)
    for path in (tmp_path / "other.png", folder / "own.png", folder / "clip" / "0.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return folder


def index(source: Path, *frames: str, label: str = "a") -> None:
    rows = [f"train,{frame},{label}" for frame in frames]
    (source / "index.csv").write_text("\n".join(["split,frame,label", *rows, ""]))


@pytest.mark.parametrize("path", ["{outside}", "../other.png", "clip/../../other.png"])
def test_paths_that_lead_out_are_listed_and_need_consent(source, tmp_path, path):
    path = path.format(outside=tmp_path / "other.png")
    index(source, "own.png", path)
    with pytest.raises(DatasetError, match=r"1 file lies outside(?s:.*)--allow-outside") as refused:
        prepare("csv", source, tmp_path / "out")
    assert path in str(refused.value)
    assert not (tmp_path / "out").exists()

    prepare("csv", source, tmp_path / "out", allow_outside=True)
    assert read_manifest(tmp_path / "out").counts == {"train": 2}


def test_links_that_lead_out_need_consent_too(source, tmp_path):
    (source / "link.png").symlink_to(tmp_path / "other.png")
    (source / "far").symlink_to(tmp_path)
    (source / "clip" / "1.png").symlink_to(tmp_path / "other.png")
    index(source, "own.png", "link.png", "far/other.png", "clip")
    with pytest.raises(DatasetError, match="3 files lie outside") as refused:
        prepare("csv", source, tmp_path / "out")

    for path in ("link.png", "far/other.png", "clip/1.png"):
        assert path in str(refused.value)


def test_links_within_the_folder_need_none(source, tmp_path):
    (source / "link.png").symlink_to(source / "own.png")
    (tmp_path / "another name").symlink_to(source)
    index(source, "link.png", f"{source}/own.png")

    prepare("csv", tmp_path / "another name", tmp_path / "out")
    assert "outside" not in json.loads((tmp_path / "out" / "dataset.json").read_text())


def test_a_manifest_that_was_changed_to_lead_out_is_refused(source, tmp_path):
    index(source, "own.png")
    prepare("csv", source, tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_text(
        manifest.read_text().replace('"frames": "own.png"', '"frames": "../other.png"')
    )
    for checks_files in (True, False):
        with pytest.raises(DatasetError, match="1 file lies outside"):
            read_manifest(tmp_path / "out", checks_files=checks_files)


def test_a_link_to_a_folder_above_is_not_followed(source, tmp_path):
    (source / "index.csv").unlink(missing_ok=True)
    (source / "own.png").unlink()
    (source / "clip" / "round").symlink_to(source)

    with pytest.raises(DatasetError, match=r"round: leads back to .*source, which it lies in"):
        prepare("image_folder", source, tmp_path / "out")


def test_special_files_and_odd_names_are_faults_of_their_sample(source, tmp_path):
    os.mkfifo(source / "pipe.png")
    index(source, "own.png", "pipe.png")
    with pytest.raises(DatasetError, match=r"pipe\.png: expected a file or a folder, got a pipe"):
        prepare("csv", source, tmp_path / "out")
    index(source, "own.png", "a" * 400)
    with pytest.raises(DatasetError, match="File name too long"):
        prepare("csv", source, tmp_path / "out")
    index(source, "own.png", label="a" * 1001)
    with pytest.raises(DatasetError, match="expected names of at most 1,000 characters"):
        prepare("csv", source, tmp_path / "out")


def test_names_that_are_not_utf8_are_refused_by_name_and_open_as_recordings(source, tmp_path):
    odd = os.fsencode(source / "clip") + b"/\xff.png"
    try:
        Path(os.fsdecode(odd)).write_bytes((source / "own.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    assert open_recording(os.fsdecode(odd)).frames is not None
    (source / "own.png").unlink()
    with pytest.raises(DatasetError, match="expected names in UTF-8, got"):
        prepare("image_folder", source, tmp_path / "out")


def test_a_cell_or_a_line_that_never_ends_is_reported(source, tmp_path, monkeypatch):
    (source / "index.csv").write_text('split,frame,label\ntrain,"' + "x\n" * 100_000)
    with pytest.raises(DatasetError, match="look for a quotation mark that is not closed"):
        prepare("csv", source, tmp_path / "out")
    index(source, "own.png")
    prepare("csv", source, tmp_path / "out")
    monkeypatch.setenv("EVLORA_LIMITS", "line_chars=20")
    with pytest.raises(DatasetError, match=r"manifest\.jsonl line 1: expected at most 20 char"):
        read_manifest(tmp_path / "out")


@pytest.mark.parametrize("line", ["[" * 100_000, '{"sample": ' + "1" * 5000 + "}"])
def test_a_line_of_a_manifest_that_is_no_json_is_a_fault(source, tmp_path, line):
    index(source, "own.png")
    prepare("csv", source, tmp_path / "out")
    (tmp_path / "out" / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(DatasetError, match="line 1: expected one JSON object"):
        read_manifest(tmp_path / "out")
