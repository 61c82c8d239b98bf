"""Datasets as they lie on disk, and the table of their layouts."""

from evlora.datasets.layouts.table import LAYOUTS, Layout, layout_named

__all__ = ["LAYOUTS", "Layout", "layout_named"]
