"""Texts in HDF5 files whose heap is damaged: HDF5 itself does not come back from some of them."""

import struct

import h5py
import numpy as np
import pytest

from evlora.errors import RecordingError
from evlora.recordings import open_recording

FIELDS = {
    "t": np.arange(50),
    "x": np.arange(50) % 9,
    "y": np.arange(50) % 7,
    "p": np.arange(50) % 2,
}


def with_text(path, place):
    with h5py.File(path, "w") as file:
        for name, values in FIELDS.items():
            file[f"events/{name}"] = values
        if place == "data set":
            file["events/unit"] = "us"
        else:
            {"root": file, "group": file["events"], "times": file["events/t"]}[place].attrs[
                "unit"
            ] = "us"
    return path


PLACES = ("root", "group", "times", "data set")


@pytest.mark.parametrize("place", PLACES)
def test_texts_of_a_sound_file_are_read(tmp_path, place):
    recording = open_recording(with_text(tmp_path / "sample.h5", place), width=9, height=7)

    assert recording.remarks[-1].endswith("times were read as us, by unit")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", PLACES)
def test_a_free_piece_without_a_length_is_refused(tmp_path, place):
    path = with_text(tmp_path / "sample.h5", place)
    data = bytearray(path.read_bytes())
    at = heap = data.index(b"GCOL\x01")
    at += 16
    while (number := struct.unpack_from("<H", data, at)[0]) != 0:
        (length,) = struct.unpack_from("<Q", data, at + 8)
        at += 16 + -(-length // 8) * 8
    assert heap < at < len(data)
    assert number == 0
    struct.pack_into("<Q", data, at + 8, 0)
    path.write_bytes(data)

    with pytest.raises(RecordingError, match=f"heap of its texts is damaged at byte {at}"):
        open_recording(path, width=9, height=7)
