"""What a dataset holds, found out without writing anything."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evlora.datasets.layouts.table import Progress
from evlora.datasets.manifest import Manifest
from evlora.datasets.preparing import layout_with_source
from evlora.datasets.sources import look_at


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


def survey_layout(
    layout: str,
    source: str | Path | None,
    *,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Survey:
    """Survey what `prepare` would index; recordings that a layout makes are removed again.

    Args:
        layout: Name of a row of the table of layouts.
        source: Where the dataset lies; None for a layout that makes its own.
        options: What the layout lets one choose.
        progress: Receives how many samples were looked at, and of how many.

    Raises:
        DatasetError: No such layout or option, or the source is not laid out so.
    """
    row = layout_with_source(layout, source)
    with tempfile.TemporaryDirectory() as folder:
        where = None if source is None else Path(source)
        manifest = row.collect(where, Path(folder), options or {}, progress)
        return survey(manifest, progress=progress)


def survey(manifest: Manifest, *, progress: Progress | None = None) -> Survey:
    """Survey the files of a dataset's samples.

    Args:
        manifest: Of recordings, not of packed clips.
        progress: Receives how many samples were looked at, and of how many.
    """
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
    return Survey(manifest, files, sizes, tuple(missing))
