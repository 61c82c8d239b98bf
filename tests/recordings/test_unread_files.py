"""Files that are known and not read are named, with what to make of them."""

from pathlib import Path

import pytest
from PIL import Image

from evlora.errors import RecordingError
from evlora.recordings import open_recording


@pytest.mark.parametrize(
    ("suffix", "cure"),
    [
        (".heic", "save it as PNG, TIFF or JPEG"),
        (".pkl", "may run code .* numpy.savez"),
        (".parquet", "save it as CSV"),
        (".H264", "ffmpeg -i IN OUT.mp4"),
    ],
)
def test_a_file_that_is_known_by_its_suffix_is_refused_with_the_cure(
    tmp_path: Path, suffix: str, cure: str
):
    path = tmp_path / f"sample{suffix}"
    path.write_bytes(b"\x00\x00\x00\x01")

    with pytest.raises(RecordingError, match=cure):
        open_recording(path)


def test_a_stream_of_jpegs_is_not_its_first_picture(tmp_path: Path):
    Image.new("RGB", (8, 6)).save(tmp_path / "one.jpg")
    path = tmp_path / "stream.mjpeg"
    path.write_bytes(3 * (tmp_path / "one.jpg").read_bytes())

    with pytest.raises(RecordingError, match="bare stream"):
        open_recording(path)


def test_a_jpeg_under_the_suffix_of_a_phone_is_the_picture_that_it_is(tmp_path: Path):
    path = tmp_path / "phone.heic"
    Image.new("RGB", (8, 6), (9, 9, 9)).save(path, "JPEG")

    frames = open_recording(path).frames

    assert frames is not None
    assert (frames.width, frames.height) == (8, 6)
