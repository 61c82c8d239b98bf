"""A video becomes events: its own times, its own size or the sensor's, and nothing in silence."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import EventStream, video_events
from evlora.recordings.simulator import SensorModel
from evlora.recordings.video_events import join_streams, simulate_video

NOISELESS = SensorModel(
    threshold_spread=0, refractory_us=0, leak_rate_hz=0, shot_noise_rate_hz=0, dark_level=1
)


def write_bar(path: Path) -> Path:
    """A bar that crosses 64×48 pixels from left to right in 12 frames of 40 ms."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size = 1  # every frame stands alone, so that a cut leaves some whole
        for number in range(12):
            image = np.full((48, 64, 3), 30, np.uint8)
            image[:, 4 * number : 4 * number + 8] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_bar(tmp_path / "bar.mp4")


def test_a_video_gives_events_between_its_own_frame_times(video: Path):
    streams = list(simulate_video(video, sensor=NOISELESS))
    assert len(streams) == 11
    centres: list[float] = []
    for number, events in enumerate(streams):
        assert (events.width, events.height) == (64, 48)
        assert events.first_us > number * 40_000
        assert events.last_us <= (number + 1) * 40_000
        centres.append(float(events.x[events.polarity].mean()))
    np.testing.assert_allclose(np.diff(centres), 4, atol=1)
    assert any(t_us % 40_000 for events in streams for t_us in events.t_us.tolist())


def test_a_video_is_scaled_to_the_sensor(video: Path):
    events = next(simulate_video(video, width=32, height=24, sensor=NOISELESS))
    assert (events.width, events.height) == (32, 24)
    assert len(events)


def test_a_cut_video_gives_what_came_before_the_cut_and_a_warning(tmp_path: Path):
    path = write_bar(tmp_path / "bar.mkv")
    whole = list(simulate_video(path, sensor=NOISELESS))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.warns(
        RecordingWarning, match=r"damaged after \d+ frames \(its header announces 0\.4"
    ):
        rest = list(simulate_video(path, sensor=NOISELESS))
    assert 0 < len(rest) < len(whole) == 11
    for before, after in zip(whole, rest, strict=False):
        np.testing.assert_array_equal(before.t_us, after.t_us)


def test_damaged_bytes_give_events_or_a_recording_error(tmp_path: Path):
    whole = write_bar(tmp_path / "bar.mp4").read_bytes()
    generator = np.random.default_rng(0)
    outcomes = {"events": 0, "error": 0}
    for _ in range(150):
        damaged = bytearray(whole)
        for at in generator.integers(0, len(whole), 6):
            damaged[at] = generator.integers(256)
        path = tmp_path / "damaged.mp4"
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordingWarning)
            try:
                streams = list(simulate_video(path, sensor=NOISELESS))
            except RecordingError:
                outcomes["error"] += 1
                continue
        outcomes["events"] += 1
        times = np.concatenate([events.t_us for events in streams])
        assert (np.diff(times) >= 0).all()
    assert min(outcomes.values()) > 10


def test_what_is_no_video_is_refused(tmp_path: Path):
    with pytest.raises(RecordingError, match="no such video; check the path"):
        next(simulate_video(tmp_path / "absent.mp4"))
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    with pytest.raises(RecordingError, match="expected a video, could not decode it"):
        next(simulate_video(text))


def test_a_single_picture_is_refused(tmp_path: Path):
    from PIL import Image

    path = tmp_path / "one.gif"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    with pytest.raises(RecordingError, match="at least two frames to find changes between, got 1"):
        list(simulate_video(path))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path.with_suffix(".png"))
    with pytest.raises(RecordingError, match="expected a video, got a file of another format"):
        list(simulate_video(path.with_suffix(".png")))


def test_frames_that_repeat_a_time_are_skipped_with_a_warning(
    video: Path, monkeypatch: pytest.MonkeyPatch
):
    frames = [(0, np.full((2, 3), 10, np.uint8)), (9, np.full((2, 3), 90, np.uint8))]
    repeating = [frames[0], frames[0], frames[1], frames[1], frames[0]]
    monkeypatch.setattr(video_events, "_decoded_luma", lambda *_: iter(repeating))
    with pytest.warns(RecordingWarning, match="3 frames do not come after the one before"):
        streams = list(simulate_video(video, sensor=NOISELESS))
    assert [len(events) > 0 for events in streams] == [True]


@pytest.mark.parametrize("size", [{"width": 32}, {"height": 24}])
def test_half_a_size_is_refused(video: Path, size: dict[str, int]):
    with pytest.raises(RecordingError, match="both width and height, or neither"):
        next(simulate_video(video, **size))


def test_streams_are_joined_in_their_order(video: Path):
    parts = list(simulate_video(video))
    joined = join_streams(parts)
    assert len(joined) == sum(map(len, parts))
    assert (np.diff(joined.t_us) >= 0).all()
    np.testing.assert_array_equal(joined.x, np.concatenate([part.x for part in parts]))
    assert len(join_streams([EventStream.empty(width=3, height=2)])) == 0
    with pytest.raises(RecordingError, match="at least one stream to join"):
        join_streams([])
