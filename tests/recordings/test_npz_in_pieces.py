"""npz archives read in pieces: the same events as at once, however the arrays lie in the file."""

import numpy as np
import pytest
from recording_samples import frames, stream

from evlora.errors import RecordingError
from evlora.recordings import Recording, iterate_windows, open_recording
from evlora.recordings.readers import npz_members
from evlora.recordings.survey import survey_long_file
from evlora.recordings.writers import write_recording

SENSOR = {"width": 64, "height": 48}
EVENTS = stream(1000, width=64, height=48)
FIELDS = {"t": EVENTS.t_us, "x": EVENTS.x, "y": EVENTS.y, "p": EVENTS.polarity}
ROWS = np.stack([values.astype(np.int64) for values in FIELDS.values()], 1)
MEMBERS = np.zeros(len(EVENTS), [(name, values.dtype) for name, values in FIELDS.items()])
for name_, values_ in FIELDS.items():
    MEMBERS[name_] = values_

ARCHIVES = {
    "fields": (FIELDS, None),
    "rows of one": ({name: values[None] for name, values in FIELDS.items()}, None),
    "columns of one": ({name: values[:, None] for name, values in FIELDS.items()}, None),
    "members": ({"events": MEMBERS}, None),
    "columns": ({"events": ROWS}, "t,x,y,p"),
    "columns one after the other": ({"events": np.asfortranarray(ROWS)}, "t,x,y,p"),
    "a row for each field": ({"events": ROWS.T.copy()}, "t,x,y,p"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ARCHIVES)
def test_pieces_hold_the_events_of_the_whole(tmp_path, monkeypatch, name, save):
    arrays, columns = ARCHIVES[name]
    path = tmp_path / "sample.npz"
    save(path, **arrays)
    whole = open_recording(path, **SENSOR, columns=columns).events
    monkeypatch.setattr(npz_members, "CHUNK_EVENTS", 77)

    windows = [w.events for w in iterate_windows(path, count=50, columns=columns, **SENSOR)]

    for field in ("t_us", "x", "y", "polarity"):
        values = [getattr(events, field) for events in windows]
        np.testing.assert_array_equal(np.concatenate(values), getattr(whole, field))
    assert len(whole) == 1000


def test_a_damaged_value_is_an_error_in_pieces_too(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, **FIELDS)
    content = bytearray(path.read_bytes())
    at = content.index(EVENTS.t_us.tobytes())
    content[at + 1] ^= 1
    path.write_bytes(content)

    with pytest.raises(RecordingError, match="expected a whole npz archive"):
        list(iterate_windows(path, count=50, **SENSOR))


def test_fields_of_different_lengths_are_refused_in_pieces_too(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, **(FIELDS | {"x": FIELDS["x"][:-1]}))

    with pytest.raises(RecordingError, match="t, x, y and p of one shape"):
        list(iterate_windows(path, count=50, **SENSOR))


def test_members_with_names_beyond_latin_letters_are_read(tmp_path):
    table = np.zeros(len(EVENTS), [*MEMBERS.dtype.descr, ("標", "i4")])
    for name in FIELDS:
        table[name] = MEMBERS[name]
    with pytest.warns(UserWarning, match="Stored array in format 3.0"):
        np.savez(tmp_path / "sample.npz", events=table)
    with pytest.warns(UserWarning, match="Stored array in format 3.0"):
        np.save(tmp_path / "sample.npy", table)

    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(open_recording(path, **SENSOR).events.t_us, EVENTS.t_us)


@pytest.mark.parametrize("deep", [False, True])
def test_frames_of_an_archive_are_unpacked_when_they_are_drawn(tmp_path, monkeypatch, deep):
    monkeypatch.setattr("evlora.recordings.survey.LONG_BYTES", 0)
    path = tmp_path / "sample.npz"
    write_recording(Recording(EVENTS, frames(), "made"), path)
    if deep:
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays["frames"] = arrays["frames"].astype(np.uint16) * 4
        np.savez(path, **arrays)

    found = survey_long_file(path)

    whole = open_recording(path).frames
    np.testing.assert_array_equal(found.frames.take([2, 0]), whole.take([2, 0]))
    np.testing.assert_array_equal(found.frames.end_us, whole.end_us)
