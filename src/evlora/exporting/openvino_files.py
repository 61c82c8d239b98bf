"""Graphs as models of OpenVINO, by its own converter: NAME.xml and its weights, NAME.bin."""

import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import ExportError
from evlora.exporting.description import METADATA_KEY
from evlora.exporting.graphs import Graph
from evlora.exporting.onnx_files import write_onnx
from evlora.exporting.programs import shortened


def require_openvino() -> None:
    """Check that OpenVINO is installed.

    Raises:
        ExportError: It is not.
    """
    if find_spec("openvino") is None:
        raise ExportError(
            'openvino: not installed; pip install "evlora[export,openvino]", or export onnx, '
            "which OpenVINO reads as well"
        )


def write_openvino(graph: Graph, path: Path, weights: Path, description: str) -> None:
    """Write the graph as a model in float32.

    Args:
        graph: What is exported.
        path: The file of the graph, .xml.
        weights: The file of its weights, .bin.
        description: What stands among the model's facts, as those of an ONNX file.

    Raises:
        ExportError: An exporter cannot take the network.
    """
    runtime = _openvino()
    with tempfile.TemporaryDirectory(prefix=".openvino-", dir=path.parent) as folder:
        whole = Path(folder) / "whole.onnx"
        write_onnx(graph, whole, description, form="onnx")
        try:
            model = runtime.convert_model(whole)
        except Exception as error:  # of its own classes, which share no base
            raise ExportError(
                f"{graph.part}: OpenVINO cannot take this network: {shortened(error)}; export onnx"
            ) from error
        model.set_rt_info(description, [METADATA_KEY])
        made = Path(folder) / "model.xml"
        runtime.save_model(model, made, compress_to_fp16=False)  # its default rounds the weights
        made.with_suffix(".bin").replace(weights)
        made.replace(path)


def _openvino() -> Any:
    """The package, which an extra installs; what it holds is an untyped extension's."""
    return import_module("openvino")


class OpenVinoSession:
    """A model as something to call with arrays.

    Args:
        path: The file of the graph.
        weights: The file of its weights.
    """

    def __init__(self, path: Path, weights: Path) -> None:
        core = _openvino().Core()
        # Where the processor has bf16 it computes in that unless float32 is asked for.
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        self._model = core.compile_model(core.read_model(path, weights), "CPU", exact)

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs, in the order of the graph's."""
        found = self._model(list(inputs))
        return [np.array(found[output]) for output in self._model.outputs]
