"""The recognizers that a service offers, by name: bundles, and files that `evlora export` wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evlora.answering import Precision, for_answers
from evlora.bundle import load_bundle
from evlora.clips import Clip
from evlora.clips.settings import ClipSettings
from evlora.errors import EvloraError, RecipeError, RunError
from evlora.messages import suggestion
from evlora.models.streaming import StreamingNetwork
from evlora.recognizer import Recognizer
from evlora.serving.drawing import EXPORTED, TRAINED, Drawing
from evlora.serving.refusals import Refusal
from evlora.serving.wire import Bytes

if TYPE_CHECKING:
    from evlora.report.relevance import Relevance

Probabilities = NDArray[np.float32]
Images = Mapping[str, Bytes]
"""Of one recording, by modality: uint8, shape (V, T, 3, H, W)."""
MOST_CLIPS_AT_ONCE = 16


class Details(NamedTuple):
    """What can be shown of an answer beside its labels."""

    moments: list[Probabilities | None]
    """The answer after each moment, shape (K,) each."""
    relevance: "Relevance | None"
    warnings: list[str]
    """Why something is missing."""


class Served(Protocol):
    """A recognizer as the service asks it; all calls come from one thread."""

    labels: tuple[str, ...]
    views: int
    """Clips that an answer is the mean of."""
    drawing: Drawing
    most_at_once: int
    """Recordings that one call takes."""

    @property
    def settings(self) -> ClipSettings:
        """How its clips are made."""
        ...

    def probabilities(self, recordings: Sequence[Images]) -> Probabilities:
        """The probabilities of all classes, shape (n, K)."""
        ...

    def details(self, images: Images, *, moments: bool, relevance: bool) -> Details:
        """What an answer rests on, from a single clip of shape (T, 3, H, W) by modality."""
        ...


class ServedBundle:
    """A bundle, its adapters folded in."""

    def __init__(self, recognizer: Recognizer, precision: Precision) -> None:
        self.recognizer = recognizer
        self.precision: Precision = precision
        self.labels = recognizer.labels
        self.settings = recognizer.clip_config
        self.views = recognizer.clip_config.test_views.count
        self.drawing = Drawing(TRAINED, recognizer.clip_config.model_dump(mode="json"))
        is_alone = recognizer.network.depends_on_batch
        self.most_at_once = _most_at_once(self.views, is_alone=is_alone)
        self._answering = for_answers(recognizer, precision=precision)

    @torch.inference_mode()
    def probabilities(self, recordings: Sequence[Images]) -> Probabilities:
        """See `Served`."""
        rgb, events = (self._joined(recordings, name) for name in ("rgb", "event"))
        scores = self._answering.log_probabilities(rgb, events, views=self.views)
        return scores.exp().cpu().numpy()

    def details(self, images: Images, *, moments: bool, relevance: bool) -> Details:
        """See `Served`."""
        shares: list[Probabilities | None] = []
        warnings: list[str] = []
        if moments:
            try:
                shares = self._after_each_moment(images)
            except RecipeError as error:
                warnings.append(f"no answer after each moment: {error}")
        found = None
        if relevance:
            from evlora.report.relevance import relevance as relevance_of
            from evlora.report.relevance import why_not

            reason = why_not(self.recognizer)
            if reason is None:
                tensors = [_tensor(images.get(name)) for name in ("rgb", "event")]
                found = relevance_of(self.recognizer, Clip(*tensors, label=None, sample=""))
            else:
                warnings.append(f"no relevance: {reason}")
        return Details(shares, found, warnings)

    def shares(self, scores: torch.Tensor) -> Probabilities:
        """Probabilities of the scores of one answer, shape (K,)."""
        scaled = scores.float() / self.recognizer.temperature
        return scaled.softmax(dim=-1).cpu().numpy()

    def moment(self, images: Images) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The frame and the event image of a moment, shape (3, H, W) each, where networks run."""
        rgb, events = images.get("rgb"), images.get("event")
        return (
            None if rgb is None else self._on_device(rgb),
            None if events is None else self._on_device(events),
        )

    def _joined(self, recordings: Sequence[Images], name: str) -> torch.Tensor | None:
        if name not in self.settings.modalities:
            return None
        return self._on_device(np.concatenate([images[name] for images in recordings]))

    def _on_device(self, images: Bytes) -> torch.Tensor:
        return torch.from_numpy(images).to(next(self.recognizer.parameters()).device)

    def _after_each_moment(self, images: Images) -> list[Probabilities | None]:
        stream = StreamingNetwork(self._answering.network, frames=self.settings.frames)
        shares: list[Probabilities | None] = []
        for moment in range(self.settings.frames):
            shown = self.moment({name: of_all[moment] for name, of_all in images.items()})
            with self._answering.in_answer_type():
                scores = stream.push(*shown)
            shares.append(None if scores is None else self.shares(scores))
        return shares


class ServedFile:
    """A file that `evlora export` wrote, run by onnxruntime."""

    def __init__(self, path: Path) -> None:
        try:
            from evlora_runtime.runner import load
        except ImportError as error:
            raise RunError(
                f"{path}: exported files are run by evlora-runtime, which is not installed; "
                "pip install evlora-runtime, or serve the bundle that it was made from"
            ) from error
        runner = load(path)
        self._model = runner.model
        self.labels = runner.labels
        self.settings = runner.clips
        self.views = runner.clips.segments * runner.clips.crops
        self.drawing = Drawing(EXPORTED, runner.model.stated_clip)
        self.most_at_once = _most_at_once(self.views, is_alone=runner.model.depends_on_batch)

    def probabilities(self, recordings: Sequence[Images]) -> Probabilities:
        """See `Served`."""
        names = self.settings.modalities
        images = [np.concatenate([one[name] for one in recordings]) for name in names]
        return self._model.probabilities(images, views=self.views)

    def details(self, images: Images, *, moments: bool, relevance: bool) -> Details:
        """See `Served`: an exported file gives its answer alone."""
        del images
        asked = {"answer after each moment": moments, "relevance": relevance}
        warnings = [
            f"no {what}: an exported file gives its answer alone; serve the bundle"
            for what, is_wanted in asked.items()
            if is_wanted
        ]
        return Details([], None, warnings)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is served, by name; the first one answers where none is named."""

    served: dict[str, Served]

    def named(self, name: str | None) -> tuple[str, Served]:
        """The recognizer of this name, or the first one.

        Raises:
            Refusal: There is none.
        """
        chosen = next(iter(self.served)) if name is None else name
        if chosen not in self.served:
            raise Refusal(
                404, f"no bundle is called {chosen[:80]!r}; {suggestion(chosen[:80], self.served)}"
            )
        return chosen, self.served[chosen]


def open_shelf(
    places: Sequence[str | Path],
    *,
    weights: Path | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> Shelf:
    """Load what is to be served; bundles over one backbone share its memory.

    Args:
        places: Bundles, folders of runs, names on the hub, or exported NAME.onnx; each as
            NAME=PLACE where its name is not to be that of its folder or file.
        weights: The backbone's weight file; see `load_bundle`.
        device: Where bundles run.
        precision: See `for_answers`.

    Raises:
        EvloraError: One cannot be loaded, or two have one name.
    """
    served: dict[str, Served] = {}
    for place in places:
        name, path = _named(str(place))
        if name in served:
            raise RunError(
                f"{place}: expected a name for each, got two of {name!r}; write NAME={path}"
            )
        try:
            if path.suffix == ".onnx":
                served[name] = ServedFile(path)
            else:
                recognizer = load_bundle(str(path), weights=weights, device=device)
                served[name] = ServedBundle(recognizer, precision)
        except OSError as error:
            raise EvloraError(f"{path}: could not be read: {error.strerror}") from error
    if not served:
        raise RunError("serve: expected at least one bundle, got none")
    return Shelf(served)


def _named(place: str) -> tuple[str, Path]:
    """The name under which something is served, and where it lies."""
    name, equals, rest = place.partition("=")
    if equals and name and "/" not in name:
        return name, Path(rest)
    path = Path(place)
    whole = path.resolve()
    is_of_run = whole.name == "bundle" and path.suffix == ""
    return (
        whole.parent.name if is_of_run else whole.stem if path.suffix == ".onnx" else whole.name
    ), path


def _most_at_once(views: int, *, is_alone: bool) -> int:
    """Recordings of one call; one where what is beside a recording would change its answer."""
    return 1 if is_alone else max(1, MOST_CLIPS_AT_ONCE // views)


def _tensor(images: Bytes | None) -> torch.Tensor | None:
    return None if images is None else torch.from_numpy(images)


def settings_of(recognizer: Served) -> dict[str, Any]:
    """What `/bundles` states of a recognizer beside its name."""
    height, width = recognizer.settings.size_px
    names = {"rgb": "rgb", "event": "events"}
    return {
        "labels": list(recognizer.labels),
        "modalities": [names[name] for name in recognizer.settings.modalities],
        "moments": recognizer.settings.frames,
        "height": height,
        "width": width,
    }
