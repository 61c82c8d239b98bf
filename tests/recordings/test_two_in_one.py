"""Files that hold two recordings: the one that is not read is named, and can be chosen."""

import struct
import warnings

import av
import h5py
import numpy as np
import pytest
from PIL import Image
from recording_samples import frames, stream, written
from ros_samples import BagWriter
from scipy.io import savemat

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import open_recording
from evlora.recordings.readers.table import open_frames
from evlora.recordings.writers import aedat4 as aedat4_writer

SENSOR = {"width": 346, "height": 260}
LEFT, RIGHT = stream(900, width=346, height=260), stream(700, width=346, height=260, seed=3)


def vectors(events):
    return {"t": events.t_us, "x": events.x, "y": events.y, "p": events.polarity.view(np.uint8)}


def structured(events):
    fields = vectors(events)
    rows = np.zeros(len(events), [(name, values.dtype) for name, values in fields.items()])
    for name, values in fields.items():
        rows[name] = values
    return rows


def plain(events):
    return np.stack([values.astype(np.int64) for values in vectors(events).values()], 1)


def chosen(name, *, mark="/", fields="txyp"):
    return ",".join(f"{f}={name}{mark}{place}" for f, place in zip("txyp", fields, strict=True))


def require(path, expected, columns=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        recording = open_recording(path, **SENSOR, columns=columns)
    np.testing.assert_array_equal(recording.events.t_us, expected.t_us)
    np.testing.assert_array_equal(recording.events.x, expected.x)
    np.testing.assert_array_equal(recording.events.polarity, expected.polarity)
    return [*recording.warnings, *recording.remarks]


ARRAYS = {
    "an array beside fields": ({**vectors(LEFT), "events": structured(RIGHT)}, "events in events"),
    "two arrays": ({"left": structured(LEFT), "right": structured(RIGHT)}, "events in right"),
    "columns beside fields": ({**vectors(LEFT), "right": plain(RIGHT)}, "not read: right"),
    "columns beside members": ({"events": structured(LEFT), "b": plain(RIGHT)}, "not read: b of"),
    "fields of another name": (
        {**vectors(LEFT), **{f"right_{name}": values for name, values in vectors(RIGHT).items()}},
        "right_t",
    ),
    "numbered fields": (
        {**vectors(LEFT), **{f"{name}2": values for name, values in vectors(RIGHT).items()}},
        "t2, ",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays_of_a_second_recording_are_named(tmp_path, suffix, name):
    arrays, said = ARRAYS[name]
    path = tmp_path / f"two{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for array, values in arrays.items():
                file[array] = values
    if (name, suffix) == ("two arrays", ".h5"):
        said = "events in right"

    assert any(said in text for text in require(path, LEFT))


def test_the_second_recording_of_an_npz_can_be_chosen(tmp_path):
    np.savez(tmp_path / "members.npz", left=structured(LEFT), right=structured(RIGHT))
    np.savez(tmp_path / "columns.npz", events=structured(LEFT), right=plain(RIGHT))

    require(tmp_path / "members.npz", RIGHT, chosen("right"))
    require(tmp_path / "columns.npz", RIGHT, chosen("right", fields="0123"))
    with pytest.raises(RecordingError, match="expected right/0, right/1, right/2, right/7"):
        open_recording(tmp_path / "columns.npz", **SENSOR, columns=chosen("right", fields="0127"))


def test_the_second_camera_of_hdf5_is_chosen_with_its_frames_unit_and_offset(tmp_path):
    path = tmp_path / "mvsec.h5"
    with h5py.File(path, "w") as file:
        for number, (eye, events) in enumerate((("left", LEFT), ("right", RIGHT))):
            rows = plain(events)[:, [1, 2, 0, 3]].astype(np.float64)
            file[f"davis/{eye}/events"] = rows * (1, 1, 1e-6, 2) - (0, 0, 0, 1)
            file[f"davis/{eye}/image_raw"] = np.full((2, 260, 346), 7 + number, np.uint8)
    said = require(path, LEFT)
    assert any("events in /davis/right too" in text for text in said)
    columns = chosen("davis/right/events", fields="2013")
    require(path, RIGHT, columns)
    assert open_recording(path, columns=columns).frames[0].max() == 8

    path = tmp_path / "groups.h5"
    with h5py.File(path, "w") as file:
        for eye, events in (("left", LEFT), ("right", RIGHT)):
            for field, values in vectors(events).items():
                file[f"{eye}/{field}"] = values
            file[f"{eye}/t_offset"] = 0 if eye == "left" else 5_000_000
        file["right/t"].attrs["unit"] = "us"
    recording = open_recording(path, **SENSOR, columns=chosen("right"))
    np.testing.assert_array_equal(recording.events.t_us, RIGHT.t_us + 5_000_000)
    assert any("not read: left/p, left/t" in remark for remark in recording.remarks)


def test_further_frames_in_hdf5_are_named(tmp_path):
    path = written(".h5")(tmp_path / "two")
    with h5py.File(path, "a") as file:
        file["frames"] = np.zeros((3, 48, 64, 3), np.uint8)
        file["right/frames"] = np.zeros((3, 48, 64), np.uint8)

    (remark,) = (text for text in open_recording(path).remarks if "not read" in text)

    assert remark.endswith("not read: right/frames of shape (3, 48, 64)")


def test_structs_cells_and_matrices_beside_the_events_of_a_matlab_file_are_named(tmp_path):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = plain(LEFT), plain(RIGHT)
    cameras = np.empty((1, 2), [(name, object) for name in "txyp"])
    for place, events in enumerate((LEFT, RIGHT)):
        for name, values in vectors(events).items():
            cameras[0, place][name] = values
    savemat(tmp_path / "cells.mat", {**vectors(LEFT), "cells": cells})
    savemat(tmp_path / "structs.mat", {"cam": cameras})
    savemat(tmp_path / "both.mat", {"left": vectors(LEFT), "cam": cameras, "rows": plain(RIGHT)})

    assert any("not read: cells{1} of" in text for text in require(tmp_path / "cells.mat", LEFT))
    said = require(tmp_path / "structs.mat", LEFT)
    assert any("events in cam(2) too" in text for text in said)
    said = require(tmp_path / "both.mat", LEFT)
    assert any("events in cam(1), cam(2) too; left were read" in text for text in said)
    assert any("not read: rows of shape (700, 4)" in text for text in said)
    require(tmp_path / "structs.mat", RIGHT, chosen("cam(2)", mark="."))
    require(tmp_path / "cells.mat", RIGHT, chosen("cells{2}", fields="0123"))


def test_a_table_whose_rows_number_their_cameras_is_read_with_a_warning(tmp_path):
    rows = np.concatenate(
        [np.c_[plain(events), np.full(len(events), n)] for n, events in enumerate((LEFT, RIGHT))]
    )
    rows = rows[rows[:, 0].argsort(kind="stable")]
    table = np.zeros(len(rows), [(name, "i8") for name in (*"txyp", "camera_id")])
    for place, name in enumerate(table.dtype.names):
        table[name] = rows[:, place]
    np.save(tmp_path / "members.npy", table)
    np.savez(tmp_path / "fields.npz", **{name: table[name] for name in table.dtype.names})
    lines = "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())
    (tmp_path / "lines.csv").write_text("t,x,y,p,camera_id\n" + lines)

    for path in sorted(tmp_path.iterdir()):
        with pytest.warns(RecordingWarning, match="camera_id.* was not read: where it numbers"):
            recording = open_recording(path, **SENSOR)
        assert any("not read: " in remark for remark in recording.remarks)


def test_of_two_cameras_in_aedat4_the_frames_and_triggers_are_those_of_the_events(
    tmp_path, monkeypatch
):
    path = tmp_path / "two.aedat4"
    nodes = "".join(
        f'<node name="{number}"><attr key="originalOutputName">{name}</attr>'
        f'<attr key="typeIdentifier">{kind}</attr><node name="info"><attr key="sizeX">64</attr>'
        f'<attr key="sizeY">48</attr><attr key="source">{camera}</attr></node></node>'
        for number, (kind, name, camera) in enumerate(
            (
                ("FRME", "framesB", "B"),
                ("EVTS", "eventsA", "A"),
                ("EVTS", "eventsB", "B"),
                ("FRME", "framesA", "A"),
            )
        )
    )
    text = f'<dv version="2.0"><node name="outInfo">{nodes}</node></dv>'.encode()
    content = (len(text), text + b"\0", 4)
    header = aedat4_writer._table(b"IOHE", [("i", 0), ("q", -1), ("vector", content)])
    whole = written(".aedat4")(tmp_path / "one").read_bytes()
    at = len(aedat4_writer.MAGIC)
    at += 4 + struct.unpack_from("<I", whole, at)[0]
    packets = whole[at:].replace(struct.pack("<i", 0), struct.pack("<i", 1), 1)
    monkeypatch.setattr(aedat4_writer, "FRAME_STREAM", 3)
    with path.open("wb") as file:
        file.write(aedat4_writer.MAGIC + header + packets)
        aedat4_writer._write_frame(file, np.full((48, 64, 3), 9, np.uint8), 5, 6)
        monkeypatch.setattr(aedat4_writer, "FRAME_STREAM", 0)
        aedat4_writer._write_frame(file, np.full((48, 64, 3), 200, np.uint8), 5, 6)

    with pytest.warns(RecordingWarning, match=r"streams 2 \(eventsB\), 0 \(framesB\) were skipped"):
        recording = open_recording(path)

    assert len(recording.frames) == 1
    assert recording.frames[0].max() == 9


def test_a_part_of_a_ros2_bag_is_called_one(tmp_path):
    with BagWriter(tmp_path / "sample.db3") as bag:
        bag.write_events("/dvs/events", stream())
    about = bag.folder / "metadata.yaml"
    (part,) = bag.folder.glob("*.db3")
    about.write_text(about.read_text().replace(f"- {part.name}", f"- {part.name}\n  - b_1.db3"))

    assert any("one of the 2 files" in remark for remark in open_recording(part).remarks)


def test_triggers_of_another_camera_in_a_bag_are_not_those_of_the_events(tmp_path):
    path = tmp_path / "two.mcap"
    with BagWriter(path) as bag:
        bag.write_events("/left/events", stream())
        for eye, us in (("left", 2), ("right", 7)):
            word = struct.pack("<Q", 1 << 63 | us * 1000)
            bag.write_packet(f"/{eye}/trigger", 1_000_000, "trigger", word)

    recording = open_recording(path)

    assert len(recording.triggers.t_us) == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_second_video_in_a_file_is_named(tmp_path, suffix):
    path = tmp_path / f"two.{suffix}"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream_ in streams:
            stream_.width, stream_.height, stream_.pix_fmt = 64, 48, "yuv420p"
        for image in frames(3).take([0, 1, 2]):
            for stream_ in streams:
                container.mux(stream_.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        for stream_ in streams:
            container.mux(stream_.encode())

    (remark,) = open_recording(path).remarks

    assert "not read: the videos in streams 0:1" in remark


@pytest.mark.parametrize(
    ("names", "is_mixed"),
    [
        (("left_{:03}.png", "right_{:03}.png"), True),
        (("{:03}_cam0.png", "{:03}_cam1.png"), True),
        (("{:03}.png", "{:03}_mask.png"), True),
        (("{:03}.png", "{:03}.jpg"), True),
        (("cam0_{:03}.png",), False),
        (("{0:03}.{0:06}.png",), False),
        (("take2_{:03}.png",), False),
    ],
)
def test_a_folder_with_the_pictures_of_two_cameras_is_read_with_a_warning(
    tmp_path, names, is_mixed
):
    for number in range(4):
        for name in names:
            Image.new("L", (8, 6)).save(tmp_path / name.format(number))
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        open_recording(tmp_path)
        open_frames(tmp_path)
    assert ["names of 2 kinds" in str(warning.message) for warning in noted] == [
        True
    ] * 2 * is_mixed
