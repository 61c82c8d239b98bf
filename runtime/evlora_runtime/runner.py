"""From an exported file and a recording to ranked labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording, open_recording
from evlora_runtime.drawing import clips_of
from evlora_runtime.model import Model, log_probabilities

Input = Recording | EventStream | FrameSequence | str | Path
"""What stands for a recording: itself, its events or frames alone, or its path."""


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
        (scores,) = self.model(images)
        mean = np.exp(log_probabilities(scores.astype(np.float32))).mean(axis=0)
        order: Sequence[int] = np.argsort(-mean, kind="stable").tolist()
        return [Ranked(self.labels[i], float(mean[i])) for i in order]


def load(path: str | Path, *, threads: int = 0) -> Runner:
    """The recognizer in an exported file.

    Args:
        path: What `evlora export` wrote without `--live`.
        threads: Of onnxruntime; 0 is as many as there are cores.

    Raises:
        RuntimeFileError: The file is missing, damaged, no file of evlora, or of another version.
    """
    return Runner(Model(Path(path), part="clip", threads=threads))


def as_recording(given: Input) -> Recording:
    """The recording that something stands for.

    Raises:
        RecordingError: It cannot be read, or it stands for none.
    """
    match given:
        case Recording():
            return given
        case EventStream():
            return Recording(given, None, "events")
        case FrameSequence():
            return Recording(None, given, "images")
        case str() | Path():
            return open_recording(given)
        case _:
            raise RecordingError(
                "recording: expected a recording, its path, its events or its frames, got "
                f"{type(given).__name__}"
            )
