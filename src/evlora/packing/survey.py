"""What a dataset holds and what packing it would cost, without writing anything."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evlora.clips import ClipConfig
from evlora.datasets.layouts.table import Progress
from evlora.datasets.manifest import Manifest
from evlora.datasets.preparing import layout_with_source
from evlora.datasets.rendering import Rendering
from evlora.packing.drawing import Job, Outcome, render
from evlora.packing.sources import look_at

TRIED = 8
"""Samples that are drawn to see how long it takes."""
TRIED_FOR_S = 20.0
"""No further one is drawn after so long."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few samples, spread evenly over the dataset, cost when they were packed."""

    outcomes: tuple[Outcome, ...]
    seconds_per_sample: float

    @property
    def bytes_per_sample(self) -> float:
        """Mean size of those that could be packed."""
        sizes = [one.done.packed_bytes for one in self.outcomes if not one.done.reason]
        return sum(sizes) / max(len(sizes), 1)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a dataset holds."""

    manifest: Manifest
    files: Mapping[str, int]
    """Files of the samples of each split."""
    bytes: Mapping[str, int]
    """Their size."""
    missing: tuple[tuple[str, str], ...]
    """Samples and files of them that are not there."""
    trial: Trial | None
    """None where packing was not asked for."""


def survey(
    layout: str,
    source: str | Path | None,
    *,
    options: Mapping[str, Any] | None = None,
    clip: ClipConfig | None = None,
    shorter_side_px: int | None = None,
    progress: Progress | None = None,
) -> Survey:
    """Look at a dataset; a layout that makes recordings does so in a folder that goes away again.

    Args:
        layout: Name of a row of the table of layouts.
        source: Where the dataset lies; None for a layout that makes its own.
        options: What the layout lets one choose.
        clip: How clips would be packed; None to leave out what packing would cost.
        shorter_side_px: Pictures with a longer shorter side would be scaled to it.
        progress: Is told how many samples were looked at, and of how many.

    Raises:
        DatasetError: No such layout or option, or the source is not laid out so.
    """
    row = layout_with_source(layout, source)
    with tempfile.TemporaryDirectory() as folder:
        where = None if source is None else Path(source)
        manifest = row.collect(where, Path(folder), options or {}, progress)
        files = dict.fromkeys(manifest.splits, 0)
        sizes = dict(files)
        missing: list[tuple[str, str]] = []
        for number, sample in enumerate(manifest.samples, start=1):
            found = look_at(sample.paths, manifest.source)
            files[sample.split] += found.count
            sizes[sample.split] += found.bytes
            missing += [(sample.sample, path) for path in found.missing]
            if progress is not None:
                progress(number, len(manifest.samples))
        trial = None
        if clip is not None and manifest.samples:
            trial = _try(manifest, Rendering.of(clip, shorter_side_px=shorter_side_px))
    return Survey(manifest, files, sizes, tuple(missing), trial)


def _try(manifest: Manifest, rendering: Rendering) -> Trial:
    count = min(TRIED, len(manifest.samples))
    jobs = [
        Job(place, manifest.samples[place], 0, manifest.source, rendering)
        for place in (len(manifest.samples) * number // count for number in range(count))
    ]
    render(jobs[0])  # what is imported then is not counted
    begin = time.perf_counter()
    outcomes: list[Outcome] = []
    for job in jobs:
        outcomes.append(render(job))
        if time.perf_counter() - begin > TRIED_FOR_S:
            break
    return Trial(tuple(outcomes), (time.perf_counter() - begin) / len(outcomes))
