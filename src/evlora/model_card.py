"""The README of a bundle: a model card as the hub reads it, with what the run states."""

import json
from collections.abc import Mapping
from typing import Any, cast

from evlora.escaping import markdown
from evlora.messages import listed
from evlora.recognizer import Recognizer

LABELS_SHOWN = 20
FROM_RUN = (
    ("data", "root", "dataset"),
    ("training", "epochs", "epochs"),
    ("training", "batch_size", "batch size"),
    ("training", "learning_rate", "learning rate"),
    ("training", "precision", "precision"),
    ("run", "seed", "seed"),
)
"""Section and key of a recipe → what the card calls it."""


def model_card(
    recognizer: Recognizer,
    sha256: str,
    *,
    metrics: Mapping[str, float],
    protocol: Mapping[str, Any],
    recipe: Mapping[str, Any] | None,
    has_backbone: bool,
) -> str:
    """The text of the card.

    Args:
        recognizer: What the bundle holds.
        sha256: Of the backbone's weights.
        metrics: On the validation split.
        protocol: What they were measured on; empty where it is unknown.
        recipe: Of the run, without places of this machine.
        has_backbone: Whether the frozen weights are in the bundle.
    """
    config = recognizer.config
    total = sum(p.numel() for p in recognizer.parameters())
    trained = sum(p.numel() for p in recognizer.trained_tensors().values())
    where = "in this folder" if has_backbone else "frozen and not in this folder"
    height, width = config.clip.size_px
    measured = "".join(f"| {markdown(name)} | {value:.4f} |\n" for name, value in metrics.items())
    licence = _of_backbone(recognizer).get("license") or "not stated by timm"
    return f"""{_front_matter(recognizer)}
# An evlora bundle

A recognizer of {len(recognizer.labels)} classes from {" and ".join(config.clip.modalities)}
(moments in a clip: {config.clip.frames}, of {height}×{width} px), made by
the network `{config.model.network}` with `{config.model.adapter.method}` adapters.

- Classes: {markdown(listed(recognizer.labels, at_most=LABELS_SHOWN))}.
- Backbone: `{config.backbone.name}`, {where}; SHA-256 of its weights
  `{sha256}`. Its licence: {markdown(licence)}.
- Trained: {trained:,} of {total:,} parameters ({100 * trained / total:.2f} %).
{_training(recipe)}{_measured_on(protocol)}
| measured on the validation split | |
|---|---|
{measured}
Use it with `evlora predict {{this folder, or USER/NAME on the hub}} RECORDING`, or from Python with
`evlora.load_bundle("{{the same}}")`. The backbone's weights are fetched or looked for by name, and
checked by their SHA-256.
"""


def _front_matter(recognizer: Recognizer) -> str:
    """What the hub reads of a card."""
    is_image = recognizer.clip_config.frames == 1
    lines = ["library_name: evlora"]
    lines.append(f"pipeline_tag: {'image' if is_image else 'video'}-classification")
    if name := _of_backbone(recognizer).get("hf_hub_id"):
        lines.append(f"base_model: {json.dumps(name)}")
    lines += ["tags:", "- evlora", "- peft"]
    if "event" in recognizer.clip_config.modalities:
        lines.append("- event-camera")
    return "\n".join(["---", *lines, "---"])


def _of_backbone(recognizer: Recognizer) -> dict[str, Any]:
    return cast(dict[str, Any], recognizer.network.vit.pretrained_cfg)


def _measured_on(protocol: Mapping[str, Any]) -> str:
    found = [
        f"{name.replace('_', ' ')} {markdown(str(value))}"
        for name, value in protocol.items()
        if value not in ("", None)
    ]
    return f"- Measured on: {'; '.join(found)}.\n" if found else ""


def _training(recipe: Mapping[str, Any] | None) -> str:
    found = [
        f"{name} {markdown(section[key])}"
        for part, key, name in FROM_RUN
        if (section := (recipe or {}).get(part)) and section.get(key) is not None
    ]
    return f"- Run: {', '.join(found)}.\n" if found else ""
