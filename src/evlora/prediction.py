"""From a recording, or a folder of them, to ranked labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast, overload

import torch

from evlora.answering import Precision, for_answers
from evlora.clips import Clip, ClipConfig, Modality, collate, make_test_views
from evlora.companions import visible
from evlora.errors import RecordingError
from evlora.recognizer import Recognizer, require_recognizer
from evlora.recordings import Recording, open_recording
from evlora.recordings.opening import Input, as_recording, with_frames_of
from evlora.recordings.readers import is_of_events
from evlora.recordings.readers.images import IMAGE_SUFFIXES
from evlora.recordings.readers.table import EVENT_SUFFIXES, FRAME_SUFFIXES


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label and how probable the recognizer holds it: `label`, and `probability` in 0…1."""

    label: str
    probability: float


@overload
def predict(
    recognizer: Recognizer,
    recording: Input,
    *,
    without: Modality | None = None,
    precision: Precision = "fp32",
) -> list[Prediction]: ...


@overload
def predict(
    recognizer: Recognizer,
    recording: Sequence[Input],
    *,
    without: Modality | None = None,
    precision: Precision = "fp32",
) -> list[list[Prediction]]: ...


def predict(
    recognizer: Recognizer,
    recording: Input | Sequence[Input],
    *,
    without: Modality | None = None,
    precision: Precision = "fp32",
) -> list[Prediction] | list[list[Prediction]]:
    """All labels of the recognizer, the most probable first.

    Probabilities are the mean over the test views that the recognizer's `clip.test_views` names.

    Args:
        recognizer: Loaded from a bundle.
        recording: With the modalities that the recognizer was trained on; one of both if it was
            trained with `clip.augmentation.modality_dropout`. A recording, its events or frames,
            its path, where frames of its name beside it are taken as well, or frames as an array,
            uint8, shape (T, H, W, 3); or a list of these.
        without: Of both modalities, one that is hidden, even where the recording has it.
        precision: See `for_answers`.

    Returns:
        The labels; of a list, those of each of its recordings.

    Raises:
        DatasetError: The recording lacks a modality, or the recognizer has only the hidden one.
        RecordingError: A file or a frame cannot be read, or there is nothing in the recording.
        BundleError: The recognizer is none, but the path of its bundle for example.
    """
    require_recognizer(recognizer)
    if isinstance(recording, list | tuple):
        some = cast(Sequence[Input], recording)
        return [predict(recognizer, one, without=without, precision=precision) for one in some]
    config = recognizer.clip_config.hiding(without)
    if isinstance(recording, str | Path):
        opened, _ = open_with_frames(Path(recording), config)
    else:
        opened = as_recording(cast(Input, recording))
    clips = make_test_views(opened, config, sample=str(opened.path or "recording"))
    return ranked_labels(recognizer, [clips], precision=precision)[0]


def ranked_labels(
    recognizer: Recognizer, samples: Sequence[Sequence[Clip]], *, precision: Precision = "fp32"
) -> list[list[Prediction]]:
    """All labels of the recognizer for each sample, the most probable first, by one call.

    Args:
        recognizer: Loaded from a bundle.
        samples: The test views of each, equally many.
        precision: See `for_answers`.
    """
    device = next(recognizer.parameters()).device
    answering = for_answers(recognizer, precision=precision)
    with torch.inference_mode():
        rgb, events, *_ = collate(samples).to(device)
        scores = answering.log_probabilities(rgb, events, views=len(samples[0]))
    probabilities = scores.exp().cpu()
    order = probabilities.argsort(dim=1, descending=True, stable=True)
    return [
        [Prediction(recognizer.labels[i], float(of_one[i])) for i in first]
        for of_one, first in zip(probabilities, order.tolist(), strict=True)
    ]


class Found(NamedTuple):
    """A recording in a folder, and the frames of the same name beside it."""

    recording: Path
    frames: Path | None = None


def frames_beside(recording: Path) -> Path | None:
    """The picture, video or folder of pictures beside a recording of events that has its name."""
    if recording.is_dir() or recording.suffix.lower() not in EVENT_SUFFIXES:
        return None
    for entry in visible(recording.parent):
        is_of_frames = entry.suffix.lower() in FRAME_SUFFIXES
        if entry.stem == recording.stem and (entry.is_dir() or is_of_frames):
            return entry
    return None


def open_with_frames(
    path: Path, config: ClipConfig, **options: Any
) -> tuple[Recording, Path | None]:
    """A recording, with the frames beside it where clips need some and it has none of its own.

    Args:
        path: The recording.
        config: How clips are made.
        options: How to open it; see `open_recording`.

    Returns:
        The recording, and what lies beside it and was taken.

    Raises:
        RecordingError: It cannot be read.
    """
    recording = open_recording(path, **options)
    needs_frames = "rgb" in config.modalities and config.without != "rgb"
    beside = frames_beside(path) if needs_frames and not recording.frames else None
    if beside is not None:
        recording = with_frames_of(recording, beside)
    return recording, beside


def recordings_in(path: Path, config: ClipConfig) -> list[Found]:
    """The recordings that a path stands for, each to be answered separately.

    A file is one. So is a folder of pictures, whose pictures are its frames, unless clips are
    single pictures (`frames: 1`): then each is one. Any other folder is searched, and the folders
    in it, in the order of their names; a picture, a video or a folder of pictures that is named
    like a recording of events holds its frames. Files of other suffixes and text without
    events are passed over.

    Args:
        path: A file or a folder.
        config: How clips are made.

    Raises:
        RecordingError: There is none.
    """
    if not path.is_dir():
        return [Found(path)]
    found = list(_search(path, config))
    if not found:
        raise RecordingError(
            f"{path}: expected a recording, or recordings in this folder, found none; "
            "name a file, a folder of pictures, or a folder of recordings"
        )
    return found


def _search(folder: Path, config: ClipConfig) -> Iterator[Found]:
    entries = visible(folder)
    files = [entry for entry in entries if entry.is_file()]
    events = [file for file in files if is_of_events(file)]
    frames = [file for file in files if file.suffix.lower() in FRAME_SUFFIXES]
    are_pictures = all(file.suffix.lower() in IMAGE_SUFFIXES for file in frames)
    if frames and are_pictures and not events and config.frames > 1:
        yield Found(folder)
        return
    beside = {entry.stem: entry for entry in entries if entry in frames or entry.is_dir()}
    taken: set[Path] = set()
    for file in events:
        frames_of_it = beside.get(file.stem)
        taken |= {file} if frames_of_it is None else {file, frames_of_it}
        yield Found(file, frames_of_it)
    for entry in entries:
        if entry.is_dir() and entry not in taken:
            yield from _search(entry, config)
        elif entry in frames and entry not in taken:
            yield Found(entry)
