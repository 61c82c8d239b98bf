"""The formats of an exported file: a row each."""

from typing import Literal, NamedTuple

FormatName = Literal["onnx", "onnx-fp16", "onnx-int8", "openvino", "pt2"]


class Format(NamedTuple):
    """What a format is, and how near its answers must come to PyTorch's."""

    suffix: str
    tolerance: float
    """The largest difference of a score, in parts of the largest score, or of 1 if that is less."""


FORMATS: dict[FormatName, Format] = {
    "onnx": Format(".onnx", 1e-4),  # ONNX in float32
    "onnx-fp16": Format(".onnx", 2e-2),  # ONNX in float16, for GPUs
    "onnx-int8": Format(".onnx", 0.5),  # ONNX with matrices of 8 bits, for CPUs
    "openvino": Format(".xml", 1e-4),  # a model of OpenVINO, in float32
    "pt2": Format(".pt2", 1e-4),  # a program of torch.export, in float32
}
"""Name → format."""
LEAST_AGREEMENT = 0.9
"""The share of given clips whose first label must be PyTorch's, in every format."""
