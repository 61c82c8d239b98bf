"""Windows of long recordings: every event once, in order, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import SAMPLES, frames, stream

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import EventStream, Recording, iterate_windows, write_recording
from evlora.recordings.readers.decoding import EventChunk, EventFile, Findings
from evlora.recordings.windows import LATENESS_US, Window


def joined(windows: list[Window], field: str) -> np.ndarray:
    return np.concatenate([getattr(window.events, field) for window in windows])


def require_all_of(windows: list[Window], events: EventStream) -> None:
    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(joined(windows, field), getattr(events, field))


@pytest.mark.parametrize("name", [n for n in SAMPLES if n not in ("images", "video", "nmnist")])
def test_windows_of_a_file_hold_every_event_once(tmp_path, name):
    from evlora.recordings import open_recording

    size = {"width": 64, "height": 48} if name == "npy" else {}
    path = SAMPLES[name](tmp_path / "sample")
    whole = open_recording(path, **size).events

    require_all_of(list(iterate_windows(path, duration_us=7_001, **size)), whole)
    require_all_of(list(iterate_windows(path, count=77, **size)), whole)


@settings(deadline=None, max_examples=60)
@given(
    gaps=st.lists(st.integers(0, 500), min_size=1, max_size=200),
    duration_us=st.integers(1, 2000),
    count=st.integers(1, 50),
    start_us=st.integers(-(10**6), 10**15),
)
def test_windows_of_any_stream_hold_every_event_once(gaps, duration_us, count, start_us):
    t_us = start_us + np.cumsum(gaps)
    x = np.arange(len(t_us)) % 8
    events = EventStream.from_arrays(t_us, x, x * 0, x % 2, width=8, height=1)

    by_time = list(iterate_windows(events, duration_us=duration_us))
    by_count = list(iterate_windows(events, count=count))

    require_all_of(by_time, events)
    require_all_of(by_count, events)
    assert by_time[0].start_us == events.first_us
    for window in by_time:
        assert window.start_us == events.first_us + window.number * duration_us
        assert window.end_us == window.start_us + duration_us
        assert window.start_us <= window.events.first_us <= window.events.last_us < window.end_us
    assert [window.number for window in by_time] == sorted({w.number for w in by_time})
    assert [len(window.events) for window in by_count[:-1]] == [count] * (len(by_count) - 1)


def test_windows_without_events_are_passed_over_but_counted():
    events = EventStream.from_arrays([0, 10**12], [0, 0], [0, 0], [1, 1], width=1, height=1)

    windows = list(iterate_windows(events, duration_us=1))

    assert [window.number for window in windows] == [0, 10**12]


def test_an_empty_stream_has_no_windows():
    assert list(iterate_windows(EventStream.empty(width=1, height=1), count=5)) == []


def from_chunks(monkeypatch, tmp_path: Path, chunks: list[list[int]]) -> Path:
    """A file whose reader gives these times in these chunks."""
    from evlora.recordings.readers import nmnist

    def open_events(path, *, width, height):
        zeros = [np.zeros(len(times), np.uint16) for times in chunks]
        pieces = (
            EventChunk(np.array(times, np.int64), zero, zero, zero > 0)
            for times, zero in zip(chunks, zeros, strict=True)
        )
        return EventFile("nmnist", 4, 4, pieces, Findings(path))

    monkeypatch.setattr(nmnist, "open_events", open_events)
    path = tmp_path / "sample.bin"
    path.write_bytes(b"")
    return path


def test_events_that_come_a_little_late_find_their_place_across_chunks(monkeypatch, tmp_path):
    path = from_chunks(
        monkeypatch, tmp_path, [[0, 30_000, 50_000], [49_000, 51_000, 40_000, 90_000]]
    )

    with pytest.warns(RecordingWarning, match="backwards 2 times.* 0 later ones were skipped"):
        windows = list(iterate_windows(path, count=3))

    expected = [0, 30_000, 40_000, 49_000, 50_000, 51_000, 90_000]
    assert joined(windows, "t_us").tolist() == expected


def test_events_that_come_too_late_are_skipped_and_counted(monkeypatch, tmp_path):
    first = [0, LATENESS_US * 3]
    path = from_chunks(monkeypatch, tmp_path, [first, [5, LATENESS_US * 4], [6, LATENESS_US * 9]])

    with pytest.warns(RecordingWarning, match="2 later ones were skipped"):
        windows = list(iterate_windows(path, duration_us=LATENESS_US))

    assert joined(windows, "t_us").tolist() == [0, *(LATENESS_US * n for n in (3, 4, 9))]


def test_a_damaged_file_gives_its_windows_and_then_the_warning(tmp_path):
    path = SAMPLES["evt2"](tmp_path / "sample")
    path.write_bytes(path.read_bytes()[:-3])

    with pytest.warns(RecordingWarning, match="make no whole word"):
        windows = list(iterate_windows(path, count=100))

    assert len(joined(windows, "t_us")) == 999


def test_a_file_without_events_has_no_windows(tmp_path):
    path = tmp_path / "sample.npz"
    write_recording(Recording(None, frames(), "made"), path)

    with pytest.raises(RecordingError, match="the npz file holds only frames"):
        next(iterate_windows(path, count=1))


@pytest.mark.parametrize("lengths", [{}, {"duration_us": 1, "count": 1}])
def test_exactly_one_length_is_asked_for(lengths):
    with pytest.raises(RecordingError, match="either duration_us or count"):
        next(iterate_windows(stream(), **lengths))


@pytest.mark.parametrize("lengths", [{"duration_us": 0}, {"count": -1}])
def test_a_length_is_positive(lengths):
    with pytest.raises(RecordingError, match="length of at least 1"):
        next(iterate_windows(stream(), **lengths))


MANY_EVENTS = 100_000_000
MEMORY_PROGRAM = """
import re, sys
from pathlib import Path
from evlora.recordings import iterate_windows
events = windows = 0
for window in iterate_windows(sys.argv[1], duration_us=50_000):
    events += len(window.events)
    windows += 1
peak_kb = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(events, windows, peak_kb // 1024)
"""


def write_long_evt2(path: Path, count: int) -> None:
    """Events at 10 a microsecond, written a million at a time: 10 s of 640×480."""
    rng = np.random.default_rng(0)
    block = 1_000_000
    with path.open("wb") as file:
        file.write(b"% evt 2.0\n% geometry 640x480\n% end\n")
        for start in range(0, count, block):
            t_us = (np.arange(start, start + block) // 10).astype(np.int64)
            words = (t_us & 0x3F).astype(np.uint32) << 22 | rng.integers(
                0, 2, block, np.uint32
            ) << 28
            words |= rng.integers(0, 640, block, np.uint32) << 11
            words |= rng.integers(0, 480, block, np.uint32)
            is_new = np.diff(t_us >> 6, prepend=-1) != 0
            high = (t_us[is_new] >> 6).astype(np.uint32) | 0x8 << 28
            np.insert(words, np.flatnonzero(is_new), high).astype("<u4").tofile(file)


CLIPS_PROGRAM = """
import re, sys
from pathlib import Path
from evlora.clips import ClipConfig, make_clip
from evlora.recordings import Recording, iterate_windows
config = ClipConfig(modalities=("event",))
events = clips = 0
for window in iterate_windows(sys.argv[1], duration_us=500_000):
    clip = make_clip(Recording(window.events, None, "window"), config)
    assert clip.events.shape == (8, 3, 224, 224)
    events += len(window.events)
    clips += 1
peak_kb = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(events, clips, peak_kb // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("program", "windows", "most_mb"),
    [(MEMORY_PROGRAM, 200, 200), (CLIPS_PROGRAM, 20, 1500)],
    ids=["windows", "clips"],
)
def test_a_hundred_million_events_pass_in_bounded_memory(tmp_path, program, windows, most_mb):
    path = tmp_path / "long.raw"
    write_long_evt2(path, MANY_EVENTS)

    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )

    path.unlink()
    events, count, peak_mb = map(int, result.stdout.split())
    assert (events, count) == (MANY_EVENTS, windows)
    assert peak_mb < most_mb
