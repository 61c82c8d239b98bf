"""Datasets as they lie on disk, and the table of their layouts."""

from evlora.clips.layouts.table import LAYOUTS, Layout, prepare

__all__ = ["LAYOUTS", "Layout", "prepare"]
