"""Broken files: the events before the damage and a warning, or an error with what and where."""

import struct
import warnings

import h5py
import numpy as np
import pytest
from recording_samples import HEIGHT, SAMPLES, WIDTH, aedat4, evt21, stream, written

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import Recording, open_recording, write_recording
from evlora.recordings.readers.prophesee_header import read_header

EVENT_FORMATS = [name for name in SAMPLES if name not in ("images", "video")]
# What of a cut file can be read: archives and HDF5 keep their index at the end or check the length.
WHOLE_OR_NOTHING = ("npz", "hdf5", "mat", "ros1", "ros2")


def opened(path, name: str, **options) -> Recording:
    if name == "npy":
        options.update(width=WIDTH, height=HEIGHT)
    return open_recording(path, **options)


def header_bytes(name: str, data: bytes) -> int:
    if name in ("evt2", "evt2.1", "evt3"):
        return data.index(b"% end\n") + 6
    if name == "dat":
        return data.index(b"\x0c\x08") + 2
    if name == "es":
        return 20
    if name == "text":
        return data.index(b"p\n") + 2
    if name == "npy":
        return 10 + struct.unpack_from("<H", data, 8)[0]
    if name in ("aedat2", "aedat1"):
        return data.index(b"test\r\n") + 6
    if name == "aedat3":
        return data.index(b"HEADER\r\n") + 8
    assert name == "aedat4"
    return 18 + struct.unpack_from("<I", data, 14)[0]


@pytest.mark.parametrize("name", EVENT_FORMATS)
def test_an_empty_file_is_refused(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")
    path.write_bytes(b"")

    with pytest.raises(RecordingError, match="sample"):
        opened(path, name)
    with pytest.raises(RecordingError, match="sample"):
        opened(path, name, format=name)


@pytest.mark.parametrize("name", SAMPLES)
def test_random_bytes_are_refused_or_warned_of(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")
    path.write_bytes(np.random.default_rng(0).bytes(5000))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refusal = ""
        try:
            opened(path, name, format=name)
        except RecordingError as error:
            refusal = str(error)
    assert caught or "sample" in refusal


@pytest.mark.parametrize(
    "name", [name for name in EVENT_FORMATS if name not in (*WHOLE_OR_NOTHING, "nmnist", "npy")]
)
def test_a_header_without_events_is_an_empty_recording_with_a_warning(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")
    data = path.read_bytes()
    path.write_bytes(data[: header_bytes(name, data)])

    if name == "aedat4":  # which could hold frames
        path = aedat4(tmp_path / "sample", with_frames=False)
        data = path.read_bytes()
        path.write_bytes(data[: header_bytes(name, data)])
    with pytest.warns(RecordingWarning, match="holds no event"):
        recording = opened(path, name)

    assert len(recording.events) == 0
    assert recording.events.width > 0


@pytest.mark.parametrize("name", [name for name in EVENT_FORMATS if name not in WHOLE_OR_NOTHING])
def test_a_cut_file_gives_the_events_before_the_cut(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")
    data = path.read_bytes()
    whole = opened(path, name).events
    cut = len(data) * 2 // 3
    word = 6 if name == "aedat1" else 8
    cut += (3 - cut + (0 if name == "nmnist" else header_bytes(name, data))) % word  # within one
    path.write_bytes(data[:cut])

    with pytest.warns(RecordingWarning, match=r"byte|bytes|line|packet"):
        recording = opened(path, name)

    events = recording.events
    assert 0.4 * len(whole) < len(events) <= 0.75 * len(whole)
    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(events, field), getattr(whole, field)[: len(events)])
    assert len(recording.warnings) == 1


@pytest.mark.parametrize("name", WHOLE_OR_NOTHING)
def test_a_cut_archive_is_refused(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(RecordingError, match=r"could not read it|cannot be read|could not open it"):
        opened(path, name)


@pytest.mark.parametrize("name", ["npz", "hdf5", "npy", "text", "dat", "es", "aedat4"])
def test_events_outside_the_sensor_are_skipped_and_counted(tmp_path, name):
    # The files say 64×48; on a sensor of 64×36 a quarter of the same events are impossible.
    path = SAMPLES[name](tmp_path / "sample")
    data = path.read_bytes()
    whole = opened(path, name).events
    size = {"width": WIDTH, "height": 36}
    if name == "npz":
        events = stream()
        np.savez(path, t=events.t_us, x=events.x, y=events.y, p=events.polarity, **size)
    elif name == "hdf5":
        with h5py.File(path, "r+") as file:
            file.attrs["height"] = 36
    elif name == "text":
        path.write_bytes(data.replace(b"height=48", b"height=36"))
    elif name == "dat":
        path.write_bytes(data.replace(b"Height 48", b"Height 36"))
    elif name == "es":
        path.write_bytes(data[:18] + bytes([36]) + data[19:])
    elif name == "aedat4":
        path.write_bytes(data.replace(b">48<", b">36<"))

    options = size if name == "npy" else {}
    with pytest.warns(RecordingWarning, match=r"outside the (64×36 )?sensor"):
        events = open_recording(path, **options).events

    assert events.height == 36
    if name == "es":  # its events have no place of their own: behind a damage nothing is sure
        assert len(events) < len(whole)
    else:
        is_inside = whole.y < 36
        np.testing.assert_array_equal(events.t_us, whole.t_us[is_inside])
        np.testing.assert_array_equal(events.y, whole.y[is_inside])


def test_a_sensor_that_holds_no_event_at_all_is_refused(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[1, 2], x=[100, 100], y=[1, 1], p=[0, 1])

    with pytest.raises(RecordingError, match=r"of 2 events 2 lie outside the 10×10 sensor"):
        open_recording(path, width=10, height=10)


def test_a_sensor_that_holds_less_than_half_of_the_events_is_refused(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[1, 2, 3], x=[100, 1, 100], y=[1, 1, 1], p=[0, 1, 1])

    with pytest.raises(RecordingError, match=r"of 3 events 2 lie outside .*give the sensor's true"):
        open_recording(path, width=10, height=10)


def test_time_running_backwards_is_put_in_order_and_counted(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[10, 30, 20, 40, 35], x=[0, 1, 2, 3, 4], y=[0] * 5, p=[1] * 5)

    with pytest.warns(RecordingWarning, match=r"backwards 2 times, first at event 2 \(30 → 20"):
        events = open_recording(path, width=8, height=8).events

    assert events.t_us.tolist() == [10, 20, 30, 35, 40]
    assert events.x.tolist() == [0, 2, 1, 4, 3]


def test_times_beyond_reason_are_skipped(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[-(2**63), 10, 20, 30, 2**62], x=[0, 1, 2, 3, 4], y=[0] * 5, p=[1] * 5)

    with pytest.warns(RecordingWarning, match="2 of 5 events have times beyond"):
        events = open_recording(path, width=8, height=8).events

    assert events.t_us.tolist() == [10, 20, 30]


def test_a_leap_of_the_clock_is_reported(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[0, 10, 10**11], x=[0, 1, 2], y=[0] * 3, p=[1] * 3)

    with pytest.warns(RecordingWarning, match="leaps by more than an hour 1 times"):
        assert len(open_recording(path, width=8, height=8).events) == 3


def test_events_before_the_first_time_word_are_skipped(tmp_path):
    for name in ("evt2", "evt3"):
        path = written(".raw", name)(tmp_path / "sample")
        data = path.read_bytes()
        start = read_header(path).data_byte
        lone = struct.pack("<I", 1 << 28) if name == "evt2" else struct.pack("<HH", 5, 0x2001)
        path.write_bytes(data[:start] + lone + data[start:])

        with pytest.warns(RecordingWarning, match="1 events stand before the first time word"):
            assert len(open_recording(path).events) == 1000


def test_reserved_words_are_passed_over_with_their_place(tmp_path):
    path = written(".raw", "evt2")(tmp_path / "sample")
    start = read_header(path).data_byte
    data = bytearray(path.read_bytes())
    assert data[start + 15] >> 4 <= 1  # the type of the fourth word: an event
    data[start + 15] = 0x50
    path.write_bytes(data)

    with pytest.warns(RecordingWarning, match=rf"1 words .* first at byte {start + 12}"):
        assert len(open_recording(path).events) == 999


def test_one_damaged_time_word_does_not_move_the_events_behind_it(tmp_path):
    path = evt21(tmp_path / "sample")
    whole = open_recording(path).events
    start = read_header(path).data_byte
    data = bytearray(path.read_bytes())
    times = [at for at in range(start + 7, len(data), 8) if data[at] == 0x80]
    data[times[5]] |= 0x0F  # the sixth time word leaps to the end of the clock's period
    path.write_bytes(data)

    with pytest.warns(RecordingWarning, match="time runs backwards 1 times"):
        events = open_recording(path).events

    assert events.last_us == whole.last_us
    assert (events.t_us[-len(whole) // 2 :] == whole.t_us[-len(whole) // 2 :]).all()


def test_event_stream_out_of_step_ends_at_the_first_impossible_event(tmp_path):
    path = written(".es")(tmp_path / "sample")
    data = bytearray(path.read_bytes())
    data[20 + 2500 : 20 + 2500] = b"\x01"
    path.write_bytes(data)

    with pytest.warns(RecordingWarning, match="out of step"):
        events = open_recording(path).events

    assert 300 < len(events) < 600


def test_text_ends_at_the_first_line_that_is_no_event(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text("t,x,y,p\n1,1,1,1\n2,1,1,0\n3,1,oops,1\n4,1,1,1\n")

    with pytest.warns(RecordingWarning, match=r"line 4 is no event: '3,1,oops,1'; the 2 events"):
        events = open_recording(path, width=8, height=8).events

    assert events.t_us.tolist() == [1, 2]


def test_aedat4_names_the_damaged_packet_and_keeps_what_is_before(tmp_path):
    path = aedat4(tmp_path / "sample")
    data = bytearray(path.read_bytes())
    third = [at for at in range(len(data)) if data[at : at + 4] == b"EVTS"][
        3
    ]  # the first is in the header
    data[third] = ord("X")
    path.write_bytes(data)

    with pytest.warns(RecordingWarning, match=r"packet 4 at byte \d+ is damaged .* the 500 events"):
        recording = open_recording(path)

    assert len(recording.events) == 500
    assert len(recording.frames) == 2


def test_aedat4_leaves_a_frame_out_that_differs_and_keeps_the_events(tmp_path):
    path = aedat4(tmp_path / "sample")
    data = bytearray(path.read_bytes())
    width, height = struct.pack("<h", WIDTH), struct.pack("<h", HEIGHT)
    second = [at for at in range(len(data)) if data[at : at + 4] == b"FRME"][2]
    at = data.index(height + width, second) if height + width in data else 0
    at = at or data.index(width + height, second)
    data[at : at + 4] = data[at + 2 : at + 4] + data[at : at + 2]
    path.write_bytes(data)

    with pytest.warns(RecordingWarning, match=r"1 frames were skipped, the first at packet 3"):
        recording = open_recording(path)

    assert len(recording.events) == 1000
    assert len(recording.frames) == 3


def test_aedat4_with_damaged_text_in_its_header_is_refused_before_the_library_sees_it(tmp_path):
    # The aedat package ends the process on this file.
    path = aedat4(tmp_path / "sample")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"outInfo", b"out\xffnfo"))

    with pytest.raises(RecordingError, match="the header is damaged"):
        open_recording(path)


def test_hdf5_fields_of_different_lengths_are_read_to_the_shortest(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        file.attrs["width"] = file.attrs["height"] = 8
        for name, count in {"t": 5, "x": 5, "y": 3, "p": 5}.items():
            file[name] = np.ones(count, np.int64)

    with pytest.warns(RecordingWarning, match="the first 3 events were read"):
        assert len(open_recording(path).events) == 3


def test_hdf5_that_claims_more_events_than_it_holds_is_read_to_what_is_there(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        file.attrs["width"] = file.attrs["height"] = 8
        for name in "txyp":
            data = file.create_dataset(name, (10**12,), np.int64, chunks=(100,))
            data[:100] = 1

    with pytest.warns(RecordingWarning, match="the first 100 events were read"):
        assert len(open_recording(path).events) == 100


def test_a_damaged_picture_and_a_damaged_video_are_refused(tmp_path):
    for name in ("images", "video"):
        path = SAMPLES[name](tmp_path / "sample")
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(RecordingError, match="could not"):
            open_recording(path)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="could not be read"):
        open_recording(tmp_path, format="evt2", width=8, height=8)


def test_no_warning_is_given_twice_and_each_names_its_file(tmp_path):
    path = written(".raw", "evt2")(tmp_path / "sample")
    path.write_bytes(path.read_bytes()[:-3])

    with pytest.warns(RecordingWarning) as caught:
        recording = open_recording(path)

    assert [str(one.message) for one in caught] == list(recording.warnings)
    assert str(path) in recording.warnings[0]


def test_a_recording_written_over_itself_is_not_harmed_by_its_damage(tmp_path):
    path = written(".raw", "evt2")(tmp_path / "sample")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(RecordingWarning):
        recording = open_recording(path)

    write_recording(recording, path, "evt2")

    assert len(open_recording(path).events) == 999
