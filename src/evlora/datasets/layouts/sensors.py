"""The sensor's size where files of events do not state it: asked for before anybody trains."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import PositiveInt, model_validator

from evlora.config import Config
from evlora.datasets.manifest import Manifest
from evlora.datasets.samples import Sample
from evlora.errors import DatasetError, RecordingError, SensorSizeError
from evlora.recordings.opening import require_sensor_size
from evlora.recordings.readers.table import EVENT_SUFFIXES

MOST_LOOKED_AT = 200
"""Files that are opened to see whether they state their sensor; evenly spread."""


class SensorOptions(Config):
    """The size of the sensor of all recordings whose files do not state it."""

    width: PositiveInt | None = None
    """Columns of the sensor."""
    height: PositiveInt | None = None
    """Rows of the sensor."""

    @model_validator(mode="after")
    def _are_both_given(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("expected both width and height, or neither")
        return self


def with_sensor(manifest: Manifest, options: SensorOptions) -> Manifest:
    """The manifest with this sensor for every sample of events that has none."""
    if options.width is None or options.height is None:
        return manifest
    size = options.width, options.height
    samples = tuple(
        sample
        if sample.events is None or sample.sensor_px is not None
        else replace(sample, sensor_px=size)
        for sample in manifest.samples
    )
    return replace(manifest, samples=samples)


def require_sensors(manifest: Manifest, *, takes_size: bool) -> None:
    """Check that the recordings of a manifest state their sensor, or the manifest does.

    The first file of each kind in each class is opened, as far as its size needs.

    Args:
        manifest: The dataset.
        takes_size: Whether its layout has the options width and height.

    Raises:
        DatasetError: A file does not state its sensor, or another one than the options.
    """
    for sample in _looked_at(manifest):
        if sample.events is None or (sample.sensor_px is not None and not takes_size):
            continue
        width, height = sample.sensor_px or (None, None)
        try:
            require_sensor_size(manifest.source / sample.events, width=width, height=height)
        except SensorSizeError as error:
            if sample.sensor_px is not None:
                raise DatasetError(f"sample {sample.sample}: {error}") from error
            cure = (
                "give width= and height= to prepare, such as width=346 height=260"
                if takes_size
                else "state it in the files: evlora convert FILE OUT.h5 --width W --height H"
            )
            raise DatasetError(
                f"sample {sample.sample}: {manifest.source / sample.events} does not state the "
                f"size of its sensor; {cure}"
            ) from error
        except RecordingError:
            continue  # damaged: whoever reads its clip reports it, and may skip it


def _looked_at(manifest: Manifest) -> Iterator[Sample]:
    """The first sample of each class and kind of file, a limited number in all."""
    first: dict[tuple[str, str], Sample] = {}
    for sample in manifest.samples:
        if sample.events is None:
            continue
        suffix = Path(sample.events).suffix.lower()
        if suffix in EVENT_SUFFIXES:
            first.setdefault((sample.label, suffix), sample)
    found = list(first.values())
    yield from found[:: -(-len(found) // MOST_LOOKED_AT) or 1]
