"""Files that no reader opens as they should be read, written as recordings of their own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evlora.datasets.layouts.sequences import Oddities
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.manifest import Manifest, Sample
from evlora.recordings import EventStream, Recording, write_recording


def converted(
    manifest: Manifest,
    folder: Path,
    read: Callable[[Path], EventStream],
    oddities: Oddities,
    progress: Progress | None,
) -> Manifest:
    """The manifest of the same samples as `.npz` files below `folder`.

    Args:
        manifest: Its samples' events are the files to convert.
        folder: The dataset that is being prepared.
        read: Reads one of them.
        oddities: Takes recordings without an event, which are skipped.
        progress: Receives the number of files done, and of all.

    Raises:
        RecordingError: A file cannot be read.
    """
    samples: list[Sample] = []
    for number, sample in enumerate(manifest.samples, start=1):
        assert sample.events is not None  # the layouts that convert list files of events
        events = read(manifest.source / sample.events)
        if len(events):
            path = f"{RECORDINGS_FOLDER}/{sample.sample}.npz"
            write_recording(Recording(events, None, "npz"), folder / path)
            samples.append(replace(sample, events=path, sensor_px=None))
        else:
            oddities.add("recordings without an event were skipped", sample.events)
        if progress is not None:
            progress(number, len(manifest.samples))
    return replace(manifest, source=folder, samples=tuple(samples))
