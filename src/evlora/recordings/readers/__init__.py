"""The table of recording formats: suffix → reader."""

from evlora.recordings.readers.table import FORMATS, Format, is_of_events, open_frames, reader_for

__all__ = ["FORMATS", "Format", "is_of_events", "open_frames", "reader_for"]
