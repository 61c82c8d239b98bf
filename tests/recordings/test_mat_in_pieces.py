"""MATLAB files of version 5 to 7 read in pieces: the same events as by scipy at once."""

import numpy as np
import pytest
from recording_samples import stream
from scipy.io import savemat

from evlora.errors import RecordingError
from evlora.recordings import iterate_windows, open_recording
from evlora.recordings.readers import mat_variables
from evlora.recordings.survey import survey_long_file

SENSOR = {"width": 64, "height": 48}
EVENTS = stream(1000, width=64, height=48)
FIELDS = {"t": EVENTS.t_us, "x": EVENTS.x, "y": EVENTS.y, "p": EVENTS.polarity}
ROWS = np.stack([values.astype(np.float64) for values in FIELDS.values()], 1)

FILES = {
    "fields": (FIELDS, None),
    "doubles": ({name: values.astype(np.float64) for name, values in FIELDS.items()}, None),
    "columns of one": ({name: values[:, None] for name, values in FIELDS.items()}, None),
    "sizes, units and text": (
        FIELDS | {"width": 64, "height": 48.0, "unit": "us", "t_offset": 7, "subject": "Ä"},
        None,
    ),
    "columns": ({"events": ROWS}, "t,x,y,p"),
    "a row for each field": ({"events": ROWS.T}, "t,x,y,p"),
    "a struct": ({"TD": FIELDS}, None),
    "a struct beside fields": (FIELDS | {"about": {"name": "a"}}, None),
    "pixels from one": (
        FIELDS | {"p": FIELDS["p"] + 1.0, "x": FIELDS["x"] + 1, "y": FIELDS["y"] + 1},
        None,
    ),
    "a long name": (FIELDS | {"n" * 31: np.arange(5)}, None),
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_pieces_hold_the_events_of_the_whole(tmp_path, monkeypatch, name, is_packed):
    variables, columns = FILES[name]
    path = tmp_path / "sample.mat"
    savemat(path, variables, do_compression=is_packed)
    size = {} if "width" in variables else SENSOR
    recording = open_recording(path, **size, columns=columns)
    monkeypatch.setattr(mat_variables, "CHUNK_EVENTS", 77)
    monkeypatch.setattr("evlora.recordings.survey.LONG_BYTES", 0)

    windows = [w.events for w in iterate_windows(path, count=50, columns=columns, **size)]

    for field in ("t_us", "x", "y", "polarity"):
        values = np.concatenate([getattr(events, field) for events in windows])
        np.testing.assert_array_equal(values, getattr(recording.events, field))
    found = survey_long_file(path, columns=columns, **size)
    assert set(found.summary.remarks) == set(recording.remarks)


@pytest.mark.parametrize("name", ["fields", "a struct"])
def test_of_a_long_file_of_plain_variables_the_beginning_suffices(tmp_path, monkeypatch, name):
    monkeypatch.setattr(mat_variables, "CHUNK_EVENTS", 77)
    monkeypatch.setattr("evlora.recordings.survey.LONG_BYTES", 0)
    monkeypatch.setattr("evlora.recordings.survey.PART_EVENTS", 1)
    path = tmp_path / "sample.mat"
    savemat(path, FILES[name][0])

    found = survey_long_file(path, is_part_enough=True, **SENSOR)

    is_whole = name == "a struct"
    assert found.summary.events == (1000 if is_whole else 77)
    assert (found.part is None) == is_whole


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, is_packed):
    path = tmp_path / "sample.mat"
    savemat(path, {"x": FIELDS["x"], **FIELDS}, do_compression=is_packed)
    content = path.read_bytes()
    for length in (len(content) - 9, len(content) // 2, 300, 140):
        path.write_bytes(content[:length])
        with pytest.raises(RecordingError):
            list(iterate_windows(path, count=50, **SENSOR))
