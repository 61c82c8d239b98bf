"""Two clocks and two fields of view: `convert --align`, `--shift-ms`, `--homography`, `inspect`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import Command

from evlora.recordings import (
    EventStream,
    FrameSequence,
    Recording,
    open_recording,
    write_recording,
)

STEP_US, FRAMES = 20_000, 60
LATE_US = 30_000


@pytest.fixture
def out_of_step(tmp_path: Path) -> Path:
    """Light that changes at random, and as many events as it changes, 30 ms late."""
    random = np.random.default_rng(0)
    light = random.integers(20, 230, FRAMES)
    images = light[:, None, None].astype(np.uint8) * np.ones((1, 12, 16), np.uint8)
    starts = 1_000_000 + STEP_US * np.arange(FRAMES)
    changes = np.diff(light)
    counts = 5 * np.abs(changes)
    begins = np.repeat(starts[:-1], counts)
    times = begins + random.integers(0, STEP_US, len(begins)) + LATE_US
    x, y = np.arange(len(times)) % 16, np.arange(len(times)) // 16 % 12
    is_on = np.repeat(changes > 0, counts)
    events = EventStream.from_arrays(times, x, y, is_on, width=16, height=12, sort=True)
    path = tmp_path / "pair.npz"
    frames = FrameSequence.from_images(images, start_us=starts, end_us=starts)
    write_recording(Recording(events, frames, "made"), path)
    return path


def first_us(path: Path) -> int:
    events = open_recording(path).events
    assert events is not None
    return events.first_us


def test_clocks_out_of_step_are_reported_and_aligned(evlora: Command, out_of_step: Path) -> None:
    out = out_of_step.with_name("aligned.npz")
    before = evlora("inspect", out_of_step)
    found = re.search(r"caution    events come (\S+) ms after what the frames show", before.stdout)
    assert found is not None
    assert float(found[1]) == pytest.approx(LATE_US / 1000, abs=4)  # no sensor made these events

    done = evlora("convert", out_of_step, out, "--align")

    assert done.returncode == 0, done.stderr
    assert first_us(out_of_step) - first_us(out) == pytest.approx(LATE_US, abs=4000)
    after = evlora("inspect", out)
    assert "caution" not in after.stdout
    late_us = json.loads(evlora("inspect", out, "--json").stdout)["events_late_us"]
    assert abs(late_us) < 2000


def test_events_are_shifted_by_a_time_that_is_known(evlora: Command, out_of_step: Path) -> None:
    out = out_of_step.with_name("earlier.npz")
    assert evlora("convert", out_of_step, out, "--shift-ms=-12.5").returncode == 0
    assert first_us(out) == first_us(out_of_step) - 12_500


def test_a_homography_moves_events_to_the_frames_pixels(
    evlora: Command, out_of_step: Path, tmp_path: Path
) -> None:
    matrix = tmp_path / "to_frames.txt"
    matrix.write_text("1 0 3\n0 1 2\n0 0 1\n")
    out = tmp_path / "moved.npz"
    assert evlora("convert", out_of_step, out, "--homography", matrix).returncode == 0
    events, before = open_recording(out).events, open_recording(out_of_step).events
    assert events is not None
    assert before is not None
    is_kept = (before.x < 16 - 3) & (before.y < 12 - 2)
    np.testing.assert_array_equal(events.x, before.x[is_kept] + 3)
    np.testing.assert_array_equal(events.y, before.y[is_kept] + 2)

    matrix.write_text("1 0\n0 1\n")
    wrong = evlora("convert", out_of_step, tmp_path / "no.npz", "--homography", matrix)
    assert wrong.returncode == 2
    assert "to_frames.txt" in wrong.stderr
    assert not (tmp_path / "no.npz").exists()


def test_what_cannot_be_aligned_is_refused(evlora: Command, tmp_path: Path) -> None:
    path, out = tmp_path / "events.npz", tmp_path / "out.npz"
    times = np.arange(0, 100_000, 1000)
    zeros = np.zeros(len(times), int)
    events = EventStream.from_arrays(times, zeros, zeros, zeros, width=4, height=4)
    write_recording(Recording(events, None, "made"), path)
    refused = evlora("convert", path, out, "--align")
    assert refused.returncode == 2
    assert "frames" in refused.stderr
    assert not out.exists()
