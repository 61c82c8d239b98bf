"""The names of the sites at which adapters are put: a key of a recipe, read without torch."""

from typing import Literal

Site = Literal["ffn", "attention", "both", "all", "linear"]
