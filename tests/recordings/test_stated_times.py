"""What states the unit and the offset of the times in npz, HDF5 and MATLAB files is used."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from evlora.errors import RecordingError
from evlora.recordings import open_recording

SENSOR = {"width": 346, "height": 260}
COUNT = 1000
RNG = np.random.default_rng(0)
T = np.sort(RNG.integers(0, 100_000, COUNT))
X, Y = RNG.integers(0, 346, COUNT), RNG.integers(0, 260, COUNT)
P = RNG.integers(0, 2, COUNT)


def require_times(recording):
    np.testing.assert_array_equal(recording.events.t_us, T)


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5"])
@pytest.mark.parametrize("name", ["unit", "time_unit", "t_units"])
def test_a_unit_that_stands_apart_from_the_times_is_used(tmp_path, suffix, name):
    path = tmp_path / f"sample{suffix}"
    fields = {"t": T / 1000, "x": X, "y": Y, "p": P}
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            for field, values in fields.items():
                file[f"camera/events/{field}"] = values
            file["camera/events"].attrs[name] = "ms"
    else:
        {".npz": np.savez, ".mat": savemat}[suffix](path, **as_saved(suffix, fields, name))

    recording = open_recording(path, **SENSOR)

    require_times(recording)
    assert recording.remarks[-1] == f"{path}: times were read as ms, by {name}"


def as_saved(suffix, fields, name):
    content = {**fields, name: "ms"}
    return content if suffix == ".npz" else {"mdict": content}


@pytest.mark.parametrize("dtype", [np.uint32, np.int32])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_times_of_32_bits_that_begin_again_go_on(tmp_path, dtype, suffix):
    start_us = (1 << 32 if dtype == np.uint32 else 1 << 31) - 50_000
    path = tmp_path / f"sample{suffix}"
    fields = {"t": (T + start_us).astype(dtype), "x": X, "y": Y, "p": P}
    if suffix == ".npz":
        np.savez(path, **fields)
    else:
        rows = np.rec.fromarrays(list(fields.values()), names=list(fields))
        np.save(path, np.asarray(rows))

    recording = open_recording(path, **SENSOR)

    np.testing.assert_array_equal(recording.events.t_us, T + start_us)
    assert recording.warnings == ()
    assert any("clock of 32 bits began again 1 times" in remark for remark in recording.remarks)


def test_a_unit_that_is_none_is_refused_with_the_file_and_the_cure(tmp_path):
    path = tmp_path / "sample.npz"
    np.savez(path, t=T, x=X, y=Y, p=P, unit="ticks")

    with pytest.raises(RecordingError, match=r"sample\.npz: unit states no unit .*'ticks'.*--unit"):
        open_recording(path, **SENSOR)
    require_times(open_recording(path, unit="us", **SENSOR))


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_the_offset_in_an_archive_is_added(tmp_path, suffix):
    path = tmp_path / f"sample{suffix}"
    fields = {"t": T - 1000, "x": X, "y": Y, "p": P, "t_offset": np.int64(1000)}
    if suffix == ".npz":
        np.savez(path, **fields)
    else:
        savemat(path, fields)

    require_times(open_recording(path, **SENSOR))


@pytest.mark.parametrize("dtype", ["M8[us]", "m8[us]", ">M8[us]", "m8[ns]", "m8[ms]"])
def test_times_of_numpys_own_types_carry_their_unit(tmp_path, dtype):
    path = tmp_path / "sample.npz"
    times = T // 1000 * 1000
    np.savez(path, t=times.astype("m8[us]").astype(dtype.replace("M", "m")), x=X, y=Y, p=P)

    np.testing.assert_array_equal(open_recording(path, **SENSOR).events.t_us, times)


def test_a_time_of_numpys_own_type_that_is_none_is_refused(tmp_path):
    path = tmp_path / "sample.npz"
    times = T.astype("m8[us]")
    times[3] = "NaT"
    np.savez(path, t=times, x=X, y=Y, p=P)

    with pytest.raises(RecordingError, match=r"expected t as finite times, got NaT"):
        open_recording(path, **SENSOR)
