"""RandLoRA (Albert et al., ICLR 2025): random pairs that all layers share, scaled by diagonals.

The random pairs of a ViT-B are 239 million numbers, most of a gigabyte. They follow from a seed, so
a bundle holds the diagonals alone.
"""

import warnings
from dataclasses import dataclass

import peft

from evlora.models.adapters.from_peft.row import row_of


@dataclass
class RandLoraConfig(peft.RandLoraConfig):
    """Of peft, without its warning that pairs drawn from a seed may differ on other systems."""

    def __post_init__(self) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Specified to not save basis", UserWarning)
            super().__post_init__()


METHOD = row_of(RandLoraConfig, fixed={"save_projection": False})
