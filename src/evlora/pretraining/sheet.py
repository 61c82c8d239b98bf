"""`python -m evlora.pretraining.sheet FILE`: a picture of what a backbone is pre-trained on.

Each figure is a group of five: its glyph, which is to be predicted from any view, and four views.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evlora.files import writing_file
from evlora.pretraining.scenes import make_views

GROUPS_PER_ROW, VIEWS = 3, 4
GAP_PX, TILE_PX = 3, 64


def draw_sheet(path: Path, *, rows: int = 6, seed: int = 0) -> None:
    """Write the picture.

    Args:
        path: A file that Pillow knows by its suffix.
        rows: Rows of figures.
        seed: That of the run; its first figures are shown.
    """
    numbers = iter(range(rows * GROUPS_PER_ROW))
    lines = [
        np.concatenate([_group(seed, next(numbers)) for _ in range(GROUPS_PER_ROW)], axis=1)
        for _ in range(rows)
    ]
    with writing_file(path) as temporary:
        Image.fromarray(np.concatenate(lines)).save(temporary, optimize=True)


def _group(seed: int, number: int) -> NDArray[np.uint8]:
    views = make_views(seed, number, size_px=TILE_PX, views=VIEWS)
    glyph = Image.fromarray(views.glyph).convert("RGB")
    glyph = np.asarray(glyph.resize((TILE_PX, TILE_PX), Image.Resampling.NEAREST))
    margins = ((0, GAP_PX), (0, GAP_PX), (0, 0))
    tiles = [np.pad(tile, margins, constant_values=128) for tile in (glyph, *views.images)]
    return np.pad(
        np.concatenate(tiles, axis=1), ((0, 0), (0, 2 * GAP_PX), (0, 0)), constant_values=128
    )


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    draw_sheet(parser.parse_args().file)


if __name__ == "__main__":
    main()
