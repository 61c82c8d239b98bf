"""What the service answers, as documents with examples: OpenAPI shows them."""

from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, ConfigDict

from evlora.limits import Limits

SERVING_LIMITS = (
    *("upload_bytes", "upload_seconds", "decoder_bytes", "decoder_seconds"),
    *("requests_at_once", "live_streams", "live_message_bytes"),
    *("picture_px", "sensor_px", "video_frames", "unpacked_bytes"),
)
"""Of all limits, those that a client meets."""


class Ranked(BaseModel):
    """A label and its probability."""

    label: str
    probability: float


class Contents(BaseModel):
    """What an uploaded recording holds."""

    format: str
    width: int
    height: int
    events: int
    frames: int
    duration_us: int | None
    """Where nothing states times, null."""


class Timing(BaseModel):
    """Where the time went, in ms; `network` is shared with requests of the same moment."""

    reading: float
    drawing: float
    network: float
    total: float


class MomentAnswer(BaseModel):
    """The answer after a moment of the clip."""

    t_us: int | None
    """When it was complete, since the recording began; null where nothing states times."""
    labels: list[Ranked]
    """None yet where the network answers to more moments."""


class Shown(BaseModel):
    """A picture of a moment."""

    modality: Literal["rgb", "events", "difference"]
    t_us: int | None
    png: str
    """data:image/png;base64,…"""


class PredictAnswer(BaseModel):
    """The answer to a recording."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "bundle": "gestures",
                    "labels": [
                        {"label": "wave", "probability": 0.93},
                        {"label": "clap", "probability": 0.05},
                    ],
                    "warnings": [],
                    "recording": {
                        "format": "aedat4",
                        "width": 346,
                        "height": 260,
                        "events": 81234,
                        "frames": 24,
                        "duration_us": 998000,
                    },
                    "timing_ms": {"reading": 8.1, "drawing": 5.2, "network": 21.0, "total": 40.7},
                }
            ]
        }
    )

    bundle: str
    labels: list[Ranked]
    warnings: list[str]
    recording: Contents
    timing_ms: Timing
    moments: list[MomentAnswer] | None = None
    pictures: list[Shown] | None = None
    relevance: list[Shown] | None = None


class BundleRow(BaseModel):
    """A recognizer that is served."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "gestures",
                    "labels": ["clap", "wave"],
                    "modalities": ["rgb", "events"],
                    "moments": 8,
                    "height": 112,
                    "width": 112,
                    "default": True,
                }
            ]
        }
    )

    name: str
    labels: list[str]
    modalities: list[str]
    moments: int
    height: int
    width: int
    default: bool


class Fault(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"error": "recording.raw: expected the sensor's size, which nothing states"}
            ]
        }
    )

    error: str


class State(BaseModel):
    """How the service is."""

    status: str


class ServingLimits(BaseModel):
    """What a client may send; docs/limits.md explains each."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"upload_bytes": 268435456, "decoder_seconds": 30}]},
    )

    upload_bytes: int
    seconds: int
    """That decoding may take."""


def serving_limits(limits: Limits) -> ServingLimits:
    """The limits that a client meets, by name."""
    chosen = {name: value for name, value in asdict(limits).items() if name in SERVING_LIMITS}
    return ServingLimits(**chosen, seconds=limits.decoder_seconds)


FAULTS = {
    400: "the form has no recording, or other parts",
    401: "no token, or another one",
    404: "no bundle of this name",
    408: "the upload took too long",
    413: "too large",
    415: "a format that evlora does not read",
    422: "not readable, or without what the recognizer needs",
    429: "busy: ask again after Retry-After seconds",
    503: "the decoder was killed, or the service is ending",
    507: "the disk of the service is full",
}
"""Status → what it means here."""
