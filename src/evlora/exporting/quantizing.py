"""ONNX graphs with matrices of 8 bits, and activations cut to 8 bits as they come or by a range.

The products of attention, the patch embedding, softmax, GELU and norms stay in float32, and so does
the head, whose scores are what is asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

Feed = Sequence[NDArray[Any]]
"""What a graph gets in one call, in the order of its inputs."""
CUT_TYPES = ("MatMul", "Gemm")
"""Nodes whose weights become int8."""


def in_8_bits(model: Any, path: Path, *, names: Sequence[str], feeds: Sequence[Feed] = ()) -> Any:
    """The model whose large matrices are int8.

    Args:
        model: In float32.
        path: Beside it files are made, and removed.
        names: Of the graph's inputs.
        feeds: Calls in which the range of each activation is measured, which then holds for all.
            Without any, each call cuts activations by its own range.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    whole, prepared, cut = (path.with_suffix(end) for end in (".whole", ".prepared", ".cut"))
    try:
        whole.write_bytes(model.SerializeToString())
        # Without it quantize_dynamic refuses every layer of torch's exporter. It takes a file: a
        # model in memory it splits, and cannot read again.
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        options: dict[str, Any] = {
            "op_types_to_quantize": list(CUT_TYPES),
            "per_channel": True,
            "reduce_range": True,  # 8 bits overflow on processors without VNNI
            "weight_type": QuantType.QInt8,
            "nodes_to_exclude": _in_float32(onnx.load(prepared)),
        }
        if feeds:
            quantize_static(
                prepared,
                cut,
                cast(Any, _Feeds(names, feeds)),  # anything with its method is such a reader
                # What a layer gives stays in float32: cutting it costs accuracy.
                extra_options={"OpTypesToExcludeOutputQuantization": list(CUT_TYPES)},
                **options,
            )
        else:
            quantize_dynamic(prepared, cut, **options)
        return onnx.load(cut)
    finally:
        for made in (whole, prepared, cut):
            made.unlink(missing_ok=True)


def _in_float32(model: Any) -> list[str]:
    """The names of the nodes that stay as they are: the head, and products of attention."""
    outputs = {output.name for output in model.graph.output}
    before = {name for n in model.graph.node if outputs & set(n.output) for name in n.input}
    weights = {one.name for one in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if (outputs | before) & set(node.output)
        or (node.op_type in CUT_TYPES and node.input[1] not in weights)
    ]


class _Feeds:
    """Calls as onnxruntime's calibration takes them: one after the other, then None."""

    def __init__(self, names: Sequence[str], feeds: Sequence[Feed]) -> None:
        self._calls = iter([dict(zip(names, feed, strict=True)) for feed in feeds])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next call."""
        return next(self._calls, None)
