"""A long file summed up in pieces gives what reading it at once gives."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from recording_samples import HEIGHT as HEIGHT_OF_SAMPLES
from recording_samples import SAMPLES, davis_aedat2, davis_aedat3
from recording_samples import WIDTH as WIDTH_OF_SAMPLES
from typer.testing import CliRunner

from evlora.cli.main import app
from evlora.recordings import EventStream, Recording, open_recording, survey
from evlora.recordings.figure import save_figure, save_survey_figure
from evlora.recordings.frames import FrameSequence
from evlora.recordings.inspection import summarize
from evlora.recordings.readers import (
    FORMATS,
    event_stream,
    hdf5,
    nmnist,
    npy,
    npz_members,
    prophesee_words,
    text,
    video_index,
)
from evlora.recordings.survey import survey_long_file
from evlora.recordings.writers import write_recording

WIDTH, HEIGHT, COUNT = 64, 48, 20_000


def events(*, silence_us=0):
    random = np.random.default_rng(0)
    t_us = np.sort(random.integers(5_000, 3_000_000, COUNT))
    t_us[COUNT // 3 :] += silence_us
    x, y = random.integers(0, WIDTH, COUNT), random.integers(0, HEIGHT, COUNT)
    x[: COUNT // 10], y[: COUNT // 10] = 7, 9
    is_on = random.random(COUNT) < 0.3
    return EventStream.from_arrays(t_us, x, y, is_on, width=WIDTH, height=HEIGHT)


@pytest.fixture
def in_pieces(monkeypatch):
    monkeypatch.setattr(survey, "LONG_BYTES", 0)
    monkeypatch.setattr(survey, "TIME_BINS", 1 << 12)  # so that bins are joined
    monkeypatch.setattr(prophesee_words, "CHUNK_EVENTS", 1000)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("silence_us", [0, 700_000])
@pytest.mark.parametrize(
    ("suffix", "format"),
    [
        (".raw", "evt2"),
        (".raw", "evt3"),
        (".dat", "dat"),
        (".h5", None),
        (".csv", None),
        (".aedat4", None),
    ],
)
def test_a_survey_gives_the_numbers_of_the_whole_recording(tmp_path, suffix, format, silence_us):
    path = tmp_path / f"sample{suffix}"
    write_recording(Recording(events(silence_us=silence_us), None, "made"), path, format)
    whole = summarize(open_recording(path))

    found = survey_long_file(path)

    assert found is not None
    activity, expected = found.summary.activity, whole.activity
    assert activity is not None
    assert expected is not None
    rates, exact = activity.rate_over_time_hz, expected.rate_over_time_hz
    np.testing.assert_allclose(rates, exact, atol=0.05 * max(exact))
    comparable = replace(activity, rate_over_time_hz=exact, peak_rate_hz=expected.peak_rate_hz)
    assert replace(found.summary, activity=comparable) == whole
    durations_s = np.diff(found.windows_us)[:, 0] / 1e6
    assert (found.rates_hz.T @ durations_s).round().tolist() == [whole.off, whole.on]
    assert found.pixel_counts.sum(axis=(1, 2)).tolist() == [whole.off, whole.on]
    assert found.pixel_counts[:, 9, 7].sum() == expected.busiest_pixel[2]
    assert len(found.excerpt) > 100


@pytest.mark.usefixtures("in_pieces")
def test_a_survey_of_disorder_reports_it(tmp_path):
    path = tmp_path / "sample.csv"
    rows = [(n + 1000 * (n == 500), n % WIDTH, n % HEIGHT, n % 2) for n in range(5000)]
    lines = "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in rows)
    path.write_text(f"# width={WIDTH} height={HEIGHT}\nt,x,y,p\n{lines}")

    found = survey_long_file(path)

    assert found is not None
    assert found.summary.events == 5000
    assert any("time runs backwards 1 times" in warning for warning in found.summary.warnings)
    assert (np.diff(found.excerpt.t_us) >= 0).all()


def test_short_files_and_pictures_are_read_at_once(tmp_path, monkeypatch):
    short, picture = tmp_path / "short.dat", tmp_path / "picture.png"
    write_recording(Recording(events(), None, "made"), short)
    Image.new("RGB", (64, 48)).save(picture)

    assert survey_long_file(short) is None
    monkeypatch.setattr(survey, "LONG_BYTES", 0)
    assert survey_long_file(picture) is None
    assert survey_long_file(tmp_path) is None


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("name", ["hdf5", "npz", "aedat4", "aedat3", "aedat2", "ros1", "ros2"])
def test_a_survey_counts_the_frames_among_the_events(tmp_path, monkeypatch, name):
    monkeypatch.setattr(survey, "MOST_FRAMES", 1)
    make = {**SAMPLES, "aedat2": davis_aedat2, "aedat3": davis_aedat3}[name]
    path = make(tmp_path / "sample")
    recording = open_recording(path)
    assert recording.frames is not None
    whole = summarize(recording)

    found = survey_long_file(path)

    assert found is not None
    assert found.frames is not None
    assert found.summary.frames == whole.frames > 0
    assert found.summary.frame_timing == whole.frame_timing
    assert found.summary.warnings == whole.warnings
    assert set(found.summary.remarks) == set(whole.remarks)
    np.testing.assert_array_equal(found.frames[0], recording.frames[0])


def test_frames_on_another_clock_than_the_events_are_reported_by_a_survey_too(tmp_path, in_pieces):
    path = tmp_path / "sample.h5"
    times = [10**12, 10**12 + 1]
    images = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    frames = FrameSequence.from_images(images, start_us=times, end_us=times)
    write_recording(Recording(events(), frames, "made"), path)

    found = survey_long_file(path)

    assert found is not None
    assert any("their clocks differ" in warning for warning in found.summary.warnings)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("name", [r.name for r in FORMATS if r.streams and r.name != "mat"])
def test_a_part_is_the_beginning_and_nothing_is_called_damaged(tmp_path, monkeypatch, name):
    monkeypatch.setattr(survey, "PART_EVENTS", 1)
    for module in (nmnist, npy, npz_members, event_stream):
        monkeypatch.setattr(module, "CHUNK_EVENTS", 100)
    monkeypatch.setattr(hdf5, "READ_EVENTS", 100)
    monkeypatch.setattr(prophesee_words, "CHUNK_EVENTS", 100)
    monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
    size = {"width": WIDTH_OF_SAMPLES, "height": HEIGHT_OF_SAMPLES} if name == "npy" else {}
    path = SAMPLES[name](tmp_path / "sample")
    whole = open_recording(path, **size)
    assert whole.events is not None

    found = survey_long_file(path, is_part_enough=True, **size)

    assert found is not None
    assert found.part is not None
    assert 0 < found.part.read_bytes < found.part.file_bytes == path.stat().st_size
    count = found.summary.events
    assert 0 < count < len(whole.events)
    first = whole.events.part(slice(count))
    assert (found.summary.t_first_us, found.summary.t_last_us) == (first.first_us, first.last_us)
    assert found.summary.on == np.count_nonzero(first.polarity)
    assert set(found.summary.warnings) <= set(whole.warnings)
    assert (found.summary.frames > 0) <= (whole.frames is not None)


@pytest.mark.slow
@pytest.mark.usefixtures("in_pieces")
def test_a_survey_has_a_figure_with_a_frame_where_there_are_some(tmp_path):
    plain = tmp_path / "sample.raw"
    write_recording(Recording(events(), None, "made"), plain, "evt2")
    widths = []
    for path in (plain, davis_aedat3(tmp_path / "framed")):
        found = survey_long_file(path)
        assert found is not None

        save_survey_figure(found, tmp_path / "figure.png")

        with Image.open(tmp_path / "figure.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            assert len(np.unique(pixels, axis=0)) > 50
            widths.append(picture.width)
    assert widths[1] > widths[0]


INSPECT = """
import re, sys
from pathlib import Path
from evlora.cli.main import run
try:
    run()
finally:
    # Not the peak of getrusage, which a process takes over from the one that started it.
    print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_memory_of_inspect_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "long.raw"
    random = np.random.default_rng(0)
    words = random.integers(0, 1 << 22, 1 << 20, np.uint32) & 0x0FC7F8FF
    with path.open("wb") as file:
        file.write(b"% evt 2.0\n% geometry 256x256\n")
        for number in range(24):
            block = (words & 0x003F80FF) | np.uint32(1 << 28)
            block[::64] = (8 << 28) + number * len(words) // 64 + np.arange(len(words) // 64)
            block.tofile(file)

    command = [sys.executable, "-c", INSPECT, "inspect", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert '"events": 24772608' in done.stdout, done.stderr
    # At once, 25 million events take 322 MB alone.
    assert int(done.stderr.split()[-1]) < 300_000


@pytest.mark.parametrize("suffix", [".avi", ".mpg", ".mp4"])
def test_of_a_long_video_that_has_to_be_decoded_the_beginning_suffices(
    tmp_path, monkeypatch, suffix
):
    monkeypatch.setattr(survey, "LONG_BYTES", 0)
    monkeypatch.setattr(video_index, "PART_PIXELS", 10 * WIDTH * HEIGHT)
    path = tmp_path / f"long{suffix}"
    images = np.random.default_rng(0).integers(0, 255, (40, HEIGHT, WIDTH, 3)).astype(np.uint8)
    codec = {".avi": "mpeg4", ".mpg": "mpeg2video", ".mp4": "libx264"}[suffix]
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", 10
        for image in images:
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(video.encode())

    found = survey.beginning_of_video(path)

    whole = open_recording(path)
    if suffix == ".mp4":  # whose container states the frames
        assert found is None
        return
    part, read = found
    assert len(part.frames) == 10 < len(whole.frames) == 40
    assert 0 < read.read_bytes < read.file_bytes
    assert part.warnings == ()
    np.testing.assert_array_equal(part.frames.take(range(10)), whole.frames.take(range(10)))
    np.testing.assert_array_equal(np.diff(part.frames.end_us), np.diff(whole.frames.end_us[:10]))
    save_figure(part, tmp_path / "figure.png", read)
    of_part, of_whole = (
        CliRunner().invoke(app, ["inspect", str(path), *option]).output
        for option in ([], ["--whole"])
    )
    assert "part        the first" in of_part
    assert ("frames      10" in of_part, "frames      40" in of_whole) == (True, True)
