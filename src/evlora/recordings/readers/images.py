"""Pictures as frames: one file, a list of files, or a folder. Pixels are read when asked for."""

import re
from pathlib import Path

from evlora.errors import RecordingError
from evlora.recordings.frames import FileFrames, FrameSequence, read_image
from evlora.recordings.recording import Recording

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The frames in a picture or a folder of pictures; width and height come from the pictures.

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
    return Recording(None, frames, "images", path)


def read_images(*paths: Path) -> FrameSequence:
    """The frames in these pictures, in this order, or in a folder in the order of their names.

    Numbers in names count as numbers: frame 10 comes after frame 9. Frames have no times.

    Raises:
        RecordingError: A path is missing, or nothing there is a picture.
    """
    files = [file for path in paths for file in _pictures(path)]
    if not files:
        raise RecordingError(
            "frames: expected at least one picture, got an empty list of paths; name a picture, "
            "a folder or a video"
        )
    height, width = read_image(files[0]).shape[:2]
    return FrameSequence(FileFrames(tuple(files), width, height), width, height)


def _pictures(path: Path) -> list[Path]:
    if not path.exists():
        raise RecordingError(f"{path}: no such picture or folder; check the path")
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise RecordingError(
            f"{path}: expected pictures ({' '.join(IMAGE_SUFFIXES)}) in this folder, got none"
        )
    return sorted(files, key=_natural_order)


def _natural_order(file: Path) -> tuple[list[tuple[int, int | str]], str]:
    parts = re.split(r"(\d+)", file.name)
    # Digits before letters; a part's kind goes first so that 7 and "a" are never compared.
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts], file.name
