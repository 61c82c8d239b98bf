"""The older AEDAT formats: what a DVS128 and a DAVIS wrote, event for event and frame for frame."""

import numpy as np
import pytest
from aedat_samples import (
    DAVIS_SIZE,
    EXTERNAL_US,
    davis_aedat2,
    davis_aedat3,
    davis_events,
    davis_pictures,
    event_words,
    frame_words,
)
from recording_samples import aedat1, aedat2, aedat3, frames, stream

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import EventStream, open_recording
from evlora.recordings.readers import aps, prophesee_words
from evlora.recordings.readers.aedat2 import DVS128_SIZE
from evlora.recordings.readers.aedat3 import HEADER


def require_same(events: EventStream | None, expected: EventStream) -> None:
    assert events is not None
    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(events, field), getattr(expected, field))
    assert (events.width, events.height) == (expected.width, expected.height)


def test_aedat2_of_a_davis_holds_its_events_frames_and_triggers(tmp_path):
    recording = open_recording(davis_aedat2(tmp_path / "sample"))

    require_same(recording.events, davis_events())
    assert recording.warnings == ()
    images = recording.frames.take(range(len(recording.frames)))
    np.testing.assert_array_equal(images, np.repeat(davis_pictures()[..., None], 3, axis=-1))
    last_reset_us = (DAVIS_SIZE[0] * DAVIS_SIZE[1] - 1) // 10
    assert recording.frames.start_us.tolist() == [20_000 + last_reset_us, 100_000 + last_reset_us]
    assert recording.frames.end_us.tolist() == [30_000, 110_000]
    assert recording.triggers.t_us.tolist() == list(EXTERNAL_US)
    assert recording.triggers.polarity.tolist() == [1, -1]


def test_a_davis_with_a_rolling_shutter_is_read_frame_for_frame(tmp_path):
    recording = open_recording(davis_aedat2(tmp_path / "sample", is_rolling=True))

    np.testing.assert_array_equal(recording.frames.take([0, 1])[..., 0], davis_pictures())
    assert recording.frames.start_us.tolist() == [20_000, 100_000]


@pytest.mark.parametrize("block", [10_000, 70_000])
def test_frames_of_a_davis_do_not_depend_on_the_pieces_read(tmp_path, monkeypatch, block):
    monkeypatch.setattr(prophesee_words, "CHUNK_EVENTS", block)

    recording = open_recording(davis_aedat2(tmp_path / "sample", count=2))

    np.testing.assert_array_equal(recording.frames.take([0, 1])[..., 0], davis_pictures(2))


def test_colour_of_a_davis_is_interpolated_from_its_filter(tmp_path):
    raw = np.zeros((260, 346), np.uint8)
    raw[::2, ::2] = 200  # only the red pixels of rows R G, G B see light
    pairs = np.array([(address, t_us) for t_us, address in frame_words(raw, 0)], ">u4")
    path = tmp_path / "sample.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: x.Davis346redColor\r\n" + pairs.tobytes())

    with pytest.warns(RecordingWarning, match="holds no event"):
        image = open_recording(path).frames[0]

    assert (image[10:-10, 10:-10, 0] == 200).all()
    assert (image[10:-10, 10:-10, 1:] == 0).all()


def test_a_frame_that_the_file_cuts_off_is_skipped_and_reported(tmp_path):
    path = davis_aedat2(tmp_path / "sample")
    path.write_bytes(path.read_bytes()[: -300 * 8])
    data = path.read_bytes()
    signal = next(at for at in range(len(data) - 8, 0, -8) if data[at] & 0x80)
    path.write_bytes(data[: signal - 8 * 20_000])

    with pytest.warns(RecordingWarning, match="1 of 2 APS frames lack samples"):
        recording = open_recording(path)

    assert len(recording.frames) == 1


def test_a_davis_file_that_names_no_camera_asks_for_its_size(tmp_path):
    path = davis_aedat2(tmp_path / "sample", chip=None)
    with pytest.raises(RecordingError, match="240×180 or 346×260"):
        open_recording(path)

    recording = open_recording(path, width=240, height=180)

    require_same(recording.events, davis_events())


def test_addresses_that_only_a_davis346_has_name_it(tmp_path):
    events = stream(3000, width=346, height=260)
    pairs = np.array([(address, t_us) for t_us, address in event_words(events)], ">u4")
    path = tmp_path / "sample.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n# Timestamps tick is 1 us\r\n" + pairs.tobytes())

    recording = open_recording(path)

    require_same(recording.events, events)
    assert "346×260" in recording.remarks[0]


@pytest.mark.parametrize(
    ("chip", "size"),
    [("DAVIS128", (128, 128)), ("DAVIS208PixelParade", (208, 192)), ("DAVIS640", (640, 480))],
)
def test_every_davis_has_the_addresses_of_one(tmp_path, chip, size):
    events = stream(500, width=size[0], height=size[1])
    pairs = np.array([(address, t_us) for t_us, address in event_words(events)], ">u4")
    path = tmp_path / "sample.aedat"
    path.write_bytes(f"#!AER-DAT2.0\r\n# AEChip: a.{chip}\r\n".encode() + pairs.tobytes())

    require_same(open_recording(path).events, events)


def test_an_event_that_begins_like_a_line_of_the_header_is_no_header(tmp_path):
    # Row 140 from the bottom makes the first byte `#`; a newline comes somewhere behind it.
    events = EventStream.from_arrays([10, 2560], [5, 9], [39, 39], [1, 0], width=240, height=180)
    pairs = np.array([(address, t_us) for t_us, address in event_words(events)], ">u4")
    assert pairs.tobytes()[0] == ord("#")
    assert b"\n" in pairs.tobytes()
    path = tmp_path / "sample.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: x.DAVIS240C\r\n" + pairs.tobytes())

    require_same(open_recording(path).events, events)


def test_aedat2_of_a_camera_that_is_not_known_is_refused(tmp_path):
    path = tmp_path / "sample.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.CochleaAMS1c\r\n" + bytes(8))

    with pytest.raises(RecordingError, match="the header states CochleaAMS1c"):
        open_recording(path)


def test_signals_at_the_input_of_a_dvs128_are_triggers(tmp_path):
    path = aedat2(tmp_path / "sample")
    marks = np.array([(0x8000, 250_000), (0x8000, 250_500)], ">u4")
    path.write_bytes(path.read_bytes() + marks.tobytes())

    recording = open_recording(path)

    assert len(recording.events) == 1000
    assert recording.triggers.t_us.tolist() == [250_000, 250_500]


def test_aedat1_has_words_of_six_bytes(tmp_path):
    recording = open_recording(aedat1(tmp_path / "sample"))

    width, height = DVS128_SIZE
    require_same(recording.events, stream(width=width, height=height))


def test_aedat3_of_a_davis_holds_its_frames_and_triggers(tmp_path):
    recording = open_recording(davis_aedat3(tmp_path / "sample"))

    require_same(recording.events, davis_events())
    np.testing.assert_array_equal(recording.frames.take([0, 1])[..., 0], davis_pictures())
    assert recording.frames.start_us.tolist() == [11_000, 101_000]
    assert recording.frames.end_us.tolist() == [16_000, 106_000]
    assert recording.triggers.t_us.tolist() == [1000, 2000]
    assert recording.triggers.channel.tolist() == [0, 1]
    assert recording.triggers.polarity.tolist() == [1, 0]


def test_aedat3_frames_may_have_colour(tmp_path):
    recording = open_recording(davis_aedat3(tmp_path / "sample", channels=3))

    np.testing.assert_array_equal(recording.frames.take([0, 1]), frames(2).take([0, 1]))


def test_of_two_cameras_in_one_aedat3_file_the_first_is_read(tmp_path):
    path = aedat3(tmp_path / "sample")
    head, end, body = path.read_bytes().partition(b"#!END-HEADER\r\n")
    event_bytes = HEADER.itemsize + 8 * 300
    other = bytearray(body[:event_bytes])
    other[2:4] = (7).to_bytes(2, "little")
    cameras = head.replace(b"#Source 1: DVS128", b"#Source 7: DAVIS346\r\n#Source 1: DVS128")
    path.write_bytes(cameras + end + body[:event_bytes] + other + body[event_bytes:])

    with pytest.warns(RecordingWarning, match="source 7, another camera, was skipped; source 1"):
        recording = open_recording(path)

    require_same(recording.events, stream(width=128, height=128))


def test_a_davis_file_of_torn_frames_is_not_slow(tmp_path, monkeypatch):
    # Each sample begins a frame of its own, as after damage that shifts the words.
    monkeypatch.setattr(aps, "MOST_TORN_FRAMES", 20)
    path = davis_aedat2(tmp_path / "sample", count=1)
    words = [(1 << 31 | 900, t_us) for t_us in range(0, 6000, 2)]
    words += [(1 << 31 | 0x400 | 500, t_us) for t_us in range(1, 6000, 2)]
    words.sort(key=lambda word: word[1])
    header = path.read_bytes().split(b"DAVIS240C\r\n")[0] + b"DAVIS240C\r\n"
    events = [(address, 10_000 + t_us) for t_us, address in event_words(davis_events())]
    path.write_bytes(header + np.array(words + events, ">u4").tobytes())
    count = 0
    assemble = aps.ApsFrames._assemble

    def counted(self, end):
        nonlocal count
        count += 1
        assemble(self, end)

    monkeypatch.setattr(aps.ApsFrames, "_assemble", counted)

    with pytest.warns(RecordingWarning, match="20 APS frames are torn; no frame behind them"):
        recording = open_recording(path)

    assert len(recording.events) == len(davis_events())
    assert count == 20
