"""Cameras that are plugged in, through the maker's driver or neuromorphic-drivers.

Not tested on hardware: the calls are those of dv-processing 2.0.4 and neuromorphic-drivers
0.18.2, as their documentation has them, and the tests' stand-ins have the same interface.
"""

import time
from collections.abc import Iterator
from importlib import import_module
from threading import Event
from typing import Any

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.frames import as_rgb
from evlora.recordings.live.decoding import LiveFrame, Piece

DRIVERS = {"dv": "dv_processing", "neuromorphic": "neuromorphic_drivers"}
"""Name in `camera:NAME` → package, in the order in which `camera:` tries them."""
IDLE_S = 0.001
"""How soon a driver without news is asked again."""


class Device:
    """A camera by its driver.

    Args:
        driver: `dv`, `neuromorphic`, or empty for whichever is installed and finds a camera.
        stopping: Set at the end.

    Raises:
        RecordingError: No such driver.
    """

    is_retried = True

    def __init__(self, driver: str, stopping: Event) -> None:
        if driver and driver not in DRIVERS:
            raise RecordingError(
                f"camera:{driver}: expected camera:, camera:dv or camera:neuromorphic"
            )
        self.name = f"camera:{driver}"
        self._drivers = [driver] if driver else list(DRIVERS)
        self._stopping = stopping
        self._device: Any = None
        self._is_dv = False
        self.size: tuple[int, int] | None = None
        self.has_frames = False

    def open(self) -> None:
        """Open the first camera that is found.

        Raises:
            OSError: None is plugged in.
            RecordingError: No driver is installed.
        """
        self.close()
        reasons: list[str] = []
        is_installed = False
        for driver in self._drivers:
            try:
                package = import_module(DRIVERS[driver])
            except ImportError:
                continue
            is_installed = True
            try:
                self._open(driver, package)
            except Exception as error:  # each driver has errors of its own
                reasons.append(f"{driver}: {error}")
                continue
            return
        if not is_installed:
            names = " or ".join(DRIVERS[driver] for driver in self._drivers)
            raise RecordingError(
                f"{self.name}: expected the package {names}; install it with "
                "pip install 'evlora[camera]'"
            )
        raise ConnectionError("no camera was found: " + "; ".join(reasons))

    def pieces(self) -> Iterator[Piece]:
        """What the camera sees; it ends when `stopping` is set.

        Raises:
            OSError: It was unplugged.
        """
        return self._pieces_of_dv() if self._is_dv else self._pieces_of_neuromorphic()

    def close(self) -> None:
        """Let go of the camera."""
        if self._device is not None and hasattr(self._device, "close"):
            self._device.close()
        self._device = None

    def _open(self, driver: str, package: Any) -> None:
        self._is_dv = driver == "dv"
        if self._is_dv:
            self._device = package.io.camera.open()
            size = self._device.getEventResolution()
            self.has_frames = bool(self._device.isFrameStreamAvailable())
            self.size = (int(size[0]), int(size[1]))
            return
        self._device = package.open(iterator_timeout=0.05)
        properties = self._device.properties()
        self.size = (int(properties.width), int(properties.height))
        self.has_frames = "davis" in str(self._device.name()).lower()

    def _pieces_of_dv(self) -> Iterator[Piece]:
        while not self._stopping.is_set():
            if not self._device.isRunning():
                raise ConnectionError("the camera was unplugged")
            batch = self._device.getNextEventBatch()
            frame = self._device.getNextFrame() if self.has_frames else None
            if batch is not None and len(batch):
                yield Piece(events=self._events(batch.numpy(), "timestamp", "polarity"))
            if frame is not None:
                image = np.asarray(frame.image)
                # OpenCV's order of colours.
                image = image[..., ::-1] if image.ndim == 3 else image
                start_us = int(frame.timestamp)
                exposure = getattr(frame, "exposure", None)
                end_us = start_us + int(exposure.total_seconds() * 1e6 if exposure else 0)
                yield Piece(frame=_frame(image, start_us, end_us))
            if batch is None and frame is None:
                time.sleep(IDLE_S)

    def _pieces_of_neuromorphic(self) -> Iterator[Piece]:
        while not self._stopping.is_set():
            try:
                _, packet = next(self._device)
            except StopIteration:
                return
            except RuntimeError as error:
                raise ConnectionError(str(error)) from error
            events = getattr(packet, "polarity_events", None)
            if events is not None and len(events):
                yield Piece(events=self._events(events, "t", "on"))
            for frame in getattr(packet, "frames", ()):
                start_us = frame.exposure_start_t or frame.start_t
                end_us = frame.exposure_end_t or frame.t
                pixels = (np.asarray(frame.pixels) >> 8).astype(np.uint8)
                yield Piece(frame=_frame(pixels, int(start_us), int(end_us)))

    def _events(self, events: Any, time_name: str, polarity_name: str) -> EventStream:
        assert self.size is not None  # known since it was opened
        return EventStream.from_arrays(
            np.asarray(events[time_name]).astype(np.int64),
            np.asarray(events["x"]).astype(np.int64),
            np.asarray(events["y"]).astype(np.int64),
            np.asarray(events[polarity_name]).astype(np.bool_),
            width=self.size[0],
            height=self.size[1],
            sort=True,
        )


def _frame(image: Any, start_us: int, end_us: int) -> LiveFrame:
    rgb = as_rgb(np.ascontiguousarray(image)[None], where="camera")[0]
    return LiveFrame(rgb, start_us, max(start_us, end_us))
