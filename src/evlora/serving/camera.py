"""A camera's messages in a decoder's process: what they hold, and the moments that they make up.

A picture ends a moment, whose events are those since the picture before it. Where no pictures are
asked for, each message of events is a moment. With `simulate`, pictures alone come, and the
simulator makes the events between them.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.clips import ClipConfig
from evlora.clips.moment import draw_moment
from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.recordings import EventStream
from evlora.recordings.frames import ImageArray
from evlora.recordings.pictures import require_size
from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.evt3 import Evt3Decoder
from evlora.recordings.simulator import EventSimulator
from evlora.serving.wire import Bytes

RAW_EVENTS, EVT3_WORDS, ENCODED_PICTURE, RAW_PICTURE = range(4)
EVENTS, PICTURES = (RAW_EVENTS, EVT3_WORDS), (ENCODED_PICTURE, RAW_PICTURE)
PICTURE_FORMATS = ("JPEG", "PNG")
RECORD = np.dtype(
    {
        "names": ["t", "x", "y", "p"],
        "formats": ["<i8", "<u2", "<u2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
EVT3_TURN_US = 1 << 24
"""After which the clock in EVT3's words begins anew."""


class DrawnMoment(NamedTuple):
    """A moment as the network takes it."""

    t_us: int
    """When it was complete, on the camera's clock."""
    images: dict[str, Bytes]
    """By modality, uint8, shape (3, H, W)."""


class Camera:
    """Takes one message after the other.

    Args:
        config: How clips are made.
        width: Columns of the sensor.
        height: Rows of the sensor.
        simulate: Whether the events are made from the pictures.

    Raises:
        RecordingError: The sensor is larger than the limit, or events are to be simulated for a
            recognizer that takes none.
    """

    def __init__(self, config: ClipConfig, *, width: int, height: int, simulate: bool) -> None:
        if not 1 <= width * height <= limits().sensor_px:
            raise RecordingError(
                f"camera: expected 1 to {limits().sensor_px:,} pixels, got {width}×{height}; "
                f"{raising('sensor_px')}"
            )
        if simulate and "event" not in config.modalities:
            raise RecordingError(
                "camera: expected a recognizer that takes events, to simulate them; this one takes "
                "frames alone: leave simulate out"
            )
        self.width, self.height = width, height
        self._config = config
        self._simulator = EventSimulator(width=width, height=height) if simulate else None
        self._evt3: Evt3Decoder | None = None
        self._events: list[EventStream] = []
        self._before_us: int | None = None

    def take(
        self, kind: int, payload: Bytes, *, t_us: int, length_us: int, is_skipped: bool
    ) -> DrawnMoment | None:
        """The moment that this message completes, if it does.

        Args:
            kind: What the payload is, 0 to 3.
            payload: The bytes of it.
            t_us: Time of the picture, or of the start of the events.
            length_us: How long the window of the moment is; 0 for what follows from the messages.
            is_skipped: Whether nobody waits for the moment any more: nothing is kept of it.

        Raises:
            RecordingError: The payload is not what it should be.
            DatasetError: The recognizer needs another modality.
        """
        if kind in PICTURES:
            return self._with_picture(self._picture(kind, payload), t_us, length_us)
        if self._simulator is not None:
            raise RecordingError(
                "camera: expected pictures alone, since events are simulated, got events; leave "
                "simulate out to send your own"
            )
        events = self._decoded(kind, payload, t_us)
        if is_skipped:
            return None
        if "rgb" in self._config.modalities:
            self._events.append(events)
            if self._before_us is None:
                self._before_us = t_us
            return None
        end_us = t_us + length_us if length_us else (events.last_us + 1 if len(events) else t_us)
        return self._drawn(None, events, (t_us, end_us), end_us)

    def _with_picture(self, picture: ImageArray, t_us: int, length_us: int) -> DrawnMoment:
        start_us = t_us if self._before_us is None else self._before_us
        if length_us:
            start_us = t_us - length_us
        self._before_us = t_us
        joined = self._joined(picture, t_us)
        events = joined if "event" in self._config.modalities else None
        shown = picture if "rgb" in self._config.modalities else None
        return self._drawn(shown, events, (start_us, t_us), t_us)

    def _joined(self, picture: ImageArray, t_us: int) -> EventStream:
        """The events that belong to a picture."""
        if self._simulator is not None:
            return self._simulator.push(picture, t_us)
        streams, self._events = self._events, []
        return EventStream.from_arrays(
            *(
                np.concatenate([getattr(one, name) for one in streams]) if streams else []
                for name in ("t_us", "x", "y", "polarity")
            ),
            width=self.width,
            height=self.height,
            sort=True,
        )

    def _drawn(
        self,
        picture: ImageArray | None,
        events: EventStream | None,
        window_us: tuple[int, int],
        t_us: int,
    ) -> DrawnMoment:
        rgb, drawn = draw_moment(self._config, frame=picture, events=events, window_us=window_us)
        both = {"rgb": rgb, "event": drawn}
        return DrawnMoment(t_us, {name: x.numpy() for name, x in both.items() if x is not None})

    def _picture(self, kind: int, payload: Bytes) -> ImageArray:
        if kind == ENCODED_PICTURE:
            picture = _decoded_picture(payload)
        else:
            expected = self.height * self.width * 3
            if len(payload) != expected:
                raise RecordingError(
                    f"picture: expected {self.width}×{self.height}×3 = {expected:,} bytes, got "
                    f"{len(payload):,}"
                )
            picture = payload.reshape(self.height, self.width, 3)
        if picture.shape[:2] != (self.height, self.width):
            raise RecordingError(
                f"picture: expected {self.width}×{self.height} pixels as the first message states, "
                f"got {picture.shape[1]}×{picture.shape[0]}"
            )
        return picture

    def _decoded(self, kind: int, payload: Bytes, t_us: int) -> EventStream:
        size = RECORD.itemsize if kind == RAW_EVENTS else 2
        if len(payload) % size:
            raise RecordingError(
                f"events: expected whole records of {size} bytes, got {len(payload):,} bytes"
            )
        if kind == RAW_EVENTS:
            records = payload.view(RECORD)
            fields = [records[name] for name in ("t", "x", "y", "p")]
        else:
            fields = self._from_evt3(payload.view("<u2"), t_us)
        return EventStream.from_arrays(
            *fields, width=self.width, height=self.height, sort=kind == EVT3_WORDS
        )

    def _from_evt3(self, words: NDArray[np.uint16], t_us: int) -> list[NDArray[np.generic]]:
        if self._evt3 is None:
            self._evt3 = Evt3Decoder(0, Findings(Path("events")))
        decoded = self._evt3.decode(words, (words >> 12).astype(np.uint8))
        if self._evt3.base_us == 0 and len(decoded.t_us):
            # The words count 16.8 s; the clock of the messages shows how often that has passed.
            turns = round((t_us - int(decoded.t_us[0])) / EVT3_TURN_US)
            self._evt3.base_us = turns * EVT3_TURN_US
            decoded = decoded._replace(t_us=decoded.t_us + self._evt3.base_us)
        return [decoded.t_us, decoded.x, decoded.y, decoded.polarity]


def _decoded_picture(payload: Bytes) -> ImageArray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(payload.tobytes()), formats=PICTURE_FORMATS) as image:
            require_size("picture", image.width, image.height)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordingError(
            f"picture: expected {' or '.join(PICTURE_FORMATS)}, could not read it: "
            f"{' '.join(str(error).split()[:4])}; send it again"
        ) from error
