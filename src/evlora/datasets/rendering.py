"""How the images of a packed dataset were drawn: its `dataset.json` describes its shards."""

import re
from typing import Any, Literal, cast

from pydantic import (
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from evlora.clips import ClipConfig, Modality
from evlora.clips.settings import WindowKind
from evlora.config import Config
from evlora.errors import DatasetError

CODEC_VERSION = 3
"""Form in which pictures are packed. 1 and 2, without loss and with, had no differences; all are
read."""
LOSSY_FORMATS = ("jpeg", "webp")
LATER_KEYS = ("filters", "lossy", "max_frames")
"""Keys that earlier versions do not know; written where they are set."""


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
    lossy: str | None = None
    """FORMAT:QUALITY where pictures may have lost something; null where every pixel is kept."""
    max_frames: PositiveInt | None = None
    """How many frames of a recording were kept at most, evenly chosen; null where all were."""

    @field_validator("lossy")
    @classmethod
    def _is_known(cls, lossy: str | None) -> str | None:
        if lossy is not None and lossy_fault(lossy):
            raise ValueError(lossy_fault(lossy))
        return lossy

    @model_serializer(mode="wrap")
    def _without_unset_later_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = cast(dict[str, Any], write(self))
        return {k: v for k, v in written.items() if k not in LATER_KEYS or v}

    @property
    def compression(self) -> str:
        """How each picture is compressed, in words."""
        lossless = "zstd, each picture separately"
        return lossless if self.lossy is None else f"{self.lossy}, or {lossless}"

    @classmethod
    def of(
        cls,
        config: ClipConfig,
        *,
        shorter_side_px: int | None = None,
        lossy: str | None = None,
        max_frames: int | None = None,
    ) -> "Rendering":
        """The rendering that gives clips of this configuration.

        Raises:
            DatasetError: Its windows depend on what training draws, the frames that are kept are
                too few or not those of its sampling, or there is no such lossy format.
        """
        if lossy is not None and (fault := lossy_fault(lossy)):
            raise DatasetError(f"packing: lossy: {fault}")
        if max_frames is not None and max_frames < config.frames:
            raise DatasetError(
                f"packing: max_frames: expected {config.frames} or more, as many as a clip has, "
                f"got {max_frames}"
            )
        if max_frames is not None and config.sampling == "dense":
            raise DatasetError(
                "packing: max_frames keeps evenly chosen frames, and sampling: dense needs those "
                "of a stretch; pack all frames, or set clip.sampling: segments"
            )
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
            lossy=lossy,
            max_frames=max_frames,
        )


def lossy_fault(text: str) -> str:
    """What is wrong with a lossy format such as `jpeg:95`; empty where nothing is."""
    found = re.fullmatch(r"([a-z]+):(\d{1,3})", text)
    if found and found[1] in LOSSY_FORMATS and 1 <= int(found[2]) <= 100:
        return ""
    return (
        f"expected {' or '.join(f'{name}:QUALITY' for name in LOSSY_FORMATS)} with a quality "
        f"from 1 to 100, such as jpeg:95, got {text!r}"
    )


class PackedAbout(Config):
    """What `dataset.json` holds about the shards."""

    codec: Literal[1, 2, 3]
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
