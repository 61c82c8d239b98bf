"""How the images of a packed dataset were drawn: its `dataset.json` describes its shards."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from evlora.clips import ClipConfig, Modality
from evlora.clips.sampling import WindowKind
from evlora.config import Config
from evlora.errors import DatasetError

CODEC_VERSION = 1


class Rendering(Config):
    """How the pictures of a packed dataset were drawn."""

    frames: PositiveInt
    """Moments in a clip: recordings with fewer frames were cut into as many equal windows."""
    modalities: tuple[Modality, ...]
    """What was packed: rgb, event, or both."""
    representation: str
    """How the events of a moment became an image."""
    window: WindowKind
    """Which events belong to a moment that is a frame."""
    filters: tuple[str, ...] = ()
    """What the recordings passed first."""
    shorter_side_px: PositiveInt | None = None
    """Pictures with a longer one were scaled to this shorter side; null keeps the recording's."""

    @classmethod
    def of(cls, config: ClipConfig, *, shorter_side_px: int | None = None) -> "Rendering":
        """The rendering that gives clips of this configuration.

        Raises:
            DatasetError: Its windows depend on what training draws.
        """
        if config.window == "segment":
            raise DatasetError(
                "packing: the events of window: segment depend on the moments that training draws "
                "and cannot be drawn before; set window: frame or exposure, or train from the "
                "recordings"
            )
        return cls(
            frames=config.frames,
            modalities=config.modalities,
            representation=config.representation,
            window=config.window,
            filters=config.filters,
            shorter_side_px=shorter_side_px,
        )


class PackedAbout(Config):
    """What `dataset.json` holds about the shards."""

    codec: Literal[1]
    """Version of the form in which a recording is packed."""
    rendering: Rendering
    """How the pictures were drawn."""
    items: dict[str, NonNegativeInt]
    """Items in the shards of each split."""
    compression: str
    """How each picture is compressed."""
    rejected: NonNegativeInt
    """Samples that could not be packed; rejected.csv names them."""
    evlora: str
    """Version of evlora that packed it."""
