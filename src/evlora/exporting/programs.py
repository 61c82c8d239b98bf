"""Graphs as programs of torch.export, `.pt2`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from evlora.errors import ExportError
from evlora.exporting.description import METADATA_KEY
from evlora.exporting.graphs import Graph

REASON_LENGTH = 300


def traced(graph: Graph) -> torch.export.ExportedProgram:
    """The graph as torch.export records it.

    Raises:
        ExportError: It cannot be recorded.
    """
    try:
        with torch.no_grad():
            return torch.export.export(
                graph.module, graph.example, dynamic_shapes=(tuple(graph.free),)
            )
    except Exception as error:  # torch's exporter raises of many kinds
        raise ExportError(
            f"{graph.part}: torch.export cannot record this network: {shortened(error)}; use the "
            "bundle with evlora itself, or report this with the recipe"
        ) from error


def shortened(error: Exception) -> str:
    """The first words of an error of an exporter, which may have hundreds of lines."""
    text = " ".join(str(error).split())
    return text if len(text) <= REASON_LENGTH else f"{text[:REASON_LENGTH]}…"


def write_program(graph: Graph, path: Path, description: str) -> None:
    """Write the graph as a `.pt2`."""
    torch.export.save(traced(graph), path, extra_files={METADATA_KEY: description})


class ProgramSession:
    """A `.pt2` as something to call with arrays."""

    def __init__(self, path: Path) -> None:
        # Typed loosely: torch's own type of a module that an exported program becomes is private.
        self._module = cast(Any, torch.export.load(path)).module()

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs, in the order of the graph's."""
        with torch.no_grad():
            outputs = self._module(*[torch.from_numpy(array) for array in inputs])
        several = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return [output.numpy() for output in several]
