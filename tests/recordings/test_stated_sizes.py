"""The sensor's size as files state it: by other names, and with rows and columns swapped."""

import numpy as np
import pytest

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import EventStream, Recording, iterate_windows, open_recording
from evlora.recordings.writers import write_recording

COUNT = 500
RNG = np.random.default_rng(0)
FIELDS = {
    "t": np.sort(RNG.integers(0, 100_000, COUNT)),
    "x": np.append(RNG.integers(0, 346, COUNT - 1), 345),
    "y": RNG.integers(0, 260, COUNT),
    "p": RNG.integers(0, 2, COUNT),
}


@pytest.mark.parametrize(
    "names", [("W", "H"), ("width", "height"), ("sensor_width", "sensor_height")]
)
def test_the_sides_of_the_sensor_have_several_names(tmp_path, names):
    path = tmp_path / "sample.npz"
    np.savez(path, **FIELDS, **dict(zip(names, (346, 260), strict=True)))

    events = open_recording(path).events

    assert (events.width, events.height, len(events)) == (346, 260, COUNT)


def test_a_letter_that_is_no_side_is_none(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, **FIELDS, w=np.zeros(9))

    with pytest.raises(RecordingError, match="does not state the size"):
        open_recording(path)


def swapped(folder, suffix):
    """A file whose header has rows before columns."""
    path = folder / f"sample{suffix}"
    if suffix == ".npz":
        np.savez(path, **FIELDS, resolution=(260, 346))
        return path
    events = EventStream.from_arrays(*FIELDS.values(), width=346, height=260)
    write_recording(Recording(events, None, "made"), path)
    header, mark, data = path.read_bytes().partition(b"% Width 346\n% Height 260\n")
    assert mark
    path.write_bytes(header + b"% Width 260\n% Height 346\n" + data)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".dat"])
def test_rows_stated_as_columns_are_refused_and_the_caller_is_believed(tmp_path, suffix):
    path = swapped(tmp_path, suffix)

    with pytest.raises(RecordingError, match=r"all inside one of 346×260: .*--width 346"):
        open_recording(path)
    events = open_recording(path, width=346, height=260).events
    np.testing.assert_array_equal(events.x, FIELDS["x"])
    assert (events.width, events.height) == (346, 260)
    with pytest.raises(RecordingError, match="sensor of 260×346, width and height say 640×480"):
        open_recording(path, width=640, height=480)


def test_width_and_height_that_the_caller_swaps_are_refused(tmp_path):
    path = tmp_path / "sample.npy"
    np.save(path, np.stack(list(FIELDS.values()), 1))

    with pytest.raises(RecordingError, match="give width=346 and height=260"):
        open_recording(path, width=260, height=346, columns="t,x,y,p")
    with pytest.raises(RecordingError, match="give width=346 and height=260"):
        list(iterate_windows(path, duration_us=10_000, width=260, height=346, columns="t,x,y,p"))


def test_few_events_outside_are_no_swap(tmp_path):
    path = tmp_path / "sample.npz"
    fields = {
        **FIELDS,
        "x": np.append(np.arange(COUNT - 1) % 100, 120),
        "y": np.arange(COUNT) % 100,
    }
    np.savez(path, **fields, width=120, height=200)

    with pytest.warns(RecordingWarning, match="1 of 500 events .* were skipped"):
        assert len(open_recording(path).events) == COUNT - 1
