"""How a decoder makes clips: as evlora's networks see them, or as an exported file's do."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from evlora.clips import ClipConfig, make_clip, make_test_views
from evlora.clips.batch import Clip
from evlora.clips.sampling import choose_moments
from evlora.clips.settings import ClipSettings
from evlora.recordings import Recording
from evlora.serving.wire import Bytes

EXPORTED, TRAINED = "exported", "trained"


class Drawing(NamedTuple):
    """What a clip is made with: `trained` by a bundle's settings, `exported` by a file's."""

    kind: str
    settings: dict[str, Any]
    """`ClipConfig` as JSON."""


class Clips(Protocol):
    """Makes the clips of recordings."""

    @property
    def settings(self) -> ClipSettings:
        """How."""
        ...

    def of(self, recording: Recording, *, middle: bool) -> dict[str, Bytes]:
        """The test views of a recording by modality, uint8, shape (V, T, 3, H, W).

        Args:
            recording: With the modalities that the settings name.
            middle: Whether the clip that one looks at is wanted as well, where it is none of
                the test views; as `middle_rgb` and `middle_event`.
        """
        ...


def clips_by(drawing: Drawing, *, without: str | None = None) -> Clips:
    """What makes clips like this, with one modality hidden or none."""
    if drawing.kind == EXPORTED:
        return _ExportedClips({**drawing.settings, **({"without": without} if without else {})})
    config = ClipConfig.model_validate(drawing.settings)
    return _TrainedClips(config if without is None else config.hiding(without))  # pyright: ignore[reportArgumentType]


def moment_times(recording: Recording, settings: ClipSettings) -> list[int | None]:
    """When each moment of the clip was complete, in µs on the recording's clock, or None."""
    moments = choose_moments(
        recording,
        settings.frames,
        sampling=settings.sampling,
        stride=settings.stride,
        window=settings.window,
    )
    if moments.windows_us.any():
        return moments.windows_us[:, 1].tolist()
    frames = recording.frames or recording.event_images
    if frames is None or frames.end_us is None:
        return [None] * settings.frames
    assert moments.frame_indices is not None  # there are frames
    return frames.end_us[moments.frame_indices].tolist()


class _TrainedClips:
    def __init__(self, config: ClipConfig) -> None:
        self.settings = config

    def of(self, recording: Recording, *, middle: bool) -> dict[str, Bytes]:
        views = make_test_views(recording, self.settings)
        drawn = _stacked(views)
        if middle and len(views) > 1:
            whole = _stacked([make_clip(recording, self.settings)])
            drawn |= {f"middle_{name}": images for name, images in whole.items()}
        return drawn


class _ExportedClips:
    def __init__(self, stated: Mapping[str, Any]) -> None:
        from evlora_runtime.model import Clips as Settings

        self.settings = Settings.of(stated)

    def of(self, recording: Recording, *, middle: bool) -> dict[str, Bytes]:
        from evlora_runtime.drawing import clips_of

        del middle  # the first view is what one looks at
        views = clips_of(recording, self.settings)
        return dict(zip(self.settings.modalities, views, strict=True))


def _stacked(clips: list[Clip]) -> dict[str, Bytes]:
    by_name = {"rgb": [clip.rgb for clip in clips], "event": [clip.events for clip in clips]}
    return {
        name: np.stack([one.numpy() for one in images if one is not None])
        for name, images in by_name.items()
        if images[0] is not None
    }
