"""Prophesee's ECF codec, in all of its ways to pack places, and damaged."""

import contextlib

import numpy as np
import pytest
from ecf_samples import CHUNK, MODES, packed, prophesee_hdf5
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import stream

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import open_recording
from evlora.recordings.readers import ecf


@st.composite
def columns(draw: st.DrawFn) -> list[np.ndarray]:
    """t, x, y, p of one chunk: runs of all lengths, steps of all sizes."""
    count = draw(st.integers(1, 700))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    steps = random.choice([0, 1, 14, 15, 16, 70_000, 1 << 40], count, p=draw(st.sampled_from(ODDS)))
    t = draw(st.sampled_from([0, 5, 1 << 41])) + np.cumsum(steps)
    repeats = draw(st.sampled_from([1, 3, 40, 200]))
    y = np.repeat(random.integers(0, 720, count), repeats)[:count]
    p = np.repeat(random.integers(0, 2, count), repeats)[:count]
    x = random.integers(0, 1280, count)
    if draw(st.booleans()):  # neighbours, as masks hold them
        x = (np.cumsum(random.integers(0, 4, count)) + 3) % 1270
    return [values.astype(np.int64) for values in (t, x, y, p)]


ODDS = ((0.9, 0.05, 0.01, 0.01, 0.01, 0.01, 0.01), (0.2, 0.2, 0.1, 0.1, 0.1, 0.2, 0.1))


@settings(max_examples=60, deadline=None)
@given(columns(), st.sampled_from(sorted(MODES.values())))
def test_any_chunk_is_decoded_as_it_was_packed(values, mode):
    events = ecf.decode(packed(*values, mode))

    for name, expected in zip("txyp", values, strict=True):
        np.testing.assert_array_equal(events[name], expected)


@settings(max_examples=60, deadline=None)
@given(columns(), st.sampled_from(sorted(MODES.values())), st.data())
def test_a_damaged_chunk_is_decoded_or_refused(values, mode, data):
    content = bytearray(packed(*values, mode))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]

    with contextlib.suppress(RecordingError):  # anything else fails
        assert len(ecf.decode(bytes(content))) <= ecf.MOST_EVENTS


def test_a_chunk_of_no_event_is_empty():
    assert len(ecf.decode(bytes(12))) == 0


@pytest.mark.parametrize("mode", MODES.values())
def test_a_file_of_packed_chunks_is_read_with_its_triggers(tmp_path, mode):
    path = prophesee_hdf5(tmp_path / "sample", stream(), mode)

    recording = open_recording(path)

    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(recording.events, field), getattr(stream(), field))
    assert recording.warnings == ()
    assert recording.triggers.t_us.tolist() == [500, 900]
    assert recording.triggers.polarity.tolist() == [1, -1]


def test_the_events_before_a_damaged_chunk_are_kept(tmp_path, monkeypatch):
    from evlora.recordings.readers import hdf5

    monkeypatch.setattr(hdf5, "READ_EVENTS", CHUNK)
    path = prophesee_hdf5(tmp_path / "sample", stream())
    content = path.read_bytes()
    head = (CHUNK << 2 | 2).to_bytes(4, "little")
    second = content.index(head, content.index(head) + 1)
    path.write_bytes(content[:second] + b"\xff\xff\xff\xff" + content[second + 4 :])

    with pytest.warns(RecordingWarning, match="the chunk of event 256: expected at most 65535"):
        assert len(open_recording(path).events) == CHUNK
