"""The sensor of recordings that do not state it: asked for by `prepare`, not by the first clip."""

import numpy as np
import pytest

from evlora.datasets import prepare, read_manifest
from evlora.datasets.dataset import open_sample
from evlora.errors import DatasetError

COUNT = 50


def recording(path, **stated):
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "t": np.sort(rng.integers(0, 100_000, COUNT)),
        "x": rng.integers(0, 346, COUNT),
        "y": rng.integers(0, 260, COUNT),
        "p": rng.integers(0, 2, COUNT),
    }
    np.savez(path, **fields, **stated)


@pytest.fixture
def tree(tmp_path):
    for label in ("left", "right"):
        for number in range(4):
            recording(tmp_path / "tree" / label / f"{number:02}.npz")
    return tmp_path / "tree"


@pytest.fixture
def table(tmp_path):
    recording(tmp_path / "table" / "a.npz")
    (tmp_path / "table" / "index.csv").write_text("split,events,label\ntrain,a.npz,left\n")
    return tmp_path / "table"


@pytest.mark.parametrize("layout", ["class_tree", "csv"])
def test_a_missing_size_is_asked_for_before_training(tree, table, tmp_path, layout):
    source = tree if layout == "class_tree" else table

    with pytest.raises(DatasetError, match=r"sample .*does not state the size .*width=346 height="):
        prepare(layout, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()

    prepare(layout, source, tmp_path / "out", options={"width": 346, "height": 260})
    manifest = read_manifest(tmp_path / "out")
    for sample in manifest.samples:
        assert open_sample(sample, manifest.source).events.width == 346


def test_a_size_that_the_files_deny_is_refused(tmp_path):
    recording(tmp_path / "tree" / "left" / "a.npz", width=346, height=260)
    recording(tmp_path / "tree" / "right" / "a.npz", width=346, height=260)

    with pytest.raises(DatasetError, match=r"declares a sensor of 346×260"):
        prepare(
            "class_tree",
            tmp_path / "tree",
            tmp_path / "out",
            options={"width": 640, "height": 480, "test_fraction": 0.5},
        )


def test_half_a_size_is_refused(tree, tmp_path):
    with pytest.raises(DatasetError, match="both width and height, or neither"):
        prepare("class_tree", tree, tmp_path / "out", options={"width": 346})


def test_a_table_may_state_the_sensor_of_each_row(table, tmp_path):
    (table / "index.csv").write_text(
        "split,events,label,width,height\ntrain,a.npz,left,346,260\n", encoding="utf-8"
    )

    prepare("csv", table, tmp_path / "out")

    assert read_manifest(tmp_path / "out").samples[0].sensor_px == (346, 260)
    (table / "index.csv").write_text("split,events,label,width\ntrain,a.npz,left,346\n")
    with pytest.raises(DatasetError, match="row 2: expected width and height"):
        prepare("csv", table, tmp_path / "other")


def test_a_damaged_recording_is_left_to_whoever_reads_its_clip(tree, tmp_path):
    damaged = tree / "left" / "00.npz"
    damaged.write_bytes(b"PK\3\4 damaged")

    options = {"width": 346, "height": 260}
    manifest = prepare("class_tree", tree, tmp_path / "out", options=options)

    assert len(manifest.samples) == 8


def test_companions_in_a_tree_are_no_samples(tree, tmp_path):
    for folder in (tree, tree / "left"):
        for name in ("._00.npz", ".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"\0\5\x16\7")
        (folder / "__MACOSX").mkdir()
        (folder / "__MACOSX" / "00.npz").write_bytes(b"\0\5\x16\7")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".DS_Store").write_bytes(b"\0")
    options = {"width": 346, "height": 260}

    manifest = prepare("class_tree", tree, out, options=options)

    assert len(manifest.samples) == 8
    assert manifest.labels == ("left", "right")
    assert not any("passed over" in note for note in manifest.notes)
    (out / "Thumbs.db").write_bytes(b"\0")
    prepare("class_tree", tree, out, options=options, overwrite=True)
