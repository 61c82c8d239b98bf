"""External triggers in Prophesee's encodings, and what is done with triggers."""

import struct

import numpy as np
import pytest
from recording_samples import evt21, written

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import open_recording, write_recording
from evlora.recordings.inspection import summarize
from evlora.recordings.readers.prophesee_header import read_header
from evlora.recordings.triggers import Triggers


def evt2(path):
    """A trigger before any time, two in the middle, and one behind the last event."""
    path = written(".raw", "evt2")(path)
    start = read_header(path).data_byte
    data = path.read_bytes()
    middle = start + (len(data) - start) // 8 * 4
    trigger = struct.pack("<I", 0xA << 28 | 5 << 22 | 3 << 8 | 1)
    other = struct.pack("<I", 0xA << 28 | 9 << 22 | 0 << 8 | 0)
    path.write_bytes(
        data[:start] + trigger + data[start:middle] + trigger + other + data[middle:] + trigger
    )
    return path


def test_evt2_triggers_have_their_time_input_and_edge(tmp_path):
    path = evt2(tmp_path / "sample")
    whole = open_recording(written(".raw", "evt2")(tmp_path / "other")).events

    recording = open_recording(path)

    np.testing.assert_array_equal(recording.events.t_us, whole.t_us)
    triggers = recording.triggers
    assert triggers.channel.tolist() == [3, 0, 3]
    assert triggers.polarity.tolist() == [1, -1, 1]
    assert (triggers.t_us % 64).tolist() == [5, 9, 5]
    middle, last = int(whole.t_us[len(whole) // 2]), whole.last_us
    assert abs(int(triggers.t_us[0]) - middle) < 3000
    assert triggers.t_us[2] // 64 == last // 64


@pytest.mark.parametrize("is_upper_first", [False, True])
def test_evt21_triggers_stand_in_the_upper_half(tmp_path, is_upper_first):
    path = evt21(tmp_path / "sample")
    data = path.read_bytes()
    start = read_header(path).data_byte
    words = np.frombuffer(data[start:], "<u8")
    trigger = np.uint64(0xA << 60 | 7 << 54 | 2 << 40 | 1 << 32)
    last_time = words[words >> np.uint64(60) == 8][-1] >> np.uint64(32) & np.uint64(0x0FFFFFFF)
    words = np.append(words, trigger)
    if is_upper_first:
        words = (words >> np.uint64(32)) | (words << np.uint64(32))
        data = data.replace(b"little", b"legacy")
    path.write_bytes(data[:start] + words.astype("<u8").tobytes())

    triggers = open_recording(path).triggers

    assert triggers.t_us.tolist() == [int(last_time) << 6 | 7]
    assert triggers.channel.tolist() == [2]
    assert triggers.polarity.tolist() == [1]


@pytest.mark.parametrize("block", [3, 1000])
def test_evt3_triggers_have_the_time_of_the_words_before(tmp_path, monkeypatch, block):
    from evlora.recordings.readers import prophesee_words

    monkeypatch.setattr(prophesee_words, "CHUNK_EVENTS", block)
    words = [0xA101, 0x8001, 0xA101, 0x6010, 0x0005, 0x2003, 0xA200, 0x6011, 0xAF01]
    path = tmp_path / "sample.raw"
    header = b"% evt 3.0\n% geometry 64x48\n% end\n"
    path.write_bytes(header + np.array(words, "<u2").tobytes())

    recording = open_recording(path)

    assert recording.events.t_us.tolist() == [0x1010]
    assert recording.triggers.t_us.tolist() == [0x1000, 0x1010, 0x1011]
    assert recording.triggers.channel.tolist() == [1, 2, 15]
    assert recording.triggers.polarity.tolist() == [1, -1, 1]


def test_a_file_without_triggers_has_none(tmp_path):
    assert open_recording(written(".raw", "evt3")(tmp_path / "sample")).triggers is None


def test_triggers_are_put_in_order_and_chosen():
    triggers = Triggers.from_arrays([30, 10, 20], [0, 1, 0], [1, -1, -1])

    assert triggers.t_us.tolist() == [10, 20, 30]
    assert triggers.chosen(channel=0).t_us.tolist() == [20, 30]
    assert triggers.chosen(polarity=1).t_us.tolist() == [30]
    assert triggers.between(10, 30).t_us.tolist() == [10, 20]


def test_triggers_of_other_polarities_are_refused():
    with pytest.raises(RecordingError, match="−1, 0 or 1"):
        Triggers.from_arrays([1], [0], [2])


def test_a_summary_counts_triggers(tmp_path):
    summary = summarize(open_recording(evt2(tmp_path / "sample")))

    assert summary.triggers is not None
    assert summary.triggers.count == 3
    assert summary.triggers.channels == (0, 3)
    assert summarize(open_recording(written(".h5")(tmp_path / "other"))).triggers is None


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_hdf5_and_npz_keep_triggers_and_the_others_warn(tmp_path, suffix):
    recording = open_recording(evt2(tmp_path / "sample"))
    path = tmp_path / f"kept{suffix}"

    write_recording(recording, path)

    triggers = open_recording(path).triggers
    for field in ("t_us", "channel", "polarity"):
        np.testing.assert_array_equal(getattr(triggers, field), getattr(recording.triggers, field))
    with pytest.warns(
        RecordingWarning, match="without the recording's 3 triggers; npz and hdf5 keep"
    ):
        write_recording(recording, tmp_path / "lost.csv")


def test_triggers_in_an_archive_that_are_none_are_refused(tmp_path):
    path = tmp_path / "sample.npz"
    fields = {"t": [1], "x": [1], "y": [1], "p": [1], "width": 4, "height": 4}
    triggers = {"trigger_t_us": [1, 2], "trigger_channel": [0], "trigger_polarity": [1]}
    np.savez(path, **fields, **triggers)

    with pytest.raises(RecordingError, match=r"expected trigger_t_us, .* of one shape \(N,\)"):
        open_recording(path)
