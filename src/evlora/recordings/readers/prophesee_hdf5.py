"""What Prophesee's own HDF5 files have beyond others: events in ECF chunks, and triggers.

Their events lie in `CD/events` with members x, y, p and t, the sensor's size in the attribute
`geometry`, external triggers in `EXT_TRIGGER/events` with members p, t and id. This library's own
files have triggers too, in `triggers`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers import ecf
from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.hdf5_items import item_in
from evlora.recordings.readers.hdf5_layout import READ_ERRORS
from evlora.recordings.triggers import FALLING, RISING

TRIGGERS = "EXT_TRIGGER/events"
OWN_TRIGGERS = ("triggers/t_us", "triggers/channel", "triggers/polarity")
MOST_TRIGGERS = 1 << 24


class EcfEvents:
    """A data set whose chunks are packed by the ECF codec, read like any other."""

    def __init__(self, data: Any) -> None:
        """The events of this data set of one dimension, whose only filter is the codec."""
        self.data = data
        self.shape: tuple[int, ...] = data.shape
        self.dtype = ecf.EVENT
        self._chunk = int(data.chunks[0])
        self._held: tuple[int, NDArray[Any]] = (-1, np.zeros(0, ecf.EVENT))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: tuple[slice]) -> NDArray[Any]:
        """The events of a slice by number, a structured array.

        Raises:
            OSError: A chunk is missing or damaged, as h5py raises it.
        """
        start, stop, _ = index[0].indices(self.shape[0])
        pieces = [np.zeros(0, ecf.EVENT)]
        for first in range(start - start % self._chunk, stop, self._chunk):
            events = self._events_of_chunk(first)
            pieces.append(events[max(0, start - first) : stop - first])
        return np.concatenate(pieces)

    def _events_of_chunk(self, first: int) -> NDArray[Any]:
        if self._held[0] == first:
            return self._held[1]
        skipped, packed = self.data.id.read_direct_chunk((first,))
        try:
            # The codec is optional: a chunk that it would not make smaller is stored as it is.
            events = np.frombuffer(packed, ecf.EVENT) if skipped else ecf.decode(packed)
        except (RecordingError, ValueError) as error:
            raise OSError(f"the chunk of event {first}: {error}") from error
        # The last chunk is filled up to the chunk's length.
        expected = min(self._chunk, self.shape[0] - first)
        if len(events) < expected:
            raise OSError(f"the chunk of event {first} holds {len(events)} of {expected} events")
        self._held = (first, events)
        return events


def keep_triggers(file: Any, findings: Findings) -> None:
    """Keep the external triggers of an open file, if it has any."""
    try:
        sets = [item_in(file, name) for name in OWN_TRIGGERS]
        if all(data is not None for data in sets):
            own = [np.asarray(data[:MOST_TRIGGERS], np.int64) for data in sets]
            shortest = min(map(len, own))
            t_us, channel, polarity = (column[:shortest] for column in own)
            findings.add_triggers(t_us, channel, np.sign(polarity))
            return
        data = item_in(file, TRIGGERS)
        if data is None or not {"p", "t", "id"} <= set(data.dtype.names or ()):
            return
        rows = np.asarray(data[:MOST_TRIGGERS])
        edges = np.where(rows["p"] > 0, RISING, FALLING).astype(np.int8)
        findings.add_triggers(rows["t"].astype(np.int64), rows["id"].astype(np.int32), edges)
    except READ_ERRORS as error:
        findings.warn(f"the triggers in {TRIGGERS} cannot be read: {error}")
