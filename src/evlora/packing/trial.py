"""What packing a dataset would cost, measured on a few samples without writing anything."""

import time
from dataclasses import dataclass
from pathlib import Path

from evlora.clips import ClipConfig
from evlora.datasets.manifest import Manifest
from evlora.datasets.rendering import Rendering
from evlora.packing.drawing import Job, Outcome, render
from evlora.packing.plan import plan_for

TRIED = 8
"""Samples that are drawn to measure how long it takes."""
TRIED_FOR_S = 20.0
"""Seconds after which no further one is drawn."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few samples, spread evenly over the dataset, cost when they were packed."""

    manifest: Manifest
    """The whole dataset."""
    outcomes: tuple[Outcome, ...]
    seconds_per_sample: float

    @property
    def bytes_per_sample(self) -> float:
        """Mean size of those that could be packed."""
        sizes = [one.done.packed_bytes for one in self.outcomes if not one.done.reason]
        return sum(sizes) / max(len(sizes), 1)

    @property
    def growth(self) -> float:
        """Size of the packed form over that of the files, of those that could be packed."""
        packed = [one.done for one in self.outcomes if not one.done.reason]
        return sum(one.packed_bytes for one in packed) / max(
            sum(one.source_bytes for one in packed), 1
        )


def try_packing(
    dataset: str | Path,
    clip: ClipConfig,
    *,
    shorter_side_px: int | None = None,
    lossy: str | None = None,
    max_frames: int | None = None,
    source: str | Path | None = None,
) -> Trial:
    """Draw a few samples of a prepared dataset as `pack` would, and keep nothing.

    Args:
        dataset: What `evlora prepare` wrote.
        clip: How clips would be packed.
        shorter_side_px: Pictures with a longer shorter side would be scaled to it.
        lossy: As for `pack`.
        max_frames: As for `pack`.
        source: Where the recordings lie now, if they were moved.

    Raises:
        DatasetError: It is no prepared dataset, or it is packed already.
    """
    rendering = Rendering.of(
        clip, shorter_side_px=shorter_side_px, lossy=lossy, max_frames=max_frames
    )
    plan = plan_for(Path(dataset), rendering, source=None if source is None else Path(source))
    samples = plan.manifest.samples
    count = min(TRIED, len(samples))
    jobs = [
        Job(place, samples[place], 0, plan.manifest.source, rendering)
        for place in (len(samples) * number // count for number in range(count))
    ]
    render(jobs[0])  # what is imported then is not counted
    begin = time.perf_counter()
    outcomes: list[Outcome] = []
    for job in jobs:
        outcomes.append(render(job))
        if time.perf_counter() - begin > TRIED_FOR_S:
            break
    return Trial(plan.manifest, tuple(outcomes), (time.perf_counter() - begin) / len(outcomes))
