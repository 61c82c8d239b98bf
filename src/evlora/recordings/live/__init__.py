"""A camera, a socket, a pipe or a file that still grows, as moments that come one by one."""

from evlora.recordings.live.cutting import LiveMoment
from evlora.recordings.live.opening import is_stream, open_stream
from evlora.recordings.live.stream import LiveStream

__all__ = ["LiveMoment", "LiveStream", "is_stream", "open_stream"]
