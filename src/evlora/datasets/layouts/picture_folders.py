"""Sequences of numbered pictures: where they lie, how many there are, and which are missing.

The authors of HARDVS and PokerEvent publish a folder of frames (`…_aps`) and a folder of event
images (`…_dvs`) for each recording, with the same file names in both. The numbers of HARDVS rise
by 5, those of PokerEvent by 1: the step is taken from the files.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from evlora.companions import is_companion
from evlora.recordings.readers.images import IMAGE_SUFFIXES

FRAMES_ENDING = "_aps"
EVENTS_ENDING = "_dvs"


@dataclass(frozen=True, slots=True)
class PictureSequence:
    """The pictures of one recording; a modality that is not there is None."""

    frames: Path | None
    """The folder of its frames."""
    events: Path | None
    """The folder of its event images."""
    count: int
    """Frames, or event images where there are no frames."""
    step: int | None
    """By how much the numbers rise from picture to picture; None where names are no numbers."""
    faults: tuple[str, ...] = ()
    """What is missing, though the rest can be used."""


def picture_sequence(folder: Path) -> PictureSequence | None:
    """The pictures of the recording in this folder; None where there are none.

    Pictures lie in the sub-folders `…_aps` and `…_dvs`, in one of the two alone, or in the folder
    itself, where they are taken as event images.
    """
    with os.scandir(folder) as found:
        inside = sorted(
            entry.name for entry in found if entry.is_dir() and not is_companion(entry.name)
        )
    frames, events = (
        next((folder / name for name in inside if name.lower().endswith(ending)), None)
        for ending in (FRAMES_ENDING, EVENTS_ENDING)
    )
    if frames is None and events is None:
        events = folder
    frame_names, event_names = _pictures(frames), _pictures(events)
    names = frame_names or event_names
    if not names:
        return None
    step, faults = _numbering(names)
    if frame_names and event_names and len(frame_names) != len(event_names):
        faults.append(
            f"{len(frame_names)} frames and {len(event_names)} event images; "
            "those without a partner are passed over"
        )
    return PictureSequence(
        frames if frame_names else None,
        events if event_names else None,
        len(names),
        step,
        tuple(faults),
    )


def _pictures(folder: Path | None) -> list[str]:
    """Names of the pictures in a folder, in the order of their numbers."""
    if folder is None:
        return []
    with os.scandir(folder) as found:
        names = [
            entry.name
            for entry in found
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and not is_companion(entry.name)
        ]
    return sorted(names, key=lambda name: (_number(name) or 0, name))


def _numbering(names: Sequence[str]) -> tuple[int | None, list[str]]:
    """By how much the numbers rise, and which are missing."""
    numbers = [_number(name) for name in names]
    known = [number for number in numbers if number is not None]
    gaps = [after - before for before, after in pairwise(known)]
    if not gaps or len(known) < len(numbers) or min(gaps) < 1:
        return None, []
    step = min(gaps)
    missing = sum(-(-gap // step) - 1 for gap in gaps)
    if not missing:
        return step, []
    at = next(place for place, gap in enumerate(gaps) if gap > step)
    return step, [f"{missing} missing in the numbering by {step}, the first after {names[at]}"]


def _number(name: str) -> int | None:
    """The last number in a file's name."""
    digits = re.findall(r"\d+", name.rpartition(".")[0])
    return int(digits[-1]) if digits else None
