"""Columns start and end: parts of long recordings are samples."""

from pathlib import Path

import numpy as np
import pytest

from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.datasets.checking import cautions_of, check
from evlora.errors import DatasetError, RecordingError
from evlora.packing import clip_dataset, pack
from evlora.recordings.parts import Part

EVENTS = ClipConfig(frames=2, size=8, modalities=("event",))


def write(path: Path, *, frames: bool = False) -> None:
    """Half a second in which the left half of the sensor is active, then the right one."""
    random = np.random.default_rng(0)
    t = np.arange(0, 1_000_000, 1_000)
    more = {}
    if frames:
        ends = np.arange(100_000, 1_100_000, 100_000)
        images = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
        more = {"frames": images.repeat(3, 3), "frame_start_us": ends, "frame_end_us": ends}
    x = random.integers(0, 4, len(t)) + 4 * (t >= 500_000)
    y, p = random.integers(0, 8, len(t)), random.random(len(t)) < 0.5
    np.savez(path, t=t, x=x, y=y, p=p, width=np.asarray(8), height=np.asarray(8), **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    write(source / "day.npz", frames=True)
    write(source / "night.npz")
    return source


def prepared(folder: Path, text: str):
    (folder / "index.csv").write_text(text, encoding="utf-8")
    return prepare("csv", folder, folder.parent / "out", overwrite=True)


SECONDS = (
    "split,events,start_s,end_s,label\n"
    "train,day.npz,0,0.5,left\ntrain,day.npz,0.5,1,right\n"
    "test,night.npz,,0.5,left\ntest,night.npz,0.5,,right\n"
)


def test_parts_of_one_recording_are_samples_of_their_own(folder: Path) -> None:
    manifest = prepared(folder, SECONDS)
    assert [sample.part for sample in manifest.samples] == [
        *(Part(0, 500_000), Part(500_000, 1_000_000), Part(0, 500_000), Part(500_000, None)),
    ]
    assert manifest.samples[1].sample == "day.npz@500000us-1000000us"
    assert read_manifest(folder.parent / "out") == manifest
    assert not check(manifest).faults


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        ("start_us,end_us", "500000,1000000"),
        ("START_MS,End_S", "500,1.0"),
        ("start,end", "500ms,1s"),
        ("start,end", "0.5 s,1000000us"),
    ],
)
def test_times_may_be_in_several_units(names: str, cells: str, folder: Path) -> None:
    manifest = prepared(folder, f"split,events,label,{names}\ntrain,day.npz,right,{cells}\n")
    (only,) = manifest.samples
    assert only.part == Part(500_000, 1_000_000)


def test_a_clip_of_a_part_shows_that_part(folder: Path) -> None:
    dataset = ClipDataset(prepared(folder, SECONDS), "train", EVENTS)
    for clip, columns in ((dataset[0], slice(4, 8)), (dataset[1], slice(0, 4))):
        assert clip.events is not None
        assert int(clip.events[..., columns].float().std()) == 0  # empty there
        assert int(clip.events.float().std()) > 0


def test_parts_by_frames_are_those_frames(folder: Path) -> None:
    text = "split,events,start_frame,end_frame,label\ntrain,day.npz,3,5,cat\n"
    config = ClipConfig(frames=2, size=8, modalities=("rgb", "event"))
    clip = ClipDataset(prepared(folder, text), "train", config)[0]
    assert clip.rgb is not None
    assert clip.rgb[:, 0, 0, 0].tolist() == [3, 4]


def test_packed_parts_are_the_same_clips(folder: Path, tmp_path: Path) -> None:
    manifest = prepared(folder, SECONDS)
    packed = pack(folder.parent / "out", tmp_path / "packed", clip=EVENTS)
    for split in ("train", "test"):
        before, after = (clip_dataset(one, split, EVENTS) for one in (manifest, packed.manifest))
        for number in range(2):
            first, second = before[number].events, after[number].events
            assert first is not None
            assert second is not None
            assert first.equal(second)


@pytest.mark.parametrize(
    ("names", "cells", "message"),
    [
        ("start_s,end_s", "0.5,0.2", r"row 2: expected an end behind the start, got 500000 to"),
        ("start_s,end_s", "nan,0.2", r"row 2: expected a start of 0 or more"),
        ("start_s,end_s", "0.1,inf", r"row 2: expected a start of 0 or more"),
        ("start_s,end_s", "-1,0.2", r"row 2: expected a start of 0 or more"),
        ("start_s,end_s", "soon,0.2", r"row 2: start_s: expected a number of s, got 'soon'"),
        (
            "start,end",
            "1,2",
            r"row 2: start: expected a time with its unit.*columns called start_s",
        ),
        ("start_frame,end_frame", "1.5,2", r"start_frame: expected the number of a frame, got"),
        ("start_frame,end_s", "1,2", r"expected start and end in one unit"),
        ("start_s,end_s", "0.5,9", r"row 2: .*day.npz: expected a part within .*1.000 s"),
        ("start_frame,end_frame", "5,11", r"row 2: .*within the recording's 10 frames"),
        ("start_s,start_us", "1,2", r"expected one column start, got 2"),
    ],
)
def test_a_wrong_part_is_refused_with_its_row(
    names: str, cells: str, message: str, folder: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        prepared(folder, f"split,events,label,{names}\ntrain,day.npz,cat,{cells}\n")
    assert not (folder.parent / "out").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('"start_us": 5, "end_us": 2', "line 1: x: expected an end behind the start, got 5 to 2"),
        ('"start_us": NaN', "expected a whole number as start_us, got nan"),
        ('"start_us": 1.5', "expected a whole number as start_us, got 1.5"),
        ('"start_us": -1', "expected a start of 0 or more"),
        ('"start_us": 1, "end_frame": 2', "expected start and end in one unit"),
    ],
)
def test_a_wrong_part_in_a_manifest_is_refused_with_its_line(
    keys: str, message: str, folder: Path
) -> None:
    prepared(folder, "split,events,label\ntrain,day.npz,cat\n")
    line = '{"sample": "x", "events": "day.npz", "frames": null, "label": "cat", "split": "train"'
    (folder.parent / "out" / "manifest.jsonl").write_text(f"{line}, {keys}}}\n")
    with pytest.raises(DatasetError, match=message):
        read_manifest(folder.parent / "out")


def test_a_part_beyond_a_recording_that_was_replaced_is_refused_by_its_sample(
    folder: Path,
) -> None:
    manifest = prepared(folder, SECONDS)
    short = np.load(folder / "night.npz")
    np.savez(folder / "day.npz", **{k: v[:100] if v.ndim else v for k, v in short.items()})
    with pytest.raises(
        RecordingError, match=r"sample day.npz@500000us-1000000us: .*expected a part"
    ):
        ClipDataset(manifest, "train", EVENTS)[1]


def test_parts_in_two_splits_are_no_twins_unless_they_overlap(folder: Path) -> None:
    rows = "split,events,start_s,end_s,label\ntrain,day.npz,0,0.5,a\ntest,day.npz,{},1,a\n"
    assert not any(
        "same content" in line for line in cautions_of(prepared(folder, rows.format(0.5)))
    )
    (found,) = [
        line for line in cautions_of(prepared(folder, rows.format(0.4))) if "same content" in line
    ]
    assert "day.npz@0us-500000us (train) and day.npz@400000us-1000000us (test)" in found
