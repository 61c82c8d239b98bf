"""Writing: what is written and read back is equal, and no half file takes a name."""

import os
import warnings

import faery
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import SAMPLES, aedat4, frames, require_equal, stream

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import EventStream, Recording, open_recording, write_recording
from evlora.recordings.writers import WRITERS

OWN_TESTS = ("ros1", "ros2")
ROUND_TRIPS = [(row.name, row.suffixes[0]) for row in WRITERS if row.name not in OWN_TESTS]
HOUR_US = 3_600_000_000


@st.composite
def streams(draw: st.DrawFn) -> EventStream:
    """Streams with gaps of every length, equal times, border pixels, and one polarity at times."""
    width, height = draw(st.integers(1, 2048)), draw(st.integers(1, 2048))
    count = draw(st.integers(1, 60))
    gap = st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 1 << 14))
    gaps = draw(st.lists(gap, min_size=count, max_size=count))
    gaps[draw(st.integers(0, count - 1))] += draw(st.integers(0, 1 << 25))
    start = draw(st.one_of(st.just(0), st.integers(0, 1 << 30)))
    x = st.one_of(st.sampled_from([0, width - 1]), st.integers(0, width - 1))
    y = st.one_of(st.sampled_from([0, height - 1]), st.integers(0, height - 1))
    polarity = draw(st.sampled_from([st.booleans(), st.just(True), st.just(False)]))
    return EventStream.from_arrays(
        start + np.cumsum(gaps),
        draw(st.lists(x, min_size=count, max_size=count)),
        draw(st.lists(y, min_size=count, max_size=count)),
        draw(st.lists(polarity, min_size=count, max_size=count)),
        width=width,
        height=height,
    )


def require_same(events: EventStream | None, expected: EventStream) -> None:
    assert events is not None
    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(events, field), getattr(expected, field))
    assert (events.width, events.height) == (expected.width, expected.height)


@pytest.mark.parametrize(("format", "suffix"), ROUND_TRIPS)
def test_any_stream_comes_back_unchanged(tmp_path_factory, format, suffix):
    path = tmp_path_factory.mktemp("round_trip") / f"sample{suffix}"

    @settings(deadline=None, max_examples=30)
    @given(events=streams())
    def round_trip(events: EventStream) -> None:
        write_recording(Recording(events, None, "made"), path, format)
        require_same(open_recording(path).events, events)

    round_trip()


@pytest.mark.parametrize(("format", "suffix"), ROUND_TRIPS)
def test_a_stream_longer_than_a_chunk_comes_back_unchanged(tmp_path, format, suffix):
    events = stream(600_000, width=640, height=480)
    path = tmp_path / f"sample{suffix}"

    write_recording(Recording(events, None, "made"), path, format)

    require_same(open_recording(path).events, events)


@pytest.mark.parametrize(("format", "suffix"), ROUND_TRIPS)
def test_an_empty_stream_comes_back_empty(tmp_path, format, suffix):
    path = tmp_path / f"sample{suffix}"

    write_recording(Recording(EventStream.empty(width=7, height=5), None, "made"), path, format)

    with pytest.warns(RecordingWarning, match="holds no event"):
        require_same(open_recording(path).events, EventStream.empty(width=7, height=5))


@pytest.mark.parametrize(("format", "suffix"), [row for row in ROUND_TRIPS if row[0] != "es"])
@pytest.mark.parametrize("first_us", [1_605_537_493_718_345, -1_000_000])
def test_times_of_day_and_negative_times_come_back_unchanged(tmp_path, format, suffix, first_us):
    events = stream(50)
    moved = EventStream.from_arrays(
        events.t_us + first_us, events.x, events.y, events.polarity, width=64, height=48
    )
    path = tmp_path / f"sample{suffix}"

    write_recording(Recording(moved, None, "made"), path, format)

    require_same(open_recording(path).events, moved)


@pytest.mark.parametrize(
    ("format", "suffix"), [row for row in ROUND_TRIPS if row[0] not in ("es", "dat")]
)
def test_gaps_longer_than_the_clocks_come_back_unchanged(tmp_path, format, suffix):
    # The clocks of EVT3 and EVT2 turn after 2²⁴ and 2³⁴ µs.
    t_us = np.cumsum([0, 1 << 23, (1 << 24) + 1, 1 << 25, 1 << 33, (1 << 34) + 17])
    events = EventStream.from_arrays(t_us, [0] * 6, [0] * 6, [1] * 6, width=4, height=4)
    path = tmp_path / f"sample{suffix}"

    write_recording(Recording(events, None, "made"), path, format)

    with pytest.warns(RecordingWarning, match="leaps by more than an hour 2 times"):
        require_same(open_recording(path).events, events)


def test_dat_refuses_a_gap_that_its_clock_cannot_show(tmp_path):
    events = EventStream.from_arrays([0, 1 << 31], [0] * 2, [0] * 2, [1] * 2, width=4, height=4)

    with pytest.raises(RecordingError, match="a gap of 2147483648 µs"):
        write_recording(Recording(events, None, "made"), tmp_path / "sample.dat")


@pytest.mark.parametrize(("format", "most"), [("evt2.1", 2.5), ("evt3", 1.5)])
def test_rows_of_events_take_vectors(tmp_path, format, most):
    y, x = (axis.reshape(-1) for axis in np.mgrid[:48, :64])
    t_us = np.repeat(np.arange(48) * 50, 64)
    events = EventStream.from_arrays(t_us, x, y, y % 2, width=64, height=48)
    path = tmp_path / "sample.raw"

    write_recording(Recording(events, None, "made"), path, format)

    assert path.stat().st_size < most * len(events)  # a single event takes at least two bytes
    require_same(open_recording(path).events, events)


def test_faery_decodes_the_dat_that_is_written(tmp_path):
    events = stream(5000)
    path = tmp_path / "sample.dat"
    write_recording(Recording(events, None, "made"), path)

    require_equal(events, faery.events_stream_from_file(path).to_array())


@pytest.mark.parametrize("format", ["evt2", "evt3"])
def test_faery_reads_what_is_written(tmp_path, format):
    events = stream(5000)
    path = tmp_path / "sample.raw"
    write_recording(Recording(events, None, "made"), path, format)

    theirs = faery.events_stream_from_file(path).to_array()

    if format == "evt3":  # its EVT3 clock is late now and then; see test_readers_real
        assert np.abs(theirs["t"].astype(np.int64) - events.t_us).max() < 4096
        theirs["t"] = events.t_us
    require_equal(events, theirs)


def test_faery_reads_the_event_stream_that_is_written(tmp_path):
    events = stream(5000)
    path = tmp_path / "sample.es"
    write_recording(Recording(events, None, "made"), path)

    require_equal(events, faery.events_stream_from_file(path).to_array())


def test_hdf5_is_written_in_the_layout_of_dsec(tmp_path):
    path = SAMPLES["hdf5"](tmp_path / "sample")
    with h5py.File(path) as file:
        t_us, index = file["events/t"][:], file["ms_to_idx"][:]
        assert file["t_offset"][()] == stream().first_us

    assert len(index) == t_us[-1] // 1000 + 1
    for millisecond in (0, 1, 50, len(index) - 1):
        assert t_us[index[millisecond]] >= 1000 * millisecond
        assert index[millisecond] == 0 or t_us[index[millisecond] - 1] < 1000 * millisecond


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".aedat4"])
def test_frames_come_back_with_their_times(tmp_path, suffix):
    path = tmp_path / f"sample{suffix}"
    recording = open_recording(aedat4(tmp_path / "source"))

    write_recording(recording, path)

    read = open_recording(path)
    np.testing.assert_array_equal(read.frames.take(range(4)), frames(4).take(range(4)))
    np.testing.assert_array_equal(read.frames.start_us, recording.frames.start_us)
    np.testing.assert_array_equal(read.frames.end_us, recording.frames.end_us)
    require_same(read.events, recording.events)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".aedat4"])
def test_frames_without_events_are_written(tmp_path, suffix):
    path = tmp_path / f"sample{suffix}"

    write_recording(Recording(None, frames(), "made"), path)

    assert open_recording(path).events is None
    assert len(open_recording(path).frames) == 3


def test_frames_that_a_format_does_not_hold_are_skipped_with_a_warning(tmp_path):
    with pytest.warns(RecordingWarning, match=r"es holds no frames; the recording's 3"):
        write_recording(Recording(stream(), frames(), "made"), tmp_path / "sample.es")
    with pytest.raises(RecordingError, match="only frames; write npz or hdf5"):
        write_recording(Recording(None, frames(), "made"), tmp_path / "sample.es")


def test_event_stream_has_no_clock_and_states_it(tmp_path):
    path = tmp_path / "sample.es"
    events = EventStream.from_arrays(
        [10**15, 10**15 + 7], [0, 1], [0, 0], [1, 0], width=4, height=4
    )

    with pytest.warns(RecordingWarning, match="moved by -1000000000000000 µs"):
        write_recording(Recording(events, None, "made"), path)

    assert open_recording(path).events.t_us.tolist() == [0, 7]


def test_event_stream_refuses_to_wait_for_days(tmp_path):
    events = EventStream.from_arrays([0, 50 * HOUR_US], [0, 1], [0, 0], [1, 0], width=4, height=4)

    with pytest.raises(RecordingError, match="write npz or hdf5"):
        write_recording(Recording(events, None, "made"), tmp_path / "sample.es")


@pytest.mark.parametrize("format", ["evt2", "evt3"])
def test_prophesee_formats_refuse_sensors_beyond_their_coordinates(tmp_path, format):
    path = tmp_path / "sample.raw"

    with pytest.raises(RecordingError, match="4096×4 is too large"):
        write_recording(Recording(stream(width=4096, height=4), None, "made"), path, format)

    assert list(tmp_path.iterdir()) == []


def test_raw_asks_which_of_its_formats_is_meant(tmp_path):
    with pytest.raises(RecordingError, match=r"\.raw may be evt2 or evt2.1 or evt3"):
        write_recording(Recording(stream(), None, "made"), tmp_path / "sample.raw")


def test_a_format_that_cannot_be_written_names_those_that_can(tmp_path):
    with pytest.raises(RecordingError, match=r"suffix '.bs2' can be written; there are: npz"):
        write_recording(Recording(stream(), None, "made"), tmp_path / "sample.bs2")
    with pytest.raises(RecordingError, match="no format called 'nmnist'"):
        write_recording(Recording(stream(), None, "made"), tmp_path / "sample.bin", "nmnist")


@pytest.mark.parametrize(("format", "suffix"), ROUND_TRIPS)
def test_a_writer_that_fails_leaves_the_old_file_and_no_other(
    tmp_path, monkeypatch, format, suffix
):
    path = tmp_path / f"sample{suffix}"
    path.write_bytes(b"the old file")

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    events = stream()
    monkeypatch.setattr(EventStream, "part", fail)
    monkeypatch.setattr(np, "savez", fail)
    monkeypatch.setattr(np, "searchsorted", fail)
    with pytest.raises(RecordingError, match="could not be written: no space left"):
        write_recording(Recording(events, None, "made"), path, format)

    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize("bytes_left", [0, 1000, 4096, 8192])
def test_hdf5_survives_a_disk_that_fills_up_anywhere(tmp_path, bytes_left):
    import resource

    number = np.arange(20_000)
    events = EventStream(number * 10, number % 64, number * 7 % 48, number % 2 == 0, 64, 48)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        with pytest.raises(
            RecordingError, match=r"x\.h5: could not be written: .*; make room there"
        ):
            write_recording(Recording(events, None, "made"), tmp_path / "x.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecordingError, match=r"folder.*could not be written"):
        write_recording(Recording(stream(), None, "made"), tmp_path / "folder", "npz")


def test_a_converted_recording_comes_back_unchanged(tmp_path, data_root):
    source = open_recording(data_root / "recordings" / "prophesee_evt3.raw")
    for number, (format, suffix) in enumerate(ROUND_TRIPS):
        path = tmp_path / f"sample_{number}{suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write_recording(source, path, format)
        require_same(open_recording(path).events, source.events)
