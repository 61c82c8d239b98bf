"""What a DAVIS sends in the 32-bit addresses of AEDAT 2.0, as jAER and v2e write them.

Bit 31 is 0 for an event: bits 22–30 hold its row, counted from the bottom, bits 12–21 its column,
counted from the *right*, bit 11 is set for ON. Bit 10 marks a signal at the camera's input in the
place of an event; its lowest bits are 2 for a falling edge, 3 for a rising one, 4 for a pulse.
Bit 31 is 1 for an APS sample, whose column is counted from the left (`aps`), and with bit 11 for
inertial samples, which are skipped (jAER's `DavisChip` and `DavisBaseCamera`; iniVation's page on
AEDAT 2.0).
"""

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.readers.aps import ApsFrames
from evlora.recordings.readers.decoding import EventChunk, Findings
from evlora.recordings.triggers import FALLING, PULSE, RISING

IS_SAMPLE = 1 << 31
IS_ON = IS_INERTIAL = 1 << 11
IS_EXTERNAL = 1 << 10
EDGES = np.full(8, PULSE, np.int8)
EDGES[[2, 3]] = FALLING, RISING


class DavisDecoder:
    """Turns addresses and times into events, triggers and frames."""

    def __init__(self, size: tuple[int, int], findings: Findings, aps: ApsFrames | None) -> None:
        """A decoder for one file.

        Args:
            size: Width and height of the sensor.
            findings: Where triggers are kept.
            aps: Where APS samples go; None to skip them.
        """
        self.width, self.height = size
        self.findings = findings
        self.aps = aps

    def decode(self, addresses: NDArray[np.uint32], t_us: NDArray[np.int64]) -> EventChunk:
        """The events among these words, each array of shape (N,)."""
        is_sample = addresses & IS_SAMPLE != 0
        is_external = addresses & (IS_SAMPLE | IS_EXTERNAL) == IS_EXTERNAL
        if is_external.any():
            edges = EDGES[addresses[is_external] & 7]
            self.findings.add_triggers(t_us[is_external], np.zeros(len(edges), np.int32), edges)
        if self.aps is not None and is_sample.any():
            is_aps = is_sample & (addresses & IS_INERTIAL == 0)
            self.aps.add(addresses[is_aps], t_us[is_aps])
        is_event = ~(is_sample | is_external)
        events = addresses[is_event]
        return EventChunk(
            t_us[is_event],
            (self.width - 1 - (events >> 12 & 0x3FF).astype(np.int32)),
            (self.height - 1 - (events >> 22 & 0x1FF).astype(np.int32)),
            events & IS_ON != 0,
        )
