"""ROS bags of all three containers, written by rosbags: event for event, frame for frame."""

import bz2
import contextlib
import shutil
import struct

import numpy as np
import pytest
from recording_samples import HEIGHT, WIDTH, evt3_with_vectors, frames, stream
from ros_samples import IMAGE_ENCODINGS, START_US, BagWriter, encoded
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode

from evlora.errors import RecordingError, RecordingWarning
from evlora.limits import Limits
from evlora.recordings import (
    EventStream,
    FrameSequence,
    Recording,
    iterate_windows,
    open_recording,
    write_recording,
)
from evlora.recordings.readers import ros, ros_bag
from evlora.recordings.readers.prophesee_header import read_header

SUFFIXES = (".bag", ".db3", ".mcap")


def require_events(events: EventStream | None, expected: EventStream, start_us: int) -> None:
    assert events is not None
    np.testing.assert_array_equal(events.t_us, expected.t_us + start_us)
    for field in ("x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(events, field), getattr(expected, field))
    assert (events.width, events.height) == (expected.width, expected.height)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("package", ["dvs_msgs", "prophesee_event_msgs"])
def test_event_arrays_and_pictures_of_a_bag_are_read(tmp_path, suffix, package):
    path = tmp_path / f"sample{suffix}"
    with BagWriter(path) as bag:
        bag.write_events("/dvs/events", stream(), package=package)
        bag.write_images()

    recording = open_recording(path)

    require_events(recording.events, stream(), START_US)
    assert recording.warnings == recording.remarks == ()
    np.testing.assert_array_equal(recording.frames.take([0, 1, 2]), frames().take([0, 1, 2]))
    assert recording.frames.end_us.tolist() == (frames().end_us + START_US).tolist()
    windows = list(iterate_windows(path, duration_us=20_000))
    assert sum(len(window.events) for window in windows) == len(stream())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_event_packets_of_evt3_are_read_as_the_file_of_the_same_words(tmp_path, suffix):
    raw = evt3_with_vectors(tmp_path / "raw")
    words = raw.read_bytes()[read_header(raw).data_byte :] + struct.pack("<H", 0xA501)
    expected = open_recording(raw).events
    path = tmp_path / f"sample{suffix}"
    with BagWriter(path) as bag:
        for start in range(0, len(words), 250):  # the state goes on from packet to packet
            bag.write_packet("/camera/events", START_US + start, "evt3", words[start : start + 250])

    recording = open_recording(path)

    require_events(recording.events, expected, 0)
    assert recording.triggers.t_us.tolist() == [expected.last_us]
    assert recording.triggers.channel.tolist() == [5]


def test_events_on_the_sensors_clock_are_moved_to_the_pictures(tmp_path):
    raw = evt3_with_vectors(tmp_path / "raw")
    words = raw.read_bytes()[read_header(raw).data_byte :]
    expected = open_recording(raw).events
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_packet("/camera/events", START_US, "evt3", words)
        bag.write_images("/camera/image_raw")

    recording = open_recording(path)

    require_events(recording.events, expected, START_US - expected.first_us)
    assert "sensor's own clock" in recording.remarks[0]
    assert recording.warnings == ()


def test_packets_of_the_other_encodings_are_read(tmp_path):
    events = stream(300)
    columns = [a.astype(np.uint64) for a in (events.t_us, events.x, events.y, events.polarity)]
    t, x, y, p = columns
    mono = p << np.uint64(63) | y << np.uint64(48) | x << np.uint64(32) | t * np.uint64(1000)
    data = (x << np.uint64(17) | y << np.uint64(2) | p << np.uint64(1) | np.uint64(1)).astype("<u4")
    caer = np.stack([data, t.astype("<u4")], axis=1)
    packed: list[int] = []
    for t_us, column, row, is_on in zip(*(c.tolist() for c in columns), strict=True):
        packed += [t_us >> 12, 0x1000 | t_us & 0xFFF, 0x2000 | column, 0x3000 | is_on << 11 | row]
    cases = {
        "mono": (mono.astype("<u8").tobytes(), 5_000_000, 5_000),
        "libcaer": (caer.tobytes(), START_US * 1000, START_US),
        "libcaer_cmp": (np.array(packed, "<u2").tobytes(), START_US, START_US),
    }
    for encoding, (content, time_base, start_us) in cases.items():
        path = tmp_path / f"{encoding}.db3"
        with BagWriter(path) as bag:
            bag.write_packet("/camera/events", START_US, encoding, content, time_base=time_base)
            edge = (1 << 63 | 2 << 48 | 77_000).to_bytes(8, "little")
            bag.write_packet("/camera/trigger", START_US, "trigger", edge, time_base=time_base)

        recording = open_recording(path)

        require_events(recording.events, events, start_us)
        assert recording.triggers.channel.tolist() == [2]
        assert recording.triggers.t_us.tolist() == [time_base // 1000 + 77]


def test_vectors_of_libcaer_cmp_run_along_a_column(tmp_path):
    words = [0x0001, 0x1002, 0x2000 | 7, 0x4000 | 1 << 11 | 3, 0x5081, 0x5001, 0x3000 | 9]
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_packet("/events", 0, "libcaer_cmp", np.array(words, "<u2").tobytes())

    events = open_recording(path).events

    assert events.t_us.tolist() == [4098] * 4
    assert events.x.tolist() == [7] * 4
    assert events.y.tolist() == [3, 10, 11, 9]
    assert events.polarity.tolist() == [True, True, True, False]


def test_an_encoding_that_is_not_known_is_named(tmp_path):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_packet("/events", 0, "evt4", bytes(8))

    with pytest.raises(RecordingError, match="got 'evt4', which is not read here"):
        open_recording(path)


@pytest.mark.parametrize("encoding", IMAGE_ENCODINGS)
def test_pictures_of_every_encoding_with_filled_rows_are_read(tmp_path, encoding):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_images("/image", encoding=encoding, padding=5)

    recording = open_recording(path)

    expected = frames().take([0, 1, 2])
    if encoding in ("mono8", "8UC1"):
        expected = np.repeat(expected[..., :1], 3, axis=-1)
    assert recording.events is None
    np.testing.assert_array_equal(recording.frames.take([0, 1, 2]), expected)


def test_yuv_and_bayer_pictures_have_their_colours(tmp_path):
    grey = np.full((HEIGHT, WIDTH), 120, np.uint8)
    luma_first = np.stack([grey, np.full_like(grey, 128)], axis=-1)
    for encoding, pixels in {
        "yuv422_yuy2": luma_first,
        "uyvy": luma_first[..., ::-1],
        "bayer_grbg8": grey[..., None],
    }.items():
        path = tmp_path / f"{encoding}.mcap"
        with BagWriter(path) as bag:
            bag.write_image("/image", pixels, encoding=encoding)

        image = open_recording(path).frames[0].astype(int)

        assert (np.ptp(image, axis=-1) <= 1).all()
        assert abs(image.mean() - 120) < 5


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_pictures_of_16_bits_have_their_colours_and_bits(tmp_path, pattern, is_bigendian):
    path = tmp_path / "sample.mcap"
    value_of = {"r": 4095, "g": 1600, "b": 160}  # of 12 bits
    pixels = np.zeros((HEIGHT, WIDTH), ">u2" if is_bigendian else "<u2")
    for place, colour in enumerate(pattern):
        pixels[place // 2 :: 2, place % 2 :: 2] = value_of[colour]
    with BagWriter(path) as bag:
        bag.write_image("/image", pixels, encoding=f"bayer_{pattern}16", is_bigendian=is_bigendian)

    recording = open_recording(path)

    inside = recording.frames[0][2:-2, 2:-2].reshape(-1, 3)
    np.testing.assert_allclose(inside, [[255, 100, 10]] * len(inside), atol=1)
    assert f"{path}: frames of uint16 were read as 12 bits" in recording.remarks


def test_compressed_pictures_are_read_and_raw_ones_preferred(tmp_path):
    path = tmp_path / "sample.bag"
    with BagWriter(path) as bag:
        bag.write_compressed()
    np.testing.assert_array_equal(open_recording(path).frames[1], frames()[1])

    with BagWriter(path) as bag:
        bag.write_compressed()
        bag.write_images()
    recording = open_recording(path)

    assert "/dvs/image_raw was read" in recording.remarks[0]
    assert len(open_recording(path, topics=["/dvs/image_raw/compressed"]).frames) == 3


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "rgb16", "bgr16", "bgra16"])
def test_pictures_of_16_bits_are_read_with_the_bits_they_use(tmp_path, encoding, is_bigendian):
    path = tmp_path / "sample.mcap"
    ramp = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 4096
    ramp[0, 0] = 4095
    rgb = np.stack([ramp, ramp // 2, ramp // 4], axis=-1)
    channels = {"m": ramp[..., None], "1": ramp[..., None], "r": rgb, "b": rgb[..., ::-1]}
    pixels = channels[encoding[0]]
    if "a16" in encoding:
        pixels = np.concatenate([pixels, pixels[..., :1]], axis=-1)
    pixels = pixels.astype(">u2" if is_bigendian else "<u2", order="C")
    with BagWriter(path) as bag:
        bag.write_image("/image", pixels, encoding=encoding, is_bigendian=is_bigendian)

    recording = open_recording(path)

    expected = rgb if pixels.shape[-1] > 1 else np.repeat(ramp[..., None], 3, axis=-1)
    np.testing.assert_array_equal(recording.frames[0], expected >> 4)
    assert f"{path}: frames of uint16 were read as 12 bits" in recording.remarks


def test_pictures_of_an_encoding_that_is_not_read_are_refused_with_its_name(tmp_path):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_images("/depth", encoding="32FC1")

    with pytest.raises(RecordingError, match="16 bits a channel, got the encoding '32FC1'"):
        open_recording(path)


def test_of_several_cameras_the_first_is_read_with_its_own_pictures(tmp_path):
    path = tmp_path / "sample.mcap"
    other = stream(seed=3)
    with BagWriter(path) as bag:
        bag.write_events("/right/events", other)
        bag.write_events("/left/events", stream())
        bag.write_images("/right/image_raw")
        bag.write_images("/left/image_raw", encoding="mono8")

    with pytest.warns(RecordingWarning, match="/left/events was read; .* /right/events too"):
        recording = open_recording(path)
    require_events(recording.events, stream(), START_US)
    assert "/left/image_raw was read" in recording.remarks[0]

    chosen = open_recording(path, topics=["/right/events", "right/image_raw"])

    require_events(chosen.events, other, START_US)
    np.testing.assert_array_equal(chosen.frames[0], frames()[0])
    assert chosen.warnings == chosen.remarks == ()


def test_topics_that_are_not_there_or_of_one_kind_are_refused(tmp_path):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_events("/a/events", stream())
        bag.write_events("/b/events", stream())

    with pytest.raises(RecordingError, match=r"expected a topic /c .* /a/events \(dvs_msgs"):
        open_recording(path, topics=["/c"])
    with pytest.raises(RecordingError, match="several of one kind"):
        open_recording(path, topics=["/a/events", "/b/events"])


def test_a_bag_without_events_and_pictures_lists_what_it_has(tmp_path):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        text = bag.store.types["std_msgs/msg/String"](data="hello")
        bag.write_message("/chatter", "std_msgs/msg/String", 0, text)

    with pytest.raises(RecordingError, match=r"got /chatter \(std_msgs/String, 1 messages\)"):
        open_recording(path)


def test_topics_are_for_bags_alone(tmp_path):
    path = tmp_path / "sample.npy"
    np.save(path, np.zeros(3))

    with pytest.raises(RecordingError, match="no topics= or --topics for the format npy"):
        open_recording(path, topics=["/a"])


@pytest.mark.parametrize("mode", ["none", "message"])
def test_the_folder_of_a_ros2_bag_is_read(tmp_path, mode):
    path = tmp_path / "sample.db3"
    compression = (CompressionMode.MESSAGE, CompressionFormat.ZSTD) if mode == "message" else None
    with BagWriter(path, compression=compression) as bag:
        bag.write_events("/dvs/events", stream())

    recording = open_recording(bag.folder)

    require_events(recording.events, stream(), START_US)
    assert recording.format == "ros2"


def test_a_folder_whose_files_are_packed_or_missing_states_what_to_do(tmp_path):
    path = tmp_path / "sample.db3"
    with BagWriter(path, compression=(CompressionMode.FILE, CompressionFormat.ZSTD)) as bag:
        bag.write_events("/dvs/events", stream())
        shutil.copytree(bag.folder, tmp_path / "whole", dirs_exist_ok=True)
        bag.folder.joinpath("sample.db3").touch()
    with pytest.raises(RecordingError, match="zstd -d"):
        open_recording(bag.folder)


@pytest.mark.parametrize("compression", ["BZ2", "LZ4"])
def test_packed_chunks_of_ros1_are_read(tmp_path, compression):
    path = tmp_path / "sample.bag"
    with BagWriter(path, compression=Writer1.CompressionFormat[compression]) as bag:
        bag.write_events("/dvs/events", stream())

    require_events(open_recording(path).events, stream(), START_US)


@pytest.mark.parametrize("suffix", [".bag", ".mcap"])
def test_a_chunk_that_would_unpack_to_more_than_it_may_is_refused(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"sample{suffix}"
    packing = {
        ".bag": Writer1.CompressionFormat.BZ2,
        ".mcap": (CompressionMode.STORAGE, CompressionFormat.ZSTD),
    }
    with BagWriter(path, compression=packing[suffix]) as bag:
        bag.write_events("/dvs/events", stream())
    monkeypatch.setattr(ros_bag, "LARGEST_CHUNK_BYTES", 5000)

    with pytest.raises(RecordingError, match="more than the 5000 bytes that a chunk may have"):
        open_recording(path)


def test_a_packed_chunk_of_zeros_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(ros_bag, "LARGEST_CHUNK_BYTES", 1 << 20)
    bomb = bz2.compress(bytes(1 << 24))

    with pytest.raises(RecordingError, match=f"{len(bomb)} bytes would unpack to more"):
        ros_bag._at_most(bz2.BZ2Decompressor(), bomb)


def test_a_bag_that_unpacks_to_more_than_its_size_allows_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_images()
    monkeypatch.setattr(ros_bag, "limits", lambda: Limits(unpacked_bytes=1000, unpacked_ratio=0))

    with pytest.raises(RecordingError, match="unpack to more than 1000"):
        open_recording(path)


def test_frames_beyond_the_memory_allowed_are_skipped_and_reported(tmp_path, monkeypatch):
    path = tmp_path / "sample.mcap"
    with BagWriter(path) as bag:
        bag.write_events("/dvs/events", stream())
        bag.write_images()
    monkeypatch.setattr(ros, "LARGEST_FRAMES_BYTES", 2 * WIDTH * HEIGHT * 3)

    with pytest.warns(RecordingWarning, match="1 frames were skipped"):
        assert len(open_recording(path).frames) == 2


def test_an_event_list_of_another_definition_is_refused(tmp_path):
    path = tmp_path / "sample.bag"
    with BagWriter(path) as bag:
        bag.write_events("/dvs/events", stream(10))
    data = path.read_bytes()
    # Five events more than there are.
    at = data.index(struct.pack("<III", HEIGHT, WIDTH, 10)) + 8
    path.write_bytes(data[:at] + struct.pack("<I", 15) + data[at + 4 :])

    with pytest.raises(RecordingError, match="15 events of x, y, ts and polarity take 195 bytes"):
        open_recording(path)


def test_encodings_of_the_samples_are_what_they_say():
    rgb = frames()[0]

    np.testing.assert_array_equal(encoded(rgb, "bgra8")[..., 2::-1], rgb)


@pytest.mark.parametrize("suffix", [".bag", ".mcap"])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_bag_that_is_written_comes_back_and_rosbags_reads_the_same(tmp_path, suffix, count):
    events = stream(count)
    moved = EventStream.from_arrays(
        events.t_us + START_US, events.x, events.y, events.polarity, width=WIDTH, height=HEIGHT
    )
    pictures = FrameSequence.from_images(
        frames().take([0, 1, 2]), start_us=frames().end_us + START_US
    )
    path = tmp_path / f"sample{suffix}"

    write_recording(Recording(moved, pictures, "made"), path)

    expectation = pytest.warns(RecordingWarning) if not count else contextlib.nullcontext()
    with expectation:
        recording = open_recording(path)
    require_events(recording.events, moved, 0)
    np.testing.assert_array_equal(recording.frames.take([0, 1, 2]), frames().take([0, 1, 2]))
    assert recording.frames.end_us.tolist() == pictures.end_us.tolist()
    read = []
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            if connection.topic == "/dvs/events":
                read += [(e.ts.sec, e.ts.nanosec, e.x, e.y, e.polarity) for e in message.events]
            else:
                assert (message.encoding, message.step) == ("rgb8", 3 * WIDTH)
    times = [(t // 1_000_000, t % 1_000_000 * 1000) for t in moved.t_us.tolist()]
    rows = zip(moved.x.tolist(), moved.y.tolist(), moved.polarity.tolist(), strict=True)
    assert read == [(*time, *row) for time, row in zip(times, rows, strict=True)]


def test_times_that_ros_cannot_hold_are_refused_and_lost_exposures_reported(tmp_path):
    early = EventStream.from_arrays([-1], [0], [0], [1], width=WIDTH, height=HEIGHT)
    with pytest.raises(RecordingError, match="do not fit ROS"):
        write_recording(Recording(early, None, "made"), tmp_path / "sample.mcap")
    with pytest.warns(RecordingWarning, match="the end of its exposure was written"):
        write_recording(Recording(stream(), frames(), "made"), tmp_path / "sample.bag")
