"""Frames and event images, made apart from each other: which belong together.

Datasets such as HARDVS and PokerEvent come as two folders of numbered pictures for each recording.
The numbers rise in steps that differ between datasets (HARDVS: 5), and a folder may lack some.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import gcd
from pathlib import Path

from evlora.errors import DatasetError
from evlora.messages import listed
from evlora.recordings.frames import FileFrames, FrameSequence


def paired(
    frames: FrameSequence, event_images: FrameSequence
) -> tuple[FrameSequence, FrameSequence, str | None]:
    """Frames and event images as one list each, with what belongs together at one place.

    As many of one as of the other belong together in their order. Otherwise, or where pictures are
    missing in the middle, the last number in a file's name decides: as it is, or counted in steps
    of its own folder, whichever finds more pairs.

    Returns:
        The frames, the event images, and what was skipped, or None.

    Raises:
        DatasetError: They differ in number and nothing shows which belong together.
    """
    first, second = _numbers(frames), _numbers(event_images)
    is_known = first is not None and second is not None
    if len(frames) == len(event_images) and (
        not is_known or first == second or (_is_even(first) and _is_even(second))
    ):
        return frames, event_images, None
    if first is None or second is None:
        raise DatasetError(
            f"expected one event image for each of {len(frames)} frames, got "
            f"{len(event_images)}, and no numbers in file names that show which belong together "
            f"({_shown(frames)}; {_shown(event_images)}); give as many of one as of the other"
        )
    pairs = max(_pairs(first, second), _pairs(_in_steps(first), _in_steps(second)), key=len)
    if not pairs:
        raise DatasetError(
            "expected frames and event images with the same numbers in their names, got "
            f"none in common: frames {_shown(frames)}; event images {_shown(event_images)}; "
            "check that both are of one recording"
        )
    chosen = _chosen(frames, [a for a, _ in pairs]), _chosen(event_images, [b for _, b in pairs])
    return *chosen, (
        f"{_folder(frames)}: {len(pairs)} of {len(frames)} frames and {len(event_images)} event "
        f"images ({_folder(event_images)}) belong together by their numbers; "
        "the others were skipped"
    )


def _numbers(sequence: FrameSequence) -> list[int] | None:
    """The last number in each file's name; None where one has none or two have the same."""
    if not isinstance(sequence.source, FileFrames):
        return None
    found = [re.findall(r"\d+", path.stem) for path in sequence.source.paths]
    numbers = [int(digits[-1]) for digits in found if digits]
    return numbers if len(set(numbers)) == len(found) else None


def _in_steps(numbers: Sequence[int]) -> list[int]:
    step = gcd(*(after - before for before, after in pairwise(numbers))) or 1
    return [number // step for number in numbers]


def _is_even(numbers: Sequence[int] | None) -> bool:
    """Whether no picture is missing between the first and the last one."""
    return numbers is not None and len({b - a for a, b in pairwise(numbers)}) < 2


def _pairs(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """Places in both lists of the numbers that both have, in the order of the first one."""
    places = {number: place for place, number in enumerate(second)}
    return [(place, places[number]) for place, number in enumerate(first) if number in places]


def _chosen(sequence: FrameSequence, places: list[int]) -> FrameSequence:
    assert isinstance(sequence.source, FileFrames)  # only names have numbers
    source = replace(sequence.source, paths=tuple(sequence.source.paths[i] for i in places))
    starts, ends = (
        None if times is None else times[places] for times in (sequence.start_us, sequence.end_us)
    )
    return replace(sequence, source=source, start_us=starts, end_us=ends)


def _folder(sequence: FrameSequence) -> Path:
    assert isinstance(sequence.source, FileFrames)
    return sequence.source.paths[0].parent


def _shown(sequence: FrameSequence) -> str:
    if not isinstance(sequence.source, FileFrames):
        return f"{len(sequence)} from a video or another file"
    paths = sequence.source.paths
    return f"{listed(path.name for path in paths)} in {paths[0].parent}"
