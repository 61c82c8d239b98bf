"""How large what comes from outside may be: in one place, checked before memory is taken.

The environment variable EVLORA_LIMITS raises limits, or lowers them, by name:
`EVLORA_LIMITS="picture_px=2e8 unpacked_bytes=8e9"`. A recipe cannot, since recipes come from
outside as well. docs/limits.md explains each limit.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, cast

from evlora.errors import EvloraError
from evlora.messages import suggestion

VARIABLE = "EVLORA_LIMITS"


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest of each kind that is taken; see `limits`."""

    sensor_px: int = 1 << 24
    """Pixels of a sensor; the largest on sale has 1.3 million."""
    picture_px: int = 1 << 26
    """Pixels of a picture, or of a video's frame."""
    video_frames: int = 10_000_000
    """Frames of a video."""
    unpacked_bytes: int = 1 << 30
    """What a packed file or one of its members may grow to; see `unpacked_ratio`."""
    unpacked_ratio: int = 100
    """A packed file may also grow to this many times its size, if that is more."""
    archive_members: int = 1_000_000
    """Files in an archive."""
    recipe_bytes: int = 1 << 18
    """Of a recipe, or of other YAML."""
    recipe_values: int = 10_000
    """Keys and values of a recipe, an alias counted as what it stands for."""
    recipe_depth: int = 50
    """Levels of nesting in a recipe."""
    index_bytes: int = 1 << 30
    """Of a table, a list, a manifest, or the description of a bundle."""
    line_chars: int = 1 << 20
    """Of a line of a manifest, which may list pictures."""
    name_chars: int = 1000
    """Of a label or of a sample's name."""
    labels: int = 1_000_000
    """Classes of a dataset or of a bundle."""
    rank: int = 1024
    """Rank of an adapter, or width of its bottleneck."""
    option: int = 1 << 14
    """Any other number of an adapter or a backbone, seeds excluded."""
    parameters: int = 5_000_000_000
    """Of a backbone that options change, by its depth and width."""
    clip_px: int = 1 << 28
    """Pixels of a clip in one modality: moments × height × width."""
    test_clips: int = 1000
    """Clips of a recording that a test averages over."""
    upload_bytes: int = 1 << 28
    """Of what one request uploads to `evlora serve`."""
    upload_seconds: int = 60
    """That one upload may take."""
    decoder_bytes: int = 1 << 31
    """Memory that decoding one upload may take."""
    decoder_seconds: int = 30
    """That decoding one upload may take."""
    requests_at_once: int = 64
    """Requests that a service works on or keeps waiting; the next one is refused."""
    live_streams: int = 4
    """Cameras that a service answers at once."""
    live_message_bytes: int = 1 << 24
    """Of one message of a camera, and of what waits of one camera."""

    def unpacked(self, packed_bytes: int) -> int:
        """The bytes that a file of this size may unpack to."""
        return max(self.unpacked_bytes, self.unpacked_ratio * packed_bytes)


def limits() -> Limits:
    """The limits that hold now.

    Raises:
        EvloraError: EVLORA_LIMITS names no limit, or no number.
    """
    return _parsed(os.environ.get(VARIABLE, ""))


def raising(name: str) -> str:
    """What a message adds about the limit of this name: how to raise it."""
    return f"if you trust the file, raise the limit with {VARIABLE}={name}=NUMBER"


def require_bounded_options(options: Mapping[str, Any]) -> None:
    """Check the numbers of an adapter or a backbone, which decide how much memory it takes.

    Raises:
        ValueError: One is larger than the limit `option`; seeds may be.
    """
    for name, value in _numbered(options):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and "seed" not in name and "key" not in name and value > limits().option:
            raise ValueError(
                f"{name}: expected a number of at most {limits().option:,}, got {value:,}; "
                f"{raising('option')}"
            )


def _numbered(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each option with its value, or with those inside of it, such as ranks by layer."""
    for name, value in options.items():
        inside = cast(Mapping[str, Any], value).values() if isinstance(value, Mapping) else (value,)
        yield from ((name, one) for one in inside)


@lru_cache(maxsize=8)
def _parsed(text: str) -> Limits:
    known = {field.name for field in fields(Limits)}
    changed: dict[str, int] = {}
    for word in re.split(r"[\s,]+", text.strip()):
        if not word:
            continue
        name, _, value = word.partition("=")
        if name not in known:
            raise EvloraError(f"{VARIABLE}: no limit is called {name!r}; {suggestion(name, known)}")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 1 <= number < 2**63:
            raise EvloraError(
                f"{VARIABLE}: {name}: expected a number of 1 or more, got {value!r}; write it as "
                f"in {name}=2e9"
            )
        changed[name] = int(number)
    return Limits(**changed)
