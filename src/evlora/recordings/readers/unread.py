"""Files that are known by their suffix and not read, and what to make of each kind."""

from pathlib import Path

ARCHIVES = (".gz", ".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".zst", ".lz4")
STREAMS = (
    *(".h264", ".264", ".h265", ".265", ".hevc", ".m2v", ".m4e", ".mjpeg", ".mjpg", ".ivf"),
    *(".obu", ".dv", ".mxf", ".rm", ".swf"),
)
PICTURES = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".exr", ".hdr", ".pfm", ".pam", ".tga"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".psd", ".svg"),
)
CODE = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
TABLES = (".parquet", ".feather", ".arrow", ".xlsx", ".ods", ".json", ".jsonl", ".ndjson")
KINDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (ARCHIVES, "an archive", "unpack it, and open what it holds"),
    (
        STREAMS,
        "a video in a form that is not read, such as a bare stream without times",
        "convert it, for example with: ffmpeg -i IN OUT.mp4",
    ),
    (PICTURES, "a picture of a kind that is not read", "save it as PNG, TIFF or JPEG"),
    (CODE, "a file of Python objects, which may run code", "save its arrays with numpy.savez"),
    (
        TABLES,
        "a table of a kind that is not read",
        "save it as CSV with the columns t, x, y and p, or as npz",
    ),
)
"""Suffixes, what they stand for, and the cure."""


def why_not_read(path: Path, *, said: str | None) -> str | None:
    """What the file is by its suffix, and what to do; None where nothing is known.

    Args:
        path: The file.
        said: The format that its header states, which is believed; the picture that a bare stream
            begins with is not the file.
    """
    suffix = path.suffix.lower()
    if said is not None and suffix not in STREAMS:
        return None
    for suffixes, what, cure in KINDS:
        if suffix in suffixes:
            return f"{path}: expected a recording, got {what} by its suffix {path.suffix}; {cure}"
    return None
