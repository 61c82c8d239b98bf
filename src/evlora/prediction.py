"""From a recording to ranked labels."""

from dataclasses import dataclass

import torch

from evlora.bundle import Recognizer
from evlora.clips import collate, make_clip
from evlora.recordings import Recording


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label and how probable the recognizer holds it."""

    label: str
    probability: float


def predict(recognizer: Recognizer, recording: Recording) -> list[Prediction]:
    """All labels of the recognizer, the most probable first.

    Args:
        recognizer: Loaded from a bundle.
        recording: With the modalities that the recognizer was trained on.

    Raises:
        DatasetError: The recording lacks a modality.
        RecordingError: A frame cannot be read, or there is nothing in the recording.
    """
    clip = make_clip(recording, recognizer.clip_config, sample=str(recording.path or "recording"))
    batch = collate([clip])
    device = next(recognizer.parameters()).device
    recognizer.eval()
    with torch.inference_mode():
        rgb, events = (x if x is None else x.to(device) for x in (batch.rgb, batch.events))
        probabilities = recognizer.recognize(rgb, events).logits[0].float().softmax(dim=0).cpu()
    order = probabilities.argsort(descending=True, stable=True)
    return [Prediction(recognizer.labels[i], float(probabilities[i])) for i in order.tolist()]
