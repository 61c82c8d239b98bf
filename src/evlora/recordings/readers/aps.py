"""The grey or colour frames (APS) of a DAVIS, assembled from single samples of AEDAT 2.0.

The camera reads every pixel twice: after the reset and after the exposure. Each reading is a
sample of its own with a pixel's address, a time and 10 bits; the pixel's brightness is the first
reading minus the second. With a global shutter all resets come first, and the exposure lasts from
the last of them to the first signal; with a rolling shutter they alternate column by column.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers.bayer import colours_of
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.decoding import Findings

IS_SIGNAL = 0x400
SAMPLE = 0x3FF
SAMPLE_BITS = 10
MOST_TORN_FRAMES = 200
"""This many frames of less than half of the pixels are damage: no more are assembled."""


class _Frame(NamedTuple):
    whole_pixels: int
    """Pixels of which both readings are there."""
    image: NDArray[np.uint8]
    start_us: int
    end_us: int


class ApsFrames:
    """Collects samples until a frame is whole."""

    def __init__(self, size: tuple[int, int], pattern: str | None, frames: CollectedFrames) -> None:
        """Nothing yet.

        Args:
            size: Width and height of the sensor.
            pattern: Its Bayer pattern; None for a grey sensor.
            frames: Where whole frames go.
        """
        self.frames = frames
        self.width, self.height = size
        self.pattern = pattern
        self._addresses = np.zeros(0, np.uint32)
        self._t_us = np.zeros(0, np.int64)
        self._assembled: list[_Frame] = []
        self._outside = 0
        self._torn = 0

    def add(self, addresses: NDArray[np.uint32], t_us: NDArray[np.int64]) -> None:
        """Take samples, in the order of the file; every frame that they complete is assembled.

        Args:
            addresses: Addresses of APS samples, shape (N,).
            t_us: Their times, shape (N,).
        """
        is_inside = (_column(addresses) < self.width) & (_row(addresses) < self.height)
        self._outside += len(addresses) - int(np.count_nonzero(is_inside))
        self._addresses = np.concatenate([self._addresses, addresses[is_inside]])
        self._t_us = np.concatenate([self._t_us, t_us[is_inside]])
        while self._torn < MOST_TORN_FRAMES and (end := self._next_frame()):
            self._assemble(end)
            if 2 * self._assembled[-1].whole_pixels < self.width * self.height:
                self._torn += 1
        if self._torn == MOST_TORN_FRAMES:
            self._addresses, self._t_us = self._addresses[:0], self._t_us[:0]

    def sequence(self, findings: Findings) -> FrameSequence | None:
        """All frames; those that lack samples which others have are skipped and reported."""
        if len(self._addresses) and not findings.is_enough:
            self._assemble(len(self._addresses))
        most = max((frame.whole_pixels for frame in self._assembled), default=0)
        whole = [frame for frame in self._assembled if frame.whole_pixels == most > 0]
        if len(whole) < len(self._assembled):
            findings.warn(
                f"{len(self._assembled) - len(whole)} of {len(self._assembled)} APS frames lack "
                "samples and were skipped; the file is cut there, or the camera lost data"
            )
        if self._torn == MOST_TORN_FRAMES:
            findings.warn(f"{self._torn} APS frames are torn; no frame behind them was read")
        if self._outside:
            findings.warn(
                f"{self._outside} APS samples lie outside the {self.width}×{self.height} sensor"
            )
        if most and most < self.width * self.height:
            findings.remark(f"APS frames hold {most} of the sensor's pixels; the others are 0")
        for frame in whole:
            where = f"the APS frame of {frame.end_us} µs"
            self.frames.add(frame.image, frame.start_us, frame.end_us, where=where)
        return self.frames.sequence(findings)

    def _pixels(self, addresses: NDArray[np.uint32]) -> NDArray[np.int64]:
        # Rows count from the bottom; columns from the left, other than those of events.
        rows = self.height - 1 - _row(addresses).astype(np.int64)
        return rows * self.width + _column(addresses)

    def _next_frame(self) -> int:
        """Where the samples held begin a second frame: a pixel is reset again. 0 if they do not."""
        resets = np.flatnonzero(self._addresses & IS_SIGNAL == 0)
        resets = resets[: self.width * self.height + 1]  # among more than that one is doubled
        pixels = self._pixels(self._addresses[resets])
        first = np.zeros(self.width * self.height, np.int64)
        order = np.arange(len(pixels))
        first[pixels[::-1]] = order[::-1]  # of equal ones the last assignment holds: the first
        again = np.flatnonzero(first[pixels] != order)
        return int(resets[again[0]]) if len(again) else 0

    def _assemble(self, end: int) -> None:
        addresses, t_us = self._addresses[:end], self._t_us[:end]
        self._addresses, self._t_us = self._addresses[end:], self._t_us[end:]
        # A file may begin within a frame: signals whose resets it does not hold.
        start = int(np.argmax(addresses & IS_SIGNAL == 0))
        addresses, t_us = addresses[start:], t_us[start:]
        is_signal = addresses & IS_SIGNAL != 0
        pixels, samples = self._pixels(addresses), (addresses & SAMPLE).astype(np.int32)
        levels = np.full((2, self.width * self.height), -1, np.int32)
        for reading, is_of_reading in enumerate((~is_signal, is_signal)):
            levels[reading, pixels[is_of_reading]] = samples[is_of_reading]
        is_read = (levels >= 0).all(axis=0)
        difference = np.where(is_read, levels[0] - levels[1], 0).clip(0, SAMPLE)
        image = (difference >> (SAMPLE_BITS - 8)).astype(np.uint8)
        image = image.reshape(self.height, self.width)
        if self.pattern is not None:
            image = colours_of(image, self.pattern)
        count = int(np.count_nonzero(is_read))
        self._assembled.append(_Frame(count, image, *_exposure(is_signal, t_us)))


def _exposure(is_signal: NDArray[np.bool_], t_us: NDArray[np.int64]) -> tuple[int, int]:
    first_signal = int(np.argmax(is_signal))
    last_reset = len(is_signal) - 1 - int(np.argmax(~is_signal[::-1]))
    is_global = last_reset < first_signal
    return int(t_us[last_reset if is_global else 0]), int(t_us[first_signal])


def _column(addresses: NDArray[np.uint32]) -> NDArray[Any]:
    return addresses >> 12 & 0x3FF


def _row(addresses: NDArray[np.uint32]) -> NDArray[Any]:
    return addresses >> 22 & 0x1FF
