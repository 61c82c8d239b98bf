"""A long file summed up in pieces gives what reading it at once gives."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlora.recordings import EventStream, Recording, open_recording, survey
from evlora.recordings.figure import save_survey_figure
from evlora.recordings.frames import FrameSequence
from evlora.recordings.inspection import summarize
from evlora.recordings.readers import prophesee_words
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


def test_short_files_and_those_with_frames_are_read_at_once(tmp_path, monkeypatch):
    short = tmp_path / "short.raw"
    images = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    write_recording(Recording(events(), None, "made"), short, "evt2")
    times = [10_000, 20_000]
    frames = FrameSequence.from_images(images, start_us=times, end_us=times)
    framed = [tmp_path / "framed.h5", tmp_path / "framed.aedat4"]
    for path in framed:
        write_recording(Recording(events(), frames, "made"), path)

    assert survey_long_file(short) is None
    monkeypatch.setattr(survey, "LONG_BYTES", 0)
    assert [survey_long_file(path) for path in framed] == [None, None]
    assert survey_long_file(tmp_path) is None


@pytest.mark.slow
@pytest.mark.usefixtures("in_pieces")
def test_a_survey_has_a_figure(tmp_path):
    path = tmp_path / "sample.raw"
    write_recording(Recording(events(), None, "made"), path, "evt2")
    found = survey_long_file(path)
    assert found is not None

    save_survey_figure(found, tmp_path / "figure.png")

    with Image.open(tmp_path / "figure.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50


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
