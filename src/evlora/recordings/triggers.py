"""Triggers: signals of other devices at the camera's input pins, timed by the camera's clock."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evlora.errors import RecordingError

RISING, FALLING, PULSE = 1, -1, 0


@dataclass(frozen=True, slots=True, eq=False)
class Triggers:
    """N triggers in the order of time; each array has shape (N,)."""

    t_us: NDArray[np.int64]
    """Time of each trigger in microseconds, on the clock of the events."""
    channel: NDArray[np.int32]
    """The input of the camera, as the camera numbers them."""
    polarity: NDArray[np.int8]
    """1 for a rising edge, −1 for a falling one, 0 for a pulse or where the format does not say."""

    @classmethod
    def from_arrays(cls, t_us: ArrayLike, channel: ArrayLike, polarity: ArrayLike) -> "Triggers":
        """The triggers of these arrays, each of shape (N,), put in the order of time.

        Raises:
            RecordingError: The arrays differ in length, or a polarity is not −1, 0 or 1.
        """
        times, inputs = np.asarray(t_us, np.int64), np.asarray(channel, np.int32)
        edges = np.asarray(polarity, np.int8)
        if not times.shape == inputs.shape == edges.shape or times.ndim != 1:
            raise RecordingError(
                f"triggers: expected arrays of one shape (N,), got {times.shape}, {inputs.shape} "
                f"and {edges.shape}"
            )
        if not np.isin(edges, (RISING, FALLING, PULSE)).all():
            raise RecordingError(
                f"triggers: expected polarities −1, 0 or 1, got {np.unique(edges)}"
            )
        order = np.argsort(times, kind="stable")
        return cls(times[order], inputs[order], edges[order])

    def __len__(self) -> int:
        return len(self.t_us)

    def chosen(self, channel: int | None = None, polarity: int | None = None) -> "Triggers":
        """The triggers of one input, of one polarity, or both; None takes all."""
        is_chosen = np.ones(len(self), np.bool_)
        if channel is not None:
            is_chosen &= self.channel == channel
        if polarity is not None:
            is_chosen &= self.polarity == polarity
        return Triggers(self.t_us[is_chosen], self.channel[is_chosen], self.polarity[is_chosen])

    def between(self, start_us: int, end_us: int) -> "Triggers":
        """The triggers with start_us ≤ t < end_us."""
        first, stop = np.searchsorted(self.t_us, [start_us, end_us], side="left")
        part = slice(int(first), int(stop))
        return Triggers(self.t_us[part], self.channel[part], self.polarity[part])
