"""Headers of RAW and DAT files as people and tools write them."""

import numpy as np
import pytest
from recording_samples import HEIGHT, WIDTH, require_equal, stream, written

from evlora.recordings import open_recording
from evlora.recordings.readers.prophesee_header import read_header


@pytest.mark.parametrize(
    "line",
    [
        "% operator Žaneta Müller",
        "% operator Müller".encode("latin-1"),
        "% operator ’quoted’".encode("cp1252"),
        "% 場所 東京".encode("shift-jis"),
        "% note a\ttab",
    ],
)
def test_letters_outside_ascii_in_a_header_do_not_hide_its_format(tmp_path, line):
    path = written(".raw", "evt3")(tmp_path / "sample")
    data = path.read_bytes()
    raw = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(raw + b"\n" + data)

    recording = open_recording(path)

    assert recording.format == "evt3"
    np.testing.assert_array_equal(recording.events.t_us, stream().t_us)


@pytest.mark.parametrize(
    "size",
    [
        f"% Geometry: {WIDTH} x {HEIGHT}",
        f"% geometry {WIDTH},{HEIGHT}",
        f"% resolution {WIDTH}x{HEIGHT}",
        f"% Width {WIDTH}\n% Height {HEIGHT}",
        f"%geometry {WIDTH}x{HEIGHT}",
        f"% format EVT3;height={HEIGHT};width={WIDTH}",
    ],
)
def test_the_size_of_the_sensor_stands_in_many_spellings(tmp_path, size):
    path = written(".raw", "evt3")(tmp_path / "sample")
    words = path.read_bytes().partition(b"% end\n")[2] or path.read_bytes()
    while words.startswith(b"% "):
        words = words.partition(b"\n")[2]
    path.write_bytes(f"%evt 3.0\n{size}\n% end\n".encode() + words)

    recording = open_recording(path)

    np.testing.assert_array_equal(recording.events.t_us, stream().t_us)
    assert (recording.events.width, recording.events.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("encoding", ["evt2", "evt3"])
def test_what_expelliarmus_is_known_to_write_is_a_remark(tmp_path, encoding):
    path = written(".raw", encoding)(tmp_path / "sample")
    words = path.read_bytes()
    while words.startswith(b"% "):
        words = words.partition(b"\n")[2]
    lines = ("Date 1970-12-25 07:51:03", f"evt {encoding[3:]}.0", "plugin_name hal_plugin_gen3_fx3")
    path.write_bytes("".join(f"% {line} \n" for line in lines).encode() + words)

    by_header, by_caller = open_recording(path), open_recording(path, width=WIDTH, height=HEIGHT)

    assert by_header.events.width == 640
    assert by_caller.events.width == WIDTH
    for recording in (by_header, by_caller):
        np.testing.assert_array_equal(recording.events.t_us, stream().t_us)
        (remark,) = [text for text in recording.remarks if "written by expelliarmus" in text]
        assert ("low 12 bits" in remark) == (encoding == "evt3")


def test_data_that_begin_with_a_percent_sign_are_no_header(tmp_path):
    words = np.array([0x8 << 28, 0x20250000 | 0x0201], "<u4").tobytes()
    path = tmp_path / "sample.raw"
    header = f"% evt 2.0\n% geometry {WIDTH}x{HEIGHT}\n".encode()
    path.write_bytes(header + b"% \x01\x02" + b"\n" + words)

    assert read_header(path).data_byte == len(header)


@pytest.mark.parametrize("suffix", ["raw", "dat", "csv"])
def test_files_of_faery_keep_their_times_and_their_sensor(tmp_path, suffix):
    faery = pytest.importorskip("faery")
    events = np.zeros(50, faery.EVENTS_DTYPE)
    events["t"] = 1_700_000 + 1000 * np.arange(50)
    events["x"], events["y"], events["on"] = np.arange(50), 7, np.arange(50) % 2
    path = tmp_path / f"sample.{suffix}"
    faery.events_stream_from_array(events, dimensions=(640, 480)).to_file(path)

    recording = open_recording(path)

    require_equal(recording.events, events)
    assert (recording.events.width, recording.events.height) == (640, 480)
    if suffix != "csv":
        assert any("1700000 µs were added" in remark for remark in recording.remarks)


# N-MNIST


def overflowing(path, times, places):
    """Records whose clock is kept low by records with y = 240, each 8,192 µs."""
    raw, base_us = b"", 0
    for t_us, (x, y) in zip(times, places, strict=True):
        while t_us - base_us >= 8192:
            raw += bytes([0, 240, 0, 0, 0])
            base_us += 8192
        rest = int(t_us) - base_us
        raw += bytes([x, y, 0x80 | rest >> 16, rest >> 8 & 255, rest & 255])
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("chunk", [7, 1 << 18])
@pytest.mark.parametrize("size", [{}, {"width": 240, "height": 180}, {"width": 304, "height": 240}])
def test_nmnist_records_in_row_240_move_the_clock(tmp_path, monkeypatch, chunk, size):
    from evlora.recordings.readers import nmnist

    monkeypatch.setattr(nmnist, "CHUNK_EVENTS", chunk)
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 300_000, 400))
    places = [(int(x), int(y)) for x, y in zip(*rng.integers(0, 174, (2, 400)), strict=True)]
    path = overflowing(tmp_path / "image_0001.bin", times, places)

    recording = open_recording(path, **size)

    np.testing.assert_array_equal(recording.events.t_us, times)
    assert recording.events.width == size.get("width", 240)
    assert recording.warnings == ()
    assert any("records with y = 240 are no events" in remark for remark in recording.remarks)


def test_row_240_of_a_larger_sensor_is_a_row(tmp_path):
    path = tmp_path / "sample.bin"
    path.write_bytes(bytes([1, 240, 0x80, 0, 5]) * 3)

    events = open_recording(path, width=255, height=255).events

    assert events.y.tolist() == [240] * 3
