"""Which format a file's first bytes say it is of."""

from pathlib import Path

from evlora.recordings.readers.prophesee_header import read_header

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
)
ENCODINGS = ("evt2", "evt2.1", "evt3")


def named_by_header(path: Path) -> str | None:
    """The name of the format by the file's header; None where it does not say."""
    with path.open("rb") as file:
        head = file.read(20)
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    if not head.startswith(b"%"):
        return None
    header = read_header(path)
    if header.encoding in ENCODINGS:
        return header.encoding
    is_dat = "data" in header.fields and header.encoding is None
    return "dat" if is_dat else None
