"""A bundle as a file that runs without evlora: ONNX and torch.export, checked when written."""

from typing import TYPE_CHECKING

from evlora import deferring

if TYPE_CHECKING:
    from evlora.exporting.run import Exported, export

__all__ = ["Exported", "export"]

_HOMES = {"evlora.exporting.run": ("Exported", "export")}

__getattr__ = deferring.names_on_demand("evlora.exporting", _HOMES)
