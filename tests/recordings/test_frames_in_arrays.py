"""Frames that lie in npz and HDF5 files as arrays: every layout is read, or refused with a cure."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from evlora.errors import RecordingError
from evlora.recordings import open_recording

GREY = np.random.default_rng(0).integers(0, 256, (3, 6, 8)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (3, 6, 8, 3)).astype(np.uint8)


def written(path: Path, frames: Any) -> Path:
    if path.suffix == ".npz":
        np.savez(path, frames=frames)
    else:
        with h5py.File(path, "w") as file:
            file["frames"] = frames
    return path


def event_utils(path: Path, images: Any, times_s: Any = (), kind: str = "greyscale") -> Path:
    with h5py.File(path, "w") as file:
        for number, image in enumerate(images):
            data = file.create_dataset(f"images/image{number:09d}", data=image)
            data.attrs["type"] = kind
            if len(times_s):
                data.attrs["timestamp"] = times_s[number]
    return path


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_grey_frames_with_an_axis_of_one_channel_are_grey_frames(tmp_path: Path, suffix: str):
    frames = open_recording(written(tmp_path / f"sample{suffix}", GREY[..., None])).frames

    assert frames is not None
    np.testing.assert_array_equal(frames.take([2, 0]), GREY[[2, 0], ..., None].repeat(3, -1))


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("frames", "cure"),
    [
        (COLOUR[0], r"the shape of one picture; store it as frames\[None\]"),
        (COLOUR.transpose(0, 3, 1, 2), r"channels last: frames.transpose\(0, 2, 3, 1\)"),
        (GREY[:, None], r"channels last: frames.transpose\(0, 2, 3, 1\)"),
        (COLOUR[..., [0, 1, 2, 0]], r"drop the fourth channel: frames\[\.\.\., :3\]"),
    ],
)
def test_frames_of_another_layout_are_refused_with_the_cure(
    tmp_path: Path, suffix: str, frames: Any, cure: str
):
    path = written(tmp_path / f"sample{suffix}", frames)

    with pytest.raises(RecordingError, match=cure):
        open_recording(path)


def test_pictures_under_another_name_are_remarked_upon(tmp_path: Path):
    path = tmp_path / "sample.npz"
    events = {name: np.arange(5) for name in "txy"}
    np.savez(path, **events, p=np.ones(5, bool), images=GREY, width=8, height=6)

    recording = open_recording(path)

    assert recording.frames is None
    assert any("images of shape (3, 6, 8) was not read" in remark for remark in recording.remarks)


def test_frames_of_event_utils_come_in_the_order_of_their_times(tmp_path: Path):
    frames = open_recording(event_utils(tmp_path / "sample.h5", GREY, (0.3, 0.1, 0.2))).frames

    assert frames is not None
    assert frames.end_us is not None
    assert frames.end_us.tolist() == [100_000, 200_000, 300_000]
    np.testing.assert_array_equal(frames.take([0, 2])[..., 1], GREY[[1, 0]])


def test_colours_of_event_utils_are_turned_to_rgb(tmp_path: Path):
    path = event_utils(tmp_path / "sample.h5", COLOUR[..., ::-1], kind="color_bgr")

    frames = open_recording(path).frames

    assert frames is not None
    assert frames.end_us is None
    np.testing.assert_array_equal(frames.take(range(3)), COLOUR)


def test_a_frame_of_event_utils_of_another_size_is_refused(tmp_path: Path):
    path = event_utils(tmp_path / "sample.h5", [GREY[0], GREY[0, :4]])

    with pytest.raises(RecordingError, match=r"shape \(6, 8\) as the first one.*\(4, 8\)"):
        open_recording(path)
