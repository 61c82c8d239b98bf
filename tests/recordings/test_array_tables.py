"""npy, npz, HDF5 and MATLAB files as people have them: the fields are found, or named."""

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import iterate_windows, open_recording
from evlora.recordings.readers.mat_elements import ElementCheck

SENSOR = {"width": 346, "height": 260}
COUNT = 1000
RNG = np.random.default_rng(0)
T = np.sort(RNG.integers(0, 100_000, COUNT))
X, Y = RNG.integers(0, 346, COUNT), RNG.integers(0, 260, COUNT)
P = RNG.integers(0, 2, COUNT)
X[0], Y[0] = 345, 259


def require_events(recording):
    events = recording.events
    for values, expected in ((events.t_us, T), (events.x, X), (events.y, Y)):
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(events.polarity, P == 1)


def structured(**types):
    events = np.zeros(COUNT, list(types.items()))
    for name, values in zip(events.dtype.names, (X, Y, T, P), strict=True):
        events[name] = values
    return events


# npz and npy


@pytest.mark.parametrize(("scale", "times"), [(0.001, T), (0.000001, T * 1000)])
def test_an_npz_of_eventcv_states_the_unit_of_its_times(tmp_path, scale, times):
    path = tmp_path / "eventcv.npz"
    np.savez(path, t=times, x=X, y=Y, p=P, width=[346], height=[260], timestamp_scale_ms=[scale])
    require_events(open_recording(path))


@pytest.mark.parametrize("scale", [[0.5], ["ms"], []])
def test_an_npz_of_eventcv_in_another_unit_is_refused(tmp_path, scale):
    path = tmp_path / "eventcv.npz"
    np.savez(path, t=T, x=X, y=Y, p=P, width=[346], height=[260], timestamp_scale_ms=scale)
    with pytest.raises(RecordingError, match="timestamp_scale_ms"):
        open_recording(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("name", "values"), [("t", T), ("x", X), ("p", P)])
def test_values_that_are_not_finite_are_refused(tmp_path, name, values, value):
    fields = {"t": T, "x": X, "y": Y, "p": P} | {name: np.where(T[1] == T, value, values)}
    np.savez(tmp_path / "sample.npz", **fields)

    with pytest.raises(RecordingError, match=f"expected {name} as"):
        open_recording(tmp_path / "sample.npz", **SENSOR)


def test_an_array_of_objects_beside_the_events_is_not_opened(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=T, x=X, y=Y, p=P, meta=np.array([{"subject": 3}], object))
    recording = open_recording(path, **SENSOR)
    require_events(recording)
    assert "meta holds Python's objects" in recording.remarks[0]

    np.savez(path, t=T, x=X, y=Y, p=P.astype(object))
    with pytest.raises(RecordingError, match="p holds Python's objects and was skipped"):
        open_recording(path, **SENSOR)


@pytest.mark.parametrize("name", ["event_data", "events", "arr_0"])
def test_an_npz_with_one_structured_array_is_read(tmp_path, name):
    path = tmp_path / "n01440764_10026.npz"
    np.savez_compressed(path, **{name: structured(x="<u2", y="<u2", t="<i8", p="?")})

    require_events(open_recording(path, **SENSOR))


def test_an_npz_of_evlab_gives_its_sensor_and_passes_over_its_labels(tmp_path):
    path = tmp_path / "sample.npz"
    events = structured(x="<u2", y="<u2", t="<i8", p="i1")
    np.savez(path, events=events, width=346, height=260, signal=P == 1)

    recording = open_recording(path)

    require_events(recording)
    assert (recording.events.width, recording.events.height) == (346, 260)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("is_across", [False, True])
def test_the_caller_names_the_columns_of_a_plain_array(tmp_path, dtype, order, is_across):
    rows = np.stack([X, Y, T, P], 1).astype(dtype)
    rows = np.asarray(rows.T if is_across else rows, order=order)
    np.save(tmp_path / "sample.npy", rows)
    np.savez(tmp_path / "sample.npz", data=rows)

    for path in (tmp_path / "sample.npy", tmp_path / "sample.npz"):
        with pytest.raises(RecordingError, match=r"does not state which column .*--columns"):
            open_recording(path, **SENSOR)
        require_events(open_recording(path, columns="x,y,t,p", **SENSOR))
        with pytest.raises(RecordingError, match=r"expected 5 columns as columns= states"):
            open_recording(path, columns="x,y,t,p,other", **SENSOR)


def test_a_plain_npy_is_read_in_pieces_and_up_to_its_cut(tmp_path, monkeypatch):
    from evlora.recordings.readers import npy

    monkeypatch.setattr(npy, "CHUNK_EVENTS", 7)
    path = tmp_path / "sample.npy"
    np.save(path, np.stack([T, X, Y, P], 1))
    windows = iterate_windows(path, count=100, columns="t,x,y,p", **SENSOR)
    assert sum(len(window.events) for window in windows) == COUNT
    path.write_bytes(path.read_bytes()[:-50])

    with pytest.warns(RecordingWarning, match="the file ends after 998"):
        events = open_recording(path, columns="t,x,y,p", **SENSOR).events

    np.testing.assert_array_equal(events.x, X[:998])


def test_the_caller_names_arrays_and_members_by_their_names(tmp_path):
    columns = "t=stamps,x=col,y=row,p=sign"
    np.savez(tmp_path / "a.npz", stamps=T, col=X, row=Y, sign=P, t=np.arange(COUNT))
    np.save(tmp_path / "b.npy", structured(col="<u2", row="<u2", stamps="<i8", sign="?"))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name, values in (("stamps", T), ("col", X), ("row", Y), ("sign", P)):
            file[f"a/b/{name}"] = values

    for name in ("a.npz", "b.npy", "c.h5"):
        require_events(open_recording(tmp_path / name, columns=columns, **SENSOR))


def test_two_arrays_for_one_field_ask_for_the_right_one(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=T, timestamps=T, x=X, y=Y, p=P)

    with pytest.raises(RecordingError, match=r"one name per field, got t, timestamps.*--columns"):
        open_recording(path, **SENSOR)
    require_events(open_recording(path, columns="t=t,x=x,y=y,p=p", **SENSOR))


@pytest.mark.parametrize(
    ("name", "times"), [("t_ns", 1000 * T), ("ts_ms", T / 1000), ("time_s", T / 1e6), ("t_us", T)]
)
def test_the_unit_in_the_name_of_the_times_is_used(tmp_path, name, times):
    path = tmp_path / "sample.npz"
    np.savez(path, **{name: times}, x=X, y=Y, p=P)

    recording = open_recording(path, **SENSOR)

    require_events(recording)
    assert any(f"by the name {name}" in remark for remark in recording.remarks)


def test_epoch_times_in_nanoseconds_are_not_lost(tmp_path):
    path = tmp_path / "sample.npz"
    start_us = 1_764_000_000_000_000
    np.savez(path, t=(start_us + T) * 1000, x=X, y=Y, p=P)

    np.testing.assert_array_equal(open_recording(path, **SENSOR).events.t_us, start_us + T)


def test_times_beyond_reason_in_most_of_a_file_are_refused(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=T + 5 * 10**18, x=X, y=Y, p=P)

    with pytest.raises(
        RecordingError, match=r"1000 have times beyond .*the right columns and unit"
    ):
        open_recording(path, **SENSOR)


@pytest.mark.parametrize(
    "stated", [{"sensor_size": (346, 260, 2)}, {"resolution": (346, 260)}, {"geometry": "346x260"}]
)
def test_the_sensor_in_an_array_is_used(tmp_path, stated):
    path = tmp_path / "sample.npz"
    np.savez(path, t=T, x=X, y=Y, p=P, **stated)

    events = open_recording(path).events

    assert (events.width, events.height) == (346, 260)


def test_companions_of_a_mac_inside_an_archive_are_passed_over(tmp_path):
    import zipfile

    path = tmp_path / "sample.npz"
    np.savez(path, t=T, x=X, y=Y, p=P)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._t.npy", b"\0\5\x16\7" + bytes(60))

    require_events(open_recording(path, **SENSOR))


# HDF5


def test_the_resolution_of_event_utils_is_rows_and_columns(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        for name, values in (("xs", X), ("ys", Y), ("ts", T / 1e6), ("ps", P.astype(bool))):
            file.create_dataset(f"events/{name}", data=values, compression="gzip")
        file.attrs["sensor_resolution"] = (260, 346)

    recording = open_recording(path)

    require_events(recording)
    assert (recording.events.width, recording.events.height) == (346, 260)


def test_hdf5_of_v2e_is_read_with_its_frames(tmp_path):
    path = tmp_path / "sample.h5"
    frames = RNG.integers(0, 256, (3, 260, 346)).astype(np.uint8)
    with h5py.File(path, "w") as file:
        rows = np.stack([T, X, Y, P], 1).astype(np.uint32)
        file.create_dataset("events", data=rows, maxshape=(None, 4), compression="gzip")
        file["frame"], file["frame_ts"] = frames, np.array([0, 50_000, 100_000], np.uint32)

    recording = open_recording(path)

    require_events(recording)
    assert any("t x y p, as v2e writes them" in remark for remark in recording.remarks)
    assert (recording.events.width, recording.events.height) == (346, 260)
    np.testing.assert_array_equal(recording.frames.take([2])[0, ..., 1], frames[2])
    assert recording.frames.end_us.tolist() == [0, 50_000, 100_000]


def test_hdf5_of_mvsec_is_read_with_its_frames(tmp_path):
    path = tmp_path / "sample.hdf5"
    start_s = 1506117900.0
    with h5py.File(path, "w") as file:
        for eye in ("left", "right"):
            rows = np.stack([X, Y, start_s + T / 1e6, 2.0 * P - 1], 1)
            file[f"davis/{eye}/events"] = rows
            file[f"davis/{eye}/image_raw"] = np.full((2, 260, 346), 7, np.uint8)
            file[f"davis/{eye}/image_raw_ts"] = np.array([start_s, start_s + 0.05])
            file[f"davis/{eye}/imu"] = np.zeros((5, 6))

    with pytest.warns(RecordingWarning, match="events in /davis/right too; /davis/left was read"):
        recording = open_recording(path)

    np.testing.assert_array_equal(recording.events.t_us - round(start_s * 1e6), T)
    np.testing.assert_array_equal(recording.events.polarity, P == 1)
    assert (recording.events.width, recording.frames.width) == (346, 346)
    assert recording.frames.end_us[1] == round((start_s + 0.05) * 1e6)


def test_a_plain_hdf5_data_set_that_nothing_names_is_asked_about(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        file["events"] = np.stack([X, Y, T, P], 1).astype(np.uint32)  # not v2e's order

    with pytest.raises(RecordingError, match=r"/events does not state which column .*--columns"):
        open_recording(path, **SENSOR)
    require_events(open_recording(path, columns="x,y,t,p", **SENSOR))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("columns", ["x", "y", "t", "p"]), ("order", "xytp"), ("names", "x, y, timestamp, polarity")],
)
def test_the_attribute_that_names_the_columns_is_used(tmp_path, attribute, value):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        file["deep/er/rows"] = np.stack([X, Y, T, P], 1)
        file["deep/er/rows"].attrs[attribute] = value

    require_events(open_recording(path, **SENSOR))


def test_the_attribute_that_states_the_unit_is_used(tmp_path):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        for name, values in (("x", X), ("y", Y), ("ts", 1000 * T), ("polarity", P)):
            file[f"dvs/left/events/{name}"] = values
        file["dvs/left/events/ts"].attrs["units"] = "ns"

    require_events(open_recording(path, **SENSOR))
    with h5py.File(path, "r+") as file:
        file["dvs/left/events/ts"].attrs["units"] = "ticks"
    with pytest.raises(RecordingError, match=r"expected s, ms, us or ns, got 'ticks'"):
        open_recording(path, **SENSOR)
    require_events(open_recording(path, unit="ns", **SENSOR))


@pytest.mark.parametrize("is_fixed", [False, True])
def test_tables_as_pandas_lays_them_down_are_read(tmp_path, is_fixed):
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        if is_fixed:  # DataFrame.to_hdf(…)
            file["events/axis0"] = np.array([b"t", b"x", b"y", b"p"])
            file["events/axis1"] = np.arange(COUNT)
            file["events/block0_items"] = np.array([b"t", b"x", b"y", b"p"])
            file["events/block0_values"] = np.stack([T, X, Y, P], 1)
        else:  # …, format="table", data_columns=True
            table = np.zeros(
                COUNT, [("index", "i8"), ("t", "i8"), ("x", "i8"), ("y", "i8"), ("p", "i8")]
            )
            table["t"], table["x"], table["y"], table["p"] = T, X, Y, P
            file["events/table"] = table

    require_events(open_recording(path, **SENSOR))


def test_columns_along_the_first_axis_are_read_in_pieces(tmp_path, monkeypatch):
    from evlora.recordings.readers import hdf5

    monkeypatch.setattr(hdf5, "READ_EVENTS", 64)
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w") as file:
        rows = np.stack([T, X, Y, P])
        file.create_dataset("data", data=rows, chunks=(1, 100), compression="gzip")

    require_events(open_recording(path, columns="t,x,y,p", **SENSOR))


# MATLAB


def as_matlab_73(path, variables):
    """What `save -v7.3` writes: HDF5 behind 512 bytes of text, arrays with their axes swapped."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            file[name] = np.atleast_2d(np.asarray(values, np.float64)).T.reshape(
                np.atleast_2d(values).shape[::-1]
            )
        file["#refs#/a"] = np.zeros(4)
    data = bytearray(path.read_bytes())
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5"
    data[: len(text)] = text
    path.write_bytes(data)


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_matlab_variables_and_structs_are_read(tmp_path, is_compressed, axis, depth):
    content = {"ts": T.astype(float), "x": X.astype(float), "y": Y, "p": P}
    for name in ("polarity", "data", "TD")[:depth]:
        content = {name: content}
    path = tmp_path / "sample.mat"
    savemat(path, content | {"note": "text"}, do_compression=is_compressed, oned_as=axis)

    recording = open_recording(path, **SENSOR)

    require_events(recording)
    assert recording.format == "mat"


def test_a_file_of_matlab_4_which_has_no_header_is_known_by_its_suffix(tmp_path):
    path = tmp_path / "sample.mat"
    fields = {
        name: values.astype(np.float64) for name, values in zip("txyp", (T, X, Y, P), strict=True)
    }
    savemat(path, fields, format="4")

    recording = open_recording(path, **SENSOR)

    require_events(recording)
    assert recording.format == "mat"


def test_of_two_cameras_in_a_matlab_file_the_first_is_read_and_the_other_named(tmp_path):
    path = tmp_path / "sample.mat"
    camera = {"ts": T, "x": X, "y": Y, "p": P}
    savemat(path, {"left": camera, "right": camera | {"p": 1 - P}})

    with pytest.warns(RecordingWarning, match="events in right too; left were read"):
        require_events(open_recording(path, **SENSOR))


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_array_that_claims_to_be_complex_and_is_not_is_refused(tmp_path, is_packed):
    # scipy would look for the second half of its values behind it, and end the process.
    path = tmp_path / "sample.mat"
    rows = np.stack([T, X, Y, P], 1).astype(np.float64)
    savemat(path, {"events": rows, "width": 346})
    content = bytearray(path.read_bytes())
    content[128 + 17] |= 8
    if is_packed:
        length = int.from_bytes(content[132:136], "little")
        packed = zlib.compress(content[128 : 136 + length])
        tag = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
        content = content[:128] + tag + packed
    path.write_bytes(content)

    with pytest.raises(RecordingError, match="an array that lacks 1 of its elements"):
        open_recording(path, **SENSOR, columns="t,x,y,p")


def test_matlab_7_3_is_read_as_the_hdf5_that_it_is(tmp_path):
    path = tmp_path / "sample.mat"
    as_matlab_73(path, {f"events/{name}": v for name, v in zip("txyp", (T, X, Y, P), strict=True)})

    recording = open_recording(path, **SENSOR)

    require_events(recording)
    assert recording.format == "mat"


@pytest.mark.parametrize("is_new", [False, True])
def test_the_caller_names_the_columns_of_a_matlab_matrix(tmp_path, is_new):
    path = tmp_path / "sample.mat"
    rows = np.stack([X, Y, P, T / 1000], 1)
    if is_new:
        with h5py.File(path, "w", userblock_size=512) as file:
            file["rows"] = rows.T  # MATLAB lays down one column after the other
        path.write_bytes(b"MATLAB 7.3 MAT-file, Platform" + path.read_bytes()[29:])
    else:
        savemat(path, {"rows": rows})

    with pytest.raises(RecordingError, match=r"rows does not state which column"):
        open_recording(path, **SENSOR)
    require_events(open_recording(path, columns="x,y,p,t", unit="ms", **SENSOR))


def test_matlab_events_that_count_from_one_are_moved(tmp_path):
    # Read_Ndataset.m of N-MNIST's authors: the first pixel is 1, polarity 1 is OFF and 2 is ON.
    path = tmp_path / "sample.mat"
    savemat(path, {"TD": {"x": X + 1.0, "y": Y + 1.0, "p": P + 1.0, "ts": T.astype(float)}})

    recording = open_recording(path, **SENSOR)

    require_events(recording)
    assert any("count from 1" in remark for remark in recording.remarks)


def test_matlab_pixels_with_a_0_do_not_count_from_one(tmp_path):
    path = tmp_path / "sample.mat"
    savemat(path, {"t": T, "x": X - X.min(), "y": Y, "p": P + 1})

    events = open_recording(path, **SENSOR).events

    np.testing.assert_array_equal(events.x, X - X.min())
    np.testing.assert_array_equal(events.y, Y)
    np.testing.assert_array_equal(events.polarity, P == 1)


def test_a_matlab_file_that_unpacks_to_more_than_it_may_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "sample.mat"
    savemat(path, {"t": np.zeros(1_000_000)}, do_compression=True)
    monkeypatch.setenv("EVLORA_LIMITS", f"unpacked_bytes={1 << 20}")

    with pytest.raises(RecordingError, match=r"at most 1048576 bytes once unpacked, got at least"):
        open_recording(path, **SENSOR)


def test_a_damaged_matlab_file_is_refused(tmp_path):
    path = tmp_path / "sample.mat"
    savemat(path, {"t": T, "x": X, "y": Y, "p": P}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(RecordingError, match="expected a whole MATLAB file"):
        open_recording(path, **SENSOR)


def test_a_matlab_struct_array_of_more_parts_than_bytes_is_refused(tmp_path):
    path = tmp_path / "sample.mat"
    savemat(path, {"TD": {"ts": T, "x": X, "y": Y, "p": P}})
    data = bytearray(path.read_bytes())
    at = data.index(b"\5\0\0\0\x08\0\0\0\1\0\0\0\1\0\0\0")  # the struct's dimensions
    data[at + 10] = 2
    path.write_bytes(data)

    with pytest.raises(RecordingError, match=r"struct array of 131073 parts in \d+ bytes"):
        open_recording(path, **SENSOR)


def test_a_matlab_element_of_no_known_type_is_refused():
    check = ElementCheck(Path("sample.mat"), "little")
    with pytest.raises(RecordingError, match=r"got an element of type 8 and 0 bytes"):
        check.add((8).to_bytes(4, "little") + bytes(4))


def test_the_elements_of_a_sound_matlab_variable_pass_in_any_pieces(tmp_path):
    path = tmp_path / "sample.mat"
    savemat(path, {"TD": {"ts": T, "x": X, "y": Y, "p": P}})
    data = path.read_bytes()[128:]
    for size in (5, 64, len(data)):
        check = ElementCheck(path, "little")
        for at in range(0, len(data), size):
            check.add(data[at : at + size])
        check.finish()


def test_a_matlab_array_of_a_class_that_scipy_does_not_know_is_refused(tmp_path):
    path = tmp_path / "sample.mat"
    savemat(path, {"t": T, "x": X, "y": Y, "p": P})
    data = bytearray(path.read_bytes())
    data[128 + 16] = 0xEE  # the class in the first variable's flags
    path.write_bytes(data)

    with pytest.raises(RecordingError, match="expected a whole MATLAB file"):
        open_recording(path, **SENSOR)
