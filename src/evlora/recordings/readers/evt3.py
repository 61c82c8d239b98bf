"""Prophesee RAW with EVT 3.0 words of 16 bits.

The high four bits are the type; the words change a state — row, base column, polarity, time — of
which only what changes is written: a single event (x and polarity), or vectors of 12 or 8 pixels
behind a base column; one of type 10 is an external trigger, its input in bits 8–11, the level
behind its edge in the lowest (https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html).

Time has 24 bits in two words of 12. When the high word changes, the low one counts as 0 until its
own word comes, and a fall of the high word is a new turn of the clock. That is the decoder of
OpenEB, the format's reference. Own numpy: faery adds the low word of before to the new high word,
which makes 0.7 % of a real file's events late by up to 11 µs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import EventChunk, EventFile, Findings
from evlora.recordings.readers.prophesee_words import (
    UnknownWords,
    edges_of,
    open_words,
    report_untimed,
    set_bits,
)

ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8 = 0x0, 0x2, 0x3, 0x4, 0x5
TIME_LOW, CONTINUED_4, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED_12 = 0x6, 0x7, 0x8, 0xA, 0xE, 0xF
KNOWN = (
    *(ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW, CONTINUED_4),
    *(TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED_12),
)
LOW_BITS = 12
TIME_HIGH_PERIOD = 1 << 12
VECTOR_PIXELS = np.zeros(16, np.uint16)
VECTOR_PIXELS[[VECT_12, VECT_8]] = 12, 8
VECTOR_MASK = np.zeros(16, np.uint16)
VECTOR_MASK[[VECT_12, VECT_8]] = 0xFFF, 0xFF
FAR_OUTSIDE = 0xF000
"""A column outside of every sensor, for damaged files whose vectors run on without end."""


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where neither header nor camera model gives it.
        height: Rows of the sensor, as for `width`.

    Raises:
        RecordingError: The header names another encoding, or no sensor size is known.
    """
    return open_words(path, "evt3", "<u2", decoded, width=width, height=height)


def decoded(
    blocks: Iterator[tuple[int, NDArray[Any]]], findings: Findings, base_us: int
) -> Iterator[EventChunk]:
    """The events of blocks of words, each with the byte at which it begins, block by block."""
    decoder = Evt3Decoder(base_us, findings)
    unknown = UnknownWords(KNOWN, findings)
    for start, block in blocks:
        kinds = (block >> 12).astype(np.uint8)
        unknown.look_at(kinds, start, 2)
        yield decoder.decode(block, kinds)
    report_untimed(decoder.untimed, findings)
    unknown.report()


class Evt3Decoder:
    """Decodes blocks of words one after the other, and keeps the state between them."""

    def __init__(self, base_us: int, findings: Findings) -> None:
        """Nothing decoded yet.

        Args:
            base_us: What to add to every time.
            findings: Where triggers are kept.
        """
        self.base_us = base_us
        self.findings = findings
        self.clock = WrappingClock(TIME_HIGH_PERIOD)
        self.untimed = 0
        self.row: int | None = None
        self.time_us: int | None = None
        self.vector_x = 0
        self.vector_is_on = False

    def decode(self, block: NDArray[np.uint16], kinds: NDArray[np.uint8]) -> EventChunk:
        """The events of these words, of which `kinds` are the high four bits."""
        is_vector = (kinds == VECT_12) | (kinds == VECT_8)
        carriers = np.flatnonzero((kinds == ADDR_X) | is_vector)  # the words that hold events
        untimed = self._words_before_state(kinds, carriers)
        triggers = np.flatnonzero(kinds == EXT_TRIGGER)
        is_timed = triggers >= self._first_of(TIME_HIGH, kinds, self.time_us)
        t_us, trigger_us = self._times(block, kinds, (carriers, triggers[is_timed]))
        if len(trigger_us):
            edges = block.take(triggers[is_timed])
            self.findings.add_triggers(trigger_us, edges >> 8 & 0xF, edges_of(edges))
        y = self._rows(block, kinds, carriers)
        words = block.take(carriers)
        x = words & 0x7FF
        is_on = words >= ADDR_X << 12 | 0x800  # of single events; a vector has its base's
        vectors = np.flatnonzero(is_vector.take(carriers))
        first_x, vector_is_on = self._vector_bases(block, kinds)
        if len(vectors):
            x[vectors], is_on[vectors] = first_x, vector_is_on
            masks = np.ones(len(carriers), np.uint16)  # a single event is its column's only pixel
            masks[vectors] = words.take(vectors) & VECTOR_MASK.take(
                kinds.take(carriers.take(vectors))
            )
            counts = np.bitwise_count(masks)
            which = np.repeat(np.arange(len(carriers)), counts)
            t_us, y, is_on = t_us.take(which), y.take(which), is_on.take(which)
            x = x.take(which) + set_bits(masks, counts)
            untimed = int(counts[:untimed].sum())
        self.untimed += untimed
        return EventChunk(t_us[untimed:], x[untimed:], y[untimed:], is_on[untimed:])

    def _words_before_state(self, kinds: NDArray[np.uint8], carriers: NDArray[Any]) -> int:
        """How many of the words that hold events come before any row or any time."""
        start = max(
            self._first_of(ADDR_Y, kinds, self.row), self._first_of(TIME_HIGH, kinds, self.time_us)
        )
        return int(np.searchsorted(carriers, start))

    def _first_of(self, kind: int, kinds: NDArray[np.uint8], state: int | None) -> int:
        """Where a state is known from on: at once if it is, else behind the first such word."""
        if state is not None:
            return 0
        found = np.flatnonzero(kinds == kind)
        return int(found[0]) if len(found) else len(kinds)

    def _times(
        self,
        block: NDArray[np.uint16],
        kinds: NDArray[np.uint8],
        places: tuple[NDArray[Any], NDArray[Any]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The times at both lists of places."""
        is_time = (kinds == TIME_LOW) | (kinds == TIME_HIGH)
        words = block.take(np.flatnonzero(is_time))
        is_high = words >= TIME_HIGH << 12
        before = self.time_us or 0
        at_high = np.flatnonzero(is_high)
        highs = np.concatenate(
            [[before >> LOW_BITS], self.clock.unwrapped(words.take(at_high) & 0xFFF)]
        )
        # The low part holds from its word until the next, or until the high part changes.
        changes = np.diff(highs) != 0
        if self.time_us is None and len(changes):
            changes[0] = True
        sets_low = ~is_high
        sets_low[at_high[changes]] = True
        words[at_high] = 0
        values = words.take(np.flatnonzero(sets_low)) & 0xFFF
        lows = np.concatenate([[before & 0xFFF], values]).take(np.cumsum(sets_low))
        times = (highs.take(np.cumsum(is_high)) << LOW_BITS) + lows
        if len(times) and (len(at_high) or self.time_us is not None):
            self.time_us = int(times[-1])
        states = np.concatenate([[before], times]) + self.base_us
        running = np.cumsum(is_time, dtype=np.int32)
        return states.take(running.take(places[0])), states.take(running.take(places[1]))

    def _rows(
        self, block: NDArray[np.uint16], kinds: NDArray[np.uint8], carriers: NDArray[Any]
    ) -> NDArray[np.uint16]:
        is_row = kinds == ADDR_Y
        states = np.empty(int(np.count_nonzero(is_row)) + 1, np.uint16)
        states[0] = self.row or 0
        states[1:] = block.take(np.flatnonzero(is_row)) & 0x7FF
        if len(states) > 1:
            self.row = int(states[-1])
        return states.take(np.cumsum(is_row, dtype=np.int32).take(carriers))

    def _vector_bases(
        self, block: NDArray[np.uint16], kinds: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """First column and polarity of every vector word; each moves the base by its length."""
        at = np.flatnonzero((kinds >= VECT_BASE_X) & (kinds <= VECT_8))
        kinds, words = kinds.take(at), block.take(at)
        if not len(at):
            return words, words > 0
        is_base = kinds == VECT_BASE_X
        bases = words[is_base]
        lengths = VECTOR_PIXELS.take(kinds)
        moved = np.cumsum(lengths, dtype=np.int64)
        starts = np.concatenate([[self.vector_x], (bases & 0x7FF) - moved[is_base]])
        polarities = np.concatenate([[self.vector_is_on], bases & 0x800 != 0])
        which = np.cumsum(is_base)
        x = (starts.take(which) + moved - lengths)[~is_base]
        self.vector_x = min(int(starts[-1] + moved[-1]), FAR_OUTSIDE)
        self.vector_is_on = bool(polarities[-1])
        return np.minimum(x, FAR_OUTSIDE).astype(np.uint16), polarities.take(which)[~is_base]
