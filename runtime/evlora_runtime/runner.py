"""From an exported file and a recording to ranked labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evlora.recordings.opening import Input, as_recording
from evlora_runtime.drawing import clips_of
from evlora_runtime.model import Model


class Ranked(NamedTuple):
    """A label and its probability, 0…1."""

    label: str
    probability: float


class Runner:
    """A recognizer for whole recordings; make one with `load`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.labels = model.labels
        self.clips = model.clips

    def predict(self, recording: Input) -> list[Ranked]:
        """All labels, the most probable first, as `evlora.predict` gives them.

        Args:
            recording: With the modalities that the recognizer was trained on.

        Raises:
            DatasetError: A modality is missing.
            RecordingError: It cannot be read, or there is nothing in it.
        """
        images = clips_of(as_recording(recording), self.clips)
        (shares,) = self.model.probabilities(images, views=len(images[0]))
        order: Sequence[int] = np.argsort(-shares, kind="stable").tolist()
        return [Ranked(self.labels[i], float(shares[i])) for i in order]


def load(path: str | Path, *, threads: int = 0) -> Runner:
    """The recognizer in an exported file.

    Args:
        path: What `evlora export` wrote without `--live`.
        threads: Of onnxruntime; 0 is as many as there are cores.

    Raises:
        RuntimeFileError: The file is missing, damaged, no file of evlora, or of another version.
    """
    return Runner(Model(Path(path), part="clip", threads=threads))
