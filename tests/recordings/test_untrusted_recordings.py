"""Recordings that others made: only the formats of the table, no other file, and bounded sizes.

The inputs are harmless; they only look like what could do harm.
"""

import os
import subprocess
import time
import zipfile
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from evlora.errors import RecordingError, SensorSizeError
from evlora.recordings import open_recording
from evlora.recordings.readers.images import read_images

PICTURE = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
FIELDS = {"t": [1, 2, 3], "x": [0, 1, 2], "y": [2, 1, 0], "p": [1, 0, 1]}
SENSOR = {"width": 8, "height": 8}


def opens(path: Path):
    return open_recording(path, **SENSOR)


@pytest.mark.parametrize("format", ["EPS", "PDF", "ICO", "TGA", "PCX", "ICNS"])
def test_a_picture_of_a_format_that_is_not_in_the_table_is_refused(tmp_path, format, monkeypatch):
    def started(*words, **_):
        raise AssertionError(f"a program was started: {words}")

    monkeypatch.setattr(subprocess, "Popen", started)
    made = tmp_path / f"made.{format.lower()}"
    PICTURE.resize((16, 16)).save(made, format)
    path = tmp_path / "frame.png"
    path.write_bytes(made.read_bytes())

    with pytest.raises(RecordingError, match="cannot identify image file"):
        read_images(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF"])
def test_a_picture_of_the_table_is_read_under_the_suffix_of_another(tmp_path, format):
    path = tmp_path / "frame.png"
    PICTURE.save(path, format)

    assert read_images(path)[0].shape == (8, 8, 3)


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "1\n00:00:01,000 --> 00:00:02,000\ntext\n\n",
    ],
    ids=["playlist", "list of files", "address of a stream", "subtitles"],
)
def test_a_video_that_names_other_files_is_refused(tmp_path, content):
    PICTURE.save(tmp_path / "other.gif")
    path = tmp_path / "video.mp4"
    path.write_text(content.format(other=tmp_path / "other.gif"))

    with pytest.raises(RecordingError, match=r"another format|could not decode it"):
        opens(path)


@pytest.mark.parametrize("name", ["frame%d.gif", "concat:a|b.gif", "http:x.gif", "-.gif"])
def test_a_file_whose_name_looks_like_an_address_is_just_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    PICTURE.save(tmp_path / "other.gif")
    (tmp_path / "other.gif").rename(name)

    assert open_recording(name).frames is not None


def hdf5(path: Path, **links) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        for name, values in FIELDS.items():
            if name in links:
                group[name] = links[name]
            else:
                group[name] = np.array(values)
    return path


def test_values_of_an_hdf5_file_that_lie_in_another_file_are_not_read(tmp_path):
    values = tmp_path / "values.bin"
    values.write_bytes(np.array(FIELDS["t"]).tobytes())
    path = tmp_path / "events.h5"
    with h5py.File(hdf5(path), "a") as file:
        del file["events/t"]
        file["events"].create_dataset("t", (3,), np.int64, external=[(str(values), 0, 24)])

    with pytest.raises(RecordingError, match=r"t lies in another file, .*values\.bin, which is no"):
        opens(path)


def test_a_virtual_data_set_is_not_read(tmp_path):
    other = hdf5(tmp_path / "other.h5")
    path = hdf5(tmp_path / "events.h5")
    layout = h5py.VirtualLayout((3,), np.int64)
    layout[:] = h5py.VirtualSource(str(other), "events/t", shape=(3,))
    with h5py.File(path, "a") as file:
        del file["events/t"]
        file["events"].create_virtual_dataset("t", layout)

    with pytest.raises(RecordingError, match="the data set t is virtual"):
        opens(path)


def test_links_of_an_hdf5_file_into_another_file_are_not_followed(tmp_path):
    other = hdf5(tmp_path / "other.h5")
    with h5py.File(tmp_path / "direct.h5", "w") as file:
        file["events"] = h5py.ExternalLink(str(other), "events")
    with pytest.raises(RecordingError, match="got nothing"):
        opens(tmp_path / "direct.h5")
    with h5py.File(tmp_path / "around.h5", "w") as file:
        file["other"] = h5py.ExternalLink(str(other), "events")
        file["events"] = h5py.SoftLink("/other")
    with pytest.raises(RecordingError, match=r"lies in another file, .*other\.h5"):
        opens(tmp_path / "around.h5")
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["frames"] = h5py.ExternalLink(str(other), "events/t")
    with pytest.raises(RecordingError, match="frames lies in another file"):
        opens(tmp_path / "frames.h5")


def test_links_within_an_hdf5_file_are_followed_and_circles_end(tmp_path):
    path = hdf5(tmp_path / "events.h5", t=h5py.SoftLink("/clock"))
    with h5py.File(path, "a") as file:
        file["clock"] = np.array(FIELDS["t"])
        file["round"] = h5py.SoftLink("/round")
        file["up"] = h5py.SoftLink("/")

    assert opens(path).events.t_us.tolist() == FIELDS["t"]


def test_an_archive_that_would_fill_the_memory_is_refused_at_once(tmp_path, monkeypatch):
    path = tmp_path / "events.npz"
    np.savez_compressed(path, **{name: np.zeros(1 << 20, np.int64) for name in FIELDS})
    begun = time.perf_counter()
    monkeypatch.setenv("EVLORA_LIMITS", "unpacked_bytes=10000")
    with pytest.raises(RecordingError, match=r"bytes once unpacked, .*unpacked_bytes=NUMBER"):
        opens(path)
    assert time.perf_counter() - begun < 1
    monkeypatch.setenv("EVLORA_LIMITS", "archive_members=3")
    with pytest.raises(RecordingError, match="expected at most 3 arrays, got 4"):
        opens(path)


def test_an_array_that_states_more_values_than_it_has_is_refused(tmp_path):
    path = tmp_path / "events.npz"
    header = BytesIO()
    about = {"descr": "<i8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, about)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t.npy", header.getvalue() + bytes(80))

    with pytest.raises(RecordingError, match=r"t\.npy states 8796093022208 bytes of values"):
        opens(path)


def test_a_picture_or_a_frame_beyond_the_limit_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch
):
    PICTURE.save(tmp_path / "a.png")
    PICTURE.save(tmp_path / "a.gif")
    monkeypatch.setenv("EVLORA_LIMITS", "picture_px=63")
    for name in ("a.png", "a.gif"):
        with pytest.raises(RecordingError, match="of at most 63 pixels, got 8×8"):
            open_recording(tmp_path / name)
    monkeypatch.setenv("EVLORA_LIMITS", "picture_px=64")
    assert open_recording(tmp_path / "a.png").frames.width == 8


@pytest.mark.parametrize("size", [(65_535, 65_535), (1 << 16, 257)])
def test_a_sensor_whose_images_would_fill_the_memory_is_refused(tmp_path, size):
    path = tmp_path / "events.csv"
    path.write_text("t,x,y,p\n1,2,3,1\n")
    with pytest.raises(SensorSizeError, match=r"16,777,216 pixels in all.*sensor_px=NUMBER"):
        open_recording(path, width=size[0], height=size[1])
    assert open_recording(path, width=4096, height=4096).events.width == 4096


def test_special_files_are_refused_wherever_a_recording_is_opened(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    os.mkfifo(folder / "0.png")
    paths = [folder, folder / "0.png", Path("/dev/zero")]
    for suffix in (".aedat4", ".raw", ".h5", ".mat", ".npz", ".npy", ".txt", ".bag", ".mp4"):
        os.mkfifo(tmp_path / f"events{suffix}")
        paths.append(tmp_path / f"events{suffix}")
    for path in paths:
        with pytest.raises(RecordingError, match="expected a file or a folder, got a"):
            open_recording(path)
