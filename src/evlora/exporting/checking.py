"""An exported file beside PyTorch: the largest difference of a score, and equal first labels."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evlora.clips import Batch, Clip, ClipConfig, collate, make_clip
from evlora.errors import ExportError
from evlora.exporting.formats import FORMATS, LEAST_AGREEMENT, FormatName
from evlora.exporting.graphs import ENCODED, Graph
from evlora.recognizer import Recognizer
from evlora.recordings import EventStream, FrameSequence, Recording

Session = Callable[[Sequence[NDArray[Any]]], list[NDArray[np.float32]]]
BATCHES = (1, 5)
"""Clips that are asked for at once, in turn."""
STEPS = f"{ENCODED}difference"
GENERATED = 6


@dataclass(frozen=True, slots=True)
class Check:
    """What a comparison of an exported file with PyTorch found."""

    format: FormatName
    clips: int
    clips_from: str
    """`given`, or `generated` where none were."""
    largest_difference: float
    """Of any score of any clip."""
    largest_score: float
    """In magnitude, by PyTorch."""
    tolerance: float
    """The largest difference that passes."""
    top1_agreement: float
    """Share of clips whose first label is PyTorch's."""

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values."""
        return asdict(self)


def compare(
    recognizer: Recognizer,
    graphs: Sequence[Graph],
    sessions: Sequence[Session],
    clips: Sequence[Clip],
    *,
    form: FormatName,
    are_given: bool,
) -> Check:
    """Run the same clips through the recognizer and through the exported graphs.

    Args:
        recognizer: With its adapters as they were trained, unfolded.
        graphs: Of a whole clip, or the two of live use.
        sessions: What runs the file of each graph.
        clips: One at least.
        form: The file's format.
        are_given: Whether a user named the clips, or they were generated.

    Raises:
        ExportError: The answers differ by more than the format may.
    """
    modalities = recognizer.network.modalities
    wanted, got = zip(
        *[
            (_answers(recognizer, batch), _scores(modalities, graphs, sessions, batch))
            for batch in _batches(clips)
        ],
        strict=True,
    )
    theirs, ours = np.concatenate(wanted), np.concatenate(got)
    largest = float(np.abs(theirs).max())
    check = Check(
        format=form,
        clips=len(clips),
        clips_from="given" if are_given else "generated",
        largest_difference=float(np.abs(theirs - ours).max()),
        largest_score=largest,
        tolerance=FORMATS[form].tolerance * max(1.0, largest),
        top1_agreement=float((theirs.argmax(axis=1) == ours.argmax(axis=1)).mean()),
    )
    _require_agreement(check)
    return check


def inputs_of(
    recognizer: Recognizer, graphs: Sequence[Graph], clips: Sequence[Clip]
) -> list[list[list[NDArray[Any]]]]:
    """What each graph gets, call by call, while clips go through them in PyTorch.

    Args:
        recognizer: What is exported.
        graphs: Of a whole clip, or the two of live use.
        clips: One at least.
    """
    noting = [_Noting(graph.module) for graph in graphs]
    for batch in _batches(clips):
        _scores(recognizer.network.modalities, graphs, noting, batch)
    return [one.inputs for one in noting]


class _Noting:
    """A graph's module as a session that keeps what it was called with."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self.inputs: list[list[NDArray[Any]]] = []

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        self.inputs.append(list(inputs))
        given = self._module(*map(torch.from_numpy, inputs))
        outputs: Sequence[torch.Tensor] = (given,) if isinstance(given, torch.Tensor) else given
        return [one.numpy() for one in outputs]


def _require_agreement(check: Check) -> None:
    is_near = check.largest_difference <= check.tolerance  # False for NaN as well
    if is_near and (check.clips_from == "generated" or check.top1_agreement >= LEAST_AGREEMENT):
        return
    cure = {
        "onnx-int8": "export onnx, or train with more data",
        "onnx-fp16": "export onnx, in float32",
    }.get(check.format, "report this with the recipe")
    raise ExportError(
        f"{check.format}: expected scores within {check.tolerance:.2g} of PyTorch's and the same "
        f"first label for {LEAST_AGREEMENT:.0%} of given clips, got a difference of "
        f"{check.largest_difference:.2g} and {check.top1_agreement:.0%} of {check.clips} "
        f"{check.clips_from} clips; nothing was written; {cure}"
    )


def _batches(clips: Sequence[Clip]) -> list[Batch]:
    batches: list[Batch] = []
    start = 0
    while start < len(clips):
        size = BATCHES[len(batches) % len(BATCHES)]
        batches.append(collate(clips[start : start + size]))
        start += size
    return batches


@torch.inference_mode()
def _answers(recognizer: Recognizer, batch: Batch) -> NDArray[np.float32]:
    device = next(recognizer.parameters()).device
    rgb, events, *_ = batch.to(device)
    return recognizer.eval().answer(rgb, events).float().cpu().numpy()


def _scores(
    modalities: Sequence[str], graphs: Sequence[Graph], sessions: Sequence[Session], batch: Batch
) -> NDArray[np.float32]:
    by_modality = {"rgb": batch.rgb, "event": batch.events}
    images = [by_modality[name] for name in modalities]
    arrays = [image.numpy() for image in images if image is not None]
    if len(sessions) == 1:
        return sessions[0](arrays)[0].astype(np.float32)
    return _live_scores(graphs, sessions, arrays)


def _live_scores(
    graphs: Sequence[Graph], sessions: Sequence[Session], clips: list[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """The scores of clips, shape (B, T, 3, H, W) each, whose moments come one after the other."""
    takes_before = len(graphs[0].inputs) > len(clips)
    encode, decide = sessions
    moments: list[list[NDArray[np.float32]]] = []
    for number in range(clips[0].shape[1]):
        now = [np.ascontiguousarray(clip[:, number]) for clip in clips]
        before = [np.ascontiguousarray(clip[:, max(0, number - 1)]) for clip in clips]
        moments.append(encode([*now, *before] if takes_before else now))
    encoded = dict(zip(graphs[0].outputs, zip(*moments, strict=True), strict=True))
    whole = {name: np.stack(parts, axis=1) for name, parts in encoded.items()}
    if takes_before:  # the first moment has none before it, and so no step
        whole[STEPS] = whole[STEPS][:, 1:]
    return decide([whole[name] for name in graphs[1].inputs])[0]


def generated_clips(config: ClipConfig, *, count: int = GENERATED) -> list[Clip]:
    """Clips that no dataset has: a bright box that moves over grey, and the events around it."""
    recordings = [generated_recording(seed, frames=config.frames) for seed in range(count)]
    return [make_clip(recording, config) for recording in recordings]


def generated_recording(seed: int, *, frames: int) -> Recording:
    """One of them: frames 10 ms apart, and events between them."""
    generator = np.random.default_rng(seed)
    side, box = 96, 24
    images = np.full((frames, side, side, 3), generator.integers(0, 160, 3), np.uint8)
    first, last = generator.integers(0, side - box, (2, 2))
    places = np.linspace(first, last, frames).round().astype(int)
    colour = generator.integers(96, 256, 3)
    for image, (top, left) in zip(images, places, strict=True):
        image[top : top + box, left : left + box] = colour
    count = 400 * frames
    moment = np.sort(generator.integers(0, frames, count))
    spread = generator.normal(box / 2, box / 2, (count, 2))
    rows, columns = np.clip(places[moment] + spread, 0, side - 1).astype(np.uint16).T
    t_us = moment * 10_000 + np.sort(generator.integers(0, 10_000, count))
    events = EventStream.from_arrays(
        t_us, columns, rows, generator.random(count) < 0.5, width=side, height=side, sort=True
    )
    ends = np.arange(1, frames + 1) * 10_000
    sequence = FrameSequence.from_images(images, start_us=ends - 10_000, end_us=ends)
    return Recording(events, sequence, "generated")
