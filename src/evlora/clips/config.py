"""How a recording becomes a clip: the keys of a recipe's `clip` section."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from evlora.clips.augmentation import Augmentation
from evlora.clips.settings import Fit, Modality, Sampling, WindowKind
from evlora.config import Config
from evlora.errors import DatasetError, RecordingError
from evlora.limits import limits, raising
from evlora.messages import explain, suggestion

MOST_FILTERS = 32
DEFAULT_REPRESENTATION = "event_image"


class TestViews(Config):
    """How many clips of a recording a test averages over: segments times crops."""

    __test__: ClassVar[bool] = False
    """pytest collects classes of such a name; this is none of its."""

    segments: PositiveInt = 1
    """Choices of moments: the places at which segments are entered, or the starts of stretches;
    recordings with fewer than T frames have only one."""
    crops: Literal[1, 3] = 1
    """Boxes along the longer side: 1 is the centre, 3 are left, centre and right, or top, centre
    and bottom."""

    @property
    def count(self) -> int:
        """Clips of one recording."""
        return self.segments * self.crops


MOST_FRAMES = 4096
Side = Annotated[int, Field(gt=0, le=8192)]


class ClipConfig(Config):
    """How a recording becomes a clip: T = `frames` moments of `size` pixels, uint8.

    The keys are those of a recipe's section `clip`; docs/clips.md explains them.

    Raises:
        pydantic.ValidationError: A value is out of bounds, or two contradict each other.
    """

    frames: int = Field(default=8, gt=0, le=MOST_FRAMES)
    """Moments in a clip, T: the number of frames and of event images."""
    size: Side | tuple[Side, Side] = 224
    """Pixels that the model takes: one number for a square, or height and width."""
    modalities: tuple[Modality, ...] = ("rgb", "event")
    """What a clip holds: rgb, event, or both."""
    without: Modality | None = None
    """One of both modalities that is never shown, as if every recording lacked it: its frames are
    black, its event images without events."""
    filters: tuple[str, ...] = Field(default=(), max_length=MOST_FILTERS)
    """What each recording passes before anything else, in this order, such as [hot_pixels,
    "background_activity:window_us=2000"]; the names are those of the filters."""
    representation: str = DEFAULT_REPRESENTATION
    """How the events of a moment become an image; the names are those of the representations."""
    sampling: Sampling = "segments"
    """Which frames are the moments of a clip: one of each of T equal segments (segments), or a
    stretch of frames that lie `stride` apart (dense); recordings with fewer than T frames are cut
    into T equal windows either way."""
    stride: PositiveInt = 4
    """Frames from a moment to the next one where sampling is dense; less in short recordings."""
    window: WindowKind = "frame"
    """Events of a moment that is a frame: since the frame before it (frame), while it was exposed
    (exposure), or since the moment before it (segment)."""
    fit: Fit = "crop"
    """What happens to a field of view of another shape: crop, pad, or stretch."""
    exposure: float = Field(default=1.0, gt=0, le=1)
    """Light that the frames keep, for experiments in the dark: every value is multiplied by it and
    rounded, so that what lies below a camera's eight bits is lost. Events stay as they are."""
    corruption: str | None = None
    """A sensor's fault in every recording, for experiments: NAME:STRENGTH, such as hot_pixels:3.
    It comes before the filters."""
    jitter: bool = True
    """Whether training draws each moment at random inside its segment."""
    augmentation: Augmentation = Augmentation()
    """What training changes at random."""
    test_views: TestViews = TestViews()
    """How many clips of a recording a test averages over."""

    @field_validator("representation")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name == DEFAULT_REPRESENTATION:
            return name
        from evlora.recordings.representations import REPRESENTATIONS  # which imports numpy

        if name not in REPRESENTATIONS:
            raise ValueError(
                f"no representation is called {name!r}; {suggestion(name, REPRESENTATIONS)}"
            )
        return name

    @field_validator("filters")
    @classmethod
    def _are_known(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not texts:
            return texts
        from evlora.recordings.filters.table import parse_filter

        for text in texts:
            try:
                name = parse_filter(text).name
            except RecordingError as error:
                raise ValueError(str(error)) from error
            if name == "undistort":
                raise ValueError(
                    "undistort needs a file of one camera, which a recognizer cannot keep; "
                    "undistort the recordings with evlora convert --filter"
                )
        return texts

    @field_validator("corruption")
    @classmethod
    def _is_a_corruption(cls, text: str | None) -> str | None:
        if text is None:
            return None
        from evlora.recordings.corruptions.table import parse_corruption

        try:
            parse_corruption(text)
        except RecordingError as error:
            raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _fits_memory(self) -> Self:
        height, width = self.size_px
        if self.frames * height * width > limits().clip_px:
            raise ValueError(
                f"expected clips of at most {limits().clip_px:,} pixels, got {self.frames} moments "
                f"of {height}×{width}; {raising('clip_px')}"
            )
        if self.test_views.count > limits().test_clips:
            raise ValueError(
                f"expected test_views of at most {limits().test_clips} clips, got "
                f"{self.test_views.count}; {raising('test_clips')}"
            )
        return self

    @model_validator(mode="after")
    def _has_modalities(self) -> Self:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(
                f"expected modalities to name rgb, event, or both once, got {self.modalities}"
            )
        return self

    @model_validator(mode="after")
    def _has_something_to_show(self) -> Self:
        if self.without is not None and set(self.modalities) != {"rgb", "event"}:
            raise ValueError(
                f"expected both modalities for without: {self.without}, got "
                f"{list(self.modalities)}; what is hidden must be one of two"
            )
        return self

    @model_validator(mode="after")
    def _has_views_that_differ(self) -> Self:
        if self.test_views.crops > 1 and self.fit != "crop":
            raise ValueError(
                f"expected fit: crop for test_views.crops: {self.test_views.crops}, got fit: "
                f"{self.fit}, which leaves nothing to choose from; set crops: 1 or fit: crop"
            )
        if self.sampling == "dense" and self.window == "segment":
            raise ValueError(
                "expected window: frame or exposure for sampling: dense, got window: segment, "
                "whose first moment would hold all events before the stretch"
            )
        return self

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a clip."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def may_lack_one(self) -> bool:
        """Whether one of both modalities may be missing: hidden, or dropped in training."""
        return self.without is not None or self.augmentation.modality_dropout > 0

    def damaged_by(self, corruption: str | None) -> "ClipConfig":
        """The same with a sensor's fault in every recording; None leaves it as it is.

        Raises:
            RecordingError: There is no such corruption or strength.
        """
        if corruption is None:
            return self
        from evlora.recordings.corruptions.table import parse_corruption

        parse_corruption(corruption)
        return self.model_copy(update={"corruption": corruption})

    def hiding(self, modality: Modality | None) -> "ClipConfig":
        """The same with one of both modalities hidden; None leaves it as it is.

        Raises:
            DatasetError: Clips have one modality, or none is called so.
        """
        if modality is None:
            return self
        try:
            return ClipConfig.model_validate({**self.model_dump(), "without": modality})
        except ValidationError as error:
            raise DatasetError(
                f"without {modality}: {explain(error, ClipConfig).removeprefix('without: ')}"
            ) from error
