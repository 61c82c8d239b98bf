"""What training changes at random in a clip: keys of a recipe, read without torch."""

from pydantic import Field, NonNegativeInt, field_validator

from evlora.config import Config
from evlora.messages import suggestion

HIGHEST_MAGNITUDE = 30


class Augmentation(Config):
    """What training changes at random in a clip; every moment of it gets the same change."""

    crop: float = Field(default=0.85, gt=0, le=1)
    """Smallest share of the height and width that a random crop keeps; 1 leaves cropping out."""
    aspect: float = Field(default=1.0, ge=1)
    """Largest factor by which a random crop makes things wider or higher; 1 keeps their shape."""
    flip: bool = False
    """Whether half of the clips are mirrored; off, because classes may have a direction."""
    colour: float = Field(default=0.2, ge=0, le=1)
    """Largest relative change of brightness, contrast and saturation of the frames; 0 for none."""
    event_drop: float = Field(default=0.1, ge=0, lt=1)
    """Largest share of the events that is dropped at random; 0 for none."""
    event_time_jitter_us: NonNegativeInt = 0
    """Microseconds by which each event is moved in time at most, either way; 0 for none."""
    event_polarity_flip: float = Field(default=0.0, ge=0, le=1)
    """Largest share of the events whose polarity is turned round at random; 0 for none."""
    erase: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of the picture that a random box empties in both modalities; 0 for none."""
    randaugment: NonNegativeInt = 0
    """Operations of RandAugment that each clip gets, such as 2: what moves, turns or shears things
    is done to both modalities alike, what changes colours to the frames alone; 0 for none."""
    randaugment_magnitude: float = Field(default=9.0, ge=0, le=HIGHEST_MAGNITUDE)
    """How strong these operations are, up to 30."""
    corruptions: float = Field(default=0.0, ge=0, lt=1)
    """Share of the clips that show a sensor's fault, drawn with its strength; docs/corruptions.md
    lists them."""
    corruption_names: tuple[str, ...] = ()
    """Which faults are drawn; [] for all of them. Name some, and test on the others."""
    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the clips of both modalities that show only one of them, either as often: the other
    is black, or without events. A recognizer trained so answers recordings that lack one."""

    @field_validator("corruption_names")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            return names
        from evlora.recordings.corruptions.table import CORRUPTIONS

        for name in names:
            if name not in CORRUPTIONS:
                raise ValueError(
                    f"no corruption is called {name!r}; {suggestion(name, CORRUPTIONS)}"
                )
        return names
