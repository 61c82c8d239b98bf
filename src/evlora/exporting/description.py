"""What an exported file states of itself: labels, how clips are made, and what it was made of."""

import json
from importlib.metadata import version
from typing import Any

from evlora.exporting.formats import FormatName
from evlora.exporting.graphs import Graph
from evlora.recognizer import Recognizer

METADATA_KEY = "evlora"
"""The key in the file's own metadata, whose value is one JSON object."""
EXPORT_FORMAT = 1


def description_of(
    recognizer: Recognizer, graph: Graph, form: FormatName, *, is_calibrated: bool = False
) -> str:
    """The description as JSON.

    Args:
        recognizer: What is exported.
        graph: Which part of it.
        form: The file's format.
        is_calibrated: Whether the range of 8 bits was measured, and holds for every call.
    """
    network, config = recognizer.network, recognizer.config
    content: dict[str, Any] = {
        "format": EXPORT_FORMAT,
        "part": graph.part,
        "labels": list(recognizer.labels),
        "temperature": recognizer.temperature,
        "clip": config.clip.model_dump(mode="json"),
        "modalities": list(network.modalities),
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        # Without a range that was measured, 8 bits are scaled by the whole batch's largest number.
        "depends_on_batch": network.depends_on_batch or (form == "onnx-int8" and not is_calibrated),
        "least_moments": getattr(network, "least_moments", config.clip.frames),
        "network": config.model.network,
        "adapter": config.model.adapter.method,
        "backbone": config.backbone.name,
        "backbone_sha256": recognizer.backbone_sha256,
        "versions": {name: version(name) for name in ("evlora", "torch", "timm")},
    }
    return json.dumps(content, ensure_ascii=False)
