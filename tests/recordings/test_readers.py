"""What every reader does: the events that were written, the right format, the right sensor."""

import struct

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import (
    HEIGHT,
    SAMPLES,
    WIDTH,
    aedat4,
    dat,
    evt3_with_vectors,
    evt3_word_by_word,
    evt21_words,
    frames,
    npy,
    require_equal,
    seconds_text,
    stream,
    video,
    written,
)

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import (
    EventStream,
    FrameSequence,
    Recording,
    open_recording,
    write_recording,
)
from evlora.recordings.readers import FORMATS, evt3, open_frames, prophesee_words, reader_for
from evlora.recordings.readers.prophesee_header import read_header

SIZES = {"nmnist": (34, 34), "aedat1": (128, 128), "aedat2": (128, 128), "aedat3": (128, 128)}
ONLY_FRAMES = ("images", "video")
WITH_VECTORS = ("evt2.1", "evt3")


def size_arguments(name: str) -> dict[str, int]:
    return {"width": WIDTH, "height": HEIGHT} if name == "npy" else {}


def require_same(events: EventStream, expected: EventStream) -> None:
    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(events, field), getattr(expected, field))
    assert (events.width, events.height) == (expected.width, expected.height)


def test_every_format_has_a_sample():
    assert set(SAMPLES) == {row.name for row in FORMATS}


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ONLY_FRAMES])
def test_a_sample_is_read_as_it_was_made(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")

    recording = open_recording(path, **size_arguments(name))

    assert recording.format == name
    assert recording.warnings == ()
    assert recording.path == path
    if name not in WITH_VECTORS:
        width, height = SIZES.get(name, (WIDTH, HEIGHT))
        require_same(recording.events, stream(width=width, height=height))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_name_of_a_format_overrides_the_suffix(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")
    moved = path.rename(tmp_path / "sample.unknown")

    assert open_recording(moved, format=name, **size_arguments(name)).format == name


@pytest.mark.parametrize("is_upper_first", [False, True])
@pytest.mark.parametrize("states_it", [False, True])
def test_evt21_words_are_read_in_both_orders_of_their_halves(tmp_path, is_upper_first, states_it):
    words, meant = evt21_words()
    if is_upper_first:
        words = np.ascontiguousarray(words.view("<u4").reshape(-1, 2)[:, ::-1]).view("<u8")
    order = f";endianness={'legacy' if is_upper_first else 'little'}" if states_it else ""
    header = f"% evt 2.1\n% format EVT21;height={HEIGHT};width={WIDTH}{order}\n% end\n"
    path = tmp_path / "sample.raw"
    path.write_bytes(header.encode() + words.tobytes())

    recording = open_recording(path)

    require_same(recording.events, meant)
    assert any("half of a word" in remark for remark in recording.remarks) is not states_it


def test_evt21_masks_of_one_pixel_are_not_taken_for_time_words(tmp_path):
    """A mask of the last pixel alone, 0x80000000, looks like a time word whose time stands."""
    pixel = 1 << 60 | 5 << 32 | 0x80000000
    words = np.array(
        [w for high in range(20) for w in (0x8 << 60 | high << 32, pixel, pixel)], "<u8"
    )
    header = f"% evt 2.1\n% format EVT21;height={HEIGHT};width={WIDTH}\n% end\n"
    path = tmp_path / "sample.raw"
    path.write_bytes(header.encode() + words.tobytes())

    events = open_recording(path).events

    assert events.t_us.tolist() == [64 * high for high in range(20) for _ in range(2)]
    assert set(events.x.tolist()) == {31}
    assert set(events.y.tolist()) == {5}


def test_evt3_vectors_are_read_as_word_by_word(tmp_path):
    path = evt3_with_vectors(tmp_path / "sample")
    words = np.fromfile(path, "<u2", offset=read_header(path).data_byte)

    require_equal(open_recording(path).events, evt3_word_by_word(words.tolist()))


@settings(deadline=None, max_examples=60)
@given(
    words=st.lists(
        st.one_of(
            st.integers(0, 0x7FFF),
            st.integers(0x8000, 0x87FF),  # no leaps, whose meaning is a choice
            st.integers(0xA000, 0xFFFF),
        ),
        max_size=200,
    ),
    block=st.sampled_from([1, 3, 50, 1000]),
)
def test_any_evt3_words_in_any_pieces_are_read_as_word_by_word(tmp_path_factory, words, block):
    path = tmp_path_factory.getbasetemp() / "any.raw"
    path.write_bytes(b"% evt 3.0\n% geometry 2048x2048\n% end\n" + np.array(words, "<u2").tobytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prophesee_words, "CHUNK_EVENTS", block)
        chunks = list(evt3.open_events(path, width=None, height=None).chunks)

    expected = evt3_word_by_word(words)
    for column, name in zip(zip(*chunks, strict=True), ("t", "x", "y", "on"), strict=False):
        np.testing.assert_array_equal(np.concatenate(column), expected[name])
    assert sum(len(chunk.t_us) for chunk in chunks) == len(expected)


def test_evt3_time_turns_when_its_high_part_falls(tmp_path):
    words = [0x0005, 0x8FFF, 0x6FFF, 0x2001, 0x8000, 0x2002, 0x6001, 0x2003]
    path = tmp_path / "sample.raw"
    header = f"% evt 3.0\n% geometry {WIDTH}x{HEIGHT}\n% end\n"
    path.write_bytes(header.encode() + np.array(words, "<u2").tobytes())

    events = open_recording(path).events

    assert events.t_us.tolist() == [(1 << 24) - 1, 1 << 24, (1 << 24) + 1]
    assert events.y.tolist() == [5, 5, 5]


@pytest.mark.parametrize("name", ["evt2", "evt2.1", "evt3", "dat", "nmnist", "es", "text"])
def test_a_file_read_in_small_pieces_is_the_same(tmp_path, monkeypatch, name):
    from evlora.recordings.readers import event_stream, nmnist, text

    path = SAMPLES[name](tmp_path / "sample")
    whole = open_recording(path).events
    for module in (event_stream, nmnist, prophesee_words):
        monkeypatch.setattr(module, "CHUNK_EVENTS", 7)
    monkeypatch.setattr(text, "BLOCK_BYTES", 64)

    require_same(open_recording(path).events, whole)


def test_event_stream_takes_long_waits_and_coordinates_that_look_like_them(tmp_path):
    # x = 0xFF and y = 0xFE look like overflow and reset bytes; 500 µs take three overflows.
    header = b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", 300, 300)
    body = struct.pack("<BHH", 3 << 1 | 1, 255, 254) + b"\xfe" * 5 + b"\xff" * 3
    body += struct.pack("<BHH", 119 << 1, 254, 255)
    path = tmp_path / "sample.es"
    path.write_bytes(header + body)

    events = open_recording(path).events

    assert events.t_us.tolist() == [3, 3 + 3 * 127 + 119]
    assert events.x.tolist() == [255, 254]
    assert events.y.tolist() == [299 - 254, 299 - 255]
    assert events.polarity.tolist() == [True, False]


def test_atis_events_leave_exposures_out(tmp_path):
    header = b"Event Stream\x02\x00\x00\x02" + struct.pack("<HH", 304, 240)
    body = struct.pack("<BHH", 10 << 2 | 0b10, 1, 2) + b"\xfe"
    body += struct.pack("<BHH", 1 << 2 | 0b01, 3, 4) + struct.pack("<BHH", 5 << 2, 6, 7)
    path = tmp_path / "sample.es"
    path.write_bytes(header + body)

    events = open_recording(path).events

    assert events.t_us.tolist() == [10, 10 + 2 * 63 + 1 + 5]
    assert events.x.tolist() == [1, 6]
    assert events.polarity.tolist() == [True, False]


def test_aedat4_holds_events_and_frames_with_their_exposures(tmp_path):
    recording = open_recording(aedat4(tmp_path / "sample"))

    made = frames(4)
    assert recording.frames is not None
    np.testing.assert_array_equal(recording.frames.take(range(4)), made.take(range(4)))
    np.testing.assert_array_equal(recording.frames.start_us, made.start_us)
    np.testing.assert_array_equal(recording.frames.end_us, made.end_us)


def test_frames_without_exposures_are_remarked_upon_as_dv_processings(tmp_path):
    stated = open_recording(aedat4(tmp_path / "stated"))
    silent = open_recording(aedat4(tmp_path / "silent", has_exposures=False))

    remark = "4 frames state no exposure, as dv-processing writes them"
    assert [remark in text for text in silent.remarks] == [True]
    assert not any("exposure" in text for text in stated.remarks)
    for times in (silent.frames.start_us, silent.frames.end_us):
        np.testing.assert_array_equal(times, frames(4).start_us)


def test_an_exposure_of_no_length_is_one_all_the_same(tmp_path):
    times = [10, 20, 30, 40]
    made = FrameSequence.from_images(frames(4).take(range(4)), start_us=times, end_us=times)
    path = tmp_path / "short.aedat4"
    write_recording(Recording(None, made, "made"), path)

    recording = open_recording(path)

    np.testing.assert_array_equal(recording.frames.start_us, made.start_us)
    assert recording.remarks == ()


def test_grey_frames_of_aedat4_are_repeated_into_three_channels(tmp_path):
    recording = open_recording(aedat4(tmp_path / "sample", is_grey=True))

    red = frames(4).take(range(4))[..., :1]
    np.testing.assert_array_equal(recording.frames.take(range(4)), red.repeat(3, axis=-1))


@pytest.mark.parametrize("bits", [10, 16])
def test_deep_frames_of_aedat4_keep_their_highest_bits(tmp_path, bits):
    recording = open_recording(aedat4(tmp_path / "sample", deep_bits=bits))

    red = frames(4).take(range(4))[..., :1]
    np.testing.assert_array_equal(recording.frames.take(range(4)), red.repeat(3, axis=-1))
    assert any(f"uint16 were read as {bits} bits" in remark for remark in recording.remarks)


@pytest.mark.parametrize("kind", ["events", "frames"])
def test_aedat4_may_hold_only_one_of_the_two(tmp_path, kind):
    path = aedat4(tmp_path / "a", with_events=kind == "events", with_frames=kind == "frames")

    recording = open_recording(path)

    assert (recording.events is None) is (kind == "frames")
    assert (recording.frames is None) is (kind == "events")


@pytest.mark.parametrize(("suffix", "format"), [(".npz", None), (".h5", None)])
def test_own_formats_hold_frames_without_events(tmp_path, suffix, format):
    path = tmp_path / f"sample{suffix}"
    images = frames().take(range(3))
    if suffix == ".npz":
        np.savez(path, frames=images)
    else:
        with h5py.File(path, "w") as file:
            file["frames"] = images

    recording = open_recording(path)

    assert recording.events is None
    assert not recording.frames.is_timed
    np.testing.assert_array_equal(recording.frames.take([2, 0]), images[[2, 0]])


def test_a_video_gives_its_frames_in_any_order_with_their_times(tmp_path):
    opened = open_recording(video(tmp_path / "ramp"))

    assert opened.events is None
    assert opened.frames.end_us.tolist() == [40_000 * n for n in range(12)]
    images = opened.frames.take([7, 2, 2, 11])
    levels = images[:, 10:].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, [140, 40, 40, 220], atol=3)  # lossy coding
    assert images[:, :6].max() < 20


def test_a_video_taken_with_the_camera_turned_is_upright(tmp_path):
    # Turned by a quarter against the clock, the dark rows on top become columns at the left.
    frames_ = open_recording(video(tmp_path / "ramp", turned_degrees=90)).frames

    assert (frames_.width, frames_.height) == (HEIGHT, WIDTH)
    assert frames_[11][:, :6].max() < 20
    assert frames_[11][:, 10:].min() > 200


def test_frames_and_events_of_different_clocks_are_reported(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[10**12], x=[0], y=[0], p=[1], width=64, height=48)

    with pytest.warns(RecordingWarning, match="have no moment in common"):
        recording = open_recording(path, frames=video(tmp_path / "ramp"))

    assert len(recording.warnings) == 1


def test_a_folder_of_pictures_is_in_the_order_of_its_numbers(tmp_path):
    from PIL import Image

    for number in (10, 9, 1):
        Image.new("L", (4, 3), number).save(tmp_path / f"frame_{number}.png")

    recording = open_recording(tmp_path)

    assert recording.format == "images"
    assert recording.frames.take(range(3))[:, 0, 0, 0].tolist() == [1, 9, 10]
    assert not recording.frames.is_timed


@pytest.mark.parametrize("step", [1, 5])
def test_a_gap_in_a_folder_of_numbered_pictures_is_reported(tmp_path, step):
    from PIL import Image

    for number in (0, 1, 2, 3, 6, 7, 8, 9, 10, 11):
        Image.new("L", (4, 3), number).save(tmp_path / f"a7_{number * step:08d}.png")

    with pytest.warns(
        RecordingWarning, match=rf"steps of {step}, with 2 missing.* a7_0*{3 * step}\.png"
    ):
        recording = open_recording(tmp_path)
    assert len(recording.frames) == 10
    with pytest.warns(RecordingWarning, match="copy the folder again"):
        open_frames(tmp_path)


@pytest.mark.parametrize(
    "numbers", [range(0, 50, 5), (1, 2, 9, 40, 41, 60, 61, 70), (10, 33, 56, 77, 101, 123, 145)]
)
def test_pictures_numbered_without_a_rule_or_without_a_gap_are_not_reported(tmp_path, numbers):
    from PIL import Image

    for number in numbers:
        Image.new("L", (4, 3)).save(tmp_path / f"{number:06d}.png")

    assert len(open_recording(tmp_path).frames) == len(numbers)


def test_frames_beside_events_are_spread_over_them(tmp_path):
    events = SAMPLES["nmnist"](tmp_path / "a")
    pictures = [SAMPLES["images"](tmp_path / name) for name in ("b", "c")]

    recording = open_recording(events, frames=pictures)

    assert len(recording.frames) == 2
    assert recording.frames.end_us[-1] == recording.events.last_us + 1


def test_frames_may_come_from_another_recording(tmp_path):
    assert len(open_frames(SAMPLES["npz"](tmp_path / "a"))) == 3
    with pytest.raises(RecordingError, match="holds only events"):
        open_frames(SAMPLES["nmnist"](tmp_path / "b"))


# Suffix, header and --format


def test_a_header_that_contradicts_the_suffix_is_named(tmp_path):
    path = written(".es")(tmp_path / "sample").rename(tmp_path / "sample.raw")

    with pytest.raises(RecordingError, match=r"stands for evt2 or evt2.1 or evt3.*states es"):
        open_recording(path)


def test_a_raw_file_whose_header_is_silent_asks_for_its_format(tmp_path):
    path = tmp_path / "sample.raw"
    path.write_bytes(b"% Date 2020-01-01\n" + bytes(8))

    with pytest.raises(RecordingError, match="its header does not state which"):
        open_recording(path)


def test_a_format_that_the_header_denies_is_refused(tmp_path):
    path = written(".raw", "evt2")(tmp_path / "sample")

    with pytest.raises(RecordingError, match="expected evt3, the header states evt2"):
        open_recording(path, format="evt3")


def test_an_unknown_suffix_is_read_by_its_header(tmp_path):
    path = written(".es")(tmp_path / "sample").rename(tmp_path / "sample.events")

    assert open_recording(path).format == "es"


def test_an_unknown_suffix_and_an_unknown_format_name_what_there_is(tmp_path):
    path = tmp_path / "sample.xyz"
    path.write_bytes(b"nothing")

    with pytest.raises(RecordingError, match=r"suffix '.xyz'.*there are: nmnist"):
        open_recording(path)
    with pytest.raises(RecordingError, match=r"no format is called 'evt9'; did you mean evt"):
        reader_for(path, "evt9")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordingError, match=r"absent.es: no such file"):
        open_recording(tmp_path / "absent.es")


# Sensor size


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("% geometry 320x240", (320, 240)),
        ("% format EVT2;height=240;width=320", (320, 240)),
        ("% plugin_name hal_plugin_gen3_fx3", (640, 480)),
        ("% plugin_name hal_plugin_gen31_evk2", (640, 480)),
        ("% plugin_name hal_plugin_imx636_evk4", (1280, 720)),
        ("% plugin_name hal_plugin_genx320_cx3", (320, 320)),
        ("% generation 4.1", (1280, 720)),
    ],
)
def test_a_prophesee_header_states_the_sensor(tmp_path, line, size):
    path = tmp_path / "sample.raw"
    words = np.array([0x8 << 28, 1 << 28], "<u4")
    path.write_bytes(f"% evt 2.0\n{line}\n% end\n".encode() + words.tobytes())

    events = open_recording(path).events

    assert (events.width, events.height) == size


def test_a_sensor_that_nobody_states_is_asked_for(tmp_path):
    path = tmp_path / "sample.raw"
    words = np.array([0x8 << 28, 1 << 28], "<u4")
    path.write_bytes(b"% evt 2.0\n% end\n" + words.tobytes())

    with pytest.raises(RecordingError, match="give width and height"):
        open_recording(path)
    assert len(open_recording(path, width=640, height=480).events) == 1


@pytest.mark.parametrize("name", ["evt2", "es", "npz", "hdf5", "aedat4", "text", "dat"])
def test_a_given_size_that_contradicts_the_file_is_refused(tmp_path, name):
    path = SAMPLES[name](tmp_path / "sample")

    with pytest.raises(RecordingError, match=r"declares a sensor of 64×48.*leave them out"):
        open_recording(path, width=640, height=480)
    assert open_recording(path, width=WIDTH, height=HEIGHT).events is not None


def test_half_a_size_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="both width and height, or neither"):
        open_recording(npy(tmp_path / "sample"), width=64)


def test_ncaltech_is_distinguished_from_nmnist_by_its_reach(tmp_path):
    path = tmp_path / "sample.bin"
    path.write_bytes(bytes([200, 170, 0x80, 0, 5]))
    assert open_recording(path).events.width == 240

    path.write_bytes(bytes([250, 170, 0x80, 0, 5]))
    with pytest.raises(
        RecordingError, match="event 0 at byte 0, x = 250, y = 170, lies beyond N-MNIST's 34×34"
    ):
        open_recording(path)


# Fields, units, orders


def test_npz_takes_the_other_names_and_seconds(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, timestamps=[0.5, 1.25], xs=[1, 2], ys=[3, 4], polarity=[-1, 1])

    recording = open_recording(path, width=8, height=8)

    assert recording.events.t_us.tolist() == [500_000, 1_250_000]
    assert recording.events.polarity.tolist() == [False, True]
    assert any("seconds" in remark for remark in recording.remarks)


def test_npz_without_a_field_names_the_missing_ones(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[1], x=[1], p=[1])

    with pytest.raises(RecordingError, match=r"y/ys/y_pos.*got t, x, p"):
        open_recording(path, width=8, height=8)


def test_hdf5_of_dsec_has_its_offset_added(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        file["events/t"] = np.array([5, 6], np.uint32)
        file["events/x"], file["events/y"] = np.array([[1, 2], [3, 4]], np.uint16)
        file["events/p"] = np.array([0, 1], np.uint8)
        file["ms_to_idx"], file["t_offset"] = np.array([0, 2]), np.int64(10**12)

    with pytest.raises(RecordingError, match="DSEC's cameras are 640×480"):
        open_recording(path)
    events = open_recording(path, width=640, height=480).events
    assert events.t_us.tolist() == [10**12 + 5, 10**12 + 6]


def test_hdf5_of_m3ed_has_its_size_beside_it_and_the_other_eye_is_reported(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        for eye in ("left", "right"):
            for name in "txyp":
                file[f"prophesee/{eye}/{name}"] = np.array([0, 1])
            file[f"prophesee/{eye}/calib/resolution"] = np.array([1280, 720])

    with pytest.warns(RecordingWarning, match="/prophesee/left was read"):
        recording = open_recording(path)

    assert (recording.events.width, recording.events.height) == (1280, 720)


def test_hdf5_with_one_data_set_of_members_is_read(tmp_path):
    path = tmp_path / "sample.h5"
    array = np.array([(1, 2, 1, 10)], [("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")])
    with h5py.File(path, "w") as file:
        file["CD/events"] = array
        file.attrs["geometry"] = "1280x720"

    events = open_recording(path).events

    assert (events.t_us.tolist(), events.x.tolist(), events.width) == ([10], [1], 1280)


def test_hdf5_packed_by_blosc_is_read_where_the_extra_is_installed(tmp_path):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    path, events = tmp_path / "sample.h5", stream()
    with h5py.File(path, "w") as file:
        file.attrs["width"], file.attrs["height"] = WIDTH, HEIGHT
        fields = {"t": events.t_us, "x": events.x, "y": events.y, "p": events.polarity}
        for name, values in fields.items():
            packing = hdf5plugin.Blosc(cname="zstd")
            file.create_dataset(f"events/{name}", data=values, chunks=(100,), **packing)

    require_same(open_recording(path).events, events)


def test_text_in_seconds_is_read_to_the_microsecond(tmp_path):
    recording = open_recording(seconds_text(tmp_path / "sample"))

    require_same(recording.events, stream())
    assert any("seconds" in remark for remark in recording.remarks)
    assert any("columns t x y p" in remark for remark in recording.remarks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,y,p,t\n1,2,1,10\n", (10, 1, 2, True)),
        ("# x y polarity timestamp\n1 2 -1 10\n", (10, 1, 2, False)),
        ("index;t;x;y;pol\n7;10;1;2;0\n", (10, 1, 2, False)),
        ("10\t1\t2\t1", (10, 1, 2, True)),
        ("# Format: time (float s), x, y, polarity (0=off, 1=on)\n1e-5 1 2 0\n", (10, 1, 2, False)),
        ("\n# a comment\n\n1e-5 1.0 2 1\n\n", (10, 1, 2, True)),
        ("t,x,y,p\r\n10,1,2,True\r\n", (10, 1, 2, True)),
        ("%geometry:64,48\n1,2,0,10\n", (10, 1, 2, False)),
    ],
)
def test_text_is_read_in_any_declared_order(tmp_path, text, expected):
    path = tmp_path / "sample.txt"
    path.write_text(text)

    size = {} if "geometry" in text else {"width": WIDTH, "height": HEIGHT}
    events = open_recording(path, **size).events

    assert (events.t_us[0], events.x[0], events.y[0], events.polarity[0]) == expected


def test_text_in_an_undeclared_order_is_refused(tmp_path):
    path = tmp_path / "sample.txt"
    path.write_text("1 2 1 10\n1 2 1 20\n")

    with pytest.raises(RecordingError, match="declare it in a line with their names"):
        open_recording(path, width=8, height=8)


def test_dat_of_the_first_version_packs_its_address_otherwise(tmp_path):
    path = tmp_path / "sample.dat"
    address = 300 | 200 << 9 | 1 << 17
    header = b"% Data file\n% Version 1\n% Height 240\n% Width 304\n\x0c\x08"
    path.write_bytes(header + struct.pack("<II", 9, address))

    events = open_recording(path).events

    assert (events.x[0], events.y[0], events.polarity[0]) == (300, 200, True)


def test_dat_and_nmnist_clocks_go_on_after_a_turn(tmp_path):
    path = dat(tmp_path / "sample")
    head = path.read_bytes()[: read_header(path).data_byte + 2]
    path.write_bytes(head + struct.pack("<IIII", 0xFFFFFFFF, 0, 1, 0))
    assert open_recording(path).events.t_us.tolist() == [0xFFFFFFFF, (1 << 32) + 1]

    path = tmp_path / "sample.bin"
    path.write_bytes(bytes([1, 1, 0x7F, 0xFF, 0xFF, 1, 1, 0x80, 0, 1]))
    assert open_recording(path).events.t_us.tolist() == [(1 << 23) - 1, (1 << 23) + 1]


@pytest.mark.parametrize("line", ["% evt 4.0", "% format EVT4;height=720;width=1280"])
def test_an_encoding_known_by_name_alone_is_named_without_a_cure(tmp_path, line):
    path = tmp_path / "sample.raw"
    path.write_bytes(f"{line}\n% end\n".encode() + bytes(80))

    with pytest.raises(RecordingError, match="the encoding evt4, which is not read here"):
        open_recording(path)
    with pytest.raises(RecordingError, match="the header states evt4; which is not read here"):
        open_recording(path, format="evt3")
