"""Frames and events that are out of step, or on other pixels: found and corrected."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.alignment import aligned, find_offset, read_homography, shifted, warped
from evlora.recordings.simulator import EventSimulator
from evlora.recordings.video_events import join_streams

WIDTH, HEIGHT = 48, 36


def scene(step_us: int) -> Iterator[tuple[int, np.ndarray]]:
    """Three soft blobs that wander for 0.8 s."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for t_us in range(0, 800_000, step_us):
        image = np.full((HEIGHT, WIDTH), 100.0)
        for number, contrast in enumerate((90, -70, 110)):
            turn = 2 * np.pi * (0.5 + 0.2 * number) * t_us / 1e6 + 2 * number
            x, y = WIDTH * (0.5 + 0.3 * np.sin(turn)), HEIGHT * (0.5 + 0.3 * np.cos(1.3 * turn))
            image += contrast * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 50)
        yield t_us, np.clip(image, 0, 255)


@pytest.fixture(scope="module")
def pair() -> Recording:
    """Events of a sensor with noise, which sees 250 pictures a second, and every fifth as frame."""
    simulator = EventSimulator(width=WIDTH, height=HEIGHT, seed=1)
    seen = list(scene(4000))
    events = join_streams([simulator.push(image, t_us) for t_us, image in seen])
    kept = seen[::5]
    images = np.stack([image for _, image in kept]).round().astype(np.uint8)
    return Recording(
        events,
        FrameSequence.from_images(images, start_us=[t_us for t_us, _ in kept]),
        "simulated",
    )


@pytest.mark.parametrize("late_ms", [-50, -20, -5, 0, 5, 10, 50])
def test_pairs_that_are_out_of_step_are_found_to_within_2_ms(pair: Recording, late_ms: int) -> None:
    found = find_offset(shifted(pair, 1000 * late_ms))
    assert found is not None
    assert found.events_late_us == pytest.approx(1000 * late_ms, abs=2000)
    assert found.is_out_of_step == (late_ms != 0)


def test_aligned_events_are_in_step(pair: Recording) -> None:
    corrected, found = aligned(shifted(pair, 20_000))
    assert found.events_late_us == pytest.approx(20_000, abs=2000)
    assert corrected.events is not None
    assert pair.events is not None
    assert corrected.events.first_us == 20_000 + pair.events.first_us - found.events_late_us


def test_noise_has_no_offset(pair: Recording) -> None:
    random = np.random.default_rng(0)
    noise = EventStream.from_arrays(
        np.sort(random.integers(0, 800_000, 5000)),
        random.integers(0, WIDTH, 5000),
        random.integers(0, HEIGHT, 5000),
        random.integers(0, 2, 5000),
        width=WIDTH,
        height=HEIGHT,
    )
    recording = Recording(noise, pair.frames, "noise")
    assert find_offset(recording) is None
    with pytest.raises(RecordingError, match="found no agreement of the two"):
        aligned(recording)
    assert find_offset(Recording(noise, None, "events alone")) is None


@pytest.mark.parametrize("suffix", [".txt", ".json", ".npy"])
def test_a_homography_moves_events_to_the_pixels_of_the_frames(tmp_path: Path, suffix: str) -> None:
    matrix = np.array([[2.0, 0, 3], [0, 2, 1], [0, 0, 1]])
    path = tmp_path / f"matrix{suffix}"
    if suffix == ".npy":
        np.save(path, matrix)
    elif suffix == ".json":
        path.write_text(str(matrix.tolist()))
    else:
        np.savetxt(path, matrix)
    events = EventStream.from_arrays([1, 2, 3], [0, 5, 9], [0, 2, 7], [1, 0, 1], width=10, height=8)
    frames = FrameSequence.from_images(np.zeros((1, 12, 20, 3), np.uint8), start_us=[0])
    moved = warped(Recording(events, frames, "memory"), read_homography(path)).events
    assert moved is not None
    assert (moved.width, moved.height) == (20, 12)
    assert list(zip(moved.t_us, moved.x, moved.y, moved.polarity, strict=True)) == [
        (1, 3, 1, True),
        (2, 13, 5, False),
    ]


@pytest.mark.parametrize("text", ["1 2 3", "0 0 0\n0 0 0\n0 0 0", "a b c"])
def test_a_file_that_is_no_homography_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "matrix.txt"
    path.write_text(text)
    with pytest.raises(RecordingError, match="expected a homography"):
        read_homography(path)
