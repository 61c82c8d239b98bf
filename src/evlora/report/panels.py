"""Clips with what was answered: frames, event images, the truth, the five best labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evlora.clips import Clip
from evlora.escaping import in_figure
from evlora.evaluation import Answers
from evlora.figures import new_figure, save_figure
from evlora.report.tiles import Picture, in_a_row, tiles

RIGHT, WRONG, OTHER = "#1a7f37", "#cf222e", "#8c959f"


@dataclass(frozen=True, slots=True)
class Answered:
    """A clip, its true label, and the most probable ones."""

    clip: Clip
    label: str
    ranked: Sequence[tuple[str, float]]
    """Labels with their probabilities, the most probable first."""

    @property
    def is_right(self) -> bool:
        """Whether the first label is the true one."""
        return self.ranked[0][0] == self.label


def chosen_places(answers: Answers, count: int) -> list[int]:
    """Which samples to look at: half of them the surest mistakes, the others right ones.

    Right ones are of as many classes as there can be, the least sure of each. Where there are too
    few mistakes, or too few that are right, more of the others are shown.

    Args:
        answers: For the samples of a split.
        count: How many.

    Returns:
        Numbers of samples, mistakes first.
    """
    surest: list[int] = np.argsort(-answers.confidence, kind="stable").tolist()
    is_right = answers.is_right
    wrong = [place for place in surest if not is_right[place]]
    right = [place for place in reversed(surest) if is_right[place]]
    seen: dict[int, int] = {}
    turns: list[tuple[int, int]] = []
    for place in right:
        label = int(answers.labels[place])
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], place))
    spread = [place for _, place in sorted(turns, key=lambda turn: turn[0])]
    of_wrong = min(len(wrong), max(count // 2, count - len(spread)))
    return [*wrong[:of_wrong], *spread[: count - of_wrong]]


def clip_picture(clip: Clip) -> Picture:
    """The T frames of a clip above its T event images, shape (H, W, 3).

    Args:
        clip: With one modality or both.
    """
    rows = [in_a_row(tiles(images)) for images in (clip.rgb, clip.events) if images is not None]
    return np.concatenate(rows, axis=0)


def draw_panel(answers: Sequence[Answered], path: Path) -> None:
    """The paper's panel: each clip with its frames, event images, truth and five best labels.

    Args:
        answers: What to show, one row each.
        path: The PNG to write.
    """
    pictures = [clip_picture(answer.clip) for answer in answers]
    ratio = max(1.0, *(picture.shape[1] / picture.shape[0] for picture in pictures))
    figure = new_figure((1.7 * ratio + 4.2, 1.9 * len(answers)))
    grid = figure.subplots(len(answers), 2, squeeze=False, width_ratios=(1.7 * ratio, 4.2))
    for (left, right), answer, picture in zip(grid, answers, pictures, strict=True):
        left.imshow(picture)
        left.set_axis_off()
        names = [in_figure(name, 28) for name, _ in answer.ranked]
        colours = [_colour(answer, place) for place in range(len(names))]
        right.barh(range(len(names)), [score for _, score in answer.ranked], color=colours)
        right.set_yticks(range(len(names)), names, fontsize=8)
        right.invert_yaxis()
        right.set_xlim(0, 1.16)  # room for the figures behind the bars
        right.set_xticks([])
        for place, (_, score) in enumerate(answer.ranked):
            right.text(score + 0.01, place, f"{score:.0%}", va="center", fontsize=8)
        right.spines[["top", "right", "bottom"]].set_visible(False)
        right.set_title(
            f"true: {in_figure(answer.label, 28)}",
            fontsize=9,
            loc="left",
            color=RIGHT if answer.is_right else WRONG,
        )
    save_figure(figure, path)


def _colour(answer: Answered, place: int) -> str:
    if answer.ranked[place][0] == answer.label:
        return RIGHT
    return WRONG if place == 0 else OTHER
