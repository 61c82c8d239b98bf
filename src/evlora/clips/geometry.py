"""The same geometry for both modalities: a canvas, and the box that is cut from it.

Frames and event images of one recording may differ in size (N-MNIST: 28×28 and 34×34); both show
the same field of view. So both are resized to one canvas, with antialiasing, and the same box is
cut from it. The canvas is made so large that the box has the model's size: there is one resampling.
"""

from dataclasses import dataclass

from evlora.clips.sampling import MIDDLE, Choice
from evlora.clips.settings import Fit


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a field of view is brought to the size that the model takes."""

    canvas: tuple[int, int]
    """Height and width to which the whole field of view is resized."""
    top: int
    """First row of the box in the canvas; negative where the canvas is smaller and is padded."""
    left: int
    """First column of the box on the canvas."""
    size: tuple[int, int]
    """Height and width of the box: what the model takes."""
    is_flipped: bool = False
    erased: tuple[int, int, int, int] | None = None
    """First row, first column, height and width of what is emptied in the finished picture."""

    @property
    def is_padded(self) -> bool:
        """Whether the box reaches beyond the canvas."""
        return self.size[0] > self.canvas[0] or self.size[1] > self.canvas[1]


def place_evenly(
    height: int, width: int, *, size: tuple[int, int], fit: Fit, choice: Choice = MIDDLE
) -> Geometry:
    """The geometry of a test for a field of view of this shape.

    Args:
        height: Rows of what was seen.
        width: Columns of what was seen.
        size: Height and width that the model takes.
        fit: `crop` cuts off what stands out at the longer side, `pad` fills up the shorter one,
            `stretch` changes the shape.
        choice: Which of several boxes, evenly from the left to the right, or from the top to the
            bottom where that is the longer side; of one it is the centre.
    """
    canvas = canvas_for(height, width, size=size, fit=fit)
    top, left = (
        room // 2 if choice.of == 1 else room * choice.number // (choice.of - 1)
        for room in (canvas[0] - size[0], canvas[1] - size[1])
    )
    return Geometry(canvas, top, left, size)


def canvas_for(
    height: int,
    width: int,
    *,
    size: tuple[int, int],
    fit: Fit,
    zooms: tuple[float, float] = (1.0, 1.0),
) -> tuple[int, int]:
    """Height and width of the canvas, larger by a factor for each side where it is zoomed."""
    ratios = size[0] / height, size[1] / width
    if fit == "crop":
        ratios = (max(ratios),) * 2
    elif fit == "pad":
        ratios = (min(ratios),) * 2
    canvas = (round(height * ratios[0] * zooms[0]), round(width * ratios[1] * zooms[1]))
    return max(1, canvas[0]), max(1, canvas[1])
