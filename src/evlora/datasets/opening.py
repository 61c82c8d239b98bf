"""From a sample of a manifest to its recording."""

from pathlib import Path

from evlora.datasets.samples import Sample
from evlora.recordings import Recording, open_recording
from evlora.recordings.opening import open_pictures
from evlora.recordings.parts import part_of


def open_sample(sample: Sample, source: Path) -> Recording:
    """The recording of a sample, or the part of one, whose paths are relative to `source`.

    Raises:
        RecordingError: A file cannot be read, or the part lies outside the recording.
        DatasetError: Its frames and its event images do not belong together.
    """
    recording = _whole(sample, source)
    return recording if sample.part is None else part_of(recording, sample.part)


def _whole(sample: Sample, source: Path) -> Recording:
    events = None if sample.events is None else source / sample.events
    frames, event_images = _located(sample.frames, source), _located(sample.event_images, source)
    if events is None and isinstance(frames, Path):
        events, frames = frames, None  # a video, or a recording that may hold events too
    if events is None:
        return open_pictures(frames, event_images)
    width, height = sample.sensor_px or (None, None)
    return open_recording(
        events, frames=frames, event_images=event_images, width=width, height=height
    )


def _located(paths: str | tuple[str, ...] | None, source: Path) -> Path | list[Path] | None:
    if paths is None:
        return None
    return source / paths if isinstance(paths, str) else [source / path for path in paths]
