"""Files that no reader opens as they should be read, written as recordings of their own.

Several processes convert where there is much to do. What an interrupted preparation has converted
is taken over by the next one: a recording that is written gets the time of change of the file that
it was made of, and is made again where the two differ.
"""

import os
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from evlora.datasets.layouts.sequences import Oddities
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import RecordingError, RecordingWarning
from evlora.processes import cores, start_processes
from evlora.recordings import EventStream, Recording, write_recording

CONVERTING_FILE = "converting"
"""Marks a folder whose recordings the next preparation may take over."""
ALONE_FOR_S = 3.0
"""Seconds after which others help: it takes them as long to start."""
FILES_AT_ONCE = 16
"""Number of files that a process takes at a time."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A file to be written as a recording."""

    source: Path
    target: Path
    read: Callable[[Path], EventStream]

    @property
    def is_done(self) -> bool:
        """Whether the recording was made of this file, as it is now."""
        try:
            return self.target.stat().st_mtime_ns == self.source.stat().st_mtime_ns
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a file."""

    has_events: bool
    """Whether a recording was written; not of a file without an event."""
    warnings: tuple[str, ...] = ()


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
        folder: The dataset that is being prepared; it may hold what an earlier call converted.
        read: Reads one of them; a function of a module, which other processes can find.
        oddities: Takes recordings without an event, which are skipped.
        progress: Receives the number of files done, and of all.

    Raises:
        RecordingError: A file cannot be read.
    """
    (folder / CONVERTING_FILE).touch()
    paths = [f"{RECORDINGS_FOLDER}/{sample.sample}.npz" for sample in manifest.samples]
    conversions = [
        Conversion(manifest.source / (sample.events or ""), folder / path, read)
        for sample, path in zip(manifest.samples, paths, strict=True)
    ]
    _remove_others(folder / RECORDINGS_FOLDER, {each.target for each in conversions})
    done = [each.is_done for each in conversions]
    to_do = [each for each, is_done in zip(conversions, done, strict=True) if not is_done]
    samples: list[Sample] = []
    with closing(_outcomes(to_do)) as outcomes:
        for number, (sample, path, is_done) in enumerate(
            zip(manifest.samples, paths, done, strict=True), start=1
        ):
            outcome = Converted(has_events=True) if is_done else next(outcomes)
            for warning in outcome.warnings:
                warnings.warn(warning, RecordingWarning, stacklevel=2)
            if outcome.has_events:
                samples.append(replace(sample, events=path, sensor_px=None))
            else:
                oddities.add("recordings without an event were skipped", sample.events or "")
            if progress is not None:
                progress(number, len(paths))
    return replace(manifest, source=folder, samples=tuple(samples))


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Remove what was made of files that are gone, and what a killed process has half written."""
    for path in folder.rglob("*"):
        if path not in wanted and path.is_file():
            path.unlink()


def _outcomes(conversions: Sequence[Conversion]) -> Generator[Converted]:
    """What becomes of these files, in their order: by this process, and soon by several."""
    end = time.monotonic() + ALONE_FOR_S
    alone = 0
    while alone < len(conversions) and (time.monotonic() < end or cores() == 1):
        yield _convert(conversions[alone])
        alone += 1
    if not (rest := conversions[alone:]):
        return
    with start_processes(min(cores(), len(rest)), preload=__name__) as pool:
        try:
            yield from pool.map(_convert, rest, chunksize=FILES_AT_ONCE)
        except BrokenProcessPool as error:
            raise RecordingError(
                "a process that converted recordings was killed: it needs too much memory, or made "
                "a library fail; give the same command again, which takes over what was converted"
            ) from error


def _convert(conversion: Conversion) -> Converted:
    """Write the recording, if it has an event."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecordingWarning)
        status = conversion.source.stat()
        events = conversion.read(conversion.source)
        if len(events):
            write_recording(Recording(events, None, "npz"), conversion.target)
            os.utime(conversion.target, ns=(status.st_atime_ns, status.st_mtime_ns))
    remarks = (str(one.message) for one in caught if issubclass(one.category, RecordingWarning))
    return Converted(bool(len(events)), tuple(remarks))
