"""Samples become packed items, in several processes, and come back in their order."""

import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from evlora.clips import ClipConfig
from evlora.datasets.manifest import Sample
from evlora.datasets.opening import open_sample
from evlora.datasets.rendering import Rendering
from evlora.datasets.sources import look_at
from evlora.errors import EvloraError, RecordingWarning
from evlora.packing.codec import encode
from evlora.packing.journal import Done, checksum_of
from evlora.processes import outcomes_of

MOST_BYTES = 1 << 30
"""A larger item is refused: one file holds it, and training reads it as a whole."""


@dataclass(frozen=True, slots=True)
class Job:
    """A sample to be packed."""

    number: int
    sample: Sample
    label: int
    source: Path
    rendering: Rendering


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    done: Done
    frames: bytes = b""
    event_images: bytes = b""


def render(job: Job) -> Outcome:
    """The packed item of a sample, or why there is none."""
    done = _about(job)
    config = ClipConfig(
        frames=job.rendering.frames,
        modalities=job.rendering.modalities,
        representation=job.rendering.representation,
        window=job.rendering.window,
        filters=job.rendering.filters,
    )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RecordingWarning)
            item = encode(
                open_sample(job.sample, job.source),
                config,
                sample=job.sample.sample,
                label=job.label,
                shorter_side_px=job.rendering.shorter_side_px,
                lossy=job.rendering.lossy,
                max_frames=job.rendering.max_frames,
            )
    except EvloraError as error:
        return Outcome(_rejected(job, done, str(error)))
    except Exception as error:  # a reader that stumbles over one file must not end all the work
        return Outcome(_rejected(job, done, f"{type(error).__name__}: {error}"))
    frames, event_images = item["frames"].tobytes(), item["event_images"].tobytes()
    if (size := len(frames) + len(event_images)) > MOST_BYTES:
        message = (
            f"expected at most {MOST_BYTES / 1e6:,.0f} MB when it is packed, got "
            f"{size / 1e6:,.0f} MB; cut the recording into shorter ones, or scale its pictures "
            "down with --shorter-side"
        )
        return Outcome(_rejected(job, done, message))
    packed = done.model_copy(
        update={
            "lengths": (len(frames), len(event_images)),
            "checksum": checksum_of(frames, event_images),
            "remarks": tuple(
                str(warning.message)
                for warning in caught
                if issubclass(warning.category, RecordingWarning)
            ),
        }
    )
    return Outcome(packed, frames, event_images)


def render_all(jobs: Iterable[Job], *, workers: int) -> Generator[Outcome]:
    """The outcomes of these jobs, in their order.

    Args:
        jobs: Taken from as needed.
        workers: Processes; 0 does the work in this one.
    """
    return outcomes_of(render, jobs, workers=workers, killed=_of_killed, preload=__name__)


def _about(job: Job) -> Done:
    files = look_at(job.sample.paths, job.source)
    return Done(
        number=job.number,
        sample=job.sample.sample,
        split=job.sample.split,
        label=job.label,
        source_bytes=files.bytes,
        fingerprint=files.fingerprint,
    )


def _rejected(job: Job, done: Done, message: str) -> Done:
    """The sample with the reason; a file that the message begins with has a field of its own."""
    file, reason = job.sample.paths[0], message
    named, colon, rest = message.partition(": ")
    if colon and Path(named).is_relative_to(job.source):
        file, reason = Path(named).relative_to(job.source).as_posix(), rest
    return done.model_copy(update={"file": file, "reason": " ".join(reason.split())})


def _of_killed(job: Job) -> Outcome:
    message = (
        "the process that read it was killed: it needs too much memory, or made the library that "
        "reads it fail"
    )
    return Outcome(_rejected(job, _about(job), message))
