"""Graphs as ONNX files: torch's exporter, then half precision or 8 bits where asked."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from evlora.errors import ExportError
from evlora.exporting.description import METADATA_KEY
from evlora.exporting.formats import FormatName
from evlora.exporting.graphs import Graph
from evlora.exporting.programs import shortened, traced
from evlora.exporting.quantizing import Feed, in_8_bits

NEEDED = ("onnx", "onnxscript", "onnxruntime")
LARGEST_BYTES = 2**31 - 2**20
"""An ONNX file is one message of protobuf, which ends at 2 GiB."""
MOST_BYTES_COMPARED = 2**32


def require_onnx() -> None:
    """Check that what writes and runs ONNX files is installed.

    Raises:
        ExportError: Something is missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ExportError(
            f'onnx: {", ".join(missing)} not installed; pip install "evlora[export]", or export '
            "a .pt2, which needs nothing more"
        )


def write_onnx(
    graph: Graph,
    path: Path,
    description: str,
    *,
    form: FormatName,
    feeds: Sequence[Feed] = (),
) -> None:
    """Write the graph as an ONNX file.

    Args:
        graph: What is exported.
        path: The file.
        description: What stands in its metadata.
        form: One of the ONNX formats.
        feeds: For 8 bits, calls in which the range of activations is measured.

    Raises:
        ExportError: The exporter cannot take the network, or the file would be too large.
    """
    _require_size(graph)
    model = _tidied(_exported(graph))
    if form == "onnx-fp16":
        model = _in_half_precision(model)
    elif form == "onnx-int8":
        model = in_8_bits(model, path, names=graph.inputs, feeds=feeds)
    model.metadata_props.add(key=METADATA_KEY, value=description)
    path.write_bytes(model.SerializeToString())


def _require_size(graph: Graph) -> None:
    parameters = {id(p): p.numel() * p.element_size() for p in graph.module.parameters()}
    size = sum(parameters.values())
    if size > LARGEST_BYTES:
        raise ExportError(
            f"{graph.part}: expected at most 2 GiB of weights for one ONNX file, got "
            f"{size / 2**30:.1f} GiB; export a .pt2, or train on a smaller backbone"
        )


def _exported(graph: Graph) -> Any:
    """The graph as torch's exporter makes it, with names at both ends."""
    program = traced(graph)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # on names of axes, and deprecations of its own
            made = torch.onnx.export(
                program,
                input_names=graph.inputs,
                output_names=graph.outputs,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # of many kinds, by what the exporter does not know
        raise ExportError(
            f"{graph.part}: torch's ONNX exporter cannot take this network: {shortened(error)}; "
            "export a .pt2"
        ) from error
    assert made is not None  # dynamo=True
    return made


def _tidied(program: Any) -> Any:
    """The model with each tensor once: views share frozen weights, and the exporter copies them.

    It also goes without the exporter's notes on each node, which hold paths of this machine.
    """
    import onnx_ir
    from onnx_ir.passes import common

    model = program.model
    for tidy in (
        common.DeduplicateInitializersPass(size_limit=MOST_BYTES_COMPARED),
        common.ClearMetadataAndDocStringPass(),
    ):
        model = tidy(model).model
    return onnx_ir.to_proto(model)


def _in_half_precision(model: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers too small for half precision become the smallest
        return convert_float_to_float16(model, keep_io_types=True)


class OnnxSession:
    """An ONNX file as something to call with arrays.

    Args:
        path: The file.
        threads: Of onnxruntime; 0 is as many as there are cores.

    Raises:
        ExportError: onnxruntime cannot run it.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        import onnxruntime

        runtime = cast(Any, onnxruntime)  # its classes are those of an untyped extension
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors; its warnings are about its own graph optimiser
        try:
            self._session = runtime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )  # which would print to standard output
        except Exception as error:  # of its own classes, which share no base
            raise ExportError(
                f"onnxruntime cannot run what was exported: {shortened(error)}; export a .pt2"
            ) from error
        self._names = [one.name for one in self._session.get_inputs()]

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs, in the order of the graph's."""
        given = dict(zip(self._names, inputs, strict=True))
        return cast(list[NDArray[np.float32]], self._session.run(None, given))
