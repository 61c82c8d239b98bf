"""Pictures as frames: one file, a list of files, or a folder. Pixels are read when asked for."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from evlora.companions import visible
from evlora.errors import RecordingError
from evlora.messages import listed
from evlora.recordings.depth import bits_of, places_looked_at
from evlora.recordings.frames import FileFrames, FrameSequence, StackFrames
from evlora.recordings.pictures import Pages, Values, read_pages, read_values
from evlora.recordings.recording import Recording
from evlora.untrusted import is_folder

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FEWEST_GAPS = 6
"""Between fewer numbers no rule can be seen."""
NUMBER = re.compile(r"(?<![a-z])((?:cam|camera|view|sensor|device|dvs)[_-]?)?\d+", re.IGNORECASE)
"""A number in a name, with the word before it where that makes it a camera's."""
MOST_KINDS = 8
"""More kinds of names than this are names of single pictures."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The frames in a picture or a folder of pictures; width and height come from the pictures.

    A gap in the numbers of a folder's pictures and names of several kinds are among the
    recording's warnings.

    Raises:
        RecordingError: No picture there, or its size differs from the one that was given.
    """
    frames = read_images(path)
    given = (width or frames.width, height or frames.height)
    if given != (frames.width, frames.height):
        raise RecordingError(
            f"{path}: the pictures are {frames.width}×{frames.height}, width and height say "
            f"{given[0]}×{given[1]}; leave them out"
        )
    noted = doubts_of_folder(frames) if path.is_dir() else ()
    assert isinstance(frames.source, FileFrames | StackFrames)
    bits = frames.source.bits
    is_deep = 8 < bits < 16
    remarks = (f"{path}: values of 16 bits were read as {bits} bits",) if is_deep else ()
    return Recording(None, frames, "images", path, noted, remarks)


def read_images(*paths: Path) -> FrameSequence:
    """The frames in these pictures, in this order, or in a folder in the order of their names.

    Numbers in names count as numbers: frame 10 comes after frame 9. Frames have no times, but for
    those of an animation. A file of several pages alone is a sequence; beside others, a file is
    one frame.

    Raises:
        RecordingError: A path is missing, nothing there is a picture, or one of several files has
            several pages.
    """
    files = [file for path in paths for file in _pictures(path)]
    if not files:
        raise RecordingError(
            "frames: expected at least one picture, got an empty list of paths; name a picture, "
            "a folder or a video"
        )
    pages, values = read_pages(files[0])
    if len(files) == 1 and pages.numbers != (0,):  # several, or one behind its thumbnail
        return _stack(files[0], pages, values)
    if pages.numbers[0]:
        values = read_values(files[0])
    height, width = values.pixels.shape[:2]
    bits = _bits(values, [(file, 0) for file in files])
    return FrameSequence(FileFrames(tuple(files), width, height, bits), width, height)


def _stack(path: Path, pages: Pages, values: Values) -> FrameSequence:
    """The pages of one file, with the pixels of the first."""
    height, width = values.pixels.shape[:2]
    bits = _bits(values, [(path, page) for page in pages.numbers])
    source = StackFrames(path, pages.numbers, width, height, bits)
    shown_us = None if pages.shown_us is None else np.asarray(pages.shown_us, np.int64)
    return FrameSequence(source, width, height, shown_us, shown_us)


def _bits(first: Values, places: Sequence[tuple[Path, int]]) -> int:
    """The bits that the values of a sequence use, by its first page and, if that is deep, others.

    Args:
        first: The pixels of the first page.
        places: File and page of each frame.
    """
    if first.pixels.dtype == np.uint8 or first.bits is not None:
        return first.bits or 8
    looked_at = (read_values(*places[place]).pixels for place in places_looked_at(len(places)))
    return bits_of(looked_at, where=str(places[0][0]))


def doubts_of_folder(frames: FrameSequence) -> tuple[str, ...]:
    """What is doubtful in a folder of pictures: some seem to be missing, or of several cameras."""
    return tuple(filter(None, (missing_pictures(frames), mixed_pictures(frames))))


def mixed_pictures(frames: FrameSequence) -> str | None:
    """How the pictures of a folder seem to be several sequences; None where they do not.

    Their names are then of a few kinds: `left_001` and `right_001`, or `001` and `001_mask`.
    """
    if not isinstance(frames.source, FileFrames):
        return None
    kinds: dict[str, list[Path]] = {}
    for file in frames.source.paths:
        kind = NUMBER.sub(lambda found: found[0] if found[1] else "#", file.name.lower())
        kinds.setdefault(kind, []).append(file)
    if not 1 < len(kinds) <= MOST_KINDS or min(map(len, kinds.values())) < 2:
        return None
    names = listed((files[0].name for files in kinds.values()), at_most=MOST_KINDS)
    return (
        f"{frames.source.paths[0].parent}: its pictures have names of {len(kinds)} kinds, such as "
        f"{names}, and were read as one sequence; move those of another camera to a folder of "
        "their own"
    )


def missing_pictures(frames: FrameSequence) -> str | None:
    """What seems to be missing among the numbered pictures of a folder; None where nothing does.

    The numbers rise in steps of one or more (HARDVS: 5). A step is taken to be the rule where three
    quarters of the pictures, and not just a few, follow it and the others lie a multiple of it
    apart.
    """
    if not isinstance(frames.source, FileFrames):
        return None  # one file, whose pages have no numbers
    files = frames.source.paths
    numbers = [int(digits[-1]) for file in files if (digits := re.findall(r"\d+", file.stem))]
    gaps = [after - before for before, after in pairwise(numbers)]
    if len(numbers) < len(files) or len(gaps) < FEWEST_GAPS or min(gaps) < 1:
        return None
    step, follow = Counter(gaps).most_common(1)[0]
    if step != min(gaps) or follow * 4 < len(gaps) * 3 or any(gap % step for gap in gaps):
        return None
    missing = sum(gap // step - 1 for gap in gaps)
    if not missing:
        return None
    before = files[next(place for place, gap in enumerate(gaps) if gap != step)]
    return (
        f"{before.parent}: the numbers of its {len(files)} pictures rise in steps of {step}, with "
        f"{missing} missing, the first after {before.name}; the others were read; copy the folder "
        "again if it should be whole"
    )


def _pictures(path: Path) -> list[Path]:
    if not is_folder(path, RecordingError):
        return [path]
    files = [file for file in visible(path) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise RecordingError(
            f"{path}: expected pictures ({' '.join(IMAGE_SUFFIXES)}) in this folder, got none; "
            "name a recording, a folder of pictures, or a folder of recordings"
        )
    return sorted(files, key=_natural_order)


def _natural_order(file: Path) -> tuple[list[tuple[int, int | str]], str]:
    parts = re.split(r"(\d+)", file.name)
    # Digits before letters; a part's kind goes first so that 7 and "a" are never compared.
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts], file.name
