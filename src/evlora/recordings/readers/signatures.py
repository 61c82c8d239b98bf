"""Which format a file's first bytes say it is of."""

from pathlib import Path

from evlora.errors import RecordingError
from evlora.recordings.readers.prophesee_header import ENCODINGS, read_header

SIGNATURES = (
    (b"#!AER-DAT4", "aedat4"),
    (b"#!AER-DAT3", "aedat3"),
    (b"#!AER-DAT2", "aedat2"),
    (b"#!AER-DAT1", "aedat1"),
    (b"Event Stream", "es"),
    (b"#ROSBAG", "ros1"),
    (b"\x89MCAP0\r\n", "ros2"),
    (b"SQLite format 3\x00", "ros2"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"MATLAB 5.0 MAT-file", "mat"),
    (b"MATLAB 7.3 MAT-file", "mat"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"\x89PNG\r\n", "images"),
    (b"\xff\xd8\xff", "images"),
    (b"GIF87a", "images"),  # which has no times; FFmpeg takes all its pictures for one
    (b"GIF89a", "video"),
)


def named_by_header(path: Path) -> str | None:
    """The name of the format by the file's header; None where it does not say.

    Raises:
        RecordingError: The header names an encoding that is known by name alone, such as EVT 4.0.
    """
    with path.open("rb") as file:
        head = file.read(20)
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    if path.suffix.lower() == ".mat" and 0 in head[:4]:
        return "mat"  # of MATLAB 4, which begins with the first variable
    if not head.startswith(b"%"):
        return None
    header = read_header(path)
    if header.encoding in ENCODINGS:
        return header.encoding
    if header.encoding is not None:
        raise RecordingError(
            f"{path}: its header names the encoding {header.encoding}, which is not read here; "
            f"Prophesee's encodings that are read are {', '.join(ENCODINGS)}"
        )
    return "dat" if "data" in header.fields else None
