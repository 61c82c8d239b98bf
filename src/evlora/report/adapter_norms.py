"""How much the adapters change each block of each view."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from evlora.figures import new_figure, save_figure
from evlora.models.adapters import fold, is_foldable
from evlora.models.backbone import share_weights
from evlora.recognizer import Recognizer, adapted_parts

OF_PEFT = "base_model.model."
"""How peft's names of modules begin, inside an adapted one."""


class Change(NamedTuple):
    """What adapters do to the weights of one block, or of what stands before the blocks."""

    relative: float
    """Norm of what they add to the weights that they adapt, as a share of those weights' norm."""
    layers: int
    """Layers that carry adapters."""


def adapter_norms(recognizer: Recognizer) -> dict[str, dict[str, Change]]:
    """How much adapters change the weights that they adapt, by view or stage and by block.

    Adapters that cannot be folded into weights have no such norm, and are not listed.

    Args:
        recognizer: Trained.

    Returns:
        By view or stage, and by block: `block 1`, …, or `stem` for what stands before them.
    """
    return {
        name: _changes(part)
        for name, part in adapted_parts(recognizer).items()
        if is_foldable(part)
    }


@torch.no_grad()
def _changes(part: PeftModel) -> dict[str, Change]:
    folded = dict(fold(share_weights(part)).named_modules())
    sums: dict[str, list[tuple[float, float]]] = {}
    for path, layer in part.named_modules():
        if isinstance(layer, BaseTunerLayer):
            own = path.removeprefix(OF_PEFT)
            before = dict(layer.get_base_layer().named_parameters(recurse=False))
            after = dict(folded[own].named_parameters(recurse=False))
            sums.setdefault(_block(own), []).append(_squares(before, after))
    return {
        block: Change(
            (sum(change for change, _ in of_it) / sum(whole for _, whole in of_it)) ** 0.5,
            len(of_it),
        )
        for block, of_it in sums.items()
        if sum(whole for _, whole in of_it) > 0
    }


def _squares(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> tuple[float, float]:
    """Sums of squares of what was added, and of what it was added to."""
    kept = before.keys() & after.keys()
    return (
        sum(float((after[name] - before[name]).double().square().sum()) for name in kept),
        sum(float(before[name].double().square().sum()) for name in kept),
    )


def _block(path: str) -> str:
    found = re.search(r"(?:^|\.)blocks\.(\d+)\.", path)
    if found:
        return f"block {int(found[1]) + 1}"
    return "block" if re.match(r"(attn|mlp)\b", path) else "stem"


def draw_adapter_norms(norms: Mapping[str, Mapping[str, Change]], path: Path) -> None:
    """How much adapters change the weights, a row for each block and a column for each view.

    Args:
        norms: Of `adapter_norms`.
        path: The PNG to write.
    """
    blocks = sorted({block for of_view in norms.values() for block in of_view}, key=_place)
    values = np.full((len(blocks), len(norms)), np.nan)
    for column, of_view in enumerate(norms.values()):
        for block, change in of_view.items():
            values[blocks.index(block), column] = change.relative
    highest = float(np.nanmax(values)) or 1.0
    figure = new_figure((max(3.4, 1.3 + 1.3 * len(norms)), 1.2 + 0.36 * len(blocks)))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=highest, aspect="auto")
    names = [name.replace("_", " ") for name in norms]
    axes.set_xticks(range(len(names)), names, fontsize=9, rotation=20, ha="right")
    axes.set_yticks(range(len(blocks)), blocks, fontsize=9)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if value > 0.6 * highest else "black"
            axes.text(
                column, row, f"{value:.1%}", ha="center", va="center", color=colour, fontsize=9
            )
    axes.set_title("change of the adapted weights", fontsize=10)
    save_figure(figure, path)


def _place(block: str) -> tuple[int, int]:
    name, _, number = block.partition(" ")
    return ("stem", "block").index(name), int(number or 0)
