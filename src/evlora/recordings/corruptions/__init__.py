"""Faults of sensors as named conditions, in five strengths; docs/corruptions.md explains them."""

from evlora.recordings.corruptions.table import (
    CORRUPTIONS,
    STRENGTHS,
    Corruption,
    corrupted,
    parse_corruption,
)

__all__ = ["CORRUPTIONS", "STRENGTHS", "Corruption", "corrupted", "parse_corruption"]
