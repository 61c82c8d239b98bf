"""The table of recording formats: suffix → reader."""

from evlora.recordings.readers.table import FORMATS, Format, open_frames, reader_for

__all__ = ["FORMATS", "Format", "open_frames", "reader_for"]
