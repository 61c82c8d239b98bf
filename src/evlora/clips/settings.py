"""What drawing a clip must know, whoever states it: a recipe, or an exported file."""

from typing import Literal, Protocol

Modality = Literal["rgb", "event"]
Fit = Literal["crop", "pad", "stretch"]
Sampling = Literal["segments", "dense"]
WindowKind = Literal["frame", "exposure", "segment"]


class ClipSettings(Protocol):
    """The keys of `ClipConfig` that a clip of a test depends on; see there."""

    @property
    def frames(self) -> int:
        """Moments in a clip, T."""
        ...

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a clip."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What a clip holds."""
        ...

    @property
    def without(self) -> Modality | None:
        """One of both modalities that is never shown."""
        ...

    @property
    def may_lack_one(self) -> bool:
        """Whether one of both modalities may be missing or hidden."""
        ...

    @property
    def filters(self) -> tuple[str, ...]:
        """What a recording passes first, in this order."""
        ...

    @property
    def representation(self) -> str:
        """How the events of a moment become an image."""
        ...

    @property
    def sampling(self) -> Sampling:
        """Which frames are the moments of a clip."""
        ...

    @property
    def stride(self) -> int:
        """Frames from a moment to the next one where sampling is dense."""
        ...

    @property
    def window(self) -> WindowKind:
        """Events of a moment that is a frame."""
        ...

    @property
    def fit(self) -> Fit:
        """What happens to a field of view of another shape."""
        ...

    @property
    def exposure(self) -> float:
        """Light that the frames keep."""
        ...
