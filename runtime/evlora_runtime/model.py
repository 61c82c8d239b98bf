"""An exported file: its session, and what it states of labels and clips."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from evlora.clips.settings import Fit, Modality, Sampling, WindowKind
from evlora.errors import EvloraError
from evlora.limits import limits, raising

METADATA_KEY = "evlora"
READ_FORMAT = 1
"""The version of the metadata that this runner reads."""
CPU = "CPUExecutionProvider"
MADE_BY = "make it with `evlora export`"


class RuntimeFileError(EvloraError):
    """An exported file is missing, damaged, no file of evlora, or of another version."""


@dataclass(frozen=True, slots=True)
class Clips:
    """How clips are made, as the file states it: the settings of evlora's `ClipConfig`."""

    frames: int
    size_px: tuple[int, int]
    modalities: tuple[Modality, ...]
    without: Modality | None
    may_lack_one: bool
    filters: tuple[str, ...]
    representation: str
    sampling: Sampling
    stride: int
    window: WindowKind
    fit: Fit
    exposure: float
    segments: int
    """Choices of moments that a prediction averages over."""
    crops: int
    """Boxes that a prediction averages over."""

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> Self:
        """The settings in a file's metadata.

        Raises:
            KeyError: One is missing.
            TypeError: One is of another type.
            ValueError: One has a value that there is not, or asks for more than the limits allow.
        """
        size, views = stated["size"], stated["test_views"]
        height, width = (size, size) if isinstance(size, int) else size
        dropout = stated["augmentation"]["modality_dropout"]
        made = cls(
            frames=_count(stated, "frames"),
            size_px=(_count({"height": height}, "height"), _count({"width": width}, "width")),
            modalities=tuple(stated["modalities"]),
            without=stated["without"],
            may_lack_one=stated["without"] is not None or dropout > 0,
            filters=tuple(stated.get("filters", ())),  # files of before have none
            representation=stated["representation"],
            **{name: _one_of(stated, name, kind) for name, kind in KINDS.items()},
            stride=_count(stated, "stride"),
            exposure=float(stated["exposure"]),
            segments=_count(views, "segments"),
            crops=_count(views, "crops"),
        )
        made._require_bounds()
        return made

    def _require_bounds(self) -> None:
        """Check what decides how much memory a clip takes, and what may be shown of it."""
        pixels = self.frames * self.size_px[0] * self.size_px[1]
        for name, number in (("clip_px", pixels), ("test_clips", self.segments * self.crops)):
            most = getattr(limits(), name)
            if number > most:
                raise ValueError(
                    f"expected {name} of at most {most:,}, got {number:,}; {raising(name)}"
                )
        known = get_args(Modality)
        shown = set(self.modalities)
        if not shown or not shown <= set(known) or len(shown) < len(self.modalities):
            raise ValueError(f"modalities: expected {known} or one of them, got {self.modalities}")
        if self.without is not None and (self.without not in shown or len(shown) == 1):
            raise ValueError(f"without: expected one of two modalities, got {self.without!r}")
        if not 0 < self.exposure <= 1:
            raise ValueError(f"exposure: expected above 0 and at most 1, got {self.exposure}")


KINDS: dict[str, Any] = {"sampling": Sampling, "window": WindowKind, "fit": Fit}
"""Settings of a few values each."""


def _one_of(stated: Mapping[str, Any], name: str, kind: Any) -> Any:
    """A setting that is one of a few names."""
    if stated[name] not in get_args(kind):
        raise ValueError(f"{name}: expected one of {get_args(kind)}, got {stated[name]!r}")
    return stated[name]


def _count(stated: Mapping[str, Any], name: str) -> int:
    """A setting that is a whole number, 1 or more."""
    number = stated[name]
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{name}: expected a whole number of 1 or more, got {number!r}")
    return number


class Model:
    """A graph in an exported file, to be called with arrays.

    Args:
        path: The file.
        part: What it must be: `clip`, `encode` or `decide`.
        threads: Of onnxruntime; 0 is as many as there are cores.

    Raises:
        RuntimeFileError: The file is missing, damaged, of another kind, or of another version.
    """

    def __init__(self, path: Path, *, part: str, threads: int = 0) -> None:
        import onnxruntime

        if not path.is_file():
            raise RuntimeFileError(f"{path}: expected an exported file, found none; {MADE_BY}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = _session(path, options, onnxruntime.get_available_providers())
        except Exception as error:  # onnxruntime's own classes share no base
            reason = " ".join(str(error).split())[:300]
            raise RuntimeFileError(
                f"{path}: is no ONNX file that onnxruntime {onnxruntime.__version__} can run: "
                f"{reason}; {MADE_BY}"
            ) from error
        stated = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if stated is None:
            raise RuntimeFileError(f"{path}: expected evlora's metadata, found none; {MADE_BY}")
        self._read(path, stated, part)

    def _read(self, path: Path, stated: str, part: str) -> None:
        try:
            content = json.loads(stated)
            if content["format"] != READ_FORMAT:
                raise RuntimeFileError(
                    f"{path}: expected metadata of version {READ_FORMAT}, got "
                    f"{content['format']}; install the evlora-runtime of the evlora that wrote it, "
                    f"{content['versions']['evlora']}"
                )
            if content["part"] != part:
                raise RuntimeFileError(
                    f"{path}: expected the graph {part!r}, got {content['part']!r}; name NAME.onnx "
                    "for whole recordings, and for live use NAME.encode.onnx and NAME.decide.onnx"
                )
            self.labels = tuple(str(label) for label in content["labels"])
            if not 1 <= len(self.labels) <= limits().labels:
                raise ValueError(
                    f"labels: expected 1 to {limits().labels:,}, got {len(self.labels):,}"
                )
            self.stated_clip: dict[str, Any] = content["clip"]
            self.clips = Clips.of(self.stated_clip)
            self.inputs = tuple(content["inputs"])
            self.outputs = tuple(content["outputs"])
            self.least_moments = int(content["least_moments"])
            self.temperature = float(content.get("temperature", 1.0))
            self.depends_on_batch = bool(content.get("depends_on_batch", True))
            if not 0 < self.temperature < math.inf:
                raise ValueError(f"temperature: expected above 0, got {self.temperature}")
            self._require_graph(part)
        except (KeyError, TypeError, ValueError) as error:
            raise RuntimeFileError(f"{path}: its metadata is damaged: {error!r}") from error

    def _require_graph(self, part: str) -> None:
        """Check that the graph takes and gives what the metadata state.

        Raises:
            ValueError: It has other names or sizes.
        """
        takes = {one.name: one.shape for one in self._session.get_inputs()}
        gives = {one.name: one.shape for one in self._session.get_outputs()}
        for stated, found in ((self.inputs, takes), (self.outputs, gives)):
            if set(stated) != set(found):
                raise ValueError(f"expected a graph with {stated}, got one with {tuple(found)}")
        image = (3, *self.clips.size_px)
        wanted = {"clip": (None, self.clips.frames, *image), "encode": (None, *image)}.get(part)
        shapes = [(name, shape, wanted) for name, shape in takes.items() if wanted is not None]
        if part != "encode":
            shapes += [(name, shape, (None, len(self.labels))) for name, shape in gives.items()]
        for name, shape, sizes in shapes:
            if not _fits(shape, sizes):
                raise ValueError(f"{name}: expected a graph with sizes {sizes}, got {shape}")

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs for these inputs, in the order in which the file names them."""
        given = dict(zip(self.inputs, inputs, strict=True))
        return cast(list[NDArray[np.float32]], self._session.run(list(self.outputs), given))

    def probabilities(
        self, inputs: Sequence[NDArray[np.uint8]], *, views: int
    ) -> NDArray[np.float32]:
        """Of whole clips, the mean over the views of each sample.

        Args:
            inputs: Images of each modality in order, shape (B·V, T, 3, H, W), the views of a
                sample next to one another.
            views: V, clips of one sample.

        Returns:
            Probabilities of the classes, shape (B, K), at the file's temperature.
        """
        (scores,) = self(inputs)
        of_clips = np.exp(log_probabilities(scores.astype(np.float32)))
        mean = of_clips.reshape(-1, views, of_clips.shape[-1]).mean(axis=1)
        if self.temperature != 1:
            with np.errstate(divide="ignore"):  # the logarithm of a probability of 0
                logarithms = np.log(mean) / np.float32(self.temperature)
            mean = np.exp(log_probabilities(logarithms))
        return np.minimum(mean, 1)  # rounding must not make a probability larger than 1


def _fits(shape: Sequence[int | str | None], wanted: Sequence[int | None]) -> bool:
    """Whether a graph's sizes are those that are wanted, as far as both state any."""
    return len(shape) == len(wanted) and all(
        mine is None or not isinstance(theirs, int) or mine == theirs
        for theirs, mine in zip(shape, wanted, strict=True)
    )


def log_probabilities(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithms of the classes' probabilities, shape (B, K), from scores."""
    below = scores - scores.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def _session(path: Path, options: Any, providers: list[str]) -> Any:
    """On the devices that there are, or on the CPU where these cannot take the file.

    onnxruntime's own way to the CPU prints to standard output, among the answers.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(
            path, options, providers=providers, enable_fallback=False
        )
    except Exception:
        if providers == [CPU]:
            raise
        return _session(path, options, [CPU])
