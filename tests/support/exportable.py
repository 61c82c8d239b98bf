"""Small recognizers of every kind that is exported, with random weights off their start."""

from collections.abc import Mapping
from typing import Any

import torch
from backbone_families import FAMILIES

from evlora.models import BackboneConfig
from evlora.recognizer import Recognizer, RecognizerConfig, build_recognizer

SIZES: dict[str, int | float | str | bool] = {"embed_dim": 32, "depth": 2, "num_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "velora": {"model": {"network": "velora"}, "frames": 3, "modalities": ("rgb", "event")},
    "image": {"model": {"network": "single_stream"}, "frames": 1, "modalities": ("rgb",)},
    "video": {"model": {"network": "single_stream"}, "frames": 4, "modalities": ("rgb",)},
    "events": {"model": {"network": "single_stream"}, "frames": 3, "modalities": ("event",)},
}
"""Name → network and clip."""

SCALED = ("DINOv2", "DINOv3")
"""Families whose blocks begin with a LayerScale of 1e-5, with which no image would matter."""

MIDDLE_ALONE: Mapping[str, int] = {"segments": 1, "crops": 1}


def exportable(
    kind: str,
    family: str = "AugReg",
    *,
    test_views: Mapping[str, int] = MIDDLE_ALONE,
    **model: object,
) -> Recognizer:
    """A recognizer of four classes.

    Args:
        kind: One of KINDS.
        family: Of the backbone.
        test_views: Clips that an answer is the mean of.
        model: More keys of the network's configuration.
    """
    row, made_of = KINDS[kind], FAMILIES[family]
    options = SIZES | ({"init_values": 1.0} if family in SCALED else {})
    config = RecognizerConfig.model_validate(
        {
            "clip": {
                "frames": row["frames"],
                "size": made_of.size,
                "modalities": row["modalities"],
                "test_views": test_views,
            },
            "backbone": BackboneConfig(name=made_of.name, weights="random", options=options),
            "model": {**row["model"], "pool": made_of.pool, **model},
        }
    )
    recognizer = build_recognizer(config, ("left", "right", "up", "Größe 4"))
    with torch.no_grad():
        for parameter in recognizer.trained_tensors().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return recognizer.eval()
