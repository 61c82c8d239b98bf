"""Writing recordings: `write_recording`, and the table of formats behind it."""

from evlora.recordings.writers.table import WRITERS, Writer, write_recording

__all__ = ["WRITERS", "Writer", "write_recording"]
