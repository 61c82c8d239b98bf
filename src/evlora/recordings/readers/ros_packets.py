"""Events within event_camera_msgs/EventPacket, by the encoding that each packet names.

- `evt3`: Prophesee's words, as in `evt3`, on the sensor's own clock
- `libcaer`: iniVation's pairs of 32 bits — as in AEDAT 3.1 — behind `time_base` in ns
- `libcaer_cmp`: words of 16 bits like EVT 3.0's with rows and columns exchanged, behind
  `time_base` in µs
- `mono`: 64 bits an event: 32 bits of ns behind `time_base`, x, y and the polarity on top
- `trigger`: the same with the input in the place of y

(https://github.com/ros-event-camera/event_camera_codecs describes them.)
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import EventChunk, Findings
from evlora.recordings.readers.evt3 import KNOWN, Evt3Decoder
from evlora.recordings.readers.prophesee_words import UnknownWords, report_untimed
from evlora.recordings.readers.ros_messages import EventPacket
from evlora.recordings.triggers import FALLING, RISING

SENSOR_CLOCK = ("evt3", "mono")
"""Encodings whose times do not count from 1970."""
TURN_US = 1 << 31
TIME_HIGH, TIME_LOW, ADDR_X, ADDR_Y, VECT_BASE_Y, VECT_8 = range(6)
NANOSECONDS = np.uint64(0xFFFFFFFF)


class PacketDecoder:
    """Decodes the packets of one topic, one after the other."""

    def __init__(self, findings: Findings, base_us: int = 0) -> None:
        """Nothing decoded yet.

        Args:
            findings: Where triggers are kept.
            base_us: What to add to every time.
        """
        self.findings = findings
        self.base_us = base_us
        self._evt3 = Evt3Decoder(base_us, findings)
        self._unknown = UnknownWords(KNOWN, findings)
        self._decode: dict[str, Callable[[EventPacket], EventChunk]] = {
            "evt3": self._from_evt3,
            "libcaer": self._from_libcaer,
            "libcaer_cmp": self._from_libcaer_cmp,
            "mono": self._from_mono,
            "trigger": self._from_trigger,
        }

    def decode(self, packet: EventPacket) -> EventChunk:
        """The events of a packet; of triggers none, they go to the findings.

        Raises:
            RecordingError: The packet's encoding is not known.
        """
        decode = self._decode.get(packet.encoding)
        if decode is None:
            raise RecordingError(
                f"expected event packets in one of the encodings {', '.join(self._decode)}, got "
                f"{packet.encoding!r}, which is not read here"
            )
        return decode(packet)

    def report(self) -> None:
        """Warn of what was wrong with the words of all packets."""
        report_untimed(self._evt3.untimed, self.findings)
        self._unknown.report()

    def _from_evt3(self, packet: EventPacket) -> EventChunk:
        block = packet.data[: len(packet.data) // 2 * 2].view("<u2")
        kinds = (block >> 12).astype(np.uint8)
        self._unknown.look_at(kinds, 0, 2)
        return self._evt3.decode(block, kinds)

    def _from_libcaer(self, packet: EventPacket) -> EventChunk:
        pairs = packet.data[: len(packet.data) // 8 * 8].view("<u4").reshape(-1, 2)
        data, ticks = pairs[:, 0], (pairs[:, 1] & 0x7FFFFFFF).astype(np.int64)
        turns = np.cumsum(np.diff(ticks, prepend=ticks[:1]) < 0) * TURN_US
        x, y = (data >> 17).astype(np.uint16), ((data >> 2) & 0x7FFF).astype(np.uint16)
        t_us = (ticks + turns) + packet.time_base // 1000 + self.base_us
        return EventChunk(t_us, x, y, data & 2 != 0)

    def _from_libcaer_cmp(self, packet: EventPacket) -> EventChunk:
        block = packet.data[: len(packet.data) // 2 * 2].view("<u2")
        kinds, values = block >> 12, (block & 0xFFF).astype(np.int64)

        def latest(kind: int) -> NDArray[np.int64]:
            """For each word, the value of the latest word of this kind; 0 before the first."""
            is_kind = kinds == kind
            return np.concatenate([[0], values[is_kind]]).take(np.cumsum(is_kind))

        t_us = (latest(TIME_HIGH) << 12 | latest(TIME_LOW)) + packet.time_base + self.base_us
        x, base = latest(ADDR_X) & 0x7FF, latest(VECT_BASE_Y)
        is_vector = kinds == VECT_8
        # Every vector moves the row of the next one by 8, until a base sets it anew.
        vectors = np.cumsum(is_vector)
        at_base = np.concatenate([[0], vectors[kinds == VECT_BASE_Y]])
        moved = 8 * (vectors - is_vector - at_base.take(np.cumsum(kinds == VECT_BASE_Y)))
        counts = np.where(is_vector, np.bitwise_count(block & 0xFF), kinds == ADDR_Y)
        y = np.where(is_vector, (base & 0x7FF) + moved, values & 0x7FF)
        is_on = np.where(is_vector, base, values) & 0x800 != 0
        y = np.repeat(y, counts)
        bits = np.unpackbits((block & 0xFF)[is_vector].astype(np.uint8), bitorder="little")
        y[np.repeat(is_vector, counts)] += np.flatnonzero(bits) & 7
        return EventChunk(
            np.repeat(t_us, counts), np.repeat(x, counts), y, np.repeat(is_on, counts)
        )

    def _from_mono(self, packet: EventPacket) -> EventChunk:
        words, t_us = self._mono_words(packet)
        x = (words >> np.uint64(32) & np.uint64(0xFFFF)).astype(np.uint16)
        y = (words >> np.uint64(48) & np.uint64(0x7FFF)).astype(np.uint16)
        return EventChunk(t_us, x, y, words >> np.uint64(63) != 0)

    def _from_trigger(self, packet: EventPacket) -> EventChunk:
        words, t_us = self._mono_words(packet)
        channel = (words >> np.uint64(48) & np.uint64(0x7FFF)).astype(np.int32)
        edges = np.where(words >> np.uint64(63), RISING, FALLING).astype(np.int8)
        self.findings.add_triggers(t_us, channel, edges)
        nothing = np.zeros(0, np.int64)
        return EventChunk(nothing, nothing, nothing, nothing != 0)

    def _mono_words(self, packet: EventPacket) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        words = packet.data[: len(packet.data) // 8 * 8].view("<u8")
        nanoseconds = (words & NANOSECONDS).astype(np.int64) + packet.time_base
        return words, nanoseconds // 1000 + self.base_us
